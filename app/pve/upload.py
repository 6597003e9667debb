"""POST /nodes/{node}/storage/{storage}/upload: a file goes through as it comes."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

from app.domain.errors import Invalid
from app.domain.identifiers import MediaName
from app.domain.storages import Checksum, Upload


class Form:
    """PVE's form around a file, as long as it says, made while it is read. It can be read once.

    The checksum is worked out on the way: a file that has another one is never sent to its end, and PVE throws away
    what it has.
    """

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._boundary = f"poolhouse-{secrets.token_hex(16)}"
        self._head = "".join(self._field(name, text) for name, text in _fields(upload)) + self._opening(upload.filename)
        self._tail = f"\r\n--{self._boundary}--\r\n"
        self._sha256 = hashlib.sha256()

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def sha256(self) -> str:
        """Of what was read so far, in hexadecimal."""
        return self._sha256.hexdigest()

    def __len__(self) -> int:
        return len(self._head) + self._upload.size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        wanted = self._upload.checksum
        digest = hashlib.new(wanted.algorithm) if wanted is not None else None
        yield self._head.encode()
        for chunk in self._upload.chunks:
            self._sha256.update(chunk)
            if digest is not None:
                digest.update(chunk)
            yield chunk
        if wanted is not None and digest is not None and digest.hexdigest() != wanted.digest:
            raise Invalid({"checksum": ["is not that of the file that came"]})
        yield self._tail.encode()

    def _field(self, name: str, text: str) -> str:
        return f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'

    def _opening(self, filename: MediaName) -> str:
        proven = MediaName.parse(filename)
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="filename"; filename="{proven}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )


def _fields(upload: Upload) -> Iterator[tuple[str, str]]:
    """PVE checks the checksum again, of what it has written."""
    yield "content", str(upload.content)
    checksum: Checksum | None = upload.checksum
    if checksum is not None:
        yield "checksum-algorithm", checksum.algorithm
        yield "checksum", checksum.digest
