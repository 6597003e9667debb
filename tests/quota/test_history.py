"""Any history of requests, through HTTP, against books that know nothing of the code: what is let in, what is refused
and with which figures, and what is charged after each step. L28, L29, L31, L33, L35."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from werkzeug.test import TestResponse

from tests.house import Caller, House, wait_for
from tests.quota.crowd import KINDS

TENANT = ""
ALLOCATED = ("guests", "cores", "memory", "disk_gb", "networks")
RUNNING = ("cores", "memory")
SIZES = ("cores", "memory", "disk_gb")
FINAL = ("succeeded", "failed")


@dataclass
class Kept:
    """A guest as the books have it. `runs_with`: what a running one has; a VM keeps it until its next start."""

    kind: str
    user: str
    size: dict[str, int]
    runs_with: dict[str, int] | None = None
    path: str = ""
    operation: str | None = None

    @property
    def runs(self) -> bool:
        return self.runs_with is not None

    def takes(self) -> dict[str, int]:
        return self.would_take(
            self.size,
            {name: max(self.size[name], self.runs_with[name]) for name in RUNNING}
            if self.runs_with is not None
            else {},
        )

    def would_take(self, size: Mapping[str, int], running: Mapping[str, int]) -> dict[str, int]:
        sizes = {name: size[name] for name in SIZES}
        return {"guests": 1, **sizes, "networks": 1, **{f"running_{name}": running[name] for name in running}}

    def growth(self, size: Mapping[str, int], runs: bool) -> dict[str, int]:
        """What it would claim on top, to be of this size and to run."""
        wanted = self.would_take(size, {name: size[name] for name in RUNNING} if runs else {})
        held = self.takes()
        return {name: max(0, amount - held.get(name, 0)) for name, amount in wanted.items()}


@dataclass
class Books:
    guests: list[Kept] = field(default_factory=list)
    limits: dict[tuple[str, str], int] = field(default_factory=dict)

    def used(self, dimension: str, user: str = TENANT) -> int:
        return sum(guest.takes().get(dimension, 0) for guest in self.guests if user in (TENANT, guest.user))

    def refusal(self, demand: Mapping[str, int], user: str) -> dict[str, Any] | None:
        """The figures that refuse this growth: the tenant's limits first, then the user's own."""
        for whose in (TENANT, user):
            for dimension, requested in demand.items():
                limit, used = self.limits.get((whose, dimension)), self.used(dimension, whose)
                if limit is not None and requested > 0 and used + requested > limit:
                    return {"dimension": dimension, "limit": limit, "used": used, "requested": requested}
        return None


tight = st.dictionaries(
    st.sampled_from(["guests", "cores", "running_cores"]), st.integers(1, 5), min_size=1, max_size=2
)
cores, memory = st.integers(1, 2), st.sampled_from([64, 96, 128])
sizes = st.fixed_dictionaries({"cores": cores, "memory": memory, "disk_gb": st.just(1)})
changes = st.fixed_dictionaries(
    {}, optional={"cores": cores, "memory": memory, "disk_increment_gb": st.just(1)}
).filter(bool)
limits = st.tuples(st.sampled_from([*ALLOCATED, "running_cores", "running_memory"]), st.none() | st.integers(0, 6)).map(
    lambda one: (one[0], one[1] if one[1] is None or "memory" not in one[0] else one[1] * 64)
)


class History(RuleBasedStateMachine):
    """A tenant with two members. What gives something back is waited for; what claims is charged at once."""

    guests = Bundle("guests")

    def __init__(self, house: House, members: Mapping[str, Caller]) -> None:
        super().__init__()
        self._house = house
        self._admin = house.admin()
        self._members = members
        self._books = Books()

    @initialize(quota=tight, own=tight)
    def a_tenant(self, quota: dict[str, int], own: dict[str, int]) -> None:
        """With limits of its own, and of one of its members, from the start."""
        self._tenant = self._house.make_tenant(quota)
        self._books.limits = {(TENANT, dimension): amount for dimension, amount in quota.items()}
        for caller in self._members.values():
            body = {"username": caller.get("/auth/me").get_json()["username"], "role": "operator"}
            assert self._admin.post(f"/tenants/{self._tenant['id']}/members", body).status_code == 201
        for dimension, amount in own.items():
            self.change_a_limit(0, (dimension, amount))

    # -- what claims

    @rule(target=guests, kind=st.sampled_from(sorted(KINDS)), number=st.integers(0, 1), size=sizes, start=st.booleans())
    def create(self, kind: str, number: int, size: dict[str, int], start: bool) -> Any:
        made, answer = self._create(kind, number, size, start)
        if answer.status_code != 202:
            return multiple()
        made.path, made.operation = f"/proxmox/{kind}/{answer.get_json()['guest']}", answer.get_json()["id"]
        self._books.guests.append(made)
        return made

    @rule(kind=st.sampled_from(sorted(KINDS)), size=sizes)
    def create_in_vain(self, kind: str, size: dict[str, int]) -> None:
        """What PVE could not make has cost nothing."""
        self._settle_all()
        with self._pve_fails():
            _, answer = self._create(kind, 0, size, True, wait=60)
        assert answer.status_code in (403, 502), answer.get_data(as_text=True)

    @rule(guest=guests)
    def start(self, guest: Kept) -> None:
        answer = self._start(guest)
        if answer.status_code == 202:
            guest.runs_with, guest.operation = guest.runs_with or guest.size, answer.get_json()["id"]

    @rule(guest=guests)
    def start_in_vain(self, guest: Kept) -> None:
        self._settle_all()
        with self._pve_fails():
            answer = self._start(guest, wait=60)
        assert answer.status_code in ((200,) if guest.runs else (403, 502)), answer.get_data(as_text=True)

    # -- what may claim and give back

    @rule(guest=guests, change=changes)
    def change(self, guest: Kept, change: dict[str, int]) -> None:
        self._settle(guest)
        answer, size = self._change(guest, change)
        if answer.status_code == 200:
            guest.size = size
            if guest.runs and guest.kind == "cts":
                guest.runs_with = size

    @rule(guest=guests, change=changes)
    def change_in_vain(self, guest: Kept, change: dict[str, int]) -> None:
        self._settle_all()
        with self._house.pve.fault(kind="refuse", method="PUT|POST", path="/(config|resize)$", text="no", count=1):
            answer, size = self._change(guest, change)
        sends_nothing = size == guest.size and answer.status_code == 200
        assert answer.status_code in (403, 502) or sends_nothing, answer.get_data(as_text=True)

    # -- what gives back

    @rule(guest=guests, in_vain=st.booleans())
    def stop(self, guest: Kept, in_vain: bool) -> None:
        self._settle_all()
        with self._pve_fails() if in_vain else nullcontext():
            answer = self._send(guest, "POST", "/stop", {"force": True})
        fails = in_vain and guest.runs
        assert answer.status_code == (502 if fails else 200), answer.get_data(as_text=True)
        if not fails:
            guest.runs_with = None

    @rule(guest=consumes(guests))
    def delete(self, guest: Kept) -> None:
        self._settle(guest)
        answer = self._send(guest, "DELETE", "?force=true")
        assert answer.status_code == 200, answer.get_data(as_text=True)
        self._books.guests.remove(guest)

    @rule(guest=guests)
    def delete_in_vain(self, guest: Kept) -> None:
        """What PVE could not destroy is still charged."""
        self._settle_all()
        with self._pve_fails():
            answer = self._send(guest, "DELETE", "?force=true")
        assert answer.status_code == 502, answer.get_data(as_text=True)

    # -- limits, also below what is used

    @rule(whose=st.sampled_from([TENANT, 0, 1]), limit=limits)
    def change_a_limit(self, whose: str | int, limit: tuple[str, int | None]) -> None:
        dimension, amount = limit
        user = list(self._members)[whose] if isinstance(whose, int) else TENANT
        query = f"?user={user}" if user else ""
        put = self._admin.put(f"/tenants/{self._tenant['id']}/quota{query}", {dimension: amount})
        assert put.status_code == 200
        assert put.get_json()[dimension] == amount
        self._books.limits.pop((user, dimension), None)
        if amount is not None:
            self._books.limits[user, dimension] = amount

    @invariant()
    def the_ledger_is_the_books(self) -> None:
        if not hasattr(self, "_tenant"):
            return
        usage = self._admin.get(f"/tenants/{self._tenant['id']}/usage").get_json()
        assert {name: usage["allocated"][name] for name in ALLOCATED} == {d: self._books.used(d) for d in ALLOCATED}
        assert usage["running"] == {name: self._books.used(f"running_{name}") for name in RUNNING}
        by_user = {row["user"]: row["allocated"] for row in usage["users"]}
        for user in self._members:
            assert {d: by_user.get(user, {}).get(d, 0) for d in ALLOCATED} == {
                d: self._books.used(d, user) for d in ALLOCATED
            }

    def teardown(self) -> None:
        if hasattr(self, "_tenant"):
            self._settle_all()
            self.the_ledger_is_the_books()
            self._admin.done("DELETE", f"/tenants/{self._tenant['id']}?cascade=true")

    # -- how it is asked

    def _create(
        self, kind: str, number: int, size: dict[str, int], start: bool, wait: int | None = None
    ) -> tuple[Kept, TestResponse]:
        user, caller = list(self._members.items())[number]
        made = Kept(kind, user, size, size if start else None)
        refusal = self._books.refusal(made.takes(), user)
        body = KINDS[kind](**size, start=start, tenant=self._tenant["id"])
        answer = caller.post(f"/proxmox/{kind}", body, wait=wait)
        _check(answer, refusal)
        return made, answer

    def _start(self, guest: Kept, wait: int | None = None) -> TestResponse:
        self._settle(guest)
        refusal = self._books.refusal(guest.growth(guest.size, runs=True), guest.user)
        answer = self._members[guest.user].post(f"{guest.path}/start", wait=wait)
        _check(answer, refusal)
        return answer

    def _change(self, guest: Kept, change: dict[str, int]) -> tuple[TestResponse, dict[str, int]]:
        """The answer, and the size that was asked for."""
        asked = dict(change)
        size = {**guest.size, "disk_gb": guest.size["disk_gb"] + asked.pop("disk_increment_gb", 0), **asked}
        refusal = self._books.refusal(guest.growth(size, guest.runs), guest.user)
        answer = self._send(guest, "PATCH", "", change)
        _check(answer, refusal)
        return answer, size

    def _send(self, guest: Kept, method: str, what: str, body: Any = None) -> TestResponse:
        return self._members[guest.user].send(method, f"{guest.path}{what}", body, wait=60)

    def _settle(self, guest: Kept) -> None:
        if guest.operation is not None:
            path = f"/operations/{guest.operation}"
            wait_for(lambda: self._admin.get(path).get_json()["state"] in FINAL, within=60)
            assert self._admin.get(path).get_json()["state"] == "succeeded"
            guest.operation = None

    def _settle_all(self) -> None:
        for guest in self._books.guests:
            self._settle(guest)

    def _pve_fails(self) -> AbstractContextManager[None]:
        return self._house.pve.fault(kind="task_fails", text="the lab says no")


def _check(answer: TestResponse, refusal: dict[str, Any] | None) -> None:
    told = answer.get_json()
    assert (answer.status_code == 403) == (refusal is not None), (told, refusal)
    if refusal is not None:
        assert told["code"] == "quota.exceeded"
        assert {name: told[name] for name in refusal} == refusal


@pytest.mark.parametrize(
    ("histories", "steps"), [(6, 12), pytest.param(40, 25, marks=[pytest.mark.matrix, pytest.mark.timeout(3600)])]
)
def test_the_ledger_is_what_any_history_makes_of_it(house: House, histories: int, steps: int) -> None:
    other = house.make_tenant()
    members = {caller.get("/auth/me").get_json()["id"]: caller for caller in (house.make_member(other) for _ in "ab")}
    run_state_machine_as_test(
        lambda: History(house, members),
        settings=settings(
            max_examples=histories,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a history takes seconds: too long to shrink
            suppress_health_check=list(HealthCheck),
        ),
    )
