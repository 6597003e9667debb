"""Snapshots, templates, storages and backups by `community.proxmox`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.clients.ansible.playing import Player
from tests.lab.process import LabProcess, Session, running

pytestmark = pytest.mark.matrix
_APPLIANCE = "debian-12-standard_12.12-1_amd64.tar.zst"


@pytest.fixture(scope="module")
def lab_process() -> Iterator[LabProcess]:
    with running(guests=4) as lab:
        yield lab


def test_snapshots_come_and_go(player: Player, root: Session) -> None:
    (play,) = player.play("snapshots")
    assert play.unchanged == ["made again", "rolled back to nothing", "removed again"]
    kept = root.ok("GET", "/nodes/n1/qemu/1000/snapshot")
    assert [row["name"] for row in kept] == ["three", "current"]
    assert root.ok("GET", "/nodes/n1/lxc/1001/config")["parent"] == "one"


def test_templates_are_uploaded_and_fetched_once(player: Player, root: Session, tmp_path: Path) -> None:
    (tmp_path / "tiny.iso").write_bytes(b"\0" * 2048)
    (play,) = player.play("templates", appliance=_APPLIANCE)
    assert play.unchanged == ["uploaded again", "appliance again", "contents", "removed again"]
    sizes = {row["volid"]: row["size"] for row in play.of("contents")["proxmox_storage_content"]}
    assert sizes["local:iso/tiny.iso"] == 2048
    fetched = [row["volid"] for row in root.ok("GET", "/nodes/n2/storage/local/content")]
    assert fetched == [f"local:vztmpl/{_APPLIANCE}"]


def test_storages_are_defined_once(player: Player, root: Session) -> None:
    (play,) = player.play("storages")
    assert play.changed == ["folder", "share", "share removed"]
    assert {row["storage"] for row in play.of("all")["proxmox_storages"]} == {"local", "local-lvm", "archive", "share"}
    (archive,) = play.of("one")["proxmox_storages"]
    assert (archive["path"], sorted(archive["nodes"])) == ("/srv/archive", ["n1", "n2"])
    assert sorted(archive["content"]) == ["backup", "iso"]
    assert [row["storage"] for row in play.of("of a type")["proxmox_storages"]] == ["local-lvm"]
    assert {row["storage"] for row in root.ok("GET", "/storage")} == {"local", "local-lvm", "archive"}


def test_backups_are_made_and_scheduled(player: Player, root: Session) -> None:
    root.ok("POST", "/pools", poolid="shop")
    root.ok("PUT", "/pools/shop", vms="1001")
    root.ok(
        "POST", "/cluster/backup", id="nightly", schedule="02:30", storage="local", mode="snapshot", vmid="1000,1002"
    )
    (play,) = player.play("backups")
    assert play.changed == [
        *("of two guests", "of a pool, stopped meanwhile", "only thought of"),
        *("guest added to a job", "guest taken from a job"),
    ]
    # The module knows but one text of a task that failed, and waits on where it is another.
    assert "Reached timeout" in play.of("to where backups cannot be")["msg"]
    (failed,) = root.ok("GET", "/nodes/n1/tasks", typefilter="vzdump", errors=1)
    assert "local-lvm" in failed["status"]
    archives = root.ok("GET", "/nodes/n1/storage/local/content", content="backup")
    assert sorted((row["vmid"], row.get("protected", 0), row["notes"]) for row in archives) == [
        (1000, 1, "Before the change"),
        (1001, 0, "ct-1001"),
        (1001, 1, "Before the change"),
    ]
    assert root.ok("GET", "/cluster/backup/nightly")["vmid"] == "1002,1001"
    assert [job["id"] for job in play.of("jobs")["backup_info"]] == ["nightly"]
    (job,) = play.of("jobs of a guest")["backup_info"]
    assert (job["vmid"], job["schedule"], job["enabled"]) == ("1001", "02:30", 1)
    assert [task["type"] for task in play.of("tasks")["proxmox_tasks"]].count("vzdump") == 3
