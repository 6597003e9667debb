"""A backup as one tar file: `manifest.json`, then the disks, and the firmware's variables where there are some.

What is read may come from anybody. It holds plain files only, in the order, with the names, sizes and SHA-256 sums that
its manifest gives, which may name no more than we ever write; nothing is kept before all of it has been checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from app.domain.errors import Invalid

MANIFEST = "manifest.json"
FIRMWARE = "firmware.fd"
VERSION = 1

_LARGEST_MANIFEST = 64 << 10
_LARGEST_FIRMWARE = 4 << 20
_MOST_DISKS = 16
_DISK = re.compile(r"disk-(?:0|[1-9]\d?)\.qcow2", re.ASCII)
_SUM = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Part:
    """A file of the archive; `size` in bytes, `sha256` in hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Contents:
    """`machine` is what the manifest says about the machine, which the reader must not believe unchecked either."""

    machine: Mapping[str, Any]
    parts: tuple[Part, ...]


def disk_name(slot: int) -> str:
    return f"disk-{slot}.qcow2"


def write(target: IO[bytes], machine: Mapping[str, Any], files: Mapping[str, Path]) -> Contents:
    """Write an archive of `files` by the names they get. Every file is read twice: its sum comes before it."""
    parts = tuple(Part(name, path.stat().st_size, _sum(path)) for name, path in files.items())
    for part in parts:
        _check_name(part.name)
    manifest = json.dumps(
        {"poolhouse_backup": VERSION, "machine": dict(machine), "parts": [vars(part) for part in parts]}, indent=1
    ).encode()
    _write_entry(target, MANIFEST, len(manifest), iter([manifest]))
    for part in parts:
        with files[part.name].open("rb") as file:
            _write_entry(target, part.name, part.size, _pieces(file, part.size))
    target.write(bytes(2 * _BLOCK))
    return Contents(machine, parts)


def manifest(source: IO[bytes], *, limit: int) -> Contents:
    """The first entry alone. Raises Invalid (`backup.refused`) for what is no archive of ours; `limit` is the largest
    sum of the sizes in bytes."""
    name, size = _entry(source)
    if name != MANIFEST or not 0 < size <= _LARGEST_MANIFEST:
        raise _refused("does not begin with a manifest.")
    text = b"".join(_pieces(source, size))
    _skip_padding(source, size)
    return _contents(text, limit)


def unpack(source: IO[bytes], folder: Path, *, limit: int) -> Contents:
    """Read a whole archive into an empty folder. Raises Invalid (`backup.refused`); what was written by then is the
    caller's to throw away, with its folder. The disks are still to be inspected."""
    contents = manifest(source, limit=limit)
    for part in contents.parts:
        name, size = _entry(source)
        if (name, size) != (part.name, part.size):
            raise _refused("holds something else than its manifest says.")
        digest = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(folder / part.name, flags, 0o660), "wb") as file:
            for piece in _pieces(source, part.size):
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != part.sha256:
            raise _refused(f"is damaged: {part.name} has another sum than its manifest says.")
        _skip_padding(source, part.size)
    if source.read(_BLOCK).strip(b"\0"):
        raise _refused("holds more than its manifest says.")
    return contents


def _contents(text: bytes, limit: int) -> Contents:
    said: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(text)
    if not isinstance(said, dict) or said.get("poolhouse_backup") != VERSION:
        raise _refused("is no backup of Poolhouse, or of a version that is not known here.")
    machine, listed = said.get("machine"), said.get("parts")
    if not isinstance(machine, dict) or not isinstance(listed, list) or not 1 <= len(listed) <= _MOST_DISKS + 1:
        raise _refused("has a manifest that is not one of ours.")
    parts = tuple(map(_part, listed))
    names = [part.name for part in parts]
    if len(set(names)) != len(names) or disk_name(0) not in names:
        raise _refused("names a file twice, or not the first disk.")
    if sum(part.size for part in parts) > limit:
        raise _refused("is larger than allowed.")
    return Contents(machine, parts)


def _part(said: object) -> Part:
    if not isinstance(said, dict) or set(said) != {"name", "size", "sha256"}:
        raise _refused("has a manifest that is not one of ours.")
    name, size, digest = said["name"], said["size"], said["sha256"]
    if not isinstance(name, str) or type(size) is not int or not isinstance(digest, str):
        raise _refused("has a manifest that is not one of ours.")
    _check_name(name)
    if size < 1 or not _SUM.fullmatch(digest) or (name == FIRMWARE and size > _LARGEST_FIRMWARE):
        raise _refused("has a manifest that is not one of ours.")
    return Part(name, size, digest)


def _check_name(name: str) -> None:
    if name != FIRMWARE and not _DISK.fullmatch(name):
        raise _refused("names a file that no backup has.")


def _entry(source: IO[bytes]) -> tuple[str, int]:
    """Name and size of the next one: a plain file with a header of its own, or nothing we read. The headers that tar
    knows beside (long names, links, devices, sparse files, attributes) are refused unread."""
    block = _exactly(source, _BLOCK)
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError):
        raise _refused("is not a tar file, or is cut off.") from None
    if header.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or header.size < 0:
        raise _refused("holds something else than plain files.")
    return header.name, header.size


def _write_entry(target: IO[bytes], name: str, size: int, pieces: Iterator[bytes]) -> None:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, 0o600
    # GNU: a size beyond 8 GiB stands in the header itself, not in one more entry before it.
    target.write(header.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict"))
    for piece in pieces:
        target.write(piece)
    target.write(bytes(-size % _BLOCK))


def _pieces(source: IO[bytes], size: int) -> Iterator[bytes]:
    """`size` bytes. Raises Invalid where there are fewer."""
    left = size
    while left:
        piece = source.read(min(left, _CHUNK))
        if not piece:
            raise _refused("is cut off.")
        left -= len(piece)
        yield piece


def _exactly(source: IO[bytes], size: int) -> bytes:
    return b"".join(_pieces(source, size))


def _skip_padding(source: IO[bytes], size: int) -> None:
    _exactly(source, -size % _BLOCK)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refused(why: str) -> Invalid:
    return Invalid({"file": [why]}, code="backup.refused")
