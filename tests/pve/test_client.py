"""The traps of proxmoxer, requests and PVE's wire."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
import requests
import requests_mock
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from app.domain.errors import (
    AppError,
    Invalid,
    PveAbsent,
    PveDenied,
    PveLocked,
    PveRefused,
    PveTimeout,
    PveUnreachable,
)
from app.domain.identifiers import NodeName, PoolId, PveUserId, VmId
from app.pve import ApiToken, ContainerApi, Endpoint, Pve, PveConnections
from app.pve.line import Breaker, Limits
from tests.pve.conftest import API, TOKEN, UPID, URL

VERSION = {"data": {"version": "9.1.8", "release": "9.1", "repoid": "a8e257e1ad64dd92"}}
NEVER_SENT = requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused")))  # type: ignore[arg-type]
BROKEN_OFF = requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError()))


def test_version_with_the_tokens_header(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(f"{API}/version", json=VERSION)
    assert pve.version().release == "9.1"
    assert wire.last_request.headers["Authorization"] == f"PVEAPIToken={TOKEN.id}={TOKEN.secret}".encode()
    assert wire.last_request.timeout == (2, 2)


def test_the_reason_phrase_the_body_and_the_wrong_parameters_are_all_heard(
    wire: requests_mock.Mocker, container: ContainerApi
) -> None:
    body = {
        "data": None, "message": "Parameter verification failed.\n",
        "errors": {"net0": "invalid format - format error\nnet0.bogus: no\n"},
    }  # fmt: skip
    wire.put(f"{API}/nodes/n1/lxc/5001/config", status_code=400, reason="Parameter verification failed.", json=body)
    with pytest.raises(PveRefused) as caught:
        container.update({"memory": 512})
    assert "net0.bogus: no" in caught.value.upstream
    assert "bogus" not in caught.value.detail


def test_the_whole_message_is_heard_not_only_its_first_line(wire: requests_mock.Mocker, pve: Pve) -> None:
    text = "ACL update failed: 400 Parameter verification failed.\nrole: Cannot add role 'PVEAdmin'\n"
    wire.put(f"{API}/access/acl", status_code=500, reason=text.split("\n")[0], json={"data": None, "message": text})
    with pytest.raises(PveRefused, match="refused") as caught:
        pve.access.grant("/vms/1", "PVEAdmin", user=PveUserId("a@pve"))
    assert "Cannot add role" in caught.value.upstream


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "<html>welcome</html>"},
        {"text": ""},
        {"json": [1]},
        {"json": {"no": "data"}},
        {"status_code": 302, "headers": {"Location": "https://elsewhere.test/"}},
        {"status_code": 501, "reason": "Method 'GET /version' not implemented", "json": {"data": None}},
        {"json": {"data": "text where an object belongs"}},
        {"status_code": 500, "reason": "what nobody knows", "json": ["errors must be an object"]},
    ],
)
def test_l70_nonsense_is_refused(wire: requests_mock.Mocker, pve: Pve, answer: dict[str, Any]) -> None:
    wire.get(f"{API}/version", **answer)
    with pytest.raises(PveRefused) as caught:
        pve.version()
    assert type(caught.value) is PveRefused
    assert caught.value.code == "pve.refused"
    assert wire.call_count == 1


@pytest.mark.parametrize(
    ("status", "reason", "error", "code"),
    [
        (401, "No ticket", PveDenied, "pve.auth_failed"),
        (401, "Authentication failed!", PveDenied, "pve.auth_failed"),
        (403, "Permission check failed (/vms/5001, VM.Audit)", PveRefused, "pve.refused"),
        (403, "Permission check failed (pool 'x' does not exist)", PveRefused, "pve.refused"),
        (500, "Configuration file 'nodes/n1/lxc/5001.conf' does not exist", PveAbsent, "pve.absent"),
        (500, "hostname lookup 'n1' failed - failed to get address info for: n1:", PveAbsent, "pve.absent"),
        (500, "CT is locked (backup)", PveLocked, "pve.locked"),
        (595, "Errors during connection establishment, proxy handshake: refused", PveUnreachable, "pve.unreachable"),
        (596, "Connection timed out", PveUnreachable, "pve.unreachable"),
        (500, "cluster not ready - no quorum?", PveUnreachable, "pve.unreachable"),
        (503, "Service Unavailable", PveUnreachable, "pve.unreachable"),
    ],
)  # fmt: skip
def test_l70_what_pve_says_has_a_class_and_a_code(
    wire: requests_mock.Mocker, container: ContainerApi, status: int, reason: str, error: type[AppError], code: str
) -> None:
    wire.get(f"{API}/nodes/n1/lxc/5001/config", status_code=status, reason=reason, text="")
    with pytest.raises(error) as caught:
        container.config()
    assert type(caught.value) is error
    assert caught.value.code == code
    assert caught.value.members["try_again"] is isinstance(caught.value, PveUnreachable | PveLocked)


def test_a_locked_user_file_is_try_again(wire: requests_mock.Mocker, pve: Pve) -> None:
    text = "create pool failed: cfs-lock 'file-user_cfg' error: got lock request timeout\n"
    wire.post(f"{API}/pools", status_code=500, reason=text.strip(), json={"data": None, "message": text})
    with pytest.raises(PveLocked):
        pve.pools.create(PoolId("blue"), comment="")


def test_without_quorum_a_refused_write_under_etc_pve_is_away(
    wire: requests_mock.Mocker, container: ContainerApi
) -> None:
    text = "unable to open file '/etc/pve/nodes/n1/lxc/5001.conf.tmp.21103' - Permission denied"
    wire.put(f"{API}/nodes/n1/lxc/5001/config", status_code=500, reason=text, json={"data": None, "message": text})
    with pytest.raises(PveUnreachable):
        container.update({"memory": 1024})


@pytest.mark.parametrize("lost", [{"exc": NEVER_SENT}, {"status_code": 595, "text": ""}, {"exc": BROKEN_OFF}])
def test_l74_only_get_is_retried(wire: requests_mock.Mocker, pve: Pve, lost: dict[str, Any]) -> None:
    wire.get(f"{API}/version", [lost, lost, {"json": VERSION}])
    assert pve.version().version == "9.1.8"
    wire.post(f"{API}/pools", **lost)
    with pytest.raises((PveUnreachable, PveTimeout)):
        pve.pools.create(PoolId("blue"), comment="")
    assert [sent.method for sent in wire.request_history] == ["GET", "GET", "GET", "POST"]


def test_l74_retries_are_bounded(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(f"{API}/version", exc=NEVER_SENT)
    with pytest.raises(PveUnreachable):
        pve.version()
    assert wire.call_count == 3


def test_l75_a_slow_get_is_not_asked_again(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(f"{API}/version", exc=requests.ReadTimeout("slow"))
    with pytest.raises(PveTimeout):
        pve.version()
    assert wire.call_count == 1


@pytest.mark.parametrize(
    ("lost", "error"),
    [
        (NEVER_SENT, PveUnreachable),
        (requests.ConnectTimeout("no answer to SYN"), PveUnreachable),
        (requests.exceptions.SSLError("certificate verify failed"), PveUnreachable),
        (BROKEN_OFF, PveTimeout),
        (requests.ReadTimeout("slow"), PveTimeout),
        (requests.ConnectionError(ReadTimeoutError(None, "/", "slow body")), PveTimeout),  # type: ignore[arg-type]
        (requests.exceptions.ChunkedEncodingError("cut off"), PveTimeout),
    ],
)
def test_l74_a_write_that_was_sent_may_have_happened(
    wire: requests_mock.Mocker, pve: Pve, lost: Exception, error: type[AppError]
) -> None:
    wire.post(f"{API}/pools", exc=lost)
    with pytest.raises(error):
        pve.pools.create(PoolId("blue"), comment="")
    assert wire.call_count == 1


def test_a_refused_token_is_not_tried_again(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(f"{API}/version", status_code=401, reason="Authentication failed!", text="")
    with pytest.raises(PveDenied):
        pve.version()
    assert wire.call_count == 1


def test_secrets_are_neither_shown_nor_logged(
    wire: requests_mock.Mocker, pve: Pve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("proxmoxer", "proxmoxer.core"):
        caplog.set_level(logging.DEBUG, logger=name)
    wire.post(f"{API}/access/users/a@pve/token/ph", json={"data": {"value": "very-secret", "info": {}}})
    assert pve.access.create_token(PveUserId("a@pve"), "ph", comment="mine") == "very-secret"
    assert "very-secret" not in caplog.text
    assert "comment" not in caplog.text
    assert TOKEN.secret not in repr(TOKEN)


def test_the_environment_changes_nothing(wire: requests_mock.Mocker, pve: Pve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    wire.get(f"{API}/version", json=VERSION, headers={"Set-Cookie": "PVEAuthCookie=x"})
    pve.version()
    pve.version()
    assert not wire.last_request.proxies
    assert "Cookie" not in wire.last_request.headers


def test_l48_a_delete_has_no_body(wire: requests_mock.Mocker, container: ContainerApi) -> None:
    wire.delete(f"{API}/nodes/n1/lxc/5001", json={"data": UPID})
    assert container.destroy(purge=True, force=True) == UPID
    assert wire.last_request.body is None
    assert wire.last_request.qs == {"purge": ["1"], "force": ["1"]}


def test_connections_are_shared_and_forgotten(endpoint: Endpoint, connections: PveConnections) -> None:
    one = connections.connect(endpoint, TOKEN)
    assert connections.connect(Endpoint(URL, timeout=2), TOKEN) is one
    other = ApiToken(TOKEN.id, "another-secret")
    assert connections.connect(endpoint, other) is not one
    connections.forget(endpoint)
    assert connections.connect(endpoint, TOKEN) is not one


def test_l75_an_endpoint_that_fails_is_left_alone(wire: requests_mock.Mocker, endpoint: Endpoint) -> None:
    pve = PveConnections(limits=Limits(failures=3, rest=10)).connect(endpoint, TOKEN)
    wire.get(f"{API}/version", exc=NEVER_SENT)
    for _ in range(4):
        with pytest.raises(PveUnreachable):
            pve.version()
    assert wire.call_count == 3
    with pytest.raises(PveUnreachable) as caught:
        pve.version()
    assert caught.value.members["retry_after"] == 10


def test_l75_a_silent_node_leaves_the_others_alone(wire: requests_mock.Mocker, endpoint: Endpoint) -> None:
    pve = PveConnections(limits=Limits(failures=2, rest=30)).connect(endpoint, TOKEN)
    wire.get(f"{API}/nodes/n2/storage", exc=requests.ReadTimeout("slow"))
    wire.get(f"{API}/nodes/n1/storage", json={"data": []})
    for _ in range(3):
        with pytest.raises((PveTimeout, PveUnreachable)):
            pve.node(NodeName("n2")).storages()
    assert wire.call_count == 2
    assert pve.node(NodeName("n1")).storages() == []


def test_l75_calls_at_once_are_limited_and_a_node_has_a_share(wire: requests_mock.Mocker) -> None:
    pve = PveConnections(limits=Limits(calls=2)).connect(Endpoint(URL, timeout=0.2), TOKEN)
    inside, leave = threading.Event(), threading.Event()

    def slow(*_: object) -> dict[str, Any]:
        inside.set()
        leave.wait(10)
        return {"data": []}

    wire.get(f"{API}/nodes/n2/storage", json=slow)
    wire.get(f"{API}/nodes/n1/storage", json={"data": []})
    held = threading.Thread(target=pve.node(NodeName("n2")).storages)
    held.start()
    assert inside.wait(10)
    try:
        began = time.monotonic()
        with pytest.raises(PveUnreachable):
            pve.node(NodeName("n2")).storages()
        assert time.monotonic() - began < 2
        assert pve.node(NodeName("n1")).storages() == []
    finally:
        leave.set()
        held.join(10)


def test_one_call_tries_an_endpoint_that_has_rested() -> None:
    clock = [0.0]
    breaker = Breaker(Limits(failures=2, rest=1, longest_rest=3), lambda: clock[0])
    breaker.failed()
    breaker.admit()
    breaker.failed()
    with pytest.raises(PveUnreachable):
        breaker.admit()
    clock[0] = 1.1
    breaker.admit()
    with pytest.raises(PveUnreachable):
        breaker.admit()
    breaker.failed()
    clock[0] = 2.5
    with pytest.raises(PveUnreachable):
        breaker.admit()
    clock[0] = 4.2
    breaker.admit()
    breaker.answered()
    breaker.admit()


@pytest.mark.parametrize(
    "url",
    ["http://pve.test", "https://", "https://a:b@pve.test", "https://pve.test/api2", "pve.test", "https://x:99999"],
)
def test_an_endpoint_is_https_and_nothing_more(url: str) -> None:
    with pytest.raises(Invalid):
        Endpoint(url)


def test_an_endpoints_parts_are_checked_and_made_even() -> None:
    endpoint = Endpoint("https://pve.test/", fingerprint=":".join(["AB"] * 32))
    assert (endpoint.url, endpoint.fingerprint) == ("https://pve.test:8006", "ab" * 32)
    assert Endpoint("https://[::1]:8006").url == "https://[::1]:8006"
    for wrong in ({"fingerprint": "xyz"}, {"ca_pem": "no certificate"}, {"timeout": 0.0}):
        with pytest.raises(Invalid):
            Endpoint(URL, **wrong)  # type: ignore[arg-type]


def test_l76_the_node_is_what_the_caller_says(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(f"{API}/nodes/n2/lxc/5001/status/current", json={"data": {"status": "running", "cpus": 1, "vmid": 5001}})
    assert pve.node(NodeName("n2")).lxc(VmId(5001)).status().status == "running"
    assert wire.call_count == 1
