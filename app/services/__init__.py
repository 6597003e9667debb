"""Use cases, one class per noun. No service calls another."""

from __future__ import annotations

from dataclasses import dataclass

from app.services.access import Access
from app.services.api_keys import ApiKeys
from app.services.auth import Auth
from app.services.clusters import Clusters
from app.services.drift import Drifts
from app.services.flavors import Flavors
from app.services.guests import Guests
from app.services.guests.backups import Backups
from app.services.guests.bulk import Bulk
from app.services.guests.clones import Clones
from app.services.guests.conversions import Conversions
from app.services.guests.deployments import Deployments
from app.services.guests.disks import Disks
from app.services.guests.firewall import Firewalls
from app.services.guests.restarts import Restarts
from app.services.guests.schedules import Schedules
from app.services.guests.snapshots import Snapshots
from app.services.health import Health
from app.services.idempotency import IdempotencyKeys
from app.services.local.host import LocalHosts
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
from app.services.security_groups import SecurityGroups
from app.services.storages import Storages
from app.services.tasks import Tasks
from app.services.templates import Templates
from app.services.tenants import Tenants
from app.services.users import Users


@dataclass(frozen=True)
class Services:
    """Everything that a door may ask for."""

    auth: Auth
    api_keys: ApiKeys
    users: Users
    tenants: Tenants
    members: Members
    quotas: Quotas
    plans: Plans
    groups: Groups
    planned_groups: PlannedGroups
    access: Access
    clusters: Clusters
    nodes: Nodes
    pools: Pools
    storages: Storages
    tasks: Tasks
    guests: Guests
    conversions: Conversions
    restarts: Restarts
    snapshots: Snapshots
    disks: Disks
    backups: Backups
    schedules: Schedules
    firewalls: Firewalls
    clones: Clones
    security_groups: SecurityGroups
    drift: Drifts
    operations: Operations
    templates: Templates
    flavors: Flavors
    deployments: Deployments
    bulk: Bulk
    local_hosts: LocalHosts
    local_images: LocalImages
    health: Health
    idempotency: IdempotencyKeys
    rehearsals: Rehearsals
