"""How each saga of the registry is brought about: what must stand before, and the request that submits it.

A saga without a scene fails the matrix: nobody forgets one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.house import Caller, House, container, vm
from tests.servers import free_port

Request = tuple[str, str, Any]
"""Method, path below /api, body: JSON, or the bytes of a file."""


Asking = Callable[[Mapping[str, Any]], Request]


@dataclass(frozen=True)
class Cast:
    """Who asks: the administrator, and a member of the tenant in which the guests are made. `elsewhere` is another
    tenant's pool."""

    house: House
    admin: Caller
    member: Caller
    elsewhere: str


@dataclass(frozen=True)
class Scene:
    """Each of `before` submits something that must be there, one after the other, and `ask` makes the request; all out
    of the results of what came before it, and of `elsewhere`, as the cast has it.

    Both run as the administrator where `by_admin` says so, else as the tenant's member; with `before_by_member` only
    the request itself is the administrator's. `behind`, after what a
    member has submitted, does something in PVE behind our back, and tells to which vmid: `ask` finds the drift that
    comes of it in its result, as `drift`.
    """

    saga: str
    variant: str
    ask: Asking
    before: tuple[Asking, ...] = ()
    by_admin: bool = False
    before_by_member: bool = False
    behind: Callable[[Cast, Mapping[str, Any]], int] | None = None

    @property
    def name(self) -> str:
        return f"{self.saga}-{self.variant}" if self.variant else self.saga


_BODIES: dict[str, Callable[..., dict[str, Any]]] = {"ct": container, "vm": vm}


def _make(kind: str, **more: Any) -> Asking:
    return lambda _: ("POST", f"/proxmox/{kind}s", _BODIES[kind](**{"storage": "local-lvm", **more}))


def _on_guest(kind: str, method: str, tail: str, body: Any = None) -> Asking:
    def ask(result: Mapping[str, Any]) -> Request:
        return method, f"/proxmox/{kind}s/{result['guest']['id']}{tail}", body

    return ask


def _elsewhere(kind: str) -> Asking:
    def ask(result: Mapping[str, Any]) -> Request:
        guest = result["guest"]
        return "POST", f"/proxmox/{kind}s/{guest['id']}/migrate", {"node": "n1" if guest["node"] == "n2" else "n2"}

    return ask


def _into_another_pool(kind: str) -> Asking:
    def ask(result: Mapping[str, Any]) -> Request:
        return _on_guest(kind, "POST", "/clone", {"name": "copy", "poolid": result["elsewhere"]})(result)

    return ask


def _on_backup(kind: str, method: str, tail: str = "", body: Any = None) -> Asking:
    def ask(result: Mapping[str, Any]) -> Request:
        return _on_guest(kind, method, f"/backups/{result['backup']['id']}{tail}", body)(result)

    return ask


def _tenant(_: Mapping[str, Any]) -> Request:
    return "POST", "/tenants", {"name": f"Killed {uuid.uuid4().hex[:10]}"}


def _upload() -> Request:
    return "POST", f"/proxmox/storages/local/upload?filename=killed-{uuid.uuid4().hex[:10]}.iso", b"an image"


def _without_medium(result: Mapping[str, Any]) -> Request:
    return "DELETE", f"/proxmox/storages/local/content/{result['volume']['volid']}", None


#: Where the tests' own server is (`tests.kill.test_matrix`), and what it has.
IMAGE_PORT = free_port()


def _download() -> Request:
    body = {"url": f"http://127.0.0.1:{IMAGE_PORT}/image", "filename": f"killed-{uuid.uuid4().hex[:10]}.iso"}
    return "POST", "/proxmox/storages/local/download-url", body


def _without_tenant(result: Mapping[str, Any]) -> Request:
    return "DELETE", f"/tenants/{result['tenant']['id']}?cascade=true", None


#: Beside the lab's own one for guests, which is the roomier.
SECOND_STORAGE = "attic"

#: Of it everything is something else than what a tenant has without one.
PLAN = {"name": "Attic", "limits": {"guests": 3}, "storages": [SECOND_STORAGE], "bridges": ["vmbr1"]}


#: Of the catalog: a container that is a template.
GOLDEN = "golden"


def _planned(result: Mapping[str, Any]) -> Request:
    return "PUT", f"/tenants/{result['tenant']['id']}/plan", {"plan": PLAN["name"]}


#: Outside of the range that Poolhouse gives.
_FOUNDLINGS = count(50_000)


