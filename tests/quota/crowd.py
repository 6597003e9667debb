"""Many clients that do whatever comes to their mind to the guests of one tenant, through real web processes."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.deploy.front import gunicorn
from tests.house import Caller, House, container, vm

KINDS = {"cts": container, "vms": vm}
_ACTIONS = {"create": 5, "start": 4, "stop": 3, "change": 4, "delete": 3}
#: Who acts on a guest that somebody else acts on comes too late, or too early.
_LOST_RACES = {"not_found", "guest.busy"}
#: How often a client takes a guest for itself alone.
_ALONE = 0.8
#: Seconds that a refused client lets pass at most: others have to get something done meanwhile.
_BREATH = 1.0


@contextmanager
def web_processes(house: House, count: int) -> Iterator[list[str]]:
    """The URLs of that many gunicorns, each a process with its own connections to the one database."""
    with ExitStack() as open_ones:
        yield [f"http://127.0.0.1:{open_ones.enter_context(_web(house, number))}" for number in range(count)]


@dataclass
class Crowd:
    """`guests` are the paths of those that nobody acts on; `strange` is every answer that nobody should get.

    An operation may fail where `pve_fails`.
    """

    urls: Sequence[str]
    members: Sequence[Caller]
    guests: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    pve_fails: bool = False

    def rage(self, clients: int, requests_each: int) -> None:
        """All of them at once, each with its own luck; each waits for what it has begun."""
        with ThreadPoolExecutor(clients) as threads:
            for done in [threads.submit(self._client, number, requests_each) for number in range(clients)]:
                done.result()

    def _client(self, number: int, count: int) -> None:
        luck = random.Random(number)
        url = self.urls[number % len(self.urls)]
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {self.members[number % len(self.members)].token}"
            session.headers["Prefer"] = "wait=60"
            for _ in range(count):
                action = luck.choices(list(_ACTIONS), weights=list(_ACTIONS.values()))[0]
                guest = self._choose(luck) if action != "create" else None
                action = action if guest is not None else "create"
                method, path, body = _request(luck, action, guest)
                answer = session.request(method, f"{url}/api/proxmox/{path}", json=body, timeout=120)
                self._judge(f"{action} {answer.status_code}", answer.json())
                if not answer.ok:
                    time.sleep(_BREATH * luck.random())
                if guest is None and answer.ok:
                    guest = f"{path}/{answer.json()['guest']}"
                if guest is not None and action != "delete" and guest not in self.guests:
                    self.guests.append(guest)

    def _choose(self, luck: random.Random) -> str | None:
        if not self.guests:
            return None
        if luck.random() > _ALONE:
            return luck.choice(self.guests)
        with suppress(IndexError):  # somebody was faster
            return self.guests.pop(luck.randrange(len(self.guests)))
        return None

    def _judge(self, what: str, told: dict[str, Any]) -> None:
        self.answers[f"{what} {told.get('code', told.get('state'))}"] += 1
        code = told.get("code")
        if code == "quota.exceeded":
            right = told["requested"] > 0 and told["used"] + told["requested"] > told["limit"]
        else:
            right = code is None or code in _LOST_RACES or (self.pve_fails and code.startswith("pve."))
        if not right:
            self.strange.append(f"{what}: {told}")


def _request(luck: random.Random, action: str, guest: str | None) -> tuple[str, str, dict[str, Any] | None]:
    if guest is None:
        kind = luck.choice(list(KINDS))
        size = {"cores": luck.randint(1, 2), "memory": luck.choice([64, 128]), "disk_gb": luck.randint(1, 2)}
        return "POST", kind, KINDS[kind](**size, start=luck.random() < 0.4)
    if action == "change":
        wanted = {"cores": luck.randint(1, 3), "memory": luck.choice([64, 96, 128]), "disk_increment_gb": 1}
        return "PATCH", guest, {name: wanted[name] for name in luck.sample(sorted(wanted), luck.randint(1, 3))}
    if action == "delete":
        return "DELETE", f"{guest}?force=true", None
    return "POST", f"{guest}/{action}", {"force": True} if action == "stop" else None


def _web(house: House, number: int) -> AbstractContextManager[int]:
    return gunicorn(house.state_dir / f"web-{number}", "wsgi:app", house.environ)
