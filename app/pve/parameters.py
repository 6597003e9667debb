"""What a call that makes, changes or moves a guest may carry, and in which form; nothing else leaves the house.

One table for everything below /nodes/{node}/lxc and /nodes/{node}/qemu: the last of our doors, behind the schemas and
the typed values that go in. A call or a parameter without a line here is refused, so a new one begins with its line.
Nothing listed can make a container privileged, reach the host, or be root's alone (facts of PVE 9.1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from app.domain.errors import Invalid
from app.domain.firewall import LogLevel, RuleAction, RuleType
from app.domain.identifiers import (
    DiskName,
    GuestName,
    Identifier,
    NodeName,
    PoolId,
    SnapshotName,
    StorageId,
    Tag,
    Volid,
)
from app.pve.speaking import Path

FOLDERS = ("lxc", "qemu")

Forms = Mapping[str, str]


def check(method: str, path: Path, params: Mapping[str, str | int | float]) -> None:
    """Raises Invalid, naming the parameters, unless the call and all that it carries are in `CALLS`."""
    if len(path) < 3 or path[0] != "nodes" or path[2] not in FOLDERS:
        return
    call = call_of(method, path)
    restores = not params.keys().isdisjoint(("restore", "archive"))
    forms = (RESTORES if restores else CALLS).get(call)
    if restores and path[2] == "lxc" and "unprivileged" not in params:
        raise Invalid({"unprivileged": ["must be sent: without it the archive decides"]}, log=call)
    if forms is None:
        raise Invalid({"call": ["is none that Poolhouse makes"]}, log=call)
    wrong = [name for name, value in params.items() if not _fits(forms, name, str(value))]
    if wrong:
        raise Invalid({name: ["cannot be sent to PVE so"] for name in wrong}, log=call)


def call_of(method: str, path: Path) -> str:
    """A call as the table names it: `PUT lxc/config` for PUT /nodes/n1/lxc/100/config; a snapshot's name and a rule's
    position are left out as the guest's number is."""
    below = [str(part) for part in path[4:]]
    if below[:1] == ["snapshot"] and len(below) > 1:
        below[1] = "{snapname}"
    if below[:2] == ["firewall", "rules"] and len(below) > 2:
        below[2] = "{pos}"
    return f"{method} {'/'.join([str(path[2]), *below])}"


def is_listed(forms: Forms, name: str) -> bool:
    """Whether a call with these forms may carry a parameter of this name, as `net0` for `net[n]`."""
    return _form(forms, name) is not None


def _fits(forms: Forms, name: str, value: str) -> bool:
    form = _form(forms, name)
    if form is None or not re.fullmatch(form, value, re.ASCII | re.DOTALL):
        return False
    names = form == _NAMES and name in ("delete", "revert")
    return not names or all(is_listed(forms, gone) for gone in value.split(","))


def _form(forms: Forms, name: str) -> str | None:
    """That of `net[n]` for `net0`, as PVE's own schema writes it, unless the call has a line for that one alone."""
    found = re.fullmatch(r"(net|ipconfig|mp|scsi|virtio|sata|ide|unused)(?:0|[1-9]\d{0,2})", name, re.ASCII)
    return forms.get(name) or (forms.get(f"{found.group(1)}[n]") if found else None)


# -- forms


def _of(identifier: type[Identifier]) -> str:
    return f"(?:{identifier.form.pattern})"


def _properties(*names: str) -> str:
    """A property string of these alone: no value can open another one."""
    one = rf"(?:{'|'.join(names)})=[A-Za-z0-9.:;/_-]+"
    return f"{one}(?:,{one})*"


