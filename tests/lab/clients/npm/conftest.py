"""proxmox-api from npm, run by Node.js."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.clients.environments import Environment, node_environment
from tests.lab.process import LabProcess

_SCRIPT = "calls.mjs"

Scenario = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def environment() -> Environment:
    here = Path(__file__).parent
    environment = node_environment(here)
    shutil.copy(here / _SCRIPT, environment.path)
    return environment


@pytest.fixture
def scenario(environment: Environment, demo: LabProcess) -> Scenario:
    """Runs one scenario of the script against the lab, whose certificate is checked; what it found."""

    def run(name: str) -> dict[str, Any]:
        arguments = (_SCRIPT, name, str(demo.port), demo.password)
        trusted = {"NODE_EXTRA_CA_CERTS": str(demo.ca_file)}
        done = environment.run("node", *arguments, folder=environment.path, variables=trusted)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run
