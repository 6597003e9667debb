"""XML is built from values: whatever is in them stays data."""

from __future__ import annotations

import contextlib
import string
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import QemuRefused
from app.domain.identifiers import BridgeName, MalformedIdentifier, SnapshotName
from app.qemu import xml
from app.qemu.machines import (
    MOST_DISKS,
    BootDevice,
    Bus,
    Disk,
    Display,
    Firmware,
    Format,
    InterfaceName,
    MacAddress,
    Machine,
    MachineId,
    Media,
    NetworkId,
    Nic,
    NicModel,
    OnBridge,
    OnInterface,
    OnNetwork,
    System,
)
from app.qemu.networks import Forward, Mode, Network, Protocol, Reservation

MACHINE = MachineId("0a1b2c3d-0000-4000-8000-00000000abcd")
NETWORK = NetworkId("5a1b2c3d-0000-4000-8000-00000000ef01")
MAC = MacAddress("52:54:00:12:34:56")
FOLDER = Path("/srv/poolhouse/qemu/vms") / MACHINE

HOSTILE = [
    "</title><devices><disk/></devices><title>", "a&b<c>\"d'e", "]]>", "<!--", "<?xml?>", "&lol;", "a\nb\rc",
    "\x00\x08",
    "\ud800", "\ufffe", "$(reboot)", "' or 1=1", "../../etc", "\u202eabc", "🐄" * 60,
]  # fmt: skip
words = st.one_of(st.text(max_size=60), st.sampled_from(HOSTILE))
hostile_paths = st.builds(
    lambda name: FOLDER / name.replace("/", "_").replace("\0", "_"),
    st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20),
)


def machine(**more: object) -> Machine:
    given: dict[str, object] = {
        "id": MACHINE, "tenant": "t", "name": "web", "memory": 512, "cores": 1, "folder": FOLDER,
        "disks": (Disk(0, FOLDER / "disk.qcow2", Format.QCOW2),), **more,
    }  # fmt: skip
    return Machine(**given)  # type: ignore[arg-type]


def shape(element: ET.Element) -> tuple[object, ...]:
    """Tags and attributes' names, without what is in them."""
    return (element.tag, tuple(sorted(element.attrib)), tuple(map(shape, element)))


@settings(deadline=None)
@given(name=words, tenant=words)
def test_l92_no_word_of_a_caller_becomes_an_element(name: str, tenant: str) -> None:
    built = xml.domain(machine(name=name, tenant=tenant), "tcg")
    assert shape(ET.fromstring(built)) == shape(ET.fromstring(xml.domain(machine(), "tcg")))
    title = ET.fromstring(built).findtext("title")
    assert title is None or "\n" not in title


@settings(deadline=None)
@given(path=hostile_paths)
def test_paths_stay_what_they_are(path: Path) -> None:
    disks = (Disk(0, path, Format.RAW),)
    try:
        root = ET.fromstring(xml.domain(machine(disks=disks), "tcg"))
    except ValueError:
        return
    found = xml.device(root, "vda")
    assert found is not None
    assert xml.source_of(found) == str(path)
    driver = found.find("driver")
    assert driver is not None
    assert driver.get("type") == "raw"


@pytest.mark.parametrize("path", ["relative", "/a\nb", "/a\x01b"])
def test_a_path_that_xml_cannot_carry_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        xml.domain(machine(disks=(Disk(0, Path(path), Format.RAW),)), "tcg")


def test_a_socket_path_that_the_kernel_would_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        xml.domain(machine(folder=Path("/" + "x" * 110)), "tcg")


@settings(deadline=None)
@given(text=words)
@pytest.mark.parametrize(
    "kind", [MachineId, NetworkId, MacAddress, InterfaceName, BridgeName], ids=lambda kind: str(kind.__name__)
)
def test_identifiers_are_parsed_or_refused(kind: type, text: str) -> None:
    allowed = set(string.ascii_letters + string.digits + "_.:-")
    with contextlib.suppress(MalformedIdentifier):
        assert set(kind.parse(text)) <= allowed  # type: ignore[attr-defined]


