"""Guests that become templates, and those that are made of archives."""

from tests.lab.guests.api import TEMPLATE, Api

VM, CT = "/nodes/n1/qemu/100", "/nodes/n1/lxc/200"


def archive(root: Api, vmid: int) -> str:
    assert root.task("POST", "/nodes/n1/vzdump", vmid=vmid, storage="local") == "OK"
    rows = root.get("/nodes/n1/storage/local/content", content="backup", vmid=vmid)
    return str(rows[-1]["volid"])


def test_the_disk_of_a_container_that_becomes_a_template_is_a_base_image(root: Api) -> None:
    root.container(200, mp0="local-lvm:1,mp=/data")
    root.do("POST", f"{CT}/template")
    for _ in range(200):
        if root.get(f"{CT}/config").get("template"):
            break
    values = root.get(f"{CT}/config")
    assert values["rootfs"] == "local-lvm:base-200-disk-0,size=1G"
    assert values["mp0"] == "local-lvm:base-200-disk-1,mp=/data,size=1G"
    assert root.volumes() == {"local-lvm:base-200-disk-0", "local-lvm:base-200-disk-1"}
    assert root.task("POST", f"{CT}/clone", newid=201) == "OK"
    assert root.get("/nodes/n1/lxc/201/config")["rootfs"] == "local-lvm:vm-201-disk-0,size=1G"


def test_one_disk_alone_can_become_a_base_image(root: Api) -> None:
    root.machine(100, scsi0="local-lvm:1", scsi1="local-lvm:1")
    assert root.task("POST", f"{VM}/template", disk="scsi1") == "OK"
    values = root.get(f"{VM}/config")
    assert (values["scsi0"], values["scsi1"]) == (
        "local-lvm:vm-100-disk-0,size=1G",
        "local-lvm:base-100-disk-1,size=1G",
    )
    assert values["template"] == 1
    assert root.task("POST", f"{VM}/template", disk="scsi0") == "OK"
    assert root.volumes() == {"local-lvm:base-100-disk-0", "local-lvm:base-100-disk-1"}


def test_a_vm_that_is_to_be_unique_has_nothing_of_its_own_kept(root: Api) -> None:
    root.machine(
        100, net0="virtio,bridge=vmbr0", smbios1="manufacturer=YQ==,base64=1,uuid=00000000-0000-4000-8000-000000000001"
    )
    root.do("PUT", "/cluster/options", mac_prefix_="02:00")
    kept, volid = root.get(f"{VM}/config"), archive(root, 100)
    assert root.machine(101, archive=volid) == "OK"
    assert root.machine(102, archive=volid, unique=1) == "OK"
    same, other = (root.get(f"/nodes/n1/qemu/{vmid}/config") for vmid in (101, 102))
    assert (same["smbios1"], same["net0"]) == (kept["smbios1"], kept["net0"])
    assert other["net0"].startswith("virtio=02:00:")
    assert other["smbios1"] != kept["smbios1"]
    assert "manufacturer=YQ==" in other["smbios1"]
    assert len({values["vmgenid"] for values in (kept, same, other)}) == 3


def test_a_restored_template_is_one(root: Api) -> None:
    root.machine(100, scsi0="local-lvm:1", template=1)
    assert root.machine(101, archive=archive(root, 100)) == "OK"
    assert root.get("/nodes/n1/qemu/101/config")["scsi0"] == "local-lvm:base-101-disk-0,size=1G"


def test_an_archive_of_the_other_kind_is_none(root: Api) -> None:
    root.machine(100, scsi0="local-lvm:1")
    root.container(200)
    of_vm, of_ct = archive(root, 100), archive(root, 200)
    path = f"/var/lib/vz/dump/{of_ct.rpartition('/')[2]}"
    before = root.volumes()
    assert root.machine(101, archive=of_ct) == f"ERROR: file '{path}' does not look like a QemuServer vzdump backup"
    failed = root.task("POST", "/nodes/n1/lxc", vmid=201, ostemplate=of_vm, restore=1, storage="local-lvm")
    assert failed == "unable to restore CT 201 - ERROR: archive contains no configuration file"
    assert root.volumes() == before
    assert "lock" not in root.get("/nodes/n1/qemu/101/config")


def test_no_vm_runs_while_it_is_restored_of_a_file(root: Api) -> None:
    root.machine(100, scsi0="local-lvm:1")
    volid, before = archive(root, 100), root.volumes()
    wanted = "live-restore is only compatible with backup images from a Proxmox Backup Server"
    assert root.machine(101, archive=volid, **{"live-restore": 1}) == wanted
    assert root.machine(100, archive=volid, force=1, **{"live-restore": 1}) == wanted
    assert root.volumes() == before
    assert root.get(f"{VM}/config")["scsi0"] == "local-lvm:vm-100-disk-0,size=1G"
    assert "lock" not in root.get(f"{VM}/config")
    assert root.container(200, ostemplate=TEMPLATE) == "OK"