_NUMBER = r"[1-9]\d{2,8}"
_WHOLE = r"\d{1,9}"
_FLAG = r"[01]"
_LINE = r"[^\x00-\x1f\x7f]*"
_LINES = r"[^\x00-\x09\x0b-\x1f\x7f]*"
#: PVE writes it encoded, whatever is in it.
_NOTES = r"[^\x00]{0,8192}"
_NEW_VOLUME = rf"{_of(StorageId)}:\d{{1,6}}"
#: The disk image is one that lies there to be imported: never a guest's disk, nor a path.
_IMPORTED = rf"{_of(StorageId)}:0,import-from={_of(StorageId)}:import/[A-Za-z0-9._+-]+\.(?:qcow2|raw|vmdk)"
#: Inside a container: never a folder of the node, which would stand in the volume's place.
_MOUNTED = r"mp=(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+,backup=1"
#: A guest's own disk as its configuration had it: put back where its removal is undone.
_OWN_DISK = r"(?:vm|base|subvol)-\d+-disk-\d+(?:\.\w+)?"
_OWN_VOLUME = rf"{_of(StorageId)}:(?:\d+/)?(?:base-\d+-disk-\d+(?:\.\w+)?/(?:\d+/)?)?{_OWN_DISK}"
#: It can be deleted and never set.
_NEVER_SET = r"(?!)"
_NAMES = r"[a-z0-9-]+(?:,[a-z0-9-]+)*"
_TAGS = rf"(?:{_of(Tag)}(?:;{_of(Tag)})*)?"
#: As PVE takes them from anybody: what others have set is put back when a change is undone.
_ANY_TAGS = r"(?:[A-Za-z0-9_][A-Za-z0-9_.+-]*(?:;[A-Za-z0-9_][A-Za-z0-9_.+-]*)*)?"
_ADDRESSES = r"[0-9A-Fa-f:.]+(?: [0-9A-Fa-f:.]+)*"
_DOMAINS = r"[A-Za-z0-9.-]+(?: [A-Za-z0-9.-]+)*"
_CARD = ("bridge", "firewall", "tag", "rate", "mtu", "link_down", "trunks")
_MODELS = "virtio|e1000e?|rtl8139|vmxnet3"
_DIGEST = r"\w{1,40}"
_FEATURES = "nesting=1"

_CONTAINER: Forms = {
    "hostname": _of(GuestName),
    "memory": _WHOLE,
    "swap": _WHOLE,
    "cores": _WHOLE,
    "description": _NOTES,
    "net[n]": _properties("name", "hwaddr", "type", "ip", "gw", "ip6", "gw6", *_CARD),
}
_VM: Forms = {
    "name": _of(GuestName),
    "memory": _WHOLE,
    "cores": _WHOLE,
    "sockets": _WHOLE,
    "description": _NOTES,
    "tags": _TAGS,
    "net[n]": rf"(?:{_MODELS})(?:=[0-9A-Fa-f:]{{17}})?,{_properties('queues', *_CARD)}",
    "ciuser": r"[a-z_][a-z0-9_-]*",
    "cipassword": _LINE,
    "sshkeys": r"[A-Za-z0-9%._~-]*",
    "ipconfig[n]": _properties("ip", "gw", "ip6", "gw6"),
    "nameserver": _ADDRESSES,
    "searchdomain": _DOMAINS,
}
_CHANGED: Forms = {
    "tags": _ANY_TAGS,
    "onboot": _FLAG,
    "delete": _NAMES,
    "revert": _NAMES,
    "digest": _DIGEST,
    "unused[n]": _NEVER_SET,
}
_DRIVE_PROPERTIES = _properties(
    "size", "iothread", "discard", "ssd", "cache", "backup", "replicate", "aio", "ro", "format"
)
_DRIVES: Forms = {
    f"{bus}[n]": rf"{_NEW_VOLUME}|{_OWN_VOLUME}(?:,{_DRIVE_PROPERTIES})?" for bus in ("scsi", "virtio", "sata", "ide")
}
_MOUNT_PROPERTIES = _properties("mp", "size", "backup", "replicate", "ro", "quota")
_MOUNTS: Forms = {"mp[n]": rf"{_NEW_VOLUME},{_MOUNTED}|{_OWN_VOLUME},{_MOUNT_PROPERTIES}"}
_CLONED: Forms = {
    "newid": _NUMBER,
    "full": _FLAG,
    "pool": _of(PoolId),
    "storage": _of(StorageId),
    "description": _NOTES,
    "target": _of(NodeName),
}
_GROWN: Forms = {"disk": _of(DiskName), "size": r"\d{1,6}G", "digest": _DIGEST}
_MOVED: Forms = {"storage": _of(StorageId), "delete": _FLAG}
_SHUT_DOWN: Forms = {"timeout": _WHOLE, "forceStop": _FLAG}
_SNAPSHOT: Forms = {"snapname": _of(SnapshotName), "description": _NOTES}
_NOTHING: Forms = {}
_LOG_LEVEL = "|".join(LogLevel)
_ACTION = "|".join(RuleAction)
#: A group's name is an action to PVE. What somebody else has written into a rule (names of IP sets and aliases) is put
#: back when a change is undone.
_RULE: Forms = {
    "type": "|".join(RuleType),
    "action": r"[A-Za-z][A-Za-z0-9_-]{1,19}",
    "enable": _FLAG,
    "macro": r"[A-Za-z0-9]{1,128}",
    "iface": r"net\d{1,2}",
    "source": r"[A-Za-z0-9+/:.,_-]{1,512}",
    "dest": r"[A-Za-z0-9+/:.,_-]{1,512}",
    "proto": r"[a-z0-9-]{1,20}",
    "sport": r"[A-Za-z0-9:,_-]{1,256}",
    "dport": r"[A-Za-z0-9:,_-]{1,256}",
    "icmp-type": r"[A-Za-z0-9/-]{1,40}",
    "log": _LOG_LEVEL,
    "comment": _LINE,
}
_CHANGED_RULE: Forms = {**_RULE, "moveto": _WHOLE, "delete": _NAMES, "digest": _DIGEST}
_FIREWALL: Forms = {
    **dict.fromkeys(("enable", "dhcp", "ndp", "radv", "macfilter", "ipfilter"), _FLAG),
    **dict.fromkeys(("policy_in", "policy_out"), _ACTION),
    **dict.fromkeys(("log_level_in", "log_level_out"), _LOG_LEVEL),
    "delete": r"[a-z_]+(?:,[a-z_]+)*",
    "digest": _DIGEST,
}


