"""Clusters, and the inventory: what was last seen in each. One refresher writes it; everybody reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from app.db import paging
from app.db.models import Cluster, InventoryGuest, Node, Storage, Table, Tenant, Volume
from app.db.session import Tx
from app.domain import clusters as domain
from app.domain import storages as domain_storages
from app.domain.access import TenantScope
from app.domain.errors import Invalid, NotFound, Unavailable
from app.domain.paging import Page, PageRequest
from app.domain.storages import Granted

Row = TypeVar("Row", bound=Table)

_MIB = 1 << 20


def default(tx: Tx) -> Cluster:
    """Raises Unavailable where no cluster has been registered yet."""
    row = tx.scalars(sa.select(Cluster).order_by(Cluster.is_default.desc(), Cluster.created_at)).first()
    if row is None:
        raise Unavailable("No cluster is registered.", code="cluster.none", remedy="Register a cluster first.")
    return row


def named(tx: Tx, name: str | None) -> Cluster:
    """Raises Invalid for a name that is no cluster's."""
    if name is None:
        return default(tx)
    row = tx.scalars(sa.select(Cluster).where(sa.or_(Cluster.name == name, Cluster.id == name))).first()
    if row is None:
        raise Invalid({"cluster": ["is not a cluster of this house"]})
    return row


def every(tx: Tx) -> Sequence[Cluster]:
    return tx.scalars(sa.select(Cluster).order_by(Cluster.name)).all()


def find(tx: Tx, scope: TenantScope, name: str | None) -> Cluster:
    """By id or name, of the clusters that hold these tenants; the default one, or the first of them, without a name.

    Raises Invalid for a name that is none of theirs, NotFound for who has no tenant.
    """
    if scope.tenants is None:
        return named(tx, name)
    own = sa.select(Cluster).where(_holds(scope)).order_by(Cluster.is_default.desc(), Cluster.created_at)
    if name is not None:
        own = own.where(sa.or_(Cluster.name == name, Cluster.id == name))
    row = tx.scalars(own).first()
    if row is None and name is not None:
        raise Invalid({"cluster": ["is not a cluster of this house"]})
    if row is None:
        raise NotFound
    return row


def _holds(scope: TenantScope) -> sa.ColumnElement[bool]:
    """Of a cluster: that one of these tenants is in it."""
    if scope.tenants is None:
        return sa.true()
    return Cluster.id.in_(sa.select(Tenant.cluster_id).where(Tenant.id.in_(scope.tenants)))


def page_of_nodes(
    tx: Tx, scope: TenantScope, cluster: str | None, request: PageRequest, *, with_sizes: bool
) -> Page[domain.Node]:
    """The nodes of the clusters that hold these tenants, or of one of them."""
    statement = sa.select(Node, Cluster.name, Cluster.observed_at).join(Cluster).where(_holds(scope))
    if cluster is not None:
        statement = statement.where(Cluster.id == cluster)
    found = paging.page(
        tx, statement, columns={"name": Node.name}, key=Node.cluster_id, default_sort="name", request=request
    )
    return Page([_node(*row, with_sizes=with_sizes) for row in found.data], found.count, found.next)


def page_of_storages(
    tx: Tx, granted: Granted, cluster: str | None, content: str | None, request: PageRequest
) -> Page[domain_storages.Storage]:
    """Each storage once, with all the nodes that have it."""
    other = aliased(Storage)
    is_first = ~sa.exists().where(
        other.cluster_id == Storage.cluster_id, other.name == Storage.name, other.node < Storage.node
    )
    statement = sa.select(Storage).where(is_first, _is_granted(granted))
    if cluster is not None:
        statement = statement.where(Storage.cluster_id == cluster)
    if content is not None:
        statement = statement.where(sa.cast(Storage.content, sa.Text).like(f'%"{content}"%'))
    found = paging.page(
        tx, statement, columns={"name": Storage.name}, key=Storage.cluster_id, default_sort="name", request=request
    )
    shown = [(row.cluster_id, row.name) for row in found.data]
    places: dict[tuple[str, str], list[Storage]] = {key: [] for key in shown}
    of_these = sa.tuple_(Storage.cluster_id, Storage.name).in_(shown)
    for row in tx.scalars(sa.select(Storage).where(of_these).order_by(Storage.node)) if shown else ():
        places[row.cluster_id, row.name].append(row)
    # one that the inventory dropped between the two looks is gone
    return Page([storage_view(tx, places[key]) for key in shown if places[key]], found.count, found.next)


