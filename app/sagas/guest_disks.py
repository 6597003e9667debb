"""Disks of a guest, of both kinds: one is attached, detached with all that is on it, moved to another storage.

What is charged is what PVE has in the end, against what it had when the work began. A disk that was detached is
deleted: nothing that takes room is left that nobody is charged for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.db import guests, quota
from app.domain.errors import Conflict, Invalid, PveChanged
from app.domain.guests import GuestKind
from app.domain.identifiers import DiskName, StorageId, Upid
from app.domain.quota import Dimension
from app.operations import Run, Saga, Step
from app.pve import GuestApi, GuestConfig, free_name, new_disk, unused
from app.sagas import guest
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters(guest.GuestParameters):
    """`charged_gb` GiB were charged before. `disk` is the one that is there; a new one has None, its `size_gb` GiB and,
    in a container, its `path`. `storage` is where it comes to lie."""

    charged_gb: int
    disk: str | None = None
    storage: str | None = None
    size_gb: int = 0
    path: str | None = None


# -- functions

_MOVING = ("qmmove", "move_volume")


def note(run: Run, p: Parameters) -> dict[str, Any]:
    """What the disk is called, what it is now, and which volumes of the guest are none of this work's."""
    config = guest.own_config(run, p)
    if p.disk is not None:
        _require_removable(run, p)
    there = {disk.name: disk for disk in config.disks}
    if p.disk is not None and p.disk not in there:
        raise PveChanged
    taken = next((disk.name for disk in config.disks if p.path is not None and disk.path == p.path), None)
    if taken is not None:
        raise Invalid({"path": [f"is where {taken} is mounted"]})
    name = p.disk or free_name(config.values, GuestKind(p.kind))
    others = [disk.volume for disk in config.disks if disk.name != name]
    return {
        "disk": name,
        "value": config.values.get(name),
        "others": [*others, *unused(config.values).values()],
        "total_gb": config.size["disk_gb"],
        "digest": config.digest,
    }


def _require_removable(run: Run, p: Parameters) -> None:
    """What a snapshot needs stays where it is, and a container that runs gives nothing away (PVE 9.1)."""
    api = guest.as_tenant(run, p)
    if api.snapshots():
        raise Conflict(
            "The guest has snapshots, which need the disk where it is.", code="guest.has_snapshots",
            remedy="Delete its snapshots first.",
        )  # fmt: skip
    if p.kind == GuestKind.CT and api.status().status == "running":
        raise _uses_it()


def _uses_it() -> Conflict:
    return Conflict("The guest uses this disk while it runs.", code="guest.running", remedy="Stop the guest first.")


def attach(run: Run, p: Parameters) -> None:
    """With the digest, so that a call which was lost and comes late makes no second one."""
    api = guest.as_tenant(run, p)
    noted = run.outputs["noted"]
    if not (run.again and noted["disk"] in api.config().values):
        value = new_disk(StorageId(p.storage or ""), p.size_gb, p.path)
        api.update({noted["disk"]: value}, digest=noted["digest"])


def remove(run: Run, p: Parameters) -> dict[str, Any] | None:
    """A container that runs keeps what it got, and what is charged for it."""
    if guest.look(run, p) is not guest.Sight.OURS:
        return None
    if not _taken_out(guest.as_tenant(run, p), run.outputs["noted"]["disk"]):
        return {"kept": {"disk": run.outputs["noted"]["disk"]}}
    free(run, p)
    return None


def detach(run: Run, p: Parameters) -> None:
    if not _taken_out(guest.as_tenant(run, p), run.outputs["noted"]["disk"]):
        raise _uses_it()


def put_back(run: Run, p: Parameters) -> None:
    """As long as the volume is there."""
    if guest.look(run, p) is not guest.Sight.OURS:
        return
    api = guest.as_tenant(run, p)
    noted = run.outputs["noted"]
    config = api.config()
    if noted["disk"] not in config.values and noted["value"].partition(",")[0] in unused(config.values).values():
        api.update({noted["disk"]: noted["value"]})


