"""Guests are restarted and watched until their port answers: a real listener that comes when they have booted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from app import create_app
from app.config import Settings
from tests.guests.test_change import KINDS, PVE_KIND, allocated, make
from tests.house import Caller, House, wait_for

#: Addresses of the guests of these tests, and the port that they listen on there.
_ADDRESSES, PORT = count(2), 18_077
START = {"cts": "vzstart", "vms": "qmstart"}
SHUTDOWN = {"cts": "vzshutdown", "vms": "qmshutdown"}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def guest(house: House, member: Caller, kind: str) -> Iterator[dict[str, Any]]:
    """One that runs, with a port of its own once it is started anew."""
    made = make(member, kind, start=True, net={"bridge": "vmbr0"})
    with house.pve.inside(made["vmid"], agent=True, address=f"127.18.7.{next(_ADDRESSES)}", port=PORT):
        yield made


def path(kind: str, guest: dict[str, Any]) -> str:
    return f"/proxmox/{kind}/{guest['id']}/restart"


def watching(**more: Any) -> dict[str, Any]:
    return {"watch": {"tcp": {"port": PORT}, "timeout": 60, "interval": 1, **more}}


def test_a_restart_ends_when_the_port_answers(house: House, member: Caller, kind: str, guest: dict[str, Any]) -> None:
    """C12: shut down, started, watched from the worker; without a port it only has to run."""
    with house.pve.inside(guest["vmid"], boot_seconds=0):
        done = member.done("POST", path(kind, guest), watching())
    result = done["result"]
    assert (result["guest"]["state"], done["type"]) == ("running", f"{kind[:-1]}.restart")
    assert result["attempts"] >= 1
    assert result["elapsed_seconds"] > 0
    upids = {step["name"]: step["upid"] for step in done["steps"]}
    assert f":{SHUTDOWN[kind]}:" in upids["shut down"]
    assert f":{START[kind]}:" in upids["started"]
    (address,) = result["guest"]["addresses"]
    own = {"watch": {"tcp": {"port": PORT, "host": address}, "interval": 1}}
    assert member.done("POST", path(kind, guest), own)["result"]["attempts"] >= 1
    assert member.done("POST", path(kind, guest))["result"]["attempts"] == 1


def test_a_port_that_does_not_answer_in_time_is_told_and_the_guest_runs(
    house: House, member: Caller, kind: str, guest: dict[str, Any]
) -> None:
    body = {"watch": {"tcp": {"port": PORT + 1}, "timeout": 1, "interval": 1}, "cooldown": 600}
    answer = member.post(path(kind, guest), body, wait=30)
    told = answer.get_json()
    assert (answer.status_code, told["code"]) == (504, "restart.watch_timeout")
    assert told["attempts"] >= 1
    assert member.get(f"/proxmox/{kind}/{guest['id']}").get_json()["state"] == "running"
    member.done("POST", path(kind, guest))  # L52: a cooldown starts only after success


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_nobody_elses_address_is_connected_to(member: Caller, kind: str, guest: dict[str, Any], host: str) -> None:
    body = {"watch": {"tcp": {"port": PORT, "host": host}}}
    refused = member.post(path(kind, guest), body)
    assert refused.status_code == 422
    assert "host" in refused.get_json()["errors"]["watch"]["tcp"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"watch": {"tcp": {}}}, "watch"),
        ({"watch": {"tcp": {"port": 0}}}, "watch"),
        ({"watch": {"tcp": {"port": 80, "host": "example.org"}}}, "watch"),
        ({"watch": {"timeout": 10, "startup_delay": 10}}, "watch"),
        ({"cooldown": -1}, "cooldown"),
        ({"force": True}, "force"),
    ],
)
def test_a_wrong_body_is_refused_with_its_field(
    member: Caller, kind: str, guest: dict[str, Any], body: dict[str, Any], field: str
) -> None:
    refused = member.post(path(kind, guest), body)
    assert refused.status_code == 422
    assert field in refused.get_json()["errors"]


def test_an_address_in_a_network_that_is_not_the_guests_is_left_alone(
    house: House, member: Caller, kind: str, guest: dict[str, Any]
) -> None:
    """A guest may say that any address is its own: only those in the networks that are guests' are believed."""
    with house.pve.inside(guest["vmid"], address="10.1.2.3"):
        body = {"watch": {"tcp": {"port": PORT}, "timeout": 1, "interval": 1}}
        told = member.post(path(kind, guest), body, wait=30).get_json()
        assert told["code"] == "restart.watch_timeout"
        assert "may not be reached" in told["detail"]


