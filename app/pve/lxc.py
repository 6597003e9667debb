"""/nodes/{node}/lxc: containers, unprivileged without exception."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.errors import PveLocked, PveRefused, PveTimeout
from app.domain.guests import Network
from app.domain.identifiers import GuestName, NodeName, PoolId, StorageId, Tag, Upid, VmId, Volid
from app.pve.answers import Row, rows, upid
from app.pve.cards import container_card, ssh_keys
from app.pve.guests import FileSystem, GuestApi, GuestStatus, Restore, outward
from app.pve.speaking import Scalar

ADDRESSES_TIMEOUT = 3.0


@dataclass(frozen=True)
class ContainerSettings:
    """What a new container and a clone are both given. `memory`, `swap` MiB. Without `nesting` features stay as they
    are."""

    hostname: GuestName
    memory: int
    swap: int
    cores: int
    net: Network = field(default_factory=Network)
    tags: tuple[Tag, ...] = ()
    nesting: bool = False

    def wire(self) -> Mapping[str, Scalar]:
        return {
            "hostname": GuestName.parse(self.hostname),
            "memory": int(self.memory),
            "swap": int(self.swap),
            "cores": int(self.cores),
            "net0": container_card(self.net),
            "tags": ";".join(Tag.parse(tag) for tag in self.tags) or None,
            **({"features": "nesting=1"} if self.nesting else {}),
        }


@dataclass(frozen=True)
class ContainerCreate:
    """What goes on the wire for a new container out of an archive. `disk_gb` GiB; `description` carries the mark.

    No tags: PVE 9.1 refuses them to a tenant's token at a container's creation.
    """

    settings: ContainerSettings
    ostemplate: Volid
    storage: StorageId
    disk_gb: int
    pool: PoolId
    description: str
    ssh_keys: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)

    def wire(self) -> Mapping[str, Scalar]:
        return {
            **self.settings.wire(),
            "tags": None,
            "ostemplate": Volid.parse(self.ostemplate),
            "rootfs": f"{StorageId.parse(self.storage)}:{int(self.disk_gb)}",
            "pool": PoolId.parse(self.pool),
            "description": self.description,
            "ssh-public-keys": ssh_keys(self.ssh_keys) or None,
            "password": self.password,
        }


class ContainerApi(GuestApi):
    folder = "lxc"
    moving = ("move_volume", "volume")

    def create(self, *, spec: ContainerCreate) -> Upid:
        """Start `vzcreate`. The guest joins its pool when the task ends. Raises PveRefused, `pve.exists`."""
        params = {**spec.wire(), "vmid": self.vmid, "unprivileged": True}
        return upid(self._client.post(self._path[:-1], params))

    def clone(
        self, *, newid: VmId, name: GuestName, full: bool, pool: PoolId, description: str,
        storage: StorageId | None = None, target: NodeName | None = None,
    ) -> Upid:  # fmt: skip
        """Start `vzclone`; its UPID carries this, the source's, vmid. A privileged source is refused here.

        PVE lets anybody who may clone make a privileged container out of a privileged one (measured on 9.1).
        """
        if not self.config().unprivileged:
            raise PveRefused("The source is a privileged container.", code="policy.privileged_guest")
        params: dict[str, Scalar] = {
            "newid": VmId.parse(newid),
            "hostname": GuestName.parse(name),
            "full": full,
            "pool": PoolId.parse(pool),
            "storage": None if storage is None else StorageId.parse(storage),
            "description": description,
            "target": None if target is None else NodeName.parse(target),
        }
        return upid(self._client.post((*self._path, "clone"), params))

    def make_template(self) -> Upid | None:
        """PVE answers nothing, although a task runs (measured on 9.1)."""
        self._client.post((*self._path, "template"), {})
        return self.find_task("vztemplate", since=time.time())

    def migrate(self, target: NodeName, *, running: bool) -> Upid:
        """A running container is stopped here and started there."""
        params: dict[str, Scalar] = {"target": NodeName.parse(target), "restart": running or None}
        return upid(self._client.post((*self._path, "migrate"), params))

    def restore(self, wanted: Restore) -> Upid:
        params: dict[str, Scalar] = {
            **wanted.wire(),
            "vmid": self.vmid,
            "ostemplate": Volid.parse(wanted.archive),
            "restore": True,
            "unprivileged": True,
            "hostname": GuestName.parse(wanted.name) if wanted.name is not None else None,
        }
        return upid(self._client.post(self._path[:-1], params))

    def destroy(self, *, purge: bool = True, force: bool = False) -> Upid:
        return upid(self._client.delete(self._path, {"purge": purge or None, "force": force or None}))

    def file_systems(self, status: GuestStatus) -> list[FileSystem]:
        """Its root, which PVE itself looks into while it runs."""
        return [FileSystem("/", "", status.maxdisk, status.disk)] if status.status == "running" else []

    def addresses(self) -> list[str]:
        try:
            answer = self._client.ask_once((*self._path, "interfaces"), timeout=ADDRESSES_TIMEOUT)
        except (PveRefused, PveTimeout, PveLocked):
            return []
        return outward(address for row in rows(answer) for address in _of_interface(row))


def _of_interface(row: Row) -> list[str]:
    listed = [one.text("ip-address") for one in rows(row.values.get("ip-addresses"))]
    return listed or [row.text("inet"), row.text("inet6")]
