"""What the parts of the tree need of a client: the port that `app.pve.client.Client` fills."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from app.domain.errors import PveAbsent, PveRefused
from app.domain.identifiers import TokenId
from app.pve.upload import Form

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]


class Speaker(Protocol):
    identity: TokenId

    def get(self, path: Path, params: Mapping[str, Scalar] | None = None) -> Any: ...
    def get_counted(self, path: Path, params: Mapping[str, Scalar] | None = None) -> tuple[Any, int]: ...
    def ask_once(self, path: Path, *, timeout: float) -> Any: ...
    def post(self, path: Path, params: Mapping[str, Scalar] | None = None) -> Any: ...
    def upload(self, path: Path, form: Form) -> Any: ...
    def put(self, path: Path, params: Mapping[str, Scalar]) -> Any: ...
    def delete(self, path: Path, params: Mapping[str, Scalar] | None = None) -> Any: ...


def made_now(call: Callable[[], Any]) -> bool:
    """False where PVE says that the thing exists already."""
    try:
        call()
    except PveRefused as error:
        if error.code != "pve.exists":
            raise
        return False
    return True


def gone_now(call: Callable[[], Any]) -> bool:
    """False where PVE says that the thing does not exist."""
    try:
        call()
    except PveAbsent:
        return False
    return True
