"""L77: what is no identifier never reaches the wire."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests_mock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.errors import Invalid
from app.domain.guests import Network
from app.domain.identifiers import BridgeName, MalformedIdentifier, TokenId
from app.pve import ApiToken, Endpoint, Pve, PveConnections
from app.pve.cards import address_properties, container_card, ssh_keys, vm_card
from app.pve.client import _segment
from tests.pve.conftest import API, TOKEN, URL

EVIL = [
    "100/../101", "100%2f..%2f101", "..", ".", "", "100\n", "100\x00", "١٠٠", "１００", "100 ", "100?x=1", "100#", "\\",
    "n1/../n2", "a%2fb", "local:iso/../../x", "local:/etc/passwd", "x" * 300, "a\u202eb", "100;101", "root@pam", "a\tb",
]  # fmt: skip

DOORS: dict[str, Callable[[Pve, str], object]] = {
    "node": lambda pve, text: pve.node(text).status(),  # type: ignore[arg-type]
    "lxc": lambda pve, text: pve.node("n1").lxc(text).config(),  # type: ignore[arg-type]
    "qemu": lambda pve, text: pve.node("n1").qemu(text).config(),  # type: ignore[arg-type]
    "pool": lambda pve, text: pve.pools.get(text),  # type: ignore[arg-type]
    "pool member": lambda pve, text: pve.pools.add_guests("blue", [text]),  # type: ignore[arg-type, list-item]
    "storage": lambda pve, text: pve.node("n1").storage_content(text),  # type: ignore[arg-type]
    "volume": lambda pve, text: pve.node("n1").delete_volume(text),  # type: ignore[arg-type]
    "image": lambda pve, text: pve.node("n1").volume_size(text),  # type: ignore[arg-type]
    "task": lambda pve, text: pve.node("n1").task_status(text),  # type: ignore[arg-type]
    "token": lambda pve, text: pve.access.token("a@pve", text),  # type: ignore[arg-type]
    "token's user": lambda pve, text: pve.access.create_token(text, "ph", comment=""),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("text", EVIL)
def test_l77_evil_identifiers_stop_at_the_door(wire: requests_mock.Mocker, pve: Pve, door: str, text: str) -> None:
    if door == "token's user" and text == "root@pam":
        return
    with pytest.raises(MalformedIdentifier):
        DOORS[door](pve, text)
    assert wire.call_count == 0


@given(text=st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_l77_whatever_passes_the_door_stays_one_segment(text: str) -> None:
    pve = PveConnections().connect(Endpoint(URL), TOKEN)
    with requests_mock.Mocker() as wire:
        wire.get(requests_mock.ANY, json={"data": {}})
        for door, prefix in (("pool", "/pools/"), ("lxc", "/nodes/n1/lxc/")):
            try:
                DOORS[door](pve, text)
            except MalformedIdentifier:
                continue
            sent = wire.last_request.url
            assert sent in (f"{API}{prefix}{text}", f"{API}{prefix}{text}/config")


@given(text=st.text(max_size=20))
def test_l77_a_segment_is_refused_or_quoted(text: str) -> None:
    try:
        quoted = _segment(text)
    except MalformedIdentifier:
        return
    assert quoted not in ("", ".", "..")
    assert not set(quoted) & set("/\\?#;\r\n\t ")
    assert quoted.isascii()


def test_a_users_odd_but_legal_name_is_quoted(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.get(requests_mock.ANY, json={"data": {"comment": "x"}})
    assert pve.access.user("o%2fdd#?é@pve").comment == "x"  # type: ignore[arg-type]
    assert wire.last_request.url == f"{API}/access/users/o%252fdd%23%3F%C3%A9@pve"


def test_a_volume_is_asked_for_by_its_whole_name(wire: requests_mock.Mocker, pve: Pve) -> None:
    wire.delete(f"{API}/nodes/n1/storage/local/content/local:iso/a.iso", json={"data": None})
    assert pve.node("n1").delete_volume("local:iso/a.iso") is None  # type: ignore[arg-type]


def test_a_tokens_secret_is_one_line() -> None:
    for secret in ("", "a b", "x\r\nX-Evil: 1", "é"):
        with pytest.raises(Invalid):
            ApiToken(TokenId("a@pve!ph"), secret)


@pytest.mark.parametrize(
    "ip", ["10.0.0.5", "10.0.0.5/24,firewall=0", "x", "10.0.0.5/33", "", "dhcp,x=1", "10.0.0.5/24\n"]
)
def test_l15_an_address_opens_no_other_property(ip: str) -> None:
    with pytest.raises(Invalid):
        address_properties(ip, None)
    with pytest.raises(Invalid):
        address_properties("10.0.0.5/24", f"{ip},x")


def test_cards_as_pve_writes_them() -> None:
    bridge = BridgeName("vmbr0")
    assert container_card(Network(bridge)) == "name=eth0,bridge=vmbr0,ip=dhcp,firewall=1"
    assert (
        container_card(Network(bridge, "10.0.0.5/24", "10.0.0.1", vlan=7, rate=2.5))
        == "name=eth0,bridge=vmbr0,ip=10.0.0.5/24,gw=10.0.0.1,firewall=1,tag=7,rate=2.5"
    )
    assert vm_card(Network(bridge, vlan=4094)) == "virtio,bridge=vmbr0,firewall=1,tag=4094"
    assert vm_card(Network()) is container_card(Network()) is None
    assert address_properties("2001:db8::5/64", "2001:db8::1") == ["ip6=2001:db8::5/64", "gw6=2001:db8::1"]
    for wrong in (
        Network(bridge, vlan=0),
        Network(bridge, vlan=4095),
        Network(bridge, rate=0),
        Network(bridge, rate=-1),
    ):
        with pytest.raises(Invalid):
            vm_card(wrong)
    with pytest.raises(Invalid):
        address_properties("10.0.0.5/24", "2001:db8::1")
    with pytest.raises(MalformedIdentifier):
        vm_card(Network(BridgeName("vmbr0,x=1")))


def test_l80_a_key_is_one_line() -> None:
    assert ssh_keys([" ssh-ed25519 AAAA a@b \n", "", "ssh-rsa BBBB"]) == "ssh-ed25519 AAAA a@b\nssh-rsa BBBB"
    with pytest.raises(Invalid):
        ssh_keys(["ssh-ed25519 AAAA\nssh-rsa EVIL"])
