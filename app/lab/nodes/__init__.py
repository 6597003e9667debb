"""The hosts: their figures, their settings, their tasks."""
