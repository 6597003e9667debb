"""Every change of several steps, by the type of its operation. The engine carries out what stands here."""

from app.operations import Saga
from app.sagas import (
    ct_create,
    guest_adopt,
    guest_backup,
    guest_change,
    guest_credentials,
    guest_delete,
    guest_disks,
    guest_firewall,
    guest_migrate,
    guest_power,
    guest_repair,
    guest_restart,
    guest_snapshot,
    guest_template,
    media,
    tenant_create,
    tenant_delete,
    vm_create,
)

REGISTRY: dict[str, Saga] = {
    saga.type: saga
    for saga in (
        tenant_create.SAGA,
        tenant_delete.SAGA,
        ct_create.SAGA,
        media.UPLOAD,
        media.DOWNLOAD,
        media.DELETE,
        vm_create.SAGA,
        *guest_power.STARTS.values(),
        *guest_power.STOPS.values(),
        *guest_power.REBOOTS.values(),
        *guest_power.VM_ONLY.values(),
        *guest_restart.RESTARTS.values(),
        *guest_snapshot.SNAPSHOTS.values(),
        *guest_snapshot.ROLLBACKS.values(),
        *guest_snapshot.REMOVALS.values(),
        *guest_template.TEMPLATES.values(),
        *guest_migrate.MIGRATIONS.values(),
        *guest_backup.BACKUPS.values(),
        *guest_backup.REMOVALS.values(),
        guest_credentials.SAGA,
        *guest_change.CHANGES.values(),
        *guest_disks.ATTACHMENTS.values(),
        *guest_disks.DETACHMENTS.values(),
        *guest_disks.MOVES.values(),
        *guest_firewall.OPTIONS.values(),
        *guest_firewall.RULES.values(),
        *guest_delete.DELETES.values(),
        guest_adopt.SAGA,
        guest_repair.SAGA,
    )
}
