"""Pure rules: who may, and how much. Tables that can be tested without a server."""
