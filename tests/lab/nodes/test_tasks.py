"""Lists of tasks: whose they are while they run and afterwards, and how they are filtered."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.process import LabProcess, Session

TOKEN = "ta@pve!ph"


@pytest.fixture
def token(lab: LabProcess, root: Session) -> Session:
    """A token that may do everything with guests."""
    root.ok("POST", "/access/users", userid="ta@pve", password="ta-password")
    secret = root.ok("POST", "/access/users/ta@pve/token/ph", privsep=0)["value"]
    root.ok("PUT", "/access/acl", path="/vms", users="ta@pve", roles="PVEVMAdmin")
    return lab.token(TOKEN, secret)


def _rows(session: Session, **params: Any) -> list[tuple[str, str | None, str]]:
    rows = session.ok("GET", "/nodes/n1/tasks", **params)
    return [(row["user"], row.get("tokenid"), row["status"]) for row in rows]


def test_a_tokens_task_is_its_users_once_it_is_over(lab: LabProcess, root: Session, token: Session) -> None:
    user = lab.login("ta@pve", "ta-password")
    lab.control("PUT", "clock", {"time_scale": 1000})
    upid = token.ok("POST", "/nodes/n1/qemu", vmid=100)
    assert _rows(token, source="all") == _rows(root, source="active") == [(TOKEN, None, "RUNNING")]
    assert _rows(user, source="all") == []
    assert _rows(root, source="all", errors=1) == _rows(root, source="all", statusfilter="unknown") != []
    lab.control("PUT", "clock", {"time_scale": 0, "advance": 3000})
    assert token.wait(upid) == "OK"
    assert _rows(token) == _rows(user) == [("ta@pve", "ph", "OK")]
    assert _rows(root, errors=1) == _rows(root, statusfilter="error") == []


def test_the_clusters_list_shows_a_token_nothing_of_its_own(lab: LabProcess, token: Session) -> None:
    token.task("POST", "/nodes/n1/qemu", vmid=100)
    assert token.ok("GET", "/cluster/tasks") == []
    assert len(lab.login("ta@pve", "ta-password").ok("GET", "/cluster/tasks")) == 1


@pytest.mark.parametrize(("wanted", "found"), [("ROOT", 1), ("t@p", 1), ("root@pam!", 0), ("none", 0)])
def test_users_are_found_by_any_part_of_their_names(root: Session, wanted: str, found: int) -> None:
    root.task("POST", "/nodes/n1/qemu", vmid=100)
    assert len(_rows(root, userfilter=wanted)) == found
