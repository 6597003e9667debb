"""The files of local machines: where each lies, and what is done to disks with qemu-img.

Nobody but this module makes a path. Formats are always said, never guessed; what comes from outside is looked at before
it is kept. Everything may be done twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import struct
import subprocess
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from app.domain.errors import AppError, CapacityExceeded, Conflict, Invalid, QemuAway, QemuRefused
from app.domain.identifiers import Identifier
from app.qemu.machines import Format, MachineId

CHUNK = 1 << 20
_KIB, _MIB, _GIB = 1 << 10, 1 << 20, 1 << 30

#: qemu-img over a stranger's file: 10 s of CPU and 1 GiB of addresses do for every honest one.
_LOOK = ("prlimit", "--cpu=10", f"--as={_GIB}", "--")
_WORK = ("nice", "--adjustment=10", "prlimit", f"--as={4 * _GIB}", "--")
_LOOK_SECONDS, _WORK_SECONDS = 30.0, 6 * 3600.0

# docs/interop/qcow2.txt of QEMU.
_QCOW2 = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_QCOW2_MORE = struct.Struct(">QQQII")
_DIRTY, _ZSTD, _EXTENDED_L2 = 1 << 0, 1 << 3, 1 << 4
_LARGEST_L1 = 4 << 20
# ECMA-119, the primary volume descriptor: blocks of the volume, bytes of a block.
_ISO_AT, _ISO, _ISO_SECTOR = 0x8001, b"CD001", 2048
_ISO_BLOCKS, _ISO_BLOCK = 80, 128

#: Group and nobody else: QEMU runs under a user of its own in the folder's group.
_FOLDER_MODE, _FILE_MODE = 0o2770, 0o660


class FileId(Identifier):
    """The id of an image, a volume or a backup: a UUID, and a file's name."""

    kind = "file id"
    form = MachineId.form


class Kind(StrEnum):
    """What an image is: a disk to start from, or a CD-ROM."""

    QCOW2 = "qcow2"
    RAW = "raw"
    ISO = "iso"


