"""Settings: read once from the environment, checked whole, then passed.

Every field of `Settings` is one variable `POOLHOUSE_<FIELD IN CAPITALS>`; `.env.example` has a line for each. A value
that is wrong, or not safe outside development, stops the start with the variable's name.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog

from app.domain.identifiers import MalformedIdentifier, PoolId, TokenId, VmId

PREFIX = "POOLHOUSE_"
DEVELOPMENT, PRODUCTION = "development", "production"

_CHECKOUT = Path(__file__).resolve().parents[1]

#: What a browser's development server is called (Vite's).
_DEVELOPMENT_ORIGINS = ("http://localhost:5173", "http://127.0.0.1:5173")
#: Where the lab's guests have their ports.
_LAB_NETWORKS = ("127.0.0.0/8",)
_SHORTEST_KEY = 32
_PUBLISHED = re.compile(r"change|example|secret|password|placeholder|insecure|default|your[-_ ]", re.IGNORECASE)
_PUBLISHED_PASSWORDS = frozenset({"password", "administrator", "changeme", "change-me", "poolhouse", "adminadmin"})

T = TypeVar("T")


class SettingsError(Exception):
    """One sentence that names the variable and never holds its value."""


def _by(parse: Callable[[str], Any]) -> Mapping[str, Any]:
    return {"parse": parse}


def _text(text: str) -> str:
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return parse


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return parse


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text, re.ASCII) or not least <= float(text) <= most:
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return float(text)

    return parse


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return text == "1"


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:-]{1,253}", text, re.ASCII):
        raise ValueError("must be an address or a host name")
    return text


def _database_url(text: str) -> str:
    if urlsplit(text).scheme not in ("sqlite", "postgresql"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return text


def _redis_url(text: str) -> str:
    if urlsplit(text).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis:// or rediss://")
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
    for origin in origins:
        if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", origin, re.ASCII):
            raise ValueError("must be a comma-separated list of origins as https://app.example.org, without wildcards")
    return origins


def _networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(part.strip())) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be a comma-separated list of networks as 10.20.0.0/16") from None


def _rate(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,6}/(second|minute|hour|day)", text, re.ASCII):
        raise ValueError("must be a rate as 600/minute")
    return text


def _https_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise ValueError("must be an address as https://pve.example.org:8006")
    return text.rstrip("/")


def _identifier(parse: Callable[[str], T], what: str) -> Callable[[str], T]:
    def parsed(text: str) -> T:
        try:
            return parse(text)
        except MalformedIdentifier:
            raise ValueError(f"must be {what}") from None

    return parsed


def _folder(text: str) -> Path:
    """A relative one is the checkout's, wherever a process was started."""
    return _CHECKOUT / text


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("must be a file that can be read")
    return path


def _libvirt_uri(text: str) -> str:
    if not re.fullmatch(r"(qemu|test)(\+[a-z]+)?://[!-~]{1,500}", text, re.ASCII):
        raise ValueError("must be an address of libvirt's as qemu:///system")
    return text


def _fingerprint(text: str) -> str:
    digits = text.replace(":", "").upper()
    if not re.fullmatch(r"[0-9A-F]{64}", digits, re.ASCII):
        raise ValueError("must be a SHA-256 fingerprint: 64 hexadecimal digits")
    return ":".join(digits[at : at + 2] for at in range(0, 64, 2))


