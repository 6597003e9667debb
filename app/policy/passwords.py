"""Passwords: which are good enough, how they are kept, and how one is proved.

argon2id by RFC 9106, with the memory and passes of OWASP's Password Storage Cheat Sheet (46 MiB, 1, one lane): about
50 ms of one core. A text is taken in Unicode form NFC, so that it is the same password on every keyboard.
"""

from __future__ import annotations

import base64
import secrets
import unicodedata
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.domain.errors import Invalid

SHORTEST, LONGEST = 8, 128
_HASHER = PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
#: No more at once: a flood of log-ins waits here and takes neither all memory nor all cores from other requests.
_AT_ONCE = BoundedSemaphore(4)
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_GENERATED = 20


def check(password: str, *, field: str = "password") -> str:
    """The password in the form to be hashed. Raises Invalid, naming `field`, for one outside the policy."""
    normal = unicodedata.normalize("NFC", password)
    if not SHORTEST <= len(normal) <= LONGEST:
        raise Invalid({field: [f"must have {SHORTEST} to {LONGEST} characters"]})
    if any(unicodedata.category(char) == "Cs" for char in normal):
        raise Invalid({field: ["must be valid Unicode"]})
    return normal


def generate() -> str:
    """About 116 bits, in letters and digits that are not taken for each other."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED))


def hashed(password: str, *, field: str = "password") -> str:
    """Salted, encoded with its parameters. Raises Invalid for a password outside the policy."""
    checked = check(password, field=field)
    with _AT_ONCE:
        return _HASHER.hash(checked)


def proves(password: str, kept: str | None) -> bool:
    """Whether this is the password that is kept. Where none is, the same work is done and the answer is no."""
    try:
        with _AT_ONCE:
            return _HASHER.verify(kept or _DECOY, _bytes(password)) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Made with other parameters than today's: to be hashed anew at the next log-in."""
    return _HASHER.check_needs_rehash(kept)


def _bytes(password: str) -> bytes:
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _decoy() -> str:
    """A hash of today's parameters that nothing is the password of."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (_HASHER.salt_len, _HASHER.hash_len)
    )
    cost = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"


_DECOY = _decoy()
