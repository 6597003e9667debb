"""Whether the workers of this host live: each holds a lock that the kernel takes from it with its death."""

from __future__ import annotations

import fcntl
from io import FileIO
from pathlib import Path


class Presence:
    """`folder` is this host's own, or is shared by hosts that see each other's locks."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: FileIO | None = None

    def begin(self, worker: str) -> None:
        """Hold the lock of this worker until the process ends."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held = FileIO(self._path(worker), "w")
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def has_ended(self, worker: str) -> bool:
        """True only where it is certain: of a worker elsewhere, or one that may yet wake up, nothing is."""
        try:
            with FileIO(self._path(worker), "r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def forget(self, worker: str) -> None:
        """Of one whose end is known."""
        self._path(worker).unlink(missing_ok=True)

    def _path(self, worker: str) -> Path:
        return self._folder / f"{worker}.lock"
