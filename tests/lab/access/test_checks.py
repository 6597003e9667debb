"""Permission checks with alternatives: what PVE forgives there, and what it refuses at once."""

from __future__ import annotations

import pytest

from tests.lab.process import LabProcess, Session

PASSWORD = "alicepw12345"


@pytest.fixture
def alice(lab: LabProcess, root: Session) -> Session:
    """May make users of the realm pve, and change those of the group `team`, to which bob belongs."""
    root.ok("POST", "/access/users", userid="alice@pve", password=PASSWORD)
    root.ok("POST", "/access/groups", groupid="team")
    root.ok("POST", "/access/users", userid="bob@pve", groups="team")
    root.ok("POST", "/access/users", userid="carol@pve")
    root.ok("POST", "/access/roles", roleid="Maker", privs="Realm.AllocateUser")
    root.ok("POST", "/access/roles", roleid="Changer", privs="User.Modify")
    root.ok("PUT", "/access/acl", path="/access/realm/pve", users="alice@pve", roles="Maker")
    root.ok("PUT", "/access/acl", path="/access/groups/team", users="alice@pve", roles="Changer")
    return lab.login("alice@pve", PASSWORD)


@pytest.mark.parametrize(
    ("userid", "answer"),
    [
        ("ghost@pve", (500, "no such user ('ghost@pve')")),
        ("carol@pve", (403, "Permission check failed")),
        ("carol@pam", (403, "Permission check failed (/access/realm/pam, Realm.AllocateUser)")),
        ("nobody", (500, "value 'nobody' does not look like a valid user name")),
    ],
)
def test_a_password_of_another_is_refused_by_the_first_that_is_missing(
    alice: Session, userid: str, answer: tuple[int, str]
) -> None:
    given = {"password": "new-password", "confirmation__password": PASSWORD}
    assert alice.refused("PUT", "/access/password", userid=userid, **given) == answer
    assert alice.ok("PUT", "/access/password", userid="bob@pve", **given) is None


def test_a_token_of_a_missing_user_is_refused_like_a_foreign_one(alice: Session) -> None:
    for userid in ("ghost@pve", "carol@pve"):
        assert alice.refused("GET", f"/access/users/{userid}/token") == (403, "Permission check failed")


def test_a_separated_token_hands_on_only_what_its_owner_hands_on(lab: LabProcess, root: Session) -> None:
    root.ok("POST", "/access/users", userid="dora@pve")
    root.ok("POST", "/access/users/dora@pve/token/tok")
    root.ok("PUT", "/access/acl", path="/vms", users="dora@pve", roles="PVETemplateUser", propagate=0)
    root.ok("PUT", "/access/acl", path="/vms", tokens="dora@pve!tok", roles="PVETemplateUser")
    seen = root.ok("GET", "/access/permissions", userid="dora@pve!tok", path="/vms")
    assert seen == {"/vms": {"VM.Audit": 0, "VM.Clone": 0}}


def test_permissions_are_told_under_the_path_as_it_was_asked(root: Session) -> None:
    root.ok("POST", "/access/users", userid="dora@pve")
    root.ok("PUT", "/access/acl", path="/vms", users="dora@pve", roles="PVETemplateUser")
    seen = root.ok("GET", "/access/permissions", userid="dora@pve", path="/vms/")
    assert seen == {"/vms/": {"VM.Audit": 1, "VM.Clone": 1}}


def test_what_root_is_given_is_not_written_down(root: Session) -> None:
    root.ok("POST", "/access/users", userid="dora@pve")
    root.ok("PUT", "/access/acl", path="/vms", users="root@pam,dora@pve", roles="PVEAuditor")
    assert [entry["ugid"] for entry in root.ok("GET", "/access/acl")] == ["dora@pve"]


def test_an_empty_acl_path_is_none(root: Session) -> None:
    answer = root.call("PUT", "/access/acl", path="", users="root@pam", roles="PVEAuditor")
    assert (answer.status_code, answer.json()["errors"]) == (400, {"path": "invalid ACL path ''"})


def test_root_comes_back_bare_when_he_is_deleted(root: Session) -> None:
    root.ok("POST", "/access/groups", groupid="team")
    root.ok("PUT", "/access/users/root@pam", groups="team", comment="the boss")
    root.ok("POST", "/access/users/root@pam/token/tok")
    assert root.ok("DELETE", "/access/users/root@pam") is None
    shown = root.ok("GET", "/access/users/root@pam")
    assert {name: shown[name] for name in shown if name != "expire"} == {"enable": 1, "groups": [], "tokens": None}


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 200),
        ({"otp": "123456"}, 401),
        ({"tfa__challenge": "rubbish"}, 401),
        ({"path": "/access/groups/team/", "privs": "User.Modify"}, 200),
        ({"path": "/access/groups/team", "privs": "User.Modify,Sys.Audit"}, 401),
        ({"path": "/access/groups/team", "privs": ""}, 200),
    ],
)
def test_a_password_opens_only_what_was_asked_for(
    lab: LabProcess, alice: Session, params: dict[str, str], status: int
) -> None:
    asked = {"username": "alice@pve", "password": PASSWORD} | params
    answer = lab.anonymous().call("POST", "/access/ticket", **asked)
    assert answer.status_code == status
    assert ("ticket" in (answer.json().get("data") or {})) == (status == 200 and not params.get("privs"))


def test_a_ticket_of_root_does_not_answer_for_the_privileges_of_others(lab: LabProcess, alice: Session) -> None:
    ticket = lab.anonymous().ok("POST", "/access/ticket", username="root@pam", password=lab.password)["ticket"]
    asked = {"username": "alice@pve", "password": ticket}
    assert lab.anonymous().ok("POST", "/access/ticket", **asked)["username"] == "alice@pve"
    refused = lab.anonymous().refused(
        "POST", "/access/ticket", **asked, path="/access/groups/team", privs="User.Modify"
    )
    assert refused == (401, "authentication failure")
