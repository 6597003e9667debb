"""A round of ProxLB on the lab: what it sees, what it plans, what it does."""

from __future__ import annotations

import pytest

from tests.lab.clients.proxlb.conftest import Proxlb
from tests.lab.process import Session


def _places(admin: Session) -> dict[str, str]:
    return {row["name"]: row["node"] for row in admin.ok("GET", "/cluster/resources", type="vm")}


def _crowd(admin: Session) -> None:
    """All that runs goes to n1."""
    for vmid in (1002, 1006):
        assert admin.task("POST", f"/nodes/n2/qemu/{vmid}/migrate", target="n1", online=1, with__local__disks=1) == "OK"


def test_what_it_sees_of_the_lab(proxlb: Proxlb, admin: Session) -> None:
    admin.ok("PUT", "/nodes/n1/qemu/1000/config", tags="plb_affinity_web")
    admin.ok("PUT", "/nodes/n1/qemu/1004/config", tags="plb_affinity_web;prod")
    admin.ok("PUT", "/pools/catalog", vms="1000")
    seen = proxlb.balance("--dry-run")
    assert seen.status == 0, seen.log
    assert set(seen.data["nodes"]) == {"n1", "n2"}
    assert {node["pve_version"] for node in seen.data["nodes"].values()} == {"9.1.8"}
    for node in admin.ok("GET", "/nodes"):
        shown = seen.data["nodes"][node["node"]]
        assert (shown["memory"]["total"], shown["cpu"]["total"]) == (node["maxmem"], node["maxcpu"])
        assert 0 < shown["memory"]["used"] < node["maxmem"]
    guests = seen.data["guests"]
    assert set(guests) == {"vm-1000", "ct-1001", "vm-1002", "vm-1004", "ct-1005", "vm-1006"}, "what runs"
    assert {name: guest["node_current"] for name, guest in guests.items()}.items() <= _places(admin).items()
    assert guests["vm-1004"]["memory"]["total"] == 4 << 30
    assert 0 < guests["vm-1004"]["memory"]["used"] < 4 << 30
    assert guests["vm-1004"]["tags"] == ["plb_affinity_web", "prod"]
    assert guests["vm-1000"]["pools"] == ["catalog"]
    (together,) = [group for name, group in seen.data["groups"]["affinity"].items() if "web" in name]
    assert set(together["guests"]) == {"vm-1000", "vm-1004"}


def test_a_dry_run_plans_and_does_nothing(proxlb: Proxlb, admin: Session) -> None:
    _crowd(admin)
    before = _places(admin)
    planned = proxlb.balance("--dry-run")
    assert planned.moves
    assert set(planned.moves.values()) == {"n2"}
    assert _places(admin) == before
    assert {call["method"] for call in proxlb.lab.calls() if call["user"] == "proxlb@pve!lb"} == {"GET"}


@pytest.mark.matrix
def test_a_round_migrates_what_it_planned(proxlb: Proxlb, admin: Session) -> None:
    _crowd(admin)
    planned = proxlb.balance("--dry-run", balance_types=["vm", "ct"]).moves
    assert {name[:2] for name in planned} == {"vm", "ct"}
    done = proxlb.balance(balance_types=["vm", "ct"], max_job_validation=30)
    assert done.status == 0, done.log
    assert planned.items() <= _places(admin).items()
    tasks = [task for task in admin.ok("GET", "/cluster/tasks") if task["user"] == "proxlb@pve"]
    assert {(task["type"], task["tokenid"], task["status"]) for task in tasks} == {
        ("qmigrate", "lb", "OK"),
        ("vzmigrate", "lb", "OK"),
    }
    assert len(tasks) == len(planned)


@pytest.mark.matrix
def test_pressure_stall_figures_of_nodes_and_guests(proxlb: Proxlb) -> None:
    limits = {"pressure_full": 1.0, "pressure_some": 1.0, "pressure_spikes": 5.0}
    kinds = dict.fromkeys(("cpu", "disk", "memory"), limits)
    seen = proxlb.balance("--dry-run", mode="psi", psi={"nodes": kinds, "guests": kinds})
    assert seen.status == 0, seen.log
    for thing in (*seen.data["nodes"].values(), *seen.data["guests"].values()):
        assert not thing["pressure_hot"]
        assert {thing[kind]["pressure_some_percent"] for kind in kinds} == {0.0}


@pytest.mark.matrix
def test_guests_that_may_not_share_a_node_part(proxlb: Proxlb, admin: Session) -> None:
    for vmid in (1000, 1004):
        admin.ok("PUT", f"/nodes/n1/qemu/{vmid}/config", tags="plb_anti_affinity_db")
    planned = proxlb.balance("--dry-run", enforce_affinity=True)
    targets = {planned.data["guests"][f"vm-{vmid}"]["node_target"] for vmid in (1000, 1004)}
    assert targets == {"n1", "n2"}


def test_a_token_without_the_right_to_migrate_is_turned_away(proxlb: Proxlb, admin: Session) -> None:
    admin.ok("PUT", "/access/roles/proxlb", privs="Datastore.Audit,Sys.Audit,VM.Audit")
    refused = proxlb.balance("--dry-run")
    assert refused.status == 1
    assert "Permission 'VM.Migrate' is missing" in refused.log