@dataclass(frozen=True)
class Settings:
    """Units: seconds unless a name says otherwise."""

    mode: str = field(default=PRODUCTION, metadata=_by(_one_of(DEVELOPMENT, PRODUCTION)))
    state_dir: Path = field(default=_CHECKOUT / "var", metadata=_by(_folder))
    log_level: str = field(default="info", metadata=_by(_one_of("debug", "info", "warning", "error")))

    host: str = field(default="127.0.0.1", metadata=_by(_host))
    port: int = field(default=5000, metadata=_by(_whole(1, 65535)))
    web_workers: int = field(default=1, metadata=_by(_whole(1, 64)))
    web_threads: int = field(default=16, metadata=_by(_whole(2, 256)))
    proxies: int = field(default=0, metadata=_by(_whole(0, 5)))
    allowed_origins: tuple[str, ...] | None = field(default=None, metadata=_by(_origins))
    max_body_bytes: int = field(default=1 << 20, metadata=_by(_whole(1 << 10, 1 << 30)))
    max_upload_bytes: int = field(default=10 << 30, metadata=_by(_whole(1 << 10, 1 << 39)))
    download_networks: tuple[str, ...] | None = field(default=None, metadata=_by(_networks))
    guest_networks: tuple[str, ...] | None = field(default=None, metadata=_by(_networks))
    restarts_per_day: int = field(default=0, metadata=_by(_whole(0, 10_000)))
    prefer_wait_max: int = field(default=120, metadata=_by(_whole(0, 120)))
    front_end_wait: int = field(default=5, metadata=_by(_whole(0, 120)))

    database_url: str = field(default="", repr=False, metadata=_by(_database_url))
    database_pool: int = field(default=20, metadata=_by(_whole(1, 200)))
    redis_url: str | None = field(default=None, repr=False, metadata=_by(_redis_url))

    admin_password: str | None = field(default=None, repr=False, metadata=_by(_text))
    access_token_minutes: int = field(default=15, metadata=_by(_whole(1, 1440)))
    refresh_token_days: int = field(default=14, metadata=_by(_whole(1, 365)))
    ratelimit_enabled: bool = field(default=True, metadata=_by(_switch))
    ratelimit_login: str = field(default="10/minute", metadata=_by(_rate))
    ratelimit_writes: str = field(default="600/minute", metadata=_by(_rate))
    ratelimit_reads: str = field(default="3000/minute", metadata=_by(_rate))

    pve_url: str | None = field(default=None, metadata=_by(_https_url))
    pve_token_id: TokenId | None = field(
        default=None, metadata=_by(_identifier(TokenId.parse, "a token id as root@pam!poolhouse"))
    )
    pve_token_secret: str | None = field(default=None, repr=False, metadata=_by(_text))
    pve_ca_file: Path | None = field(default=None, metadata=_by(_file))
    pve_fingerprint: str | None = field(default=None, metadata=_by(_fingerprint))
    pve_timeout: float = field(default=10.0, metadata=_by(_seconds(0.5, 120)))
    inventory_interval: float = field(default=10.0, metadata=_by(_seconds(0.2, 3600)))
    vmid_min: VmId = field(default=VmId(10_000), metadata=_by(_identifier(VmId.parse, "a vmid")))
    vmid_max: VmId = field(default=VmId(19_999), metadata=_by(_identifier(VmId.parse, "a vmid")))
    vmid_quarantine_seconds: int = field(default=3600, metadata=_by(_whole(0, 31_536_000)))
    stop_privileged: bool = field(default=False, metadata=_by(_switch))
    catalog_pool: PoolId = field(default=PoolId("catalog"), metadata=_by(_identifier(PoolId.parse, "a pool id")))

    qemu: bool = field(default=True, metadata=_by(_switch))
    qemu_uri: str = field(default="qemu:///system", metadata=_by(_libvirt_uri))

    lab: bool | None = field(default=None, metadata=_by(_switch))
    lab_port: int = field(default=8006, metadata=_by(_whole(1, 65535)))
    lab_control_port: int | None = field(default=None, metadata=_by(_whole(1, 65535)))
    lab_password: str | None = field(default=None, repr=False, metadata=_by(_text))
    lab_time_scale: float = field(default=1.0, metadata=_by(_seconds(0, 1000)))

    secret_key: bytes = field(default=b"", repr=False)
    encryption_key: bytes = field(default=b"", repr=False)

    @property
    def in_development(self) -> bool:
        return self.mode == DEVELOPMENT

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises SettingsError. An empty value counts as none.

        The keys of log-ins (POOLHOUSE_SECRET_KEY) and of secrets at rest (POOLHOUSE_ENCRYPTION_KEY) come from the
        environment or from `secret.key` and `encryption.key` in the state folder, which are made there at the first
        start in development.
        """
        given = {name: _read(environ, name, parse) for name, parse in _variables() if environ.get(_env(name))}
        settings = cls(**given)
        settings = dataclasses.replace(settings, **_derived(settings))
        _check(settings)
        return dataclasses.replace(
            settings,
            secret_key=_key(settings, environ, "secret_key"),
            encryption_key=_key(settings, environ, "encryption_key"),
        )


def variables() -> list[str]:
    """The name of every variable."""
    return [_env(name) for name, _ in _variables()] + [_env("secret_key"), _env("encryption_key")]


def configure_log(level: str) -> None:
    """One JSON object a line on standard error, for every process alike. Secrets have no place in it: fields that are
    named like one are left out."""
    number = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_secrets,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


_SECRET_FIELD = re.compile(r"password|secret|token|authorization|cookie|ticket", re.IGNORECASE)


def _without_secrets(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: value for name, value in event.items() if name == "event" or not _SECRET_FIELD.search(name)}


def _env(name: str) -> str:
    return PREFIX + name.upper()


def _variables() -> list[tuple[str, Callable[[str], Any]]]:
    return [
        (found.name, found.metadata["parse"]) for found in dataclasses.fields(Settings) if "parse" in found.metadata
    ]


def _read(environ: Mapping[str, str], name: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(environ[_env(name)])
    except ValueError as error:
        raise SettingsError(f"{_env(name)} {error}.") from None


def _derived(settings: Settings) -> dict[str, Any]:
    networks = _LAB_NETWORKS if settings.in_development else ()
    origins = _DEVELOPMENT_ORIGINS if settings.in_development else ()
    return {
        "database_url": settings.database_url or f"sqlite:///{settings.state_dir / 'poolhouse.db'}",
        "allowed_origins": settings.allowed_origins if settings.allowed_origins is not None else origins,
        "guest_networks": settings.guest_networks if settings.guest_networks is not None else networks,
        "lab": settings.lab if settings.lab is not None else settings.in_development,
    }


def _check(settings: Settings) -> None:
    """What is wrong only together with something else."""
    if settings.vmid_min > settings.vmid_max:
        raise SettingsError(f"{_env('vmid_min')} must not be above {_env('vmid_max')}.")
    cluster = {
        "pve_url": settings.pve_url,
        "pve_token_id": settings.pve_token_id,
        "pve_token_secret": settings.pve_token_secret,
    }
    missing = [name for name, value in cluster.items() if value is None]
    if missing and len(missing) < len(cluster):
        raise SettingsError(f"{_env(missing[0])} is missing: a cluster needs address, token id and token secret.")
    if settings.in_development:
        return
    if not settings.ratelimit_enabled:
        raise SettingsError(f"{_env('ratelimit_enabled')} may be 0 in development only.")
    if settings.web_workers > 1 and settings.redis_url is None:
        raise SettingsError(f"{_env('web_workers')} above 1 needs {_env('redis_url')}: rate limits are counted there.")
    for origin in settings.allowed_origins or ():
        if origin.startswith("http:") and not _is_loopback(urlsplit(origin).hostname or ""):
            raise SettingsError(f"{_env('allowed_origins')} must be https outside development.")
    password = settings.admin_password
    if password is not None and (len(password) < 8 or password.lower() in _PUBLISHED_PASSWORDS):
        raise SettingsError(f"{_env('admin_password')} is too short or widely known.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _key(settings: Settings, environ: Mapping[str, str], name: str) -> bytes:
    """32 bytes that nobody can guess."""
    text = environ.get(_env(name)) or _kept_key(settings, name)
    if not settings.in_development:
        _refuse_weak(_env(name), text)
    return sha256(f"poolhouse {name}:{text}".encode()).digest()


def _refuse_weak(variable: str, text: str) -> None:
    if len(text) < _SHORTEST_KEY or len(set(text)) < 12:
        raise SettingsError(f"{variable} is too short or too regular: use at least {_SHORTEST_KEY} random characters.")
    if _PUBLISHED.search(text):
        raise SettingsError(f"{variable} looks like a published example: use random characters.")


def _kept_key(settings: Settings, name: str) -> str:
    """From the state folder. Two processes that start at once end with the same one."""
    path = settings.state_dir / f"{name.removesuffix('_key')}.key"
    try:
        if not path.exists():
            if not settings.in_development:
                wanted = f"at least {_SHORTEST_KEY} random characters"
                raise SettingsError(f"{_env(name)} is missing: set it to {wanted}, or put them into {path}.")
            settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_once(path, secrets.token_hex(32))
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"{_env(name)} cannot be kept in {path} ({error.strerror}).") from None


def _write_once(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
        new.write(text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
