"""L81, L94: files from outside are looked at before they are kept, streamed and bounded; no path leads out."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import Conflict, Invalid, QemuRefused
from app.domain.identifiers import MalformedIdentifier
from app.qemu.images import FileId, Files, Kind
from app.qemu.machines import Format, MachineId

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="apt-get install qemu-utils")

MIB = 1 << 20
MACHINE = MachineId("0a1b2c3d-0000-4000-8000-00000000abcd")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    found = Files(tmp_path / "qemu", largest_disk=1 << 40)
    found.prepare()
    return found


def new_id() -> FileId:
    return FileId(str(uuid.uuid4()))


def qemu_img(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


def qcow2(path: Path, *options: str, size: str = "16M") -> Path:
    qemu_img("create", "-f", "qcow2", *options, path, size)
    return path


def patched(path: Path, at: int, content: bytes) -> Path:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_an_honest_image_is_taken(files: Files, tmp_path: Path) -> None:
    found = files.inspect(qcow2(tmp_path / "a"), Kind.QCOW2)
    assert (found.kind, found.virtual_size) == (Kind.QCOW2, 16 * MIB)
    compressed = qcow2(tmp_path / "b", "-o", "compression_type=zstd,extended_l2=on,cluster_size=128k")
    assert files.inspect(compressed, Kind.QCOW2).virtual_size == 16 * MIB
    assert files.inspect(qcow2(tmp_path / "c", "-o", "compat=0.10"), Kind.QCOW2).virtual_size == 16 * MIB


def _backed(path: Path) -> Path:
    (path.parent / "secret").write_bytes(bytes(MIB))
    return qcow2(path, "-b", "/etc/passwd", "-F", "raw", "-u")


def _backed_relative(path: Path) -> Path:
    return qcow2(path, "-b", "../../../etc/shadow", "-F", "raw", "-u")


def _backed_by_url(path: Path) -> Path:
    return qcow2(path, "-b", 'json:{"driver":"nbd","host":"127.0.0.1"}', "-F", "raw", "-u")


def _data_file(path: Path) -> Path:
    return qcow2(path, "-o", f"data_file={path.parent / 'outside'},data_file_raw=on")


def _snapshot(path: Path) -> Path:
    qcow2(path)
    qemu_img("snapshot", "-c", "one", path)
    return path


def _encrypted(path: Path) -> Path:
    secret = [
        "--object",
        "secret,id=s,data=abcdefgh",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=1",
    ]
    return qcow2(path, *secret)


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "backing file": (_backed, "backing file"),
    "relative backing file": (_backed_relative, "backing file"),
    "backing url": (_backed_by_url, "backing file"),
    "data file": (_data_file, "external data file"),
    "snapshots": (_snapshot, "snapshots"),
    "encrypted": (_encrypted, "encrypted"),
    "10 TB": (lambda path: qcow2(path, size="10T"), "more than"),
    "4 EB": (lambda path: patched(qcow2(path), 24, struct.pack(">Q", 1 << 62)), "more than"),
    "version": (lambda path: patched(qcow2(path), 4, struct.pack(">I", 9)), "version"),
    "cluster bits": (lambda path: patched(qcow2(path), 20, struct.pack(">I", 40)), "tables"),
    "table too large": (lambda path: patched(qcow2(path), 36, struct.pack(">I", 1 << 30)), "tables"),
    "table outside": (lambda path: patched(qcow2(path), 40, struct.pack(">Q", 1 << 60)), "tables"),
    "refcounts outside": (lambda path: patched(qcow2(path), 48, struct.pack(">Q", 3)), "cannot be read"),
    "corrupt": (lambda path: patched(qcow2(path), 72, struct.pack(">Q", 1 << 1)), "corrupt"),
    "unknown feature": (lambda path: patched(qcow2(path), 72, struct.pack(">Q", 1 << 40)), "not known"),
    "four bytes": (lambda path: written(path, b"QFI\xfb"), "not a qcow2"),
    "zeros": (lambda path: written(path, bytes(MIB)), "not a qcow2"),
    "nothing": (lambda path: written(path, b""), "not a qcow2"),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_l81_hostile_images_are_refused(files: Files, tmp_path: Path, name: str) -> None:
    hostile, why = HOSTILE[name]
    with pytest.raises(Invalid) as refused:
        files.inspect(hostile(tmp_path / "image"), Kind.QCOW2)
    assert why in refused.value.detail
    assert refused.value.code == "image.refused"
    assert "/" not in refused.value.detail


@settings(max_examples=60, deadline=None)
@given(head=st.binary(max_size=200))
def test_l81_no_bytes_make_an_inspection_stumble(head: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("bytes") / "image"
    path.write_bytes(b"QFI\xfb\0\0\0\x03" + head)
    with pytest.raises(Invalid):
        Files(path.parent, largest_disk=1 << 40).inspect(path, Kind.QCOW2)


def test_l81_a_format_is_said_and_never_guessed(files: Files, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not a raw"):
        files.inspect(qcow2(tmp_path / "a"), Kind.RAW)
    with pytest.raises(Invalid, match="not an ISO"):
        files.inspect(qcow2(tmp_path / "b"), Kind.ISO)
    (tmp_path / "c").write_bytes(bytes(513))
    with pytest.raises(Invalid, match="multiple of 512"):
        files.inspect(tmp_path / "c", Kind.RAW)
    (tmp_path / "d").write_bytes(bytes(0x8001) + b"CD001" + bytes(1000))
    assert files.inspect(tmp_path / "d", Kind.ISO).kind is Kind.ISO


def test_l94_an_upload_is_streamed_and_bounded(files: Files) -> None:
    given = 0

    def endless() -> Iterator[bytes]:
        nonlocal given
        while True:
            given += MIB
            yield bytes(MIB)

    with files.incoming() as folder:
        with pytest.raises(Invalid, match="at most"):
            files.receive(endless(), folder / "file", limit=5 * MIB)
        assert given <= 6 * MIB
        got = files.receive(iter([b"ab", b"c"]), folder / "other", limit=3)
        assert (got.size, got.sha256[:8]) == (3, "ba7816bf")
    assert list((files.root / "incoming").iterdir()) == []


def test_what_was_coming_in_is_forgotten_at_the_next_start(files: Files) -> None:
    half = files.root / "incoming" / "half"
    half.mkdir()
    (half / "file").write_bytes(b"x")
    (files.root / "incoming" / "link").symlink_to("/etc")
    with files.incoming(coming := new_id()) as folder:
        files.sweep()
        assert folder.is_dir()
        assert files.is_coming(coming)
    assert not files.is_coming(coming)
    assert list((files.root / "incoming").iterdir()) == []
    assert Path("/etc/passwd").exists()


@given(st.text(max_size=60))
@settings(deadline=None)
@pytest.mark.parametrize("hostile", ["/etc/passwd", "..", "../x", "a/b", "x\0", "", ".", "A" * 36])
def test_l81_a_name_is_an_id_or_nothing(hostile: str, text: str) -> None:
    files = Files(Path("/nowhere"))
    for name in (hostile, text):
        places: list[Callable[[], Path]] = [
            lambda name=name: files.image(name, Kind.ISO), lambda name=name: files.volume(name, Format.RAW),  # type: ignore[misc]
            lambda name=name: files.base(name), lambda name=name: files.disk(name), lambda name=name: files.seed(name),  # type: ignore[misc]
        ]  # fmt: skip
        for place in places:
            with pytest.raises(MalformedIdentifier):
                place()


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc", "qemu/../../secret"])
def test_no_path_outside_is_handed_to_a_program(files: Files, tmp_path: Path, path: str) -> None:
    outside = tmp_path / path
    for act in (
        lambda: files.info(outside, Format.RAW), lambda: files.remove(outside),
        lambda: files.overlay(files.disk(MACHINE), outside, Format.RAW),
        lambda: files.copy(outside, Format.RAW, files.disk(MACHINE), Format.QCOW2, small=False),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="outside"):
            act()


def test_disks_are_made_grown_and_copied_and_all_of_it_twice(files: Files) -> None:
    files.machine(MACHINE)
    disk = files.disk(MACHINE)
    for _ in range(2):
        files.create(disk, Format.QCOW2, 16 * MIB)
        files.grow(disk, Format.QCOW2, 32 * MIB)
    assert files.info(disk, Format.QCOW2).virtual_size == 32 * MIB
    with pytest.raises(Conflict) as refused:
        files.grow(disk, Format.QCOW2, 16 * MIB)
    assert refused.value.code == "disk.cannot_shrink"
    raw = files.volume(new_id(), Format.RAW)
    for _ in range(2):
        files.copy(disk, Format.QCOW2, raw, Format.RAW, small=False)
    assert raw.stat().st_size == 32 * MIB
    assert disk.stat().st_mode & 0o777 == 0o660
    for _ in range(2):
        files.remove(raw, disk.parent)
    assert not disk.parent.exists()


def test_l87_a_clone_stands_on_a_frozen_base_and_can_be_made_whole(files: Files) -> None:
    files.machine(MACHINE)
    disk, base = files.disk(MACHINE), new_id()
    files.create(disk, Format.QCOW2, 16 * MIB)
    write_into(disk, b"before")
    frozen = files.freeze(disk, base)
    assert files.freeze(disk, base) == frozen
    clone = files.volume(new_id(), Format.QCOW2)
    for _ in range(2):
        files.overlay(clone, frozen, Format.QCOW2, 24 * MIB)
    write_into(disk, b"after!")
    assert read_from(clone) == b"before"
    assert read_from(disk) == b"after!"
    assert files.info(clone, Format.QCOW2).backing == frozen
    assert files.info(clone, Format.QCOW2).virtual_size == 24 * MIB
    for _ in range(2):
        files.detach_from_base(clone)
    assert files.info(clone, Format.QCOW2).backing is None
    frozen.unlink()
    assert read_from(clone) == b"before"


def test_a_freeze_that_was_cut_off_is_finished(files: Files) -> None:
    files.machine(MACHINE)
    disk, base = files.disk(MACHINE), new_id()
    files.create(disk, Format.QCOW2, 16 * MIB)
    os.rename(disk, files.base(base))
    files.freeze(disk, base)
    assert files.info(disk, Format.QCOW2).backing == files.base(base)


def test_a_disk_with_snapshots_is_not_frozen(files: Files) -> None:
    files.machine(MACHINE)
    disk = files.disk(MACHINE)
    files.create(disk, Format.QCOW2, 16 * MIB)
    qemu_img("snapshot", "-c", "one", disk)
    assert files.info(disk, Format.QCOW2).snapshots == ("one",)
    with pytest.raises(Conflict) as refused:
        files.freeze(disk, new_id())
    assert refused.value.code == "disk.has_snapshots"
    assert disk.exists()


def test_nothing_half_made_is_left(files: Files) -> None:
    files.machine(MACHINE)
    with pytest.raises(QemuRefused):
        files.create(files.disk(MACHINE), Format.QCOW2, -1)
    missing = files.volume(new_id(), Format.QCOW2)
    with pytest.raises(QemuRefused):
        files.copy(missing, Format.QCOW2, files.disk(MACHINE), Format.QCOW2, small=True)
    assert list(files.machine(MACHINE).iterdir()) == []


def test_l81_what_is_kept_was_inspected_and_moves_once(files: Files) -> None:
    place = files.image(new_id(), Kind.QCOW2)
    with files.incoming() as folder:
        qcow2(folder / "file")
        files.keep(folder / "file", place)
        files.keep(folder / "file", place)
    assert place.stat().st_mode & 0o777 == 0o660
    with pytest.raises(QemuRefused):
        files.keep(files.root / "incoming" / "gone", files.image(new_id(), Kind.QCOW2))


def test_folders_are_closed_to_others(files: Files) -> None:
    folders = [files.root, *(path for path in files.root.rglob("*") if path.is_dir()), files.machine(MACHINE)]
    assert {folder.stat().st_mode & 0o007 for folder in folders} == {0}


def write_into(disk: Path, content: bytes) -> None:
    pattern = f"write -s {disk.parent / '.content'} 0 512"
    (disk.parent / ".content").write_bytes(content.ljust(512, b"\0"))
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", pattern, str(disk)], check=True, capture_output=True)
    (disk.parent / ".content").unlink()


def read_from(disk: Path) -> bytes:
    done = subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "read -v 0 16", str(disk)], check=True, capture_output=True, text=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("00000000:"))
    return bytes.fromhex("".join(line.split()[1:17])).rstrip(b"\0")
