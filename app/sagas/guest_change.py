"""A guest is changed, for both kinds: growth was reserved with the request, what shrinks is given back once PVE has it.

The configuration comes first and the disk last, because a grown disk is the one thing that cannot be taken back: what
it has grown by stays allocated, and the operation's error says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.db import guests, quota
from app.db.session import Tx
from app.domain.errors import Invalid, PveChanged, PveLocked, PveRefused
from app.domain.guests import GuestChange, GuestKind, NetworkChange, owner_mark
from app.domain.identifiers import BridgeName, GuestName, Tag, Upid
from app.domain.quota import Dimension
from app.operations import Run, Saga, Step
from app.pve import GuestConfig
from app.pve.changes import differing, field_of, options_of
from app.sagas import guest
from app.sagas.calls import may

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`change` is a GuestChange. `before` is what our row said, `held` what was allocated before the reservation.

    `digest` is what the caller wishes to find; None where he does not mind. `disk` is the one that grows, as it was
    seen: `name`, `size_gb`; None is the one that the guest boots from.
    """

    change: dict[str, Any]
    before: dict[str, Any]
    held: dict[str, int]
    digest: str | None = None
    disk: dict[str, Any] | None = None


# -- functions


def note(run: Run, p: Parameters) -> dict[str, Any]:
    """What is to be sent, and what stands there now: stored before anything is sent, so that it can be put back."""
    config = guest.own_config(run, p)
    if p.digest is not None and config.digest != p.digest:
        raise PveChanged
    change = _change(p)
    disk = config.boot_disk
    if p.disk is not None:
        disk = next((one for one in config.disks if one.name == p.disk["name"]), None)
        if disk is None or disk.size_gb != p.disk["size_gb"]:
            raise PveChanged
    if disk is None and change.disk_increment_gb:
        raise Invalid({"disk_increment_gb": ["the guest has no disk"]})
    wanted = options_of(change, GuestKind(p.kind), config, owner_mark(p.guest))
    return {
        "wanted": wanted,
        "old": {option: config.values.get(option, "").strip() or None for option in wanted},
        "disk": {"name": disk.name, "size_gb": disk.size_gb} if disk is not None else None,
    }


def change(run: Run, p: Parameters) -> None:
    api = guest.as_tenant(run, p)
    wanted = run.outputs["noted"]["wanted"]
    if run.again:
        wanted = differing(wanted, api.config())
    _send(api, wanted, p.digest)


def put_back(run: Run, p: Parameters) -> None:
    """Whatever of it is not as it was; what still waits for the guest's next start is dropped with it."""
    if guest.look(run, p) is not guest.Sight.OURS:
        return
    api = guest.as_tenant(run, p)
    _send(api, differing(run.outputs["noted"]["old"], api.config()), None)


def grow(run: Run, p: Parameters) -> Upid | None:
    """To the size noted and the increment: the same however often it is done."""
    increment = _change(p).disk_increment_gb
    if not increment:
        return None
    if run.again and (lost := guest.under_way(run, p, "resize")) is not None:
        return lost
    api = guest.as_tenant(run, p)
    disk = run.outputs["noted"]["disk"]
    wanted = disk["size_gb"] + increment
    if _size(api.config(), disk["name"]) >= wanted:
        return None
    # with options changed before it, the config has another digest by now
    digest = None if run.outputs["noted"]["wanted"] else p.digest
    return api.resize(disk["name"], size_gb=wanted, digest=digest)


def keep_grown(run: Run, p: Parameters) -> dict[str, Any] | None:
    """PVE shrinks no disk: what it has grown by stays, and stays charged."""
    if not _change(p).disk_increment_gb or guest.look(run, p) is not guest.Sight.OURS:
        return None
    api = guest.as_tenant(run, p)
    if guest.under_way(run, p, "resize") is not None:
        raise PveLocked("PVE still works on this guest.")
    disk = run.outputs["noted"]["disk"]
    grown_by = max(0, _size(api.config(), disk["name"]) - disk["size_gb"])
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is not None:
            row.disk_gb = p.before["disk_gb"] + grown_by
    return {"kept": {"disk_gb": p.before["disk_gb"] + grown_by}} if grown_by else None


