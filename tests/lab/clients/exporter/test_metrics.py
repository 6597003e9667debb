"""What prometheus-pve-exporter says of the lab, with every collector on, against what the lab's API says."""

from __future__ import annotations

import pytest

from tests.lab.clients.exporter.scraping import Exporter, Metrics
from tests.lab.process import Session

_SIZES = {
    "pve_disk_size_bytes": "maxdisk",
    "pve_memory_size_bytes": "maxmem",
    "pve_cpu_usage_limit": "maxcpu",
}
_GUEST_LOADS = (
    *("pve_cpu_usage_ratio", "pve_memory_usage_bytes", "pve_uptime_seconds"),
    *("pve_network_transmit_bytes_total", "pve_network_receive_bytes_total"),
    *("pve_disk_written_bytes_total", "pve_disk_read_bytes_total"),
)


def _running(metrics: Metrics) -> set[str]:
    return {name for name, up in metrics.by_id("pve_up").items() if up and name.startswith(("qemu/", "lxc/"))}


def test_everything_that_is_up_is_up(exporter: Exporter) -> None:
    up = exporter.scrape().by_id("pve_up")
    stopped = {"lxc/1003", "lxc/1007", "qemu/9000"}
    assert {name for name, value in up.items() if not value} == stopped
    assert set(up) - stopped == {
        *("cluster/testcluster", "node/n1", "node/n2"),
        *("qemu/1000", "lxc/1001", "qemu/1002", "qemu/1004", "lxc/1005", "qemu/1006"),
        *("storage/n1/local", "storage/n2/local", "storage/n1/local-lvm", "storage/n2/local-lvm"),
    }


def test_infos_of_cluster_nodes_and_version(exporter: Exporter, root: Session) -> None:
    metrics, version = exporter.scrape(), root.ok("GET", "/version")
    assert metrics.labels("pve_version_info") == [{name: version[name] for name in ("release", "repoid", "version")}]
    assert metrics.labels("pve_cluster_info") == [
        {"id": "cluster/testcluster", "nodes": "2", "quorate": "1", "version": str(_cluster_version(root))}
    ]
    assert metrics.labels("pve_node_info") == [
        {"id": f"node/n{number}", "level": "", "name": f"n{number}", "nodeid": str(number)} for number in (1, 2)
    ]


def _cluster_version(root: Session) -> int:
    rows = root.ok("GET", "/cluster/status")
    return next(int(row["version"]) for row in rows if row["type"] == "cluster")


def test_infos_of_guests_and_storages(exporter: Exporter, root: Session) -> None:
    root.ok("PUT", "/nodes/n1/qemu/1000/config", tags="web;prod", name="shop")
    metrics = exporter.scrape()
    guests = {row["id"]: row for row in metrics.labels("pve_guest_info")}
    assert guests["qemu/1000"] == {
        **{"id": "qemu/1000", "node": "n1", "name": "shop", "type": "qemu", "template": "0", "tags": "web;prod"}
    }
    assert guests["lxc/1003"] | {"tags": ""} == {
        **{"id": "lxc/1003", "node": "n2", "name": "ct-1003", "type": "lxc", "template": "0", "tags": ""}
    }
    assert guests["qemu/9000"]["template"] == "1"
    assert len(guests) == 9
    storages = {row["id"]: row for row in metrics.labels("pve_storage_info")}
    assert storages["storage/n2/local"] == {
        **{"id": "storage/n2/local", "node": "n2", "storage": "local", "plugintype": "dir"},
        "content": "backup,iso,vztmpl",
    }
    assert metrics.by_id("pve_storage_shared") == dict.fromkeys(storages, 0.0)


@pytest.mark.parametrize(("metric", "key"), _SIZES.items())
def test_sizes_are_those_of_the_resources(exporter: Exporter, root: Session, metric: str, key: str) -> None:
    rows = root.ok("GET", "/cluster/resources")
    assert exporter.scrape().by_id(metric) == {row["id"]: row[key] for row in rows if key in row}


