"""Volume ids, `local:iso/debian.iso` or `local-lvm:vm-100-disk-0`: what their names say.

Every type of storage reads names in its own way (libpve-storage 9: Plugin, LVMPlugin, LvmThinPlugin).
"""

import re
from dataclasses import dataclass

from app.lab.numbers import number_of

FILE_TYPES = frozenset({"dir", "btrfs", "nfs", "cifs", "cephfs", "glusterfs"})
THIN_TYPES = frozenset({"lvmthin", "zfspool", "rbd", "btrfs"})
"""Types whose images take snapshots by themselves."""

COMPRESSIONS = {"0": "", "1": ".lzo", "gzip": ".gz", "lzo": ".lzo", "zstd": ".zst"}
FOLDERS = {
    "iso": "template/iso",
    "vztmpl": "template/cache",
    "backup": "dump",
    "snippets": "snippets",
    "import": "import",
    "images": "images",
    "rootdir": "private",
}
_BACKUP = re.compile(r"^[^/]+\.(tgz|(?:tar|vma)(?:\.(?:gz|lzo|zst|bz2))?)$")
_BACKUP_OWNER = re.compile(r"^vzdump-(?:openvz|lxc|qemu)-(\d+)-.+")
_TEMPLATE = re.compile(r"^[^/]+\.(tar\.(?:gz|xz|zst|bz2)|tar)$")
_IMAGE_FILE = re.compile(r"^(?:vm|base|subvol)-\d+-[^/\s]+\.(raw|qcow2|vmdk|subvol)$")
_IMPORT = re.compile(r"^[^/]+\.(ova|ovf|qcow2|raw|vmdk)$")
_LVM = re.compile(r"^[a-z][a-z0-9._-]*[a-z0-9]$", re.IGNORECASE)
_LVM_VOLUME = re.compile(r"^(vm|base|subvol|basevol)-(\d+)-\S+$")


class UnreadableName(Exception):
    """A volume name that the storage's type can not read; its text is PVE's."""


@dataclass(frozen=True)
class VolumeName:
    """What a volume name says.

    content: images, iso, vztmpl, backup, snippets or import (rootdir shows only once the owner is known);
    format: of the file, as lists show it; vmid: the owner; base: the template's volume that a linked clone rests on.
    """

    content: str
    name: str
    format: str
    vmid: int | None = None
    base: str | None = None


def split(volid: str) -> tuple[str, str] | None:
    """(storage, volume name), or None for a path or anything else."""
    match = re.match(r"^([a-z][a-z0-9_.-]*[a-z0-9]):(\S+)$", volid, re.IGNORECASE)
    return (match[1], match[2]) if match else None


def _file_image(volname: str) -> VolumeName | None:
    parts = volname.split("/")
    owner = number_of(parts[-2]) if len(parts) in (2, 4) else None
    if owner is None or number_of(parts[0]) is None:
        return None
    match = _IMAGE_FILE.match(parts[-1])
    if match is None:
        raise UnreadableName(f"unable to parse volume filename '{parts[-1]}'")
    base = "/".join(parts[:2]) if len(parts) == 4 else None
    return VolumeName("images", parts[-1], match[1], owner, base)


def _file_name(volname: str) -> VolumeName:
    if image := _file_image(volname):
        return image
    kind, _, name = volname.partition("/")
    if kind == "iso" and re.match(r"^[^/]+\.(iso|img)$", name, re.IGNORECASE):
        return VolumeName("iso", name, "iso")
    if kind == "vztmpl" and (match := _TEMPLATE.match(name)):
        return VolumeName("vztmpl", name, "tar" if match[1] == "tar" else "t" + match[1].removeprefix("tar."))
    if kind == "backup" and (match := _BACKUP.match(name)):
        owner = _BACKUP_OWNER.match(name)
        return VolumeName("backup", name, match[1], int(owner[1]) if owner else None)
    if kind == "snippets" and name and "/" not in name:
        return VolumeName("snippets", name, "snippet")
    if kind == "import" and (match := _IMPORT.match(name)):
        return VolumeName("import", name, match[1])
    raise UnreadableName(f"unable to parse directory volume name '{volname}'")


def _block_name(volname: str) -> VolumeName:
    if not _LVM.match(volname):
        raise UnreadableName(f"lvm name '{volname}' contains illegal characters")
    if match := _LVM_VOLUME.match(volname):
        return VolumeName("images", volname, "raw", int(match[2]))
    raise UnreadableName(f"unable to parse lvm volume name '{volname}'")


def read(storage_type: str, volname: str) -> VolumeName:
    """What a name says on a storage of this type. Raises UnreadableName."""
    return _file_name(volname) if storage_type in FILE_TYPES else _block_name(volname)


def path_of(storage_type: str, options: dict[str, object], volname: str) -> str:
    """Where the host keeps the volume, as `GET content/VOLUME` tells."""
    if storage_type not in FILE_TYPES:
        group = options.get("vgname") or options.get("pool") or "pve"
        return f"/dev/{group}/{volname}"
    root = options.get("path") or f"/mnt/pve/{options.get('storage', '')}"
    known = read(storage_type, volname)
    inner = f"{known.vmid}/{known.name}" if known.content == "images" else known.name
    return f"{root}/{FOLDERS[known.content]}/{inner}"


def image_name(storage_type: str, vmid: int, name: str) -> str:
    """The volume name of an image file or block device called `name`."""
    return f"{vmid}/{name}" if storage_type in FILE_TYPES else name


def disk_name(storage_type: str, vmid: int, number: int, image_format: str) -> str:
    """The volume name of disk N of a guest: `vm-100-disk-0`, or `100/vm-100-disk-0.qcow2` on file storages."""
    suffix = f".{image_format}" if storage_type in FILE_TYPES else ""
    return image_name(storage_type, vmid, f"vm-{vmid}-disk-{number}{suffix}")


def cleaned(filename: str) -> str:
    """An uploaded file's name as PVE stores it: no folders, odd characters become `_`."""
    name = re.split(r"[/\\]", filename)[-1]
    return re.sub(r"[^a-zA-Z0-9+._-]", "_", name)


def upload_fits(content: str, filename: str) -> bool:
    """Whether a file of this name may be uploaded or downloaded as this content."""
    if content == "iso":
        return re.search(r".\.(iso|img)$", filename, re.IGNORECASE) is not None
    if content == "vztmpl":
        return _TEMPLATE.match(filename) is not None
    return content == "import" and _IMPORT.match(filename) is not None
