"""What a guest uses, now and over time, for both kinds alike."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.test_errors import assert_problem
from tests.house import Caller, House, container, vm

KINDS = {"cts": container, "vms": vm}
PVE_KIND = {"cts": "lxc", "vms": "qemu"}


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest, member: Caller) -> tuple[str, dict[str, Any]]:
    """(path, guest)"""
    body = KINDS[request.param](start=True)
    guest = member.done("POST", f"/proxmox/{request.param}", body)["result"]["guest"]
    return f"/proxmox/{request.param}/{guest['id']}", guest


def asked(house: House, mark: int, tenant: dict[str, Any]) -> list[str]:
    return [call["path"] for call in house.pve.calls(mark) if call["user"].startswith(tenant["pve_user"])]


@pytest.mark.parametrize("timeframe", ["", "hour", "day", "week", "month", "year"])
def test_what_a_guest_used_is_one_call_with_the_tenant_s_token(
    house: House, tenant: dict[str, Any], member: Caller, running: tuple[str, dict[str, Any]], timeframe: str
) -> None:
    path, guest = running
    base = f"/nodes/{guest['node']}/{PVE_KIND[path.split('/')[2]]}/{guest['vmid']}/rrddata"
    mark = house.pve.mark()
    answer = member.get(f"{path}/metrics?timeframe={timeframe}" if timeframe else f"{path}/metrics")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    (call,) = [call for call in house.pve.calls(mark) if call["user"].startswith(tenant["pve_user"])]
    assert call["path"] == base
    told = answer.get_json()
    assert told["count"] == len(told["data"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_guest_that_is_off_has_no_points_and_that_is_no_error(member: Caller, kind: str) -> None:
    """L108."""
    guest = member.done("POST", f"/proxmox/{kind}", KINDS[kind]())["result"]["guest"]
    told = member.get(f"/proxmox/{kind}/{guest['id']}/metrics").get_json()
    assert (told["data"], told["count"], told["next"]) == ([], 0, None)


def test_a_timeframe_that_is_none_is_refused_by_us(member: Caller, running: tuple[str, dict[str, Any]]) -> None:
    path, _ = running
    for field, value in (("timeframe", "decade"), ("of", "min"), ("cf", "MAX")):
        refused = assert_problem(member.get(f"{path}/metrics?{field}={value}"), 422, "validation.failed")
        assert list(refused["errors"]) == [field]


# -- status


def test_a_running_guest_tells_its_disk_use_and_addresses(
    house: House, tenant: dict[str, Any], member: Caller, running: tuple[str, dict[str, Any]]
) -> None:
    path, guest = running
    with house.pve.inside(guest["vmid"], agent=True):
        mark = house.pve.mark()
        live = member.get(f"{path}/status").get_json()["live"]
        calls = asked(house, mark, tenant)
    (root,) = live["file_systems"]
    assert root["mountpoint"] == "/"
    assert root["total"] >= root["used"]
    assert root["total"] > 0
    assert live["addresses"]
    assert len(calls) <= 3, "status, addresses, file systems"


def test_an_agent_that_is_silent_leaves_its_part_out(house: House, tenant: dict[str, Any], member: Caller) -> None:
    """L78."""
    guest = member.done("POST", "/proxmox/vms", vm(start=True))["result"]["guest"]
    mark = house.pve.mark()
    live = member.get(f"/proxmox/vms/{guest['id']}/status").get_json()["live"]
    assert (live["status"], live["addresses"], live["file_systems"]) == ("running", [], [])
    assert len(asked(house, mark, tenant)) <= 2, "who did not tell the one is not asked for the other"
