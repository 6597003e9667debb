"""What a guest is turned into, or where it is moved: a template, another node's guest."""

from __future__ import annotations

from app.db import clusters, snapshots
from app.db.models import Guest
from app.db.session import Tx
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, Invalid
from app.domain.guests import GuestKind, GuestState, LogIn
from app.domain.identifiers import NodeName
from app.domain.operations import Operation
from app.sagas import guest, guest_credentials, guest_migrate, guest_template
from app.services.guests.on_guest import OnGuest, require_no_template


class Conversions(OnGuest):
    def to_template(self, ctx: Context, kind: GuestKind, ref: str) -> Operation:
        """For good, and charged as before. Raises Conflict for one that runs, has snapshots, or is one already."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            require_no_template(row)
            if row.state != GuestState.STOPPED:
                raise Conflict("The guest is not stopped.", code="guest.running", remedy="Stop it first.")
            if snapshots.of_guest(tx, row.id):
                raise Conflict(
                    "The guest has snapshots.", code="guest.has_snapshots", remedy="Delete its snapshots first."
                )
            parameters = guest.GuestParameters(**guest.target(ctx, row))
            return self._act(tx, ctx, row, guest_template.TEMPLATES[kind], parameters)

    def migrate(self, ctx: Context, kind: GuestKind, ref: str, node: NodeName) -> Operation:
        """Raises Invalid for a node that is not there, or does not have the guest's storage."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_MIGRATE)
            _require_home(tx, row, node)
            parameters = guest_migrate.Parameters(**guest.target(ctx, row), target=node)
            return self._act(tx, ctx, row, guest_migrate.MIGRATIONS[kind], parameters)

    def change_log_in(self, ctx: Context, kind: GuestKind, ref: str, wanted: LogIn) -> Operation:
        """Conflict `guest.unsupported` for a container."""
        with self._db.begin() as tx:
            row = self._free_guest(tx, ctx, kind, ref, Privilege.GUEST_ALLOCATE)
            if kind != GuestKind.VM:
                raise Conflict(
                    "Proxmox VE cannot change a container's password or keys.", code="guest.unsupported",
                    remedy="Change them inside the container, or rebuild it with new ones.",
                )  # fmt: skip
            parameters = guest_credentials.Parameters(
                **guest.target(ctx, row), password=self._seal(wanted.password, row),
                ssh_keys=list(wanted.ssh_keys) if wanted.ssh_keys is not None else None,
            )  # fmt: skip
            return self._act(tx, ctx, row, guest_credentials.SAGA, parameters)


def _require_home(tx: Tx, row: Guest, node: str) -> None:
    if not any(one.name == node and one.online for one in clusters.nodes(tx, row.cluster_id)):
        raise Invalid({"node": ["is not a node of the guest's cluster that is online"]})
    if not any(one.node == node and one.name == row.storage for one in clusters.storages(tx, row.cluster_id)):
        raise Invalid({"node": [f"does not have the guest's storage, {row.storage}"]})
