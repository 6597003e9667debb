"""The only place that builds objects: settings -> database, gateways, engine, services."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from app.config import Settings, configure_log
from app.db import clusters, schema
from app.db.models import Cluster, Template
from app.db.session import Database
from app.db.vault import Vault
from app.domain.errors import PveError
from app.domain.identifiers import TokenId
from app.domain.storages import MediaRules
from app.operations import Engine
from app.operations.presence import Presence
from app.operations.worker import LEASE, Chore, Queue, Worker
from app.operations.worker import migrate as migrate_engine
from app.pve import ApiToken, Endpoint, Pve, PveConnections
from app.qemu.images import Files
from app.sagas import REGISTRY
from app.sagas.credentials import Credentials
from app.sagas.tasks import PveTasks
from app.sagas.tenant_create import QUEUE as ACCESS_QUEUE
from app.services import Services
from app.services.access import Access
from app.services.api_keys import ApiKeys
from app.services.auth import Auth
from app.services.clusters import Clusters
from app.services.drift import Drifts
from app.services.drift.comparing import Comparison
from app.services.flavors import Flavors
from app.services.guests import Guests
from app.services.guests.backups import Backups
from app.services.guests.bulk import Bulk
from app.services.guests.clones import Clones
from app.services.guests.conversions import Conversions
from app.services.guests.deployments import Deployments
from app.services.guests.disks import Disks
from app.services.guests.firewall import Firewalls
from app.services.guests.on_guest import NODE_QUEUE, STORAGE_QUEUE, GuestRules
from app.services.guests.restarts import RestartRules, Restarts
from app.services.guests.schedules import Schedules
from app.services.guests.snapshots import Snapshots
from app.services.health import Health
from app.services.idempotency import IdempotencyKeys
from app.services.inventory import Inventory
from app.services.local.host import LocalHostKeeper, LocalHosts
from app.services.local.images import LocalImages
from app.services.members import Members
from app.services.nodes import Nodes
from app.services.operations import Operations
from app.services.plans import Plans
from app.services.plans.groups import Groups
from app.services.plans.planned_groups import PlannedGroups
from app.services.pools import Pools
from app.services.quotas import Quotas
from app.services.rehearsals import Rehearsals
from app.services.security_groups import QUEUE as FIREWALL_QUEUE
from app.services.security_groups import SecurityGroups
from app.services.storages import QUEUE as MEDIA_QUEUE
from app.services.storages import Storages
from app.services.strays import Strays
from app.services.tasks import Tasks
from app.services.templates import Templates
from app.services.tenants import Tenants
from app.services.users import Users

#: Seconds between two looks at what seldom changes.
_SELDOM = 60.0

#: Between two looks at this host.
_LOCAL = 30.0

#: Where PVE locks, we wait in turn. All of user.cfg is behind one lock: tenants of a cluster are built one after
#: another. A lane of the others is one tenant's, so that nobody takes more than his share of a storage or a node.
QUEUES = (
    Queue(ACCESS_QUEUE, per_lane=1, total=16),
    Queue(FIREWALL_QUEUE, per_lane=1, total=16, interval=0.5),
    Queue(STORAGE_QUEUE, per_lane=1, total=200),
    Queue(NODE_QUEUE, per_lane=16, total=2000),
    Queue(MEDIA_QUEUE, per_lane=4, total=16, interval=0.5),
)


@dataclass(frozen=True)
class House:
    """What a process has."""

    settings: Settings
    db: Database
    credentials: Credentials
    engine: Engine
    services: Services


def build(settings: Settings) -> House:
    db = Database(settings.database_url, pool_size=settings.database_pool)
    vault = Vault([settings.encryption_key])
    credentials = Credentials(db, vault, PveConnections(), timeout=settings.pve_timeout)
    engine = Engine(db, REGISTRY)
    rules = GuestRules(range(settings.vmid_min, settings.vmid_max + 1), settings.vmid_quarantine_seconds)
    stale = timedelta(seconds=max(60.0, 3 * settings.inventory_interval))
    guests = Guests(db, engine, credentials, rules)
    deployments = Deployments(db, guests)
    plans, groups = Plans(db, engine), Groups(db, engine)
    services = Services(
        auth=Auth(db, refresh_lifetime=timedelta(days=settings.refresh_token_days)),
        api_keys=ApiKeys(db),
        users=Users(db),
        tenants=Tenants(db, engine, realm="pve", catalog=settings.catalog_pool, vmid_rest=rules.vmid_rest),
        members=Members(db),
        quotas=Quotas(db),
        plans=plans,
        groups=groups,
        planned_groups=PlannedGroups(db, plans, groups),
        access=Access(db, credentials, catalog=settings.catalog_pool),
        clusters=Clusters(db, credentials),
        nodes=Nodes(db, credentials),
        pools=Pools(db),
        storages=Storages(
            db, engine, credentials, MediaRules(settings.max_upload_bytes, settings.download_networks or ())
        ),
        tasks=Tasks(db, credentials),
        guests=guests,
        deployments=deployments,
        bulk=Bulk(db, guests, deployments),
        conversions=Conversions(db, engine, credentials, rules),
        restarts=Restarts(
            db, engine, credentials, rules, RestartRules(settings.guest_networks or (), settings.restarts_per_day)
        ),
        snapshots=Snapshots(db, engine, credentials, rules),
        disks=Disks(db, engine, credentials, rules),
        backups=Backups(db, engine, credentials, rules),
        schedules=Schedules(db, engine, credentials, rules),
        firewalls=Firewalls(db, engine, credentials, rules),
        clones=Clones(db, engine, credentials, rules),
        security_groups=SecurityGroups(db, engine, credentials),
        drift=Drifts(db, engine, credentials, vmid_rest=rules.vmid_rest),
        operations=Operations(db, engine, REGISTRY),
        flavors=Flavors(db),
        templates=Templates(db, credentials, catalog=settings.catalog_pool),
        local_hosts=LocalHosts(db, enabled=settings.qemu),
        local_images=LocalImages(
            db, Files(settings.state_dir / "qemu"), most=settings.max_upload_bytes, enabled=settings.qemu
        ),
        health=Health(db, lease=LEASE, stale=stale),
        idempotency=IdempotencyKeys(db),
        rehearsals=Rehearsals(db, REGISTRY),
    )
    return House(settings, db, credentials, engine, services)


def migrate(settings: Settings, target: str = "head") -> None:
    """Bring the tables, ours and the engine's, to what this code knows; `target` may be an older revision of ours."""
    db = Database(settings.database_url)
    try:
        if target == "head":
            schema.upgrade(db)
            migrate_engine(db)
        else:
            schema.downgrade(db, target)
    finally:
        db.close()


