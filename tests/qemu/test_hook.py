"""The hook that guards networks: what it makes of a network's XML, and that Poolhouse knows its words.

That its rules hold is seen from inside guests: test_guests.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.qemu import guards, xml
from app.qemu.machines import MacAddress, NetworkId
from app.qemu.networks import Forward, Mode, Network, Protocol, Reservation

HOOK = Path(__file__).resolve().parents[2] / "deploy" / "libvirt_network_hook.py"
NETWORK = Network(
    NetworkId("5a1b2c3d-0000-4000-8000-00000000ef01"), "t", Mode.NAT, IPv4Network("10.20.0.0/24"),
    reservations=(Reservation(MacAddress("52:54:00:12:34:56"), IPv4Address("10.20.0.5")),),
    forwards=(Forward(Protocol.TCP, IPv4Address("192.0.2.1"), 8080, IPv4Address("10.20.0.5"), 80),),
)  # fmt: skip


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("libvirt_network_hook", HOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


hook: Any = _loaded()


def given_to_hook(network: Network) -> str:
    return f"<hookData>{xml.network(network)}</hookData>"


def ported(**more: Any) -> str:
    """A network's XML with some of its words replaced, as somebody could write who can define networks."""
    text = given_to_hook(NETWORK)
    for old, new in more["words"].items():
        assert old in text
        text = text.replace(old, new)
    return text


addresses = st.ip_addresses(v=4).map(lambda one: IPv4Address(int(one)))
forwards = st.builds(
    Forward, st.sampled_from(Protocol), addresses, st.integers(1, 65535), addresses, st.integers(1, 65535)
)
subnets = st.builds(lambda base, prefix: IPv4Network((int(base), prefix), strict=False), addresses, st.integers(16, 30))


@settings(deadline=None)
@given(subnets, st.sampled_from(Mode), st.sets(forwards, max_size=4), st.lists(subnets, max_size=2))
def test_hook_and_house_tell_the_same(subnet: IPv4Network, mode: Mode, wanted: set[Forward], more: list[IPv4Network]) -> None:  # fmt: skip  # noqa: E501
    network = replace(NETWORK, subnet=subnet, mode=mode, forwards=tuple(wanted), reaches=tuple(more))
    assert hook.told(hook.read(given_to_hook(network))) == guards.told(network)


def test_a_strangers_network_is_left_alone() -> None:
    plain = "<network><name>default</name><bridge name='virbr0'/><ip address='192.168.122.1' prefix='24'/></network>"
    assert hook.read(plain) is None
    assert hook.read("<hookData/>") is None


@pytest.mark.parametrize(
    "words",
    [
        {"ph5a1b2c3d00": "x&quot; accept; flush ruleset; #"}, {"ph5a1b2c3d00": "eth0"},
        {"ph5a1b2c3d00": "ph5a1b2c3d00; drop"},
        {'"10.20.0.1"': '"10.20.0.1; accept"'}, {'reaches=""': 'reaches="0.0.0.0/0; accept"'},
        {"tcp.192.0.2.1.8080.forward": "icmp.192.0.2.1.8080.forward"}, {"10.20.0.5:80": "10.20.0.5:80; accept"},
        {".8080.": ".99999."}, {"10.20.0.5:80": "10.20.0.5:0"}, {"192.0.2.1": "192.0.2.1 accept"},
    ],
    ids=lambda words: next(iter(words.values())),
)  # fmt: skip
def test_what_is_not_as_we_make_it_stops_the_network(words: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        hook.rules(hook.read(ported(words=words)))


def test_the_rules_of_nat_and_of_isolation() -> None:
    nat = hook.rules(hook.read(given_to_hook(replace(NETWORK, reaches=(IPv4Network("10.99.0.0/16"),)))))
    assert "dnat ip to 10.20.0.5:80" in nat
    assert nat.index("10.99.0.0/16 } accept") < nat.index("10.0.0.0/8")
    isolated = hook.rules(hook.read(given_to_hook(replace(NETWORK, mode=Mode.ISOLATED))))
    assert "dnat ip to" not in isolated
    assert "masquerade" not in isolated


@pytest.mark.skipif(shutil.which("unshare") is None or not Path("/usr/sbin/nft").exists(), reason="apt-get install nftables")  # fmt: skip  # noqa: E501
@pytest.mark.parametrize("mode", list(Mode))
def test_the_kernels_own_reader_takes_the_rules(mode: Mode) -> None:
    """Twice: a table that stands is replaced."""
    text = hook.rules(hook.read(given_to_hook(replace(NETWORK, mode=mode))))
    twice = 'rules=$(cat); echo "$rules" | nft -f - && echo "$rules" | nft -f - && nft list tables'
    command = ["unshare", "--net", "sh", "-c", twice]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("needs root")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("poolhouse_ph5a1b2c3d00") == 1


def test_the_house_believes_only_what_stands_exactly(tmp_path: Path) -> None:
    told = tmp_path / NETWORK.id.bridge
    guarded = guards.Guards(hook=tmp_path / "hook", told=tmp_path)
    assert not guarded.installed()
    assert not guarded.stands(NETWORK)
    told.write_text(guards.told(NETWORK))
    assert guarded.stands(NETWORK)
    assert not guarded.stands(replace(NETWORK, forwards=()))
    assert not guarded.stands(replace(NETWORK, mode=Mode.ISOLATED))
