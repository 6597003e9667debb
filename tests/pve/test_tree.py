"""The calls of the tree: what is sent, and what is made of the answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
import requests_mock

from app.domain.errors import Invalid, PveAbsent, PveRefused
from app.domain.guests import CloudInit, GuestKind, Network, owner_mark
from app.domain.identifiers import (
    BridgeName,
    GuestName,
    MalformedIdentifier,
    NodeName,
    PoolId,
    PveUserId,
    StorageId,
    Tag,
    TokenId,
    Upid,
    VmId,
    Volid,
)
from app.pve import (
    ContainerApi,
    ContainerCreate,
    ContainerSettings,
    Endpoint,
    GuestConfig,
    Pve,
    VmApi,
    VmCreate,
    VmSettings,
)
from tests.pve.conftest import API, UPID
from tests.pve.schema import assert_known

N1 = NodeName("n1")
CT = f"{API}/nodes/n1/lxc/5001"
VM = f"{API}/nodes/n1/qemu/5002"
TASKS = f"{API}/nodes/n1/tasks"
NET = Network(BridgeName("vmbr0"))
ALICE = PveUserId("alice@pve")


@pytest.fixture(autouse=True)
def l48_known_to_pve(wire: requests_mock.Mocker) -> Iterator[None]:
    """L48: whatever a test here sends passes PVE's own schema."""
    yield
    assert_known(wire)


def form(wire: requests_mock.Mocker) -> dict[str, str]:
    return dict(
        parse_qsl(wire.last_request.text or "", keep_blank_values=True, strict_parsing=bool(wire.last_request.text))
    )


# -- guests


def ct_spec(*, nesting: bool = False, **more: Any) -> ContainerCreate:
    return ContainerCreate(
        ContainerSettings(GuestName("c1"), memory=512, swap=0, cores=1, net=NET, tags=(Tag("web"),), nesting=nesting),
        ostemplate=Volid("local:vztmpl/debian-12.tar.zst"), storage=StorageId("local-lvm"), disk_gb=8,
        pool=PoolId("blue"), description=owner_mark("g1"), **more,
    )  # fmt: skip


def test_l16_a_container_is_created_unprivileged(wire: requests_mock.Mocker, container: ContainerApi) -> None:
    wire.post(f"{API}/nodes/n1/lxc", json={"data": UPID})
    spec = ct_spec(ssh_keys=("ssh-ed25519 AAAA me@here",), password="correct horse & co", nesting=True)
    assert container.create(spec=spec) == Upid(UPID)
    assert form(wire) == {
        "vmid": "5001", "hostname": "c1", "ostemplate": "local:vztmpl/debian-12.tar.zst", "rootfs": "local-lvm:8",
        "memory": "512", "swap": "0", "cores": "1", "pool": "blue", "description": "poolhouse-guest: g1",
        "net0": "name=eth0,bridge=vmbr0,ip=dhcp,firewall=1", "ssh-public-keys": "ssh-ed25519 AAAA me@here",
        "password": "correct horse & co", "features": "nesting=1", "unprivileged": "1",
    }  # fmt: skip
    assert "correct horse" not in repr(spec)


def test_a_plain_container_sends_only_what_was_asked(wire: requests_mock.Mocker, container: ContainerApi) -> None:
    wire.post(f"{API}/nodes/n1/lxc", json={"data": UPID})
    container.create(spec=ct_spec())
    assert not {"password", "features", "ssh-public-keys", "tags"} & set(form(wire))


def test_a_vm_with_everything(wire: requests_mock.Mocker, vm: VmApi) -> None:
    wire.post(f"{API}/nodes/n1/qemu", json={"data": UPID})
    cloud_init = CloudInit(
        "me", "pw word", ("ssh-ed25519 AA+/ me@h", "ssh-rsa B"), "10.0.0.5/24", "10.0.0.1", "1.1.1.1"
    )
    settings = VmSettings(GuestName("v1"), 2048, 2, NET, (Tag("web"), Tag("prod")), cloud_init)
    vm.create(
        spec=VmCreate(settings, StorageId("local-lvm"), 20, PoolId("blue"), owner_mark("g2"), Volid("local:iso/d.iso"))
    )
    assert form(wire) == {
        "vmid": "5002", "name": "v1", "memory": "2048", "cores": "2", "sockets": "1",
        "net0": "virtio,bridge=vmbr0,firewall=1", "tags": "web;prod", "scsihw": "virtio-scsi-single",
        "scsi0": "local-lvm:20", "ide0": "local-lvm:cloudinit", "ide2": "local:iso/d.iso,media=cdrom",
        "boot": "order=scsi0;ide2;net0", "ostype": "l26", "agent": "1", "pool": "blue",
        "description": "poolhouse-guest: g2", "ciuser": "me", "cipassword": "pw word",
        "sshkeys": "ssh-ed25519%20AA%2B%2F%20me%40h%0Assh-rsa%20B", "ipconfig0": "ip=10.0.0.5/24,gw=10.0.0.1",
        "nameserver": "1.1.1.1",
    }  # fmt: skip


