"""A victim with everything that can be named, a stranger with the same, and callers of every kind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import jwt
import sqlalchemy as sa

from app.db.models import ApiKey, Template
from app.db.session import Database
from tests.house import PASSWORD, Caller, House, container, iso, vm, wait_for

#: Guests that nobody made here, in a scene's pool.
_FOUNDLINGS = count(40_000)
UNSIGNED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."


@dataclass(frozen=True)
class Scene:
    """A tenant with a guest of each kind. `ids`: the segment before an id in a path -> each form of this tenant's;
    of backups and their schedules that of the container, then that of the VM."""

    tenant: Mapping[str, Any]
    owner: Caller
    ids: Mapping[str, tuple[str, ...]]
    volid: str

    @property
    def names(self) -> frozenset[str]:
        """What nobody else may ever be shown."""
        own = [name for names in self.ids.values() for name in names if not name.isdigit()]
        shared = {self.ids["templates"][0], *self.ids["nodes"], *self.ids["disks"]}
        return frozenset({*own, self.tenant["poolid"], self.tenant["pve_user"]} - shared)


@dataclass(frozen=True)
class Scenes:
    """`nobodies` are refused as not logged in; `roles` are callers in the victim's tenant; `keys` are its owner's,
    each with a single action."""

    victim: Scene
    stranger: Scene
    suspended: Scene
    nobodies: Mapping[str, Caller]
    roles: Mapping[str, Caller]
    keys: Mapping[str, Caller]
    unpublished: Mapping[str, str]
    foreign_storage: str
    foreign_bridge: str


@contextmanager
def made(house: House) -> Iterator[Scenes]:
    db = Database(house.settings.database_url)
    try:
        with _unpublished(db) as hidden, house.another_storage() as storage:
            both = ["local", "local-lvm"]
            victim = _scene(
                house, hidden["ct"], second_disks=True, rules=2, storages=[*both, storage], bridges=["vmbr0", "vmbr1"]
            )
            published = next(
                one["id"] for one in house.admin().get("/templates").get_json()["data"] if one["published"]
            )
            stranger = _scene(house, published, rules=1, storages=both, bridges=["vmbr0"])
            suspended = _scene(house, published)
            house.admin().patch(f"/tenants/{suspended.tenant['id']}", {"suspended": True})
            roles = {role: house.make_member(victim.tenant, role) for role in ("viewer", "operator", "owner")}
            keys = {action: _with_key(house, victim.owner, action) for action in ("template.audit", "tenant.audit")}
            roles["auditor"] = _auditor(house)
            yield Scenes(
                victim, stranger, suspended, _nobodies(house, db, victim.tenant), roles, keys, hidden, storage, "vmbr1"
            )
    finally:
        db.close()


def _scene(house: House, template: str, *, second_disks: bool = False, rules: int = 0, **granted: Any) -> Scene:
    """`rules`: how many firewall rules each guest has; of them the last one is named, which who has fewer has not."""
    plan = house.admin().post("/plans", {"name": f"Plan {uuid.uuid4().hex[:8]}"}).get_json()
    tenant = house.make_tenant(plan=plan["id"], **granted)
    owner = house.make_member(tenant, "owner")
    foundling = next(_FOUNDLINGS)
    house.pve.post("/nodes/n1/qemu", vmid=foundling, name=f"foundling-{foundling}", pool=tenant["poolid"])
    made_ct = owner.done("POST", "/proxmox/cts", container(storage="local-lvm"))
    ct = made_ct["result"]["guest"]
    machine = owner.done("POST", "/proxmox/vms", vm(storage="local-lvm"))["result"]["guest"]
    snapshot = f"s-{uuid.uuid4().hex[:8]}"
    for kept in (f"/proxmox/cts/{ct['id']}", f"/proxmox/vms/{machine['id']}"):
        owner.done("POST", f"{kept}/snapshots", {"name": snapshot})
        for _ in range(rules):
            owner.done("POST", f"{kept}/firewall/rules", {"type": "in", "action": "ACCEPT"})
    if second_disks:
        owner.done("POST", f"/proxmox/vms/{machine['id']}/disks", {"size_gb": 1, "storage": "local-lvm"})
        mounted = {"size_gb": 1, "storage": "local-lvm", "path": "/srv/data"}
        owner.done("POST", f"/proxmox/cts/{ct['id']}/disks", mounted)
    students = {"name": f"Group {uuid.uuid4().hex[:8]}", "plan": plan["id"]}
    students = house.admin().post("/groups", students).get_json()
    group = {"name": f"g-{uuid.uuid4().hex[:8]}", "tenants": [tenant["id"]]}
    group = house.admin().done("POST", "/proxmox/security-groups", group)["result"]["security_group"]
    taken = [
        owner.done("POST", f"{kept}/backups", {"storage": "local"})["result"]["backup"]["id"]
        for kept in (f"/proxmox/cts/{ct['id']}", f"/proxmox/vms/{machine['id']}")
    ]
    timed = [
        owner.post(f"{kept}/backup-schedules", {"at": "02:30"}).get_json()["id"]
        for kept in (f"/proxmox/cts/{ct['id']}", f"/proxmox/vms/{machine['id']}")
    ]
    me = owner.get("/auth/me").get_json()
    assert house.admin().put(f"/groups/{students['id']}/users/{me['id']}").status_code == 204
    key = owner.post("/api-keys", {"name": "a program", "actions": ["guest.audit"]}).get_json()
    (drift,) = wait_for(lambda: owner.get("/drift").get_json()["data"])
    image = owner.post(f"/qemu/images?name=i-{uuid.uuid4().hex[:8]}", iso()).get_json()
    ids = {
        "images": (image["id"], image["name"]),
        "drift": (drift["id"],),
        "tenants": (tenant["id"], tenant["name"]),
        "cts": (ct["id"], str(ct["vmid"])),
        "vms": (machine["id"], str(machine["vmid"])),
        "resources": (str(ct["vmid"]), str(machine["vmid"])),
        "operations": (made_ct["id"],),
        "snapshots": (snapshot,),
        "disks": ("scsi1", "mp0") if second_disks else ("scsi0", "rootfs"),
        "backups": tuple(taken),
        "backup-schedules": tuple(timed),
        "security-groups": (group["id"], group["name"]),
        "plans": (plan["id"], plan["name"]),
        "groups": (students["id"], students["name"]),
        "rules": (str(max(0, rules - 1)),),
        "members": (me["id"], me["username"]),
        "users": (me["id"], me["username"]),
        "api-keys": (key["id"],),
        "templates": (template,),
        "flavors": ("small",),
        "nodes": (ct["node"],),
        "pools": (tenant["poolid"],),
        "content": (f"local-lvm:vm-{ct['vmid']}-disk-0",),
        "tasks": tuple(step["upid"] for step in made_ct["steps"] if step["upid"])[:1],
        "storages": tuple(granted.get("storages", ["local"])[-1:]),
    }
    return Scene(tenant, owner, ids, f"local-lvm:vm-{ct['vmid']}-disk-0")


@contextmanager
def _unpublished(db: Database) -> Iterator[dict[str, str]]:
    """A catalog entry of each kind that no tenant may see: copies of the published ones."""
    ids = {"ct": str(uuid.uuid4()), "vm": str(uuid.uuid4())}
    with db.begin() as tx:
        for row in tx.scalars(sa.select(Template).where(Template.published)).all():
            hidden = Template(
                id=ids[row.kind], cluster_id=row.cluster_id, name=f"hidden-{ids[row.kind]}", kind=row.kind,
                description="", volid=row.volid, vmid=row.vmid, disk_gb=row.disk_gb, published=False,
            )  # fmt: skip
            tx.add(hidden)
    yield ids
    with db.begin() as tx:
        tx.execute(sa.delete(Template).where(Template.id.in_(ids.values())))


def _with_key(house: House, maker: Caller, action: str) -> Caller:
    secret = maker.post("/api-keys", {"name": "a program", "actions": [action]}).get_json()["secret"]
    return Caller(house.app.test_client(), secret)


def _auditor(house: House) -> Caller:
    name = f"auditor-{uuid.uuid4().hex[:8]}"
    assert house.admin().post("/users", {"username": name, "password": PASSWORD, "role": "auditor"}).status_code == 201
    return house.login(name, PASSWORD)


def _nobodies(house: House, db: Database, tenant: Mapping[str, Any]) -> dict[str, Caller]:
    """All but the first three were the victim's owners."""
    log_in, logged_out, disabled, expiring, deleting = (house.make_member(tenant, "owner") for _ in range(5))
    key_of_disabled = _with_key(house, disabled, "guest.audit")
    expired_key, deleted_key = (_with_key(house, maker, "guest.audit") for maker in (expiring, deleting))
    assert logged_out.post("/auth/logout").status_code == 204
    me = disabled.get("/auth/me").get_json()["id"]
    assert house.admin().patch(f"/users/{me}", {"disabled": True}).status_code == 200
    prefix = expiring.get("/api-keys").get_json()["data"][0]["prefix"]
    with db.begin() as tx:
        tx.execute(sa.update(ApiKey).where(ApiKey.prefix == prefix).values(expires_at=datetime.now(UTC)))
    key = deleting.get("/api-keys").get_json()["data"][0]["id"]
    assert deleting.delete(f"/api-keys/{key}").status_code == 204
    return {
        "anonymous": house.anonymous(),
        "nonsense": Caller(house.app.test_client(), "nonsense"),
        "unsigned token": Caller(house.app.test_client(), UNSIGNED),
        "expired token": Caller(house.app.test_client(), _expired(house, log_in.token or "")),
        "logged out": logged_out,
        "disabled user": disabled,
        "key of a disabled user": key_of_disabled,
        "expired key": expired_key,
        "deleted key": deleted_key,
    }


def _expired(house: House, token: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    past = datetime.now(UTC) - timedelta(minutes=1)
    return jwt.encode({**claims, "exp": past}, house.app.config["JWT_SECRET_KEY"], "HS256")
