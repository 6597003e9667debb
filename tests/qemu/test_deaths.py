"""kill -9 of libvirtd in the middle: what is asked again afterwards ends well, and the guest never notices."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.domain.errors import AppError, QemuAway, QemuConflict
from app.domain.identifiers import SnapshotName
from app.qemu.images import FileId
from app.qemu.machines import BackupState, Bus, Disk, Firmware, Format, Machine, Media, PowerState
from tests.qemu.daemon import wait_for
from tests.qemu.inside import Inside
from tests.qemu.room import Room

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(900)]

MIB = 1 << 20
VOLUME_MIB = 256
NAME = SnapshotName("before")


@pytest.fixture(scope="module")
def pair(room: Room) -> tuple[Machine, Inside, Disk]:
    """A running machine with a volume that is full."""
    path = room.files.volume(FileId(str(uuid.uuid4())), Format.RAW)
    with path.open("wb") as file:
        for _ in range(VOLUME_MIB):
            file.write(os.urandom(MIB))
    whole = room.files.volume(FileId(str(uuid.uuid4())), Format.QCOW2)
    room.files.copy(path, Format.RAW, whole, Format.QCOW2, small=False)
    machine = room.machine()
    [inside] = room.start(machine)
    disk = Disk(1, whole, Format.QCOW2, Bus.SCSI)
    room.driver.attach_disk(machine.id, disk)
    inside.output("echo kept >/root/kept")
    return machine, inside, disk


@pytest.fixture(params=[0.0, 0.05, 0.3], ids=["at once", "soon", "later"])
def dying(request: pytest.FixtureRequest, room: Room) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Does something, and kills the daemon that long after it has begun; the daemon is there again at the end."""

    def die(act: Callable[[], object]) -> None:
        def killed() -> None:
            time.sleep(request.param)
            room.libvirtd.kill_daemon()

        killer = threading.Thread(target=killed)
        killer.start()
        with contextlib.suppress(AppError):
            act()
        killer.join()
        room.libvirtd.start_daemon()

    yield die
    room.libvirtd.start_daemon()


def test_a_snapshot(room: Room, pair: tuple[Machine, Inside, Disk], dying: Callable[[Callable[[], object]], None]) -> None:  # fmt: skip  # noqa: E501
    machine, inside, _ = pair
    dying(lambda: room.driver.create_snapshot(machine.id, NAME, ""))
    room.driver.resume(machine.id)
    wait_for(lambda: settled(lambda: room.driver.create_snapshot(machine.id, NAME, "")), "the snapshot")
    assert [one.name for one in room.driver.snapshots(machine.id)] == [NAME]
    dying(lambda: room.driver.delete_snapshot(machine.id, NAME))
    wait_for(lambda: settled(lambda: room.driver.delete_snapshot(machine.id, NAME)), "the deletion")
    assert room.driver.snapshots(machine.id) == []
    room.driver.resume(machine.id)
    assert inside.output("cat /root/kept") == "kept"
    assert room.files.info(machine.disks[0].path, Format.QCOW2).snapshots == ()


# After the snapshots: a machine whose backup libvirt has lost keeps none until it was stopped.
def test_a_backup(room: Room, pair: tuple[Machine, Inside, Disk], dying: Callable[[Callable[[], object]], None]) -> None:  # fmt: skip  # noqa: E501
    machine, inside, disk = pair
    parts = room.files.backup_parts(machine.id, FileId(str(uuid.uuid4())))
    targets = {disk.target: parts / "disk-1.qcow2"}
    dying(lambda: room.driver.begin_backup(machine.id, targets))

    def done() -> bool:
        with contextlib.suppress(QemuAway):  # it has only just found its machines again
            state = room.driver.backup_progress(machine.id).state
            if state in (BackupState.NONE, BackupState.FAILED):
                try:
                    room.driver.begin_backup(machine.id, targets)
                except QemuConflict as lost:  # as the error's remedy says
                    if lost.code != "qemu.backup_lost":
                        raise
                    boots = inside.said().count("READY")
                    room.driver.destroy(machine.id)
                    room.libvirtd.kill_daemon()
                    room.libvirtd.start_daemon()
                    room.driver.start(machine.id)
                    inside.wait_ready(boots + 1)
                    inside.output("echo kept >/root/kept")
            return state is BackupState.DONE
        return False

    wait_for(done, "the backup", 240)
    saved = room.files.info(targets[disk.target], Format.QCOW2)
    assert saved.virtual_size == VOLUME_MIB * MIB
    assert same(room, disk.path, targets[disk.target])
    assert inside.output("cat /root/kept") == "kept"
    room.files.remove(parts)


def test_a_definition_a_start_and_an_end(room: Room, dying: Callable[[Callable[[], object]], None]) -> None:
    machine = room.machine()
    dying(lambda: room.driver.define(machine))
    room.driver.define(machine)
    dying(lambda: room.driver.start(machine.id))
    wait_for(lambda: settled(lambda: room.driver.start(machine.id)), "the start")
    assert room.driver.sight(machine.id).state is PowerState.RUNNING
    dying(lambda: room.driver.destroy(machine.id))
    wait_for(lambda: settled(lambda: room.driver.destroy(machine.id)), "the end")
    assert room.libvirtd.run("pgrep", "-f", f"guest={machine.id}", check=False).stdout == ""
    dying(lambda: room.driver.undefine(machine.id))
    room.driver.undefine(machine.id)
    assert machine.id not in room.driver.machines()


def settled(act: Callable[[], object]) -> bool:
    try:
        act()
    except AppError:
        return False
    return True


def same(room: Room, one: Path, other: Path) -> bool:
    import subprocess

    compare = ["qemu-img", "compare", "-U", "-f", "qcow2", "-F", "qcow2", str(one), str(other)]
    done = subprocess.run(compare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return True


def test_a_reboot_a_reset_and_what_uefi_cannot(room: Room) -> None:
    """libvirt 9.0 keeps no internal snapshots of a machine whose firmware has variables."""
    machine = room.machine(firmware=Firmware.UEFI, media=(Media(0),))
    [inside] = room.start(machine)
    room.driver.reboot(machine.id)
    inside.wait_ready(2)
    room.driver.reset(machine.id)
    inside.wait_ready(3)
    with pytest.raises(QemuConflict) as refused:
        room.driver.create_snapshot(machine.id, NAME, "")
    assert refused.value.code == "qemu.snapshot_unsupported"