def test_a_vm_of_a_disk_image_with_two_addresses(wire: requests_mock.Mocker, vm: VmApi) -> None:
    wire.post(f"{API}/nodes/n1/qemu", json={"data": UPID})
    two = CloudInit(
        ip="10.0.0.5/24", gw="10.0.0.1", ip6="2001:db8::5/64", gw6="2001:db8::1", nameserver="1.1.1.1 2001:db8::53",
        searchdomain="a.example b.example",
    )  # fmt: skip
    image = Volid("local:import/debian-13.qcow2")
    for cloud_init in (two, CloudInit(ip6="auto")):
        settings = VmSettings(GuestName("v1"), 512, 1, NET, cloud_init=cloud_init)
        vm.create(spec=VmCreate(settings, StorageId("s1"), 20, PoolId("blue"), "x", image=image))
    sent = form(wire)
    assert (sent["scsi0"], sent["ipconfig0"]) == ("s1:0,import-from=local:import/debian-13.qcow2", "ip=dhcp,ip6=auto")
    first = dict(parse_qsl(wire.request_history[-2].text or ""))
    assert first["ipconfig0"] == "ip=10.0.0.5/24,gw=10.0.0.1,ip6=2001:db8::5/64,gw6=2001:db8::1"
    assert (first["nameserver"], first["searchdomain"]) == ("1.1.1.1 2001:db8::53", "a.example b.example")


def test_a_bare_vm(wire: requests_mock.Mocker, vm: VmApi) -> None:
    wire.post(f"{API}/nodes/n1/qemu", json={"data": UPID})
    vm.create(spec=VmCreate(VmSettings(GuestName("v1"), 512, 1), StorageId("s1"), 1, PoolId("blue"), "x"))
    assert form(wire)["boot"] == "order=scsi0"
    assert not {"ide0", "ide2", "net0", "tags", "ciuser", "ipconfig0"} & set(form(wire))


def test_a_clone_of_a_vm(wire: requests_mock.Mocker, vm: VmApi) -> None:
    wire.post(f"{VM}/clone", json={"data": UPID})
    vm.clone(
        newid=VmId(5003), name=GuestName("v2"), full=True, pool=PoolId("blue"), storage=StorageId("local-lvm"),
        description="d",
    )  # fmt: skip
    assert form(wire) == {
        "newid": "5003", "name": "v2", "full": "1", "pool": "blue", "storage": "local-lvm", "description": "d",
    }  # fmt: skip


def test_l16_a_privileged_container_is_not_cloned(wire: requests_mock.Mocker, container: ContainerApi) -> None:
    clone: dict[str, Any] = {
        "newid": VmId(5003), "name": GuestName("c2"), "full": False, "pool": PoolId("blue"), "description": "d",
    }  # fmt: skip
    wire.post(f"{CT}/clone", json={"data": UPID})
    wire.get(f"{CT}/config", json={"data": {"hostname": "c", "digest": "x"}})
    with pytest.raises(PveRefused):
        container.clone(**clone)
    assert wire.call_count == 1
    wire.get(f"{CT}/config", json={"data": {"hostname": "c", "unprivileged": 1}})
    container.clone(**clone)
    assert form(wire)["full"] == "0"


def test_power_and_size(wire: requests_mock.Mocker, container: ContainerApi, vm: VmApi) -> None:
    for guest, path in ((container, CT), (vm, VM)):
        for command in ("start", "stop", "shutdown", "reboot", "suspend", "resume"):
            wire.post(f"{path}/status/{command}", json={"data": UPID})
            assert getattr(guest, command)() == UPID
        assert guest.shutdown(timeout=30, force=True) == UPID
        assert form(wire) == {"timeout": "30", "forceStop": "1"}
        wire.put(f"{path}/resize", json={"data": UPID})
        assert guest.resize("rootfs" if path == CT else "scsi0", size_gb=16) == UPID
        assert form(wire)["size"] == "16G"
        wire.delete(path, json={"data": UPID})
        assert guest.destroy() == UPID
    for disk, size in (("net0", 1), ("scsi0 ", 1), ("scsi0", 0)):
        with pytest.raises((Invalid, MalformedIdentifier)):
            vm.resize(disk, size_gb=size)


@pytest.mark.parametrize(
    "key",
    [
        "args",
        "hookscript",
        "lxc.idmap",
        "dev0",
        "hostpci0",
        "unprivileged",
        "lock",
        "rootfs",
        "net0\n",
    ],
)
def test_l15_only_what_is_listed_can_be_changed(
    wire: requests_mock.Mocker, container: ContainerApi, vm: VmApi, key: str
) -> None:
    for guest in (container, vm):
        with pytest.raises(Invalid):
            guest.update({key: "x"})
        with pytest.raises(Invalid):
            guest.update({"memory": 512}, delete=[key])
    assert wire.call_count == 0


