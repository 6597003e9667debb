"""Storages of the lab: their definitions and the volumes that lie on them."""
