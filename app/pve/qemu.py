"""/nodes/{node}/qemu: virtual machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from app.domain.errors import PveLocked, PveRefused, PveTimeout
from app.domain.guests import CloudInit, Network
from app.domain.identifiers import GuestName, NodeName, PoolId, StorageId, Tag, Upid, VmId, Volid
from app.pve.answers import Row, rows, upid
from app.pve.cards import address_properties, nameservers, second_address_properties, ssh_keys, vm_card
from app.pve.guests import FileSystem, GuestApi, GuestStatus, Restore, outward
from app.pve.speaking import Scalar

AGENT_TIMEOUT = 3.0


@dataclass(frozen=True)
class VmSettings:
    """What a new VM and a clone are both given. `memory` MiB. Cores are on one socket."""

    name: GuestName
    memory: int
    cores: int
    net: Network = field(default_factory=Network)
    tags: tuple[Tag, ...] = ()
    cloud_init: CloudInit | None = None

    def wire(self) -> Mapping[str, Scalar]:
        return {
            "name": GuestName.parse(self.name),
            "memory": int(self.memory),
            "cores": int(self.cores),
            "sockets": 1,
            "net0": vm_card(self.net),
            "tags": ";".join(Tag.parse(tag) for tag in self.tags) or None,
            **(_cloud_init(self.cloud_init, self.net) if self.cloud_init is not None else {}),
        }


@dataclass(frozen=True)
class VmCreate:
    """A VM with an empty disk, and an ISO to install from; or with a disk as large as the `image` that it is a copy of.
    `disk_gb` GiB; `description` carries the mark."""

    settings: VmSettings
    storage: StorageId
    disk_gb: int
    pool: PoolId
    description: str
    iso: Volid | None = None
    image: Volid | None = None

    def wire(self) -> Mapping[str, Scalar]:
        storage = StorageId.parse(self.storage)
        boot = ["scsi0", *(["ide2"] if self.iso else []), *(["net0"] if self.settings.net.bridge else [])]
        return {
            **self.settings.wire(),
            "scsihw": "virtio-scsi-single",
            "scsi0": f"{storage}:0,import-from={Volid.parse(self.image)}"
            if self.image
            else f"{storage}:{int(self.disk_gb)}",
            "ide0": f"{storage}:cloudinit" if self.settings.cloud_init is not None else None,
            "ide2": f"{Volid.parse(self.iso)},media=cdrom" if self.iso else None,
            "boot": f"order={';'.join(boot)}",
            "ostype": "l26",
            "agent": "1",
            "pool": PoolId.parse(self.pool),
            "description": self.description,
        }


class VmApi(GuestApi):
    folder = "qemu"
    moving = ("move_disk", "disk")

    def create(self, *, spec: VmCreate) -> Upid:
        """Start `qmcreate`. Raises PveRefused, `pve.exists`."""
        return upid(self._client.post(self._path[:-1], {**spec.wire(), "vmid": self.vmid}))

    def clone(
        self, *, newid: VmId, name: GuestName, full: bool, pool: PoolId, description: str,
        storage: StorageId | None = None, target: NodeName | None = None,
    ) -> Upid:  # fmt: skip
        """Start `qmclone`; its UPID carries this, the source's, vmid. `storage` only with a full clone.

        The clone inherits the source's tags; `description` replaces the source's.
        """
        params: dict[str, Scalar] = {
            "newid": VmId.parse(newid),
            "name": GuestName.parse(name),
            "full": full,
            "pool": PoolId.parse(pool),
            "storage": None if storage is None else StorageId.parse(storage),
            "description": description,
            "target": None if target is None else NodeName.parse(target),
        }
        return upid(self._client.post((*self._path, "clone"), params))

    def set_log_in(self, *, password: str | None, keys: Sequence[str] | None) -> None:
        """By cloud-init, at the next boot. None stays; no keys at all takes them away."""
        given: dict[str, Scalar] = {"cipassword": password, "sshkeys": _quoted(keys or ())}
        gone = ["sshkeys"] if keys is not None and not keys else []
        self.update({name: value for name, value in given.items() if value is not None}, delete=gone)

    def make_template(self) -> Upid:
        return upid(self._client.post((*self._path, "template"), {}))

    def migrate(self, target: NodeName, *, running: bool) -> Upid:
        """A running VM goes on running."""
        live: dict[str, Scalar] = {"online": True, "with-local-disks": True} if running else {}
        return upid(self._client.post((*self._path, "migrate"), {"target": NodeName.parse(target), **live}))

    def restore(self, wanted: Restore) -> Upid:
        params: dict[str, Scalar] = {
            **wanted.wire(),
            "vmid": self.vmid,
            "archive": Volid.parse(wanted.archive),
            "name": GuestName.parse(wanted.name) if wanted.name is not None else None,
        }
        return upid(self._client.post(self._path[:-1], params))

    def destroy(self, *, purge: bool = True, force: bool = False) -> Upid:
        return upid(self._client.delete(self._path, {"purge": purge or None}))

    def file_systems(self, status: GuestStatus) -> list[FileSystem]:
        """As the guest's agent tells them, but for those without a size."""
        if status.status != "running" or not status.agent:
            return []
        try:
            answer = Row(self._client.ask_once((*self._path, "agent", "get-fsinfo"), timeout=AGENT_TIMEOUT))
        except (PveRefused, PveTimeout, PveLocked):
            return []
        found = [row for row in rows(answer.values.get("result")) if row.number("total-bytes")]
        return [
            FileSystem(row.text("mountpoint"), row.text("type"), row.number("total-bytes"), row.number("used-bytes"))
            for row in found
        ]

    def addresses(self) -> list[str]:
        """As the guest's agent tells them."""
        path = (*self._path, "agent", "network-get-interfaces")
        try:
            answer = Row(self._client.ask_once(path, timeout=AGENT_TIMEOUT))
        except (PveRefused, PveTimeout, PveLocked):
            return []
        return outward(
            address.text("ip-address")
            for interface in rows(answer.values.get("result"))
            for address in rows(interface.values.get("ip-addresses"))
        )


def _cloud_init(wanted: CloudInit, net: Network) -> Mapping[str, Scalar]:
    return {
        "ciuser": wanted.user,
        "cipassword": wanted.password,
        "sshkeys": _quoted(wanted.ssh_keys),
        "ipconfig0": ",".join(_addresses(wanted, net)),
        "nameserver": nameservers(wanted.nameserver) if wanted.nameserver else None,
        "searchdomain": wanted.searchdomain,
    }


def _addresses(wanted: CloudInit, net: Network) -> list[str]:
    own = wanted.ip is not None
    first = address_properties(wanted.ip or net.ip, wanted.gw if own else net.gw)
    return [*first, *second_address_properties(wanted.ip6, wanted.gw6)]


def _quoted(keys: Sequence[str]) -> str | None:
    """PVE wants the keys percent-encoded inside the form field: blanks as %20, never as plus."""
    lines = ssh_keys(keys)
    return quote(lines, safe="") if lines else None
