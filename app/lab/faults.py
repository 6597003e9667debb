"""Faults on demand: rules that make calls, locks and tasks go wrong, each in a way that PVE itself knows."""

import random
import re
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from app.lab.state import World

CALL_KINDS = ("refuse", "delay", "close", "lost_reply", "unreachable")
"""refuse: answer status and text. delay: wait `seconds`, then go on. close: cut the connection before the work.
lost_reply: cut it after the work. unreachable: HTTP 595, or `status`, with an empty body (facts.md section 13)."""
KINDS = (*CALL_KINDS, "lock", "task_fails", "guest_absent", "pool_join_fails")
"""lock: `lock` is held by somebody else. task_fails: tasks whose type matches `task` fail at `at` percent with `text`.
guest_absent: such tasks end well, but what they made is gone. pool_join_fails: user.cfg is held for tasks alone."""
_UNREACHABLE = "Errors during connection establishment, proxy handshake: Connection refused"

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
    status: int = 500
    text: str = ""
    seconds: float = 1.0
    at: float = 50.0
    probability: float = 1.0
    seed: int = 0
    count: int | None = None
    skip: int = 0
    struck: int = 0
    standing: bool = True
    """False once the rule was taken away, or is used up."""
    dice: random.Random = field(default_factory=random.Random, repr=False)

    def strikes(self) -> bool:
        """Whether this matching call is hit; counts."""
        if not self.standing or self.dice.random() >= self.probability:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.count is not None and self.struck >= self.count:
            return False
        self.struck += 1
        return True

    def row(self) -> dict[str, Any]:
        """The rule as the control port shows it."""
        return {name: value for name, value in vars(self).items() if name not in ("dice", "standing")}


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
        known = set(Rule.__dataclass_fields__) - {"id", "struck", "standing", "dice"}
        if unknown := set(wanted) - known:
            raise BadRule(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        if wanted.get("kind") not in KINDS:
            raise BadRule(f"kind must be one of {', '.join(KINDS)}")
        for name in ("method", "path", "user", "task"):
            try:
                re.compile(str(wanted.get(name, "")))
            except re.error as error:
                raise BadRule(f"{name}: {error}") from None
        self.last_id += 1
        rule = Rule(id=self.last_id, **wanted)
        rule.dice.seed(rule.seed)
        self.rules.append(rule)
        return rule

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
            if rule.kind in CALL_KINDS and _fits(rule, method, path, user) and rule.strikes():
                return rule
        return None


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
        if rule.kind == "lock" and rule.lock == name and rule.strikes():
            return rule
        joins = name == "user.cfg" and within_task.get() and not for_ever
        if rule.kind == "pool_join_fails" and joins and rule.strikes():
            return rule
    return None


def of_task(world: World, kind: str, about_id: str) -> TaskFault | None:
    """How this task is to fail."""
    for rule in _rules(world):
        if rule.kind == "task_fails" and re.search(rule.task, f"{kind}:{about_id}") and rule.strikes():
            return TaskFault(min(max(rule.at, 0), 100) / 100, rule.text or "fault injected by the lab")
    return None


def after_task(world: World, kind: str, about: int | None) -> None:
    """A task has ended well; a `guest_absent` rule takes away what it made."""
    for rule in _rules(world):
        if rule.kind == "guest_absent" and about is not None and re.search(rule.task, kind) and rule.strikes():
            world.guests.pop(about, None)
            for key in [key for key, volume in world.volumes.items() if volume.vmid == about]:
                world.volumes.pop(key)
            for pool in world.pools.values():
                pool.vms.discard(about)
            world.access_changed()


def _rules(world: World) -> list[Rule]:
    return world.faults.rules if world.faults else []
