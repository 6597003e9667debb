"""Every table of ours. DBOS keeps its own beside them in the same database."""

from app.db.models.access import ApiKey, Member, Session, User
from app.db.models.clusters import Cluster, InventoryGuest, Node, Storage, Volume
from app.db.models.drift import Drift
from app.db.models.firewall import SecurityGroup, SecurityGroupTenant
from app.db.models.guests import Backup, BackupSchedule, Guest, GuestTag, Snapshot, VmidClaim
from app.db.models.local import LocalHost, LocalImage
from app.db.models.operations import Idempotency, Operation, OperationStep, Worker
from app.db.models.plans import Group, Plan
from app.db.models.table import Table
from app.db.models.tenants import Allocation, AuditEntry, Flavor, QuotaLimit, Template, Tenant

__all__ = [
    "Allocation",
    "ApiKey",
    "AuditEntry",
    "Backup",
    "BackupSchedule",
    "Cluster",
    "Drift",
    "Flavor",
    "Group",
    "Guest",
    "GuestTag",
    "Idempotency",
    "InventoryGuest",
    "LocalHost",
    "LocalImage",
    "Member",
    "Node",
    "Operation",
    "OperationStep",
    "Plan",
    "QuotaLimit",
    "SecurityGroup",
    "SecurityGroupTenant",
    "Session",
    "Snapshot",
    "Storage",
    "Table",
    "Template",
    "Tenant",
    "User",
    "VmidClaim",
    "Volume",
    "Worker",
]