@pytest.mark.parametrize("value", ["x", "mount=nfs", "keyctl=1", "nesting=1,mount=nfs", "nesting=1,nesting=1", ""])
def test_l15_of_a_container_s_features_only_nesting_is_switched(
    wire: requests_mock.Mocker, container: ContainerApi, vm: VmApi, value: str
) -> None:
    with pytest.raises(Invalid):
        container.update({"features": value})
    for changes, delete in (({"features": "nesting=1"}, ()), ({"memory": 512}, ("features",))):
        with pytest.raises(Invalid):
            vm.update(changes, delete=delete)
    assert wire.call_count == 0


@pytest.mark.parametrize("value", ["x", "/etc,mp=/mnt", "local-lvm:vm-9-disk-0,mp=/mnt,x=1", "/dev/sda"])
@pytest.mark.parametrize("key", ["mp0", "scsi1"])
def test_l15_a_disk_is_nothing_of_the_hosts(
    wire: requests_mock.Mocker, container: ContainerApi, vm: VmApi, key: str, value: str
) -> None:
    for guest in (container, vm):
        with pytest.raises(Invalid):
            guest.update({key: value})
    assert wire.call_count == 0


def test_l79_a_change_carries_its_digest(wire: requests_mock.Mocker, vm: VmApi) -> None:
    text = "checksum mismatch (file change by other user?)"
    wire.put(
        f"{VM}/config", [{"json": {"data": None}}, {"status_code": 500, "reason": text, "json": {"message": text}}]
    )
    vm.update({"onboot": True, "description": "two\nlines"}, delete=["tags", "nameserver"], digest="abc")
    assert form(wire) == {"onboot": "1", "description": "two\nlines", "delete": "nameserver,tags", "digest": "abc"}
    with pytest.raises(PveRefused) as caught:
        vm.update({"memory": 512}, digest="old")
    assert caught.value.code == "pve.config_changed"


def test_what_settings_leave_open_is_not_inherited(
    wire: requests_mock.Mocker, vm: VmApi, container: ContainerApi
) -> None:
    wire.put(f"{VM}/config", json={"data": None})
    settings = VmSettings(GuestName("v2"), 1024, 4, NET, cloud_init=CloudInit(user="me"))
    vm.apply(settings)
    assert form(wire) == {
        "name": "v2", "memory": "1024", "cores": "4", "sockets": "1", "net0": "virtio,bridge=vmbr0,firewall=1",
        "ciuser": "me", "ipconfig0": "ip=dhcp", "delete": "cipassword,nameserver,searchdomain,sshkeys,tags",
    }  # fmt: skip
    with pytest.raises(Invalid):
        container.apply(settings)
    wire.put(f"{CT}/config", json={"data": None})
    container.apply(ContainerSettings(GuestName("c2"), 1024, 0, 4, NET, nesting=True))
    assert form(wire) == {
        "hostname": "c2", "memory": "1024", "swap": "0", "cores": "4", "features": "nesting=1", "delete": "tags",
        "net0": "name=eth0,bridge=vmbr0,ip=dhcp,firewall=1",
    }  # fmt: skip
    container.apply(ContainerSettings(GuestName("c2"), 1024, 0, 4, NET))
    assert "features" not in form(wire)["delete"] + "".join(form(wire)), "those of the template stay"


def test_a_config_is_read_whatever_its_types(wire: requests_mock.Mocker, vm: VmApi) -> None:
    data = {
        "name": "v1",
        "memory": "2048",
        "cores": 2,
        "sockets": "2",
        "boot": "order=ide2;scsi1;net0",
        "tags": " ",
        "digest": "d",
        "scsi0": "local-lvm:vm-5002-disk-0,size=3584M",
        "scsi1": "local-lvm:vm-5002-disk-1,iothread=1,size=1T",
        "ide2": "local:iso/x.iso,media=cdrom,size=1M",
        "ide0": "local-lvm:vm-5002-cloudinit,media=cdrom",
        "lock": "backup",
        "unused0": "local-lvm:vm-5002-disk-9",
        "description": "mine\npoolhouse-guest: g2\npoolhouse-guest: g3\n",
        "template": 1,
    }
    wire.get(f"{VM}/config", json={"data": data})
    config = vm.config()
    assert (config.name, config.memory, config.cores, config.lock, config.digest) == ("v1", 2048, 4, "backup", "d")
    assert (config.template, config.unprivileged, config.tags) == (True, False, ())
    assert [(disk.name, disk.size_gb) for disk in config.disks] == [("scsi0", 3), ("scsi1", 1024)]
    assert config.boot_disk is not None
    assert config.boot_disk.name == "scsi1"
    assert config.owner_mark == owner_mark("g2")


