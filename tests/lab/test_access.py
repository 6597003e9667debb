"""Users, pools and ACLs over HTTP: what the recordings do not show."""

from __future__ import annotations

import pytest

from tests.lab.process import LabProcess, Session

PASSWORD = "a-good-password"


@pytest.fixture
def alice(lab: LabProcess, root: Session) -> Session:
    root.ok("POST", "/access/users", userid="alice@pve", password=PASSWORD)
    return lab.login("alice@pve", PASSWORD)


def make_vm(root: Session, vmid: int, **options: object) -> None:
    assert root.task("POST", "/nodes/n1/qemu", vmid=vmid, **options) == "OK"


def test_a_change_of_a_pool_that_fails_half_way_changes_nothing(root: Session) -> None:
    root.ok("POST", "/pools", poolid="a")
    make_vm(root, 100)
    make_vm(root, 101, pool="a")
    text = "update pools failed: VM 101 is already a pool member"
    assert root.refused("PUT", "/pools", poolid="a", vms="100,101", comment="new") == (500, text)
    pool = root.ok("GET", "/pools/a")
    assert [row["vmid"] for row in pool["members"]] == [101]
    assert "comment" not in pool


def test_nested_pools_need_a_parent_and_inherit_from_it(root: Session, alice: Session) -> None:
    text = "create pool failed: parent 'a' of pool 'a/b' does not exist"
    assert root.refused("POST", "/pools", poolid="a/b") == (500, text)
    root.ok("POST", "/pools", poolid="a")
    root.ok("POST", "/pools", poolid="a/b")
    root.ok("PUT", "/access/acl", path="/pool/a", users="alice@pve", roles="PVEPoolUser")
    assert {row["poolid"] for row in alice.ok("GET", "/pools")} == {"a", "a/b"}
    root.ok("PUT", "/access/acl", path="/pool/a/b", users="alice@pve", roles="NoAccess")
    assert {row["poolid"] for row in alice.ok("GET", "/pools")} == {"a"}
    assert root.refused("DELETE", "/pools", poolid="a") == (
        500,
        "delete pool failed: pool 'a' is not empty (contains pool 'a/b')",
    )


def test_an_id_may_be_a_member_before_its_guest_is_there(root: Session, alice: Session) -> None:
    """facts.md section 11: whoever takes the id is in the pool at once."""
    root.ok("POST", "/pools", poolid="a")
    root.ok("PUT", "/pools", poolid="a", vms="100")
    root.ok("PUT", "/access/acl", path="/pool/a", users="alice@pve", roles="PVEVMAdmin")
    assert root.ok("GET", "/pools/a")["members"] == []
    assert alice.task("POST", "/nodes/n1/qemu", vmid=100) == "OK"
    assert [row["vmid"] for row in root.ok("GET", "/pools/a")["members"]] == [100]


@pytest.mark.parametrize(
    ("userid", "options", "reason"),
    [
        ("bob@pam", {"password": PASSWORD}, "create user failed: change password failed: user 'bob' does not exist"),
        ("bob@nowhere", {"password": PASSWORD}, "create user failed: auth domain 'nowhere' does not exist"),
        ("bob@pve", {"groups": "g9"}, "create user failed: no such group 'g9'"),
        ("root@pam", {}, "create user failed: user 'root@pam' already exists"),
    ],
)
def test_users_that_cannot_be_made(root: Session, userid: str, options: dict[str, str], reason: str) -> None:
    assert root.refused("POST", "/access/users", userid=userid, **options) == (500, reason)
    assert [row["userid"] for row in root.ok("GET", "/access/users")] == ["root@pam"]


def test_a_user_of_an_unknown_realm_may_be_and_can_not_log_in(lab: LabProcess, root: Session) -> None:
    root.ok("POST", "/access/users", userid="bob@nowhere")
    answer = lab.anonymous().refused("POST", "/access/ticket", username="bob@nowhere", password=PASSWORD)
    assert answer == (401, "authentication failure")


def test_roots_token_is_not_root(lab: LabProcess, root: Session) -> None:
    secret = root.ok("POST", "/access/users/root@pam/token/t1", privsep=0)["value"]
    token = lab.token("root@pam!t1", secret)
    token.ok("GET", "/cluster/status")
    assert token.refused("POST", "/nodes/n1/qemu", vmid=100, args="-x") == (500, "only root can set 'args' config")


def test_a_guest_that_is_not_there_is_forbidden_to_those_without_rights(alice: Session, root: Session) -> None:
    path = "/nodes/n1/qemu/999/config"
    assert alice.refused("GET", path) == (403, "Permission check failed (/vms/999, VM.Audit)")
    assert root.refused("GET", path) == (500, "Configuration file 'nodes/n1/qemu-server/999.conf' does not exist")


def test_bridges_are_seen_by_those_who_may_use_them(root: Session, alice: Session) -> None:
    assert [row["iface"] for row in alice.ok("GET", "/nodes/n1/network")] == ["eth0"]
    root.ok("PUT", "/access/acl", path="/sdn/zones/localnetwork/vmbr0", users="alice@pve", roles="PVESDNUser")
    assert [row["iface"] for row in alice.ok("GET", "/nodes/n1/network")] == ["eth0", "vmbr0"]


def test_without_quorum_nothing_of_users_changes(lab: LabProcess, root: Session) -> None:
    state = lab.control("GET", "state")
    state["cluster"]["quorate"] = 0
    lab.control("PUT", "state", state)
    text = "create user failed: cfs-lock 'file-user_cfg' error: no quorum!"
    assert root.refused("POST", "/access/users", userid="bob@pve") == (500, text)
    assert root.ok("GET", "/cluster/status")[0]["quorate"] == 0
