"""PVE's words for trouble, held against its recorded exchanges where those are at hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.domain.errors import (
    AppError,
    CapacityExceeded,
    PveAbsent,
    PveAway,
    PveChanged,
    PveLocked,
    PveRefused,
    PveTaskFailed,
    PveTimeout,
    PveUnreachable,
)
from app.domain.identifiers import Upid
from app.pve.failures import from_answer, task_failure, try_again
from tests.pve.conftest import UPID

GOLDEN = Path(__file__).parents[3] / "shared" / "pve" / "golden"


@pytest.mark.parametrize(
    ("exitstatus", "error", "code"),
    [
        ("unable to create CT 5003 - can't lock file '/var/lock/pve-manager/pve-storage-local-lvm' - got timeout",
         PveLocked, "pve.locked"),
        ("can't add VM 5002 to pool 'tA': cfs-lock 'file-user_cfg' error: got lock request timeout",
         PveLocked, "pve.locked"),
        ("VM is locked (backup)", PveLocked, "pve.locked"),
        ("unable to open file '/etc/pve/nodes/n1/lxc/5001.conf.tmp.21103' - Permission denied",
         PveUnreachable, "pve.unreachable"),
        ("lvcreate 'pve/vm-5001-disk-0' error: Volume group \"pve\" has insufficient free space (10 extents)",
         CapacityExceeded, "capacity.exceeded"),
        ("unable to create VM 100 - zfs error: cannot create 'x': out of space", CapacityExceeded, "capacity.exceeded"),
        ("unable to create CT 200 - volume 'local:vztmpl/none.tar.zst' does not exist", PveAbsent, "pve.absent"),
        ("Configuration file 'nodes/n1/qemu-server/100.conf' does not exist", PveAbsent, "pve.absent"),
        ("403 Permission check failed (/vms/101, VM.Backup)", PveRefused, "pve.refused"),
        ("VM 100 already running", PveTaskFailed, "pve.already_running"),
        ("close (rename) atomic file '/etc/pve/nodes/n1/qemu-server/101.conf' failed: File exists",
         PveTaskFailed, "pve.exists"),
        ("interrupted by signal", PveTaskFailed, "pve.task_stopped"),
        ("VM quit/powerdown failed - got timeout", PveTaskFailed, "pve.shutdown_timeout"),
        ("container did not stop", PveTaskFailed, "pve.shutdown_timeout"),
        ("got timeout", PveTimeout, "pve.timeout"),
        ("unable to create CT 200 - got timeout", PveTimeout, "pve.timeout"),
        ("job errors", PveTaskFailed, "pve.task_failed"),
        ("", PveTaskFailed, "pve.task_lost"),
    ],
)  # fmt: skip
def test_the_end_of_a_task(exitstatus: str, error: type[AppError], code: str) -> None:
    failure = task_failure(Upid(UPID), exitstatus)
    assert type(failure) is error
    assert failure.code == code
    assert failure.members["upid"] == UPID
    assert failure.members["try_again"] is try_again(failure) is issubclass(error, PveAway)
    assert exitstatus in (failure.log or "")
    assert not exitstatus or exitstatus not in failure.detail


def test_a_tasks_log_tells_of_a_lock_that_the_end_does_not() -> None:
    log = ["INFO: no such line", "ERROR: Backup of VM 100 failed - VM is locked (snapshot)", "TASK ERROR: job errors"]
    assert isinstance(task_failure(Upid(UPID), "job errors", log), PveLocked)
    assert type(task_failure(Upid(UPID), "job errors", log[:1])) is PveTaskFailed


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("create user failed: user 'a@pve' already exists", "pve.exists"),
        ("unable to create VM 100 - VM 100 already exists on node 'n1'", "pve.exists"),
        ("update pools failed: VM 100 is already a pool member", "pve.exists"),
        ("checksum mismatch (file change by other user?)", "pve.config_changed"),
        ("detected modified configuration - file changed by other user? Try again.", "pve.config_changed"),
        ("CT 200 already running", "pve.already_running"),
        ("VM 100 not running", "pve.not_running"),
        ("VM 100 is running - destroy failed", "pve.running"),
        ("can't remove CT 200 - protection mode enabled", "pve.protected"),
        ("snapshot feature is not available", "pve.snapshot_unsupported"),
        ("delete pool failed: pool 'blue' is not empty (contains VM 5101)", "pve.not_empty"),
        ("QEMU guest agent is not running", "pve.agent_absent"),
        ("only root can set 'args' config", "pve.refused"),
        ("something that nobody has seen before", "pve.refused"),
    ],
)
def test_the_refusals_that_callers_tell_apart(text: str, code: str) -> None:
    error = from_answer("POST", 500, text, {"data": None, "message": f"{text}\n"})
    assert type(error) is (PveChanged if code == "pve.config_changed" else PveRefused)
    assert error.code == code
    assert text not in error.detail


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("reason", "body", "error"),
    [
        ("got timeout", {"data": None, "message": "got timeout\n"}, PveTimeout),
        ("got timeout", None, PveTimeout),
        ("command '/sbin/lvs --noheadings' failed: got timeout", None, PveTimeout),
        ("can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", None, PveLocked),
        ("Internal Server Error", None, PveUnreachable),
        ("Internal Server Error", {"data": None}, PveUnreachable),
        ("", None, PveUnreachable),
        ("Internal Server Error", {"data": None, "message": "no options specified\n"}, PveRefused),
        ("Internal Server Error", {"data": None, "errors": {"memory": "too large"}}, PveRefused),
        ("VM 100 waits for what got timeout", None, PveRefused),
    ],
)
def test_trouble_of_pve_s_own_is_tried_again_and_a_refusal_is_not(
    method: str, reason: str, body: dict[str, object] | None, error: type[AppError]
) -> None:
    met = from_answer(method, 500, reason, body)
    assert type(met) is error
    assert try_again(met) is met.members["try_again"] is issubclass(error, PveAway)


def test_a_400_without_a_word_is_a_refusal() -> None:
    assert type(from_answer("POST", 400, "", None)) is PveRefused


def test_a_long_message_is_cut() -> None:
    error = from_answer("GET", 500, "x", {"message": "y" * 100_000})
    assert len(error.log or "") == 2000


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the recorded exchanges are not on this machine")
def test_every_recorded_error_is_read() -> None:
    """No recorded 4xx or 5xx is taken for something to be tried again, unless it is about a lock."""
    seen = 0
    for file in sorted(GOLDEN.glob("*.json")):
        for step in json.loads(file.read_text())["steps"]:
            expect = step.get("expect")
            if not isinstance(expect, dict) or not isinstance(expect.get("status"), int) or expect["status"] < 400:
                continue
            body = expect.get("body")
            error = from_answer("POST", expect["status"], expect["reason"], body if isinstance(body, dict) else None)
            assert isinstance(error, PveRefused | PveLocked), expect
            assert isinstance(error, PveLocked) <= ("is locked" in (error.log or "")), expect
            if "does not exist" in expect["reason"] and expect["status"] == 500:
                assert isinstance(error, PveAbsent), expect
            seen += 1
    assert seen > 300