def test_one_restart_at_a_time_and_none_before_the_cooldown_is_over(
    house: House, member: Caller, kind: str, guest: dict[str, Any]
) -> None:
    """L51, L52."""
    house.lab.stop_time()
    try:
        first = member.post(path(kind, guest), {"cooldown": 600})
        assert first.status_code == 202
        second = member.post(path(kind, guest))
        assert (second.status_code, second.get_json()["code"]) == (409, "restart.in_progress")
        assert second.get_json()["operation"] == first.headers["Location"]
        other = member.post(f"/proxmox/{kind}/{guest['id']}/stop")
        assert (other.status_code, other.get_json()["code"]) == (409, "guest.busy")
    finally:
        house.lab.run_time(0)
    operation = first.headers["Location"].removeprefix("/api")
    wait_for(lambda: member.get(operation).get_json()["state"] == "succeeded")
    soon = member.post(path(kind, guest))
    assert (soon.status_code, soon.get_json()["code"]) == (429, "restart.cooldown")
    assert 1 <= int(soon.headers["Retry-After"]) <= 600


def test_a_user_restarts_so_often_a_day_as_the_operator_lets_him(house: House) -> None:
    """L52: what failed does not count."""
    limited = create_app(Settings.from_env({**house.environ, "POOLHOUSE_RESTARTS_PER_DAY": "1"}))
    other = house.make_member(house.make_tenant())
    guest = make(other, "cts")
    caller = Caller(limited.test_client(), other.token)
    with house.pve.fault(kind="task_fails", task=f"vzstart:{guest['vmid']}", text="start failed"):
        assert caller.post(path("cts", guest), wait=30).get_json()["code"] == "restart.start_failed"
    caller.done("POST", path("cts", guest))
    refused = caller.post(path("cts", guest))
    assert (refused.status_code, refused.get_json()["code"]) == (429, "restart.limit")
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400


@pytest.mark.parametrize(("kind", "failing", "ended"), [("cts", 2, "succeeded"), ("vms", 9, "failed")])
def test_a_failed_start_is_tried_again_and_a_stopped_guest_is_told(
    house: House, member: Caller, tenant: dict[str, Any], kind: str, failing: int, ended: str
) -> None:
    """L51: no guest is left stopped untold; what does not run is not charged as running."""
    made = make(member, kind, start=True)
    running = allocated(member, tenant)["running_cores"]
    task = f"{START[kind]}:{made['vmid']}"
    with house.pve.fault(kind="task_fails", task=task, text="start failed: QEMU exited", count=failing):
        answer = member.post(path(kind, made), wait=60).get_json()
    state = member.get(f"/proxmox/{kind}/{made['id']}").get_json()["state"]
    if ended == "succeeded":
        assert (answer["state"], state) == ("succeeded", "running")
    else:
        assert (answer["code"], answer["left"], state) == ("restart.start_failed", "stopped", "stopped")
        assert answer["cause"] == "pve.task_failed"
        assert allocated(member, tenant)["running_cores"] == running - 1
    member.done("DELETE", f"/proxmox/{kind}/{made['id']}?force=true")


def test_a_guest_that_does_not_go_down_is_left_running(
    house: House, member: Caller, kind: str, guest: dict[str, Any]
) -> None:
    made = make(member, kind, start=True)
    with house.pve.inside(made["vmid"], deaf=True):
        late = member.post(path(kind, made), {"shutdown_timeout": 1}, wait=30)
    assert (late.status_code, late.get_json()["code"]) == (504, "restart.shutdown_timeout")
    with house.pve.fault(kind="task_fails", task=SHUTDOWN[kind], text="command failed", count=1):
        failed = member.post(path(kind, made), wait=30)
    assert (failed.status_code, failed.get_json()["code"]) == (502, "restart.shutdown_failed")
    status = house.pve.get(f"/nodes/{made['node']}/{PVE_KIND[kind]}/{made['vmid']}/status/current")
    assert status["status"] == "running"
    member.done("DELETE", f"/proxmox/{kind}/{made['id']}?force=true")
