"""pvecontrol, with a lab to talk to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.lab.clients.environments import Environment, python_environment
from tests.lab.process import LabProcess


@dataclass(frozen=True)
class Pvecontrol:
    """The program as its users call it, with root's password, checking the lab's certificate."""

    environment: Environment
    lab: LabProcess
    folder: Path

    def run(self, *arguments: str, typed: str = "") -> CompletedProcess[str]:
        """Run it to its end, whatever that is."""
        config = self.folder / "config.yaml"
        config.write_text(
            f"clusters: [{{name: lab, host: '127.0.0.1:{self.lab.port}', user: root@pam, "
            f"password: {self.lab.password}, ssl_verify: true, node: {{cpufactor: 4, memoryminimum: 1}}}}]"
        )
        variables = {"REQUESTS_CA_BUNDLE": str(self.lab.ca_file), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        options = ("--config", config, "--no-color", "--no-unicode")
        return self.environment.run("pvecontrol", *options, *arguments, variables=variables, typed=typed)

    def says(self, *arguments: str, typed: str = "") -> str:
        """What it prints; it must end well."""
        done = self.run(*arguments, typed=typed)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        """What it prints as JSON."""
        rows: list[dict[str, Any]] = json.loads(self.says("--output", "json", *arguments))
        return rows


@pytest.fixture(scope="session")
def environment() -> Environment:
    return python_environment(Path(__file__).parent)


@pytest.fixture
def pvecontrol(environment: Environment, demo: LabProcess, tmp_path: Path) -> Pvecontrol:
    return Pvecontrol(environment, demo, tmp_path)