def places_of(tx: Tx, granted: Granted, cluster: str | None, name: str) -> list[Storage]:
    """A storage as each node has it; none where it is not there or not granted."""
    found = sa.select(Storage).where(Storage.name == name, _is_granted(granted)).order_by(Storage.node)
    return list(tx.scalars(found if cluster is None else found.where(Storage.cluster_id == cluster)))


def storage_view(tx: Tx, places: Sequence[Storage]) -> domain_storages.Storage:
    """One storage, from its places; there is at least one."""
    first, cluster = places[0], get(tx, places[0].cluster_id)
    counted = places[:1] if first.shared else places
    return domain_storages.Storage(
        id=first.name, cluster=cluster.name, shared=first.shared, available=any(place.available for place in places),
        content=sorted(first.content), total=sum(place.total for place in counted),
        used=sum(place.used for place in counted),
        nodes=[domain_storages.StoragePlace(one.node, one.available, one.total, one.used) for one in places],
        observed_at=cluster.observed_at,
    )  # fmt: skip


def _is_granted(granted: Granted) -> sa.ColumnElement[bool]:
    if granted is None:
        return sa.true()
    each = [sa.and_(Storage.cluster_id == cluster, Storage.name.in_(names)) for cluster, names in granted.items()]
    return sa.or_(sa.false(), *each)


def find_node(tx: Tx, cluster: str, name: str) -> Node:
    """Raises NotFound."""
    row = tx.get(Node, {"cluster_id": cluster, "name": name})
    if row is None:
        raise NotFound
    return row


def _node(row: Node, cluster: str, observed: datetime | None, *, with_sizes: bool) -> domain.Node:
    return domain.Node(
        name=row.name, cluster=cluster, online=row.online, cores=row.cores if with_sizes else None,
        memory=row.memory // _MIB if with_sizes else None,
        memory_used=row.memory_used // _MIB if with_sizes else None, observed_at=observed,
    )  # fmt: skip


def get(tx: Tx, cluster: str) -> Cluster:
    return tx.get_one(Cluster, cluster)


def lock(tx: Tx, cluster: str) -> None:
    """One decision about the cluster's numbers at a time, until the transaction ends; references to it go on."""
    tx.execute(sa.select(Cluster.id).where(Cluster.id == cluster).with_for_update(key_share=True))


def nodes(tx: Tx, cluster: str) -> Sequence[Node]:
    return tx.scalars(sa.select(Node).where(Node.cluster_id == cluster).order_by(Node.name)).all()


def storage_names(tx: Tx) -> set[str]:
    """Of all clusters."""
    return set(tx.scalars(sa.select(Storage.name).distinct()))


def bridges(tx: Tx, cluster: str) -> set[str] | None:
    """What guests' cards may be put on, on any of its nodes; None, for not known, while a node has told of none."""
    told = tx.scalars(sa.select(Node.bridges).where(Node.cluster_id == cluster)).all()
    return {name for names in told for name in names or ()} if told and all(told) else None


def note_bridges(tx: Tx, cluster: str, node: str, seen: Sequence[str]) -> None:
    row = tx.get(Node, {"cluster_id": cluster, "name": node})
    if row is not None and row.bridges != seen:
        row.bridges = list(seen)