def free(run: Run, p: Parameters) -> None:
    """The volumes that this work has left behind."""
    api = guest.as_tenant(run, p)
    left = [key for key, volume in unused(api.config().values).items() if volume not in run.outputs["noted"]["others"]]
    if left:
        api.update({}, delete=left)


def move(run: Run, p: Parameters) -> Upid | None:
    if run.again and (lost := guest.under_way(run, p, *_MOVING)) is not None:
        return lost
    api = guest.as_tenant(run, p)
    disk = next((one for one in api.config().disks if one.name == p.disk), None)
    if disk is None:
        raise PveChanged
    return api.move_disk(DiskName(disk.name), StorageId(p.storage or "")) if disk.storage != p.storage else None


def settle(run: Run, p: Parameters) -> dict[str, Any]:
    api = guest.as_tenant(run, p)
    _charge(run, p, api.config())
    waits = run.outputs["noted"]["disk"] in api.pending()
    return {"pending": [run.outputs["noted"]["disk"]] if waits else []}


def settle_as_it_is(run: Run, p: Parameters) -> Upid | None:
    """The undo of what was claimed, once PVE works on it no more: what is there is charged."""
    if (working := guest.under_way(run, p, *_MOVING)) is not None:
        return working
    _charge(run, p, guest.as_admin(run, p).config() if guest.look(run, p) is guest.Sight.OURS else None)
    return None


def result(run: Run, p: Parameters) -> dict[str, Any]:
    """`pending` names the disk where it comes with the guest's next start only."""
    return {
        **guest.result(run, p), "disk": run.outputs["noted"]["disk"], "pending": run.outputs["settled"]["pending"]
    }  # fmt: skip


def _taken_out(api: GuestApi, name: str) -> bool:
    """Out of the configuration at once; False, and as before, where that would wait for the guest's next start."""
    if name in api.config().values:
        api.update({}, delete=[name])
    if name in api.pending():
        api.revert([name])
        return name not in api.config().values
    return True


def _charge(run: Run, p: Parameters, config: GuestConfig | None) -> None:
    noted = run.outputs.get("noted")
    grown_by = config.size["disk_gb"] - noted["total_gb"] if config is not None and noted is not None else 0
    with run.db.begin() as tx:
        row = guests.get(tx, p.guest)
        if row is None:
            return
        row.disk_gb = p.charged_gb + grown_by
        if config is not None and config.boot_disk is not None:
            row.storage = config.boot_disk.storage
        guest.touch(row)
        quota.allocate(tx, row, {Dimension.DISK_GB: row.disk_gb})


# -- definition


def attachment_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.attach_disk",
        Parameters,
        steps=(
            Step("reserved", undo=settle_as_it_is),
            Step("noted", note),
            Step("attached", attach, undo=remove, calls=(will("PUT {guest}/config"),)),
            Step("settled", settle),
        ),
        result=result,
    )


def detachment_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.detach_disk",
        Parameters,
        steps=(
            Step("marked", undo=settle_as_it_is),
            Step("noted", note),
            Step("detached", detach, undo=put_back, calls=(will("PUT {guest}/config"),)),
            Step("freed", free, calls=(may("PUT {guest}/config"),)),
            Step("settled", settle),
        ),
        result=result,
        point_of_no_return="freed",
    )


def move_of(kind: GuestKind) -> Saga:
    return Saga(
        f"{kind}.move_disk",
        Parameters,
        steps=(
            Step("marked", undo=settle_as_it_is),
            Step("noted", note),
            Step(
                "moved",
                move,
                calls=(
                    may("POST {guest}/move_volume", lambda p: p.kind == "ct"),
                    may("POST {guest}/move_disk", lambda p: p.kind == "vm"),
                ),
            ),
            Step("freed", free, calls=(may("PUT {guest}/config"),)),
            Step("settled", settle),
        ),
        result=result,
        point_of_no_return="moved",
    )


ATTACHMENTS = {kind: attachment_of(kind) for kind in GuestKind}
DETACHMENTS = {kind: detachment_of(kind) for kind in GuestKind}
MOVES = {kind: move_of(kind) for kind in GuestKind}
