"""Property strings, sizes and drives: read and written as PVE writes them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab.guests import drives, properties, sizes

KEYS = st.text(string.ascii_lowercase, min_size=1, max_size=8)
VALUES = st.text(string.ascii_letters + string.digits + ":/._-", min_size=1, max_size=12)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=6))
def test_what_is_rendered_reads_back(values: dict[str, str]) -> None:
    assert properties.parse(properties.render(values)) == values


@given(VALUES, st.dictionaries(KEYS, VALUES, max_size=4))
def test_the_default_key_comes_first_and_bare(volume: str, rest: dict[str, str]) -> None:
    values = {"file": volume} | {key: value for key, value in rest.items() if key != "file"}
    text = properties.render_drive(values)
    assert text.split(",")[0] == volume
    assert properties.parse_drive(text) == values


@given(st.integers(min_value=1, max_value=1 << 50))
def test_written_sizes_are_exact(size: int) -> None:
    assert sizes.size_of(sizes.written(size)) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [(1 << 30, "1G"), (3584 << 20, "3584M"), (512 << 20, "512M"), (4096, "4K"), (1000, "1000"), (1 << 40, "1T")],
)
def test_sizes_use_the_largest_unit_that_divides(size: int, text: str) -> None:
    assert sizes.written(size) == text


@pytest.mark.parametrize("text", ["", "x", "1X", "-1G", "G"])
def test_what_is_no_size(text: str) -> None:
    assert sizes.size_of(text) is None


def test_mount_points_name_their_folder_first() -> None:
    mount = properties.parse_mount("local-lvm:vm-207-disk-2,size=1G,ro=1,backup=1,mp=/srv")
    assert properties.render_mount(mount) == "local-lvm:vm-207-disk-2,mp=/srv,backup=1,ro=1,size=1G"


def test_container_cards_are_completed() -> None:
    text = properties.lxc_net("name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:0a,ip=dhcp")
    assert text == "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:0A,ip=dhcp,type=veth"


@pytest.mark.parametrize("text", ["virtio,bridge=vmbr0", "model=virtio,bridge=vmbr0", "bridge=vmbr0,model=virtio"])
def test_machine_cards_get_an_address(text: str) -> None:
    net = properties.parse_qemu_net(properties.with_mac(text, "BC:24:11"))
    assert net["model"] == "virtio"
    assert net["bridge"] == "vmbr0"
    assert net["macaddr"].startswith("BC:24:11:")
    assert len(net["macaddr"]) == 17


def test_a_given_address_stays_until_a_clone_changes_it() -> None:
    text = "virtio=BC:24:11:00:00:01,bridge=vmbr0,link_down=1"
    assert properties.with_mac(text) == text
    other = properties.fresh_mac("qemu", text)
    assert other != text
    assert other.endswith(",bridge=vmbr0,link_down=1")


@pytest.mark.parametrize(
    ("volume", "wanted"),
    [
        ("local-lvm:8", ("local-lvm", 8.0)),
        ("0.5", ("", 0.5)),
        ("local:iso/x.iso", None),
        ("local-lvm:vm-1-disk-0", None),
    ],
)
def test_which_volumes_are_to_be_allocated(volume: str, wanted: tuple[str, float] | None) -> None:
    assert properties.new_volume(volume) == wanted


def test_boot_order_takes_one_of_each() -> None:
    config = {"net0": "virtio", "scsi1": "a:vm-1-disk-1", "scsi0": "a:vm-1-disk-0", "ide2": "none,media=cdrom"}
    assert drives.boot_order(config) == "order=scsi0;ide2;net0"
    assert drives.boot_order({"efidisk0": "a:vm-1-disk-0"}) == " "
    assert drives.without_boot_device("order=scsi0;ide2;net0", "ide2") == "order=scsi0;net0"
    assert drives.without_boot_device("order=scsi0", "scsi0") == " "


def test_disks_are_walked_in_the_order_of_pve() -> None:
    config = {
        "tpmstate0": "",
        "sata0": "",
        "virtio0": "",
        "scsi10": "",
        "scsi2": "",
        "ide0": "",
        "unused0": "",
        "net0": "",
    }
    assert drives.disk_keys("qemu", config) == ["ide0", "scsi2", "scsi10", "virtio0", "sata0", "tpmstate0"]
    assert drives.disk_keys("lxc", {"mp10": "", "mp2": "", "rootfs": "", "net0": ""}) == ["rootfs", "mp2", "mp10"]


def test_own_volumes_are_told_from_isos_and_foreign_ones() -> None:
    config = {
        "ide2": "local:iso/a.iso,media=cdrom",
        "scsi0": "local-lvm:vm-100-disk-0,size=1G",
        "scsi1": "local:100/vm-100-disk-1.qcow2,size=1G",
        "scsi2": "local-lvm:vm-1001-disk-0,size=1G",
        "ide0": "local-lvm:vm-100-cloudinit,media=cdrom",
        "unused0": "local-lvm:vm-100-disk-7",
    }
    assert {key for key, _ in drives.own_volumes("qemu", 100, config)} == {"scsi0", "scsi1", "ide0", "unused0"}
