"""Ansible, from its own environment, against the module's lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.clients.environments import Environment, python_environment


@pytest.fixture(scope="session")
def ansible() -> Environment:
    return python_environment(Path(__file__).parent)
