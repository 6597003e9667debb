"""A group and its own plan as one thing, on both databases."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.db import quota
from app.db.models import Tenant
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


def test_a_plan_that_others_have_stays_as_it_is(planning: Planning) -> None:
    """What is said of a group's plan is said of that group: whoever says it knows of no plans."""
    access, admin, whole = planning.access, planning.admin, planning.whole
    shared = planning.plans.create(admin, PlanSpec("Gold", "d", {"cores": 4, "guests": 9}, default_bridge=None))
    inside, outside = access.tenant("physics"), access.tenant("history")
    for name in ("First", "Second"):
        planning.groups.create(admin, GroupSpec(name, plan="Gold"))
    group = planning.groups.get(admin, "First").id
    with access.db.begin() as tx:
        tx.get_one(Tenant, inside).group_id = group
        for tenant in (inside, outside):
            tx.get_one(Tenant, tenant).plan_id = shared.id
        quota.set_limits(tx, inside, {Dimension.MEMORY: 64})
    whole.change(admin, "First", {"description": "Spring"}, {"limits": {"cores": 4}, "vlan": None})
    assert planning.plan("First") == shared, "nothing else is said of it"
    whole.change(admin, "First", {}, {"limits": {"cores": 2, "disk_gb": 8}})
    own = planning.plan("First")
    assert own is not None
    assert (own.name, own.description, own.limits["cores"], own.limits["guests"]) == ("First", "d", 2, 9)
    assert planning.plan("Second") == planning.plans.get(admin, "Gold") == shared
    with access.db.read() as tx:
        limited = {Dimension.CORES: 2, Dimension.GUESTS: 9, Dimension.DISK_GB: 8, Dimension.MEMORY: 64}
        assert quota.limits(tx, inside) == limited, "what was set for the tenant itself, too"
        assert quota.limits(tx, outside) == {Dimension.CORES: 4, Dimension.GUESTS: 9}
    whole.change(admin, "First", {"name": "Third"}, {"limits": {"cores": 3}})
    assert planning.names() == (["Second", "Third"], ["Gold", "Third"])
    whole.delete(admin, "Second")
    assert planning.names() == (["Third"], ["Gold", "Third"])


def test_where_there_can_be_no_copy_it_is_told_who_has_the_plan(planning: Planning) -> None:
    admin, whole = planning.admin, planning.whole
    whole.create(admin, GroupSpec("First"), PlanSpec(""))
    planning.plans.create(admin, PlanSpec("Tagged", vlan=7))
    for name, plan in (("Second", "First"), ("Third", "Tagged"), ("Fourth", "Tagged")):
        planning.groups.create(admin, GroupSpec(name, plan=plan))
    for group, other in (("First", "Second"), ("Third", "Fourth")):
        with pytest.raises(Conflict) as refused:
            whole.change(admin, group, {"name": "Fifth"}, {"limits": {"cores": 2}})
        assert (refused.value.code, other in refused.value.detail) == ("plan.in_use", True)
    whole.change(admin, "Third", {}, {"limits": {"cores": 2}, "vlan": 8})
    whole.change(admin, "First", {"name": "Fifth"}, {})
    assert planning.names() == (["Fifth", "Fourth", "Second", "Third"], ["First", "Tagged", "Third"])
    said = {group: planning.plan(group) for group in ("Third", "Fourth")}
    assert {group: plan and (plan.vlan, plan.limits["cores"]) for group, plan in said.items()} == {
        "Third": (8, 2), "Fourth": (7, None),
    }  # fmt: skip


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
