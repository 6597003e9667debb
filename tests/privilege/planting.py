"""What whoever administers the cluster can do behind our back: make, move and replace containers, privileged ones."""

from __future__ import annotations

from itertools import count
from typing import Any

from app.db.models import AuditEntry
from app.db.session import Database
from tests.house import House, wait_for
from tests.lab.guests.api import TEMPLATE

#: Outside of the range that Poolhouse gives.
_VMIDS = count(30_000)


class Planter:
    """root@pam of the house's lab."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._pve = house.pve

    def container(self, vmid: int | None = None, *, node: str = "n1", privileged: bool = True, **more: Any) -> int:
        """A container that stands when this returns; its vmid."""
        vmid = vmid or next(_VMIDS)
        params = {"vmid": vmid, "ostemplate": TEMPLATE, "rootfs": "local-lvm:1", "unprivileged": int(not privileged)}
        self.done(self._pve.post(f"/nodes/{node}/lxc", **params, **more))
        assert (self.config(vmid, node).get("unprivileged") != 1) is privileged
        return vmid

    def replace(self, guest: dict[str, Any], **more: Any) -> None:
        """A privileged container in the place of one of ours, with its name, pool and mark."""
        config = self.config(guest["vmid"], guest["node"])
        self.done(self._pve.delete(f"/nodes/{guest['node']}/lxc/{guest['vmid']}?force=1"))
        self.container(
            guest["vmid"], node=guest["node"], pool=guest["poolid"], hostname=guest["name"],
            description=config["description"], memory=config["memory"], cores=config["cores"], **more,
        )  # fmt: skip

    def move_in(self, vmid: int, poolid: str) -> None:
        self._pve.put("/pools", **{"poolid": poolid, "vms": vmid, "allow-move": 1})

    def start(self, vmid: int, node: str = "n1") -> None:
        self.done(self._pve.post(f"/nodes/{node}/lxc/{vmid}/status/start"))

    def backup(self, vmid: int, node: str = "n1") -> str:
        """The volid of an archive of it."""
        self.done(self._pve.post(f"/nodes/{node}/vzdump", vmid=vmid, storage="local", compress="zstd"))
        rows = self._pve.get(f"/nodes/{node}/storage/local/content?content=backup&vmid={vmid}")
        return str(max(row["volid"] for row in rows))

    def config(self, vmid: int, node: str = "n1") -> dict[str, Any]:
        found: dict[str, Any] = self._pve.get(f"/nodes/{node}/lxc/{vmid}/config")
        return found

    def status(self, vmid: int, node: str = "n1") -> str:
        return str(self._pve.get(f"/nodes/{node}/lxc/{vmid}/status/current")["status"])

    def done(self, upid: str) -> None:
        node = upid.split(":")[1]
        ended = wait_for(lambda: self._ended(node, upid))
        assert ended["exitstatus"] == "OK", ended

    def _ended(self, node: str, upid: str) -> dict[str, Any] | None:
        status: dict[str, Any] = self._pve.get(f"/nodes/{node}/tasks/{upid}/status")
        return status if status["status"] == "stopped" else None

    def privileged_in(self, poolid: str) -> list[int]:
        """The privileged containers of a pool."""
        members = self._pve.get(f"/pools/{poolid}")["members"]
        return [
            member["vmid"]
            for member in members
            if member.get("type") == "lxc" and self.config(member["vmid"], member["node"]).get("unprivileged") != 1
        ]


def audit(house: House, action: str, tenant: str) -> list[AuditEntry]:
    """The audit rows of this action in a tenant, oldest first."""
    db = Database(house.settings.database_url)
    try:
        with db.read() as tx:
            rows = tx.query(AuditEntry).filter_by(action=action, tenant_id=tenant).order_by(AuditEntry.id).all()
            tx.expunge_all()
            return rows
    finally:
        db.close()


def rounds(house: House, number: int) -> None:
    """Wait until the inventory was read that often again."""
    wanted = _readings(house) + number
    wait_for(lambda: _readings(house) >= wanted)


def _readings(house: House) -> int:
    return sum(call["path"] == "/cluster/resources" for call in house.calls())