def _foundling(cast: Cast, _: Mapping[str, Any]) -> int:
    vmid = next(_FOUNDLINGS)
    (tenant,) = cast.member.get("/tenants").get_json()["data"]
    params = {"memory": 128, "cores": 1, "scsi0": "local-lvm:1", "description": "found"}
    cast.house.pve.post("/nodes/n1/qemu", vmid=vmid, name=f"f-{vmid}", pool=tenant["poolid"], **params)
    return vmid


def _changed(cast: Cast, result: Mapping[str, Any]) -> int:
    guest = result["guest"]
    cast.house.pve.put(f"/nodes/{guest['node']}/lxc/{guest['vmid']}/config", memory=192, hostname="renamed")
    return int(guest["vmid"])


def _taken_out(cast: Cast, result: Mapping[str, Any]) -> int:
    guest = result["guest"]
    cast.house.pve.put("/pools", poolid=guest["poolid"], vms=guest["vmid"], delete=1)
    return int(guest["vmid"])


def _on_drift(verb: str) -> Callable[[Mapping[str, Any]], Request]:
    def ask(result: Mapping[str, Any]) -> Request:
        return "POST", f"/drift/{result['drift']}/{verb}", None

    return ask


_RULE = {"type": "in", "action": "ACCEPT", "macro": "SSH"}


def _ruled(kind: str) -> tuple[Asking, ...]:
    """A guest with two firewall rules, which differ."""
    on_top = (_on_guest(kind, "POST", "/firewall/rules", {**_RULE, "comment": word}) for word in ("a", "b"))
    return (_make(kind), *on_top)


def _group(_: Mapping[str, Any]) -> Request:
    rules = [{**_RULE, "comment": word} for word in ("a", "b")]
    return "POST", "/proxmox/security-groups", {"name": f"k-{uuid.uuid4().hex[:10]}", "rules": rules, "published": True}


def _on_group(method: str, body: Any = None) -> Asking:
    def ask(result: Mapping[str, Any]) -> Request:
        return method, f"/proxmox/security-groups/{result['security_group']['id']}", body

    return ask


