"""ProxLB, one round at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.clients.environments import Environment, python_environment
from tests.lab.process import LabProcess, Session

_PRIVILEGES = "Datastore.Audit,Sys.Audit,VM.Audit,VM.Migrate,Pool.Audit"


@dataclass(frozen=True)
class Round:
    """What one round of balancing saw and planned."""

    status: int
    log: str
    data: dict[str, Any]

    @property
    def moves(self) -> dict[str, str]:
        """The guests that shall leave their node, and the node that each goes to."""
        return {
            name: guest["node_target"]
            for name, guest in self.data["guests"].items()
            if guest["node_target"] != guest["node_current"]
        }


@dataclass(frozen=True)
class Proxlb:
    """The program with a token of its own."""

    environment: Environment
    lab: LabProcess
    folder: Path
    secret: str

    def balance(self, *arguments: str, **options: Any) -> Round:
        """One round; `options` are those of its section `balancing`."""
        config = {
            "proxmox_api": {
                **{"hosts": [f"127.0.0.1:{self.lab.port}"], "user": "proxlb@pve", "token_id": "lb"},
                **{"token_secret": self.secret, "timeout": 10},
            },
            "balancing": {"enable": True, "method": "memory", "mode": "assigned", "balanciness": 1} | options,
            "service": {"daemon": False},
        }
        file = self.folder / "proxlb.yaml"
        file.write_text(json.dumps(config))
        done = self.environment.run(
            *("python", "-m", "proxlb", "--config", file, "--json", *arguments),
            variables={"REQUESTS_CA_BUNDLE": str(self.lab.ca_file)},
        )
        start, end = done.stdout.find("{"), done.stdout.rfind("}")
        data = json.loads(done.stdout[start : end + 1]) if start >= 0 else {}
        return Round(done.returncode, done.stdout + done.stderr, data)


@pytest.fixture(scope="session")
def environment() -> Environment:
    return python_environment(Path(__file__).parent)


@pytest.fixture
def proxlb(environment: Environment, demo: LabProcess, admin: Session, tmp_path: Path) -> Proxlb:
    """Its user and token have the rights that its manual asks for."""
    admin.ok("POST", "/access/roles", roleid="proxlb", privs=_PRIVILEGES)
    admin.ok("POST", "/access/users", userid="proxlb@pve")
    secret = admin.ok("POST", "/access/users/proxlb@pve/token/lb", privsep=0)["value"]
    admin.ok("PUT", "/access/acl", path="/", users="proxlb@pve", roles="proxlb")
    return Proxlb(environment, demo, tmp_path, secret)