def test_a_containers_config() -> None:
    config = GuestConfig(
        {
            "hostname": "c1",
            "memory": "512",
            "unprivileged": "1",
            "rootfs": "local-lvm:vm-1-disk-0,size=8G",
            "tags": "a;b",
        }
    )
    assert (config.name, config.memory, config.cores, config.unprivileged) == ("c1", 512, 0, True)
    assert config.tags == ("a", "b")
    assert config.boot_disk is not None
    assert (config.boot_disk.name, config.boot_disk.size_gb) == ("rootfs", 8)
    assert config.owner_mark is None
    assert GuestConfig({}).boot_disk is None


def test_a_config_of_a_guest_that_is_being_made_says_nothing_yet() -> None:
    assert not GuestConfig({"lock": "create", "digest": "abc"}).is_whole
    assert GuestConfig({"rootfs": "local-lvm:vm-1-disk-0,size=1G", "lock": "backup", "digest": "abc"}).is_whole


def test_l37_ours_is_what_carries_our_mark_now(wire: requests_mock.Mocker, container: ContainerApi) -> None:
    absent = "Configuration file 'nodes/n1/lxc/5001.conf' does not exist"
    wire.get(
        f"{CT}/config",
        [
            {"json": {"data": {"description": "poolhouse-guest: g1\n"}}},
            {"json": {"data": {"description": "poolhouse-guest: g11\n"}}},
            {"json": {"data": {"description": "they say poolhouse-guest: g1"}}},
            {"json": {"data": {"lock": "create", "digest": "x"}}},
            {"status_code": 500, "reason": absent, "json": {"message": absent}},
        ],
    )
    assert [container.owned_by(owner_mark("g1")) for _ in range(5)] == [True, False, False, False, False]


def test_l43_a_guest_that_cannot_be_read_is_not_absent(wire: requests_mock.Mocker, container: ContainerApi) -> None:
    wire.get(f"{CT}/config", status_code=403, reason="Permission check failed (/vms/5001, VM.Audit)", text="")
    with pytest.raises(PveRefused):
        container.owned_by(owner_mark("g1"))


def test_status(wire: requests_mock.Mocker, vm: VmApi) -> None:
    data = {"status": "running", "qmpstatus": "paused", "cpus": "2", "cpu": 0.25, "mem": 5, "maxmem": "9", "agent": 1}
    wire.get(f"{VM}/status/current", json={"data": data})
    status = vm.status()
    assert (status.status, status.qmpstatus, status.cpus, status.cpu, status.maxmem, status.agent, status.netin) == (
        "running", "paused", 2, 0.25, 9, True, 0,
    )  # fmt: skip


# -- addresses


def test_addresses_of_both_kinds(wire: requests_mock.Mocker, vm: VmApi, container: ContainerApi) -> None:
    listed = [
        {"ip-address": "127.0.0.1"},
        {"ip-address": "10.0.0.5"},
        {"ip-address": "fe80::1%eth0"},
        {"ip-address": "2001:db8::5"},
    ]
    wire.get(
        f"{VM}/agent/network-get-interfaces", json={"data": {"result": [{"name": "lo"}, {"ip-addresses": listed}]}}
    )
    assert vm.addresses() == ["10.0.0.5", "2001:db8::5"]
    wire.get(
        f"{CT}/interfaces",
        json={
            "data": [
                {"name": "lo", "inet": "127.0.0.1/8"},
                {"name": "eth0", "inet": "10.0.0.6/24", "inet6": "fe80::2/64"},
                {"name": "eth1", "inet": "127.18.0.9/8", "inet6": "::1/128"},
            ]
        },
    )
    assert container.addresses() == ["10.0.0.6", "127.18.0.9"], "localhost is nobody's own, its network may be"


def test_addresses_that_a_guest_is_given() -> None:
    cards = {"net0": "name=eth0,bridge=vmbr0,ip=10.0.0.6/24,ip6=2001:db8::6/64", "net1": "name=eth1,ip=dhcp,tag=3"}
    assert GuestConfig(cards).fixed_addresses == ("10.0.0.6", "2001:db8::6")
    told = {
        "ipconfig0": "gw=10.0.0.1,ip=10.0.0.7/24",
        "net0": "virtio=BC:24:11:00:00:01",
        "description": "ip=10.9.9.9/8",
    }
    assert GuestConfig(told).fixed_addresses == ("10.0.0.7",)


def test_a_cloud_init_drive_is_one_of_the_drives() -> None:
    assert GuestConfig({"ide2": "local-lvm:vm-1-cloudinit,media=cdrom"}).has_cloud_init
    assert not GuestConfig({"description": "cloudinit", "scsi0": "local-lvm:vm-1-disk-0"}).has_cloud_init


