"""Public keys for SSH: both kinds of guests are given them, and both have them read by the same ssh-keygen."""

import re

from app.lab.call import Refused

_LINE = re.compile(r"^(?:[^\s]+\s+)?(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-\S+|sk-\S+)\s+(\S+)(?:\s.*)?$")


def require(text: str) -> None:
    """Every line is empty, a comment or an OpenSSH public key."""
    for line in text.splitlines():
        match = _LINE.match(line.strip())
        if line.strip() and not line.startswith("#") and (match is None or not _plausible(match[1])):
            raise Refused(500, "SSH public key validation error")


def _plausible(body: str) -> bool:
    """ssh-keygen reads the key: base64 of a name and its parts, so never very short."""
    return re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", body) is not None and len(body) >= 68
