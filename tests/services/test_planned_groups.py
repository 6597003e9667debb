"""A group and its own plan as one thing, on both databases."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.db import quota
from app.domain.access import Context, TenantRole
from app.domain.errors import Conflict, Invalid
from app.domain.paging import PageRequest
from app.domain.plans import GroupSpec, Plan, PlanSpec
from app.domain.quota import Dimension
from app.operations import Engine
from app.sagas import REGISTRY
from app.services.plans import Plans
from app.services.plans.groups import Groups
from app.services.plans.planned_groups import PlannedGroups
from tests.services.conftest import Access


@dataclass(frozen=True)
class Planning:
    access: Access
    admin: Context
    plans: Plans
    groups: Groups
    whole: PlannedGroups

    def names(self) -> tuple[list[str], list[str]]:
        """Of all groups, and of all plans."""
        request = PageRequest()
        found = self.groups.list(self.admin, request).data, self.plans.list(self.admin, request).data
        return [group.name for group in found[0]], [plan.name for plan in found[1]]

    def plan(self, group: str) -> Plan | None:
        return {one.name: plan for one, plan in self.whole.every(self.admin)}[group]


@pytest.fixture
def planning(access: Access) -> Planning:
    engine = Engine(access.db, REGISTRY)
    plans, groups = Plans(access.db, engine), Groups(access.db, engine)
    return Planning(access, access.admin, plans, groups, PlannedGroups(access.db, plans, groups))


def test_both_are_made_renamed_and_deleted_together(planning: Planning) -> None:
    admin, whole = planning.admin, planning.whole
    made = whole.create(admin, GroupSpec("Students"), PlanSpec("", limits={"cores": 4}, vlan=7))
    assert (made.plan, planning.names()) == ("Students", (["Students"], ["Students"]))
    whole.change(admin, made.id, {"name": "Pupils", "description": "d"}, {"limits": {"guests": 2}, "vlan": None})
    plan = planning.plan("Pupils")
    assert plan is not None
    assert (plan.name, plan.vlan, plan.limits["cores"], plan.limits["guests"]) == ("Pupils", None, 4, 2)
    whole.delete(admin, "pupils")
    assert planning.names() == ([], [])


def test_both_are_made_or_none(planning: Planning) -> None:
    planning.groups.create(planning.admin, GroupSpec("Students"))
    with pytest.raises(Conflict) as taken:
        planning.whole.create(planning.admin, GroupSpec("STUDENTS"), PlanSpec(""))
    assert taken.value.code == "name.taken"
    with pytest.raises(Invalid):
        planning.whole.change(planning.admin, "students", {"ldap_filter": "(a=b)"}, {"default_storage": "nowhere"})
    assert planning.names() == (["Students"], [])
    planning.whole.change(planning.admin, "students", {}, {"limits": {"cores": 1}})
    plan = planning.plan("Students")
    assert plan is not None
    assert plan.limits["cores"] == 1


def test_a_plan_that_others_have_stays(planning: Planning) -> None:
    admin, whole = planning.admin, planning.whole
    first = whole.create(admin, GroupSpec("First"), PlanSpec(""))
    planning.groups.create(admin, GroupSpec("Second", plan="First"))
    whole.change(admin, "Second", {"name": "Third"}, {"limits": {"cores": 2}})
    whole.delete(admin, first.id)
    assert planning.names() == (["Third"], ["First"])
    whole.delete(admin, "Third")
    assert planning.names() == ([], ["First"])


def test_limits_of_plans_are_read_in_all_ways_alike(planning: Planning) -> None:
    """What is set for the very user comes before, also where it is that there is none."""
    access, admin = planning.access, planning.admin
    tenant = access.tenant("physics", maria=TenantRole.OWNER, paul=TenantRole.VIEWER)
    maria, paul = (access.users.get(admin, name).id for name in ("maria", "paul"))
    group = planning.whole.create(admin, GroupSpec("Students"), PlanSpec("", limits={"cores": 4, "guests": 2}))
    planning.groups.add_user(admin, group.id, "maria")
    with access.db.begin() as tx:
        quota.set_limits(tx, tenant, {Dimension.CORES: None, Dimension.MEMORY: 64}, maria)
    with access.db.read() as tx:
        assert quota.limits(tx, tenant, maria) == {Dimension.GUESTS: 2, Dimension.MEMORY: 64}
        of_users = quota.limits_by_user(tx, tenant, [maria, paul])
        assert of_users == {maria: quota.limits(tx, tenant, maria), paul: {}}
        assert quota.limits_by_tenant(tx, [tenant]) == {tenant: quota.limits(tx, tenant)} == {tenant: {}}
    with pytest.raises(Conflict) as refused:
        planning.whole.delete(admin, group.id)
    assert refused.value.code == "group.in_use"
    planning.groups.remove_user(admin, group.id, maria)
    planning.whole.delete(admin, group.id)
