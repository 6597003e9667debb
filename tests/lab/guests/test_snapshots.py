"""Snapshots where the recorded scenarios end: the order of refusals, and disks that came after the snapshot."""

import pytest

from tests.lab.guests.api import Api

MAKERS = {"qemu": ("scsi0", "scsi1", "local-lvm:1"), "lxc": ("rootfs", "mp1", "local-lvm:1,mp=/x")}


def made(root: Api, kind: str) -> str:
    (root.machine if kind == "qemu" else root.container)(300, **{MAKERS[kind][0]: "local-lvm:1"})
    return f"/nodes/n1/{kind}/300"


@pytest.mark.parametrize("kind", MAKERS)
def test_a_disk_that_came_later_is_unused_after_the_rollback(root: Api, kind: str) -> None:
    at = made(root, kind)
    _first, second, value = MAKERS[kind]
    root.task("POST", f"{at}/snapshot", snapname="s1")
    root.do("PUT", f"{at}/config", **{second: value})
    assert root.task("POST", f"{at}/snapshot/s1/rollback") == "OK"
    config = root.get(f"{at}/config")
    assert second not in config
    assert config["unused0"] == "local-lvm:vm-300-disk-1"


@pytest.mark.parametrize("kind", MAKERS)
def test_a_missing_snapshot_is_seen_before_a_lock(root: Api, kind: str) -> None:
    at = made(root, kind)
    root.task("POST", f"{at}/snapshot", snapname="s1")
    root.do("PUT", f"{at}/config", lock="backup")
    locked = f"{'VM' if kind == 'qemu' else 'CT'} is locked (backup)"
    for name, wanted in (("s1", locked), ("nope", "snapshot 'nope' does not exist")):
        assert root.task("POST", f"{at}/snapshot/{name}/rollback") == wanted
        assert root.task("DELETE", f"{at}/snapshot/{name}") == wanted
    assert root.task("POST", f"{at}/snapshot", snapname="s1") == locked


@pytest.mark.parametrize("kind", MAKERS)
def test_templates_and_snapshots(root: Api, kind: str) -> None:
    at = made(root, kind)
    root.do("POST", f"{at}/template")
    while not root.get(f"{at}/config").get("template"):
        pass
    root.do("PUT", f"{at}/config", lock="backup")
    assert root.task("POST", f"{at}/snapshot", snapname="s1") == "you can't take a snapshot if it's a template"
    assert root.task("POST", f"{at}/snapshot/s1/rollback") == "you can't rollback if vm is a template"


def test_a_description_that_is_not_given_is_looked_at_by_nobody(root: Api) -> None:
    at = made(root, "qemu")
    root.do("PUT", f"{at}/snapshot/nope/config")
    assert root.ask("PUT", f"{at}/snapshot/nope/config", description="x").status == 500
    assert root.ask("POST", f"{at}/snapshot", snapname="Pending").reason.startswith(
        "unable to use snapshot name 'pending'"
    )
