"""The driver over libvirt: the only module that imports its binding, which is not there on every host.

Import it by `app.qemu.opening`, which says so in words.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import libvirt
import libvirt_qemu
import structlog

from app.domain.errors import AppError, Conflict, Invalid, QemuAbsent, QemuAway, QemuConflict, QemuForeign, QemuRefused
from app.domain.identifiers import SnapshotName
from app.qemu import failures, guards, hosts, images, xml
from app.qemu.driver import Accelerator, Host
from app.qemu.machines import (
    BackupProgress,
    BackupState,
    Bus,
    Disk,
    DiskFigures,
    Figures,
    FileSystem,
    Format,
    GuestInfo,
    MacAddress,
    Machine,
    MachineId,
    Media,
    NetworkId,
    Nic,
    NicFigures,
    Picture,
    PowerState,
    Sighting,
    Snapshot,
    System,
)
from app.qemu.networks import Mode, Network

_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT = 5, 4
_AGENT_SECONDS = 5
_LARGEST_PICTURE = 32 << 20
_KIB = 1 << 10
_MIB_IN_KIB = 1 << 10

_STATES: Mapping[int, PowerState] = {
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
}
_PAUSED_BY: Mapping[int, str] = {
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "io-error",
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "watchdog",
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: "snapshot",
    libvirt.VIR_DOMAIN_PAUSED_SAVE: "snapshot",
}
_ON = (PowerState.RUNNING, PowerState.PAUSED)

_FORGET = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_TPM
)
_SEEN = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_VCPU | libvirt.VIR_DOMAIN_STATS_BALLOON
_MEASURED = (
    _SEEN | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_INTERFACE | libvirt.VIR_DOMAIN_STATS_BLOCK
)
_ASKED_OF_THE_AGENT = (
    libvirt.VIR_DOMAIN_GUEST_INFO_HOSTNAME
    | libvirt.VIR_DOMAIN_GUEST_INFO_OS
    | libvirt.VIR_DOMAIN_GUEST_INFO_USERS
    | libvirt.VIR_DOMAIN_GUEST_INFO_FILESYSTEM
    | libvirt.VIR_DOMAIN_GUEST_INFO_INTERFACES
)
_MARK_IS_AN_ELEMENT = libvirt.VIR_DOMAIN_METADATA_ELEMENT

log = structlog.get_logger(__name__)


class LibvirtDriver:
    """`HypervisorDriver` at `uri`. It connects when it is first asked, and again whenever the connection was lost; any
    number of threads may use it."""

    def __init__(self, uri: str, *, accelerator: Accelerator, guarded: guards.Guards | None = None) -> None:
        self._uri = uri
        self._accelerator = accelerator
        self._guards = guarded or guards.Guards()
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._tenants: dict[MachineId, str] = {}
        self._cards: dict[MachineId, tuple[int, dict[str, MacAddress]]] = {}
        self._filters_stand = False

    # -- all at once

    def host(self) -> Host:
        with self._speaking() as connection:
            facts = hosts.facts(connection.getInfo(), connection.getFreeMemory())
            capabilities = xml.parsed(self._capabilities(connection))
            return Host(
                hypervisor=f"QEMU {_version(connection.getVersion())}",
                library=f"libvirt {_version(connection.getLibVersion())}",
                accelerator=self._accelerator,
                cpu_models=hosts.cpu_models(capabilities),
                features=hosts.features(capabilities) | ({"networks"} if self._guards.installed() else frozenset()),
                **facts,
            )

    def machines(self) -> Mapping[MachineId, Sighting]:
        with self._speaking() as connection:
            records = connection.getAllDomainStats(_SEEN, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
            return {sighting.id: sighting for sighting in map(self._sighting, records) if sighting is not None}

    def statistics(self) -> Mapping[MachineId, Figures]:
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
        with self._speaking() as connection:
            records = connection.getAllDomainStats(_MEASURED, flags)
            return {figures.id: figures for figures in map(self._figures, records) if figures is not None}

    # -- a machine

    def define(self, machine: Machine) -> None:
        with self._speaking() as connection:
            self._found(connection, machine.id)
            self._ensure_filters(connection)
            connection.defineXML(xml.domain(machine, self._accelerator.type))

    def undefine(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            domain = self._found(connection, machine)
            if domain is None:
                return
            if domain.isActive():
                raise QemuConflict("The machine runs.", code="qemu.running")
            domain.undefineFlags(_FORGET)
            self._tenants.pop(machine, None)

    def sight(self, machine: MachineId) -> Sighting:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            records = connection.domainListGetStats([domain], _SEEN)
            sighting = self._sighting(records[0]) if records else None
            if sighting is None:
                raise QemuAbsent("libvirt has no such machine.")
            return sighting

    def start(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            match _state(domain):
                case PowerState.RUNNING:
                    return
                case PowerState.PAUSED:
                    domain.resume()
                case _:
                    _unless(domain.create, lambda: _state(domain) in _ON)

    def shutdown(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            match _state(domain):
                case PowerState.PAUSED:
                    raise QemuConflict("The machine is paused and cannot hear its power button.", code="qemu.paused")
                case PowerState.RUNNING:
                    press = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
                    _unless(lambda: domain.shutdownFlags(press), lambda: _state(domain) not in _ON)

    def destroy(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            domain = self._found(connection, machine)
            if domain is not None and domain.isActive():
                _unless(domain.destroy, lambda: not domain.isActive())

    def reboot(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            self._ours(connection, machine).reboot(0)

    def reset(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            self._ours(connection, machine).reset(0)

    def pause(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            if _state(domain) is not PowerState.PAUSED:
                domain.suspend()

    def resume(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            if _state(domain) is not PowerState.RUNNING:
                domain.resume()

    # -- devices

    def attach_disk(self, machine: MachineId, disk: Disk) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            if domain.isActive() and disk.bus is Bus.SATA:
                raise QemuConflict("A SATA disk is attached while the machine is stopped.", code="qemu.cold_only")
            wanted = xml.text(xml.disk(disk))
            for root, flag in _definitions(domain):
                there = xml.device(root, disk.target)
                if there is None:
                    domain.attachDeviceFlags(wanted, flag)
                elif xml.source_of(there) != str(disk.path):
                    raise Conflict("There is another disk in this place.", code="guest.devices")

    def detach_disk(self, machine: MachineId, disk: Disk) -> bool:
        def found(root: ET.Element) -> ET.Element | None:
            there = xml.device(root, disk.target)
            return there if there is not None and xml.source_of(there) == str(disk.path) else None

        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            if domain.isActive() and disk.bus is Bus.SATA:
                raise QemuConflict("A SATA disk is detached while the machine is stopped.", code="qemu.cold_only")
            return _detach(domain, found)

    def resize_disk(self, machine: MachineId, disk: Disk, size: int) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            if not domain.isActive():
                raise QemuConflict("The machine does not run.", code="qemu.stopped")
            if xml.device(_definition(domain), disk.target) is None:
                raise QemuAbsent("The machine has no such disk.")
            capacity = domain.blockInfo(disk.target)[0]
            if size < capacity:
                raise QemuConflict("A disk can only grow.")
            if size > capacity:
                domain.blockResize(disk.target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    def change_media(self, machine: MachineId, media: Media) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            for root, flag in _definitions(domain):
                there = xml.device(root, media.target)
                if there is None or there.get("device") != "cdrom":
                    raise QemuAbsent("The machine has no such drive.")
                if xml.source_of(there) != (str(media.path) if media.path else None):
                    target = there.find("target")
                    on_scsi = target is not None and target.get("bus") == "scsi"
                    wanted = xml.media(media, System.LINUX if on_scsi else System.OTHER)
                    domain.updateDeviceFlags(xml.text(wanted), flag | libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE)

    def attach_nic(self, machine: MachineId, nic: Nic) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            self._ensure_filters(connection)
            wanted = xml.nic(nic)
            for root, flag in _definitions(domain):
                there = xml.card(root, nic.mac)
                if there is None:
                    domain.attachDeviceFlags(xml.text(wanted), flag)
                elif not xml.same_card(there, wanted):
                    raise Conflict("There is another network card of this address.", code="guest.devices")

    def detach_nic(self, machine: MachineId, mac: MacAddress) -> bool:
        with self._speaking() as connection:
            return _detach(self._ours(connection, machine), lambda root: xml.card(root, mac))

    # -- snapshots

    def snapshots(self, machine: MachineId) -> Sequence[Snapshot]:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            found = [
                xml.snapshot_of(one.getXMLDesc(0), current=bool(one.isCurrent(0))) for one in domain.listAllSnapshots(0)
            ]
            return sorted(found, key=lambda one: (one.taken_at, one.name))

    def create_snapshot(self, machine: MachineId, name: SnapshotName, description: str) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            if _snapshot(domain, name) is None:
                domain.snapshotCreateXML(xml.snapshot(name, description), 0)

    def revert_snapshot(self, machine: MachineId, name: SnapshotName) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            # Forced: where its devices are others by now, libvirt starts the machine anew.
            flags = libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_FORCE
            domain.revertToSnapshot(domain.snapshotLookupByName(name, 0), flags)

    def delete_snapshot(self, machine: MachineId, name: SnapshotName) -> None:
        with self._speaking() as connection:
            found = _snapshot(self._ours(connection, machine), name)
            if found is not None:
                found.delete(0)

    # -- backup of a running machine

    def begin_backup(self, machine: MachineId, targets: Mapping[str, Path]) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            if not domain.isActive():
                raise QemuConflict("The machine does not run.", code="qemu.stopped")
            under_way = _backup_under_way(domain)
            if under_way is not None:
                if under_way == {name: str(path) for name, path in targets.items()}:
                    return
                raise QemuAway("The machine is busy with another backup.", code="qemu.busy")
            domain.jobStats(0)  # says at once what `backupBegin` would wait 30 s for: `qemu.backup_lost`
            names = xml.disk_names(_definition(domain))
            if not set(targets) <= set(names):
                raise QemuAbsent("The machine has no such disk.")
            for name, path in targets.items():  # made here, so that they are ours and not the daemon's
                images.create(path, Format.QCOW2, domain.blockInfo(name)[0])
            document = xml.backup(targets, [name for name in names if name not in targets])
            domain.backupBegin(document, None, libvirt.VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL)

    def backup_progress(self, machine: MachineId) -> BackupProgress:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            if not domain.isActive():
                return BackupProgress(BackupState.NONE)
            if _backup_under_way(domain) is not None:
                return _progress(domain.jobStats(0), BackupState.RUNNING)
            # libvirt 9.0 tells the end before QEMU has closed the files, whose tables are not written by then. It does
            # both in one job of the machine's, and this waits for its turn.
            domain.memoryStats()
            try:
                last = domain.jobStats(
                    libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
                )
            except libvirt.libvirtError:
                return BackupProgress(BackupState.NONE)
            if last.get("operation") != libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP:
                return BackupProgress(BackupState.NONE)
            ended_well = last.get("type") == libvirt.VIR_DOMAIN_JOB_COMPLETED and last.get("success", True)
            return _progress(last, BackupState.DONE if ended_well else BackupState.FAILED)

    def cancel_backup(self, machine: MachineId) -> None:
        with self._speaking() as connection:
            domain = self._found(connection, machine)
            if domain is not None and domain.isActive() and _backup_under_way(domain) is not None:
                _unless(domain.abortJob, lambda: _backup_under_way(domain) is None)

    # -- inside the guest

    def guest_info(self, machine: MachineId) -> GuestInfo | None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            try:
                domain.agentSetResponseTimeout(_AGENT_SECONDS, 0)
                answer = domain.guestInfo(_ASKED_OF_THE_AGENT, 0)
                uptime = _uptime(domain)
            except libvirt.libvirtError as error:
                if not connection.isAlive():
                    raise
                log.debug("qemu.agent_silent", machine=machine, error=str(error))
                return None
            return _guest_info(answer, uptime)

    def set_password(self, machine: MachineId, user: str, password: str) -> None:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            domain.agentSetResponseTimeout(_AGENT_SECONDS, 0)
            domain.setUserPassword(user, password, 0)

    def picture(self, machine: MachineId) -> Picture:
        with self._speaking() as connection:
            domain = self._ours(connection, machine)
            stream = connection.newStream(0)
            media_type = domain.screenshot(stream, 0, 0)
            parts: list[bytes] = []

            def take(_stream: object, part: bytes, _opaque: object) -> int:
                parts.append(part)
                return -1 if sum(map(len, parts)) > _LARGEST_PICTURE else 0

            stream.recvAll(take, None)
            stream.finish()
            return Picture(str(media_type), b"".join(parts))

    # -- networks

    def ensure_network(self, network: Network) -> None:
        with self._speaking() as connection:
            self._ensure_filters(connection)
            found = _network(connection, network.id)
            if found is None or not found.isActive():
                self._begin(connection, network, found)
            else:
                _adjust(found, network)
            self._prove(connection, network)

    def remove_network(self, network: NetworkId) -> None:
        with self._speaking() as connection:
            found = _network(connection, network)
            if found is None:
                return
            if found.isActive():
                if found.listAllPorts(0):
                    raise QemuConflict("Running machines are in this network.", code="qemu.network_in_use")
                _unless(found.destroy, lambda: not found.isActive())
            found.undefine()

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    # -- speaking

    @contextmanager
    def _speaking(self) -> Iterator[libvirt.virConnect]:
        """libvirt's errors come out as ours."""
        try:
            yield self._connected()
        except libvirt.libvirtError as error:
            raise self._translated(error) from error

    def _connected(self) -> libvirt.virConnect:
        with self._lock:
            if self._connection is None or not self._connection.isAlive():
                _run_events()
                self._filters_stand = False
                try:
                    self._connection = libvirt.open(self._uri)
                except libvirt.libvirtError as error:
                    raise failures.away(str(error)) from error
                with contextlib.suppress(libvirt.libvirtError):  # libvirt's own test driver has none
                    self._connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
            return self._connection

    def _translated(self, error: libvirt.libvirtError) -> AppError:
        connection = self._connection
        if connection is None or not connection.isAlive():
            return failures.away(str(error))
        return failures.from_libvirt(error.get_error_code() or 0, str(error))

    # -- finding

    def _ours(self, connection: libvirt.virConnect, machine: MachineId) -> libvirt.virDomain:
        """Raises QemuAbsent, QemuForeign."""
        domain = connection.lookupByUUIDString(MachineId.parse(machine))
        self._tenants[machine] = _mark_of(domain, machine)
        return domain

    def _found(self, connection: libvirt.virConnect, machine: MachineId) -> libvirt.virDomain | None:
        try:
            return self._ours(connection, machine)
        except libvirt.libvirtError as error:
            if error.get_error_code() == failures.NO_DOMAIN:
                return None
            raise

    def _tenant(self, domain: libvirt.virDomain) -> str | None:
        """None for a stranger's, and for one that is going at this moment."""
        machine = MachineId(domain.UUIDString())
        if domain.name() != xml.name_of(machine):
            return None
        if machine not in self._tenants:
            try:
                self._tenants[machine] = _mark_of(domain, machine)
            except (libvirt.libvirtError, QemuForeign):
                return None
        return self._tenants[machine]

    def _sighting(self, record: tuple[libvirt.virDomain, Mapping[str, Any]]) -> Sighting | None:
        domain, said = record
        tenant = self._tenant(domain)
        state = _STATES.get(said.get("state.state", -1))
        if tenant is None or state is None:
            return None
        paused = state is PowerState.PAUSED
        return Sighting(
            id=MachineId(domain.UUIDString()),
            tenant=tenant,
            state=state,
            memory=said.get("balloon.maximum", 0) // _MIB_IN_KIB,
            cores=said.get("vcpu.current", 0),
            paused_by=_PAUSED_BY.get(said.get("state.reason", -1)) if paused else None,
        )

    def _figures(self, record: tuple[libvirt.virDomain, Mapping[str, Any]]) -> Figures | None:
        domain, said = record
        state = _STATES.get(said.get("state.state", -1))
        if self._tenant(domain) is None or state is None:
            return None
        machine = MachineId(domain.UUIDString())
        return _figures(machine, state, said, self._cards_of(machine, domain, said.get("net.count", 0)))

    def _cards_of(self, machine: MachineId, domain: libvirt.virDomain, count: int) -> Mapping[str, MacAddress]:
        """Kept for as long as the machine runs with as many cards."""
        run = domain.ID()
        kept = self._cards.get(machine)
        if kept is None or kept[0] != run or len(kept[1]) != count:
            try:
                kept = (run, xml.cards(_definition(domain)))
            except libvirt.libvirtError:  # it has just ended
                return {}
            self._cards[machine] = kept
        return kept[1]

    # -- networks and filters

    def _ensure_filters(self, connection: libvirt.virConnect) -> None:
        """Once a connection, and again after the daemon was restarted: cards whose filter is missing do not start."""
        if not self._filters_stand:
            for name in (xml.NETWORK_FILTER, xml.LAN_FILTER):
                try:
                    connection.nwfilterDefineXML(xml.network_filter(name))
                except libvirt.libvirtError as error:
                    if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:  # libvirt's own test driver
                        raise
            self._filters_stand = True

    def _begin(self, connection: libvirt.virConnect, network: Network, found: libvirt.virNetwork | None) -> None:
        if found is not None:
            _refuse_another_shape(found, network)
        defined = connection.networkDefineXML(xml.network(network))
        defined.setAutostart(True)
        try:
            _unless(defined.create, lambda: bool(defined.isActive()))
        except libvirt.libvirtError:
            if found is None:
                defined.undefine()
            raise

    def _prove(self, connection: libvirt.virConnect, network: Network) -> None:
        """That the hook has done what the network's definition says; a network that it did not guard is stopped."""
        if connection.getType() != "QEMU" or self._guards.stands(network):
            return
        with contextlib.suppress(libvirt.libvirtError):
            connection.networkLookupByUUIDString(network.id).destroy()
        raise QemuRefused(
            "What keeps this network's guests from the host is not installed.",
            code="qemu.network_unguarded", remedy="Run `make qemu` as root.",
        )  # fmt: skip

    def _capabilities(self, connection: libvirt.virConnect) -> str:
        kind = "kvm" if self._accelerator.type == "kvm" else "qemu"
        return str(connection.getDomainCapabilities(None, "x86_64", "q35", kind, 0))


