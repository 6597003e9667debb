"""Network cards, addresses, keys and cloud-init, as they are asked for."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable
from typing import Any

from marshmallow import ValidationError, validate, validates_schema

from app.api.schemas.fields import (
    Named,
    Rate,
    Schema,
    Several,
    Text,
    Whole,
    is_printable,
)
from app.domain.guests import (
    CloudInit,
    Network,
)
from app.domain.identifiers import BridgeName, GuestName, MalformedIdentifier

_KEY_TYPES = frozenset(
    {
        "ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)  # fmt: skip


def check_address(text: str) -> None:
    if text == "dhcp":
        return
    try:
        if "/" not in text or "%" in text:
            raise ValueError
        ipaddress.ip_interface(text)
    except ValueError:
        raise ValidationError("must be dhcp or an address with its prefix, as 192.0.2.10/24") from None


def version_of(address: str | None) -> int | None:
    """Of a CIDR; None for dhcp, and where there is none."""
    return None if address in (None, "dhcp") else ipaddress.ip_interface(address).version


def _check_second_address(text: str) -> None:
    if text not in ("auto", "dhcp"):
        check_address(text)
        if version_of(text) != 6:
            raise ValidationError("must be auto, dhcp or an address of version 6 with its prefix")


def _each(check: Callable[[str], None]) -> Callable[[str], None]:
    """For a text of one or several words, separated by one blank each."""

    def check_words(text: str) -> None:
        for word in text.split(" "):
            check(word)

    return check_words


def _domain(text: str) -> None:
    try:
        GuestName.parse(text)
    except MalformedIdentifier:
        raise ValidationError("must be a DNS name") from None


def check_single_address(text: str) -> None:
    try:
        if "%" in text:
            raise ValueError
        ipaddress.ip_address(text)
    except ValueError:
        raise ValidationError("must be an IP address") from None


def _ssh_key(text: str) -> None:
    """One public key as it stands in authorized_keys, without options (sshd(8), AUTHORIZED_KEYS FILE FORMAT)."""
    words = text.split(" ", 2)
    if len(words) < 2 or words[0] not in _KEY_TYPES or not is_printable(text):
        raise ValidationError("must be a public key as `ssh-ed25519 AAAA... comment`")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except ValueError:
        raise ValidationError("must have its key in base64") from None
    kind = words[0].encode()
    if len(blob) < 32 or blob[: 4 + len(kind)] != len(kind).to_bytes(4, "big") + kind:
        raise ValidationError("must have a key of the type that it names")


def check_gateway(data: dict[str, Any]) -> None:
    """A gateway belongs to a fixed address of the same family."""
    gateway, address = data.get("gw"), data.get("ip", "dhcp")
    if gateway is None:
        return
    if address is None or address == "dhcp":
        raise ValidationError("needs a fixed ip", "gw")
    if ipaddress.ip_address(gateway).version != ipaddress.ip_interface(address).version:
        raise ValidationError("must be of the same family as ip", "gw")


class NetworkSchema(Schema):
    makes = Network

    bridge = Named(BridgeName, metadata={"description": "The tenant's first bridge if left out."})
    ip = Text(most=64, validate=check_address, metadata={"description": "`dhcp` or an address with its prefix."})
    gw = Text(most=64, validate=check_single_address)
    vlan = Whole(1, 4094)
    rate = Rate(10_240, metadata={"description": "MB/s."})

    @validates_schema
    def check_gateway(self, data: dict[str, Any], **_: Any) -> None:
        check_gateway(data)


def ssh_keys() -> Several:
    return Several(Text(least=1, most=8192, validate=_ssh_key), most=64)


class CloudInitSchema(Schema):
    makes = CloudInit

    user = Text(least=1, most=32, validate=validate.Regexp(r"^[a-z_][a-z0-9_-]*\Z", error="must be a Linux user name"))
    password = Text(
        least=5, most=128,
        metadata={"format": "password", "description": "Proxmox VE keeps its hash; or a hash of crypt(3)."},
    )  # fmt: skip
    ssh_keys = ssh_keys()
    ip = Text(most=64, validate=check_address, metadata={"description": "That of `net` if left out."})
    gw = Text(most=64, validate=check_single_address)
    ip6 = Text(
        most=64, validate=_check_second_address,
        metadata={"description": "Beside one of version 4: `auto`, `dhcp`, or one of version 6 with its prefix."},
    )  # fmt: skip
    gw6 = Text(most=64, validate=check_single_address)
    nameserver = Text(
        least=1,
        most=255,
        validate=_each(check_single_address),
        metadata={"description": "Or several, separated by blanks."},
    )
    searchdomain = Text(
        least=1, most=255, validate=_each(_domain), metadata={"description": "Or several, separated by blanks."}
    )

    @validates_schema
    def check_gateways(self, data: dict[str, Any], **_: Any) -> None:
        check_gateway(data)
        if "ip6" in data and version_of(data.get("ip")) == 6:
            raise ValidationError("goes beside an address of version 4", "ip6")
        gateway = data.get("gw6")
        if gateway is not None and data.get("ip6", "auto") in ("auto", "dhcp"):
            raise ValidationError("needs a fixed ip6", "gw6")
        if gateway is not None and ipaddress.ip_address(gateway).version != 6:
            raise ValidationError("must be of version 6", "gw6")
