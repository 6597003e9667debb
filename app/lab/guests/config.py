"""A guest's configuration as the API shows it: with what is pending, with its digest, with secrets masked."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from app.lab.call import Refused
from app.lab.guests import hotplug, options
from app.lab.state import Guest

Values = dict[str, str | int]

_STALE = {
    "qemu": "checksum mismatch (file change by other user?)",
    "lxc": "detected modified configuration - file changed by other user? Try again.",
}
MASK = "**********"


def digest(guest: Guest) -> str:
    """SHA-1 over the whole file: the running part, what is pending, the snapshots."""
    parts: list[tuple[str, Mapping[str, object]]] = [
        ("", guest.config),
        ("pending", guest.pending),
        ("delete", guest.pending_delete),
        *((name, snapshot.config) for name, snapshot in guest.snapshots.items()),
    ]
    text = "\n".join(f"[{name}]{sorted(values.items())}" for name, values in parts)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def stale_text(kind: str) -> str:
    """What PVE says where the given digest is not the file's."""
    return _STALE[kind]


def shown(kind: str, values: Mapping[str, str | int]) -> dict[str, Any]:
    """Values as PVE reads them back from its file: empty ones as a blank, descriptions trimmed, passwords masked."""
    out: dict[str, Any] = {key: " " if value == "" else value for key, value in values.items()}
    if "cipassword" in out:
        out["cipassword"] = MASK
    if "description" in out:
        text = str(out.pop("description")).rstrip()
        out |= {"description": text + "\n" * (kind == "lxc")} if text else {}
    return out


def with_pending(guest: Guest) -> Values:
    """The configuration that the next start will use."""
    kept = {key: value for key, value in guest.config.items() if key not in guest.pending_delete}
    return kept | guest.pending


def require_one_view(params: Mapping[str, Any]) -> None:
    """A snapshot has no pending values. Raises Refused 400."""
    if params.get("snapshot") and params.get("current"):
        raise Refused.parameters(
            dict.fromkeys(("snapshot", "current"), "cannot use 'snapshot' parameter with 'current'")
        )


def view(guest: Guest, *, current: bool = False) -> dict[str, Any]:
    """GET config: pending values applied, or with `current` those that run."""
    values = dict(guest.config) if current else with_pending(guest)
    return shown(guest.kind, values) | {"digest": digest(guest)}


def pending_rows(guest: Guest) -> list[dict[str, Any]]:
    """GET pending: one row per option with its value, its pending value, or the mark of a pending deletion."""
    running = shown(guest.kind, guest.config) | {"digest": digest(guest)}
    waiting = shown(guest.kind, guest.pending)
    rows = []
    for key in sorted({*running, *waiting}):
        row: dict[str, Any] = {"key": key}
        if key in running:
            row["value"] = running[key]
        if key in waiting:
            row["pending"] = waiting[key]
        if key in guest.pending_delete:
            row["delete"] = guest.pending_delete[key]
        rows.append(row)
    return rows


def put_off(guest: Guest, changes: Mapping[str, str | int], delete: Mapping[str, int]) -> None:
    """Let changes wait for the next start; a value equal to the running one waits for nothing."""
    for key, force in delete.items():
        guest.pending.pop(key, None)
        if key in guest.config:
            guest.pending_delete[key] = force
    for key, value in changes.items():
        guest.pending_delete.pop(key, None)
        if guest.config.get(key) == value:
            guest.pending.pop(key, None)
        else:
            guest.pending[key] = value


def revert(guest: Guest, names: Iterable[str]) -> None:
    """Forget what waits for these options; nothing waiting is no error."""
    for name in names:
        guest.pending.pop(name, None)
        guest.pending_delete.pop(name, None)


def split_by_time(
    guest: Guest, changes: Mapping[str, str | int], delete: Iterable[str]
) -> tuple[Values, list[str], Values, list[str]]:
    """(changes now, deletions now, changes later, deletions later): a stopped guest takes everything now."""

    def at_once(key: str, value: str | int | None) -> bool:
        if guest.status != "running":
            return True
        if guest.kind == "qemu":
            return hotplug.at_once(guest, key, None if value is None else str(value))
        plugged = value is not None and key not in guest.config and options.family(key) in ("mp", "dev")
        return plugged or options.lxc_at_once(key)

    now = {key: value for key, value in changes.items() if at_once(key, value)}
    gone = [key for key in delete if key not in guest.config or at_once(key, None)]
    later = {key: value for key, value in changes.items() if key not in now}
    return now, gone, later, [key for key in delete if key not in gone]


def file_text(kind: str, values: Mapping[str, str | int]) -> str:
    """The configuration as the lines of PVE's file, the description as comments at its top."""
    lines = [f"#{line}" for line in str(values.get("description", "")).rstrip("\n").split("\n") if line]
    lines += [f"{key}: {values[key]}" for key in sorted(values) if key != "description"]
    return "".join(f"{line}\n" for line in lines)