@dataclass(frozen=True)
class Received:
    """A file that came from outside and is not looked at yet; `sha256` in hexadecimal."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Inspection:
    """`virtual_size` is what a guest sees, `size` what the file takes; bytes."""

    kind: Kind
    virtual_size: int
    size: int


@dataclass(frozen=True)
class DiskInfo:
    """`backing` is the file beneath an overlay; `snapshots` are the internal ones, by name."""

    virtual_size: int
    allocated: int
    backing: Path | None
    snapshots: tuple[str, ...]


class Files:
    """All files of local machines, under one folder that is closed to others: `images/`, `vms/<machine>/`, `volumes/`,
    `bases/` (what clones stand on), `backups/<machine>/` and `incoming/`, of which `sweep` leaves what
    still comes in.

    `largest_disk` bytes is the largest virtual size that is accepted from outside.
    """

    def __init__(self, root: Path, *, largest_disk: int = 2 << 40) -> None:
        self.root = root.absolute()
        self._largest_disk = largest_disk

    def prepare(self) -> None:
        """Make the folders. A root that `make qemu` made keeps its group and rights."""
        if not self.root.is_dir():
            self.root.mkdir(mode=0o700, parents=True)
        for name in ("images", "vms", "volumes", "bases", "backups", "incoming"):
            _folder(self.root / name)

    def sweep(self) -> None:
        """Forget what was coming in when the process that took it ended."""
        for path in (self.root / "incoming").glob("*"):
            if not _is_held(path):
                _remove(path)

    # -- places

    def image(self, image: FileId, kind: Kind) -> Path:
        return self.root / "images" / f"{FileId.parse(image)}.{kind.value}"

    def volume(self, volume: FileId, format: Format) -> Path:  # noqa: A002
        return self.root / "volumes" / f"{FileId.parse(volume)}.{format.value}"

    def base(self, base: FileId) -> Path:
        return self.root / "bases" / f"{FileId.parse(base)}.qcow2"

    def machine(self, machine: MachineId) -> Path:
        """Its folder, made where it is missing."""
        return _folder(self.root / "vms" / MachineId.parse(machine))

    def disk(self, machine: MachineId) -> Path:
        """The first disk, which lives and dies with the machine; qcow2."""
        return self.root / "vms" / MachineId.parse(machine) / "disk.qcow2"

    def seed(self, machine: MachineId) -> Path:
        return self.root / "vms" / MachineId.parse(machine) / "seed.iso"

    def backup(self, machine: MachineId, backup: FileId) -> Path:
        return self._backups(machine) / f"{FileId.parse(backup)}.tar"

    def backup_parts(self, machine: MachineId, backup: FileId) -> Path:
        """A folder for what goes into a backup, while it is being made."""
        return _folder(self._backups(machine) / f"{FileId.parse(backup)}.parts")

    # -- from outside

    @contextmanager
    def incoming(self, name: FileId | None = None) -> Iterator[Path]:
        """A folder for something that is coming in; gone with all in it at the end. Until then, and no longer than
        this process lives, `is_coming` tells so of what has a name."""
        folder = self.root / "incoming" / (FileId.parse(name) if name is not None else uuid.uuid4().hex)
        with _held(folder) as path:
            try:
                yield path
            finally:
                _remove(path)

    def is_coming(self, name: FileId) -> bool:
        return _is_held(self.root / "incoming" / FileId.parse(name))

    def images(self) -> list[tuple[FileId, Path]]:
        """The files of the catalog."""
        return [
            (FileId(path.stem), path)
            for path in (self.root / "images").glob("*.*")
            if FileId.form.fullmatch(path.stem) is not None
        ]

    def receive(self, pieces: Iterable[bytes], path: Path, *, limit: int) -> Received:
        """Write down what comes, a piece at a time. Raises Invalid for more than `limit` bytes, CapacityExceeded."""
        digest, size = hashlib.sha256(), 0
        with _room(), _open_new(path) as file:
            for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise Invalid({"file": [f"must have at most {limit} bytes."]})
                digest.update(piece)
                file.write(piece)
        return Received(path, size, digest.hexdigest())

    def recognise(self, path: Path) -> Kind:
        """What a file from outside is by its marks. A raw disk has none: Raises Invalid (`image.refused`)."""
        with path.open("rb") as file:
            if file.read(len(_QCOW2)) == _QCOW2:
                return Kind.QCOW2
            file.seek(_ISO_AT)
            if file.read(len(_ISO)) == _ISO:
                return Kind.ISO
        raise _refused("is neither a qcow2 nor an ISO 9660 image; of a raw one say `kind=raw`.")

    def inspect(self, path: Path, kind: Kind) -> Inspection:
        """What a file from outside is, if it is `kind`, whole, and stands on its own. Raises Invalid (`image.refused`)
        for another format, what is cut off, a backing or data file, encryption, internal snapshots, a disk larger than
        allowed; QemuAway (`qemu.not_installed`) where a qcow2 image cannot be looked at."""
        size = path.stat().st_size
        match kind:
            case Kind.ISO:
                with path.open("rb") as file:
                    file.seek(_ISO_AT)
                    if file.read(len(_ISO)) != _ISO:
                        raise _refused("is not an ISO 9660 image.")
                    file.seek(_ISO_AT - 1)
                    if _iso_size(file.read(_ISO_SECTOR)) > size:
                        raise _refused("is cut off.")
                return Inspection(kind, size, size)
            case Kind.RAW:
                with path.open("rb") as file:
                    if file.read(4) == _QCOW2:
                        raise _refused("is a qcow2 image, not a raw one.")
                if size == 0 or size % 512:
                    raise _refused("is not a disk: its size is not a multiple of 512 bytes.")
                self._refuse_large(size)
                return Inspection(kind, size, size)
            case Kind.QCOW2:
                self._refuse_large(_qcow2_size(path))
                said = _info(path, Format.QCOW2, _LOOK)
                _refuse_outside(said)
                self._refuse_large(int(said["virtual-size"]))
                _refuse_damaged(path)
                return Inspection(kind, int(said["virtual-size"]), size)

    def keep(self, received: Path, place: Path) -> None:
        """Move what was inspected to where it belongs. Done before is success."""
        if received.exists():
            received.chmod(_FILE_MODE)
            os.replace(received, place)
        elif not place.exists():
            raise QemuRefused("A file that was received is gone.", code="qemu.file_missing")

    # -- disks

    def create(self, path: Path, format: Format, size: int) -> None:  # noqa: A002
        """An empty disk of `size` bytes; one that is there already is left as it is."""
        if not path.exists():
            create(path, format, size)

    def overlay(self, path: Path, base: Path, base_format: Format, size: int | None = None) -> None:
        """A qcow2 disk that keeps only what differs from `base`, which must not change from here on; of `size` bytes
        if that is more. One that is there already is left as it is."""
        if not path.exists():
            with _draft(path) as draft:
                backing = ["-b", str(self._inside(base)), "-F", base_format.value]
                larger = size is not None and size > self.info(base, base_format).virtual_size
                _work("create", "-q", "-f", "qcow2", *backing, str(draft), *([str(size)] if larger else []))

    def freeze(self, disk: Path, base: FileId) -> Path:
        """Turn a stopped machine's qcow2 disk into a base, with an overlay in its place; returns the base. Half done
        before, it is finished. Raises Conflict `disk.has_snapshots`: they would stay behind in the base."""
        frozen = self.base(base)
        if not frozen.exists():
            if self.info(disk, Format.QCOW2).snapshots:
                raise Conflict(
                    "The disk has snapshots.", code="disk.has_snapshots", remedy="Delete them first, or copy it whole."
                )
            os.rename(disk, frozen)
        if not disk.exists():
            self.overlay(disk, frozen, Format.QCOW2)
        return frozen

    def grow(self, path: Path, format: Format, size: int) -> None:  # noqa: A002
        """Of a stopped machine's disk, to `size` bytes; that large already is success. Raises Conflict
        `disk.cannot_shrink`."""
        virtual_size = self.info(path, format).virtual_size
        if size < virtual_size:
            raise Conflict("A disk can only grow.", code="disk.cannot_shrink")
        if size > virtual_size:
            _work("resize", "-q", "-f", format.value, str(path), str(size))

    def copy(self, source: Path, source_format: Format, target: Path, target_format: Format, *, small: bool) -> None:
        """A whole disk that stands on its own, out of one that nobody writes to and what lies beneath it. `small`
        compresses it (qcow2). One that is there already is left as it is."""
        if not target.exists():
            with _draft(target) as draft:
                flags = ["-c"] if small and target_format is Format.QCOW2 else []
                formats = ["-f", source_format.value, "-O", target_format.value]
                _work("convert", "-q", *flags, *formats, str(self._inside(source)), str(draft))

    def detach_from_base(self, path: Path) -> None:
        """Make an overlay of a stopped machine whole."""
        if self.info(path, Format.QCOW2).backing is not None:
            with _draft(path) as draft:
                _work("convert", "-q", "-f", "qcow2", "-O", "qcow2", str(path), str(draft))

    def info(self, path: Path, format: Format) -> DiskInfo:  # noqa: A002
        """Of a disk of ours, in use or not."""
        said = _info(self._inside(path), format, _LOOK)
        backing = said.get("full-backing-filename") or said.get("backing-filename")
        return DiskInfo(
            virtual_size=int(said["virtual-size"]),
            allocated=int(said.get("actual-size", 0)),
            backing=Path(backing) if backing else None,
            snapshots=tuple(str(one["name"]) for one in said.get("snapshots", ())),
        )

    def remove(self, *paths: Path) -> None:
        """Files and whole folders of ours. What is gone already is success."""
        for path in paths:
            _remove(self._inside(path))

    # -- inside

    def _backups(self, machine: MachineId) -> Path:
        return _folder(self.root / "backups" / MachineId.parse(machine))

    def _inside(self, path: Path) -> Path:
        """A guard: no path that leads out of our folder is ever handed to a program."""
        if self.root not in path.parents or ".." in path.parts:
            raise ValueError("a path outside the house")
        return path

    def _refuse_large(self, virtual_size: int) -> None:
        if virtual_size > self._largest_disk:
            raise _refused(f"has more than {self._largest_disk // _GIB} GiB.")


def create(path: Path, format: Format, size: int) -> None:  # noqa: A002
    """An empty disk of `size` bytes in the place of whatever is there."""
    with _draft(path) as draft:
        _work("create", "-q", "-f", format.value, str(draft), str(size))


def _refused(why: str) -> Invalid:
    return Invalid({"file": [why]}, code="image.refused")


def _qcow2_size(path: Path) -> int:
    """The virtual size, read by ourselves before any program sees the file. Raises Invalid."""
    with path.open("rb") as file:
        head = file.read(_QCOW2_HEADER.size + _QCOW2_MORE.size)
    if len(head) < _QCOW2_HEADER.size or not head.startswith(_QCOW2):
        raise _refused("is not a qcow2 image.")
    fields = _QCOW2_HEADER.unpack_from(head)
    _, version, backing_at, _, cluster_bits, size, encryption, l1_size, l1_at, *_, snapshots, _ = fields
    if version not in (2, 3):
        raise _refused("has a version of qcow2 that is not known here.")
    if backing_at:
        raise _refused("has a backing file: make it whole with `qemu-img convert` first.")
    if encryption:
        raise _refused("is encrypted.")
    if snapshots:
        raise _refused("has internal snapshots: leave them behind with `qemu-img convert` first.")
    if not 9 <= cluster_bits <= 21 or l1_size > _LARGEST_L1 or l1_at >= path.stat().st_size:
        raise _refused("has tables that no disk needs.")
    if version == 3:
        if len(head) < _QCOW2_HEADER.size + _QCOW2_MORE.size:
            raise _refused("is cut off.")
        incompatible = _QCOW2_MORE.unpack_from(head, _QCOW2_HEADER.size)[0]
        if incompatible & ~(_DIRTY | _ZSTD | _EXTENDED_L2):
            raise _refused("has an external data file, is marked as corrupt, or asks for what is not known here.")
    return int(size)


def _iso_size(descriptor: bytes) -> int:
    if len(descriptor) < _ISO_SECTOR:
        return 0
    (blocks,) = struct.unpack_from("<I", descriptor, _ISO_BLOCKS)
    (block,) = struct.unpack_from("<H", descriptor, _ISO_BLOCK)
    return int(blocks) * int(block)


def _refuse_damaged(path: Path) -> None:
    """Clusters beyond the end of the file, or two uses of one. Such as nobody uses do no harm (3)."""
    done = _run([*_LOOK, "qemu-img", "check", "-q", "-U", "-f", Format.QCOW2.value, str(path)], _LOOK_SECONDS)
    if done.returncode not in (0, 3):
        raise Invalid({"file": ["is damaged or cut off."]}, code="image.refused", log=done.stderr[-500:])


def _refuse_outside(said: dict[str, Any]) -> None:
    specific = (said.get("format-specific") or {}).get("data") or {}
    if said.get("format") != Kind.QCOW2.value:
        raise _refused("is not a qcow2 image.")
    if any(said.get(name) for name in ("backing-filename", "full-backing-filename", "backing-filename-format")):
        raise _refused("has a backing file.")
    if specific.get("data-file") or specific.get("data-file-raw"):
        raise _refused("has an external data file.")
    if said.get("encrypted") or specific.get("encrypt"):
        raise _refused("is encrypted.")
    if said.get("snapshots"):
        raise _refused("has internal snapshots.")
    if specific.get("corrupt"):
        raise _refused("is marked as corrupt.")


def _info(path: Path, format: Format, limits: Sequence[str]) -> dict[str, Any]:  # noqa: A002
    # -U: a running machine holds the lock of its disk.
    command = [*limits, "qemu-img", "info", "-U", "--output=json", "-f", format.value, str(path)]
    done = _run(command, _LOOK_SECONDS)
    if done.returncode:
        raise Invalid({"file": ["cannot be read as a disk."]}, code="image.refused", log=done.stderr[-500:])
    said = json.loads(done.stdout)
    return said if isinstance(said, dict) else {}


def _work(command: str, *arguments: str) -> None:
    done = _run([*_WORK, "qemu-img", command, *arguments], _WORK_SECONDS)
    if done.returncode:
        raise _trouble(done.stderr)


def _run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    if shutil.which("qemu-img") is None:
        raise QemuAway("qemu-img is not installed.", code="qemu.not_installed", remedy="Run `make qemu` as root.")
    try:
        return subprocess.run(  # noqa: S603  # paths are our own, and no argument begins with a dash
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=seconds,
            check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise QemuRefused(
            f"{command[0]} is not installed.", code="qemu.incomplete", remedy="Run `make qemu` as root.", log=str(error)
        ) from error
    except subprocess.TimeoutExpired as error:
        raise QemuRefused("qemu-img did not end in time.", log=str(error)) from error


def _trouble(said: str) -> AppError:
    if "No space left" in said or "Disk quota exceeded" in said:
        return _full(said)
    return QemuRefused("qemu-img failed.", code="qemu.disk_failed", log=said[-500:])


def _full(said: str) -> CapacityExceeded:
    return CapacityExceeded("This host has not enough room left.", remedy="Free some room, or ask for less.", log=said)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """A name beside `path` for what is being made; it takes its place when it is whole."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        yield draft
        draft.chmod(_FILE_MODE)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (28, 122):  # ENOSPC, EDQUOT
            raise _full(str(error)) from error
        raise


def _open_new(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, _FILE_MODE), "wb")


@contextmanager
def _held(path: Path) -> Iterator[Path]:
    """A new folder with a lock on it, which the kernel takes away where this process dies."""
    handle = -1
    while handle < 0:
        _folder(path)
        with contextlib.suppress(FileNotFoundError):  # a sweep came before the lock
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not path.is_dir():
                os.close(handle)
                handle = -1
    try:
        yield path
    finally:
        os.close(handle)


def _is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # gone, or no folder
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _folder(path: Path) -> Path:
    """In the group of the one above."""
    if not path.is_dir():
        with contextlib.suppress(FileExistsError):
            path.mkdir()
        path.chmod(_FOLDER_MODE)
    return path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
