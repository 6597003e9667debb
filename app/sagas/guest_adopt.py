"""A guest that drifted is agreed to as it stands; one that nobody made here becomes its tenant's.

Row, vmid and allocation are written with the request. What remains is to look once more at a new one, as whoever made
it may have changed it, and to mark it as ours, with its tenant's own token.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.errors import PveRefused
from app.domain.guests import owner_mark
from app.operations import Run, Saga, Step
from app.pve import marked, unmarked
from app.sagas import guest
from app.sagas.calls import may

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`new`: it was none of ours, and of this size, as its config says it (`memory` MiB; `cores` 0: no limit)."""

    new: bool
    cores: int = 0
    memory: int = 0
    disk_gb: int = 0


# -- functions


def give_up(run: Run, p: Parameters) -> None:
    """It stays in PVE as it was, and is nobody's again."""
    if p.new:
        guest.release(run, p)


def verify(run: Run, p: Parameters) -> None:
    if not p.new:
        return
    config = guest.as_tenant(run, p).config()
    guest.require_unprivileged(p, config)
    if config.size != {"cores": p.cores, "memory": p.memory, "disk_gb": p.disk_gb}:
        raise PveRefused("The guest was changed meanwhile.", code="guest.differs", remedy="Look at it, and try again.")


def mark(run: Run, p: Parameters) -> None:
    """The first line of its description; a mark that was cloned from another guest of ours goes."""
    if not p.new:
        return
    api = guest.as_tenant(run, p)
    config = api.config()
    if config.owner_mark != owner_mark(p.guest):
        api.update({"description": marked(config.description, owner_mark(p.guest))})


def unmark(run: Run, p: Parameters) -> None:
    if not p.new or guest.look(run, p) is not guest.Sight.OURS:
        return
    api = guest.as_tenant(run, p)
    rest = unmarked(api.config().description)
    api.update({"description": rest} if rest else {}, delete=() if rest else ("description",))


def settle(run: Run, p: Parameters) -> None:
    if p.new:
        guest.settled_state(run, p)


# -- definition

SAGA = Saga(
    "guest.adopt",
    Parameters,
    steps=(
        Step("charged", undo=give_up),
        Step("verified", verify),
        Step("marked", mark, undo=unmark, calls=(may("PUT {guest}/config"),)),
        Step("settled", settle),
    ),
    result=guest.result,
)