_events_lock = threading.Lock()
_events_run = False


def _run_events() -> None:
    """libvirt's event loop, once a process: it notices a daemon that has died or hangs."""
    global _events_run
    with _events_lock:
        if _events_run:
            return
        libvirt.virEventRegisterDefaultImpl()
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        threading.Thread(target=_turn_events, name="libvirt-events", daemon=True).start()
        _events_run = True


def _turn_events() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.warning("qemu.event_loop_broken", exc_info=True)
            time.sleep(1)


def _unless(act: Callable[[], object], so_already: Callable[[], bool]) -> None:
    """`act`, whose refusal counts for nothing where what it is for has happened meanwhile."""
    try:
        act()
    except libvirt.libvirtError:
        try:
            happened = so_already()
        except libvirt.libvirtError:
            happened = False
        if not happened:
            raise


def _mark_of(domain: libvirt.virDomain, machine: MachineId) -> str:
    """The tenant. Raises QemuForeign."""
    try:
        mark = xml.parsed(domain.metadata(_MARK_IS_AN_ELEMENT, xml.MARK, 0))
    except libvirt.libvirtError as error:
        if error.get_error_code() != failures.NO_METADATA:
            raise
        raise QemuForeign("This machine was not made by Poolhouse.") from None
    if mark.get("id") != machine:
        raise QemuForeign("This machine carries the mark of another one.")
    return xml.tenant_of(mark)


