"""PVE as one identity, its wire replaced by requests-mock: what is sent can be read, what is answered is chosen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests_mock

from app.domain.identifiers import NodeName, TokenId, VmId
from app.pve import ApiToken, ContainerApi, Endpoint, Pve, PveConnections, VmApi

URL = "https://pve.test:8006"
API = f"{URL}/api2/json"
TOKEN = ApiToken(TokenId("ta@pve!ph"), "00000000-1111-2222-3333-444444444444")
UPID = "UPID:n1:0000AAAA:0000BBBB:60000000:vzcreate:5001:ta@pve!ph:"


@pytest.fixture
def wire() -> Iterator[requests_mock.Mocker]:
    with requests_mock.Mocker() as mocker:
        yield mocker


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(URL, timeout=2)


@pytest.fixture
def connections() -> Iterator[PveConnections]:
    made = PveConnections()
    yield made
    made.close()


@pytest.fixture
def pve(wire: requests_mock.Mocker, endpoint: Endpoint, connections: PveConnections) -> Pve:
    return connections.connect(endpoint, TOKEN)


@pytest.fixture
def container(pve: Pve) -> ContainerApi:
    return pve.node(NodeName("n1")).lxc(VmId(5001))


@pytest.fixture
def vm(pve: Pve) -> VmApi:
    return pve.node(NodeName("n1")).qemu(VmId(5002))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.pve.client.FIRST_PAUSE", 0.001)
