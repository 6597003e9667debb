"""The gateway against the lab: real TLS, PVE's own checks, PVE's own troubles."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import PveAbsent, PveDenied, PveLocked, PveRefused, PveTimeout, PveUnreachable
from app.domain.guests import CloudInit, Network, owner_mark
from app.domain.identifiers import (
    BridgeName,
    GuestName,
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
    ApiToken,
    ContainerCreate,
    ContainerSettings,
    Endpoint,
    Pve,
    PveConnections,
    TaskStatus,
    VmCreate,
    VmSettings,
)

process = pytest.importorskip("tests.lab.process", reason="the lab's process is not at hand")

N1 = NodeName("n1")
BLUE = PoolId("blue")
USER = PveUserId("blue@pve")
TOKEN = TokenId("blue@pve!ph")
THIN = StorageId("local-lvm")
NET = Network(BridgeName("vmbr0"))
GUEST_RIGHTS = [
    "VM.Allocate", "VM.Audit", "VM.Clone", "VM.PowerMgmt", "VM.GuestAgent.Audit", "Pool.Audit",
    *(f"VM.Config.{part}" for part in ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options")),
]  # fmt: skip


@dataclass
class Site:
    """A lab with one tenant in it."""

    lab: Any
    endpoint: Endpoint
    connections: PveConnections
    admin: Pve
    tenant: Pve

    def end(self, upid: Upid) -> TaskStatus:
        node = self.tenant.node(upid.node)
        for _ in range(200):
            status = node.task_status(upid)
            if not status.running:
                return status
            time.sleep(0.05)
        raise AssertionError("the task does not end")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    lab = process.LabProcess.start(state="fresh", time_scale=0)
    endpoint = Endpoint(lab.url, ca_pem=Path(lab.ca_file).read_text())
    connections = PveConnections()
    secret = Pve.make_token(endpoint, "root@pam", lab.password, "gateway")
    admin = connections.connect(endpoint, ApiToken(TokenId("root@pam!gateway"), secret))
    access = admin.access
    access.create_role("Guest", GUEST_RIGHTS)
    access.create_role("Store", ["Datastore.AllocateSpace", "Datastore.Audit"])
    access.create_role("Net", ["SDN.Use"])
    admin.pools.create(BLUE, comment="mine")
    access.create_user(USER, comment="mine")
    token = ApiToken(TOKEN, access.create_token(USER, TOKEN.name, comment="mine"))
    for path, role in (
        ("/pool/blue", "Guest"), ("/storage/local", "Store"), ("/storage/local-lvm", "Store"),
        ("/sdn/zones/localnetwork/vmbr0", "Net"),
    ):  # fmt: skip
        access.grant(path, role, user=USER, token=TOKEN)
    yield Site(lab, endpoint, connections, admin, connections.connect(endpoint, token))
    connections.close()
    lab.stop()


def container(name: str, *, nesting: bool = False, **more: Any) -> ContainerCreate:
    return ContainerCreate(
        ContainerSettings(GuestName(name), memory=128, swap=0, cores=1, net=NET, nesting=nesting),
        ostemplate=Volid("local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"), storage=THIN, disk_gb=1,
        pool=BLUE, description=owner_mark(name), **more,
    )  # fmt: skip


def test_what_a_cluster_is(site: Site) -> None:
    assert site.admin.version().release == "9.1"
    assert site.admin.cluster.status().quorate
    resources = site.admin.cluster.resources()
    assert {node.node for node in resources.nodes} == {"n1", "n2"}
    assert {storage.storage for storage in resources.storages} == {"local", "local-lvm"}
    assert "blue" in resources.pools
    node = site.admin.node(N1)
    assert node.status().cpus > 0
    assert {volume.content for volume in node.storage_content(StorageId("local"))} == {"iso", "vztmpl"}
    assert "VM.Allocate" in site.tenant.access.permissions("/pool/blue")["/pool/blue"]


def test_a_containers_life_with_the_tenants_token(site: Site) -> None:
    began = time.time()
    guest = site.tenant.node(N1).lxc(VmId(5001))
    upid = guest.create(spec=container("c1", password="long enough", nesting=True))
    assert site.end(upid).ok
    assert guest.find_task("vzcreate", since=began) == upid
    config = guest.config()
    assert (config.unprivileged, config.memory, config.cores, config.name) == (True, 128, 1, "c1")
    assert guest.owned_by(owner_mark("c1"))
    assert site.end(guest.start()).ok
    assert guest.status().status == "running"
    with pytest.raises(PveRefused) as caught:
        guest.start()
    assert caught.value.code == "pve.already_running"
    assert site.end(guest.resize("rootfs", size_gb=2)).ok
    assert guest.config().boot_disk is not None
    assert guest.config().boot_disk.size_gb == 2  # type: ignore[union-attr]
    guest.update({"memory": 256}, digest=guest.config().digest)
    with pytest.raises(PveRefused) as caught:
        guest.update({"memory": 512}, digest="0" * 40)
    assert caught.value.code == "pve.config_changed"
    assert site.admin.pools.get(BLUE).vmids == {5001}
    with pytest.raises(PveRefused) as caught:
        site.admin.pools.delete(BLUE)
    assert caught.value.code == "pve.not_empty"
    assert site.end(guest.stop()).ok
    assert site.end(guest.destroy()).ok
    with pytest.raises(PveAbsent):
        site.admin.node(N1).lxc(VmId(5001)).config()


def test_a_vm_and_its_clone(site: Site) -> None:
    node = site.tenant.node(N1)
    settings = VmSettings(GuestName("v1"), 512, 1, NET, (Tag("web"),), CloudInit("me", "secret pw"))
    wanted = VmCreate(settings, THIN, 1, BLUE, owner_mark("v1"), Volid("local:iso/debian-12.12.0-amd64-netinst.iso"))
    assert site.end(node.qemu(VmId(5002)).create(spec=wanted)).ok
    clone = node.qemu(VmId(5002)).clone(
        newid=VmId(5003), name=GuestName("v2"), full=True, pool=BLUE, storage=THIN, description=owner_mark("v2")
    )
    assert site.end(clone).ok
    copy = node.qemu(VmId(5003))
    copy.apply(VmSettings(GuestName("v2"), 1024, 2, NET, cloud_init=CloudInit("you")))
    config = copy.config()
    assert (config.memory, config.cores, config.tags, config.values["ciuser"]) == (1024, 2, (), "you")
    assert "cipassword" not in config.values
    assert config.owner_mark == owner_mark("v2")
    assert config.boot_disk is not None
    assert config.boot_disk.name == "scsi0"
    assert copy.addresses() == []
    for vmid in (5002, 5003):
        assert site.end(node.qemu(VmId(vmid)).destroy()).ok


def test_strangers_are_refused_not_absent(site: Site) -> None:
    with pytest.raises(PveRefused) as caught:
        site.tenant.node(N1).lxc(VmId(9999)).config()
    assert type(caught.value) is PveRefused


def test_l70_a_dead_token_is_denied(site: Site) -> None:
    stranger = site.connections.connect(site.endpoint, ApiToken(TOKEN, "00000000-0000-0000-0000-000000000000"))
    with pytest.raises(PveDenied):
        stranger.version()


def test_l74_a_lost_reply_is_settled_by_looking(site: Site) -> None:
    began = time.time()
    guest = site.tenant.node(N1).lxc(VmId(5010))
    with site.lab.fault(method="POST", path="/nodes/[^/]+/lxc", kind="lost_reply", count=1), pytest.raises(PveTimeout):
        guest.create(spec=container("c10"))
    lost = guest.find_task("vzcreate", since=began)
    assert lost is not None
    assert site.end(lost).ok
    assert guest.owned_by(owner_mark("c10"))
    assert site.end(guest.destroy()).ok


def test_l74_a_get_survives_a_cut_connection(site: Site) -> None:
    with site.lab.fault(method="GET", path="/access/roles", kind="close", count=2):
        assert "Guest" in site.admin.access.roles()


def test_a_node_that_is_away(site: Site) -> None:
    with site.lab.fault(path="/nodes/n2/.*", kind="unreachable"):
        with pytest.raises(PveUnreachable):
            site.admin.node(NodeName("n2")).storages()
        assert site.admin.node(N1).storages()


def test_a_lock_that_pve_does_not_get(site: Site) -> None:
    text = "create pool failed: cfs-lock 'file-user_cfg' error: got lock request timeout"
    rule: dict[str, Any] = {"method": "POST", "path": "/pools", "kind": "refuse", "status": 500, "text": text}
    with site.lab.fault(**rule, count=1), pytest.raises(PveLocked):
        site.admin.pools.create(PoolId("green"), comment="")
