"""Volume names of file and block storages, and which backups a retention keeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab.storage import names, retention


@pytest.mark.parametrize(
    ("volname", "content", "image", "vmid"),
    [
        ("iso/debian-12.iso", "iso", "iso", None),
        ("vztmpl/debian-12-standard_12.12-1_amd64.tar.zst", "vztmpl", "tzst", None),
        ("vztmpl/a.tar.gz", "vztmpl", "tgz", None),
        ("backup/vzdump-lxc-5001-2026_01_02-03_04_05.tar", "backup", "tar", 5001),
        ("backup/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst", "backup", "vma.zst", 100),
        ("100/vm-100-disk-0.qcow2", "images", "qcow2", 100),
        ("snippets/user.yml", "snippets", "snippet", None),
    ],
)
def test_file_names(volname: str, content: str, image: str, vmid: int | None) -> None:
    known = names.read("dir", volname)
    assert (known.content, known.format, known.vmid) == (content, image, vmid)


def test_linked_images_know_their_base() -> None:
    known = names.read("nfs", "9000/base-9000-disk-0.qcow2/101/vm-101-disk-0.qcow2")
    assert (known.vmid, known.base) == (101, "9000/base-9000-disk-0.qcow2")


@pytest.mark.parametrize(
    ("storage_type", "volname", "text"),
    [
        ("dir", "nope", "unable to parse directory volume name 'nope'"),
        ("dir", "nope/x", "unable to parse directory volume name 'nope/x'"),
        ("lvmthin", "nope", "unable to parse lvm volume name 'nope'"),
        ("lvmthin", "x", "lvm name 'x' contains illegal characters"),
    ],
)
def test_unreadable_names(storage_type: str, volname: str, text: str) -> None:
    with pytest.raises(names.UnreadableName, match=f"^{text}$"):
        names.read(storage_type, volname)


def test_paths() -> None:
    local = {"path": "/var/lib/vz"}
    assert names.path_of("dir", local, "iso/a.iso") == "/var/lib/vz/template/iso/a.iso"
    assert names.path_of("dir", local, "100/vm-100-disk-0.raw") == "/var/lib/vz/images/100/vm-100-disk-0.raw"
    assert names.path_of("lvmthin", {"vgname": "pve"}, "vm-1-disk-0") == "/dev/pve/vm-1-disk-0"


def test_uploaded_names_are_cleaned() -> None:
    assert names.cleaned("/tmp/my image?.iso") == "my_image_.iso"
    assert names.upload_fits("iso", "a.iso")
    assert not names.upload_fits("vztmpl", "a.iso")
    assert not names.upload_fits("iso", "")


DAY = 86_400


def test_retention_keeps_the_newest_of_each_day() -> None:
    backups = {f"{day}-{hour}": day * DAY + hour * 3600 for day in range(5) for hour in (1, 12)}
    assert retention.kept(retention.parse("keep-daily=2"), backups) == {"4-12", "3-12"}
    assert retention.kept(retention.parse("keep-last=1"), backups) == {"4-12"}
    assert retention.kept(retention.parse("keep-all=1"), backups) == set(backups)


@given(
    st.dictionaries(st.integers(0, 200).map(str), st.integers(0, 400 * DAY), max_size=20),
    st.fixed_dictionaries(
        {"keep-last": st.integers(0, 5), "keep-daily": st.integers(0, 5), "keep-yearly": st.integers(0, 2)}
    ),
)
def test_a_retention_keeps_no_more_than_it_says(backups: dict[str, int], plan: dict[str, int]) -> None:
    stay = retention.kept(plan, backups)
    assert stay <= set(backups)
    if any(plan.values()):
        assert len(stay) <= sum(plan.values())
        assert not backups or max(backups.values()) in {backups[name] for name in stay}
    else:
        assert stay == set(backups)
