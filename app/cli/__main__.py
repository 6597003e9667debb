"""`python -m app.cli`, where `poolhouse` is not installed as a command."""

from app.cli import main

main(prog_name="poolhouse")
