"""Secrets at rest: AES-256-GCM, bound to what they belong to, under a key that can be rotated."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12


class WrongKey(Exception):
    """A secret was sealed under a key that is not here, or it was moved to another row."""


class Vault:
    """The first key seals; every key opens. Keys are 32 bytes.

    A sealed text is `KEYID.BASE64(nonce + ciphertext)`; `belongs_to` is authenticated, so a secret cannot be
    moved from one row to another.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise ValueError("a vault needs keys of 32 bytes")
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._sealing = _key_id(keys[0])

    def seal(self, secret: str, *, belongs_to: str) -> str:
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._sealing].encrypt(nonce, secret.encode(), belongs_to.encode())
        return f"{self._sealing}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, belongs_to: str) -> str:
        """Raises WrongKey."""
        key_id, _, text = sealed.partition(".")
        raw = base64.b64decode(text)
        try:
            return self._ciphers[key_id].decrypt(raw[:_NONCE], raw[_NONCE:], belongs_to.encode()).decode()
        except (KeyError, InvalidTag) as error:
            raise WrongKey(belongs_to) from error


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"poolhouse key id" + key).hexdigest()[:8]
