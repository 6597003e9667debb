"""What is made of PVE's answers about metrics, agents and logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests_mock

from app.domain.errors import Invalid
from app.domain.identifiers import NodeName, Upid
from app.pve import ContainerApi, FileSystem, MetricPoint, Pve, VmApi
from tests.pve.conftest import API, UPID
from tests.pve.schema import assert_known

CT = f"{API}/nodes/n1/lxc/5001"
VM = f"{API}/nodes/n1/qemu/5002"


@pytest.fixture(autouse=True)
def l48_known_to_pve(wire: requests_mock.Mocker) -> Iterator[None]:
    yield
    assert_known(wire)


def test_a_point_is_what_pve_measured_and_none_where_it_did_not(
    wire: requests_mock.Mocker, container: ContainerApi
) -> None:
    figures = {
        "time": 120, "cpu": 0.25, "maxcpu": 2, "mem": 1024, "maxmem": 4096, "disk": 10, "maxdisk": 20, "netin": 1.5,
        "netout": 2, "diskread": 3, "diskwrite": 4, "pressurecpusome": 0,
    }  # fmt: skip
    wire.get(f"{CT}/rrddata", json={"data": [{"time": 180, "mem": "7"}, figures, {"time": 60}]})
    whole, part = container.metrics("day")
    assert whole == MetricPoint(120, 0.25, 2, 1024, 4096, 10, 20, 1.5, 2, 3, 4)
    assert (part.time, part.memory, part.cpu, part.net_in) == (180, 7, None, None)
    assert wire.last_request.qs == {"timeframe": ["day"], "cf": ["average"]}
    container.metrics("year", peaks=True)
    assert wire.last_request.qs == {"timeframe": ["year"], "cf": ["max"]}
    with pytest.raises(Invalid):
        container.metrics("decade")


def test_a_vm_s_file_systems_are_its_agent_s(wire: requests_mock.Mocker, vm: VmApi) -> None:
    found = [
        {"mountpoint": "/", "type": "ext4", "total-bytes": 1000, "used-bytes": 10, "name": "sda1", "disk": []},
        {"mountpoint": "/media/cdrom", "type": "iso9660", "name": "sr0", "disk": []},
    ]
    wire.get(f"{VM}/agent/get-fsinfo", json={"data": {"result": found}})
    wire.get(f"{VM}/status/current", json={"data": {"status": "running", "agent": 1}})
    assert vm.file_systems(vm.status()) == [FileSystem("/", "ext4", 1000, 10)]
    for off in ({"status": "stopped", "agent": 1}, {"status": "running"}):
        wire.get(f"{VM}/status/current", json={"data": off})
        asked = wire.call_count
        assert vm.file_systems(vm.status()) == []
        assert wire.call_count == asked + 1, "nobody is asked who cannot answer"
    wire.get(f"{VM}/status/current", json={"data": {"status": "running", "agent": 1}})
    wire.get(f"{VM}/agent/get-fsinfo", status_code=500, reason="QEMU guest agent is not running")
    assert vm.file_systems(vm.status()) == []


def test_a_container_s_root_is_pve_s_own_figure(wire: requests_mock.Mocker, container: ContainerApi) -> None:
    wire.get(f"{CT}/status/current", json={"data": {"status": "running", "disk": 5, "maxdisk": 9}})
    assert container.file_systems(container.status()) == [FileSystem("/", "", 9, 5)]


def test_pages_of_logs_and_tasks_know_how_many_there_are(wire: requests_mock.Mocker, pve: Pve) -> None:
    upid, node = Upid(UPID), pve.node(NodeName("n1"))
    wire.get(f"{API}/nodes/n1/tasks/{UPID}/log", json={"data": [{"n": 3, "t": "c"}, {"n": 2, "t": "b"}], "total": 7})
    assert node.task_log_page(upid, start=1, limit=2) == (["b", "c"], 7)
    assert wire.last_request.qs == {"start": ["1"], "limit": ["2"]}
    wire.get(f"{API}/nodes/n1/tasks", json={"data": [], "total": 4})
    assert node.task_page(start=0, limit=50) == ([], 4)
    wire.get(f"{API}/nodes/n1/tasks", json={"data": []})
    assert node.task_page(start=0, limit=50) == ([], 0), "a PVE that does not tell"
