"""Alembic's folder: how the tables came to be what the models say. `app.db.schema` runs it."""
