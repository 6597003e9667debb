"""WSGI entry: `gunicorn -c deploy/gunicorn.conf.py wsgi:app`."""

from dotenv import load_dotenv

from app import create_app

load_dotenv(".env")
app = create_app()
