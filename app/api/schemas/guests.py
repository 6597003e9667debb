"""Guests of both kinds: what is asked for, what they are, how they are listed."""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
from collections.abc import Callable
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from app.api.schemas.fields import (
    Flag,
    Lines,
    Moment,
    Named,
    QueryFlag,
    Rate,
    Schema,
    Several,
    Text,
    Vmid,
    Whole,
    is_printable,
)
from app.api.schemas.lists import PageQuerySchema, sort_by
from app.domain.errors import Invalid
from app.domain.guests import (
    CloneSpec,
    CloudInit,
    ContainerSpec,
    GuestChange,
    GuestFilter,
    GuestState,
    LogIn,
    Network,
    NetworkChange,
    Placement,
    Rebuild,
    Restart,
    VmSpec,
    Watch,
)
from app.domain.identifiers import BridgeName, GuestName, MalformedIdentifier, NodeName, PoolId, StorageId, Tag, Volid

MIB_MOST = 16_777_216  # 16 TiB
CORES_MOST = 512
DISK_GB_MOST = 131_072  # 128 TiB

_KEY_TYPES = frozenset(
    {
        "ssh-rsa", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)  # fmt: skip


# -- networks and keys


def _address(text: str) -> None:
    if text == "dhcp":
        return
    try:
        if "/" not in text or "%" in text:
            raise ValueError
        ipaddress.ip_interface(text)
    except ValueError:
        raise ValidationError("must be dhcp or an address with its prefix, as 192.0.2.10/24") from None


def _version(address: str | None) -> int | None:
    """Of a CIDR; None for dhcp, and where there is none."""
    return None if address in (None, "dhcp") else ipaddress.ip_interface(address).version


def _second_address(text: str) -> None:
    if text not in ("auto", "dhcp"):
        _address(text)
        if _version(text) != 6:
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


def _single_address(text: str) -> None:
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


def _check_gateway(data: dict[str, Any]) -> None:
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
    ip = Text(most=64, validate=_address, metadata={"description": "`dhcp` or an address with its prefix."})
    gw = Text(most=64, validate=_single_address)
    vlan = Whole(1, 4094)
    rate = Rate(10_240, metadata={"description": "MB/s."})

    @validates_schema
    def check_gateway(self, data: dict[str, Any], **_: Any) -> None:
        _check_gateway(data)


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
    ip = Text(most=64, validate=_address, metadata={"description": "That of `net` if left out."})
    gw = Text(most=64, validate=_single_address)
    ip6 = Text(
        most=64, validate=_second_address,
        metadata={"description": "Beside one of version 4: `auto`, `dhcp`, or one of version 6 with its prefix."},
    )  # fmt: skip
    gw6 = Text(most=64, validate=_single_address)
    nameserver = Text(
        least=1, most=255, validate=_each(_single_address), metadata={"description": "Or several, separated by blanks."}
    )
    searchdomain = Text(
        least=1, most=255, validate=_each(_domain), metadata={"description": "Or several, separated by blanks."}
    )

    @validates_schema
    def check_gateways(self, data: dict[str, Any], **_: Any) -> None:
        _check_gateway(data)
        if "ip6" in data and _version(data.get("ip")) == 6:
            raise ValidationError("goes beside an address of version 4", "ip6")
        gateway = data.get("gw6")
        if gateway is not None and data.get("ip6", "auto") in ("auto", "dhcp"):
            raise ValidationError("needs a fixed ip6", "gw6")
        if gateway is not None and ipaddress.ip_address(gateway).version != 6:
            raise ValidationError("must be of version 6", "gw6")


# -- creation


def _cores() -> Whole:
    return Whole(1, CORES_MOST)


def _memory() -> Whole:
    return Whole(16, MIB_MOST, metadata={"description": "MiB."})


def _swap() -> Whole:
    return Whole(0, MIB_MOST, metadata={"description": "MiB."})


def _tags() -> Several:
    return Several(Named(Tag), most=32)


def _wished_number() -> Vmid:
    return Vmid(metadata={"description": "A free one of the configured range if left out."})


def affinity() -> Several:
    about = "Rather on a node where guests of the tenant with one of these tags are."
    return Several(Named(Tag), most=32, metadata={"description": about})


def anti_affinity() -> Several:
    about = "Rather on a node where few guests of the tenant with one of these tags are; goes before `affinity`."
    return Several(Named(Tag), most=32, metadata={"description": about})


class GuestCreateSchema(Schema):
    name = Named(GuestName, required=True, metadata={"description": "A DNS name."})
    cores = _cores()
    memory = _memory()
    disk_gb = Whole(1, DISK_GB_MOST, metadata={"description": "GiB."})
    storage = Named(StorageId, metadata={"description": "Chosen by room if left out."})
    net = fields.Nested(NetworkSchema)
    tags = _tags()
    start = Flag(metadata={"description": "Start it when it is made."})
    tenant = Text(least=1, most=64, metadata={"description": "Id or name; needed where you are in several."})
    poolid = Named(PoolId, metadata={"description": "The tenant by its pool."})
    vmid = _wished_number()
    affinity = affinity()
    anti_affinity = anti_affinity()

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Any:
        named = {one.name: data.pop(one.name) for one in dataclasses.fields(Placement) if one.name in data}
        placement = Placement(**named)
        makes = type(self).makes
        assert makes is not None
        return makes(**data, placement=placement)


class ContainerCreateSchema(GuestCreateSchema):
    makes = ContainerSpec

    template = Text(
        least=1, most=255, required=True, metadata={"description": "Of the catalog (id or name), or a volid."}
    )
    swap = _swap()
    ssh_keys = ssh_keys()
    password = Text(
        least=5, most=128, metadata={"format": "password", "description": "Of root; none of a template guest."}
    )
    nesting = Flag()
    unprivileged = Flag(metadata={"description": "Every container is unprivileged; false is refused."})

    @post_load
    def make(self, data: dict[str, Any], **more: Any) -> Any:
        if not data.pop("unprivileged", True):
            raise Invalid(
                {"unprivileged": ["every container is unprivileged"]}, code="policy.unprivileged_only",
                remedy="Leave `unprivileged` out, or set it to true.",
            )  # fmt: skip
        return super().make(data, **more)


class VmCreateSchema(GuestCreateSchema):
    makes = VmSpec

    iso = Named(Volid, metadata={"description": "Boot from this image on a granted storage."})
    template = Text(least=1, most=64, metadata={"description": "Made of this template of the catalog: id or name."})
    image = Text(
        least=1,
        most=255,
        metadata={"description": "Its disk is a copy of this disk image: of the catalog, or a volid."},
    )
    cloud_init = fields.Nested(CloudInitSchema)

    @validates_schema
    def check_medium(self, data: dict[str, Any], **_: Any) -> None:
        given = [name for name in ("iso", "template", "image") if name in data]
        if len(given) > 1:
            raise ValidationError(f"{' and '.join(given)} exclude each other", given[0])

    @validates_schema
    def check_second_address(self, data: dict[str, Any], **_: Any) -> None:
        init, net = data.get("cloud_init"), data.get("net")
        if init is not None and net is not None and init.ip is None and init.ip6 and _version(net.ip) == 6:
            raise ValidationError({"ip6": ["goes beside an address of version 4"]}, "cloud_init")


class CloneSchema(Schema):
    makes = CloneSpec

    name = Named(GuestName, required=True, metadata={"description": "A DNS name."})
    full = Flag(metadata={"description": "With disks of its own; false links it to a template's, which must stay."})
    storage = Named(StorageId, metadata={"description": "Where the source has its disks, if left out."})
    poolid = Named(PoolId, metadata={"description": "Another of your tenants, by its pool; else the source's."})
    newid = _wished_number()


# -- change


class CardChangeSchema(Schema):
    """What is left out stays as it is; the card's MAC always does."""

    makes = NetworkChange

    bridge = Named(BridgeName)
    vlan = Whole(0, 4094, metadata={"description": "0: none."})
    rate = Rate(10_240, zero=True, metadata={"description": "MB/s; 0: unlimited."})


class NetworkChangeSchema(CardChangeSchema):
    ip = Text(most=64, validate=_address, metadata={"description": "`dhcp` or an address with its prefix."})
    gw = Text(most=64, validate=_single_address, metadata={"description": "Comes with `ip`; without it there is none."})

    @validates_schema
    def check_gateway(self, data: dict[str, Any], **_: Any) -> None:
        _check_gateway(data)


class GuestChangeSchema(Schema):
    """What is left out stays as it is."""

    makes = GuestChange

    name = Named(GuestName, metadata={"description": "A DNS name."})
    hostname = Named(GuestName, metadata={"description": "Another word for `name`."})
    cores = _cores()
    memory = _memory()
    tags = _tags()
    description = Lines(most=4096)
    onboot = Flag(metadata={"description": "Start it when its node starts."})
    disk_increment_gb = Whole(1, DISK_GB_MOST, metadata={"description": "GiB that its disk grows by; none shrinks."})

    @validates_schema
    def check_any(self, data: dict[str, Any], **_: Any) -> None:
        if not data:
            raise ValidationError("must name something to change")
        if "name" in data and "hostname" in data:
            raise ValidationError("name and hostname are the same", "hostname")

    @post_load
    def make(self, data: dict[str, Any], **more: Any) -> Any:
        if "hostname" in data:
            data["name"] = data.pop("hostname")
        return super().make(data, **more)


class ContainerChangeSchema(GuestChangeSchema):
    swap = _swap()
    net = fields.Nested(NetworkChangeSchema)


class VmChangeSchema(GuestChangeSchema):
    net = fields.Nested(CardChangeSchema)


@dataclasses.dataclass(frozen=True)
class RateLimit:
    rate_mbps: float
    interface: str


class RateLimitSchema(Schema):
    makes = RateLimit

    rate_mbps = Rate(10_240, zero=True, required=True, metadata={"description": "Megabytes a second; 0: unlimited."})
    interface = Text(
        load_default="net0", validate=validate.Regexp(r"^net[0-9]{1,2}\Z", error="must be a network card, as net0")
    )


# -- what a guest is


class GuestSchema(Schema):
    id = fields.String(required=True)
    vmid = fields.Integer(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(["vm", "ct"]))
    name = fields.String(required=True)
    tenant = fields.String(required=True)
    poolid = fields.String(required=True)
    cluster = fields.String(required=True)
    node = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf([state.value for state in GuestState]))
    cores = fields.Integer(required=True)
    memory = fields.Integer(required=True, metadata={"description": "MiB."})
    disk_gb = fields.Integer(required=True, metadata={"description": "GiB."})
    template = fields.Boolean(required=True, metadata={"description": "Whether it is a template."})
    made_from = fields.String(required=True, allow_none=True)
    tags = fields.List(fields.String(), required=True)
    addresses = fields.List(fields.String(), required=True)
    unprivileged = fields.Boolean(required=True, allow_none=True)
    locked = fields.Boolean(required=True)
    created_at = Moment(required=True)
    observed_at = Moment(required=True, allow_none=True)


