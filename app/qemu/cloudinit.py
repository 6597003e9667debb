"""What a machine is told at its first boot: cloud-init's NoCloud seed, a CD-ROM of its own for every machine.

Documents are written by a YAML library, so that whatever is in a value stays data; passwords are hashed before they are
written. Forms: cloud-init's NoCloud data source, cloud-config, and network configuration version 2.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import Any

import pycdlib
import yaml
from passlib.hash import sha512_crypt

from app.qemu.machines import MacAddress, MachineId

_LABEL = "CIDATA"


@dataclass(frozen=True)
class Card:
    """How a network card is set up; without addresses by DHCP."""

    mac: MacAddress
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    gateway: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    nameservers: tuple[IPv4Address | IPv6Address, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seed:
    """`password` is in clear here and nowhere after; `commands` run once, each as a line of a shell."""

    machine: MachineId
    hostname: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ssh_keys: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()


def documents(seed: Seed) -> Mapping[str, str]:
    """By file name. The salt of a password is new each time."""
    files = {
        "meta-data": _yaml({"instance-id": seed.machine, "local-hostname": seed.hostname}),
        "user-data": "#cloud-config\n" + _yaml(_user_data(seed)),
    }
    if seed.cards:
        cards = {f"card{number}": _card(card) for number, card in enumerate(seed.cards)}
        files["network-config"] = _yaml({"version": 2, "ethernets": cards})
    return files


def image(seed: Seed) -> bytes:
    """An ISO 9660 image with Joliet and Rock Ridge names, labelled CIDATA."""
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=_LABEL)
    for number, (name, text) in enumerate(documents(seed).items()):
        content = text.encode()
        disc.add_fp(io.BytesIO(content), len(content), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}")
    out = io.BytesIO()
    disc.write_fp(out)
    disc.close()
    return out.getvalue()


def write(seed: Seed, path: Path) -> None:
    """Whole, or not at all; an older one is replaced."""
    draft = path.with_name(f".{path.name}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o640), "wb") as file:
        file.write(image(seed))
    draft.chmod(0o640)
    os.replace(draft, path)


def _user_data(seed: Seed) -> dict[str, Any]:
    said: dict[str, Any] = {"hostname": seed.hostname, "preserve_hostname": False, "manage_etc_hosts": True}
    if seed.user is not None:
        user: dict[str, Any] = {
            "name": seed.user, "groups": ["sudo"], "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lock_passwd": seed.password is None,
        }  # fmt: skip
        if seed.password is not None:
            user["passwd"] = sha512_crypt.hash(seed.password)
        if seed.ssh_keys:
            user["ssh_authorized_keys"] = list(seed.ssh_keys)
        said["users"] = [user]
        said["ssh_pwauth"] = seed.password is not None
    else:
        if seed.ssh_keys:
            said["ssh_authorized_keys"] = list(seed.ssh_keys)
        if seed.password is not None:  # of the image's own user
            said["password"] = sha512_crypt.hash(seed.password)
            said["chpasswd"] = {"expire": False}
            said["ssh_pwauth"] = True
    if seed.packages:
        said["packages"] = list(seed.packages)
    if seed.commands:
        said["runcmd"] = list(seed.commands)
    return said


def _card(card: Card) -> dict[str, Any]:
    said: dict[str, Any] = {"match": {"macaddress": str(card.mac)}}
    if card.addresses:
        said["addresses"] = [str(address) for address in card.addresses]
    else:
        said["dhcp4"] = True
    routes = [
        {"to": "0.0.0.0/0" if gateway.version == 4 else "::/0", "via": str(gateway)}
        for gateway in (card.gateway, card.gateway6)
        if gateway is not None
    ]
    if routes:
        said["routes"] = routes
    servers = {"addresses": [str(server) for server in card.nameservers], "search": list(card.search)}
    if any(servers.values()):
        said["nameservers"] = {name: values for name, values in servers.items() if values}
    return said


def _yaml(document: Mapping[str, Any]) -> str:
    # ASCII, so that no character of a value can end a line for one reader and not for another.
    text: str = yaml.safe_dump(_plain(document), sort_keys=False, allow_unicode=False, width=1 << 20)
    return text


def _plain(value: Any) -> Any:
    """Our identifiers are strings of their own classes, which YAML's safe writer does not know."""
    match value:
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case str():
            return value if type(value) is str else "".join(value)
        case _:
            return value
