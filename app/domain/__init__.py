"""The field's nouns as values: no I/O, no framework, importable from everywhere."""