def test_guests_that_run_have_loads_and_the_others_none(exporter: Exporter) -> None:
    before = exporter.scrape()
    exporter.lab.control("PUT", "clock", {"advance": 600})
    after = exporter.scrape()
    running = _running(after)
    assert len(running) == 6
    for metric in _GUEST_LOADS:
        loads = {name: value for name, value in after.by_id(metric).items() if name.startswith(("qemu/", "lxc/"))}
        assert {name for name, value in loads.items() if value > 0} == running, metric
        if metric.endswith(("_total", "_seconds")):
            assert all(loads[name] > before.by_id(metric)[name] for name in running), metric
    for name in running:
        assert after.by_id("pve_cpu_usage_ratio")[name] <= 1
        assert after.by_id("pve_memory_usage_bytes")[name] <= after.by_id("pve_memory_size_bytes")[name]
        assert after.by_id("pve_uptime_seconds")[name] >= 600
    assert 0 < after.by_id("pve_disk_usage_bytes")["storage/n1/local-lvm"] < 1000 << 30


def test_a_lock_is_a_state(exporter: Exporter, root: Session) -> None:
    root.ok("PUT", "/nodes/n2/qemu/1002/config", lock="backup")
    locked = {labels for labels, value in exporter.scrape()["pve_lock_state"].items() if value}
    assert locked == {frozenset({"id": "qemu/1002", "state": "backup"}.items())}


def test_nothing_is_given_to_the_ha_manager_nor_replicated(exporter: Exporter) -> None:
    metrics = exporter.scrape()
    states = metrics["pve_ha_state"]
    assert metrics.value("pve_ha_state", id="node/n1", state="online") == 0
    assert len(states) > 9 * 11
    assert not any(states.values())
    assert not [name for name in metrics if name.startswith(("pve_replication", "pve_qdevice"))]


def test_guests_without_a_backup_job(exporter: Exporter, root: Session) -> None:
    metrics = exporter.scrape()
    bare = {row["id"] for row in metrics.labels("pve_not_backed_up_info")}
    assert metrics.value("pve_not_backed_up_total", id="cluster/testcluster") == len(bare) == 9
    root.ok("POST", "/cluster/backup", schedule="sat 02:00", storage="local", vmid="1000,1001")
    metrics = exporter.scrape()
    assert bare - {row["id"] for row in metrics.labels("pve_not_backed_up_info")} == {"qemu/1000", "lxc/1001"}
    assert metrics.value("pve_not_backed_up_total", id="cluster/testcluster") == 7


def test_a_host_without_a_subscription(exporter: Exporter) -> None:
    metrics = exporter.scrape()
    assert metrics.labels("pve_subscription_info") == [{"id": "node/n1", "level": "unknown"}]
    states = {dict(labels)["status"] for labels, value in metrics["pve_subscription_status"].items() if value}
    assert states == {"notfound"}
    assert "pve_subscription_next_due_timestamp_seconds" not in metrics


def test_guests_that_start_with_their_host(exporter: Exporter, root: Session) -> None:
    root.ok("PUT", "/nodes/n1/lxc/1005/config", onboot=1)
    root.ok("PUT", "/nodes/n1/qemu/1004/config", onboot=0)
    assert exporter.scrape(cluster="0")["pve_onboot_status"] == {
        frozenset({"id": "lxc/1005", "node": "n1", "type": "lxc"}.items()): 1,
        frozenset({"id": "qemu/1004", "node": "n1", "type": "qemu"}.items()): 0,
    }


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("narrow", "403 Forbidden: Permission check failed (/, Sys.Audit)"),
        ("wrong", "Couldn't authenticate user: root@pam"),
    ],
)
def test_who_may_not_look_gets_no_metrics(exporter: Exporter, module: str, said: str) -> None:
    assert exporter.answer(module=module).status_code == 500
    assert said in exporter.log.read_text()
    assert exporter.own_metrics().value("pve_request_errors_total", module=module) == 1


def test_no_call_of_the_exporter_is_unknown_to_the_lab(exporter: Exporter) -> None:
    exporter.lab.control("DELETE", "calls")
    exporter.scrape()
    calls = exporter.lab.calls()
    assert {call["status"] for call in calls} == {200}
    assert {call["user"] for call in calls} == {"prometheus@pve!exporter"}
    assert exporter.own_metrics()["pve_scrape_api_errors_total"]
