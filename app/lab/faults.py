"""Faults on demand: rules that make calls, locks and tasks go wrong, each in a way that PVE itself knows.

Whether a rule with a `probability` strikes is decided by its seed, by what the call or task is, and by how often the
rule has seen the same one: the same calls are struck again in another run, whatever comes in between or at once.
"""

import random
import re
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from app.lab.state import Storage, World

CALL_KINDS = (
    "refuse",
    "delay",
    "close",
    "lost_reply",
    "unreachable",
    "expired",
    "reset",
    "half_answer",
    "duplicate",
)
"""refuse: answer status and text. delay: wait `seconds`, then go on. close: cut the connection before the work.
lost_reply: cut it after the work. unreachable: HTTP 595, or `status`, with an empty body (facts.md section 13).
expired: 401, as if the ticket or token were no longer good. reset: a TCP reset, before the work where `at` is 0, else
after the work and `at` percent of the answer's body. half_answer: an orderly end of the connection after `at` percent.
duplicate: the call is carried out twice, the answer is the second one's."""
TASK_KINDS = ("task_fails", "task_slow", "guest_absent")
"""task_fails: the task fails at `at` percent with `text`. task_slow: it works `seconds` longer, before all else.
guest_absent: it ends well, but what it made is gone."""
KINDS = (*CALL_KINDS, *TASK_KINDS, "lock", "pool_join_fails", "storage_full")
"""lock: `lock` is held by somebody else. pool_join_fails: user.cfg is held for tasks alone.
storage_full: no volume finds room on `storage`."""
CLUSTER_FILES = ("user.cfg", "storage.cfg", "domains.cfg", "datacenter.cfg", "jobs.cfg", "priv/shadow.cfg")
"""The files below /etc/pve that have a lock of their own name."""
_LOCKS = re.compile(
    "|".join(map(re.escape, CLUSTER_FILES))
    + r"|guest:\d+|storage:[\w.-]+(@[\w.-]+)?|firewall-(cluster|host-[\w-]+|vm-\d+)"
)
_TEXTS = ("method", "path", "user", "task", "lock", "storage", "text")
_NUMBERS = ("status", "at", "probability", "seed", "count", "skip")
_UNREACHABLE = "Errors during connection establishment, proxy handshake: Connection refused"
_VARYING = re.compile(r"(UPID:[^:/]+):[0-9A-F]{8}:[0-9A-F]{8,}:[0-9A-F]{8}:")

within_task: ContextVar[bool] = ContextVar("within_task", default=False)
"""Whether this code runs in a task."""


@dataclass
class Rule:
    """One fault: what matches is struck with `probability`, the first `skip` spared, at most `count` times."""

    id: int
    kind: str
    method: str = ""
    path: str = ""
    user: str = ""
    task: str = ""
    lock: str = ""
    storage: str = ""
    status: int = 500
    text: str = ""
    seconds: float | list[float] = 1.0
    """A number, or the least and the most."""
    at: float = 50.0
    probability: float = 1.0
    seed: int = 0
    count: int | None = None
    skip: int = 0
    struck: int = 0
    standing: bool = True
    """False once the rule was taken away, or is used up."""
    spared: int = 0
    seen: Counter[str] = field(default_factory=Counter, repr=False)

    def strikes(self, what: str) -> bool:
        """Whether this matching call, task or lock is hit; counts."""
        if not self.standing or self._dice(what).random() >= self.probability:
            return False
        if self.spared < self.skip:
            self.spared += 1
            return False
        if self.count is not None and self.struck >= self.count:
            return False
        self.struck += 1
        return True

    def _dice(self, what: str) -> random.Random:
        same = _VARYING.sub(r"\1:", what)
        self.seen[same] += 1
        return random.Random(f"{self.seed} {self.seen[same]} {same}")

    def wait(self, what: str) -> float:
        """The seconds of a `delay` or `task_slow`."""
        if isinstance(self.seconds, list):
            return random.Random(f"{self.seed} {self.struck} {what}").uniform(*self.seconds)
        return self.seconds

    def row(self) -> dict[str, Any]:
        """The rule as the control port shows it."""
        return {name: value for name, value in vars(self).items() if name not in ("seen", "standing", "spared")}


@dataclass
class TaskFault:
    """How a task fails: after this share of its first wait (0 before any work, 1 after all of it)."""

    share: float
    text: str


class BadRule(ValueError):
    """A rule that makes no sense; the text says why."""


@dataclass
class Faults:
    """The rules in force, oldest first."""

    rules: list[Rule] = field(default_factory=list)
    last_id: int = 0

    def add(self, wanted: dict[str, Any]) -> Rule:
        """A new rule. Raises BadRule."""
        _check(wanted)
        self.last_id += 1
        rule = Rule(id=self.last_id, **wanted)
        self.rules.append(rule)
        return rule

    def replace(self, wanted: list[dict[str, Any]]) -> None:
        """Go on with these rules alone, none of which has struck yet; rows that were shown will do. Raises BadRule."""
        rows = [{name: value for name, value in row.items() if name not in ("id", "struck")} for row in wanted]
        for row in rows:
            _check(row)
        self.remove()
        for row in rows:
            self.add(row)

    def remove(self, rule_id: int | None = None) -> int:
        """Take a rule away, or all of them; returns how many."""
        gone = [rule for rule in self.rules if rule_id in (None, rule.id)]
        for rule in gone:
            rule.standing = False
            self.rules.remove(rule)
        return len(gone)

    def of_call(self, method: str, path: str, user: str) -> Rule | None:
        """The first rule that strikes a call."""
        for rule in self.rules:
            if rule.kind in CALL_KINDS and _fits(rule, method, path, user) and rule.strikes(f"{method} {path} {user}"):
                return rule
        return None


