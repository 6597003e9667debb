"""L92: seeds are written by libraries, so that quotes, line ends and all else stay data."""

from __future__ import annotations

import io
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pycdlib
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from passlib.hash import sha512_crypt

from app.domain.identifiers import GuestName
from app.qemu import cloudinit
from app.qemu.cloudinit import Card, Seed
from app.qemu.machines import MacAddress, MachineId

MACHINE = MachineId("0a1b2c3d-0000-4000-8000-00000000abcd")
MAC = MacAddress("52:54:00:12:34:56")
HOSTILE = [
    "a: b", "- x", "'", '"', "#cloud-config", "a\nrunless:\n- reboot", "\u2028runcmd: [reboot]", "!!python/object:os",
    "*a",
    "&a", "{", "|", ">", "yes", "null", "1e3", "0x10", "~", "\x85a", "%YAML", "---", "...", "\t", "=", "<<", "🐄", "",
]  # fmt: skip
words = st.one_of(st.text(st.characters(blacklist_categories=["Cs"]), max_size=40), st.sampled_from(HOSTILE))


def read(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


@settings(deadline=None)
@given(hostname=words, keys=st.lists(words, max_size=3), packages=st.lists(words, max_size=3), commands=st.lists(words, max_size=3))  # fmt: skip  # noqa: E501
def test_l92_what_is_written_is_what_was_said(
    hostname: str, keys: list[str], packages: list[str], commands: list[str]
) -> None:
    seed = Seed(
        MACHINE, hostname, user="maria", ssh_keys=tuple(keys), packages=tuple(packages), commands=tuple(commands)
    )
    written = cloudinit.documents(seed)
    assert read(written["meta-data"]) == {"instance-id": MACHINE, "local-hostname": hostname}
    head, _, body = written["user-data"].partition("\n")
    assert head == "#cloud-config"
    said = read(body)
    assert said["hostname"] == hostname
    assert said["users"][0].get("ssh_authorized_keys", []) == keys
    assert said.get("packages", []) == packages
    assert said.get("runcmd", []) == commands
    assert set(said) <= {
        "hostname", "preserve_hostname", "manage_etc_hosts", "users", "ssh_pwauth", "packages", "runcmd",
    }  # fmt: skip


@settings(max_examples=5, deadline=None)
@given(password=st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=8, max_size=20))
def test_l92_passwords_are_hashed(password: str) -> None:
    for user in ("maria", None):
        written = cloudinit.documents(Seed(MACHINE, "web", user=user, password=password))
        said = read(written["user-data"])
        hashed = said["users"][0]["passwd"] if user else said["password"]
        assert sha512_crypt.verify(password, hashed)
        assert hashed.startswith("$6$")
        assert said["ssh_pwauth"] is True


def test_no_password_locks_the_user() -> None:
    said = read(cloudinit.documents(Seed(MACHINE, "web", user="maria"))["user-data"])
    assert said["users"][0]["lock_passwd"] is True
    assert said["ssh_pwauth"] is False
    assert "passwd" not in said["users"][0]


def test_cards_are_found_by_their_address() -> None:
    cards = (
        Card(MAC),
        Card(
            MacAddress("52:54:00:12:34:58"), (ip_interface("10.20.0.5/24"), ip_interface("fd00::5/64")),
            ip_address("10.20.0.1"), ip_address("fd00::1"), (ip_address("10.20.0.1"),), ("example.org",),  # type: ignore[arg-type]
        ),
    )  # fmt: skip
    said = read(cloudinit.documents(Seed(MACHINE, "web", cards=cards))["network-config"])
    assert said == {
        "version": 2,
        "ethernets": {
            "card0": {"match": {"macaddress": MAC}, "dhcp4": True},
            "card1": {
                "match": {"macaddress": "52:54:00:12:34:58"}, "addresses": ["10.20.0.5/24", "fd00::5/64"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.20.0.1"}, {"to": "::/0", "via": "fd00::1"}],
                "nameservers": {"addresses": ["10.20.0.1"], "search": ["example.org"]},
            },
        },
    }  # fmt: skip


def test_a_machine_without_cards_keeps_its_images_own_network() -> None:
    assert set(cloudinit.documents(Seed(MACHINE, "web"))) == {"meta-data", "user-data"}


def test_identifiers_are_written_as_text() -> None:
    said = read(cloudinit.documents(Seed(MACHINE, GuestName("web")))["meta-data"])
    assert said["local-hostname"] == "web"


def test_the_image_holds_the_documents_under_their_names(tmp_path: Path) -> None:
    seed = Seed(MACHINE, "web", cards=(Card(MAC),))
    path = tmp_path / "seed.iso"
    path.write_text("an older one")
    cloudinit.write(seed, path)
    disc = pycdlib.PyCdlib()
    disc.open(str(path))
    assert disc.pvd.volume_identifier.strip() == b"CIDATA"
    for name, text in cloudinit.documents(seed).items():
        for where in ({"rr_path": f"/{name}"}, {"joliet_path": f"/{name}"}):
            out = io.BytesIO()
            disc.get_file_from_iso_fp(out, **where)
            assert out.getvalue().decode() == text
    disc.close()
    assert path.stat().st_mode & 0o007 == 0
    assert [one.name for one in tmp_path.iterdir()] == ["seed.iso"]
