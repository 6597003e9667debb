"""Imports every module that registers handlers: whatever lies in the lab's packages by subject."""

import importlib
import pkgutil

PACKAGES = ("access", "cluster", "guests", "nodes", "storage")


def load() -> int:
    """Import them all; returns how many modules there are."""
    names = ["app.lab.pools"]
    for package in PACKAGES:
        home = importlib.import_module(f"app.lab.{package}")
        names += [module.name for module in pkgutil.walk_packages(home.__path__, f"app.lab.{package}.")]
    for name in names:
        importlib.import_module(name)
    return len(names)
