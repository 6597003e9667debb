"""Where a cluster is reached and as whom: values, checked when they are made."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.domain.errors import Invalid
from app.domain.identifiers import TokenId

_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SECRET = re.compile(r"[!-~]{1,128}", re.ASCII)


@dataclass(frozen=True)
class Endpoint:
    """A PVE API, and whom we take for it. Raises `Invalid` naming the field.

    `url` is `https://host:port`. The certificate is held against `fingerprint` (SHA-256 of the node's own
    certificate, hexadecimal, colons allowed) when there is one, else against `ca_pem`, else against the system's
    authorities; `verify=False` takes any. `timeout` in seconds, for connecting and for each answer; a write is given
    half as much again, so that PVE's own lock time-outs (10 s in PVE 9.1) arrive as PVE's words.
    """

    url: str
    ca_pem: str | None = None
    fingerprint: str | None = None
    verify: bool = True
    timeout: float = 10.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _origin(self.url))
        if self.fingerprint is not None:
            plain = self.fingerprint.replace(":", "").lower()
            if not _FINGERPRINT.fullmatch(plain):
                raise Invalid({"fingerprint": ["must be a SHA-256 fingerprint in hexadecimal"]})
            object.__setattr__(self, "fingerprint", plain)
        if self.ca_pem is not None:
            _check_pem(self.ca_pem)
        if not 0 < self.timeout <= 600:
            raise Invalid({"timeout": ["must be more than 0 and at most 600 seconds"]})


@dataclass(frozen=True)
class ApiToken:
    """A PVE API token; `secret` is shown nowhere."""

    id: TokenId
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        TokenId.parse(self.id)
        if not _SECRET.fullmatch(self.secret):
            raise Invalid({"secret": ["must be printable characters without blanks"]})


def _origin(url: str) -> str:
    wrong = Invalid({"url": ["must be https://host:port"]})
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    host = parts.hostname
    if parts.scheme != "https" or not host or not re.fullmatch(r"[A-Za-z0-9.:_-]+", host, re.ASCII):
        raise wrong
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise wrong
    return f"https://{f'[{host}]' if ':' in host else host}:{port or 8006}"


def _check_pem(pem: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise Invalid({"ca_pem": ["must be one or more PEM certificates"]}) from None
