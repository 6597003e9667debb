"""The only writer of SQL: a session, the models, one query module per noun. Queries never commit."""