def test_l81_neither_command_lines_nor_foreign_devices() -> None:
    """Whatever is asked for: only what we build, and no QEMU arguments."""
    every = machine(
        firmware=Firmware.UEFI_SECURE, tpm=True, display=Display.SPICE, system=System.WINDOWS,
        media=tuple(Media(slot) for slot in range(4)),
        nics=(Nic(MAC, OnNetwork(NETWORK)), Nic(MacAddress("52:54:00:12:34:58"), OnBridge(BridgeName("br0")))),
    )  # fmt: skip
    root = ET.fromstring(xml.domain(every, "kvm"))
    assert "qemu" not in " ".join(element.tag for element in root.iter()).replace("qemu-", "")
    assert {one.tag for one in root.findall("./devices/*")} <= {
        "emulator", "controller", "disk", "interface", "serial", "channel", "input", "graphics", "audio", "video",
        "tpm", "rng", "memballoon",
    }  # fmt: skip


def test_l89_consoles_listen_on_sockets_in_the_machines_folder_alone() -> None:
    for display in (Display.VNC, Display.SPICE):
        root = ET.fromstring(xml.domain(machine(display=display), "tcg"))
        listens = root.findall("./devices/graphics/listen")
        assert [(one.get("type"), one.get("socket")) for one in listens] == [("socket", f"{FOLDER}/console.sock")]
        assert root.find("./devices/graphics[@port]") is None
        source = root.find("./devices/serial/source")
        assert source is not None
        assert source.attrib == {"mode": "bind", "path": f"{FOLDER}/serial.sock"}
    assert ET.fromstring(xml.domain(machine(display=Display.NONE), "tcg")).find("./devices/graphics") is None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, MOST_DISKS - 1), st.sampled_from(Bus)), unique_by=lambda one: one[0], max_size=12)
)
def test_every_device_has_a_name_of_its_own(disks: list[tuple[int, Bus]]) -> None:
    every = machine(
        disks=tuple(Disk(slot, FOLDER / str(slot), Format.QCOW2, bus) for slot, bus in disks),
        media=tuple(Media(slot) for slot in range(4)),
    )
    names = xml.disk_names(ET.fromstring(xml.domain(every, "tcg")))
    assert len(set(names)) == len(names) == len(disks) + 4


def test_the_boot_order_is_the_one_asked_for() -> None:
    every = machine(
        disks=(Disk(1, FOLDER / "b", Format.RAW), Disk(0, FOLDER / "a", Format.RAW)),
        media=(Media(1), Media(0)), nics=(Nic(MAC, OnNetwork(NETWORK)),),
        boot=(BootDevice.NETWORK, BootDevice.CDROM, BootDevice.DISK),
    )  # fmt: skip
    root = ET.fromstring(xml.domain(every, "tcg"))
    named = {}
    for device in [*root.findall("./devices/disk"), *root.findall("./devices/interface")]:
        boot, target, mac = device.find("boot"), device.find("target"), device.find("mac")
        assert boot is not None
        named[int(boot.get("order", ""))] = (target if target is not None else mac).get("dev" if target is not None else "address")  # type: ignore[union-attr]  # fmt: skip  # noqa: E501
    assert [named[number] for number in sorted(named)] == [MAC, "sda", "sdb", "vda", "vdb"]


def test_l86_the_cpu_fits_the_accelerator() -> None:
    kvm, tcg = (ET.fromstring(xml.domain(machine(), kind)) for kind in ("kvm", "tcg"))
    assert (kvm.get("type"), tcg.get("type")) == ("kvm", "qemu")
    assert kvm.find("./cpu[@mode='host-passthrough']") is not None
    assert tcg.findtext("./cpu/model") == "Nehalem"
    asked = ET.fromstring(xml.domain(machine(cpu="qemu64"), "kvm")).find("cpu")
    assert asked is not None
    assert (asked.get("match"), asked.findtext("model")) == ("exact", "qemu64")