class FileSystemSchema(Schema):
    mountpoint = fields.String(required=True)
    type = fields.String(required=True, metadata={"description": "Empty where nobody tells."})
    total = fields.Integer(required=True, metadata={"description": "Bytes."})
    used = fields.Integer(required=True, metadata={"description": "Bytes."})


class LiveSchema(Schema):
    """What PVE tells now: memory, disk and traffic in bytes, `cpu` a share of `cpus`, `uptime` in seconds."""

    status = fields.String(required=True)
    uptime = fields.Integer(required=True)
    cpus = fields.Float(required=True)
    cpu = fields.Float(required=True)
    memory = fields.Integer(required=True)
    memory_max = fields.Integer(required=True)
    disk = fields.Integer(required=True)
    disk_max = fields.Integer(required=True)
    net_in = fields.Integer(required=True)
    net_out = fields.Integer(required=True)
    addresses = fields.List(fields.String(), required=True)
    file_systems = fields.List(
        fields.Nested(FileSystemSchema), required=True,
        metadata={"description": "Of a VM as its agent tells them, of a container its root; empty where nobody tells."},
    )  # fmt: skip


class GuestStatusSchema(GuestSchema):
    """The guest, and what PVE tells about it now; null while it is being made."""

    live = fields.Nested(LiveSchema, required=True, allow_none=True)