def scenes() -> list[Scene]:
    found = [
        Scene("tenant.create", "", _tenant, by_admin=True),
        Scene("tenant.delete", "", _without_tenant, before=(_tenant,), by_admin=True),
        Scene("tenant.grant", "", _planned, before=(_tenant,), by_admin=True),
        Scene("media.upload", "", lambda _: _upload(), by_admin=True),
        Scene("volume.delete", "", _without_medium, (lambda _: _upload(),), by_admin=True),
        Scene("security_group.create", "", _group, by_admin=True),
        Scene("security_group.change", "", _on_group("PUT", {"rules": [_RULE]}), (_group,), by_admin=True),
        Scene("security_group.delete", "", _on_group("DELETE"), (_group,), by_admin=True),
        Scene("ct.create", "", _make("ct", start=True, tags=["a"])),
        Scene("ct.create", "clone", _make("ct", template=GOLDEN, disk_gb=3, start=True, tags=["a"])),
        Scene("vm.create", "empty", _make("vm", start=True)),
        Scene("vm.create", "clone", _make("vm", template="debian-12-vm", disk_gb=3, start=True, tags=["a"])),
        Scene("media.download", "", lambda _: _download(), by_admin=True),
        Scene("guest.adopt", "found", _on_drift("adopt"), by_admin=True, behind=_foundling),
        Scene("guest.repair", "changed", _on_drift("repair"), (_make("ct"),), by_admin=True, behind=_changed),
        Scene("guest.repair", "outside", _on_drift("repair"), (_make("ct"),), by_admin=True, behind=_taken_out),
    ]
    larger = {"memory": 256, "cores": 2, "tags": ["b"], "net": {"vlan": 5}, "disk_increment_gb": 1}
    filtering = {"enable": True, "policy_in": "DROP"}
    rebuilt = {kind: {"template": name, "start": True} for kind, name in (("ct", "debian-12"), ("vm", "debian-12-vm"))}
    sized = {"disk_gb": 2, "tags": ["a"], "net": {"bridge": "vmbr0", "vlan": 7}}
    for kind in _BODIES:
        stopped, running, large = (_make(kind),), (_make(kind, start=True),), (_make(kind, memory=256),)
        grown = {"memory": 192, "description": "grown", "disk_increment_gb": 1}
        new = {"size_gb": 1, **({"path": "/srv/data"} if kind == "ct" else {})}
        attach, second = _on_guest(kind, "POST", "/disks", new), f"/disks/{'mp0' if kind == 'ct' else 'scsi1'}"
        move = _on_guest(kind, "POST", f"{second}/move", {"storage": SECOND_STORAGE})
        taken = (*large, _on_guest(kind, "POST", "/snapshots", {"name": "before"}), _on_guest(kind, "POST", "/start"))
        anew = {"as_new": True, "start": True, "name": "another"}
        backed_up = (*stopped, _on_guest(kind, "POST", "/backups"))
        into_another = _into_another_pool(kind)
        found += [
            Scene(f"{kind}.change", "", _on_guest(kind, "PATCH", "", larger), running),
            Scene(f"{kind}.clone", "", _on_guest(kind, "POST", "/clone", {"name": "copy"}), stopped),
            Scene(f"{kind}.clone", "elsewhere", into_another, stopped, by_admin=True, before_by_member=True),
            Scene(f"{kind}.attach_disk", "", attach, running),
            Scene(f"{kind}.attach_disk", "stopped", attach, stopped),
            Scene(f"{kind}.detach_disk", "", _on_guest(kind, "DELETE", second), (*stopped, attach)),
            Scene(f"{kind}.move_disk", "", move, (*stopped, attach)),
            Scene(f"{kind}.change", "disk", _on_guest(kind, "PUT", second, {"size_gb": 2}), (*stopped, attach)),
            Scene(f"{kind}.start", "", _on_guest(kind, "POST", "/start"), stopped),
            Scene(f"{kind}.stop", "", _on_guest(kind, "POST", "/stop"), running),
            Scene(f"{kind}.restart", "", _on_guest(kind, "POST", "/restart"), running),
            Scene(f"{kind}.rebuild", "", _on_guest(kind, "POST", "/rebuild", rebuilt[kind]), (_make(kind, **sized),)),
            Scene(f"{kind}.template", "", _on_guest(kind, "POST", "/template"), stopped),
            Scene(f"{kind}.migrate", "", _elsewhere(kind), running, by_admin=True, before_by_member=True),
            Scene(f"{kind}.reboot", "", _on_guest(kind, "POST", "/reboot"), running),
            Scene(f"{kind}.change", "grown", _on_guest(kind, "PATCH", "", grown), running),
            Scene(f"{kind}.change", "shrunk", _on_guest(kind, "PATCH", "", {"memory": 128}), large),
            Scene(f"{kind}.rollback", "", _on_guest(kind, "POST", "/snapshots/before/rollback"), taken),
            Scene(f"{kind}.delete_snapshot", "", _on_guest(kind, "DELETE", "/snapshots/before"), taken),
            Scene(f"{kind}.snapshot", "", _on_guest(kind, "POST", "/snapshots", {"name": "before"}), running),
            Scene(f"{kind}.backup", "", _on_guest(kind, "POST", "/backups", {"mode": "stop"}), running),
            Scene(f"{kind}.delete_backup", "", _on_backup(kind, "DELETE"), backed_up),
            Scene(f"{kind}.restore", "", _on_backup(kind, "POST", "/restore", {"start": True}), backed_up),
            Scene(f"{kind}.restore_as_new", "", _on_backup(kind, "POST", "/restore", anew), backed_up),
            Scene(f"{kind}.delete", "purged", _on_guest(kind, "DELETE", "?purge=true"), backed_up),
            Scene(f"{kind}.firewall", "", _on_guest(kind, "PUT", "/firewall/options", filtering), running),
            Scene(
                f"{kind}.firewall_rule",
                "",
                _on_guest(kind, "POST", "/firewall/rules", {**_RULE, "pos": 1}),
                _ruled(kind),
            ),
            Scene(f"{kind}.delete", "", _on_guest(kind, "DELETE", "?force=true"), running),
        ]
    log_in = {"password": "a secret word", "ssh_keys": []}
    prepared = (_make("vm", cloud_init={"user": "root"}, start=True),)
    found.append(Scene("vm.credentials", "", _on_guest("vm", "POST", "/credentials", log_in), prepared))
    frozen = (_make("vm", start=True), _on_guest("vm", "POST", "/suspend"))
    return [
        *found,
        Scene("vm.suspend", "", _on_guest("vm", "POST", "/suspend"), (_make("vm", start=True),)),
        Scene("vm.resume", "", _on_guest("vm", "POST", "/resume"), frozen),
        Scene("ct.firewall_rule", "moved", _on_guest("ct", "PUT", "/firewall/rules/0", {"pos": 1}), _ruled("ct")),
        Scene("vm.firewall_rule", "deleted", _on_guest("vm", "DELETE", "/firewall/rules/1"), _ruled("vm")),
        Scene("vm.reset", "", _on_guest("vm", "POST", "/reset"), (_make("vm", start=True),)),
    ]
