"""Whether local QEMU can be used is found out by trying: L86, and the command that says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.qemu import command
from app.domain.errors import CapacityExceeded, QemuAbsent, QemuAway, QemuConflict, QemuRefused
from app.qemu import accelerator, doctor, failures
from app.qemu.guards import Guards
from tests.qemu.daemon import Libvirtd

needs_qemu = pytest.mark.skipif(shutil.which(accelerator.EMULATOR) is None, reason="apt-get install qemu-system-x86")


def emulator(folder: Path, *, kvm: str, tcg: str = "exit 33") -> str:
    """A program that behaves so under each accelerator."""
    path = folder / "qemu"
    path.write_text(f'#!/bin/sh\ncase "$*" in *"-accel kvm"*) {kvm} ;; *) {tcg} ;; esac\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def kvm_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accelerator, "_KVM", tmp_path / "kvm")


@needs_qemu
def test_l86_a_boot_sector_runs_to_its_end() -> None:
    found = accelerator.probe()
    assert found.type in ("kvm", "tcg")
    assert len(found.reason) > 10


@pytest.mark.usefixtures("kvm_device")
def test_l86_kvm_is_taken_only_where_a_machine_booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert accelerator.probe(emulator(tmp_path, kvm="exit 33")).type == "kvm"
    for broken, word in (("echo no msrs >&2; exit 1", "no msrs"), ("exit 0", "ended with 0")):
        found = accelerator.probe(emulator(tmp_path, kvm=broken))
        assert (found.type, word in found.reason) == ("tcg", True)
    monkeypatch.setattr(accelerator, "PATIENCE", 0.3)
    monkeypatch.setattr(accelerator._boot, "__defaults__", (0.3,))
    hangs = accelerator.probe(emulator(tmp_path, kvm="exec sleep 20"))
    assert (hangs.type, "no machine started" in hangs.reason) == ("tcg", True)


def test_l86_without_the_device_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_KVM", tmp_path / "none")
    found = accelerator.probe(emulator(tmp_path, kvm="exit 33"))
    assert (found.type, "no /dev/kvm" in found.reason) == ("tcg", True)


def test_a_qemu_that_does_not_work_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "_KVM", tmp_path / "none")
    for broken in (str(tmp_path / "missing"), emulator(tmp_path, kvm="exit 1", tcg="exit 1")):
        with pytest.raises(QemuRefused) as refused:
            accelerator.probe(broken)
        assert refused.value.code == "qemu.incomplete"


@needs_qemu
def test_the_doctor_finds_a_host_that_is_well(libvirtd: Libvirtd) -> None:
    health = doctor.examine(libvirtd.uri, guarded=Guards(libvirtd.hook, libvirtd.told))
    assert health.usable, health.findings
    assert health.accelerator is not None
    assert doctor.examine(libvirtd.uri, guarded=Guards(Path("/none"))).usable is False


@needs_qemu
def test_the_command_says_what_is_missing_and_how_to_mend_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["doctor", "--uri", f"qemu+unix:///system?socket={tmp_path}/none"])
    assert done.exit_code == 1
    assert done.output.startswith(("tcg: ", "kvm: "))
    assert "missing: " in done.output
    assert "make qemu" in done.output


def test_the_command_names_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/none")
    monkeypatch.setattr(doctor, "_FOLDERS", ())
    done = CliRunner().invoke(command, ["doctor"])
    assert done.exit_code == 1
    assert "apt-get install dnsmasq-base iptables nftables qemu-system-x86" in done.output


@pytest.mark.parametrize(
    ("code", "message", "kind", "expected"),
    [
        (42, "Domain not found: no domain with matching uuid", QemuAbsent, "qemu.absent"),
        (43, "Network not found", QemuAbsent, "qemu.absent"),
        (72, "Domain snapshot not found", QemuAbsent, "qemu.absent"),
        (38, "Cannot recv data: Connection reset by peer", QemuAway, "qemu.unreachable"),
        (1, "internal error: client socket is closed", QemuAway, "qemu.unreachable"),
        (38, "End of file while reading data: Input/output error", QemuAway, "qemu.unreachable"),
        (68, "Timed out during operation: cannot acquire state change lock (held by monitor=x)", QemuAway, "qemu.busy"),
        (86, "Guest agent is not responding: QEMU guest agent is not connected", QemuRefused, "qemu.agent_absent"),
        (74, "argument unsupported: QEMU guest agent is not configured", QemuRefused, "qemu.agent_absent"),
        (55, "Requested operation is not valid: domain is not running", QemuConflict, "qemu.stopped"),
        (55, "Requested operation is not valid: domain is already running", QemuConflict, "qemu.running"),
        (84, "internal snapshots of a VM with pflash based firmware are not supported", QemuConflict,
         "qemu.snapshot_unsupported"),
        (67, "unsupported configuration: internal snapshot for disk sde unsupported for storage type raw",
         QemuConflict, "qemu.snapshot_unsupported"),
        (1, "internal error: Network is already in use by interface eth0", QemuConflict, "qemu.subnet_taken"),
        (1, "internal error: backup job data missing", QemuConflict, "qemu.backup_lost"),
        (1, "unable to write: No space left on device", CapacityExceeded, "capacity.exceeded"),
        (1, "internal error: No more available PCI slots", None, "guest.devices"),
        (67, "unsupported configuration: something else", QemuRefused, "qemu.refused"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value and " " not in value else "",
)  # fmt: skip
def test_refused_away_and_gone_are_different_things(
    code: int, message: str, kind: type[Exception] | None, expected: str
) -> None:
    found = failures.from_libvirt(code, message)
    assert found.code == expected
    assert kind is None or type(found) is kind
    assert message not in found.detail
    assert found.log == message
