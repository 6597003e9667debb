"""A VM and a container that run, and root@pam who opens their consoles."""

import pytest

from tests.lab.guests.api import TEMPLATE
from tests.lab.process import Session


@pytest.fixture
def vm(root: Session) -> str:
    """The path of a VM that runs."""
    assert root.task("POST", "/nodes/n1/qemu", vmid=100, name="web", serial0="socket") == "OK"
    assert root.task("POST", "/nodes/n1/qemu/100/status/start") == "OK"
    return "/nodes/n1/qemu/100"


@pytest.fixture
def ct(root: Session) -> str:
    """The path of a container that runs."""
    params = {"vmid": 200, "hostname": "box", "ostemplate": TEMPLATE, "rootfs": "local-lvm:1"}
    assert root.task("POST", "/nodes/n1/lxc", **params) == "OK"
    assert root.task("POST", "/nodes/n1/lxc/200/status/start") == "OK"
    return "/nodes/n1/lxc/200"
