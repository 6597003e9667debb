"""Passwords of lab users, kept as salted hashes. Cheap on purpose: they protect nothing real."""

import hashlib
import hmac
import secrets

_ROUNDS = 500


def hashed(password: str) -> str:
    """`SALT$HASH`, in hex."""
    salt = secrets.token_hex(8)
    return f"{salt}${_hash(salt, password)}"


def fits(password: str, kept: str | None) -> bool:
    """Whether this is the password that was kept; nothing fits None."""
    if kept is None:
        return False
    salt, _, wanted = kept.partition("$")
    return hmac.compare_digest(_hash(salt, password), wanted)


def _hash(salt: str, password: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), _ROUNDS).hex()
