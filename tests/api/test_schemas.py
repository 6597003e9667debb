"""What goes in: exactly what a schema says, and as a frozen value of the domain."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.api.schemas.bulk import BatchSchema
from app.api.schemas.guest_actions import StopSchema
from app.api.schemas.guest_making import ContainerCreateSchema, VmCreateSchema
from app.api.schemas.tenants import QuotaSchema, TenantCreateSchema, limits
from app.domain.errors import Invalid
from app.domain.guests import CloudInit, ContainerSpec, Network, Placement, VmSpec
from app.domain.identifiers import MalformedIdentifier, PoolId, StorageId, Tag, VmId, Volid
from app.domain.quota import Dimension

KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode() + " maria@laptop"


def ct(**more: Any) -> dict[str, Any]:
    return {"name": "web-1", "template": "debian-12", **more}


def refused(schema: Any, body: Any) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        schema().load(body)
    return caught.value.messages_dict


def test_a_container_is_loaded_as_a_value_with_the_domain_s_defaults() -> None:
    assert ContainerCreateSchema().load(ct()) == ContainerSpec(name="web-1", template="debian-12")  # type: ignore[arg-type]


def test_every_field_of_a_container_arrives() -> None:
    """L45."""
    loaded = ContainerCreateSchema().load(
        ct(
            memory=1024, cores=2, swap=0, storage="local-lvm", disk_gb=9, ssh_keys=[KEY], password="a password",
            nesting=True, tags=["web"], start=True, unprivileged=True, poolid="ph-demo", tenant="demo", vmid=12345,
            net={"bridge": "vmbr0", "ip": "192.0.2.7/24", "gw": "192.0.2.1", "vlan": 12, "rate": 2.5},
        )
    )  # fmt: skip
    assert loaded == ContainerSpec(
        name="web-1", template="debian-12", memory=1024, cores=2, swap=0, storage=StorageId("local-lvm"), disk_gb=9,
        net=Network("vmbr0", "192.0.2.7/24", "192.0.2.1", 12, 2.5), ssh_keys=(KEY,), password="a password",
        nesting=True, tags=("web",), start=True,
        placement=Placement(tenant="demo", poolid=PoolId("ph-demo"), vmid=VmId(12345)),
    )  # type: ignore[arg-type]  # fmt: skip


def test_a_wish_for_where_many_guests_stand_arrives_with_the_tenant_that_is_named_beside_it() -> None:
    spec = {"template_id": "debian-12", "affinity": ["db"], "anti_affinity": ["web"]}
    wish = BatchSchema().load({"count": 2, "name": "web-{n}", "spec": spec, "tenant": "demo"})
    assert wish.spec.placement == Placement(tenant="demo", affinity=(Tag("db"),), anti_affinity=(Tag("web"),))


def test_every_field_of_a_vm_arrives() -> None:
    body = {
        "name": "v", "memory": 64, "cores": 1, "storage": "local-lvm", "disk_gb": 3, "template": "debian-12-vm",
        "tags": ["a", "b"], "start": False, "net": {"rate": 1},
        "cloud_init": {
            "user": "maria", "password": "a password", "ssh_keys": [KEY], "ip": "2001:db8::7/64", "gw": "2001:db8::1",
            "nameserver": "192.0.2.53",
        },
    }  # fmt: skip
    assert VmCreateSchema().load(body) == VmSpec(
        name="v", memory=64, cores=1, storage=StorageId("local-lvm"), disk_gb=3, template="debian-12-vm",
        tags=("a", "b"), start=False, net=Network(rate=1.0),
        cloud_init=CloudInit("maria", "a password", (KEY,), "2001:db8::7/64", "2001:db8::1", "192.0.2.53"),
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"ip6": "192.0.2.7/24"}, "ip6"),
        ({"ip6": "2001:db8::7"}, "ip6"),
        ({"ip": "2001:db8::7/64", "ip6": "auto"}, "ip6"),
        ({"gw6": "2001:db8::1"}, "gw6"),
        ({"ip6": "auto", "gw6": "2001:db8::1"}, "gw6"),
        ({"ip6": "2001:db8::7/64", "gw6": "192.0.2.1"}, "gw6"),
        ({"nameserver": "192.0.2.53,192.0.2.54"}, "nameserver"),
        ({"nameserver": "192.0.2.53  192.0.2.54"}, "nameserver"),
        ({"nameserver": ""}, "nameserver"),
        ({"searchdomain": "a.example -b"}, "searchdomain"),
        ({"searchdomain": "a.example,b.example"}, "searchdomain"),
        ({"searchdomain": "a\nb"}, "searchdomain"),
    ],
)
def test_what_cloud_init_is_not_told(told: dict[str, str], field: str) -> None:
    assert list(refused(VmCreateSchema, {"name": "v", "cloud_init": told})["cloud_init"]) == [field]


def test_a_card_s_address_of_version_6_stands_beside_no_second_one() -> None:
    body = {"name": "v", "net": {"ip": "2001:db8::7/64"}, "cloud_init": {"ip6": "auto"}}
    assert refused(VmCreateSchema, body) == {"cloud_init": {"ip6": ["goes beside an address of version 4"]}}


NO_SIZES = [-1, 0, 1.5, 1.0, 2**31, 10**30, True, False, "2", " 2", "", None, [], {}, float("inf")]


@pytest.mark.parametrize("field", ["memory", "cores", "disk_gb"])
@pytest.mark.parametrize("value", NO_SIZES)
@pytest.mark.parametrize("schema", [ContainerCreateSchema, VmCreateSchema])
def test_l25_sizes_are_whole_numbers_with_bounds(schema: Any, field: str, value: Any) -> None:
    body = {"name": "web-1", field: value}
    if schema is ContainerCreateSchema:
        body["template"] = "debian-12"
    assert list(refused(schema, body)) == [field]


@given(st.one_of(st.integers(max_value=-1), st.integers(10**9 + 1), st.floats(), st.booleans(), st.text(), st.binary()))
def test_l25_limits_are_whole_numbers_with_bounds(value: Any) -> None:
    for dimension in Dimension:
        with pytest.raises(ValidationError):
            QuotaSchema().load({dimension.value: value})


def test_limits_may_be_zero_or_unlimited() -> None:
    assert limits(QuotaSchema().load({"guests": 0, "cores": None})) == {Dimension.GUESTS: 0, Dimension.CORES: None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "-a-"), ("name", "a b"), ("name", "ä"), ("name", "a" * 64), ("name", ""), ("name", "a\n"), ("name", 5),
        ("template", ""), ("template", "a\0b"), ("template", "t" * 256), ("storage", "100/../101"),
        ("poolid", "a/b"), ("poolid", "../x"), ("vmid", 99), ("vmid", "10000"), ("vmid", True), ("tags", "web"),
        ("tags", ["Web"]), ("tags", ["a;b"]), ("tags", [1]), ("tags", ["a"] * 33), ("start", 1), ("start", "true"),
        ("nesting", None), ("swap", -1), ("password", "1234"), ("password", 12345), ("tenant", "a\x1bb"),
        ("net", []), ("net", {"bridge": "a/b"}), ("net", {"ip": "192.0.2.7"}), ("net", {"ip": "dhcp,gw=1.2.3.4"}),
        ("net", {"gw": "192.0.2.1"}), ("net", {"ip": "fe80::1%eth0/64"}),
        ("net", {"ip": "2001:db8::7/64", "gw": "fe80::1%eth0"}),
        ("net", {"ip": "192.0.2.7/24", "gw": "2001:db8::1"}), ("net", {"vlan": 0}),
        ("net", {"vlan": 4095}), ("net", {"rate": 0}), ("net", {"rate": -1}), ("net", {"rate": True}),
        ("net", {"rate": float("nan")}), ("net", {"mtu": 1500}), ("ssh_keys", KEY), ("ssh_keys", ["ssh-rsa AAAA"]),
        ("ssh_keys", [KEY + "\nssh-rsa AAAA"]), ("ssh_keys", ['command="sh" ' + KEY]), ("ssh_keys", ["x " * 9000]),
        ("ssh_keys", [KEY.replace("ssh-ed25519 ", "ssh-rsa ")]), ("ssh_keys", ["ssh-ed25519 AAAA\u2028BBBB"]),
    ],
)  # fmt: skip
def test_l77_values_of_another_form_are_refused_by_name(field: str, value: Any) -> None:
    assert list(refused(ContainerCreateSchema, ct(**{field: value}))) == [field]


@pytest.mark.parametrize("name", ["args", "hookscript", "lxc.idmap", "mp0", "dev0", "features", "hostname", "image"])
def test_l15_l104_unknown_fields_are_refused(name: str) -> None:
    assert refused(ContainerCreateSchema, ct(**{name: "x"})) == {name: ["Unknown field."]}


def test_a_privileged_container_is_refused_with_a_code_of_its_own() -> None:
    """L16."""
    with pytest.raises(Invalid) as caught:
        ContainerCreateSchema().load(ct(unprivileged=False))
    assert caught.value.code == "policy.unprivileged_only"
    assert list(caught.value.members["errors"]) == ["unprivileged"]


def test_iso_and_template_exclude_each_other() -> None:
    body = {"name": "v", "iso": "local:iso/debian.iso"}
    assert VmCreateSchema().load(body).iso == Volid("local:iso/debian.iso")
    assert list(refused(VmCreateSchema, {**body, "template": "t"})) == ["iso"]
    assert list(refused(VmCreateSchema, {"name": "v", "iso": "../../etc/passwd"})) == ["iso"]


def test_stop_takes_nothing_at_all() -> None:
    """L105."""
    stop = StopSchema().load({})
    assert (stop.force, stop.timeout) == (False, 60)
    assert list(refused(StopSchema, {"timeout": 0})) == ["timeout"]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(set(ContainerCreateSchema().fields) | set(VmCreateSchema().fields) | {"surprise"})


@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=5), st.sampled_from(["web-1", "x" * 70]))
def test_l102_nothing_that_is_sent_is_an_error_of_ours(body: dict[str, Any], name: str) -> None:
    for schema in (ContainerCreateSchema, VmCreateSchema, TenantCreateSchema):
        for sent in (body, {"name": name, "template": "t", **body}):
            try:
                schema().load(sent)
            except (ValidationError, Invalid):
                continue


@given(
    st.from_regex(r"\A[a-zA-Z0-9]([a-zA-Z0-9-]{0,60}[a-zA-Z0-9])?\Z"), st.integers(16, 16_777_216), st.integers(1, 512)
)
def test_l102_no_valid_one_is_refused(name: str, memory: int, cores: int) -> None:
    loaded = ContainerCreateSchema().load(ct(name=name, memory=memory, cores=cores))
    assert (loaded.name, loaded.memory, loaded.cores) == (name, memory, cores)


@given(st.text())
def test_what_a_storage_field_takes_is_what_the_domain_takes(text: str) -> None:
    try:
        expected = StorageId.parse(text)
    except MalformedIdentifier:
        assert "storage" in refused(ContainerCreateSchema, ct(storage=text))
    else:
        assert ContainerCreateSchema().load(ct(storage=text)).storage == expected
