"""Identifiers, parsed before they become part of a path, a query or a PVE parameter.

Every class is a `str` (or `int`) that can only be made by `parse`, so a value of the type is proof of its form.
Forms are PVE 9.1's own (formats `pve-node`, `pve-vmid`, `pve-poolid`, `pve-storage-id`, `pve-volume-id`).
"""

from __future__ import annotations

import re
from typing import ClassVar, Self

VMID_MIN = 100
VMID_MAX = 999_999_999


class MalformedIdentifier(ValueError):
    """A text is not an identifier of the kind it was given for; `kind` names that kind."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"not a valid {kind}")
        self.kind = kind


class Identifier(str):
    """A text with a proven form. Raises `MalformedIdentifier` when it has another one."""

    kind: ClassVar[str]
    form: ClassVar[re.Pattern[str]]
    max_length: ClassVar[int] = 64
    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        if len(text) > cls.max_length or not cls.form.fullmatch(text):
            raise MalformedIdentifier(cls.kind)
        return cls(text)


class NodeName(Identifier):
    kind = "node name"
    form = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?", re.ASCII)


class PoolId(Identifier):
    """One segment of a PVE pool path; Poolhouse makes no nested pools."""

    kind = "pool id"
    form = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class StorageId(Identifier):
    kind = "storage id"
    form = re.compile(r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]", re.ASCII)


class BridgeName(Identifier):
    kind = "bridge name"
    form = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*", re.ASCII)
    max_length = 15


class GuestName(Identifier):
    """A guest's name: one or more DNS labels, as PVE asks of `name` and `hostname`."""

    kind = "guest name"
    form = re.compile(
        r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
    )
    max_length = 63


class SnapshotName(Identifier):
    """As PVE takes it; some words are PVE's own."""

    kind = "snapshot name"
    form = re.compile(r"(?!(?:current|pending|vzdump)$)[A-Za-z][A-Za-z0-9_-]+", re.ASCII)
    max_length = 40


class DiskName(Identifier):
    """What a guest's configuration calls one of its disks."""

    kind = "disk name"
    form = re.compile(r"rootfs|(?:mp|scsi|virtio|sata|ide)(?:0|[1-9]\d{0,2})", re.ASCII)


class SecurityGroupName(Identifier):
    """As PVE takes it; unique in its cluster."""

    kind = "security group name"
    form = re.compile(r"[A-Za-z][A-Za-z0-9_-]+", re.ASCII)
    max_length = 18


class Tag(Identifier):
    """A guest's tag, lower case as PVE stores it."""

    kind = "tag"
    form = re.compile(r"[a-z0-9_][a-z0-9_.+-]*", re.ASCII)


class PveUserId(Identifier):
    """`user@realm`."""

    kind = "PVE user id"
    form = re.compile(r"[^\s:/@!\x00-\x1f]{1,47}@[A-Za-z][A-Za-z0-9._-]+", re.ASCII)


class TokenId(Identifier):
    """`user@realm!token`."""

    kind = "PVE token id"
    form = re.compile(r"[^\s:/@!\x00-\x1f]{1,47}@[A-Za-z][A-Za-z0-9._-]+![A-Za-z][A-Za-z0-9._-]+", re.ASCII)
    max_length = 128

    @property
    def user(self) -> PveUserId:
        return PveUserId(self.split("!", 1)[0])

    @property
    def name(self) -> str:
        return self.split("!", 1)[1]


class Volid(Identifier):
    """`storage:path`, as `local:vztmpl/debian-12.tar.zst` or `local-lvm:vm-100-disk-0`."""

    kind = "volume id"
    form = re.compile(r"[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]:(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._+/-]*", re.ASCII)
    max_length = 255

    @property
    def storage(self) -> StorageId:
        return StorageId(self.split(":", 1)[0])

    @property
    def folder(self) -> str:
        """Of a file what it is, in PVE's words: `iso`, `vztmpl`, `backup`, `import`; of others nothing certain."""
        return self.split(":", 1)[1].partition("/")[0]


class MediaName(Identifier):
    """The name of an ISO image, of a container's template or of a VM's disk image on a storage: as it will stand
    there, nothing cleaned."""

    kind = "file name"
    form = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._+-]*\.(?:iso|img|tar\.(?:gz|xz|zst)|qcow2|raw|vmdk)", re.ASCII)
    max_length = 128


class Upid(Identifier):
    """A PVE task's id: `UPID:node:pid:pstart:starttime:type:id:user:` (facts of PVE 9.1; numbers are hexadecimal)."""

    kind = "task id"
    form = re.compile(
        r"UPID:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,16}:[0-9A-Fa-f]{8}:[A-Za-z0-9_-]+:[^:\s/]*:[^:\s/]+:",
        re.ASCII,
    )
    max_length = 255

    @property
    def node(self) -> NodeName:
        return NodeName(self.split(":")[1])

    @property
    def started_at(self) -> int:
        """Seconds since 1970, on the node's clock."""
        return int(self.split(":")[4], 16)

    @property
    def task_type(self) -> str:
        return self.split(":")[5]

    @property
    def subject(self) -> str:
        """What the task works on: a vmid for guests, else a storage, a node or nothing."""
        return self.split(":")[6]

    @property
    def user(self) -> str:
        """Who started it: `user@realm`, or `user@realm!token`."""
        return self.split(":")[7]


class VmId(int):
    """A guest's number inside its cluster, 100..999999999."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: str | int) -> VmId:
        if isinstance(value, bool) or (
            isinstance(value, str) and not re.fullmatch(r"[1-9][0-9]{2,8}", value, re.ASCII)
        ):
            raise MalformedIdentifier("vmid")
        number = int(value)
        if not VMID_MIN <= number <= VMID_MAX:
            raise MalformedIdentifier("vmid")
        return cls(number)
