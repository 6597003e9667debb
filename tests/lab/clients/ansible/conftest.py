"""Ansible, from its own environment, against the module's lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.clients.ansible.playing import Player
from tests.lab.clients.environments import Environment, python_environment
from tests.lab.process import LabProcess


@pytest.fixture(scope="session")
def ansible() -> Environment:
    return python_environment(Path(__file__).parent)


@pytest.fixture
def player(ansible: Environment, lab: LabProcess, tmp_path: Path) -> Player:
    return Player(ansible, lab, tmp_path)
