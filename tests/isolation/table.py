"""What the generated tests must be told: what each id means, who may what, and what is exempted for which reason.

A field that looks like an id and stands in neither table fails a test; so does an exemption too many.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.isolation.document import ENTRY, Field, Route
from tests.isolation.scenes import Scenes

Pairs = Sequence[tuple[Any, Any]]
"""What is another tenant's, beside what is not there at all, in the same form."""

MALFORMED = ("100/../101", "..%2f..", "%00", "١٢٣٤", "-1", "99999999999999999999", "a" * 300)
MALFORMED_IN_BODIES: tuple[Any, ...] = (*MALFORMED, "", "\0", -1, 2**64 - 1, 1.5, True, None, [], ["x"], {}, {"id": 1})


@dataclass(frozen=True)
class Reference:
    """`own` is the stranger's, to stand in a list beside a foreign one: all of them are refused then (L6).

    `instead_of` are members that may not stand beside it in a body.
    """

    pairs: Callable[[Scenes], Pairs]
    own: str | None = None
    instead_of: tuple[str, ...] = ()


def _missing() -> str:
    return str(uuid.uuid4())


def _of_path(segment: str) -> Reference:
    """Each form in which the victim's can be named; a missing one has the same form."""
    return Reference(lambda scenes: [(own, _like(own)) for own in scenes.victim.ids[segment]])


def _like(given: str) -> str:
    if given.isdigit():
        return "19998"
    if given.startswith("UPID:"):
        return given.replace("@pve!", "-gone@pve!")
    if given in ("mp0", "scsi1"):
        return "sata5"
    if ":" in given:
        return "local-lvm:vm-19998-disk-9"
    try:
        uuid.UUID(given)
    except ValueError:
        return f"no-such-{uuid.uuid4().hex[:8]}"
    return _missing()


#: The segment before an id in a path -> what it is.
PATHS: Mapping[str, Reference] = {
    name: _of_path(name)
    for name in (
        "nodes",
        "content",
        "tasks",
        "pools",
        "storages",
        "tenants",
        "members",
        "users",
        "cts",
        "vms",
        "operations",
        "snapshots",
        "disks",
        "backups",
        "backup-schedules",
        "rules",
        "security-groups",
        "templates",
        "flavors",
        "api-keys",
        "drift",
        "plans",
        "groups",
        "resources",
        "images",
    )
}

#: The name of a member of a body or a query -> what it is. A dotted name is asked for first.
FIELDS: Mapping[str, Reference] = {
    "tenant": Reference(lambda s: [(own, _like(own)) for own in s.victim.ids["tenants"]]),
    "poolid": Reference(lambda s: [(s.victim.tenant["poolid"], "no-such-pool")]),
    "guests": Reference(lambda s: [(s.victim.ids["cts"][0], _missing()), (s.victim.ids["vms"][0], _missing())]),
    "guest": Reference(lambda s: [(s.victim.ids["cts"][0], _missing()), (s.victim.ids["vms"][0], _missing())]),
    "group": Reference(
        lambda s: [(s.victim.ids["security-groups"][1], "no-such-group")], instead_of=("type", "action", "macro")
    ),
    "user": Reference(lambda s: [(s.victim.ids["users"][0], _missing())]),
    # the house of these tests has one cluster: a foreign one is in tests/proxmox/test_clusters.py
    "cluster": Reference(lambda _: [("no-such-one", "no-such-cluster")]),
    "tenants": Reference(lambda s: [(own, _like(own)) for own in s.victim.ids["tenants"]]),
    "storage": Reference(lambda s: [(s.foreign_storage, "no-such")]),
    "default_storage": Reference(lambda s: [(s.foreign_storage, "no-such")]),
    "default_bridge": Reference(lambda s: [(s.foreign_bridge, "vmbr77")]),
    "default_storage_pool": Reference(lambda s: [(s.foreign_storage, "no-such")]),
    "default_network_bridge": Reference(lambda s: [(s.foreign_bridge, "vmbr77")]),
    "plan": Reference(lambda s: [(own, _like(own)) for own in s.victim.ids["plans"]]),
    "storages": Reference(lambda s: [(s.foreign_storage, "no-such")], own="local-lvm"),
    "bridge": Reference(lambda s: [(s.foreign_bridge, "vmbr77")]),
    "bridges": Reference(lambda s: [(s.foreign_bridge, "vmbr77")], own="vmbr0"),
    "template": Reference(
        lambda s: [
            (s.unpublished["ct"], _missing()),
            (s.unpublished["vm"], _missing()),
            (s.victim.volid, "local-lvm:vm-19998-disk-0"),
        ]
    ),
    "template_id": Reference(lambda s: [(s.unpublished["ct"], _missing()), (s.unpublished["vm"], _missing())]),
    "iso": Reference(lambda s: [(s.victim.volid, "local-lvm:vm-19998-disk-0")], instead_of=("template", "image")),
    "image": Reference(
        lambda s: [(s.unpublished["vm"], _missing()), (s.victim.volid, "local-lvm:vm-19998-disk-0")],
        instead_of=("template", "iso"),
    ),
}

