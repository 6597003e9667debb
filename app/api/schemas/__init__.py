"""What goes in and out, as marshmallow schemas: the same nouns as everywhere. `load()` gives a frozen domain value."""
