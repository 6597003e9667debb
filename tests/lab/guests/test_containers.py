"""Containers over HTTP: made, changed, started, copied, destroyed; and what half-done work leaves behind."""

import pytest

from tests.lab.guests.api import TEMPLATE, Api


def test_a_new_container_has_pves_defaults(root: Api) -> None:
    assert root.container(200, net0="name=eth0,bridge=vmbr0", tags="b;a", description="two\nlines") == "OK"
    config = root.get("/nodes/n1/lxc/200/config")
    assert config["hostname"] == "CT200"
    assert (config["memory"], config["swap"], config["arch"], config["ostype"]) == (512, 512, "amd64", "debian")
    assert (config["unprivileged"], config["tags"], config["description"]) == (1, "a;b", "two\nlines\n")
    assert config["rootfs"] == "local-lvm:vm-200-disk-0,size=1G"
    assert config["net0"].startswith("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:")
    assert config["net0"].endswith(",type=veth")


def test_an_id_is_taken_on_all_nodes_and_for_both_kinds(root: Api) -> None:
    root.do("POST", "/nodes/n1/lxc", vmid=200, ostemplate=TEMPLATE, rootfs="local-lvm:1")
    assert root.ask("POST", "/nodes/n2/qemu", vmid=200).reason.endswith("CT 200 already exists on node 'n1'")


def test_the_token_of_a_tenant_makes_and_destroys_in_its_pool(root: Api) -> None:
    blue = root.tenant("blue")
    made = {"pool": "blue", "hostname": "c1", "unprivileged": 1, "net0": "name=eth0,bridge=vmbr0,ip=dhcp"}
    assert blue.container(5001, **made, description="owner 1", features="nesting=1") == "OK"
    assert [member["vmid"] for member in root.get("/pools/blue")["members"]] == [5001]
    assert blue.ask("POST", "/nodes/n1/lxc", vmid=5002, ostemplate=TEMPLATE, rootfs="local-lvm:1").status == 403
    assert blue.ask("PUT", "/nodes/n1/lxc/5001/config", net0="name=eth0,bridge=vmbr1").reason == (
        "Permission check failed (/sdn/zones/localnetwork/vmbr1, SDN.Use)"
    )
    assert blue.task("DELETE", "/nodes/n1/lxc/5001", purge=1) == "OK"
    assert root.get("/pools/blue")["members"] == []
    assert root.volumes() == set()
    assert blue.ask("GET", "/nodes/n1/lxc/5001/config").status == 403


def test_tags_at_creation_are_judged_without_the_pool(root: Api) -> None:
    blue = root.tenant("blue")
    refused = blue.ask(
        "POST", "/nodes/n1/lxc", vmid=5001, ostemplate=TEMPLATE, rootfs="local-lvm:1", pool="blue", tags="x"
    )
    assert (refused.status, refused.reason) == (403, "Permission check failed (/vms/5001, VM.Config.Options)")


def test_a_pool_that_cannot_be_joined_leaves_a_whole_container_outside(root: Api) -> None:
    blue = root.tenant("blue")
    with root.fault(kind="pool_join_fails"):
        end = blue.container(5002, pool="blue", description="mine")
    text = "can't add VM 5002 to pool 'blue': cfs-lock 'file-user_cfg' error: got lock request timeout"
    assert end == text
    assert root.get("/nodes/n1/lxc/5002/config")["description"] == "mine\n"
    assert root.get("/pools/blue")["members"] == []
    assert blue.ask("DELETE", "/nodes/n1/lxc/5002").status == 403


def test_a_locked_storage_leaves_nothing(root: Api) -> None:
    with root.fault(kind="lock", lock="storage:local-lvm@n1"):
        end = root.container(5003)
    lock = "/var/lock/pve-manager/pve-storage-local-lvm"
    assert end == f"unable to create CT 5003 - can't lock file '{lock}' - got timeout"
    assert root.ask("GET", "/nodes/n1/lxc/5003/config").status == 500
    assert root.volumes() == set()


def test_a_missing_template_leaves_nothing(root: Api) -> None:
    end = root.container(5004, ostemplate="local:vztmpl/none.tar.zst")
    assert end == "unable to create CT 5004 - volume 'local:vztmpl/none.tar.zst' does not exist"
    assert root.get("/nodes/n1/lxc") == []