def test_templates_and_other_nodes(wire: requests_mock.Mocker, vm: VmApi, container: ContainerApi) -> None:
    for path in (VM, CT):
        wire.post(f"{path}/migrate", json={"data": UPID})
        wire.post(f"{path}/template", json={"data": UPID if path == VM else None})
    wire.get(TASKS, json={"data": []})
    vm.migrate(NodeName("n2"), running=True)
    assert wire.last_request.text == "target=n2&online=1&with-local-disks=1"
    container.migrate(NodeName("n2"), running=True)
    assert wire.last_request.text == "target=n2&restart=1"
    for api in (vm, container):
        api.migrate(NodeName("n2"), running=False)
        assert wire.last_request.text == "target=n2"
    assert vm.make_template() == UPID
    assert container.make_template() is None, "PVE tells no task, and shows none"


@pytest.mark.parametrize(
    "silence",
    [
        {"status_code": 500, "reason": "No QEMU guest agent configured", "text": ""},
        {"status_code": 500, "reason": "QEMU guest agent is not running", "text": ""},
        {"status_code": 500, "reason": "VM 5002 is not running", "text": ""},
        {
            "status_code": 500,
            "reason": "VM 5002 qga command 'guest-network-get-interfaces' failed - got timeout",
            "text": "",
        },
        {"exc": requests.ReadTimeout("silent")},
        {"json": {"data": None}},
    ],
)
def test_l78_a_silent_agent_has_no_addresses_and_is_asked_once(
    wire: requests_mock.Mocker, vm: VmApi, silence: dict[str, Any]
) -> None:
    wire.get(f"{VM}/agent/network-get-interfaces", **silence)
    for _ in range(8):
        assert vm.addresses() == []
    assert wire.call_count == 8
    assert wire.last_request.timeout[1] <= 3


# -- tasks


def row(upid: str, **more: Any) -> dict[str, Any]:
    return {"upid": upid, "type": "vzcreate", "id": "5001", "user": "ta@pve!ph", "starttime": int(time.time()), **more}


def test_l38_a_lost_task_is_found_again(wire: requests_mock.Mocker, container: ContainerApi) -> None:
    now = int(time.time())
    foreign = UPID.replace("ta@pve!ph", "tb@pve!ph")
    older = UPID.replace("0000AAAA", "0000AAAB")
    wire.get(
        TASKS,
        json={
            "data": [
                row(foreign, user="tb@pve!ph", starttime=now + 5, status="RUNNING"),
                row("no task id", starttime=now + 9),
                row(older, user="ta@pve", tokenid="ph", status="OK", starttime=now - 30, endtime=now - 20),
                row(UPID, status="RUNNING", starttime=now - 10),
            ]
        },
    )
    assert container.find_task("vzcreate", since=now) == UPID
    assert wire.last_request.qs["since"] == [str(now - 60)]
    assert wire.last_request.qs["source"] == ["all"]


def test_a_task_before_the_margin_or_of_another_token_is_not_the_lost_one(
    wire: requests_mock.Mocker, container: ContainerApi
) -> None:
    now = int(time.time())
    wire.get(TASKS, json={"data": [row(UPID, user="ta@pve"), row(UPID, status="OK", starttime=now - 300)]})
    assert container.find_task("vzcreate", since=now) is None


