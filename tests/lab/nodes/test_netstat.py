"""What the network devices of a host's guests have carried."""

from __future__ import annotations

from tests.lab.process import Session, running


def _of(root: Session, node: str) -> dict[tuple[str, str], tuple[int, int]]:
    rows = root.ok("GET", f"/nodes/{node}/netstat")
    return {(row["vmid"], row["dev"]): (int(row["in"]), int(row["out"])) for row in rows}


def test_every_device_of_a_running_guest_has_its_bytes() -> None:
    with running("demo", guests=8) as lab:
        root = lab.login()
        lab.control("PUT", "clock", {"advance": 600})
        root.ok("PUT", "/nodes/n1/lxc/1001/config", net1="name=eth1,bridge=vmbr1")
        before = _of(root, "n1")
        assert set(before) == {("1000", "net0"), ("1001", "net0"), ("1001", "net1"), ("1004", "net0"), ("1005", "net0")}
        assert before["1001", "net0"] == before["1001", "net1"]
        assert {vmid for vmid, _ in _of(root, "n2")} == {"1002", "1006"}, "1003 and 1007 are stopped"
        lab.control("PUT", "clock", {"advance": 600})
        after = _of(root, "n1")
        assert all(after[device] > before[device] for device in before)
        root.ok("POST", "/access/users", userid="ann@pve", password="ann-password")
        ann = lab.login("ann@pve", "ann-password")
        assert ann.refused("GET", "/nodes/n1/netstat") == (403, "Permission check failed (/nodes/n1, Sys.Audit)")
