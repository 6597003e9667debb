"""A host's services, time zone and waking up."""

from __future__ import annotations

import pytest

from tests.lab.process import LabProcess, Session

SERVICES = "/nodes/n1/services"


@pytest.mark.parametrize(
    ("service", "verb", "exitstatus", "state"),
    [
        ("cron", "stop", "OK", ("dead", "inactive")),
        ("cron", "restart", "OK", ("running", "active")),
        ("cron", "reload", "OK", ("running", "active")),
        (
            "pveproxy",
            "stop",
            "invalid service cmd 'pveproxy stop': refusing to stop essential service!",
            ("running", "active"),
        ),
    ],
)
def test_services_obey(root: Session, service: str, verb: str, exitstatus: str, state: tuple[str, str]) -> None:
    upid = root.ok("POST", f"{SERVICES}/{service}/{verb}")
    assert upid.split(":")[5:8] == [f"srv{verb}", service, "root@pam"]
    assert root.wait(upid) == exitstatus
    shown = root.ok("GET", f"{SERVICES}/{service}/state")
    assert (shown["state"], shown["active-state"]) == state
    assert shown in root.ok("GET", SERVICES)
    assert root.task("POST", f"{SERVICES}/{service}/start") == "OK"
    assert root.ok("GET", f"{SERVICES}/{service}/state")["state"] == "running"


def test_a_host_has_a_time_zone(root: Session) -> None:
    root.ok("PUT", "/nodes/n1/time", timezone="Asia/Kolkata")
    shown = root.ok("GET", "/nodes/n1/time")
    assert (shown["timezone"], shown["localtime"] - shown["time"]) == ("Asia/Kolkata", 19_800)
    answer = root.call("PUT", "/nodes/n1/time", timezone="Mars/Olympus")
    assert answer.json()["errors"] == {"timezone": "No such timezone"}


def test_a_node_is_woken_by_its_address(lab: LabProcess, root: Session) -> None:
    wake = "/nodes/n2/wakeonlan"
    assert root.refused("POST", wake) == (500, "No wake on LAN MAC address defined for 'n2'!")
    assert root.refused("POST", "/nodes/n1/wakeonlan") == (500, "'n1' is local node, cannot wake my self!")
    assert root.refused("POST", "/nodes/n9/wakeonlan") == (500, "no such cluster node 'n9'")
    root.ok("PUT", "/nodes/n2/config", wakeonlan="broadcast-address=10.0.0.255,mac=BC:24:11:00:00:01")
    root.ok("POST", "/nodes/n2/status", command="shutdown")
    assert {row["node"]: row["status"] for row in root.ok("GET", "/nodes")}["n2"] == "offline"
    assert root.ok("POST", wake) == "BC:24:11:00:00:01"
    assert {row["node"]: row["status"] for row in root.ok("GET", "/nodes")}["n2"] == "online"
