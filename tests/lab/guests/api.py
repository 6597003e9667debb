"""A thin client of a lab for tests: calls as somebody, tasks waited for, faults set."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.process import LabProcess, Session

TEMPLATE = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"
ISO = "local:iso/debian-12.12.0-amd64-netinst.iso"
TENANT_ROLE = (
    "VM.Allocate,VM.Audit,VM.Clone,VM.Config.CDROM,VM.Config.CPU,VM.Config.Cloudinit,VM.Config.Disk,VM.Config.HWType,"
    "VM.Config.Memory,VM.Config.Network,VM.Config.Options,VM.Console,VM.PowerMgmt,VM.Snapshot,VM.Snapshot.Rollback,"
    "VM.Backup,VM.GuestAgent.Audit,Pool.Audit"
)


@dataclass(frozen=True)
class Answer:
    status: int
    reason: str
    data: Any
    errors: dict[str, str] | None = None


class Api:
    """Calls to a lab as one identity."""

    def __init__(self, lab: LabProcess, session: Session) -> None:
        self._lab, self._session = lab, session

    @classmethod
    def root(cls, lab: LabProcess) -> "Api":
        """root@pam by ticket."""
        return cls(lab, lab.login())

    def by_token(self, token: str, secret: str) -> "Api":
        return Api(self._lab, self._lab.token(token, secret))

    def ask(self, method: str, path: str, /, **params: Any) -> Answer:
        """A call. `_` in a parameter's name stands for PVE's `-`, unless the name ends in one."""
        named = {key if key.endswith("_") else f"{key.replace('_', '__')}_": value for key, value in params.items()}
        answer = self._session.call(method, path, **named)
        body = answer.json() if answer.content else {}
        return Answer(answer.status_code, answer.reason, body.get("data"), body.get("errors"))

    def get(self, path: str, /, **params: Any) -> Any:
        answer = self.ask("GET", path, **params)
        assert answer.status == 200, answer
        return answer.data

    def do(self, method: str, path: str, /, **params: Any) -> Any:
        answer = self.ask(method, path, **params)
        assert answer.status == 200, answer
        return answer.data

    def ended(self, upid: str, node: str = "n1") -> str:
        """The exit status of a task, once it has one."""
        for _ in range(600):
            found = self.get(f"/nodes/{node}/tasks/{upid}/status")
            if found["status"] == "stopped":
                return str(found["exitstatus"])
            time.sleep(0.02)
        raise AssertionError(f"{upid} does not end")

    def task(self, method: str, path: str, /, **params: Any) -> str:
        """Start a task and wait for its exit status."""
        return self.ended(self.do(method, path, **params))

    @contextmanager
    def fault(self, **rule: Any) -> Iterator[None]:
        """A fault of the lab while the block runs."""
        with self._lab.fault(**rule):
            yield

    def tenant(self, pool: str) -> "Api":
        """A pool with a user and its token, with the rights that a tenant has (facts.md section 11)."""
        user = f"{pool}@pve"
        for role, privileges in (
            ("Guest", TENANT_ROLE),
            ("Store", "Datastore.AllocateSpace,Datastore.Audit"),
            ("Net", "SDN.Use"),
        ):
            self.ask("POST", "/access/roles", roleid=role, privs=privileges)
        self.do("POST", "/pools", poolid=pool)
        self.do("POST", "/access/users", userid=user)
        secret = self.do("POST", f"/access/users/{user}/token/ph", privsep=1)["value"]
        for path, role in (
            (f"/pool/{pool}", "Guest"),
            ("/storage/local-lvm", "Store"),
            ("/storage/local", "Store"),
            ("/sdn/zones/localnetwork/vmbr0", "Net"),
        ):
            self.do("PUT", "/access/acl", path=path, users=user, roles=role)
            self.do("PUT", "/access/acl", path=path, tokens=f"{user}!ph", roles=role)
        return self.by_token(f"{user}!ph", secret)

    def container(self, vmid: int, **params: Any) -> str:
        base: dict[str, Any] = {"vmid": vmid, "ostemplate": TEMPLATE, "rootfs": "local-lvm:1"}
        return self.task("POST", "/nodes/n1/lxc", **(base | params))

    def machine(self, vmid: int, **params: Any) -> str:
        return self.task("POST", "/nodes/n1/qemu", vmid=vmid, **params)

    def volumes(self, storage: str = "local-lvm") -> set[str]:
        return {row["volid"] for row in self.get(f"/nodes/n1/storage/{storage}/content")}
