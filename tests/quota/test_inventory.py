"""What was changed behind our back is charged as it is, and takes nothing from what was claimed meanwhile."""

from __future__ import annotations

import threading
from typing import Any

from app import bootstrap
from app.domain.access import Caller, Context, UserRole
from app.domain.guests import GuestKind
from app.services.inventory import Inventory
from tests.house import House, container, vm, wait_for


def running(house: House, tenant: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = house.admin().get(f"/tenants/{tenant['id']}/usage").get_json()["running"]
    return found


def test_l35_what_is_claimed_while_the_inventory_is_written_stays_claimed(crowded_house: House) -> None:
    """PVE was read before: the guest was stopped behind our back, and somebody starts it again at this moment."""
    house = crowded_house
    tenant = house.make_tenant()
    made = house.admin().done("POST", "/proxmox/cts", container(tenant=tenant["id"], start=True))["result"]["guest"]
    for worker in list(house.workers):
        house.kill_worker(worker)
    in_pve = f"/nodes/{made['node']}/lxc/{made['vmid']}/status"
    house.pve.post(f"{in_pve}/stop")
    wait_for(lambda: house.pve.get(f"{in_pve}/current")["status"] == "stopped")
    built, other = bootstrap.build(house.settings), bootstrap.build(house.settings)
    admin = Caller(house.admin().get("/auth/me").get_json()["id"], "admin", UserRole.ADMIN, "session")
    reader = threading.Thread(target=Inventory(other.db, other.credentials).refresh)
    with built.db.begin():
        built.services.guests.start(Context(admin, {}, "request", "127.0.0.1"), GuestKind.CT, made["id"])
        reader.start()
        reader.join(3)  # it is done by then, unless it waits for us as it has to
    reader.join()
    built.db.close()
    other.db.close()
    assert running(house, tenant) == {"cores": 1, "memory": 128}


def test_l35_a_vm_is_charged_with_what_it_runs_with_whatever_else_changes(house: House) -> None:
    """It has shrunk on paper, and keeps what it has until its next start; then somebody locks it."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    made = member.done("POST", "/proxmox/vms", vm(cores=2, start=True))["result"]["guest"]
    member.done("PATCH", f"/proxmox/vms/{made['id']}", {"cores": 1})
    assert running(house, tenant)["cores"] == 2
    in_pve = f"/nodes/{made['node']}/qemu/{made['vmid']}/config"
    house.pve.put(in_pve, lock="backup")
    wait_for(lambda: member.get(f"/proxmox/vms/{made['id']}").get_json()["locked"])
    assert running(house, tenant)["cores"] == 2
    house.pve.put(in_pve, delete="lock", skiplock=1)
