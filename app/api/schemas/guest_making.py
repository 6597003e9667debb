"""What is asked for of a guest that is to be made or changed."""

from __future__ import annotations

import dataclasses
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from app.api.schemas.fields import (
    Flag,
    Lines,
    Named,
    Rate,
    Schema,
    Several,
    Text,
    Vmid,
    Whole,
)
from app.api.schemas.networks import (
    CloudInitSchema,
    NetworkSchema,
    check_address,
    check_gateway,
    check_single_address,
    ssh_keys,
    version_of,
)
from app.domain.errors import Invalid
from app.domain.guests import (
    CloneSpec,
    ContainerSpec,
    GuestChange,
    NetworkChange,
    Placement,
    VmSpec,
)
from app.domain.identifiers import BridgeName, GuestName, PoolId, StorageId, Tag, Volid

MIB_MOST = 16_777_216  # 16 TiB
CORES_MOST = 512
DISK_GB_MOST = 131_072  # 128 TiB


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
        if init is not None and net is not None and init.ip is None and init.ip6 and version_of(net.ip) == 6:
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
    ip = Text(most=64, validate=check_address, metadata={"description": "`dhcp` or an address with its prefix."})
    gw = Text(
        most=64, validate=check_single_address, metadata={"description": "Comes with `ip`; without it there is none."}
    )

    @validates_schema
    def check_gateway(self, data: dict[str, Any], **_: Any) -> None:
        check_gateway(data)


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
