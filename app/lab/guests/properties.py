"""Property strings, `local-lvm:vm-100-disk-0,iothread=1,size=1G`: read and written in PVE's order.

PVE writes the default key bare and first, then the keys that must be there, then the others by name
(pve-common 9, PVE::JSONSchema::print_property_string).
"""

import re
import secrets
import uuid
from collections.abc import Mapping

from app.lab.storage.words import words

NET_MODELS = frozenset(
    words(
        "e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e i82551 i82557b i82559er ne2k_isa ne2k_pci "
        "pcnet rtl8139 virtio vmxnet3"
    )
)
_NEW_DISK = re.compile(r"^(?:([^/:\s]+):)?(\d+(?:\.\d+)?)$")


def parse(text: str, default_key: str = "") -> dict[str, str]:
    """The keys and values of a property string; a part without `=` belongs to the default key."""
    out: dict[str, str] = {}
    for part in text.split(","):
        key, sep, value = part.partition("=")
        if sep:
            out[key.strip()] = value.strip()
        elif part.strip():
            out[default_key] = part.strip()
    return out


def render(values: Mapping[str, str], default_key: str = "", first: tuple[str, ...] = ()) -> str:
    """The inverse of parse; `first` names the keys that the format demands."""
    parts = [values[default_key]] if default_key in values else []
    parts += [f"{key}={values[key]}" for key in sorted(first) if key in values]
    rest = sorted(key for key in values if key != default_key and key not in first)
    return ",".join(parts + [f"{key}={values[key]}" for key in rest])


def parse_drive(text: str) -> dict[str, str]:
    """A drive of a VM; `file` is the volume (`volume=` is its alias)."""
    values = parse(text, "file")
    if "volume" in values:
        values["file"] = values.pop("volume")
    return values


def render_drive(values: Mapping[str, str]) -> str:
    return render(values, "file")


def parse_mount(text: str) -> dict[str, str]:
    """`rootfs` or `mpN` of a container; `volume` is the volume."""
    return parse(text, "volume")


def render_mount(values: Mapping[str, str]) -> str:
    return render(values, "volume", ("mp",))


def is_cdrom(drive: Mapping[str, str]) -> bool:
    return drive.get("media") == "cdrom" or drive.get("file") in ("none", "cdrom")


def new_volume(volume: str) -> tuple[str, float] | None:
    """(storage, GiB) of a volume to be allocated, `local-lvm:8`; the storage may be empty. None for any other."""
    match = _NEW_DISK.match(volume)
    return (match[1] or "", float(match[2])) if match else None


def random_mac(prefix: str = "BC:24:11") -> str:
    """A unicast address of the cluster's prefix (`mac_prefix` of the datacenter options)."""
    have = [part for part in prefix.split(":") if part]
    fresh = [f"{byte:02X}" for byte in secrets.token_bytes(6 - len(have))]
    return ":".join([*have, *fresh]).upper()


def parse_qemu_net(text: str) -> dict[str, str]:
    """A network card of a VM with `model` and `macaddr` under their own names, however they were written."""
    values = parse(text, "model")
    for key in list(values):
        if key in NET_MODELS:
            values["macaddr"] = values.pop(key)
            values["model"] = key
    return values


def render_qemu_net(values: Mapping[str, str]) -> str:
    rest = {key: value for key, value in values.items() if key not in ("model", "macaddr")}
    head = f"{values['model']}={values['macaddr']}" if "macaddr" in values else values["model"]
    return ",".join([head, *(f"{key}={rest[key]}" for key in sorted(rest))])


def with_mac(text: str, prefix: str = "BC:24:11") -> str:
    """A VM's network card with an address: the given one, else a random one."""
    values = parse_qemu_net(text)
    return render_qemu_net({"macaddr": random_mac(prefix)} | values)


def parse_lxc_net(text: str) -> dict[str, str]:
    return parse(text)


def lxc_net(text: str, prefix: str = "BC:24:11") -> str:
    """A container's network card, complete: type veth and an address."""
    values = {"hwaddr": random_mac(prefix), "type": "veth"} | parse(text)
    values["hwaddr"] = values["hwaddr"].upper()
    return render(values, "", ("name",))


def fresh_mac(kind: str, text: str, prefix: str = "BC:24:11") -> str:
    """The same card with another address, as a clone gets."""
    if kind == "lxc":
        return render(parse(text) | {"hwaddr": random_mac(prefix)}, "", ("name",))
    return render_qemu_net(parse_qemu_net(text) | {"macaddr": random_mac(prefix)})


def fresh_uuid(text: str) -> str:
    """The same `smbios1` with another UUID, as a VM gets that is not the one it was copied from."""
    return render(parse(text) | {"uuid": str(uuid.uuid4())})