def test_a_running_container_takes_some_changes_at_once(root: Api) -> None:
    root.container(200)
    assert root.task("POST", "/nodes/n1/lxc/200/status/start") == "OK"
    root.do("PUT", "/nodes/n1/lxc/200/config", memory=256, features="nesting=1", mp0="local-lvm:1,mp=/data")
    rows = {row["key"]: row for row in root.get("/nodes/n1/lxc/200/pending")}
    assert rows["memory"]["value"] == 256
    assert rows["features"] == {"key": "features", "pending": "nesting=1"}
    assert rows["mp0"]["value"] == "local-lvm:vm-200-disk-1,mp=/data,size=1G"
    assert root.ask("POST", "/nodes/n1/lxc/200/status/start").reason == "CT 200 already running"
    root.task("POST", "/nodes/n1/lxc/200/status/reboot")
    assert root.get("/nodes/n1/lxc/200/config", current=1)["features"] == "nesting=1"


def test_a_detached_volume_stays_until_it_is_deleted(root: Api) -> None:
    root.container(200, mp0="local-lvm:1,mp=/data")
    root.do("PUT", "/nodes/n1/lxc/200/config", delete="mp0")
    assert root.get("/nodes/n1/lxc/200/config")["unused0"] == "local-lvm:vm-200-disk-1"
    root.do("PUT", "/nodes/n1/lxc/200/config", delete="unused0")
    assert root.volumes() == {"local-lvm:vm-200-disk-0"}


def test_a_clone_of_a_privileged_container_is_privileged(root: Api) -> None:
    root.container(200, unprivileged=0, net0="name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:0A")
    assert root.task("POST", "/nodes/n1/lxc/200/clone", newid=201, hostname="c", description="d") == "OK"
    clone = root.get("/nodes/n1/lxc/201/config")
    assert "unprivileged" not in clone
    assert (clone["hostname"], clone["description"]) == ("c", "d\n")
    assert "BC:24:11:00:00:0A" not in clone["net0"]
    refused = root.ask("POST", "/nodes/n1/lxc/200/clone", newid=202, full=0)
    assert refused.reason == "Linked clone feature for 'local-lvm:vm-200-disk-0' is not available"


def test_resize_grows_and_never_shrinks(root: Api) -> None:
    root.container(200)
    assert root.task("PUT", "/nodes/n1/lxc/200/resize", disk="rootfs", size="+512M") == "OK"
    assert root.get("/nodes/n1/lxc/200/config")["rootfs"].endswith("size=1536M")
    assert root.ask("PUT", "/nodes/n1/lxc/200/resize", disk="rootfs", size="1G").reason == "unable to shrink disk size"


def test_a_snapshot_brings_the_old_configuration_back(root: Api) -> None:
    root.container(200, hostname="before")
    assert root.task("POST", "/nodes/n1/lxc/200/snapshot", snapname="one") == "OK"
    root.do("PUT", "/nodes/n1/lxc/200/config", hostname="after", description="kept")
    assert root.task("POST", "/nodes/n1/lxc/200/snapshot/one/rollback") == "OK"
    config = root.get("/nodes/n1/lxc/200/config")
    assert (config["hostname"], config["description"], config["parent"]) == ("before", "kept\n", "one")
    assert root.task("DELETE", "/nodes/n1/lxc/200/snapshot/one") == "OK"
    assert [row["name"] for row in root.get("/nodes/n1/lxc/200/snapshot")] == ["current"]


def test_a_container_moves_with_its_volumes(root: Api) -> None:
    root.container(200)
    assert root.task("POST", "/nodes/n1/lxc/200/migrate", target="n2") == "OK"
    assert root.volumes() == set()
    assert [row["volid"] for row in root.get("/nodes/n2/storage/local-lvm/content")] == ["local-lvm:vm-200-disk-0"]
    assert root.get("/nodes/n2/lxc/200/config")["hostname"] == "CT200"


@pytest.mark.parametrize(
    "body", ["", "rubbish", "ssh-ed25519", "ssh-ed25519 AAAA me@here", "AAAAC3NzaC1lZDI1NTE5" + 50 * "A"]
)
def test_keys_that_ssh_would_not_read_are_refused(root: Api, body: str) -> None:
    keys = {"ssh-public-keys": f"# mine\n{body}"}
    answer = root.ask("POST", "/nodes/n1/lxc", vmid=200, ostemplate=TEMPLATE, rootfs="local-lvm:1", **keys)
    assert answer.reason == ("SSH public key validation error" if body else "OK")
