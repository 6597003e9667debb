"""What a handler sees of a call, and how it refuses, in PVE's words."""

import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.lab import tasks
from app.lab.access.rights import Identity, rights_of
from app.lab.bodies import Upload
from app.lab.locks import LockTimeout
from app.lab.numbers import number_of
from app.lab.state import World
from app.lab.tasks import TaskFailed

__all__ = [
    "HANDLERS",
    "Call",
    "Identity",
    "Refused",
    "Reply",
    "TaskFailed",
    "failing_as",
    "handler",
    "require_writable_file",
]

Handler = Callable[["Call"], Any]
_WRITTEN = {"integer": r"-?\d+", "number": r"\d+(\.\d+)?"}
HANDLERS: dict[tuple[str, str], Handler] = {}
"""The handlers by method and path template of the schema."""


class Refused(Exception):
    """An HTTP error. `message` has no newline at its end; its first line becomes the reason phrase."""

    def __init__(self, status: int, message: str, errors: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors

    @classmethod
    def parameters(cls, errors: dict[str, str]) -> "Refused":
        """400: each wrong parameter with its text."""
        return cls(400, "Parameter verification failed.", errors)

    @property
    def task_text(self) -> str:
        """The refusal as PVE prints it inside another message: its status first, its errors on lines of their own."""
        if self.status == 500:
            return self.message
        lines = "".join(f"\n{name}: {text}" for name, text in (self.errors or {}).items())
        return f"{self.status} {self.message}{lines}"


@contextlib.contextmanager
def failing_as(prefix: str) -> Iterator[None]:
    """Whatever is refused inside becomes a 500 whose text begins with the prefix, as PVE does within its locks."""
    try:
        yield
    except Refused as refusal:
        raise Refused(500, f"{prefix}: {refusal.task_text}") from None
    except LockTimeout as timeout:
        raise Refused(500, f"{prefix}: {timeout}") from None


def require_writable_file(world: World, file: str) -> None:
    """Without quorum no file below /etc/pve can be written (facts.md section 13). Raises TaskFailed."""
    if not world.cluster.quorate:
        raise TaskFailed(f"unable to open file '/etc/pve/{file}.tmp.{world.next_pid}' - Permission denied")


@dataclass(frozen=True)
class Reply:
    """Data with more beside it in the envelope, or a plain text instead of an envelope."""

    data: Any
    beside: dict[str, Any] = field(default_factory=dict)
    text: str | None = None


def handler(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register a function, plain or async, for a method and path template of the schema; it returns the JSON `data`."""

    def register(function: Handler) -> Handler:
        HANDLERS[method, path] = function
        return function

    return register


@dataclass
class Call:
    """One call. `params` are checked and coerced (integers, booleans as 0 and 1), `given` are as they came."""

    world: World
    who: Identity
    method: str
    path: str
    params: dict[str, Any]
    given: dict[str, Any]
    node: str
    schema: dict[str, Any]
    schema_of_method: Callable[[str, str], dict[str, Any]]
    upload: Upload | None = None
    """The file that a multipart body brought."""

    def has(self, path: str, *privileges: str, any_of: bool = False) -> bool:
        """Whether the caller has all (or any) of the privileges on the path."""
        held = rights_of(self.world, self.who).on(path)
        return (any if any_of else all)(privilege in held for privilege in privileges)

    def require(self, path: str, *privileges: str, any_of: bool = False) -> None:
        """Refuse with 403 unless `has`; the text names the first privilege that is missing, or all alternatives."""
        held = rights_of(self.world, self.who).on(path)
        missing = [privilege for privilege in privileges if privilege not in held]
        if any_of and len(missing) == len(privileges):
            raise Refused(403, f"Permission check failed ({path}, {'|'.join(privileges)})")
        if missing and not any_of:
            raise Refused(403, f"Permission check failed ({path}, {missing[0]})")

    def start_task(self, kind: str, about: str, work: tasks.Work) -> str:
        """Start a task on the call's node; returns its UPID."""
        made = str(self.params.get("newid", self.params.get("vmid", "")))
        return tasks.start(self.world, self.node, kind, about, self.who.name, work, number_of(made))

    async def wait_briefly(self, upid: str, seconds: int, failure: str = "") -> str | None:
        """Wait so many PVE seconds for a task: None once it has ended well, its UPID while it runs.

        Raises Refused 500 with `failure` and the exit status of one that has failed by then.
        """
        if seconds <= 0:
            return upid
        task = self.world.running.get(upid)
        if task is not None:
            await task.ended(seconds)
        record = self.world.tasks[upid]
        if record.status == "stopped" and not tasks.is_good(record.exitstatus):
            raise Refused(500, f"{failure}{record.exitstatus}")
        return None if record.status == "stopped" else upid

    def with_total(self, rows: list[Any], total: int) -> Reply:
        """A part of a list, with the length of the whole beside it."""
        return Reply(rows, {"total": total} if total else {})

    def schema_of(self, method: str, path: str) -> dict[str, Any]:
        """The declared parameters of a method, families as `net[n]`."""
        found: dict[str, Any] = self.schema_of_method(method, path)["parameters"]
        return found

    def unwritable(self) -> str | None:
        """What PVE says on writing a VM's file of a number that the parameter check lets pass: `+2`, `.5`, `1e1`."""
        for name, value in self.given.items():
            kind = self.schema["parameters"].get(name, {}).get("type")
            if kind in _WRITTEN and value is not None and not re.fullmatch(_WRITTEN[kind], str(value)):
                return f"unable to parse value of '{name}' - type check ('{kind}') failed - got '{value}'"
        return None

    @property
    def schema_parameters(self) -> set[str]:
        """The names of this method's parameters."""
        return set(self.schema["parameters"])

    async def run(self, target: tuple[str, str], **params: Any) -> Any:
        """Let another handler do its work for the same caller: method and path template, and its parameters."""
        schema = self.schema_of_method(*target)
        filled = {"node": self.node} | params
        inner = Call(
            self.world, self.who, target[0], target[1], filled, filled, self.node, schema, self.schema_of_method
        )
        result = HANDLERS[target](inner)
        return await result if isinstance(result, Awaitable) else result