def check_schema(settings: Settings) -> None:
    """Raises Unavailable, with the remedy, unless the database is there and at the revision of this code."""
    db = Database(settings.database_url)
    try:
        schema.check(db)
    finally:
        db.close()


def run_worker(settings: Settings) -> None:
    """Carry operations out until SIGTERM. Raises Unavailable as `check_schema` does."""
    configure_log(settings.log_level)
    check_schema(settings)
    house = build(settings)
    inventory = Inventory(house.db, house.credentials)
    comparison = Comparison(house.db, house.credentials, vmid_rest=settings.vmid_quarantine_seconds)
    strays = Strays(house.db, house.credentials, stop=settings.stop_privileged)

    def look() -> None:
        inventory.refresh()
        comparison.compare()

    local = [
        Chore("local host", _LOCAL, LocalHostKeeper(house.db, settings.qemu_uri).look),
        Chore("local images", settings.inventory_interval, house.services.local_images.sweep),
    ]
    Worker(
        house.db,
        REGISTRY,
        PveTasks(house.db, house.credentials),
        house.credentials,
        QUEUES,
        [
            Chore("inventory", settings.inventory_interval, look),
            Chore("strays", settings.inventory_interval, strays.sweep),
            Chore("schedules", settings.inventory_interval, house.services.schedules.run),
            Chore("media", _SELDOM, inventory.refresh_media),
            Chore("bridges", _SELDOM, inventory.refresh_bridges),
            *(local if settings.qemu else []),
        ],
        Presence(settings.state_dir / "workers"),
    ).run()


# -- the first start


@dataclass(frozen=True)
class SeedResult:
    """`admin_password_generated` is shown once; None where it was given, or where there is an administrator already."""

    admin_password_generated: str | None


