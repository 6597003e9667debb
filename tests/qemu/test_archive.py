"""L82: a restored archive holds what we write, or nothing is kept of it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.errors import Invalid
from app.qemu import archive

MACHINE = {"name": "web", "memory": 512}
LIMIT = 10 << 20
DISK = b"QFI\xfb" + bytes(3000)


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listed(*parts: tuple[str, bytes], **more: Any) -> bytes:
    said = [{"name": name, "size": len(content), "sha256": sum_of(content)} for name, content in parts]
    return json.dumps({"poolhouse_backup": 1, "machine": MACHINE, "parts": said, **more}).encode()


def entry(name: str, content: bytes = b"", **header: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in header.items():
        setattr(info, field, value)
    return info, content


def tarred(*entries: tuple[tarfile.TarInfo, bytes], format: int = tarfile.GNU_FORMAT) -> io.BytesIO:  # noqa: A002
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    out.seek(0)
    return out


def honest() -> tuple[tuple[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]:
    return entry(archive.MANIFEST, listed(("disk-0.qcow2", DISK))), entry("disk-0.qcow2", DISK)


def test_what_is_written_is_read_back_and_by_any_tar(tmp_path: Path) -> None:
    files = {"disk-0.qcow2": tmp_path / "a", "disk-3.qcow2": tmp_path / "b", archive.FIRMWARE: tmp_path / "c"}
    for number, path in enumerate(files.values()):
        path.write_bytes(bytes([number]) * (1000 * number + 512))
    out = io.BytesIO()
    wrote = archive.write(out, MACHINE, files)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        assert tar.getnames() == [archive.MANIFEST, *files]
    out.seek(0)
    assert archive.manifest(out, limit=LIMIT) == wrote
    out.seek(0)
    folder = tmp_path / "out"
    folder.mkdir()
    assert archive.unpack(out, folder, limit=LIMIT) == wrote
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: path.read_bytes() for name, path in files.items()
    }


def test_a_part_beyond_8_gib_needs_no_other_kind_of_entry() -> None:
    out = io.BytesIO()
    archive._write_entry(out, "disk-0.qcow2", 9 << 30, iter(()))
    assert tarfile.TarInfo.frombuf(out.getvalue()[:512], "utf-8", "strict").size == 9 << 30


def manifest_entry(*parts: tuple[str, bytes], **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    return entry(archive.MANIFEST, listed(*parts, **more))


def of_size(size: object) -> bytes:
    parts = [{"name": "disk-0.qcow2", "size": size, "sha256": "0" * 64}]
    return json.dumps({"poolhouse_backup": 1, "machine": MACHINE, "parts": parts}).encode()


HOSTILE: dict[str, Callable[[], io.BytesIO]] = {
    "empty": lambda: io.BytesIO(),
    "no tar": lambda: io.BytesIO(b"x" * 2048),
    "cut off": lambda: io.BytesIO(tarred(*honest()).getvalue()[:2500]),
    "no manifest": lambda: tarred(entry("disk-0.qcow2", DISK)),
    "manifest later": lambda: tarred(*reversed(honest())),
    "huge manifest": lambda: tarred(entry(archive.MANIFEST, b"{" + b" " * (1 << 17))),
    "empty manifest": lambda: tarred(entry(archive.MANIFEST)),
    "no json": lambda: tarred(entry(archive.MANIFEST, b"not json")),
    "deep json": lambda: tarred(entry(archive.MANIFEST, b"[" * 60_000)),
    "list": lambda: tarred(entry(archive.MANIFEST, b"[]")),
    "other version": lambda: tarred(manifest_entry(("disk-0.qcow2", DISK), poolhouse_backup=2), honest()[1]),
    "machine is text": lambda: tarred(manifest_entry(("disk-0.qcow2", DISK), machine="web"), honest()[1]),
    "no parts": lambda: tarred(manifest_entry()),
    "too many": lambda: tarred(manifest_entry(*((f"disk-{number}.qcow2", b"x") for number in range(18)))),
    "twice": lambda: tarred(manifest_entry(("disk-0.qcow2", b"x"), ("disk-0.qcow2", b"x"))),
    "no first disk": lambda: tarred(manifest_entry(("disk-1.qcow2", b"x"))),
    "tar bomb by size": lambda: tarred(entry(archive.MANIFEST, of_size(11 * 10**12))),
    "negative size": lambda: tarred(entry(archive.MANIFEST, of_size(-5))),
    "boolean size": lambda: tarred(entry(archive.MANIFEST, of_size(True))),
    "tar bomb by count": lambda: tarred(*honest(), *(entry(f"x{number}", b"x") for number in range(1000))),
    "one more": lambda: tarred(*honest(), entry("disk-1.qcow2", b"x")),
    "absolute path": lambda: tarred(manifest_entry(("/etc/cron.d/x", b"x"), ("disk-0.qcow2", DISK))),
    "path upwards": lambda: tarred(manifest_entry(("../disk-0.qcow2", b"x"), ("disk-0.qcow2", DISK))),
    "name unlike manifest": lambda: tarred(honest()[0], entry("../../etc/passwd", DISK)),
    "symlink": lambda: tarred(honest()[0], entry("disk-0.qcow2", type=tarfile.SYMTYPE, linkname="/etc/shadow")),
    "hard link": lambda: tarred(honest()[0], entry("disk-0.qcow2", type=tarfile.LNKTYPE, linkname="/etc/shadow")),
    "device": lambda: tarred(honest()[0], entry("disk-0.qcow2", type=tarfile.BLKTYPE, devmajor=8, devminor=0)),
    "fifo": lambda: tarred(honest()[0], entry("disk-0.qcow2", type=tarfile.FIFOTYPE)),
    "folder": lambda: tarred(honest()[0], entry("disk-0.qcow2", type=tarfile.DIRTYPE)),
    "sparse": lambda: tarred(honest()[0], entry("disk-0.qcow2", DISK, type=tarfile.GNUTYPE_SPARSE)),
    "long name": lambda: tarred(honest()[0], entry("x" * 300, DISK)),
    "pax": lambda: tarred(
        honest()[0], entry("disk-0.qcow2", DISK, pax_headers={"size": "9999999"}), format=tarfile.PAX_FORMAT),
    "wrong size": lambda: tarred(honest()[0], entry("disk-0.qcow2", DISK + b"x")),
    "wrong sum": lambda: tarred(honest()[0], entry("disk-0.qcow2", DISK[:-1] + b"x")),
    "compressed": lambda: io.BytesIO(b"\x1f\x8b" + bytes(2000)),
}  # fmt: skip


@pytest.mark.parametrize("name", list(HOSTILE))
def test_l82_hostile_archives_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(Invalid) as refused:
        archive.unpack(HOSTILE[name](), folder, limit=LIMIT)
    assert refused.value.code == "backup.refused"
    assert {path.name for path in tmp_path.rglob("*")} <= {"out", "disk-0.qcow2"}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4095), value=st.integers(0, 255))
def test_l82_no_flipped_byte_writes_anything_else(
    at: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Either the archive is as it was for all that counts, or it is refused; nothing lands beside."""
    content = bytearray(tarred(*honest()).getvalue())
    content[at] = value
    folder = tmp_path_factory.mktemp("out")
    try:
        found = archive.unpack(io.BytesIO(bytes(content)), folder, limit=LIMIT)
    except Invalid:
        assert {path.name for path in folder.iterdir()} <= {"disk-0.qcow2"}
        return
    assert [part.name for part in found.parts] == ["disk-0.qcow2"]
    assert (folder / "disk-0.qcow2").read_bytes() == DISK


def test_l94_an_archive_is_read_a_piece_at_a_time(tmp_path: Path) -> None:
    big = bytes(3 << 20)
    source = tarred(entry(archive.MANIFEST, listed(("disk-0.qcow2", big))), entry("disk-0.qcow2", big))

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 <= size <= 1 << 20
            return super().read(size)

    archive.unpack(Watched(source.getvalue()), tmp_path, limit=LIMIT)