def test_secure_boot_asks_for_a_firmware_that_enforces_it() -> None:
    root = ET.fromstring(xml.domain(machine(firmware=Firmware.UEFI_SECURE), "tcg"))
    loader, nvram = root.find("./os/loader"), root.find("./os/nvram")
    assert loader is not None
    assert nvram is not None
    assert loader.get("secure") == "yes"
    assert nvram.text == f"{FOLDER}/firmware.fd"
    assert "ms" in str(nvram.get("template"))
    assert root.find("./features/smm[@state='on']") is not None


@pytest.mark.parametrize(
    ("link", "kind", "source", "filtered"),
    [
        (OnNetwork(NETWORK), "network", {"network": f"poolhouse-{NETWORK}"}, xml.NETWORK_FILTER),
        (OnBridge(BridgeName("br0")), "bridge", {"bridge": "br0"}, xml.LAN_FILTER),
        (OnInterface(InterfaceName("eth0")), "direct", {"dev": "eth0", "mode": "private"}, None),
    ],
    ids=["network", "bridge", "macvtap"],
)
def test_cards_are_filtered_and_kept_apart(link: object, kind: str, source: dict[str, str], filtered: str) -> None:
    card = xml.nic(Nic(MAC, link, NicModel.E1000))  # type: ignore[arg-type]
    found, model, filter_ = card.find("source"), card.find("model"), card.find("filterref")
    assert card.get("type") == kind
    assert found is not None
    assert found.attrib == source
    assert model is not None
    assert model.get("type") == "e1000"
    assert (None if filter_ is None else filter_.get("filter")) == filtered
    assert (card.find("./port[@isolated='yes']") is not None) == (kind == "bridge")


@settings(deadline=None)
@given(words)
def test_snapshots_take_any_description(description: str) -> None:
    root = ET.fromstring(xml.snapshot(SnapshotName("before"), description))
    assert [child.tag for child in root] == ["name", "description"]
    assert root.findtext("name") == "before"


def test_backups_leave_out_what_is_not_named() -> None:
    root = ET.fromstring(xml.backup({"vda": Path("/b/disk-0.qcow2")}, ["sda", "sde"]))
    assert [(one.get("name"), one.get("backup")) for one in root.iter("disk")] == [
        ("vda", "yes"), ("sda", "no"), ("sde", "no"),
    ]  # fmt: skip
    assert xml.backup_targets(xml.backup({"vda": Path("/b/0")}, ["sda"])) == {"vda": "/b/0"}


addresses = st.ip_addresses(v=4).map(lambda one: IPv4Address(int(one)))
forwards = st.builds(Forward, st.sampled_from(Protocol), addresses, st.integers(1, 65535), addresses, st.integers(1, 65535))  # fmt: skip  # noqa: E501


@settings(deadline=None)
@given(st.sets(forwards, max_size=5), words)
def test_a_network_tells_back_what_it_was_made_of(wanted: set[Forward], tenant: str) -> None:
    kept = Reservation(MAC, IPv4Address("10.20.0.5"))
    network = Network(
        NETWORK, tenant, Mode.NAT, IPv4Network("10.20.0.0/24"), reservations=(kept,), forwards=tuple(wanted)
    )
    root = ET.fromstring(xml.network(network))
    assert set(xml.forwards_of(root)) == wanted
    assert set(xml.reservations_of(root)) == {kept}
    assert xml.subnet_of(root) == "10.20.0.1/24"
    bridge = root.find("bridge")
    assert bridge is not None
    assert bridge.get("name") == "ph5a1b2c3d00"
    assert {child.tag for child in root} <= {"name", "uuid", "metadata", "forward", "bridge", "dns", "ip"}


def test_an_isolated_network_forwards_nothing() -> None:
    network = Network(NETWORK, "t", Mode.ISOLATED, IPv4Network("10.20.0.0/30"))
    root = ET.fromstring(xml.network(network))
    assert root.find("forward") is None
    leases = root.find("./ip/dhcp/range")
    assert leases is not None
    assert leases.attrib == {"start": "10.20.0.2", "end": "10.20.0.2"}


def test_what_is_no_xml_is_an_error_of_ours() -> None:
    with pytest.raises(QemuRefused):
        xml.parsed("<a>")