def test_tasks_newest_first(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(TASKS, json={"data": [row(UPID, starttime=1, status="RUNNING"), row(UPID, starttime="2", status="OK")]})
    first, second = pve.node(N1).tasks(vmid=VmId(5001), typefilter="vzcreate", since=0, source="active", limit=10)
    assert (first.status, second.status) == ("OK", None)
    assert (first.user, first.tokenid) == ("ta@pve", "ph")
    with pytest.raises(Invalid):
        pve.node(N1).tasks(source="every")


@pytest.mark.parametrize(
    ("data", "running", "ok"),
    [
        ({"status": "running"}, True, False),
        ({"status": "stopped", "exitstatus": "OK"}, False, True),
        ({"status": "stopped", "exitstatus": "WARNINGS: 2"}, False, True),
        ({"status": "stopped", "exitstatus": "WARNINGS are not all"}, False, False),
        ({"status": "stopped", "exitstatus": "OK, almost"}, False, False),
        ({"status": "stopped"}, False, False),
    ],
)
def test_l71_done_means_that_the_task_ended_well(
    wire: requests_mock.Mocker, pve: Pve, data: dict[str, Any], running: bool, ok: bool
) -> None:
    wire.get(f"{TASKS}/{UPID}/status", json={"data": data})
    status = pve.node(N1).task_status(Upid(UPID))
    assert (status.running, status.ok) == (running, ok)


def test_l72_a_task_that_pve_does_not_know_is_absent_unless_it_is_new(wire: requests_mock.Mocker, pve: Pve) -> None:
    answer = {
        "status_code": 400,
        "json": {"message": "Parameter verification failed.\n", "errors": {"upid": "no such task"}},
    }
    new = Upid(UPID.replace("60000000", f"{int(time.time()):08X}"))
    wire.get(f"{TASKS}/{UPID}/status", **answer)
    wire.get(f"{TASKS}/{new}/status", **answer)
    assert pve.node(N1).task_status(new).running
    with pytest.raises(PveAbsent):
        pve.node(N1).task_status(Upid(UPID))


def test_a_tasks_log_and_its_end(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(f"{TASKS}/{UPID}/log", json={"data": [{"n": 2, "t": "TASK OK"}, {"n": 1, "t": "creating"}]})
    wire.delete(f"{TASKS}/{UPID}", json={"data": None})
    assert pve.node(N1).task_log(Upid(UPID), limit=20) == ["creating", "TASK OK"]
    pve.node(N1).stop_task(Upid(UPID))


# -- nodes, storages, cluster


def test_resources_in_one_call(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(
        f"{API}/cluster/resources",
        json={
            "data": [
                {"type": "pool", "pool": "a", "id": "/pool/a"},
                {
                    "type": "qemu",
                    "vmid": 100,
                    "node": "n1",
                    "name": "va",
                    "status": "running",
                    "maxmem": 536870912,
                    "maxcpu": 1,
                    "maxdisk": 1073741824,
                    "mem": 7,
                    "cpu": 0.5,
                    "uptime": 3,
                    "tags": "x;y",
                    "pool": "a",
                    "template": 0,
                },
                {"type": "lxc", "vmid": 200, "node": "n1", "id": "lxc/200"},
                {"type": "node", "node": "n1", "status": "online", "maxcpu": 2, "cpu": 0.1, "maxmem": 10, "mem": 1},
                {"type": "node", "node": "n2", "status": "offline"},
                {
                    "type": "storage",
                    "storage": "local",
                    "node": "n1",
                    "status": "available",
                    "shared": 0,
                    "content": "backup,iso",
                    "maxdisk": 9,
                    "disk": 4,
                    "plugintype": "dir",
                },
                {"type": "network", "network": "localnetwork", "node": "n1"},
            ]
        },
    )
    seen = pve.cluster.resources()
    assert wire.call_count == 1
    vm, ct = seen.guests
    assert (vm.vmid, vm.kind, vm.memory, vm.cores, vm.disk, vm.mem, vm.tags, vm.pool, vm.template) == (
        100, GuestKind.VM, 512, 1, 1073741824, 7, ("x", "y"), "a", False,
    )  # fmt: skip
    assert (ct.kind, ct.status, ct.name, ct.pool) == (GuestKind.CT, "unknown", "", None)
    assert [(node.node, node.status) for node in seen.nodes] == [("n1", "online"), ("n2", "offline")]
    assert seen.storages[0].content == {"backup", "iso"}
    assert (seen.storages[0].total, seen.storages[0].used, seen.storages[0].shared) == (9, 4, False)
    assert seen.pools == ("a",)


def test_quorum(wire: requests_mock.Mocker, pve: Pve) -> None:
    node = {"type": "node", "name": "n1", "online": 1}
    wire.get(
        f"{API}/cluster/status",
        [{"json": {"data": [{"type": "cluster", "name": "c", "quorate": 0}, node]}}, {"json": {"data": [node]}}],
    )
    without = pve.cluster.status()
    assert (without.name, without.quorate, without.nodes) == ("c", False, {"n1": True})
    assert pve.cluster.status().quorate


def test_a_node(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(
        f"{API}/nodes/n1/status",
        json={"data": {"pveversion": "pve-manager/9.1.8/x", "kversion": "Linux", "cpu": 0.1, "uptime": 5,
                       "loadavg": ["0.10", "0.2", "0.3"], "memory": {"total": 9, "used": 4}, "cpuinfo": {"cpus": 8}}},
    )  # fmt: skip
    wire.get(
        f"{API}/nodes/n1/network",
        json={"data": [{"iface": "vmbr0", "type": "bridge", "active": 1, "cidr": "10.0.0.1/24"}]},
    )
    wire.get(
        f"{API}/nodes/n1/storage", json={"data": [{"storage": "local", "type": "dir", "content": "iso", "active": 1}]}
    )
    node = pve.node(N1)
    assert (node.status().cpus, node.status().memory_total, node.status().loadavg) == (8, 9, (0.1, 0.2, 0.3))
    assert [(bridge.iface, bridge.cidr) for bridge in node.network()] == [("vmbr0", "10.0.0.1/24")]
    assert node.bridges() == ["vmbr0"]
    assert wire.last_request.qs == {"type": ["any_bridge"]}
    assert [(shelf.storage, shelf.active, shelf.enabled) for shelf in node.storages()] == [("local", True, False)]


def test_volumes(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(
        f"{API}/nodes/n1/storage/local/content",
        json={
            "data": [
                {"volid": "local:iso/a.iso", "content": "iso", "format": "iso", "size": 9, "ctime": 5},
                {"volid": "local:iso/what a name.iso", "content": "iso"},
                {
                    "volid": "local-lvm:vm-100-disk-0",
                    "content": "images",
                    "size": "7",
                    "vmid": "100",
                    "ctime": "6",
                    "protected": 1,
                },
            ]
        },
    )
    iso, disk = pve.node(N1).storage_content(StorageId("local"), content="iso", vmid=VmId(100))
    assert (iso.volid, iso.vmid, iso.size) == ("local:iso/a.iso", None, 9)
    assert (disk.vmid, disk.size, disk.ctime, disk.protected) == (100, 7, 6, True)
    wire.delete(f"{API}/nodes/n1/storage/local/content/local:iso/a.iso", json={"data": UPID})
    wire.get(f"{API}/nodes/n1/storage/local/content/local:import/a.qcow2", json={"data": {"size": 3 << 30}})
    assert pve.node(N1).volume_size(Volid("local:import/a.qcow2")) == 3 << 30
    assert pve.node(N1).delete_volume(Volid("local:iso/a.iso")) == UPID


# -- access and pools


def refuse(text: str, status: int = 500) -> dict[str, Any]:
    return {"status_code": status, "reason": text, "json": {"data": None, "message": f"{text}\n"}}


def test_roles(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(
        f"{API}/access/roles",
        json={"data": [{"roleid": "R", "privs": "VM.Audit,VM.Clone"}, {"roleid": "N", "privs": ""}]},
    )
    wire.post(f"{API}/access/roles", [{"json": {"data": None}}, refuse("create role failed: role 'R' already exists")])
    wire.put(f"{API}/access/roles/R", json={"data": None})
    assert pve.access.roles() == {"R": {"VM.Audit", "VM.Clone"}, "N": frozenset()}
    assert pve.access.create_role("R", {"VM.Clone", "VM.Audit"})
    assert form(wire) == {"roleid": "R", "privs": "VM.Audit,VM.Clone"}
    assert not pve.access.create_role("R", ["VM.Audit"])
    pve.access.update_role("R", frozenset(["SDN.Use"]))
    assert form(wire) == {"privs": "SDN.Use"}


def test_users(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.post(
        f"{API}/access/users", [{"json": {"data": None}}, refuse("create user failed: user 'alice@pve' already exists")]
    )
    wire.get(
        f"{API}/access/users/alice@pve",
        [{"json": {"data": {"comment": "c", "enable": 1}}}, refuse("no such user ('alice@pve')")],
    )
    wire.delete(f"{API}/access/users/alice@pve", json={"data": None})
    assert pve.access.create_user(ALICE, comment="c")
    assert not pve.access.create_user(ALICE, comment="c")
    assert pve.access.user(ALICE).comment == "c"
    with pytest.raises(PveAbsent):
        pve.access.user(ALICE)
    pve.access.delete_user(ALICE)


def test_tokens(wire: requests_mock.Mocker, pve: Pve) -> None:
    url = f"{API}/access/users/alice@pve/token/ph"
    twice = {
        "status_code": 400,
        "json": {"message": "Parameter verification failed.", "errors": {"tokenid": "Token already exists."}},
    }
    wire.post(url, [{"json": {"data": {"value": "s", "info": {}}}}, twice])
    wire.get(
        url,
        [
            {"json": {"data": {"privsep": 1, "expire": 0, "comment": "c"}}},
            refuse("no such token 'ph' for user 'alice@pve'"),
            refuse("no such user ('alice@pve')"),
        ],
    )
    wire.delete(url, [{"json": {"data": None}}, refuse("no such token 'ph' for user 'alice@pve'")])
    assert pve.access.create_token(ALICE, "ph", comment="c") == "s"
    assert form(wire) == {"privsep": "1", "comment": "c"}
    with pytest.raises(PveRefused) as caught:
        pve.access.create_token(ALICE, "ph", comment="c")
    assert caught.value.code == "pve.exists"
    token = pve.access.token(ALICE, "ph")
    assert token is not None
    assert (token.id, token.privsep, token.expire, token.comment) == ("alice@pve!ph", True, None, "c")
    assert pve.access.token(ALICE, "ph") is None
    with pytest.raises(PveAbsent):
        pve.access.token(ALICE, "ph")
    assert pve.access.delete_token(ALICE, "ph")
    assert not pve.access.delete_token(ALICE, "ph")


def test_rights(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.put(
        f"{API}/access/acl",
        [
            {"json": {"data": None}},
            {"json": {"data": None}},
            refuse("ACL update failed: user 'alice@pve' does not exist"),
        ],
    )
    pve.access.grant("/pool/blue", "R", user=ALICE)
    assert form(wire) == {"path": "/pool/blue", "roles": "R", "users": "alice@pve", "propagate": "1"}
    assert pve.access.revoke("/pool/blue", "R", token=TokenId("alice@pve!ph"))
    assert form(wire) == {"path": "/pool/blue", "roles": "R", "tokens": "alice@pve!ph", "delete": "1"}
    assert not pve.access.revoke("/pool/blue", "R", user=ALICE)
    wire.get(f"{API}/access/permissions", json={"data": {"/pool/blue": {"VM.Audit": 1, "Pool.Audit": 0}, "/x": {}}})
    assert pve.access.permissions("/pool/blue") == {"/pool/blue": {"VM.Audit", "Pool.Audit"}, "/x": frozenset()}


def test_pools(wire: requests_mock.Mocker, pve: Pve) -> None:
    blue = PoolId("blue")
    wire.post(f"{API}/pools", [{"json": {"data": None}}, refuse("create pool failed: pool 'blue' already exists")])
    wire.get(f"{API}/pools", json={"data": [{"poolid": "blue", "comment": "c"}, {"poolid": "a/b"}]})
    members = [{"type": "lxc", "vmid": 5001}, {"type": "qemu", "vmid": "5002"}, {"type": "storage", "storage": "local"}]
    wire.get(
        f"{API}/pools/blue",
        [{"json": {"data": {"comment": "c", "members": members}}}, refuse("pool 'blue' does not exist")],
    )
    assert pve.pools.create(blue, comment="c")
    assert not pve.pools.create(blue, comment="c")
    assert [pool.poolid for pool in pve.pools.list()] == ["blue", "a/b"]
    pool = pve.pools.get(blue)
    assert (pool.poolid, pool.comment, pool.vmids, pool.storages) == ("blue", "c", {5001, 5002}, {"local"})
    with pytest.raises(PveAbsent):
        pve.pools.get(blue)


def test_pool_members(wire: requests_mock.Mocker, pve: Pve) -> None:
    blue = PoolId("blue")
    done = {"json": {"data": None}}
    already = refuse("update pools failed: VM 5001 is already a pool member")
    elsewhere = refuse("update pools failed: VM 5001 belongs already to pool 'a' and 'allow-move' is not set")
    wire.put(
        f"{API}/pools",
        [done, already, already, elsewhere, done, refuse("update pools failed: VM 5001 is not a pool member"), done],
    )
    assert pve.pools.add_guests(blue, [VmId(5001), VmId(5002)], allow_move=True)
    assert form(wire) == {"poolid": "blue", "vms": "5001,5002", "allow-move": "1"}
    assert not pve.pools.add_guests(blue, [VmId(5001)])
    with pytest.raises(PveRefused):
        pve.pools.add_guests(blue, [VmId(5001), VmId(5002)])
    with pytest.raises(PveRefused):
        pve.pools.add_guests(blue, [VmId(5001)])
    assert pve.pools.remove_guests(blue, [VmId(5001)])
    assert form(wire) == {"poolid": "blue", "vms": "5001", "delete": "1"}
    assert not pve.pools.remove_guests(blue, [VmId(5001)])
    pve.pools.update(blue, comment="new")
    with pytest.raises(PveRefused):
        pve.pools.add_guests(blue, [])
    wire.delete(
        f"{API}/pools",
        [
            done,
            refuse("delete pool failed: pool 'blue' does not exist"),
            refuse("delete pool failed: pool 'blue' is not empty (contains VM 5101)"),
        ],
    )
    assert pve.pools.delete(blue)
    assert not pve.pools.delete(blue)
    with pytest.raises(PveRefused) as caught:
        pve.pools.delete(blue)
    assert caught.value.code == "pve.not_empty"


def test_a_first_token_is_made_with_a_password(wire: requests_mock.Mocker, endpoint: Endpoint) -> None:
    ticket = {"data": {"ticket": "PVE:root@pam:X::abc==", "CSRFPreventionToken": "csrf"}}
    wire.post(f"{API}/access/ticket", json=ticket)
    url = f"{API}/access/users/root@pam/token/poolhouse"
    wire.delete(url, **refuse("no such token 'poolhouse' for user 'root@pam'"))
    wire.post(url, json={"data": {"value": "s3cret"}})
    assert Pve.make_token(endpoint, "root@pam", "pw", "poolhouse") == "s3cret"
    assert wire.last_request.headers["CSRFPreventionToken"] == "csrf"
    assert wire.last_request.headers["Cookie"] == "PVEAuthCookie=PVE:root@pam:X::abc=="