def seed(settings: Settings) -> SeedResult:
    """What a new house needs before anybody can log in: its cluster, where the settings name one, and an administrator.

    The cluster is asked before it is stored; what the settings say of it later replaces what is stored.
    """
    house = build(settings)
    try:
        if settings.pve_url is not None:
            _register_named_cluster(house, settings)
        return SeedResult(house.services.auth.ensure_first_admin(settings.admin_password))
    finally:
        house.db.close()


def seed_development(settings: Settings, lab_url: str, lab_password: str, ca_file: str) -> SeedResult:
    """What `make run` starts with: the lab as the default cluster, the first administrator, two catalog entries."""
    house = build(settings)
    try:
        _register_lab(house, lab_url, lab_password, Path(ca_file).read_text())
        inventory = Inventory(house.db, house.credentials)
        inventory.refresh()
        inventory.refresh_media()
        inventory.refresh_bridges()
        return SeedResult(house.services.auth.ensure_first_admin(settings.admin_password))
    finally:
        house.db.close()


def _register_named_cluster(house: House, settings: Settings) -> None:
    """The cluster of POOLHOUSE_PVE_URL and its neighbours, which are given together or not at all."""
    assert settings.pve_url is not None
    assert settings.pve_token_id is not None
    assert settings.pve_token_secret is not None
    with house.db.read() as tx:
        known = next((row for row in clusters.every(tx) if row.is_default), None)
    cluster = known or Cluster(id=str(uuid.uuid4()), name="default", is_default=True)
    cluster.url = settings.pve_url
    cluster.ca_pem = settings.pve_ca_file.read_text() if settings.pve_ca_file else None
    cluster.fingerprint = settings.pve_fingerprint
    cluster.token_id = settings.pve_token_id
    register_cluster(house, cluster, settings.pve_token_secret)


def register_cluster(house: House, cluster: Cluster, secret: str) -> None:
    """Store a cluster with its administrator's token, sealed, after PVE has answered to it."""
    endpoint = Endpoint(url=cluster.url, ca_pem=cluster.ca_pem, fingerprint=cluster.fingerprint)
    PveConnections().connect(endpoint, ApiToken(TokenId.parse(cluster.token_id), secret)).version()
    with house.db.begin() as tx:
        cluster.secret = house.credentials.seal(secret, belongs_to=cluster.id)
        tx.merge(cluster)


def _register_lab(house: House, url: str, password: str, ca_pem: str) -> None:
    """The lab as the default cluster. One that is stored already is left alone while it answers, else it is renewed:
    the lab may have another port or certificate, or have forgotten our token."""
    with house.db.read() as tx:
        known = next((row for row in clusters.every(tx) if row.name == _LAB), None)
    if known is not None and known.url == url and known.ca_pem == ca_pem and _answers(house, known):
        return
    token_id = TokenId("root@pam!poolhouse")
    secret = Pve.make_token(Endpoint(url=url, ca_pem=ca_pem), token_id.user, password, token_id.name)
    cluster = known or Cluster(id=str(uuid.uuid4()), name=_LAB, is_default=True)
    cluster.url, cluster.ca_pem, cluster.token_id = url, ca_pem, token_id
    register_cluster(house, cluster, secret)
    if known is None:
        _fill_catalog(house, cluster.id)


def _answers(house: House, cluster: Cluster) -> bool:
    try:
        house.credentials.as_admin(cluster.id).version()
    except PveError:
        return False
    return True


def _fill_catalog(house: House, cluster: str) -> None:
    with house.db.begin() as tx:
        for entry, name, kind, volid, vmid, disk_gb, description in _CATALOG:
            template = Template(
                id=entry, cluster_id=cluster, name=name, kind=kind, description=description,
                volid=volid, vmid=vmid, disk_gb=disk_gb, published=True,
            )  # fmt: skip
            tx.add(template)


_LAB = "lab"
#: Their ids never change: the API's document has them as examples.
_CATALOG = (
    (
        "5d1c7f0e-3a52-4c0b-9a57-0c6f1b2d1201", "debian-12", "ct",
        "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst", None, 1, "Debian 12, a container",
    ),
    ("5d1c7f0e-3a52-4c0b-9a57-0c6f1b2d1202", "debian-12-vm", "vm", None, 9000, 2, "Debian 12 with cloud-init, a VM"),
)  # fmt: skip