def _of_both(folder: str) -> Mapping[str, Forms]:
    return {
        f"PUT {folder}/resize": _GROWN,
        f"POST {folder}/template": _NOTHING,
        f"PUT {folder}/firewall/options": _FIREWALL,
        f"POST {folder}/firewall/rules": _RULE,
        f"PUT {folder}/firewall/rules/{{pos}}": _CHANGED_RULE,
        f"DELETE {folder}/firewall/rules/{{pos}}": {"digest": _DIGEST},
        f"POST {folder}/snapshot/{{snapname}}/rollback": _NOTHING,
        f"DELETE {folder}/snapshot/{{snapname}}": {"force": _FLAG},
        f"POST {folder}/status/shutdown": _SHUT_DOWN,
        f"POST {folder}/status/reboot": {"timeout": _WHOLE},
        **{f"POST {folder}/status/{command}": _NOTHING for command in ("start", "stop", "suspend", "resume")},
    }


#: Call -> parameter -> the form of its whole value.
CALLS: Mapping[str, Forms] = {
    "POST lxc": {
        **_CONTAINER,
        "vmid": _NUMBER,
        "unprivileged": "1",
        "ostemplate": rf"{_of(StorageId)}:vztmpl/[A-Za-z0-9._+-]+",
        "rootfs": _NEW_VOLUME,
        "pool": _of(PoolId),
        "ssh-public-keys": _LINES,
        "password": _LINE,
        "features": _FEATURES,
    },
    "PUT lxc/config": {**_CONTAINER, **_CHANGED, **_MOUNTS, "features": _FEATURES},
    "POST lxc/move_volume": {"volume": _of(DiskName), **_MOVED},
    "POST lxc/clone": {**_CLONED, "hostname": _of(GuestName)},
    "POST lxc/migrate": {"target": _of(NodeName), "restart": _FLAG},
    "POST lxc/snapshot": _SNAPSHOT,
    "DELETE lxc": {"purge": _FLAG, "force": _FLAG},
    "POST qemu": {
        **_VM,
        "vmid": _NUMBER,
        "scsihw": "virtio-scsi-single",
        "scsi0": rf"{_NEW_VOLUME}|{_IMPORTED}",
        "ide0": f"{_of(StorageId)}:cloudinit",
        "ide2": f"{_of(Volid)},media=cdrom",
        "boot": r"order=[a-z0-9]+(?:;[a-z0-9]+)*",
        "ostype": "l26",
        "agent": "1",
        "pool": _of(PoolId),
    },
    "PUT qemu/config": {**_VM, **_CHANGED, **_DRIVES},
    "POST qemu/move_disk": {"disk": _of(DiskName), **_MOVED},
    "POST qemu/clone": {**_CLONED, "name": _of(GuestName)},
    "POST qemu/migrate": {"target": _of(NodeName), "online": _FLAG, "with-local-disks": _FLAG},
    "POST qemu/snapshot": {**_SNAPSHOT, "vmstate": _FLAG},
    "POST qemu/status/reset": _NOTHING,
    "DELETE qemu": {"purge": _FLAG},
    **_of_both("lxc"),
    **_of_both("qemu"),
}

#: The same of making a guest of an archive, which PVE does with the call that makes one.
_RESTORED: Forms = {
    "vmid": _NUMBER,
    "storage": _of(StorageId),
    "pool": _of(PoolId),
    "description": _NOTES,
    "memory": _WHOLE,
    "cores": _WHOLE,
    "unique": "1",
    "force": "1",
}
RESTORES: Mapping[str, Forms] = {
    "POST lxc": {
        **_RESTORED,
        "ostemplate": rf"{_of(StorageId)}:backup/vzdump-lxc-[A-Za-z0-9._+-]+",
        "restore": "1",
        "unprivileged": "1",
        "hostname": _of(GuestName),
    },
    "POST qemu": {
        **_RESTORED,
        "archive": rf"{_of(StorageId)}:backup/vzdump-qemu-[A-Za-z0-9._+-]+",
        "name": _of(GuestName),
    },
}
