"""What a test of real machines needs: files, a driver, machines of the tiny guest, networks."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from app.qemu.driver import Accelerator, HypervisorDriver
from app.qemu.guards import Guards
from app.qemu.images import FileId, Files, Kind
from app.qemu.machines import Disk, Format, MacAddress, Machine, MachineId, NetworkId, Nic, OnNetwork
from app.qemu.networks import Mode, Network, Reservation
from app.qemu.opening import open_driver
from tests.qemu.daemon import Libvirtd
from tests.qemu.guests.build import Guests
from tests.qemu.inside import Inside

EMULATED = Accelerator("tcg", "for tests")


@dataclass
class Room:
    libvirtd: Libvirtd
    driver: HypervisorDriver
    files: Files
    image: Path
    unsigned: Path
    machines: list[Machine] = field(default_factory=list)
    networks: list[NetworkId] = field(default_factory=list)

    @classmethod
    def open(cls, libvirtd: Libvirtd, guests: Guests) -> Room:
        state = libvirtd.state_dir()
        files = Files(state / "qemu")
        files.prepare()
        guarded = Guards(libvirtd.hook, libvirtd.told)
        driver = open_driver(libvirtd.uri, accelerator=EMULATED, guarded=guarded)
        return cls(libvirtd, driver, files, _kept(files, guests.tiny), _kept(files, guests.unsigned))

    def network(self, subnet: str, mode: Mode = Mode.NAT, tenant: str = "a") -> Network:
        """Up, with the first of its addresses reserved for the first of our cards in it, and so on."""
        network = Network(NetworkId(str(uuid.uuid4())), tenant, mode, IPv4Network(subnet))
        self.networks.append(network.id)
        self.driver.ensure_network(network)
        return network

    def machine(self, *, image: Path | None = None, nics: tuple[Nic, ...] = (), **more: Any) -> Machine:
        """Defined, on an overlay of the tiny guest's image; not started."""
        identifier = MachineId(str(uuid.uuid4()))
        folder = self.files.machine(identifier)
        disk = self.files.disk(identifier)
        self.files.overlay(disk, image or self.image, Format.QCOW2)
        given: dict[str, Any] = {
            "id": identifier, "tenant": "a", "name": "tiny", "memory": 256, "cores": 1, "folder": folder,
            "disks": (Disk(0, disk, Format.QCOW2),), "nics": nics, **more,
        }  # fmt: skip
        machine = Machine(**given)
        self.machines.append(machine)
        self.driver.define(machine)
        return machine

    def start(self, *machines: Machine) -> list[Inside]:
        """All at once, and wait for them."""
        for machine in machines:
            self.driver.start(machine.id)
        guests = [self.inside(machine) for machine in machines]
        for guest in guests:
            guest.wait_ready()
        return guests

    def inside(self, machine: Machine) -> Inside:
        return Inside(self.libvirtd.uri, machine.id, machine.serial_log)

    def close(self) -> None:
        for machine in self.machines:
            self.driver.destroy(machine.id)
            self.driver.undefine(machine.id)
        for network in self.networks:
            self.driver.remove_network(network)
        self.driver.close()


def _kept(files: Files, image: Path) -> Path:
    place = files.image(FileId(str(uuid.uuid4())), Kind.QCOW2)
    shutil.copy(image, place)
    place.chmod(0o660)
    return place


def card(network: Network, number: int) -> tuple[Nic, Network]:
    """A network card, and the network with an address reserved for it."""
    mac = MacAddress(f"52:54:00:{int(network.id[:2], 16):02x}:00:{number:02x}")
    address = IPv4Address(int(network.gateway) + 8 + number)
    kept = (*network.reservations, Reservation(mac, address))
    return Nic(mac, OnNetwork(network.id)), replace(network, reservations=kept)
