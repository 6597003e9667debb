"""`ansible-playbook` run on our playbooks, and what its JSON callback said of each task."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.clients.environments import Environment
from tests.lab.process import LabProcess

_PLAYBOOKS = Path(__file__).parent / "playbooks"
_PLAY_SECONDS = 200.0


@dataclass(frozen=True)
class Outcome:
    """What one task came to; `result` is all that its module returned."""

    name: str
    result: dict[str, Any]

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed"))

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed"))


class Play(dict[str, Outcome]):
    """The tasks of one run of a playbook by their names, in their order."""

    @property
    def changed(self) -> list[str]:
        return [name for name, outcome in self.items() if outcome.changed]

    @property
    def unchanged(self) -> list[str]:
        return [name for name, outcome in self.items() if not outcome.changed]

    def of(self, task: str) -> dict[str, Any]:
        return self[task].result


@dataclass(frozen=True)
class Player:
    """Ansible with a lab to talk to, whose certificate it checks."""

    ansible: Environment
    lab: LabProcess
    folder: Path
    """Where Ansible keeps what it writes; the variable `folder` of the playbooks."""

    def play(self, *names: str, login: dict[str, str] | None = None, **variables: Any) -> list[Play]:
        """Run playbooks one after the other in one go, the same one twice if it is named twice.

        `login` are the modules' variables of the environment, instead of root's password. No task may fail but
        those that say `ignore_errors`.
        """
        done = self.run(
            "ansible-playbook",
            *("--inventory", "localhost,", "--connection", "local"),
            *("--extra-vars", json.dumps({"folder": str(self.folder), **variables})),
            *(_PLAYBOOKS / f"{name}.yml" for name in names),
            login=login,
        )
        documents = _documents(done.stdout)
        assert documents, f"{done.returncode}: {done.stdout}{done.stderr}"
        plays = [_outcomes(play) for play in documents[-1]["plays"]]
        assert done.returncode == 0, "\n".join(
            f"{outcome.name}: {outcome.result.get('msg')} {outcome.result.get('exception', '')}"
            for play in plays
            for outcome in play.values()
            if outcome.failed
        )
        assert len(plays) == len(names)
        return plays

    def run(
        self, program: str, *arguments: str | Path, login: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run any of Ansible's programs with the same settings, whatever its exit status."""
        root = {"PROXMOX_USER": "root@pam", "PROXMOX_PASSWORD": self.lab.password}
        return self.ansible.run(program, *arguments, variables=self._environment(login or root), seconds=_PLAY_SECONDS)

    def _environment(self, login: dict[str, str]) -> dict[str, str]:
        settings = self.folder / "ansible.cfg"
        settings.touch()
        return {
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
            "ANSIBLE_CONFIG": str(settings),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_PYTHON_INTERPRETER": str(self.ansible.program("python")),
            "PROXMOX_HOST": "127.0.0.1",
            "PROXMOX_PORT": str(self.lab.port),
            "PROXMOX_VALIDATE_CERTS": "true",
            "REQUESTS_CA_BUNDLE": str(self.lab.ca_file),
            **login,
        }


def _documents(text: str) -> list[dict[str, Any]]:
    """The callback writes one JSON object after each playbook, and the last tells of all."""
    documents, decoder, start = [], json.JSONDecoder(), text.find("{")
    while start >= 0:
        document, end = decoder.raw_decode(text, start)
        documents.append(document)
        start = text.find("{", end)
    return documents


def _outcomes(play: dict[str, Any]) -> Play:
    return Play(
        {
            task["task"]["name"]: Outcome(task["task"]["name"], result)
            for task in play["tasks"]
            for result in task["hosts"].values()
        }
    )
