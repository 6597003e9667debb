"""When two answers are the same: what differs from run to run is written as `<pid>`, `<digest>`, `<number>` and so on.

The recordings are kept in this form; answers of a lab are brought into it before they are compared.
"""

from __future__ import annotations

import json
import re
from typing import Any

_UPID = re.compile(r"UPID:([^:]+):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:([^:]*):([^:]*):([^:\s]*):")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_MAC = re.compile(r"\b[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\b")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_FIRST = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----\n?", re.DOTALL), "<pem>"),
    (_UPID, r"UPID:\1:<pid>:<pstart>:<starttime>:\2:\3:\4:"),
    (re.compile(r"PVE:[^\s:]+:[0-9A-F]{8}::[A-Za-z0-9+/=]+"), "<ticket>"),
    (re.compile(r"PVEVNC:[^\s:]+(?::[^\s:]+)*::[A-Za-z0-9+/=]+"), "<vncticket>"),
    (re.compile(r"\b[0-9A-F]{2}(?::[0-9A-F]{2}){31}\b"), "<fingerprint>"),
    (re.compile(r"\b[0-9A-F]{8}:[A-Za-z0-9+/]{27,86}={0,2}(?![A-Za-z0-9+/=])"), "<csrf>"),
    (re.compile(r" at /\S+\.pm line \d+\.?"), ""),
)
_LAST = (
    (
        re.compile(r"creation-qemu=[^,]*,ctime=\d+|ctime=\d+,creation-qemu=[^,]*"),
        "creation-qemu=<version>,ctime=<moment>",
    ),
    (re.compile(r"\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"), "<moment>"),
    (re.compile(r"/var/tmp/pveupload-[0-9a-f]+"), "/var/tmp/pveupload-<hex>"),
    (re.compile(r"(failed to get address info for: [^:]*): .*"), r"\1: <resolver>"),
    (re.compile(r"for modifying tag '[^']*'"), "for modifying tag '<tag>'"),
    (re.compile(r"(-state-suspend-)\d{4}-\d\d-\d\d"), r"\1<date>"),
    (re.compile(r"/var/tmp/vzdumptmp\d+"), "/var/tmp/vzdumptmp<pid>"),
)
_BACKUP_TIME = re.compile(r"\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_MEASUREMENTS = (
    "pid pstart starttime endtime uptime time ctime snaptime cpu mem memhost freemem disk diskread diskwrite netin "
    "netout swap used avail used_fraction free wait idle loadavg balloon_actual expire_time start_time last-run-time "
    "next-run pressurecpusome pressurecpufull pressureiosome pressureiofull pressurememorysome pressurememoryfull port "
    "creation_time total_bytes n_total"
)
_MEASURED = frozenset(_MEASUREMENTS.split())
"""Names of measurements and moments: only that they are numbers is compared."""
_OF_HOSTS = frozenset({"maxdisk", "maxmem", "maxcpu", "total"})
_OF_HYPERVISORS = frozenset(
    {"ballooninfo", "blockstat", "nics", "proxmox-support", "running-machine", "running-qemu", "ssl_fingerprint"}
    | {"pve-fp"}
)
_UNORDERED_TEXTS = frozenset({"content", "groups", "privs", "nodes", "users", "members"})


class Sameness:
    """The form of one scenario's answers; what its own requests contain is not taken for chance."""

    def __init__(self, requests: str) -> None:
        self._requests = requests.lower()

    def text(self, text: str) -> str:
        for pattern, mark in _FIRST:
            text = pattern.sub(mark, text)
        text = _UUID.sub(lambda found: self._unless_asked(found[0], "<uuid>"), text)
        text = _MAC.sub(lambda found: self._unless_asked(found[0], "<mac>"), text)
        text = _BACKUP_TIME.sub("<moment>", text)
        if _HASH.fullmatch(text) and text not in self._requests and len(set(text)) > 3:
            return "<digest>"
        for pattern, mark in _LAST:
            text = pattern.sub(mark, text)
        return text

    def _unless_asked(self, value: str, mark: str) -> str:
        return value if value.lower() in self._requests else mark

    def value(self, value: Any, key: str = "", *, host: bool = False, config: bool = False) -> Any:
        if key in _OF_HYPERVISORS and value is not None:
            return "<varies>"
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return [("<number>" if key == "loadavg" else self.value(item, key, host=host)) for item in value]
        if key == "saved":
            return "<flag>"
        if isinstance(value, bool) or value is None:
            return value
        measured = key in _MEASURED or (host and key in _OF_HOSTS)
        if isinstance(value, int | float):
            return "<number>" if measured and not (key == "swap" and config) else value
        return "<number as string>" if measured and _NUMBER.fullmatch(value) else self._named_text(value, key)

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        kind, placed = value.get("type"), "node" in value or "storage" in value
        host = (
            (kind in ("node", "storage", "lxc", "cluster") and placed)
            or bool({"plugintype", "used_fraction", "ssl_fingerprint"} & set(value))
            or {"enabled", "active", "content"} <= set(value)
        )
        if kind == "lxc" and value.get("status") != "running":
            host = False
        config = "rootfs" in value or "digest" in value
        if "ticket" in value and isinstance(value.get("password"), str):
            value = value | {"password": "<password>"}
        return {name: self.value(item, name, host=host, config=config) for name, item in value.items()}

    def _named_text(self, value: str, key: str) -> str:
        if key == "digest" and _HASH.fullmatch(value):
            return "<digest>"
        if key == "ticket" and value.startswith("PVE:"):
            return "<ticket>"
        if key == "CSRFPreventionToken":
            return "<csrf>"
        if key == "password" and len(value) > 30 and " " not in value:
            return "<password>"
        if key == "port" and value.isdigit():
            return "<number as string>"
        if key == "cert" and "BEGIN" in value:
            return "<pem>"
        if key in _UNORDERED_TEXTS and "," in value and " " not in value:
            value = ",".join(sorted(part for part in re.split(r"[,\s]+", value) if part))
        return self.text(value)


def without(value: Any, pointers: list[str]) -> Any:
    """The value without what the pointers name; a `*` stands for every place of a level."""
    for pointer in pointers:
        _drop(value, [part.replace("~1", "/").replace("~0", "~") for part in pointer.strip("/").split("/")])
    return value


def _drop(value: Any, parts: list[str]) -> None:
    name, rest = parts[0], parts[1:]
    if isinstance(value, dict):
        for key in [key for key in value if name in ("*", key)]:
            if rest:
                _drop(value[key], rest)
            else:
                value.pop(key)
    elif isinstance(value, list):
        for place in range(len(value)):
            if name in ("*", str(place)):
                if rest:
                    _drop(value[place], rest)
                else:
                    value[place] = "<ignored>"


def pointed(value: Any, pointer: str) -> Any:
    """What a pointer names; `?key=text` finds in a list the entry with that."""
    for part in pointer.strip("/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list) and name.startswith("?"):
            key, _, text = name[1:].partition("=")
            value = next((item for item in value if str(item.get(key)) == text), None)
        elif isinstance(value, list):
            value = value[int(name)] if int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            return None
    return value


def unordered(value: Any) -> Any:
    """The value with every list in an order of its own."""
    if isinstance(value, dict):
        return {key: unordered(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((unordered(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value
