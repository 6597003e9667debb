"""Many guests in one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.domain.deployments import DeploymentSpec
from app.domain.errors import Conflict
from app.domain.identifiers import GuestName
from app.domain.operations import Operation


class BulkAction(StrEnum):
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    RESET = "reset"
    SUSPEND = "suspend"
    RESUME = "resume"
    DELETE = "delete"


@dataclass(frozen=True)
class BulkWish:
    """`guests` are public ids or vmids. `force` is that of stop and delete."""

    action: BulkAction
    guests: Sequence[str]
    force: bool = False


@dataclass(frozen=True)
class BulkItem:
    """What came of one guest: an operation, or why there is none."""

    guest: str
    operation: Operation | None
    error: Conflict | None


@dataclass(frozen=True)
class BatchWish:
    """`count` guests of one template; each has its number in place of `{n}` in its name."""

    count: int
    name: str
    spec: DeploymentSpec = field(repr=False)

    def names(self) -> Sequence[GuestName]:
        """With leading zeros, so that they sort. Raises MalformedIdentifier."""
        digits = len(str(self.count))
        return [GuestName.parse(self.name.replace("{n}", f"{n:0{digits}}")) for n in range(1, self.count + 1)]