class GuestConfigSchema(Schema):
    """PVE's configuration; `digest` is also the ETag."""

    data = fields.Dict(required=True)
    digest = fields.String(required=True)


@dataclasses.dataclass(frozen=True)
class Series:
    timeframe: str
    peaks: bool


class MetricsQuerySchema(Schema):
    timeframe = Text(load_default="hour", validate=validate.OneOf(["hour", "day", "week", "month", "year"]))
    of = Text(
        load_default="average", validate=validate.OneOf(["average", "max"]),
        metadata={"description": "Of what was measured between two points: the average, or the peak."},
    )  # fmt: skip

    @classmethod
    def makes(cls, timeframe: str, of: str) -> Series:
        return Series(timeframe, peaks=of == "max")


def _figure(told: str) -> fields.Float:
    return fields.Float(required=True, allow_none=True, metadata={"description": told})


class MetricPointSchema(Schema):
    time = Moment(required=True)
    cpu = _figure("0..1, of `cpus`.")
    cpus = _figure("Cores.")
    memory = _figure("Bytes.")
    memory_max = _figure("Bytes.")
    disk = _figure("Bytes; PVE tells 0 for VMs.")
    disk_max = _figure("Bytes.")
    net_in = _figure("Bytes a second.")
    net_out = _figure("Bytes a second.")
    disk_read = _figure("Bytes a second.")
    disk_write = _figure("Bytes a second.")


