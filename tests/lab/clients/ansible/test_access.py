"""Pools, groups, users, rights and tokens by `community.proxmox`. It has no modules for roles and tokens: those are
made by our session, and used by Ansible."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.clients.ansible.playing import Player
from tests.lab.process import LabProcess, Session, running


@pytest.fixture(scope="module")
def lab_process() -> Iterator[LabProcess]:
    with running(guests=4) as lab:
        yield lab


def test_groups_users_and_rights_are_made_once(player: Player, root: Session) -> None:
    first, again = player.play("access", "access")
    assert first.unchanged == []
    assert again.changed == []
    user = root.ok("GET", "/access/users/ada@pve")
    assert (user["groups"], user["firstname"], user["expire"]) == (["operators"], "Ada", 4102444800)
    assert root.ok("GET", "/pools/shop")["comment"] == "The shop's guests"
    entries = {
        (row["path"], row["type"], row["ugid"], row["roleid"], row["propagate"])
        for row in root.ok("GET", "/access/acl")
    }
    assert entries == {
        ("/pool/shop", "group", "operators", "PVEVMUser", 1),
        ("/storage/local", "user", "ada@pve", "PVEDatastoreUser", 0),
    }


def test_a_token_of_a_custom_role_reaches_its_pool_and_no_further(player: Player, root: Session) -> None:
    root.ok("POST", "/access/roles", roleid="Reader", privs="VM.Audit")
    root.ok("POST", "/pools", poolid="shop")
    root.ok("PUT", "/pools/shop", vms="1000")
    root.ok("POST", "/access/users", userid="ada@pve")
    secret = root.ok("POST", "/access/users/ada@pve/token/robot")["value"]
    root.ok("PUT", "/access/acl", path="/pool/shop", users="ada@pve", tokens="ada@pve!robot", roles="Reader")
    login = {"PROXMOX_USER": "ada@pve", "PROXMOX_TOKEN_ID": "robot", "PROXMOX_TOKEN_SECRET": secret}
    (seen,) = player.play("guests-seen", login=login)
    assert [guest["vmid"] for guest in seen.of("guests")["proxmox_vms"]] == [1000]
    assert "403 Forbidden: Permission check failed (/pool/other, Pool.Allocate)" in seen.of("pools")["msg"]
    assert "403 Forbidden: Permission check failed (/vms/1000, VM.PowerMgmt)" in seen.of("stop")["msg"]


@pytest.mark.matrix
def test_members_come_and_go(player: Player, root: Session) -> None:
    first, again = player.play("members", "members")
    assert first.unchanged == []
    assert again.changed == []
    members = root.ok("GET", "/pools/shop")["members"]
    assert {row["id"] for row in members} == {"qemu/1000", "lxc/1001", "storage/n1/local-lvm"}
    (gone,) = player.play("members-gone")
    assert gone.unchanged == ["pool that is not empty"]
    assert root.ok("GET", "/pools") == []


@pytest.mark.matrix
def test_users_are_shown_changed_and_removed(player: Player, root: Session) -> None:
    info, changed, same, _gone, nothing = player.play(
        "access", "access-info", "access-change", "access-change", "access-gone", "access-gone"
    )[1:]
    assert {user["userid"] for user in info.of("users")["proxmox_users"]} == {"root@pam", "ada@pve"}
    (ada,) = info.of("one user")["proxmox_users"]
    assert (ada["user"], ada["domain"], ada["groups"], ada["enabled"]) == ("ada", "pve", ["operators"], True)
    assert [user["userid"] for user in info.of("users of a realm")["proxmox_users"]] == ["ada@pve"]
    (group,) = info.of("group")["proxmox_groups"]
    assert (group["groupid"], group["users"], group["comment"]) == ("operators", ["ada@pve"], "They run the guests")
    assert {realm["realm"] for realm in info.of("realms")["proxmox_domains"]} == {"pam", "pve"}
    assert info.of("one realm")["proxmox_domains"][0]["type"] == "pve"
    assert (changed.changed, same.changed) == (["user"], [])
    assert nothing.changed == []
    assert [user["userid"] for user in root.ok("GET", "/access/users")] == ["root@pam"]


@pytest.mark.matrix
def test_a_password_is_set_anew_each_time(player: Player, lab: LabProcess) -> None:
    for password in ("first-password", "second-password"):
        (play,) = player.play("password", password=password)
        assert play.changed == ["user"]
        lab.login("grace@pve", password)
    (refused,) = player.play("guests-seen", login={"PROXMOX_USER": "grace@pve", "PROXMOX_PASSWORD": "first-password"})
    assert all("Couldn't authenticate user: grace@pve" in outcome.result["msg"] for outcome in refused.values())


@pytest.mark.matrix
def test_a_certificate_of_another_is_refused(player: Player, lab: LabProcess) -> None:
    login = {"PROXMOX_USER": "root@pam", "PROXMOX_PASSWORD": lab.password}
    with running() as other:
        (refused,) = player.play("guests-seen", login={**login, "REQUESTS_CA_BUNDLE": str(other.ca_file)})
    assert all("CERTIFICATE_VERIFY_FAILED" in outcome.result["msg"] for outcome in refused.values())
