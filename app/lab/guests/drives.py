"""Which keys of a configuration are disks, and in which order PVE walks over them."""

import re
from collections.abc import Iterator, Mapping

from app.lab.guests import properties

Config = Mapping[str, str | int]

QEMU_DRIVES = (
    *(f"ide{n}" for n in range(4)),
    *(f"scsi{n}" for n in range(31)),
    *(f"virtio{n}" for n in range(16)),
    *(f"sata{n}" for n in range(6)),
    "efidisk0",
    "tpmstate0",
)
_QEMU_ORDER = {name: place for place, name in enumerate(QEMU_DRIVES)}
_MOUNT = re.compile(r"^mp(\d+)$")
_UNUSED = re.compile(r"^unused(\d+)$")


def is_drive(key: str) -> bool:
    """Whether the key is a drive of a VM (`unusedN` is none)."""
    return key in _QEMU_ORDER


def is_mount(key: str) -> bool:
    """Whether the key is `rootfs` or a mount point of a container."""
    return key == "rootfs" or _MOUNT.match(key) is not None


def is_unused(key: str) -> bool:
    return _UNUSED.match(key) is not None


def is_disk(kind: str, key: str) -> bool:
    return is_mount(key) if kind == "lxc" else is_drive(key)


def _mount_place(key: str) -> int:
    return -1 if key == "rootfs" else int(key[2:])


def disk_keys(kind: str, config: Mapping[str, object]) -> list[str]:
    """The disk keys of a configuration in the order in which PVE allocates and copies them."""
    keys = [key for key in config if is_disk(kind, key)]
    return sorted(keys, key=_mount_place if kind == "lxc" else _QEMU_ORDER.__getitem__)


def parse_disk(kind: str, text: str) -> dict[str, str]:
    """A disk with its volume under `file`, whatever the kind of the guest."""
    if kind == "lxc":
        values = properties.parse_mount(text)
        if "volume" in values:
            values["file"] = values.pop("volume")
        return values
    return properties.parse_drive(text)


def render_disk(kind: str, values: Mapping[str, str]) -> str:
    if kind == "lxc":
        rest = dict(values)
        return properties.render_mount({"volume": rest.pop("file"), **rest})
    return properties.render_drive(values)


def volume_of(kind: str, key: str, value: str | int) -> str | None:
    """The volume id that a key names; None for `none`, `cdrom` and paths of the host."""
    text = str(value)
    volume = text if is_unused(key) or key == "vmstate" else parse_disk(kind, text).get("file", "")
    return volume if ":" in volume and not volume.startswith("/") else None


def volumes(kind: str, config: Config) -> Iterator[tuple[str, str]]:
    """(key, volume id) of every volume that a configuration names, unused ones and a saved memory included."""
    named = [*disk_keys(kind, config), *sorted(key for key in config if is_unused(key) or key == "vmstate")]
    for key in named:
        if volume := volume_of(kind, key, config[key]):
            yield key, volume


def is_cloudinit(drive: Mapping[str, str]) -> bool:
    """Whether the drive is the one that PVE makes for cloud-init (`:cloudinit`, then `vm-100-cloudinit`)."""
    name = drive.get("file", "").rpartition("/")[2].rpartition(":")[2]
    return name == "cloudinit" or (name.startswith("vm-") and "-cloudinit" in name)


def own_volumes(kind: str, vmid: int, config: Config) -> Iterator[tuple[str, str]]:
    """(key, volume id) of the volumes that belong to the guest: not isos, not what another guest owns."""
    for key, volume in volumes(kind, config):
        if re.search(rf"[:/](?:vm|base|subvol|basevol)-{vmid}-", volume):
            yield key, volume


def free_unused(config: Mapping[str, object]) -> str:
    """The first `unusedN` that is free."""
    taken = set(config)
    return next(f"unused{n}" for n in range(256) if f"unused{n}" not in taken)


def first_disk(config: Config, *, cdrom: bool) -> str | None:
    """The first disk, or the first CD drive, that a VM could boot from."""
    for key in QEMU_DRIVES:
        if key in ("efidisk0", "tpmstate0") or key not in config:
            continue
        if properties.is_cdrom(properties.parse_drive(str(config[key]))) == cdrom:
            return key
    return None


def boot_order(config: Config) -> str:
    """The `boot` value of a new VM: its first disk, first CD drive, first network card; a blank where none is there."""
    nets = sorted((key for key in config if re.match(r"^net\d+$", key)), key=lambda key: int(key[3:]))
    found = [first_disk(config, cdrom=False), first_disk(config, cdrom=True), *nets[:1]]
    return written_order([device for device in found if device])


def boot_devices(boot: str) -> list[str]:
    """The devices of an `order=`; none of the older ways to name them."""
    order = properties.parse(boot, "legacy").get("order", "")
    return [name for name in re.split(r"[,; ]+", order) if name]


def written_order(devices: list[str]) -> str:
    """The `boot` value of these devices."""
    return "order=" + ";".join(devices) if devices else " "


def without_boot_device(boot: str, device: str) -> str:
    """The `boot` value once a device is gone."""
    if not boot.startswith("order="):
        return boot
    return written_order([name for name in boot_devices(boot) if name != device])


def image_volumes(kind: str, config: Config) -> list[str]:
    """The volumes of a configuration's disks, CDs left out."""
    found = []
    for key in disk_keys(kind, config):
        volid = volume_of(kind, key, config[key])
        if volid and not (kind == "qemu" and properties.is_cdrom(parse_disk(kind, str(config[key])))):
            found.append(volid)
    return found
