"""The control port of a lab, in Python: faults, time, outages, state, and who called what."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

_SECONDS = 60.0


class LabError(Exception):
    """The lab refused something, or does not run; the text says why."""


class Control:
    """What `docs/lab.md` tells of the control port, call for call. Every method raises LabError when it is refused."""

    control_port: int

    def control(self, method: str, name: str, body: Any = None, **query: Any) -> Any:
        """The `data` of any call of the control port."""
        return self._answer(method, name, body, query)["data"]

    def _answer(self, method: str, name: str, body: Any, query: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=_SECONDS)
        try:
            text = None if body is None else json.dumps(body)
            target = f"/__lab__/{name}?{urllib.parse.urlencode(query)}"
            connection.request(method, target, text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        except OSError as error:
            raise LabError(f"the lab does not answer: {error}") from None
        finally:
            connection.close()
        if answer.status != 200:
            raise LabError(str(found.get("error")))
        return found

    def reset(self) -> None:
        """Back to the start: no calls, no rules, no tasks, the time runs."""
        self.control("POST", "reset")

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """The calls to the API, oldest first: n, at, method, path, user, status, seconds, parameters (their names).

        `user` is `user@realm`, or `user@realm!token`; `status` is 0 where the connection was cut.
        """
        rows: list[dict[str, Any]] = self.control("GET", "calls", since=since)
        return rows

    def forget_calls(self) -> None:
        self.control("DELETE", "calls")

    def fault(self, kind: str, **rule: Any) -> Fault:
        """Make things go wrong from now on, or for the length of a `with` block; the rules are in `docs/lab.md`."""
        return Fault(self, self.control("POST", "faults", {"kind": kind, **rule})["id"])

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, oldest first, and how often each has `struck`."""
        rows: list[dict[str, Any]] = self.control("GET", "faults")
        return rows

    def replay(self, rules: list[dict[str, Any]]) -> None:
        """These rules and no others, as though none had struck yet: the same calls are struck again."""
        self.control("PUT", "faults", {"data": rules})

    def now(self) -> float:
        """The lab's time, seconds since the epoch."""
        return float(self.control("GET", "clock")["now"])

    def stop_time(self, at: float | None = None) -> None:
        """Let the time stand still, at this moment if one is given: all that waits does so until `advance`."""
        self.control("PUT", "clock", {"mode": "step"} | ({} if at is None else {"now": at}))

    def run_time(self, scale: float | None = None) -> None:
        """Let the time run again; PVE's own durations take `scale` times as long as they say."""
        self.control("PUT", "clock", {"mode": "run"} | ({} if scale is None else {"time_scale": scale}))

    def advance(self, seconds: float) -> None:
        """Move the time on; what would have ended by then has ended when this returns."""
        self.control("PUT", "clock", {"advance": seconds})

    def expire_tickets(self, user: str = "") -> None:
        """Make all tickets of a user worthless, or everybody's."""
        self.control("DELETE", "tickets", user=user)

    def node(self, name: str, *, online: bool | None = None, reachable: bool | None = None) -> None:
        """Switch a node off or on, or stop and start its proxy alone."""
        wanted = {"online": online, "reachable": reachable}
        self.control("PUT", f"nodes/{name}", {key: value for key, value in wanted.items() if value is not None})

    def skew(self, node: str, seconds: float) -> None:
        """Put a node's clock ahead of the others, or behind."""
        self.control("PUT", f"nodes/{node}", {"clock_skew": seconds})

    def quorum(self, there: bool) -> None:
        """Take the cluster's quorum away, or give it back."""
        self.control("PUT", "cluster", {"quorate": there})

    def guest(self, vmid: int, **inside: Any) -> None:
        """Say what a guest is like inside: `agent`, `deaf`, `address`, `port`, `boot_seconds`."""
        self.control("PUT", f"guests/{vmid}", inside)

    def state(self) -> dict[str, Any]:
        """The whole cluster as JSON."""
        found: dict[str, Any] = self.control("GET", "state")
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state; tasks that ran in it have no worker any more."""
        self.control("PUT", "state", state)

    @contextlib.contextmanager
    def restored_after(self) -> Iterator[None]:
        """Whatever a block does to the state is undone at its end."""
        before = self.state()
        try:
            yield
        finally:
            self.restore(before)


class Fault:
    """A rule in force. As a context manager it is taken away at the end of the block."""

    def __init__(self, control: Control, rule_id: int) -> None:
        self._control = control
        self.id = rule_id

    @property
    def struck(self) -> int:
        """How often it has struck; 0 once it was removed."""
        return next((row["struck"] for row in self._control.faults() if row["id"] == self.id), 0)

    def remove(self) -> None:
        self._control.control("DELETE", "faults", id=self.id)

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
