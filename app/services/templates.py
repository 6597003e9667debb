"""The catalog: what may be deployed, and what administrators put into it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.db import audit, clusters, templates, tenants
from app.db.models import Cluster
from app.db.models import Template as Row
from app.db.session import Database, Tx
from app.domain.access import Context, Privilege, UserRole
from app.domain.errors import Conflict, Forbidden, Invalid
from app.domain.guests import GuestKind
from app.domain.identifiers import NodeName, PoolId, StorageId
from app.domain.paging import Page, PageRequest
from app.domain.storages import Content
from app.domain.templates import Source, Template, TemplateSpec
from app.policy import rules
from app.pve import Pve, ResourceGuest
from app.sagas.credentials import Credentials

_GIB = 2**30
_NO_SOURCE = "neither a medium of this cluster nor a template guest outside of its tenants' pools"
_KINDS = {Content.ISO: GuestKind.VM, Content.IMPORT: GuestKind.VM, Content.VZTMPL: GuestKind.CT}


class Templates:
    """`catalog` is the pool of template guests, which all tenants may clone."""

    def __init__(self, db: Database, credentials: Credentials, *, catalog: str) -> None:
        self._db = db
        self._credentials = credentials
        self._catalog = catalog

    def list(self, ctx: Context, request: PageRequest) -> Page[Template]:
        """Administrators see what is not published, too."""
        rules.require(ctx, Privilege.TEMPLATE_AUDIT)
        with self._db.read() as tx:
            return templates.page(tx, request, published_only=_published_only(ctx))

    def offered(self, ctx: Context) -> Sequence[Template]:
        """What the caller's home tenant may deploy, by name; all that is published for who has none."""
        rules.require(ctx, Privilege.TEMPLATE_AUDIT)
        home = rules.home(ctx)
        with self._db.read() as tx:
            return templates.offered(tx, tenants.get(tx, home) if home is not None else None)

    def every(self, ctx: Context) -> Sequence[Template]:
        """Published or not, by name, for administrators and auditors."""
        rules.require(ctx, Privilege.CLUSTER_AUDIT)
        with self._db.read() as tx:
            return templates.every(tx)

    def get(self, ctx: Context, template: str) -> Template:
        rules.require(ctx, Privilege.TEMPLATE_AUDIT)
        with self._db.read() as tx:
            return templates.get(tx, template, published_only=_published_only(ctx))

    # -- what administrators do

    def scan(self, ctx: Context, cluster: str | None, request: PageRequest) -> Page[Source]:
        """What PVE has and the catalog has not, by reference. One call for all guests, and one for each storage, kind
        of medium and node that has it."""
        rules.require(ctx, Privilege.CLUSTER_AUDIT)
        found = self._sources(cluster)
        with self._db.read() as tx:
            known = templates.references(tx, clusters.named(tx, cluster).id)
        new = sorted((one for one in found.values() if one.reference not in known), key=lambda one: one.reference)
        rest = [one for one in new if request.cursor is None or one.reference > request.cursor]
        shown = rest[: request.limit]
        return Page(shown, len(new), shown[-1].reference if len(rest) > len(shown) else None)

    def create(self, ctx: Context, spec: TemplateSpec) -> Template:
        """Raises Invalid for what PVE has not, Conflict `name.taken`, `template.exists`."""
        rules.require(ctx, Privilege.TEMPLATE_MODIFY)
        source = self._sources(spec.cluster).get(spec.reference)
        if source is None:
            raise Invalid(
                {"source": ["is neither a medium of this cluster nor a template guest outside of tenants' pools"]}
            )
        source = self._measured(spec.cluster, source)
        if spec.disk_gb is not None and spec.disk_gb < source.disk_gb:
            raise Invalid({"disk_gb": [f"must be at least {source.disk_gb}, the size of its source"]})
        with self._db.read() as tx:
            _require_new(tx, clusters.named(tx, spec.cluster), source)
        self._into_the_catalog(spec.cluster, [source])
        with self._db.begin() as tx:
            cluster = clusters.named(tx, spec.cluster)
            _require_new(tx, cluster, source)
            return templates.view(_added(tx, ctx, cluster, source, spec))

    def import_sources(self, ctx: Context, cluster: str | None, references: Sequence[str]) -> Sequence[Template]:
        """Unpublished entries, named as their sources, with what PVE says of them; those that are there already are
        left out. Raises Invalid where one is not there: then none is made."""
        rules.require(ctx, Privilege.TEMPLATE_MODIFY)
        found = self._sources(cluster)
        if missing := sorted({one for one in references if one not in found}):
            raise Invalid({"sources": [f"{one} is {_NO_SOURCE}" for one in missing]})
        with self._db.read() as tx:
            known = templates.references(tx, clusters.named(tx, cluster).id)
        wanted = [self._measured(cluster, found[one]) for one in dict.fromkeys(references) if one not in known]
        self._into_the_catalog(cluster, wanted)
        with self._db.begin() as tx:
            into = clusters.named(tx, cluster)
            known, taken = templates.references(tx, into.id), templates.names(tx, into.id)
            added = []
            for source in wanted:
                if source.reference not in known:
                    name = next(name for name in _names(source.name) if name not in taken)
                    taken.add(name)
                    added.append(_added(tx, ctx, into, source, TemplateSpec(source.reference, name)))
            return [templates.view(row) for row in added]

    def change(self, ctx: Context, template: str, change: Mapping[str, Any]) -> Template:
        """`change` has members of a TemplateSpec. The disk may only become larger: guests' are copies of the source."""
        rules.require(ctx, Privilege.TEMPLATE_MODIFY)
        with self._db.begin() as tx:
            row = templates.find(tx, template)
            if change.get("disk_gb", row.disk_gb) < row.disk_gb:
                raise Invalid({"disk_gb": [f"must be at least {row.disk_gb}: it may only grow"]})
            for name, value in change.items():
                setattr(row, name, value)
            audit.record(tx, ctx, "template.change", subject=row.name)
            tx.flush()
            return templates.view(row)

    def toggle(self, ctx: Context, template: str) -> Template:
        """Publish what is not published, and the other way round."""
        rules.require(ctx, Privilege.TEMPLATE_MODIFY)
        with self._db.begin() as tx:
            row = templates.find(tx, template)
            row.published = not row.published
            audit.record(tx, ctx, "template.publish" if row.published else "template.withdraw", subject=row.name)
            return templates.view(row)

    def delete(self, ctx: Context, template: str) -> None:
        """The entry alone: in PVE nothing is deleted. Raises Conflict `template.in_use` while guests of it exist."""
        rules.require(ctx, Privilege.TEMPLATE_MODIFY)
        with self._db.begin() as tx:
            row = templates.find(tx, template)
            if templates.is_in_use(tx, row.id):
                raise Conflict(
                    "Guests that were made from it exist.", code="template.in_use",
                    remedy="Withdraw it instead: then nothing new is made from it.",
                )  # fmt: skip
            tx.delete(row)
            audit.record(tx, ctx, "template.delete", subject=row.name)

    # -- what PVE has

    def _sources(self, cluster: str | None) -> Mapping[str, Source]:
        """By reference: media, and template guests that are in no pool or in the catalog's."""
        with self._db.read() as tx:
            named = clusters.named(tx, cluster).id
            places = clusters.storages(tx, named)
            asked = {
                (place.name, content, "" if place.shared else place.node): place.node
                for place in places
                for content in _KINDS
                if place.available and content in place.content
            }
        pve = self._credentials.as_admin(named)
        found = [
            _of_guest(one)
            for one in pve.cluster.resources().guests
            if one.template and one.pool in (None, "", self._catalog)
        ]
        return {one.reference: one for one in (*found, *_media(pve, asked))}

    def _measured(self, cluster: str | None, source: Source) -> Source:
        """A disk image with the size of its disk, for one call: lists tell its file's."""
        if source.volid is None or source.volid.folder != Content.IMPORT:
            return source
        with self._db.read() as tx:
            pve = self._credentials.as_admin(clusters.named(tx, cluster).id)
        size = pve.node(NodeName(source.nodes[0])).volume_size(source.volid)
        return dataclasses.replace(source, disk_gb=max(1, math.ceil(size / _GIB)))

    def _into_the_catalog(self, cluster: str | None, sources: Sequence[Source]) -> None:
        """Tenants may clone what is in its pool. Raises Forbidden for a privileged container, as its clones are."""
        guests = [(source, source.vmid) for source in sources if source.vmid is not None]
        if not guests:
            return
        with self._db.read() as tx:
            pve = self._credentials.as_admin(clusters.named(tx, cluster).id)
        for source, vmid in guests:
            if source.kind == GuestKind.CT and not pve.node(NodeName(source.nodes[0])).lxc(vmid).config().unprivileged:
                raise Forbidden(
                    f"Container {vmid} is privileged.", code="policy.privileged_guest",
                    remedy="Make an unprivileged template.",
                )  # fmt: skip
        pool = PoolId.parse(self._catalog)
        pve.pools.create(pool, comment="Templates that all tenants may clone")
        for _, vmid in guests:
            pve.pools.add_guests(pool, [vmid])


