"""How proxmoxer logs in, stays logged in, and is turned away."""

from __future__ import annotations

import pytest
import requests
from proxmoxer import AuthenticationError, ProxmoxAPI, ResourceException

from tests.lab.clients.proxmoxer.conftest import connected
from tests.lab.process import LabProcess

_HOUR = 3600


def test_a_password_logs_in_and_its_ticket_carries_changes(demo: LabProcess, api: ProxmoxAPI) -> None:
    ticket, csrf = api.get_tokens()
    assert ticket.startswith("PVE:root@pam:")
    assert csrf.count(":") == 1
    assert api.version.get()["version"] == "9.1.8"
    api.pools.post(poolid="p1", comment="a pool")
    assert {pool["poolid"] for pool in api.pools.get()} == {"catalog", "p1"}
    last = demo.calls()[-2]
    assert (last["method"], last["path"], last["user"], last["status"]) == ("POST", "/pools", "root@pam", 200)


def test_a_ticket_renews_itself_by_itself(demo: LabProcess, api: ProxmoxAPI) -> None:
    auth = api._store["session"].auth
    first, _ = api.get_tokens()
    demo.control("PUT", "clock", {"advance": 1.5 * _HOUR})
    auth.renew_age = 0
    api.version.get()
    auth.renew_age = _HOUR
    second, _ = api.get_tokens()
    assert second != first
    demo.control("PUT", "clock", {"advance": _HOUR})
    assert api.nodes("n1").status.get()["uptime"] > 2.5 * _HOUR
    logins = [call["status"] for call in demo.calls() if call["path"] == "/access/ticket"]
    assert logins == [200, 200]


def test_an_old_ticket_neither_works_nor_renews(demo: LabProcess, api: ProxmoxAPI) -> None:
    demo.control("PUT", "clock", {"advance": 2.5 * _HOUR})
    with pytest.raises(ResourceException) as refused:
        api.nodes.get()
    assert (refused.value.status_code, refused.value.content) == (401, "Authentication failed!")
    api._store["session"].auth.renew_age = 0
    with pytest.raises(AuthenticationError):
        api.nodes.get()


def test_a_change_without_the_csrf_token_is_refused(api: ProxmoxAPI) -> None:
    api._store["session"].auth.csrf_prevention_token = "65000000:forged"
    assert api.pools.get()
    with pytest.raises(ResourceException) as refused:
        api.pools.post(poolid="p1")
    assert (refused.value.status_code, refused.value.status_message) == (401, "Unauthorized")
    assert "Permission denied - invalid csrf token" in str(refused.value)


@pytest.mark.parametrize("user", ["root@pam", "nobody@pve", "root@nowhere"])
def test_a_wrong_name_or_password_says_nothing_more(demo: LabProcess, user: str) -> None:
    with pytest.raises(AuthenticationError, match=rf"Couldn't authenticate user: {user} .* code: 401"):
        connected(demo, user=user, password="wrong-password")


def test_a_token_has_its_own_rights_and_needs_no_ticket(demo: LabProcess, api: ProxmoxAPI) -> None:
    api.access.users.post(userid="ann@pve")
    token = api.access.users("ann@pve").token("ci").post(privsep=1)
    assert token["full-tokenid"] == "ann@pve!ci"
    mine = connected(demo, user="ann@pve", token_name="ci", token_value=token["value"])
    assert mine.pools.get() == []
    for whom in ({"users": "ann@pve"}, {"tokens": "ann@pve!ci"}):
        api.access.acl.put(path="/pool/catalog", roles="PVEPoolAdmin,PVEVMUser", **whom)
    assert [pool["poolid"] for pool in mine.pools.get()] == ["catalog"]
    mine.pools("catalog").put(comment="seen by a token")
    assert api.pools("catalog").get()["comment"] == "seen by a token"
    assert [guest["vmid"] for guest in mine.cluster.resources.get(type="vm")] == [9000]
    assert "/access/ticket" not in {call["path"] for call in demo.calls() if call["user"] == "ann@pve!ci"}
    api.access.users("ann@pve").token("ci").delete()
    with pytest.raises(ResourceException, match="401 Unauthorized: Authentication failed!"):
        mine.pools.get()


def test_an_unknown_certificate_is_not_trusted(demo: LabProcess) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        ProxmoxAPI("127.0.0.1", port=demo.port, user="root@pam", password=demo.password)