#: Looks like an id and is none.
PLAIN: Mapping[str, str] = {
    "name": "what the new thing is to be called, or a part of a name",
    "hostname": "the same of a container",
    "filename": "the same of a file",
    "at": "a time of day",
    "url": "an address in the world, judged by policy",
    "path": "where a container mounts its own new disk",
    "sha256": "what the bytes of a file come to",
    "checksum": "what the bytes of a file come to",
    "tag": "a word of the caller's own guests",
    "tags": "words of the new guest",
    "affinity": "words of the tenant's own guests",
    "anti_affinity": "the same",
    "node": "narrows the caller's own guests",
    "cloud_init.user": "a user inside the guest",
    "login": "the same",
    "ssh_keys": "a public key itself",
    "source": "addresses that a firewall rule is about; of a template what the cluster has, named by administrators",
    "sources": "the same of several templates",
    "templates.volid": "the same of several templates",
    "proxmox_template_volid": "the same of one",
    "logo_url": "where a browser finds a picture",
    "flavor": "a named size, of the house's",
    "flavors": "the same, which a plan allows",
    "newid": "a number that is wished for, and taken by whomever, as `vmid`",
    "interface": "a network card of the caller's own guest",
}

#: Members that foreign and missing ones cannot look the same for. This table may only shrink.
EXEMPT_FIELDS: Mapping[str, str] = {
    "vmid": "a number that is wished for, and taken by whomever; 409 as in PVE, whose numbers all tenants share",
    "username": "a person to be made a member: users are the house's, not a tenant's",
}

#: Operations that a kind of caller need not be refused. This table may only shrink.
EXEMPT: Mapping[str, str] = {
    "POST /api/auth/login": "nobody is logged in before it",
    "POST /api/auth/refresh": "has a token of its own",
    "GET /api/health": "for load balancers; tells nothing secret",
    "GET /api/ready": "for load balancers; tells nothing secret",
    "GET /api/auth/me": "who am I: for API keys too, of which it tells only whose they are",
    "POST /api/auth/logout": "one's own log-in",
    "POST /api/auth/change-password": "one's own password",
    "POST /api/api-keys": "one's own keys, allowed no more than oneself",
    "DELETE /api/api-keys/{key}": "one's own keys",
}
PUBLIC = frozenset([*EXEMPT][:4])
OWN = frozenset([*EXEMPT][4:])