def _require_new(tx: Tx, cluster: Cluster, source: Source) -> None:
    if source.reference in templates.references(tx, cluster.id):
        raise Conflict("The catalog has an entry of this source.", code="template.exists")


def _published_only(ctx: Context) -> bool:
    return ctx.caller.role != UserRole.ADMIN


def _added(tx: Tx, ctx: Context, cluster: Cluster, source: Source, spec: TemplateSpec) -> Row:
    row = Row(
        id=str(uuid.uuid4()), cluster_id=cluster.id, name=spec.name, kind=source.kind, description=spec.description,
        category=spec.category, logo_url=spec.logo_url, volid=source.volid, vmid=source.vmid,
        cores=spec.cores or source.cores, memory=spec.memory or source.memory, disk_gb=spec.disk_gb or source.disk_gb,
        published=spec.published,
    )  # fmt: skip
    tx.add(row)
    tx.flush()
    audit.record(tx, ctx, "template.create", subject=row.name)
    return row


def _of_guest(guest: ResourceGuest) -> Source:
    return Source(
        kind=guest.kind, name=guest.name or str(guest.vmid), volid=None, vmid=guest.vmid, cores=max(1, guest.cores),
        memory=max(16, guest.memory), disk_gb=max(1, math.ceil(guest.disk / _GIB)), nodes=[guest.node],
    )  # fmt: skip


def _media(pve: Pve, asked: Mapping[tuple[str, Content, str], str]) -> Iterator[Source]:
    nodes: dict[str, list[str]] = defaultdict(list)
    found: dict[str, Source] = {}
    for (storage, content, _), node in asked.items():
        for row in pve.node(NodeName(node)).storage_content(StorageId(storage), content):
            nodes[row.volid].append(node)
            found[row.volid] = Source(
                kind=_KINDS[content], name=row.volid.rpartition("/")[2], volid=row.volid, vmid=None, cores=1,
                memory=512, disk_gb=max(1, math.ceil(row.size / _GIB)), nodes=nodes[row.volid],
            )  # fmt: skip
    yield from found.values()


def _names(wished: str) -> Iterator[str]:
    yield wished
    for number in itertools.count(2):
        yield f"{wished}-{number}"
