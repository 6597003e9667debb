"""Plans, as far as a caller may see them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from app.db import paging
from app.db.models import Flavor, Group, Plan, Tenant, User
from app.db.names import is_called
from app.db.session import Tx
from app.domain import plans as domain
from app.domain.access import TenantScope
from app.domain.errors import Invalid, NotFound
from app.domain.paging import Page, PageRequest
from app.domain.quota import Dimension

COLUMNS = {"name": Plan.canonical, "created_at": Plan.created_at}


def page(tx: Tx, scope: TenantScope, user: str, request: PageRequest) -> Page[domain.Plan]:
    """Those of these tenants and of the user's group; all to who sees every tenant."""
    statement = sa.select(Plan).where(_concerns(scope, user))
    rows = paging.page(tx, statement, columns=COLUMNS, key=Plan.id, default_sort="name", request=request)
    return Page(views(tx, rows.data), rows.count, rows.next)


def find(tx: Tx, scope: TenantScope, user: str, ref: str) -> Plan:
    """By id or name. Raises NotFound."""
    row = tx.scalar(sa.select(Plan).where(is_called(Plan, ref), _concerns(scope, user)))
    if row is None:
        raise NotFound
    return row


def locked(tx: Tx, ref: str) -> Plan:
    """By id or name, for one decision at a time about it and those to whom it is given. Raises NotFound."""
    statement = sa.select(Plan).where(is_called(Plan, ref)).with_for_update()
    row = tx.scalars(statement.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound
    return row


def named(tx: Tx, ref: str) -> Plan:
    """A plan that a body names, locked. Raises Invalid."""
    try:
        return locked(tx, ref)
    except NotFound:
        raise Invalid({"plan": ["there is no such plan"]}) from None


def those(tx: Tx, ids: Collection[str]) -> Sequence[Plan]:
    """Those of these ids that are there."""
    return tx.scalars(sa.select(Plan).where(Plan.id.in_(ids))).all()


def of_tenant(tx: Tx, tenant: str) -> Plan | None:
    return tx.scalar(sa.select(Plan).join(Tenant, Tenant.plan_id == Plan.id).where(Tenant.id == tenant))


def of_user(tx: Tx, user: str) -> Plan | None:
    """That of his group."""
    in_group = sa.select(Plan).join(Group, Group.plan_id == Plan.id).join(User, User.group_id == Group.id)
    return tx.scalar(in_group.where(User.id == user))


def has_vlan(tx: Tx, vlan: int) -> bool:
    """Whether the tag is any plan's."""
    return tx.scalar(sa.select(sa.exists().where(Plan.vlan == vlan))) is True


def tenants_of(tx: Tx, plan: str) -> Sequence[Tenant]:
    """The tenants that have it, locked, in the order in which everybody locks them."""
    return tx.scalars(sa.select(Tenant).where(Tenant.plan_id == plan).order_by(Tenant.id).with_for_update()).all()


def is_used(tx: Tx, plan: str) -> bool:
    """Whether a tenant or a group has it."""
    tenants, groups = sa.exists().where(Tenant.plan_id == plan), sa.exists().where(Group.plan_id == plan)
    return tx.scalar(sa.select(sa.or_(tenants, groups))) is True


def others_with(tx: Tx, plan: str, group: str) -> Sequence[str]:
    """The names of the groups that have it beside this one, then those of the tenants that have it and are not in this
    group."""
    groups = sa.select(Group.name).where(Group.plan_id == plan, Group.id != group).order_by(Group.name)
    outside = sa.or_(Tenant.group_id.is_(None), Tenant.group_id != group)
    tenants = sa.select(Tenant.name).where(Tenant.plan_id == plan, outside).order_by(Tenant.name)
    return [*tx.scalars(groups), *tx.scalars(tenants)]


def flavors_of_tenants(tx: Tx, tenants: Collection[str]) -> Sequence[Sequence[str] | None]:
    """For each tenant the flavors (ids) that its plan allows; None where it has none, or one that does not say."""
    has = sa.select(Plan.flavors).select_from(Tenant).outerjoin(Plan, Plan.id == Tenant.plan_id)
    return tx.scalars(has.where(Tenant.id.in_(tenants))).all()


def with_flavor(tx: Tx, flavor: str) -> bool:
    """Whether any plan names the flavor (an id)."""
    return any(flavor in (named or ()) for named in tx.scalars(sa.select(Plan.flavors)))


def views(tx: Tx, rows: Sequence[Plan]) -> list[domain.Plan]:
    """In a fixed number of queries."""
    names = dict(tx.execute(sa.select(Flavor.id, Flavor.name)).all())
    return [
        domain.Plan(
            id=row.id, name=row.name, description=row.description,
            limits={str(dimension): row.limits.get(dimension) for dimension in Dimension},
            storages=row.storages, default_storage=row.default_storage, bridges=row.bridges,
            default_bridge=row.default_bridge, vlan=row.vlan,
            flavors=None if row.flavors is None else sorted(names[flavor] for flavor in row.flavors if flavor in names),
            created_at=row.created_at,
        )
        for row in rows
    ]  # fmt: skip


def _concerns(scope: TenantScope, user: str) -> sa.ColumnElement[bool]:
    if scope.tenants is None:
        return sa.true()
    given = sa.select(Tenant.plan_id).where(Tenant.id.in_(scope.tenants), Tenant.plan_id.is_not(None))
    own = sa.select(Group.plan_id).join(User, User.group_id == Group.id).where(User.id == user)
    return sa.or_(Plan.id.in_(given), Plan.id.in_(own.where(Group.plan_id.is_not(None))))