#: Who is no administrator of the house is refused.
ADMINISTRATORS = frozenset(
    {
        "GET /api/users", "POST /api/users", "GET /api/users/{user}", "PATCH /api/users/{user}",
        "DELETE /api/users/{user}", "POST /api/tenants", "DELETE /api/tenants/{tenant}",
        "GET /api/qemu/bridges", "GET /api/qemu/interfaces",
        "GET /api/proxmox/nodes/{node}/status", "GET /api/proxmox/nodes/{node}/version",
        "GET /api/proxmox/nodes/{node}/network", "GET /api/proxmox/nodes/{node}/services",
        "GET /api/proxmox/nodes/{node}/tasks", "POST /api/proxmox/storages/{storage}/upload",
        "POST /api/proxmox/storages/{storage}/download-url",
        "PUT /api/tenants/{tenant}/quota", "POST /api/operations/{operation}/resolve",
        "POST /api/proxmox/cts/{guest}/migrate", "POST /api/proxmox/vms/{guest}/migrate",
        "POST /api/flavors", "PUT /api/flavors/{flavor}", "DELETE /api/flavors/{flavor}",
        "POST /api/templates", "GET /api/templates/scan", "POST /api/templates/import",
        "PUT /api/templates/{template}", "DELETE /api/templates/{template}", "POST /api/templates/{template}/toggle",
        "POST /api/proxmox/security-groups", "PUT /api/proxmox/security-groups/{group}",
        "DELETE /api/proxmox/security-groups/{group}",
        "POST /api/plans", "PUT /api/plans/{plan}", "DELETE /api/plans/{plan}", "PUT /api/tenants/{tenant}/plan",
        "GET /api/groups", "POST /api/groups", "GET /api/groups/{group}", "PUT /api/groups/{group}",
        "DELETE /api/groups/{group}", "GET /api/groups/{group}/users", "GET /api/groups/{group}/tenants",
        "PUT /api/groups/{group}/users/{user}", "DELETE /api/groups/{group}/users/{user}",
        "PUT /api/groups/{group}/tenants/{tenant}", "DELETE /api/groups/{group}/tenants/{tenant}",
        "GET /api/admin/groups", "POST /api/admin/groups", "PUT /api/admin/groups/{group}",
        "DELETE /api/admin/groups/{group}",
        "GET /api/admin/users", "PUT /api/admin/users/{user}/quota",
        "GET /api/admin/templates", "GET /api/admin/templates/scan", "POST /api/admin/templates/import",
        "PUT /api/admin/templates/{template}", "DELETE /api/admin/templates/{template}",
        "PUT /api/admin/templates/{template}/toggle",
        "GET /api/catalog/admin/templates", "POST /api/catalog/admin/templates",
        "PUT /api/catalog/admin/templates/{template}", "DELETE /api/catalog/admin/templates/{template}",
        "POST /api/drift/{drift}/adopt", "POST /api/drift/{drift}/forget", "POST /api/drift/{drift}/repair",
    }
)  # fmt: skip
#: What a worker saw of this host. Where it has no libvirt, who may look is told so.
OF_THE_HOST = frozenset({"GET /api/qemu/host", "GET /api/qemu/bridges", "GET /api/qemu/interfaces"})
#: Of the changes outside what is about guests alone, an operator may make these; all others are refused to him.
OPERATORS = frozenset(
    {
        "POST /api/operations/{operation}/cancel", "POST /api/deployments", "POST /api/qemu/images",
        "DELETE /api/qemu/images/{image}",
    }
)  # fmt: skip

_NOUNS = frozenset(
    {
        "backup", "bridge", "cluster", "disk", "flavor", "grant", "group", "guest", "image", "iso", "key", "member",
        "network", "newid", "node", "operation", "plan", "pool", "snapshot", "source", "storage", "target", "task",
        "template", "tenant", "token", "upid", "user", "username", "vm", "vms", "ct", "cts", "volume", "zone",
    }
)  # fmt: skip


def looks_like_an_id(field: Field) -> bool:
    if field.place == "path":
        return True
    if "enum" in field.schema or field.schema.get("format") == "password":
        return False
    word = field.names[-1].split("_")[-1].lower()
    if word.endswith(("id", "ids")):
        return True
    if "integer" in field.schema.get("type", ()) and field.steps[-1] != ENTRY:
        return False  # how many, or how much
    return (
        word in _NOUNS
        or word.removesuffix("s") in _NOUNS
        or field.schema.get("format") == "uuid"
        or "pattern" in field.schema
    )


def reference(field: Field) -> Reference | None:
    """What the id in this field means; None where it is none. Raises LookupError where nobody has said."""
    if field.place == "path":
        return PATHS[field.steps[0]]
    for name in (".".join(field.names), field.names[-1]):
        if name in FIELDS:
            return FIELDS[name]
        if name in PLAIN or name in EXEMPT_FIELDS:
            return None
    if looks_like_an_id(field):
        raise LookupError(f"{field}: say in tests/isolation/table.py what this id means")
    return None


def may_be_operators(route: Route) -> bool:
    return str(route) in OPERATORS or route.path.startswith(("/api/proxmox/", "/api/provisioning/"))
