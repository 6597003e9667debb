"""proxmoxer, that of the house's own requirements, with root's password and the lab's certificate."""

from __future__ import annotations

import pytest
from proxmoxer import ProxmoxAPI

from tests.lab.process import LabProcess


def connected(lab: LabProcess, **login: str) -> ProxmoxAPI:
    return ProxmoxAPI("127.0.0.1", port=lab.port, verify_ssl=str(lab.ca_file), **login)


@pytest.fixture
def api(demo: LabProcess) -> ProxmoxAPI:
    return connected(demo, user="root@pam", password=demo.password)