def settle(run: Run, p: Parameters) -> dict[str, Any]:
    """What PVE has now is what was asked. The last word that PVE has in this: what follows cannot be refused."""
    api = guest.as_tenant(run, p)
    config = api.config()
    if differing(run.outputs["noted"]["wanted"], config):
        raise PveRefused("The guest is not as it was asked for.", code="guest.differs")
    pending = sorted({field_of(option) for option in api.pending()})
    return {"pending": pending, "seen": guest.read_back(p, api)}


def give_back(run: Run, p: Parameters) -> None:
    """The row says what the guest is now, and what has shrunk is free for others: nothing is taken back from here."""
    asked = _change(p)
    after = {
        "name": asked.name or p.before["name"],
        "tags": list(asked.tags) if asked.tags is not None else p.before["tags"],
        "cores": asked.cores or p.before["cores"],
        "memory": asked.memory or p.before["memory"],
        "disk_gb": p.before["disk_gb"] + asked.disk_increment_gb,
    }
    sizes = {Dimension.CORES: after["cores"], Dimension.MEMORY: after["memory"], Dimension.DISK_GB: after["disk_gb"]}
    with run.db.begin() as tx:
        _write(tx, p, after, sizes)
        guest.write_back(tx, p, run.outputs["settled"]["seen"])


def take_back(run: Run, p: Parameters) -> None:
    """Row and ledger as before, but for what a disk has grown by."""
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is not None:
            held = {Dimension(dimension): amount for dimension, amount in p.held.items()}
            _write(tx, p, {**p.before, "disk_gb": row.disk_gb}, {**held, Dimension.DISK_GB: row.disk_gb})


def result(run: Run, p: Parameters) -> dict[str, Any]:
    """`pending` names the fields that take effect at the next start."""
    return {**guest.result(run, p), "pending": run.outputs["settled"]["pending"]}


def _write(tx: Tx, p: Parameters, facts: dict[str, Any], held: dict[Dimension, int]) -> None:
    row = guests.get(tx, p.guest)
    if row is not None:
        for name, value in facts.items():
            setattr(row, name, value)
        guest.touch(row)
        quota.allocate(tx, row, held)


def _send(api: Any, options: Any, digest: str | None) -> None:
    if options:
        given = {option: value for option, value in options.items() if value is not None}
        api.update(given, delete=options.keys() - given.keys(), digest=digest)


def _size(config: GuestConfig, name: str) -> int:
    return next((disk.size_gb for disk in config.disks if disk.name == name), 0)


def _change(p: Parameters) -> GuestChange:
    stored = dict(p.change)
    net, tags, name = stored["net"], stored["tags"], stored["name"]
    if net is not None:
        net = NetworkChange(**{**net, "bridge": BridgeName(net["bridge"]) if net["bridge"] else None})
    return GuestChange(
        **{
            **stored,
            "name": GuestName(name) if name is not None else None,
            "net": net,
            "tags": tuple(Tag(tag) for tag in tags) if tags is not None else None,
        }
    )


# -- definition


def change_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.change",
        Parameters,
        steps=(
            Step("reserved", undo=take_back),
            Step("noted", note),
            Step("changed", change, undo=put_back, calls=(may("PUT {guest}/config"),)),
            Step(
                "grown",
                grow,
                undo=keep_grown,
                calls=(may("PUT {guest}/resize", lambda p: p.disk or p.change["disk_increment_gb"]),),
            ),
            Step("settled", settle),
            Step("given back", give_back),
        ),
        result=result,
    )


CHANGES = {kind: change_of(kind) for kind in GuestKind}
