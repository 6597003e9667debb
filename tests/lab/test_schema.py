"""The schema check: PVE's words for everything that may be wrong, and numbers where numbers are meant."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lab import formats
from app.lab.bodies import Unreadable, parse_address, parse_body, parse_form
from app.lab.schema import Schema, parse_properties

SCHEMA = Schema.load()
VM = SCHEMA.method("POST", "/nodes/{node}/qemu")


def errors(**given: Any) -> dict[str, str]:
    names = {name.replace("__", "-"): value for name, value in given.items()}
    return SCHEMA.check(VM, {"node": "n1", "vmid": "100"} | names)[1]


UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"cores": "x"}, "type check ('integer') failed - got 'x'"),
        ({"cores": ["1", "2"]}, "type check ('integer') failed - got ARRAY"),
        ({"cores": "0"}, "value must have a minimum value of 1"),
        ({"onboot": "yes"}, "type check ('boolean') failed - got 'yes'"),
        ({"name": "bad_name"}, "invalid format - value does not look like a valid DNS name\n"),
        ({"name": True}, "type check ('string') failed - got JSON::PP::Boolean"),
        ({"vmid": "99"}, "invalid format - value does not look like a valid VM ID\n"),
        ({"bios": "x"}, "value 'x' does not have a value in the enumeration 'seabios, ovmf'"),
        ({"scsi31": "local-lvm:1"}, UNKNOWN),
        ({"scsi01": "local-lvm:1"}, UNKNOWN),
        ({"net0": "bridge=vmbr0"}, f"invalid format - format error\nnet0.model: {MISSING}\n"),
        ({"tags": "a;b c"}, None),
        ({"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=on"}, None),
        ({"cores": None}, None),
    ],
)  # fmt: skip
def test_pves_words(given: dict[str, Any], text: str | None) -> None:
    found = errors(**given)
    assert list(found.values()) == ([] if text is None else [text])


def test_all_wrong_parameters_are_told_together() -> None:
    assert set(errors(cores="x", nonsense="1", bios="x")) == {"cores", "nonsense", "bios"}


def test_values_become_what_they_are_declared_to_be() -> None:
    checked, wrong = SCHEMA.check(
        VM, {"node": "n1", "vmid": "0100"[1:], "cores": "02", "onboot": True, "memory": 512, "cpulimit": "1.5"}
    )
    assert not wrong
    assert checked == {"node": "n1", "vmid": 100, "cores": 2, "onboot": 1, "memory": "512", "cpulimit": "1.5"}


@pytest.mark.parametrize(
    ("path", "template", "params"),
    [
        ("/", "/", {}),
        ("//version/", "/version", {}),
        ("/nodes/n1/qemu/100/config", "/nodes/{node}/qemu/{vmid}/config", {"node": "n1", "vmid": "100"}),
        (
            "/nodes/n1/storage/local/content/local:iso/a.iso",
            "/nodes/{node}/storage/{storage}/content/{volume}",
            {"node": "n1", "storage": "local", "volume": "local:iso/a.iso"},
        ),
    ],
)
def test_paths(path: str, template: str, params: dict[str, str]) -> None:
    assert SCHEMA.find(path) == (template, params)


@pytest.mark.parametrize("path", ["/nosuch", "/version/x", "/nodes/n1/nosuch", "/access/users/a b"])
def test_paths_that_mean_nothing(path: str) -> None:
    assert SCHEMA.find(path) is None


def test_aliases_and_default_keys_of_property_strings() -> None:
    net = VM["parameters"]["net[n]"]["format"]
    properties = SCHEMA.formats[net]["properties"] if isinstance(net, str) else net
    assert parse_properties(properties, "virtio=BC:24:11:00:00:01,bridge=vmbr0") == {
        "model": "virtio",
        "macaddr": "BC:24:11:00:00:01",
        "bridge": "vmbr0",
    }
    assert parse_properties({"enabled": {"default_key": 1, "type": "boolean"}}, "on") == {"enabled": "1"}
    with pytest.raises(formats.BadFormat, match="duplicate key"):
        parse_properties(properties, "bridge=a,bridge=b")


@pytest.mark.parametrize("name", sorted(formats.CHECKS))
@pytest.mark.parametrize("text", ["", "\0", "²", "٣", "9" * 5000, "1/" + "9" * 5000, "\ud800"])
def test_a_check_bears_what_only_looks_like_a_number(text: str, name: str) -> None:
    with contextlib.suppress(formats.BadFormat):
        formats.CHECKS[name](text)


@pytest.mark.parametrize("text", ["²", "٣", "9" * 5000])
def test_numbers_are_written_in_ascii_digits_of_64_bits(text: str) -> None:
    assert errors(cores=text) == {"cores": f"type check ('integer') failed - got '{text}'"}
    assert errors(**{f"net{text}": "virtio,bridge=vmbr0"}) == {f"net{text}": UNKNOWN}


@given(st.text(max_size=40), st.sampled_from(sorted(formats.CHECKS)))
def test_a_check_says_yes_or_no_to_any_text(text: str, name: str) -> None:
    with contextlib.suppress(formats.BadFormat):
        formats.CHECKS[name](text)


@given(st.text())
def test_any_form_can_be_read(text: str) -> None:
    assert isinstance(parse_form(text), dict)


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [("/x", 500, "no such file '/x'"), ("/api2", 501, "no such uri"), ("/api2/", 501, "no such uri")],
)
def test_addresses_outside_the_api(raw: str, status: int, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse_address(raw)
    assert (caught.value.status, caught.value.reason) == (status, reason)


def test_the_path_is_decoded_before_it_is_split() -> None:
    assert parse_address("/api2/json/nodes/n1%2Fqemu?a=1&a=2&b").path == "/nodes/n1/qemu"
    assert parse_address("/api2/json/x?a=1&a=2&b").query == {"a": ["1", "2"], "b": None}


def test_bodies_of_other_types_are_refused() -> None:
    with pytest.raises(Unreadable) as caught:
        parse_body("text/plain; charset=utf-8", b"a=1")
    assert (caught.value.status, caught.value.reason) == (506, "upload 'Content-Type 'text/plain' not implemented")
