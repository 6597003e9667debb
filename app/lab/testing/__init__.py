"""The lab for the tests of others: `PveLab` runs one as a process of its own, `plugin` gives it to pytest."""

from app.lab.testing.control import LabError
from app.lab.testing.process import PveLab

__all__ = ["LabError", "PveLab"]
