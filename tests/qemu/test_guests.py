"""Real guests at a real libvirt, looked at from inside: L83 to L90, L93, L94."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from app.domain.errors import Conflict, QemuAbsent, QemuAway, QemuConflict, QemuForeign
from app.domain.identifiers import SnapshotName
from app.qemu import cloudinit
from app.qemu.images import FileId
from app.qemu.machines import (
    BackupState,
    Bus,
    Disk,
    Firmware,
    Format,
    MacAddress,
    Machine,
    MachineId,
    Media,
    NetworkId,
    Nic,
    NicModel,
    OnNetwork,
    PowerState,
)
from app.qemu.networks import Forward, Mode, Network, Protocol
from tests.qemu.daemon import wait_for
from tests.qemu.inside import Inside
from tests.qemu.room import Room, card

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MIB = 1 << 20
#: Beyond the last partition of the tiny guest's disk.
FREE_AT = 50


@pytest.fixture(scope="module")
def nets(room: Room) -> tuple[Network, Network]:
    """Of two tenants, with an address reserved for each one's machine."""
    mine, theirs = room.network("10.91.1.0/24", tenant="a"), room.network("10.91.2.0/24", tenant="b")
    found = card(mine, 1)[1], card(theirs, 1)[1]
    for network in found:
        room.driver.ensure_network(network)
    return found


@pytest.fixture(scope="module")
def pair(room: Room, nets: tuple[Network, Network]) -> list[tuple[Machine, Inside]]:
    """A running machine of each of two tenants; the first has a seed, a free drive and a stranger's machine beside."""
    mine, theirs = nets
    others = [
        Nic(MacAddress(f"52:54:00:00:88:0{number}"), OnNetwork(mine.id), model)
        for number, model in enumerate((NicModel.E1000, NicModel.RTL8139))
    ]
    nics = (card(replace(mine, reservations=()), 1)[0], *others)
    first = room.machine(nics=nics, media=(Media(0), Media(1)))
    cloudinit.write(cloudinit.Seed(first.id, "web"), room.files.seed(first.id))
    first = replace(first, media=(Media(0), Media(1, room.files.seed(first.id))))
    room.driver.define(first)
    second = room.machine(nics=(card(replace(theirs, reservations=()), 1)[0],), tenant="b")
    return list(zip((first, second), room.start(first, second), strict=True))


@pytest.fixture
def machine(pair: list[tuple[Machine, Inside]]) -> Machine:
    return pair[0][0]


@pytest.fixture
def inside(pair: list[tuple[Machine, Inside]]) -> Inside:
    return pair[0][1]


def volume(room: Room, size: int = 32 * MIB, bus: Bus = Bus.SCSI, slot: int = 1, format: Format = Format.QCOW2) -> Disk:  # noqa: A002
    identifier = FileId(str(uuid.uuid4()))
    path = room.files.volume(identifier, format)
    room.files.create(path, format, size)
    return Disk(slot, path, format, bus, serial=identifier[:18])


def test_a_machine_is_what_was_asked_for(room: Room, machine: Machine, inside: Inside) -> None:
    """L93, L92: processors, memory, address, seed, as the guest sees them."""
    assert inside.output("nproc") == "1"
    assert int(inside.output("sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo")) > 180 << 10
    assert "SEED web" in inside.said()
    assert "ADDRESS eth0 10.91.1.10" in inside.said()
    assert inside.output("cat /sys/class/net/eth0/address") == machine.nics[0].mac
    # The tiny kernel has no driver for the other cards: virtio, e1000 and rtl8139 are seen as PCI devices.
    vendors = inside.output("cat $(grep -l 0x020000 /sys/bus/pci/devices/*/class | sed s/class/vendor/)")
    assert sorted(vendors.split()) == ["0x10ec", "0x1af4", "0x8086"]
    assert room.driver.sight(machine.id).state is PowerState.RUNNING
    assert room.driver.machines()[machine.id].tenant == "a"


def test_asking_again_changes_nothing(room: Room, machine: Machine, nets: tuple[Network, Network]) -> None:
    room.driver.define(machine)
    room.driver.start(machine.id)
    room.driver.resume(machine.id)
    room.driver.ensure_network(nets[0])
    assert room.driver.sight(machine.id).state is PowerState.RUNNING
    nobody, nothing = MachineId(str(uuid.uuid4())), NetworkId(str(uuid.uuid4()))
    room.driver.destroy(nobody)
    room.driver.undefine(nobody)
    room.driver.cancel_backup(nobody)
    room.driver.remove_network(nothing)
    with pytest.raises(QemuAbsent):
        room.driver.start(nobody)
    with pytest.raises(QemuConflict) as refused:
        room.driver.undefine(machine.id)
    assert refused.value.code == "qemu.running"


