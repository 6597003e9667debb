"""A history of a cluster, told by a seed: calls of every room of the API, good ones and bad ones, in any order."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.lab.process import LabProcess, Session
from tests.lab.test_control import TEMPLATE

_IDS = range(100, 108)


class History:
    """What root and a tenant do; refusals and failing tasks are a part of it."""

    def __init__(self, lab: LabProcess, seed: int) -> None:
        self._lab = lab
        self._root: Session = lab.login()
        self._dice = random.Random(seed)
        self.statuses: list[int] = []

    def happen(self, calls: int) -> None:
        """So many calls; every task ends before the next one."""
        deeds: list[Callable[[], None]] = [
            self._guest,
            self._change,
            self._power,
            self._snapshot,
            self._access,
            self._rest,
        ]
        for _ in range(calls):
            self._dice.choice(deeds)()

    def _do(self, method: str, path: str, /, **params: object) -> None:
        answer = self._root.call(method, path, **params)
        self.statuses.append(answer.status_code)
        data = answer.json()["data"] if answer.status_code == 200 else None
        if isinstance(data, str) and data.startswith("UPID:"):
            self._root.wait(data)

    def _path(self) -> str:
        vmid = self._dice.choice(_IDS)
        return f"/nodes/{self._dice.choice(['n1', 'n2'])}/{'lxc' if vmid % 2 else 'qemu'}/{vmid}"

    def _guest(self) -> None:
        node, vmid = self._dice.choice(["n1", "n1", "n2"]), self._dice.choice(_IDS)
        if vmid % 2:
            self._do("POST", f"/nodes/{node}/lxc", vmid=vmid, ostemplate=TEMPLATE, storage="local-lvm", tags="a;b")
        elif self._dice.random() < 0.7:
            options = {"scsi0": "local-lvm:1", "ide2": "local-lvm:cloudinit", "net0": "virtio,bridge=vmbr0", "agent": 1}
            self._do("POST", f"/nodes/{node}/qemu", vmid=vmid, name=f"vm{vmid}", **options)
        else:
            self._do("POST", f"{self._path()}/clone", newid=vmid, full=1)

    def _change(self) -> None:
        change = self._dice.choice(
            [{"description": 'ä\n"é" \\'}, {"cores": 3}, {"memory": 768}, {"delete": "cores"}, {"onboot": 1}]
        )
        self._do("PUT", f"{self._path()}/config", **change)
        if self._dice.random() < 0.3:
            disk = self._dice.choice(["scsi0", "rootfs"])
            self._do("PUT", f"{self._path()}/resize", disk=disk, size="+1G")

    def _power(self) -> None:
        self._do("POST", f"{self._path()}/status/{self._dice.choice(['start', 'start', 'stop', 'suspend', 'reset'])}")

    def _snapshot(self) -> None:
        name, path = self._dice.choice(["one", "two"]), f"{self._path()}/snapshot"
        deed = self._dice.choice(["make", "make", "rollback", "delete"])
        if deed == "make":
            self._do("POST", path, snapname=name, description="s")
        elif deed == "delete":
            self._do("DELETE", f"{path}/{name}")
        else:
            self._do("POST", f"{path}/{name}/rollback")

    def _access(self) -> None:
        name = self._dice.choice("abc")
        deeds: list[tuple[str, str, dict[str, object]]] = [
            ("POST", "/access/users", {"userid": f"{name}@pve", "password": "a-password", "groups": ""}),
            ("POST", "/access/groups", {"groupid": name}),
            ("PUT", f"/access/users/{name}@pve", {"groups": name, "email": "a@example.com"}),
            ("POST", f"/access/users/{name}@pve/token/t1", {"expire": 1_900_000_000}),
            ("POST", "/access/roles", {"roleid": f"Role{name}", "privs": "VM.Audit Pool.Audit"}),
            ("PUT", "/access/acl", {"path": f"/pool/{name}", "roles": "PVEVMUser", "groups": name, "propagate": 0}),
            ("PUT", "/access/acl", {"path": "/vms/100", "roles": "NoAccess", "tokens": f"{name}@pve!t1"}),
            ("POST", "/pools", {"poolid": name, "comment": "c"}),
            ("PUT", f"/pools/{name}", {"vms": "100,103", "storage": "local", "allow__move": 1}),
            ("DELETE", f"/access/users/{name}@pve", {}),
        ]
        method, path, params = self._dice.choice(deeds)
        self._do(method, path, **params)

    def _rest(self) -> None:
        rule = {"type": "in", "action": "ACCEPT", "enable": 1, "proto": "tcp", "dport": "22"}
        deeds: list[tuple[str, str, dict[str, object]]] = [
            ("POST", f"{self._path()}/firewall/rules", rule),
            ("PUT", f"{self._path()}/firewall/options", {"enable": 1}),
            ("POST", "/cluster/firewall/rules", rule),
            ("POST", "/cluster/firewall/aliases", {"name": "here", "cidr": "10.0.0.0/8"}),
            ("POST", "/cluster/firewall/ipset", {"name": "many"}),
            ("POST", "/cluster/firewall/ipset/many", {"cidr": "10.1.2.3"}),
            ("POST", "/cluster/firewall/groups", {"group": "web"}),
            ("POST", "/nodes/n1/vzdump", {"vmid": "101", "storage": "local", "compress": "zstd"}),
            ("POST", "/cluster/backup", {"schedule": "daily", "storage": "local", "vmid": "101"}),
            ("PUT", "/cluster/options", {"keyboard": "de", "next__id": "lower=100,upper=2000"}),
            (
                "POST",
                "/storage",
                {"storage": "far", "type": "nfs", "server": "10.0.0.9", "export": "/x", "content": "iso"},
            ),
            ("PUT", "/nodes/n2/config", {"description": "second"}),
            ("POST", f"{self._path()}/vncproxy", {"websocket": 1}),
            ("POST", f"{self._path()}/migrate", {"target": "n2"}),
        ]
        method, path, params = self._dice.choice(deeds)
        self._do(method, path, **params)