def _check(wanted: dict[str, Any]) -> None:
    known = set(Rule.__dataclass_fields__) - {"id", "struck", "standing", "spared", "seen"}
    if unknown := set(wanted) - known:
        raise BadRule(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    if wanted.get("kind") not in KINDS:
        raise BadRule(f"kind must be one of {', '.join(KINDS)}")
    for name in _TEXTS:
        if not isinstance(wanted.get(name, ""), str):
            raise BadRule(f"{name}: a text is wanted")
    for name in _NUMBERS:
        if not isinstance(_given(wanted, name, 0), int | float):
            raise BadRule(f"{name}: a number is wanted")
    if not 0 < _given(wanted, "probability", 1) <= 1:
        raise BadRule("probability: a number above 0 and up to 1 is wanted")
    if _given(wanted, "count", 1) < 1:
        raise BadRule("count: a number from 1 up is wanted")
    if _given(wanted, "skip", 0) < 0:
        raise BadRule("skip: a number from 0 up is wanted")
    if not 0 <= _given(wanted, "at", 0) <= 100:
        raise BadRule("at: a number from 0 to 100 is wanted")
    if wanted["kind"] == "lock" and not _LOCKS.fullmatch(wanted.get("lock", "")):
        raise BadRule(f"lock: one of {', '.join(CLUSTER_FILES)}, guest:ID, storage:ID[@NODE], firewall-... is wanted")
    seconds = wanted.get("seconds", 0)
    both = seconds if isinstance(seconds, list) and len(seconds) == 2 else [seconds]
    if not all(isinstance(value, int | float) and value >= 0 for value in both):
        raise BadRule("seconds: a number from 0 up, or the least and the most, is wanted")
    for name in ("method", "path", "user", "task", "storage"):
        try:
            re.compile(wanted.get(name, ""))
        except re.error as error:
            raise BadRule(f"{name}: {error}") from None


def _given(wanted: dict[str, Any], name: str, default: float) -> float:
    value = wanted.get(name)
    return default if value is None else value


def _fits(rule: Rule, method: str, path: str, user: str) -> bool:
    return bool(
        re.fullmatch(rule.method or ".*", method)
        and re.search(rule.path, path)
        and (not rule.user or re.search(rule.user, user))
    )


def answer(rule: Rule) -> tuple[int, str]:
    """(status, reason) of a refusing rule."""
    if rule.kind == "unreachable":
        return (rule.status if rule.status in (595, 596, 599) else 595), rule.text or _UNREACHABLE
    return rule.status, rule.text or "internal error"


def held_lock(world: World, name: str, *, for_ever: bool) -> Rule | None:
    """The rule that holds this lock against the caller, who may be one that waits `for_ever`."""
    for rule in _rules(world):
        if rule.kind == "lock" and rule.lock in (name, name.partition("@")[0]) and rule.strikes(name):
            return rule
        joins = name == "user.cfg" and within_task.get() and not for_ever
        if rule.kind == "pool_join_fails" and joins and rule.strikes(name):
            return rule
    return None


def _of_task(world: World, kind: str, who: str, task: str) -> Rule | None:
    for rule in _rules(world):
        if rule.kind != kind or not re.search(rule.task, task) or (rule.user and not re.search(rule.user, who)):
            continue
        if rule.strikes(f"{task} {who}"):
            return rule
    return None


def of_task(world: World, kind: str, about_id: str, who: str) -> TaskFault | None:
    """How this task of `user@realm` or `user@realm!token` is to fail."""
    rule = _of_task(world, "task_fails", who, f"{kind}:{about_id}")
    return TaskFault(min(max(rule.at, 0), 100) / 100, rule.text or "fault injected by the lab") if rule else None


def slowness_of_task(world: World, kind: str, about_id: str, who: str) -> float:
    """The PVE seconds that this task takes longer."""
    rule = _of_task(world, "task_slow", who, f"{kind}:{about_id}")
    return rule.wait(f"{kind}:{about_id} {who}") if rule else 0


def after_task(world: World, kind: str, about: int | None, who: str) -> None:
    """A task has ended well; a `guest_absent` rule takes away what it made."""
    if about is None or not _of_task(world, "guest_absent", who, f"{kind}:{about}"):
        return
    world.guests.pop(about, None)
    for key in [key for key, volume in world.volumes.items() if volume.vmid == about]:
        world.volumes.pop(key)
    for pool in world.pools.values():
        pool.vms.discard(about)
    world.access_changed()


def no_room(world: World, node: str, storage: Storage) -> bool:
    """Whether a `storage_full` rule keeps a new volume from this storage."""
    name = f"{storage.id}@{node}"
    return any(
        rule.kind == "storage_full" and re.search(rule.storage, name) and rule.strikes(name) for rule in _rules(world)
    )


def looks_full(world: World, node: str, storage: str) -> bool:
    """Whether a storage shows no free space: a rule that always strikes fills it."""
    return any(
        rule.kind == "storage_full" and rule.probability >= 1 and re.search(rule.storage, f"{storage}@{node}")
        for rule in _rules(world)
    )


def _rules(world: World) -> list[Rule]:
    return world.faults.rules if world.faults else []
