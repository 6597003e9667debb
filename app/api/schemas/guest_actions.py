"""What is asked for when something is done to a guest that is there."""

from __future__ import annotations

import dataclasses
import ipaddress
from typing import Any

from marshmallow import ValidationError, fields, post_load, validates_schema

from app.api.schemas.fields import (
    Flag,
    Named,
    QueryFlag,
    Schema,
    Text,
    Whole,
)
from app.api.schemas.networks import check_single_address, ssh_keys
from app.domain.guests import (
    LogIn,
    Rebuild,
    Restart,
    Watch,
)
from app.domain.identifiers import NodeName


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
        most=64, validate=check_single_address,
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