def _state(domain: libvirt.virDomain) -> PowerState:
    return _STATES.get(domain.state()[0], PowerState.STOPPED)


def _definition(domain: libvirt.virDomain, flags: int = 0) -> ET.Element:
    return xml.parsed(domain.XMLDesc(flags))


def _definitions(domain: libvirt.virDomain) -> list[tuple[ET.Element, int]]:
    """The kept one, and the running machine's if it runs, each with the flag that changes it."""
    kept = (_definition(domain, libvirt.VIR_DOMAIN_XML_INACTIVE), libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    if not domain.isActive():
        return [kept]
    # The running one first: it is the one that may refuse.
    return [(_definition(domain), libvirt.VIR_DOMAIN_AFFECT_LIVE), kept]


def _detach(domain: libvirt.virDomain, find: Callable[[ET.Element], ET.Element | None]) -> bool:
    for root, flag in _definitions(domain):
        there = find(root)
        if there is not None:
            with _patience():
                domain.detachDeviceFlags(xml.text(there), flag)
    return not domain.isActive() or find(_definition(domain)) is None


@contextmanager
def _patience() -> Iterator[None]:
    """A guest that has been asked to let go of a device, and has not done so yet, is no failure."""
    try:
        yield
    except libvirt.libvirtError as error:
        if not re.search(r"in the process of unplug|unplug of device was rejected|not found", str(error)):
            raise


def _snapshot(domain: libvirt.virDomain, name: SnapshotName) -> libvirt.virDomainSnapshot | None:
    try:
        return domain.snapshotLookupByName(name, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.NO_SNAPSHOT:
            return None
        raise


def _backup_under_way(domain: libvirt.virDomain) -> dict[str, str] | None:
    try:
        return xml.backup_targets(domain.backupGetXMLDesc(0))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_BACKUP:
            return None
        raise


def _progress(said: Mapping[str, Any], state: BackupState) -> BackupProgress:
    return BackupProgress(
        state=state,
        done=said.get("disk_processed", 0),
        total=said.get("disk_total", 0),
        error=said.get("errmsg") if state is BackupState.FAILED else None,
    )


def _figures(
    machine: MachineId, state: PowerState, said: Mapping[str, Any], cards: Mapping[str, MacAddress]
) -> Figures:
    """Out of `virConnectGetAllDomainStats`: block.N.*, net.N.*, balloon.* (KiB), cpu.time (ns)."""
    disks = [
        DiskFigures(
            target=said[f"block.{at}.name"],
            read_bytes=said.get(f"block.{at}.rd.bytes", 0),
            written_bytes=said.get(f"block.{at}.wr.bytes", 0),
            reads=said.get(f"block.{at}.rd.reqs", 0),
            writes=said.get(f"block.{at}.wr.reqs", 0),
            capacity=said.get(f"block.{at}.capacity"),
            allocation=said.get(f"block.{at}.allocation"),
        )
        for at in range(said.get("block.count", 0))
        if f"block.{at}.backingIndex" not in said or said.get(f"block.{at}.path")
    ]

    nics = [
        NicFigures(
            mac=cards.get(said[f"net.{at}.name"]),
            received=said.get(f"net.{at}.rx.bytes", 0),
            sent=said.get(f"net.{at}.tx.bytes", 0),
            received_packets=said.get(f"net.{at}.rx.pkts", 0),
            sent_packets=said.get(f"net.{at}.tx.pkts", 0),
        )
        for at in range(said.get("net.count", 0))
        if f"net.{at}.name" in said
    ]
    available, unused = said.get("balloon.available"), said.get("balloon.usable", said.get("balloon.unused"))
    resident = said.get("balloon.rss")
    return Figures(
        id=machine,
        state=state,
        cpu_seconds=said.get("cpu.time", 0) / 1e9,
        cores=said.get("vcpu.current", 0),
        memory=said.get("balloon.current", 0) // _MIB_IN_KIB,
        memory_used=None if available is None or unused is None else (available - unused) // _MIB_IN_KIB,
        memory_resident=None if resident is None else resident // _MIB_IN_KIB,
        disks=tuple(disks),
        nics=tuple(nics),
    )


def _guest_info(said: Mapping[str, Any], uptime: int | None) -> GuestInfo:
    """Out of `virDomainGetGuestInfo`."""
    addresses = [
        str(said[f"if.{at}.addr.{number}.addr"])
        for at in range(said.get("if.count", 0))
        if said.get(f"if.{at}.name") != "lo"
        for number in range(said.get(f"if.{at}.addr.count", 0))
    ]
    systems = [
        FileSystem(
            mountpoint=str(said.get(f"fs.{at}.mountpoint", "")),
            device=str(said.get(f"fs.{at}.name", "")),
            type=str(said.get(f"fs.{at}.fstype", "")),
            total=said.get(f"fs.{at}.total-bytes"),
            used=said.get(f"fs.{at}.used-bytes"),
        )
        for at in range(said.get("fs.count", 0))
    ]
    users = [str(said[f"user.{at}.name"]) for at in range(said.get("user.count", 0))]
    return GuestInfo(
        hostname=said.get("hostname"),
        system=said.get("os.pretty-name") or said.get("os.name"),
        kernel=said.get("os.kernel-release"),
        users=tuple(dict.fromkeys(users)),
        addresses=tuple(addresses),
        file_systems=tuple(systems),
        uptime=uptime,
    )


def _uptime(domain: libvirt.virDomain) -> int | None:
    """Of a Linux guest: the agent has no word for it, but opens files."""

    def ask(command: str, **arguments: object) -> Any:
        text = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(libvirt_qemu.qemuAgentCommand(domain, text, _AGENT_SECONDS, 0))["return"]

    try:
        handle = ask("guest-file-open", path="/proc/uptime", mode="r")
        try:
            said = ask("guest-file-read", handle=handle, count=64)
        finally:
            ask("guest-file-close", handle=handle)
        return int(float(base64.b64decode(said["buf-b64"]).split()[0]))
    except (libvirt.libvirtError, LookupError, TypeError, ValueError):
        return None


def _network(connection: libvirt.virConnect, network: NetworkId) -> libvirt.virNetwork | None:
    """Raises QemuForeign."""
    try:
        found = connection.networkLookupByUUIDString(NetworkId.parse(network))
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.NO_NETWORK:
            return None
        raise
    mark = xml.parsed(found.XMLDesc(0)).find(f"./metadata/{{{xml.MARK}}}network")
    if mark is None or mark.get("id") != network:
        raise QemuForeign("This network was not made by Poolhouse.")
    return found


def _refuse_another_shape(found: libvirt.virNetwork, network: Network) -> None:
    root = xml.parsed(found.XMLDesc(0))
    if xml.subnet_of(root) != f"{network.gateway}/{network.subnet.prefixlen}":
        raise Invalid({"subnet": ["cannot be changed."]})
    if (root.find("forward") is not None) != (network.mode is Mode.NAT):
        raise Invalid({"mode": ["cannot be changed."]})


def _adjust(found: libvirt.virNetwork, network: Network) -> None:
    """What goes before what comes: an address or a port may have changed hands."""
    _refuse_another_shape(found, network)
    root = xml.parsed(found.XMLDesc(0))
    both = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG

    def change(command: int, section: int, element: ET.Element) -> None:
        found.update(command, section, -1, xml.text(element), both)

    forwards, reservations = xml.forwards_of(root), xml.reservations_of(root)
    drop, add = libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
    names, hosts_ = libvirt.VIR_NETWORK_SECTION_DNS_TXT, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
    for gone in forwards.keys() - set(network.forwards):
        change(drop, names, forwards[gone])
    for left in reservations.keys() - set(network.reservations):
        change(drop, hosts_, reservations[left])
    for came in set(network.reservations) - reservations.keys():
        change(add, hosts_, xml.reservation(came))
    for new in set(network.forwards) - forwards.keys():
        change(add, names, xml.forward(new))


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