def bridge_names(tx: Tx) -> set[str] | None:
    """Of all clusters; None while it is not known."""
    found: set[str] = set()
    for cluster in every(tx):
        there = bridges(tx, cluster.id)
        if there is None:
            return None
        found |= there
    return found or None


def storages(tx: Tx, cluster: str) -> Sequence[Storage]:
    return tx.scalars(sa.select(Storage).where(Storage.cluster_id == cluster)).all()


def volume_nodes(tx: Tx, cluster: str, volid: str, content: str) -> set[str]:
    """The nodes that have this medium of this content; none where there is no such thing."""
    return set(
        tx.scalars(
            sa.select(Volume.node).where(Volume.cluster_id == cluster, Volume.volid == volid, Volume.content == content)
        )
    )


def seen_guest(tx: Tx, cluster: str, vmid: int) -> InventoryGuest | None:
    return tx.get(InventoryGuest, {"cluster_id": cluster, "vmid": vmid})


def seen_in_pool(tx: Tx, cluster: str, poolid: str) -> set[int]:
    """The vmids of a pool."""
    in_pool = sa.and_(InventoryGuest.cluster_id == cluster, InventoryGuest.poolid == poolid)
    return set(tx.scalars(sa.select(InventoryGuest.vmid).where(in_pool)))


def seen_guests(tx: Tx, cluster: str) -> Sequence[sa.Row[int, str, str]]:
    """vmid, kind and node of all that the last reading showed."""
    columns = (InventoryGuest.vmid, InventoryGuest.kind, InventoryGuest.node)
    return tx.execute(sa.select(*columns).where(InventoryGuest.cluster_id == cluster)).all()


def add_medium(tx: Tx, cluster: str, node: str, storage: str, *, volid: str, content: str, size: int) -> None:
    """It has just come; on a shared storage all nodes have it."""
    places = [row for row in storages(tx, cluster) if row.name == storage and (row.shared or row.node == node)]
    for place in places:
        values = {"volid": volid, "content": content, "size": size, "storage": storage}
        tx.merge(Volume(cluster_id=cluster, node=place.node, **values))
    tx.flush()


def remove_medium(tx: Tx, cluster: str, volid: str) -> None:
    """From wherever it was."""
    tx.execute(sa.delete(Volume).where(Volume.cluster_id == cluster, Volume.volid == volid))


def replace_media(tx: Tx, cluster: str, node: str, storage: str, seen: Iterable[Mapping[str, Any]]) -> None:
    """What one storage of one node has of installation media."""
    tx.execute(sa.delete(Volume).where(Volume.cluster_id == cluster, Volume.node == node, Volume.storage == storage))
    tx.add_all(Volume(cluster_id=cluster, node=node, storage=storage, **values) for values in seen)
    tx.flush()


def replace(
    tx: Tx,
    cluster: str,
    model: type[Row],
    key: Sequence[str],
    seen: Iterable[Mapping[str, Any]],
    on_change: Mapping[str, Any] | None = None,
) -> None:
    """Make the cluster's rows of `model` equal to `seen`, writing only what differs; a row that does is also given
    the values of `on_change`."""
    columns = {column.key: column for column in sa.inspect(model).columns}
    known = {
        tuple(getattr(row, name) for name in key): row
        for row in tx.scalars(sa.select(model).where(columns["cluster_id"] == cluster))
    }
    for values in seen:
        row = known.pop(tuple(values[name] for name in key), None)
        if row is None:
            tx.add(model(cluster_id=cluster, **values))
        elif any(getattr(row, name) != value for name, value in values.items()):
            for name, value in {**values, **(on_change or {})}.items():
                setattr(row, name, value)
    for row in known.values():
        tx.delete(row)
    tx.flush()


def observed(tx: Tx, cluster: str, at: datetime) -> None:
    row = get(tx, cluster)
    row.observed_at, row.unreachable = at, None


def unreachable(tx: Tx, cluster: str, reason: str) -> None:
    get(tx, cluster).unreachable = reason