def test_the_agent_tells_of_the_guest(room: Room, machine: Machine, inside: Inside) -> None:
    found = room.driver.guest_info(machine.id)
    assert found is not None
    assert found.hostname == "web"
    assert "10.91.1.10" in found.addresses
    assert found.kernel == inside.output("uname -r")
    assert found.uptime is not None


def test_l84_a_strangers_machine_is_never_touched(room: Room) -> None:
    import libvirt

    stranger = str(uuid.uuid4())
    kept = f"<domain type='qemu'><name>stranger</name><uuid>{stranger}</uuid><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"  # fmt: skip  # noqa: E501
    connection = libvirt.open(room.libvirtd.uri)
    domain = connection.defineXML(kept)
    domain.create()
    try:
        theirs = MachineId(stranger)
        for act in (room.driver.destroy, room.driver.undefine, room.driver.start, room.driver.shutdown):
            with pytest.raises(QemuForeign):
                act(theirs)
        with pytest.raises(QemuForeign):
            room.driver.define(replace(room.machines[0], id=theirs))
        assert theirs not in room.driver.machines()
        assert theirs not in room.driver.statistics()
        assert domain.isActive()
    finally:
        domain.destroy()
        domain.undefine()
        connection.close()


def test_l93_a_disk_is_attached_grown_and_detached_while_it_runs(room: Room, machine: Machine, inside: Inside) -> None:
    disk = volume(room)
    for _ in range(2):
        room.driver.attach_disk(machine.id, disk)
    wait_for(lambda: "sda" in inside.output("ls /sys/block"), "the disk inside")
    assert inside.output("cat /sys/block/sda/size") == str(32 * MIB // 512)
    for _ in range(2):
        room.driver.resize_disk(machine.id, disk, 48 * MIB)
    wait_for(lambda: inside.output("cat /sys/block/sda/size") == str(48 * MIB // 512), "the growth inside")
    with pytest.raises(QemuConflict):
        room.driver.resize_disk(machine.id, disk, 32 * MIB)
    with pytest.raises(Conflict) as taken:
        room.driver.attach_disk(machine.id, volume(room))
    assert taken.value.code == "guest.devices"
    wait_for(lambda: room.driver.detach_disk(machine.id, disk), "the guest's letting go")
    assert room.driver.detach_disk(machine.id, disk)
    assert "sda" not in inside.output("ls /sys/block")
    with pytest.raises(QemuConflict) as cold:
        room.driver.attach_disk(machine.id, volume(room, bus=Bus.SATA))
    assert cold.value.code == "qemu.cold_only"


def test_a_virtio_disk_and_a_card_are_attached_and_detached_while_it_runs(
    room: Room, machine: Machine, inside: Inside, nets: tuple[Network, Network]
) -> None:
    disk, nic = volume(room, bus=Bus.VIRTIO), Nic(MacAddress("52:54:00:00:77:01"), OnNetwork(nets[0].id))
    for _ in range(2):
        room.driver.attach_disk(machine.id, disk)
        room.driver.attach_nic(machine.id, nic)
    wait_for(lambda: "vdb" in inside.output("ls /sys/block"), "the disk inside")
    wait_for(lambda: nic.mac in inside.output("cat /sys/class/net/*/address"), "the card inside")
    with pytest.raises(Conflict):
        room.driver.attach_nic(machine.id, replace(nic, link=OnNetwork(nets[1].id)))
    wait_for(lambda: room.driver.detach_disk(machine.id, disk), "the disk's going")
    wait_for(lambda: room.driver.detach_nic(machine.id, nic.mac), "the card's going")
    assert room.driver.detach_nic(machine.id, nic.mac)
    assert nic.mac not in inside.output("cat /sys/class/net/*/address")


def test_a_disc_is_put_into_a_drive_and_taken_out(room: Room, machine: Machine, inside: Inside) -> None:
    other = room.files.machine(machine.id) / "other.iso"
    cloudinit.write(cloudinit.Seed(machine.id, "other"), other)
    for _ in range(2):
        room.driver.change_media(machine.id, Media(0, other))
    read = "for d in /dev/sr*; do mount -o ro $d /mnt 2>/dev/null && cat /mnt/meta-data && umount /mnt; done; true"
    wait_for(lambda: "other" in inside.output(read), "the disc inside")
    for _ in range(2):
        room.driver.change_media(machine.id, Media(0))
    assert "other" not in inside.output(read)
    with pytest.raises(QemuAbsent):
        room.driver.change_media(machine.id, Media(3, other))


def test_l88_snapshots_of_a_running_machine(room: Room, machine: Machine, inside: Inside) -> None:
    name = SnapshotName("before")
    write = f"dd if=/root/word of=/dev/vda bs=1M seek={FREE_AT} conv=fsync 2>/dev/null"
    read = f"echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda bs=1M skip={FREE_AT} count=1 2>/dev/null | head -c 5"
    inside.output(f"echo first >/root/word; {write}")
    for _ in range(2):
        room.driver.create_snapshot(machine.id, name, "<before> & after")
    inside.output(f"echo other >/root/word; {write}")
    assert inside.output(read) == "other"
    found = room.driver.snapshots(machine.id)
    assert [(one.name, one.description, one.running) for one in found] == [(name, "<before> & after", True)]
    for _ in range(2):
        room.driver.revert_snapshot(machine.id, name)
    inside.wait_ready()
    assert inside.output("cat /root/word") == "first"
    assert inside.output(read) == "first"
    for _ in range(2):
        room.driver.delete_snapshot(machine.id, name)
    assert room.driver.snapshots(machine.id) == []
    assert room.files.info(machine.disks[0].path, Format.QCOW2).snapshots == ()
    with pytest.raises(QemuAbsent):
        room.driver.revert_snapshot(machine.id, name)


def test_a_raw_disk_keeps_no_snapshots(room: Room, machine: Machine) -> None:
    disk = volume(room, format=Format.RAW)
    room.driver.attach_disk(machine.id, disk)
    with pytest.raises(QemuConflict) as refused:
        room.driver.create_snapshot(machine.id, SnapshotName("before"), "")
    assert refused.value.code == "qemu.snapshot_unsupported"
    wait_for(lambda: room.driver.detach_disk(machine.id, disk), "the disk's going")


def test_l87_a_backup_of_a_running_overlay_is_whole(room: Room, machine: Machine, inside: Inside) -> None:
    assert room.files.info(machine.disks[0].path, Format.QCOW2).backing == room.image
    inside.output(f"echo saved | dd of=/dev/vda bs=1M seek={FREE_AT} conv=fsync 2>/dev/null")
    disk = volume(room)
    room.driver.attach_disk(machine.id, disk)
    parts = room.files.backup_parts(machine.id, FileId(str(uuid.uuid4())))
    targets = {"vda": parts / "disk-0.qcow2", disk.target: parts / "disk-1.qcow2"}
    room.driver.begin_backup(machine.id, targets)
    with contextlib.suppress(QemuAway):  # the first may still be under way; else it begins anew
        room.driver.begin_backup(machine.id, targets)
    wait_for(lambda: room.driver.backup_progress(machine.id).state is not BackupState.RUNNING, "the backup")
    progress = room.driver.backup_progress(machine.id)
    assert progress.state is BackupState.DONE
    assert progress.done == progress.total > 64 * MIB
    room.driver.cancel_backup(machine.id)
    saved = room.files.info(targets["vda"], Format.QCOW2)
    assert (saved.backing, saved.virtual_size) == (None, 64 * MIB)
    assert targets["vda"].stat().st_mode & 0o777 == 0o660
    read = ["qemu-io", "-f", "qcow2", "-c", f"read -v {FREE_AT * MIB} 16", str(targets["vda"])]
    assert "saved" in subprocess.run(read, capture_output=True, text=True, check=True).stdout
    wait_for(lambda: room.driver.detach_disk(machine.id, disk), "the disk's going")
    with pytest.raises(QemuAbsent):
        room.driver.begin_backup(machine.id, {"vdz": parts / "disk-9.qcow2"})


def test_figures_come_for_all_machines_at_once(room: Room, pair: list[tuple[Machine, Inside]]) -> None:
    pair[0][1].output("dd if=/dev/vda of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null; true")
    figures = room.driver.statistics()
    for machine, _ in pair:
        found = figures[machine.id]
        assert found.cpu_seconds > 0
        assert found.memory == 256
        assert found.memory_used is not None
        assert [disk.target for disk in found.disks if disk.target == "vda"] == ["vda"]
        assert found.disks[0].read_bytes > MIB
        assert found.disks[0].capacity == 64 * MIB
        assert [nic.mac for nic in found.nics] == [nic.mac for nic in machine.nics]
        assert found.nics[0].received > 0


def test_pause_and_resume(room: Room, machine: Machine, inside: Inside) -> None:
    for _ in range(2):
        room.driver.pause(machine.id)
    assert room.driver.sight(machine.id).state is PowerState.PAUSED
    with pytest.raises(QemuConflict) as refused:
        room.driver.shutdown(machine.id)
    assert refused.value.code == "qemu.paused"
    room.driver.start(machine.id)
    assert room.driver.sight(machine.id).state is PowerState.RUNNING
    assert inside.output("echo there") == "there"


def test_a_picture_of_the_screen(room: Room, machine: Machine) -> None:
    picture = room.driver.picture(machine.id)
    assert picture.media_type in ("image/x-portable-pixmap", "image/png")
    assert picture.data[:2] in (b"P6", b"\x89P")


def test_l89_consoles_are_sockets_and_nothing_listens_on_tcp(room: Room, machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(str(machine.console_socket))
        assert console.recv(12).startswith(b"RFB 003.")
    listening = room.libvirtd.run("ss", "-Hltnp").stdout
    assert "qemu" not in listening
    assert "libvirtd" not in listening
    assert machine.folder.stat().st_mode & 0o007 == 0


def test_the_serial_line_can_be_spoken_to(machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(machine.serial_socket))
        line.settimeout(20)
        line.sendall(b"echo $((6 * 7))answer\n")
        heard = b""
        while b"42answer" not in heard:
            heard += line.recv(4096)


# -- L90: what keeps tenants apart


@pytest.fixture
def services(room: Room) -> Iterator[None]:
    """Of the host, on all its addresses: one of them public, one private."""
    addresses = "for a in 203.0.113.7 192.168.77.7; do ip addr {} $a/32 dev lo; done"
    room.libvirtd.run("sh", "-c", addresses.format("add"))
    listening = room.libvirtd.popen("python3", "-m", "http.server", "8099")
    wait_for(lambda: "8099" in room.libvirtd.run("ss", "-Hltn").stdout, "the host's service")
    yield
    listening.kill()
    listening.wait()
    room.libvirtd.run("sh", "-c", addresses.format("del"))


def reached(inside: Inside, *targets: str) -> set[str]:
    """Of web servers by `address:port` those that answer the guest; all are tried at once."""
    each = "(timeout 3 wget -q -O /dev/null http://{0}/ 2>/dev/null && echo {0}) &"
    return set(inside.output(" ".join(each.format(target) for target in targets) + " wait; true").split())


def test_l90_a_guest_reaches_neither_the_host_nor_its_neighbours(
    room: Room, pair: list[tuple[Machine, Inside]], nets: tuple[Network, Network], services: None
) -> None:
    (_, mine), (_, theirs) = pair
    assert "200 OK" in room.libvirtd.run("curl", "-sI", "http://203.0.113.7:8099/").stdout
    for guest in (mine, theirs):
        guest.output("echo here >/root/index.html; httpd -p 80 -h /root; true")
    # The host itself is let in, which shows that all of them do listen.
    for network in nets:
        assert room.libvirtd.run("curl", "-s", f"http://{network.reservations[0].address}/").stdout == "here\n"
    own, other = (str(network.reservations[0].address) for network in nets)
    hosts = ["203.0.113.7", "192.168.77.7", str(nets[0].gateway), str(nets[1].gateway), "127.0.0.1"]
    assert reached(mine, f"{own}:80", f"{other}:80", *(f"{host}:8099" for host in hosts)) == {f"{own}:80"}
    assert reached(theirs, f"{own}:80", f"{other}:80") == {f"{other}:80"}
    # Nor by IPv6, whatever address the host's end of the bridge comes by.
    bridge = nets[0].id.bridge
    room.libvirtd.run("sh", "-c", f"echo 0 >/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6")
    room.libvirtd.run("ip", "-6", "addr", "replace", "fd77::1/64", "dev", bridge)
    mine.output("ip -6 addr replace fd77::2/64 dev eth0")
    wait_for(lambda: mine.run("ping6 -c 1 -W 1 fd77::2")[0] == 0, "the guest's own address")
    assert mine.run("ping6 -c 1 -W 2 fd77::1")[0] != 0
    # What it may: the network's own DNS.
    assert (
        mine.run(f"nslookup -type=a host.invalid {nets[0].gateway} 2>&1 | grep -qi 'nxdomain\\|refused\\|find'")[0] == 0
    )


def test_l90_a_guest_speaks_under_its_own_address_alone(pair: list[tuple[Machine, Inside]]) -> None:
    _, inside = pair[0]
    gateway = "10.91.1.1"
    assert inside.run(f"arping -c 1 -w 3 -I eth0 {gateway}")[0] == 0
    try:
        inside.output("ip link set eth0 down; ip link set eth0 address 52:54:00:66:66:66; ip link set eth0 up")
        assert inside.run(f"arping -c 1 -w 2 -I eth0 {gateway}")[0] != 0
    finally:
        mac = pair[0][0].nics[0].mac
        inside.output(f"ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up")
        inside.output("ip addr replace 10.91.1.10/24 dev eth0; ip route replace default via 10.91.1.1")
    assert inside.run(f"arping -c 1 -w 3 -I eth0 {gateway}")[0] == 0


def test_l91_ports_are_forwarded_to_the_guest_they_are_for_and_no_longer_than_asked(
    room: Room, pair: list[tuple[Machine, Inside]], nets: tuple[Network, Network], services: None
) -> None:
    guest = nets[0].reservations[0].address
    pair[0][1].output("mkdir -p /srv; echo mine >/srv/index.html; httpd -p 8081 -h /srv; true")
    forwards = tuple(
        Forward(Protocol.TCP, IPv4Address(address), 20080, guest, 8081) for address in ("127.0.0.1", "203.0.113.7")
    )

    def answer(address: str) -> str:
        return room.libvirtd.run("curl", "-s", "-m", "3", f"http://{address}:20080/", check=False).stdout.strip()

    for _ in range(2):
        room.driver.ensure_network(replace(nets[0], forwards=forwards))
    assert (answer("127.0.0.1"), answer("203.0.113.7")) == ("mine", "mine")
    assert not reached(pair[1][1], "203.0.113.7:20080"), "a forward is for the world, not for a neighbour"
    assert not reached(pair[0][1], "203.0.113.7:8099"), "nor does it open the host"
    room.driver.ensure_network(replace(nets[0], forwards=forwards[:1]))
    assert (answer("127.0.0.1"), answer("203.0.113.7")) == ("mine", "")
    room.driver.ensure_network(nets[0])
    assert answer("127.0.0.1") == ""


def test_nat_leads_to_the_world(room: Room, pair: list[tuple[Machine, Inside]]) -> None:
    """The world is a network of its own behind a cable."""
    world = room.libvirtd.popen("unshare", "--net", "sleep", "600")
    try:
        pid = room.libvirtd.run("pgrep", "-f", "sleep 600").stdout.split()[-1]
        room.libvirtd.run("sh", "-c", f"ip link add cable type veth peer name far netns {pid}; ip link set cable up;"
                          f" ip addr add 198.51.100.1/24 dev cable;"
                          f" nsenter -t {pid} -n sh -c 'ip link set lo up; ip link set far up;"
                          f" ip addr add 198.51.100.2/24 dev far'")  # fmt: skip
        web = room.libvirtd.popen("nsenter", "-t", pid, "-n", "python3", "-m", "http.server", "8123")
        wait_for(lambda: "8123" in room.libvirtd.run("nsenter", "-t", pid, "-n", "ss", "-Hltn").stdout, "the world")
        assert reached(pair[0][1], "198.51.100.2:8123")
        web.kill()
    finally:
        room.libvirtd.run("sh", "-c", "ip link del cable; pkill -f 'sleep 600'", check=False)
        world.wait()


def test_networks_are_what_they_were_made_as(room: Room, nets: tuple[Network, Network]) -> None:
    import libvirt

    from app.domain.errors import Invalid

    for other in (replace(nets[0], mode=Mode.ISOLATED), replace(nets[0], subnet=nets[1].subnet)):
        with pytest.raises(Invalid):
            room.driver.ensure_network(other)
    with pytest.raises(QemuConflict) as refused:
        room.driver.remove_network(nets[0].id)
    assert refused.value.code == "qemu.network_in_use"
    with pytest.raises(QemuConflict) as taken:
        room.driver.ensure_network(replace(nets[0], id=NetworkId(str(uuid.uuid4())), reservations=()))
    assert taken.value.code == "qemu.subnet_taken"
    connection = libvirt.open(room.libvirtd.uri)
    ours = [one.name() for one in connection.listAllNetworks(0) if one.name().startswith("poolhouse-")]
    assert sorted(ours) == sorted(f"poolhouse-{network}" for network in room.networks)
    connection.close()


def test_l90_an_unguarded_network_does_not_run(room: Room) -> None:
    import libvirt

    from app.domain.errors import QemuRefused
    from app.qemu.guards import Guards
    from app.qemu.opening import open_driver
    from tests.qemu.room import EMULATED

    nowhere = Guards(room.libvirtd.hook, Path("/nonexistent"))
    driver = open_driver(room.libvirtd.uri, accelerator=EMULATED, guarded=nowhere)
    network = Network(NetworkId(str(uuid.uuid4())), "a", Mode.NAT, card(room.network("10.91.9.0/24"), 1)[1].subnet)
    room.driver.remove_network(room.networks.pop())
    with pytest.raises(QemuRefused) as refused:
        driver.ensure_network(network)
    assert refused.value.code == "qemu.network_unguarded"
    connection = libvirt.open(room.libvirtd.uri)
    assert not connection.networkLookupByUUIDString(network.id).isActive()
    connection.close()
    driver.remove_network(network.id)
    driver.close()


# -- life and death


def test_guests_outlive_libvirtd(room: Room, machine: Machine, inside: Inside, nets: tuple[Network, Network]) -> None:
    """kill -9: the same process goes on, what is asked meanwhile is "away", and all is as it was afterwards."""
    inside.output("echo kept >/root/kept")
    room.libvirtd.kill_daemon()

    def away() -> bool:
        try:
            room.driver.machines()
        except QemuAway:
            return True
        return False

    wait_for(away, "the daemon's death")
    with pytest.raises(QemuAway):
        room.driver.start(machine.id)
    room.libvirtd.start_daemon()
    assert room.driver.sight(machine.id).state is PowerState.RUNNING
    assert inside.output("cat /root/kept") == "kept"
    room.driver.ensure_network(nets[0])
    assert room.driver.statistics()[machine.id].nics[0].mac == machine.nics[0].mac


def test_l85_the_power_button_ends_a_machine(room: Room, machine: Machine, inside: Inside) -> None:
    """And its log goes on where it was at the next start; a machine that runs no more leaves no process."""
    said = inside.said()
    for _ in range(2):
        room.driver.shutdown(machine.id)
    wait_for(lambda: room.driver.sight(machine.id).state is PowerState.STOPPED, "the end")
    room.driver.shutdown(machine.id)
    room.driver.destroy(machine.id)
    assert room.libvirtd.run("pgrep", "-f", machine.id, check=False).stdout == ""
    for act in (room.driver.reboot, room.driver.reset, room.driver.pause, room.driver.resume):
        with pytest.raises(QemuConflict) as refused:
            act(machine.id)
        assert refused.value.code == "qemu.stopped"
    assert room.driver.guest_info(machine.id) is None
    room.driver.create_snapshot(machine.id, SnapshotName("off"), "")
    assert not room.driver.snapshots(machine.id)[0].running
    room.driver.delete_snapshot(machine.id, SnapshotName("off"))
    assert inside.said().startswith(said)
    room.driver.undefine(machine.id)
    room.driver.undefine(machine.id)
    assert machine.id not in room.driver.machines()


def test_l93_uefi_secure_boot_and_tpm(room: Room) -> None:
    """A signed loader starts and finds a TPM; an unsigned one is refused."""
    signed = room.machine(firmware=Firmware.UEFI_SECURE, tpm=True)
    unsigned = room.machine(image=room.unsigned, firmware=Firmware.UEFI_SECURE)
    room.driver.start(unsigned.id)
    [inside] = room.start(signed)
    assert inside.output("cat /sys/class/tpm/tpm0/tpm_version_major") == "2"
    inside.output("mount -t efivarfs efivarfs /sys/firmware/efi/efivars || modprobe efivarfs; true")
    refusal = room.inside(unsigned)
    wait_for(lambda: "Access Denied" in refusal.said() or "Security Violation" in refusal.said(), "the refusal", 240)
    assert "READY" not in refusal.said()
    assert signed.firmware_variables.exists()
    room.driver.destroy(signed.id)
    room.driver.undefine(signed.id)
    assert not signed.firmware_variables.exists()