# -- what is asked of lists and actions


class GuestQuerySchema(PageQuerySchema):
    filters: ClassVar[Any] = GuestFilter

    sort = sort_by("created_at", "name", "vmid", "state", "cores", "memory")
    poolid = Named(PoolId)
    tenant = Text(least=1, most=64, metadata={"description": "Id or name."})
    node = Named(NodeName)
    status = Text(validate=validate.OneOf([state.value for state in GuestState]))
    name = Text(least=1, most=63, metadata={"description": "A part of the name."})
    tag = Named(Tag)
    template = Text(validate=validate.OneOf(["true", "false", "1", "0"]))
    unprivileged = Text(
        validate=validate.OneOf(["true", "false", "1", "0"]),
        metadata={"description": "false shows the containers that somebody made privileged behind our back."},
    )


@dataclasses.dataclass(frozen=True)
class Stop:
    force: bool
    timeout: int


class StopSchema(Schema):
    makes = Stop

    force = Flag(load_default=False, metadata={"description": "Cut the power."})
    timeout = Whole(1, 600, load_default=60, metadata={"description": "Seconds to shut down in."})


class TcpSchema(Schema):
    port = Whole(1, 65535, required=True)
    host = Text(
        most=64, validate=_single_address,
        metadata={"description": "An address of the guest's own; any of them if left out."},
    )  # fmt: skip


class WatchSchema(Schema):
    makes = Watch

    tcp = fields.Nested(TcpSchema, metadata={"description": "Without it the guest only has to run."})
    timeout = Whole(1, 3600, load_default=300, metadata={"description": "Seconds from its start, delay included."})
    interval = Whole(1, 300, load_default=10, metadata={"description": "Seconds between two looks."})
    startup_delay = Whole(0, 3600, load_default=0, metadata={"description": "Seconds before the first look."})

    @validates_schema
    def check_delay(self, data: dict[str, Any], **_: Any) -> None:
        if data["startup_delay"] >= data["timeout"]:
            raise ValidationError("must be less than timeout, which counts it in", "startup_delay")

    @post_load
    def make(self, data: dict[str, Any], **more: Any) -> Any:
        tcp = data.pop("tcp", {})
        if "host" in tcp:
            tcp["host"] = str(ipaddress.ip_address(tcp["host"]))
        return super().make({**data, **tcp}, **more)


class RestartSchema(Schema):
    makes = Restart

    watch = fields.Nested(WatchSchema)
    cooldown = Whole(
        0, 86_400, load_default=0,
        metadata={"description": "Seconds after its success in which the guest is not restarted again."},
    )  # fmt: skip
    shutdown_timeout = Whole(1, 600, load_default=60, metadata={"description": "Seconds to shut down in."})


class GuestLogInSchema(Schema):
    makes = LogIn

    password = Text(least=5, most=128, metadata={"format": "password"})
    ssh_keys = ssh_keys()

    @validates_schema
    def check_any(self, data: dict[str, Any], **_: Any) -> None:
        if "password" not in data and "ssh_keys" not in data:
            raise ValidationError("must be given, or ssh_keys", "password")


class RebuildSchema(Schema):
    template = Text(
        least=1, most=255, required=True,
        metadata={"description": "Of the catalog (id or name); for a container also a volid."},
    )  # fmt: skip
    password = Text(least=5, most=128, metadata={"format": "password"})
    ssh_keys = ssh_keys()
    start = Flag(load_default=False, metadata={"description": "Start it when it is made."})

    @classmethod
    def makes(cls, template: str, start: bool, **log_in: Any) -> Rebuild:
        return Rebuild(template, LogIn(**log_in), start)


class MigrateSchema(Schema):
    node = Named(NodeName, required=True, metadata={"description": "Where the guest is to be."})


class DeleteQuerySchema(Schema):
    purge = QueryFlag(load_default=False, metadata={"description": "Remove its backups and job entries, too."})
    force = QueryFlag(load_default=False, metadata={"description": "Stop it first if it runs."})


class CascadeSchema(Schema):
    cascade = QueryFlag(load_default=False, metadata={"description": "Delete the tenant's guests, too."})
