"""Storages as a tenant may see them: those that were granted to it, and of what lies there the media and its own."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.db import audit, backups, clusters, guests, operations, templates, tenants
from app.db.models import Guest, Tenant
from app.db.models import Storage as Place
from app.db.session import Database, Tx, rehearsal_of
from app.domain.access import Context, Privilege
from app.domain.backups import BackupState
from app.domain.errors import Busy, CapacityExceeded, Conflict, FetchFailed, Forbidden, Invalid, NotFound
from app.domain.guests import GuestKind
from app.domain.identifiers import MalformedIdentifier, NodeName, StorageId, Volid
from app.domain.operations import Operation
from app.domain.paging import Page, PageRequest
from app.domain.storages import (
    MEDIA,
    Content,
    ContentFilter,
    Download,
    Granted,
    MediaRules,
    Storage,
    StorageFilter,
    Target,
    Upload,
    Volume,
)
from app.operations import Engine
from app.operations.engine import Submission
from app.policy import rules
from app.policy.addresses import is_address, may_be_reached
from app.pve import Pve, VolumeRow, sources
from app.sagas import guest, guest_backup, media
from app.sagas.credentials import Credentials

QUEUE = "media"

#: How far a node's clock may be behind ours.
_CLOCK_MARGIN = timedelta(seconds=60)


@dataclass(frozen=True)
class Shelf:
    """A storage to be asked for what is on it, and as whom. `known` are guests by their numbers, whose volumes may be
    shown; who sees all sees also those of nobody."""

    pve: Pve
    name: str
    nodes: tuple[str, ...]
    known: Mapping[int, Guest]
    sees_all: bool


class Storages:
    def __init__(self, db: Database, engine: Engine, credentials: Credentials, media_rules: MediaRules) -> None:
        self._media = media_rules
        self._db = db
        self._engine = engine
        self._credentials = credentials

    def list(self, ctx: Context, wanted: StorageFilter, request: PageRequest) -> Page[Storage]:
        """From the inventory; costs PVE nothing."""
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        with self._db.read() as tx:
            named = clusters.find(tx, rules.visible(ctx), wanted.cluster).id if wanted.cluster is not None else None
            granted = _granted(tx, ctx, wanted.tenant)
            return clusters.page_of_storages(tx, granted, named, wanted.content, request)

    def get(self, ctx: Context, storage: str, cluster: str | None) -> Storage:
        """Raises NotFound for one that is not granted, Invalid where several clusters have one of that name."""
        rules.require_scope(ctx, Privilege.TENANT_AUDIT)
        with self._db.read() as tx:
            return clusters.storage_view(tx, _places(tx, ctx, storage, cluster, _granted(tx, ctx, None)))

    def content(self, ctx: Context, storage: str, wanted: ContentFilter, request: PageRequest) -> Page[Volume]:
        """Read from PVE, with one call per node that has the storage (a shared one: one call).

        A tenant is asked for with its own token, and sees media and the volumes of its own guests. A node that is away
        is the answer's failure: a list without its part would look whole.
        """
        with self._db.read() as tx:
            shelf = self._shelf(tx, ctx, storage, wanted)
        seen: dict[str, list[str]] = defaultdict(list)
        rows: dict[str, VolumeRow] = {}
        for node in shelf.nodes:
            for row in shelf.pve.node(NodeName(node)).storage_content(StorageId(shelf.name), wanted.content):
                if _may_be_shown(shelf, row):
                    rows[row.volid] = row
                    seen[row.volid].append(node)
        return _page([_volume(shelf, rows[volid], seen[volid]) for volid in sorted(rows)], request)

    def upload(self, ctx: Context, target: Target, receive: Callable[[], Upload]) -> Operation:
        """Pass a medium through to PVE as it comes; the operation is the task that puts it into its place.

        `receive` is called when the caller may. What has the name of a medium that is there is Conflict
        `volume.exists`: PVE itself would overwrite that. Raises CapacityExceeded, NotFound, Invalid.
        """
        rules.require(ctx, Privilege.STORAGE_MODIFY)
        with self._db.read() as tx:
            place = _place_for(tx, ctx, target)
        upload = receive()
        volid = self._free_name(place, upload.content, upload.filename)
        _require_room(place, upload)
        node = self._credentials.as_admin(place.cluster_id).node(NodeName(place.node))
        upid, sha256 = node.upload(StorageId(place.name), upload)
        with self._db.begin() as tx:
            audit.record(tx, ctx, media.UPLOAD.type, subject=f"{volid} sha256:{sha256}")
            parameters = media.Parameters(
                cluster=place.cluster_id, node=place.node, storage=place.name, content=upload.content, volid=volid,
                sha256=sha256, upid=upid,
            )  # fmt: skip
            return self._engine.submit(tx, ctx, media.UPLOAD, parameters, _to(place))

    def download(self, ctx: Context, target: Target, wanted: Download) -> Operation:
        """Fetch a medium from a URL, by a worker, and pass it through to PVE. Raises as `upload` does; where the URL
        leads is judged when it is followed, what is plainly forbidden at once: Invalid `url.forbidden`. A dry run looks
        where its name leads now."""
        rules.require(ctx, Privilege.STORAGE_MODIFY)
        parts = sources.parts_of(wanted.url)
        host = parts.hostname or ""
        if is_address(host) and not may_be_reached(host, self._media.networks):
            raise Invalid({"url": ["leads to an address that may not be reached"]}, code="url.forbidden")
        with self._db.read() as tx:
            place = _place_for(tx, ctx, target)
        volid = self._free_name(place, wanted.content, wanted.filename)
        checksum = wanted.checksum
        with self._db.begin() as tx:
            if (rehearsal := rehearsal_of(tx)) is not None:
                try:
                    sources.address_of(parts, lambda address: may_be_reached(address, self._media.networks))
                except (Invalid, FetchFailed) as error:
                    rehearsal.violations.append(error)
            audit.record(tx, ctx, media.DOWNLOAD.type, subject=f"{volid} from {host}")
            parameters = media.DownloadParameters(
                cluster=place.cluster_id, node=place.node, storage=place.name, content=wanted.content, volid=volid,
                filename=wanted.filename, url=self._credentials.seal(wanted.url, belongs_to=volid),
                checksum=dataclasses.asdict(checksum) if checksum is not None else None,
                most=self._media.most, networks=list(self._media.networks),
                sha256=checksum.digest if checksum is not None and checksum.algorithm == "sha256" else None,
            )  # fmt: skip
            return self._engine.submit(tx, ctx, media.DOWNLOAD, parameters, _to(place))

    def delete(self, ctx: Context, storage: str, volid: str, cluster: str | None) -> Operation:
        """Free a medium or a backup. Disks go with their guests: PVE frees them from under a running one, too.

        Owners of tenants free backups of their guests. Raises Conflict `volume.in_use` for a disk and for what the
        catalog names, NotFound for what is not there, Busy, Forbidden for media that are not the caller's.
        """
        rules.require_scope(ctx, Privilege.STORAGE_MODIFY)
        if not rules.is_everywhere(ctx, Privilege.STORAGE_MODIFY):
            return self._delete_own(ctx, storage, volid, cluster)
        with self._db.read() as tx:
            places = _places(tx, ctx, storage, cluster, None)
            row = places[0]
            admin = self._credentials.as_admin(row.cluster_id)
        found: dict[str, VolumeRow] = {}
        for node in _asked(places, None):
            rows = admin.node(NodeName(node)).storage_content(StorageId(storage))
            if (one := next((one for one in rows if one.volid == volid), None)) is not None:
                found[node] = one
        if not found:
            raise NotFound
        volume = next(iter(found.values()))
        with self._db.begin() as tx:
            is_disk = volume.content not in (*MEDIA, Content.BACKUP)
            if is_disk or templates.uses(tx, row.cluster_id, volid):
                raise Conflict(
                    "It is a guest's disk, or a catalog entry is made of it.", code="volume.in_use",
                    remedy="Delete the guest, or the catalog entry, first.",
                )  # fmt: skip
            audit.record(tx, ctx, media.DELETE.type, subject=volid)
            parameters = media.DeleteParameters(row.cluster_id, storage, volid, sorted(found))
            return self._engine.submit(tx, ctx, media.DELETE, parameters, _to(row))

    def _delete_own(self, ctx: Context, storage: str, volid: str, cluster: str | None) -> Operation:
        with self._db.read() as tx:
            mine = tenants.within(tx, rules.holding(ctx, Privilege.STORAGE_MODIFY))
            granted: dict[str, frozenset[str]] = defaultdict(frozenset)
            for tenant in mine:
                granted[tenant.cluster_id] |= frozenset(tenant.storages)
            places = _places(tx, ctx, storage, cluster, granted)
            shelves = [
                self._tenants_shelf(tx, ctx, tenant, storage, _asked(places, None))
                for tenant in mine
                if tenant.cluster_id == places[0].cluster_id and storage in tenant.storages
            ]
        node, volume, owner = _on_one_of(shelves, volid)
        if volume.content in MEDIA:
            raise Forbidden("Media are the house's.", remedy="Ask an administrator.")
        if volume.content != Content.BACKUP or owner is None:
            raise Conflict("It is a guest's disk.", code="volume.in_use", remedy="Detach it, or delete the guest.")
        with self._db.begin() as tx:
            tenants.lock(tx, owner.tenant_id)
            row = guests.again(tx, owner)
            if (open_one := operations.open_on(tx, row.id)) is not None:
                raise Busy(f"/api/operations/{open_one}")
            kept = next((one for one in backups.of_guest(tx, row.id) if one.volid == volid), None)
            audit.record(tx, ctx, media.DELETE.type, tenant=row.tenant_id, guest=row.id, subject=volid)
            to = dataclasses.replace(_to(places[0]), tenant=row.tenant_id, guest=row.id)
            if kept is None:
                acting = rules.acting(ctx, row.tenant_id)
                alone = media.DeleteParameters(row.cluster_id, storage, volid, [node], tenant=acting)
                return self._engine.submit(tx, ctx, media.DELETE, alone, to)
            kept.state = BackupState.DELETING
            parameters = guest_backup.of_row(guest.target(ctx, row), kept)
            return self._engine.submit(tx, ctx, guest_backup.REMOVALS[GuestKind(row.kind)], parameters, to)

    def _free_name(self, place: Place, content: Content, filename: str) -> str:
        """The volid that a medium will have. Raises Conflict, and Invalid where the storage does not hold such."""
        if content not in place.content:
            raise Invalid({"content": ["is not what this storage holds"]})
        volid = f"{place.name}:{content}/{filename}"
        node = self._credentials.as_admin(place.cluster_id).node(NodeName(place.node))
        if any(row.volid == volid for row in node.storage_content(StorageId(place.name), content)):
            raise Conflict(f"{volid} is there already.", code="volume.exists", remedy="Choose another name.")
        return volid

    def _shelf(self, tx: Tx, ctx: Context, storage: str, wanted: ContentFilter) -> Shelf:
        granted = _granted(tx, ctx, wanted.tenant)
        places = _places(tx, ctx, storage, wanted.cluster, granted)
        cluster = places[0].cluster_id
        nodes = _asked(places, wanted.node)
        if granted is None:
            rules.require(ctx, Privilege.GUEST_AUDIT)
            known = {row.vmid: row for row in guests.of_cluster(tx, cluster)}
            return Shelf(self._credentials.as_admin(cluster), storage, nodes, known, sees_all=True)
        ref = wanted.tenant if wanted.tenant is not None else rules.only_tenant(ctx)
        tenant = tenants.find(tx, rules.visible(ctx), ref)
        rules.require(ctx, Privilege.GUEST_AUDIT, on=tenant.id)
        return self._tenants_shelf(tx, ctx, tenant, storage, nodes)

    def _tenants_shelf(self, tx: Tx, ctx: Context, tenant: Tenant, storage: str, nodes: tuple[str, ...]) -> Shelf:
        known = {row.vmid: row for row in guests.of_tenant(tx, tenant.id)}
        return Shelf(self._credentials.as_tenant(rules.acting(ctx, tenant.id)), storage, nodes, known, sees_all=False)


def _on_one_of(shelves: Sequence[Shelf], volid: str) -> tuple[str, VolumeRow, Guest | None]:
    """Where it lies, and the guest that it is of. Raises NotFound for what is not there or not to be shown."""
    for shelf in shelves:
        for node in shelf.nodes:
            for row in shelf.pve.node(NodeName(node)).storage_content(StorageId(shelf.name)):
                if row.volid == volid and _may_be_shown(shelf, row):
                    return node, row, shelf.known.get(row.vmid) if row.vmid is not None else None
    raise NotFound


def _granted(tx: Tx, ctx: Context, tenant: str | None) -> Granted:
    """What the caller, or this one of his tenants, may use; None for who sees whole clusters and names no tenant."""
    if tenant is not None:
        row = tenants.find(tx, rules.visible(ctx), tenant)
        return {row.cluster_id: frozenset(row.storages)}
    if rules.sees_clusters(ctx):
        return None
    found: dict[str, frozenset[str]] = defaultdict(frozenset)
    for row in tenants.within(tx, rules.visible(ctx)):
        found[row.cluster_id] |= frozenset(row.storages)
    return found


def _places(tx: Tx, ctx: Context, storage: str, cluster: str | None, granted: Granted) -> Sequence[Place]:
    """The storage on every node that has it, in one cluster."""
    named = clusters.find(tx, rules.visible(ctx), cluster).id if cluster is not None else None
    places = clusters.places_of(tx, granted, named, storage)
    if not places:
        raise NotFound
    if len({place.cluster_id for place in places}) > 1:
        raise Invalid({"cluster": ["name it: several clusters have a storage of this name"]})
    return places


def _place_for(tx: Tx, ctx: Context, target: Target) -> Place:
    """Where a medium goes: to the node that is named, or the first that has the storage at hand."""
    places = _places(tx, ctx, target.storage, target.cluster, None)
    wanted = [place for place in places if target.node in (None, place.node)]
    if not wanted:
        raise Invalid({"node": ["is not a node that has this storage"]})
    return min(wanted, key=lambda place: (not place.available, place.node))


def _to(place: Place) -> Submission:
    return Submission(None, None, QUEUE, f"{place.cluster_id}/{place.name}")


def _require_room(place: Place, upload: Upload) -> None:
    if place.total and upload.size > place.total - place.used:
        raise CapacityExceeded("The storage has not enough room left.", remedy="Free some room there.")


def _asked(places: Sequence[Place], node: str | None) -> tuple[str, ...]:
    """The nodes that know what is on it. All that have one of their own; of a shared one any that reaches it."""
    if node is not None:
        places = [place for place in places if place.node == node]
        if not places:
            raise Invalid({"node": ["is not a node that has this storage"]})
    if places[0].shared:
        places = sorted(places, key=lambda place: (not place.available, place.node))[:1]
    return tuple(place.node for place in places)


def _may_be_shown(shelf: Shelf, row: VolumeRow) -> bool:
    """PVE filters by rights on vmids, which are used again: what is older than the guest is a former one's."""
    if shelf.sees_all:
        return row.content in set(Content)
    if row.vmid is None:
        return row.content in MEDIA
    owner = shelf.known.get(row.vmid)
    if owner is None:
        return False
    return row.content != Content.BACKUP or row.ctime is None or _moment(row.ctime) > owner.created_at - _CLOCK_MARGIN


def _volume(shelf: Shelf, row: VolumeRow, nodes: Iterable[str]) -> Volume:
    owner = shelf.known.get(row.vmid) if row.vmid is not None else None
    return Volume(
        volid=row.volid, content=row.content, format=row.format, size=row.size, nodes=sorted(nodes),
        vmid=int(row.vmid) if row.vmid is not None else None, guest=owner.id if owner else None,
        tenant=owner.tenant_id if owner else None, created_at=_moment(row.ctime) if row.ctime else None,
        notes=row.notes, protected=row.protected,
    )  # fmt: skip


def _page(volumes: Sequence[Volume], request: PageRequest) -> Page[Volume]:
    """By name; the cursor is the last one shown."""
    start = 0
    if request.cursor is not None:
        try:
            last = Volid.parse(request.cursor)
        except MalformedIdentifier:
            raise Invalid({"cursor": ["is not a cursor of this list"]}) from None
        start = sum(volume.volid <= last for volume in volumes)
    shown = volumes[start : start + request.limit]
    more = start + request.limit < len(volumes)
    return Page(shown, len(volumes), shown[-1].volid if more else None)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
