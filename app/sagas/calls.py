"""What a step will ask PVE to change, told before anything is done: for a dry run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.guests import GuestKind
from app.operations import Call

_KINDS = {GuestKind.CT: "lxc", GuestKind.VM: "qemu"}


def will(call: str, when: Callable[[Any], Any] = lambda _: True) -> Callable[[Any], Sequence[Call]]:
    """`call` is `METHOD /path`, in which `{p.x}` is a parameter of the saga, `{kind}` is lxc or qemu and `{guest}` the
    guest's own address; the call is made where `when` says so of the parameters."""
    return _planned(call, when, certain=True)


def may(call: str, when: Callable[[Any], Any] = lambda _: True) -> Callable[[Any], Sequence[Call]]:
    """As `will`, but the call is made only where the guest is found in a state that needs it."""
    return _planned(call, when, certain=False)


def _planned(call: str, when: Callable[[Any], Any], *, certain: bool) -> Callable[[Any], Sequence[Call]]:
    method, _, path = call.partition(" ")

    def of(p: Any) -> Sequence[Call]:
        if not when(p):
            return ()
        known = {"p": p}
        if hasattr(p, "kind"):
            kind = _KINDS[GuestKind(p.kind)]
            known |= {"kind": kind, "guest": f"/nodes/{p.node}/{kind}/{p.vmid}"}
        return (Call(method, path.format_map(known), certain),)

    return of
