"""L15, L16: every parameter of PVE's create, config, clone and restore calls, tried through every body of ours.

As names at each level of a body, and inside every string of it; the bodies come from the OpenAPI document, so a new
route is tried the moment it stands there. What PVE has seen is read from the lab's call log and its guests.
"""

from __future__ import annotations

import base64
import copy
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.openapi import document, document_app
from app.pve.parameters import CALLS, FOLDERS, call_of, is_listed
from tests.house import Caller, House, container, vm, wait_for
from tests.pve.schema import declared

FOLDER_OF = {"cts": "lxc", "vms": "qemu"}
KEY = "ssh-ed25519 " + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)).decode()
LEGIT = {
    "template": "debian-12", "iso": "local:iso/debian-12.12.0-amd64-netinst.iso", "storage": "local-lvm",
    "bridge": "vmbr0", "ip": "10.9.8.7/24", "gw": "10.9.8.1", "nameserver": "192.0.2.53", "user": "maria",
    "password": "a long password", "ssh_keys": KEY, "tags": "web", "description": "a note",
}  # fmt: skip
OPENERS = ("hookscript", "args", "mp0", "dev0", "features", "unprivileged", "lxc.idmap", "lxc.mount.entry", "lock")
HOSTILE = (
    "unprivileged=0", "features=nesting=1,keyctl=1,mount=nfs;cifs", "mp0=/etc,mp=/host", "dev0=/dev/kmsg,mode=0666",
    "lxc.idmap: u 0 0 65536", "lxc.apparmor.profile: unconfined", "hookscript: local:snippets/x.sh", "args: -chardev x",
    "import-from=/etc/shadow", "/etc", "../../etc/passwd", "local:backup/vzdump-lxc-100-2026_01_01-00_00_00.tar.zst",
    "local:0,mp=/etc", "{{7*7}}", "$(reboot)", "\x00", "x" * 300,
)  # fmt: skip
#: Nothing of this kind may ever stand in a guest of a tenant.
HARMFUL = re.compile(
    r"args|hookscript|lock|lxc\..*|dev\d+|unused\d+|hostpci\d+|usb\d+|parallel\d+|virtiofs\d+|ivshmem"
    r"|cicustom|startup|entrypoint|env|protection|machine|cpu|bios|efidisk0|tpmstate0|vmstatestorage"
)
#: A container mounts disks of its own, and never a folder or a device of the node.
OWN_VOLUME = re.compile(r"[a-z-]+:(\d+/)?(vm|subvol)-\d+-disk-\d+\b")


@dataclass(frozen=True)
class Body:
    """What a route takes: a good example, and the places of its objects and strings, as keys from the outside in."""

    method: str
    path: str
    example: dict[str, Any]
    objects: dict[tuple[str, ...], frozenset[str]] = field(hash=False)
    strings: tuple[tuple[str, ...], ...] = ()
    lists: tuple[tuple[str, ...], ...] = ()

    @property
    def kind(self) -> str:
        """The front end's routes do not say it: they are tried on containers."""
        named = self.path.split("/")[3]
        return named if named in FOLDER_OF else "cts"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def with_value(self, place: tuple[str, ...], value: Any) -> dict[str, Any]:
        """The example with this at that place."""
        body = copy.deepcopy(self.example)
        inside = body
        for key in place[:-1]:
            inside = inside.setdefault(key, {})
        inside[place[-1]] = value
        if place[-1] == "iso":
            body.pop("template", None)
        return body


def bodies() -> list[Body]:
    described = document(document_app())
    return [
        _body(described, method.upper(), path, operation["requestBody"]["content"]["application/json"])
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
        if method in ("post", "put", "patch")
        and path.startswith(("/api/proxmox/cts", "/api/proxmox/vms", "/api/provisioning/"))
        and "requestBody" in operation
    ]


def _body(described: dict[str, Any], method: str, path: str, content: dict[str, Any]) -> Body:
    left_out = {"tenant", "disk_increment_gb", "timeout"}
    example = {name: value for name, value in content["example"].items() if name not in left_out}
    if "disk_gb" in example:
        example |= {"disk_gb": 2, "memory": 64}
    objects: dict[tuple[str, ...], frozenset[str]] = {}
    strings: list[tuple[str, ...]] = []
    lists: list[tuple[str, ...]] = []

    def walk(place: tuple[str, ...], schema: dict[str, Any]) -> None:
        while "$ref" in schema:
            schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        for part in schema.get("allOf", schema.get("anyOf", [])):
            walk(place, part)
        kinds = schema.get("type", ())
        if "properties" in schema:
            objects[place] = frozenset(schema["properties"])
            for name, inner in schema["properties"].items():
                walk((*place, name), inner)
        elif "string" in (kinds if isinstance(kinds, list) else [kinds]):
            strings.append(place)
        elif "array" in (kinds if isinstance(kinds, list) else [kinds]):
            lists.append(place)

    walk((), content["schema"])
    return Body(method, path, example, objects, tuple(strings), tuple(lists))


BODIES = bodies()
LEVELS = [(body, place) for body in BODIES for place in body.objects]
TEXTS = [(body, place, is_list) for body in BODIES for is_list in (False, True) for place in (body.strings, body.lists)[is_list]]  # fmt: skip  # noqa: E501


def names_of(folder: str) -> set[str]:
    """Every parameter of PVE's calls that make or change a guest of this kind (a restore is a create), and raw keys."""
    templates = [f"/nodes/{{node}}/{folder}", f"/nodes/{{node}}/{folder}/{{vmid}}/clone"]
    calls = [("POST", template) for template in templates] + [("PUT", f"/nodes/{{node}}/{folder}/{{vmid}}/config")]
    known = {name for verb, template in calls for name in declared(verb, template)}
    return {name.replace("[n]", "0") for name in known} | {"lxc.idmap", "lxc.mount.entry", "features[0]", "mp[n]"}


@dataclass
class Attack:
    """A tenant's operator with one guest of each kind, and what PVE was asked since he came."""

    house: House
    tenant: dict[str, Any]
    member: Caller
    guests: dict[str, str]
    parts: dict[str, dict[str, str]]
    since: int
    accepted: int = 0

    def send(self, body: Body, content: Any) -> Any:
        path = body.path.removeprefix("/api").replace("{guest}", self.guests[body.kind])
        for name, value in self.parts[body.kind].items():
            path = path.replace(name, value)
        if isinstance(content.get("name"), str) and content["name"] == body.example.get("name"):
            content = {**content, "name": f"f-{uuid.uuid4().hex[:8]}"}
        answer = self.member.send(body.method, path, content, wait=60 if "{guest}" in body.path else None)
        self.accepted += answer.status_code in (200, 201, 202)
        return answer

    def _is_busy(self) -> bool:
        states = ("pending", "running", "unwinding")
        return any(self.member.get(f"/operations?state={state}").get_json()["data"] for state in states)

    def assert_harmless(self) -> None:
        """Nothing was sent but what has a line in the table, and nothing stands that could do harm."""
        wait_for(lambda: not self._is_busy(), within=60)
        sent = [call for call in self.house.calls()[self.since :] if call["method"] in ("POST", "PUT", "DELETE")]
        for call in sent:
            path = tuple(call["path"].strip("/").split("/"))
            if len(path) > 2 and path[2] in FOLDERS:
                forms = CALLS[call_of(call["method"], path)]
                assert [name for name in call["parameters"] if not is_listed(forms, name)] == [], call
        members = self.house.pve.get(f"/pools/{self.tenant['poolid']}")["members"]
        for one in members:
            if one["type"] in FOLDERS:
                config = self.house.pve.get(f"/nodes/{one['node']}/{one['type']}/{one['vmid']}/config")
                assert [key for key in config if HARMFUL.fullmatch(key)] == []
                mounted = [value for key, value in config.items() if re.fullmatch(r"mp\d+", key)]
                assert [value for value in mounted if not OWN_VOLUME.match(value)] == []
                assert config.get("features", "nesting=1") == "nesting=1"
                assert config.get("serial0", "socket") == "socket", "a template may have one, and never a real port"
                assert one["type"] == "qemu" or config["unprivileged"] == 1
                assert all("\n" not in str(value) for key, value in config.items() if key != "description")


@pytest.fixture(scope="module")
def attack(house: House) -> Attack:
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    since = len(house.calls())
    ids = {
        kind: member.done("POST", f"/proxmox/{kind}", body())["result"]["guest"]["id"]
        for kind, body in (("cts", container), ("vms", vm))
    }
    parts = {kind: _parts(member, kind, guest) for kind, guest in ids.items()}
    return Attack(house, tenant, member, ids, parts, since)


def _parts(member: Caller, kind: str, guest: str) -> dict[str, str]:
    """What of the guest a path may name, by its place."""
    path = f"/proxmox/{kind}/{guest}"
    backup = member.done("POST", f"{path}/backups", {"storage": "local"})["result"]["backup"]["id"]
    schedule = member.post(f"{path}/backup-schedules", {"at": "02:30"}).get_json()["id"]
    member.done("POST", f"{path}/firewall/rules", {"type": "in", "action": "ACCEPT"})
    disk = {"cts": "rootfs", "vms": "scsi0"}[kind]
    vmid = str(member.get(path).get_json()["vmid"])
    return {"{disk}": disk, "{backup}": backup, "{schedule}": schedule, "{pos}": "0", "{vmid}": vmid}


def test_there_is_something_to_try() -> None:
    assert {("POST", "cts"), ("POST", "vms")} <= {(body.method, body.kind) for body in BODIES}
    assert ("net",) in {place for _, place in LEVELS}
    assert ("cloud_init", "password") in {place for _, place, _ in TEXTS}
    assert {"hookscript", "mp0", "dev0", "features", "restore", "unprivileged", "rootfs"} <= names_of("lxc")
    assert {"args", "hookscript", "hostpci0", "archive", "cicustom", "serial0"} <= names_of("qemu")


@pytest.mark.parametrize(("body", "place"), LEVELS, ids=lambda value: str(value) if isinstance(value, Body) else ".".join(value) or "top")  # fmt: skip  # noqa: E501
def test_l15_no_parameter_of_pve_is_a_member_of_a_body(attack: Attack, body: Body, place: tuple[str, ...]) -> None:
    """All at once, each named in the refusal; then each hidden in a nested object and in a list."""
    names = names_of(FOLDER_OF[body.kind]) - body.objects[place]
    inside = dict.fromkeys(names, 1)
    content = body.with_value(place, inside) if place else {**body.example, **inside}
    answer = attack.send(body, content)
    assert answer.status_code == 422, answer.get_data(as_text=True)
    errors = answer.get_json()["errors"]
    for key in place:
        errors = errors[key]
    assert names <= set(errors)
    for wrapped in ({"net": inside}, {"config": inside}, {"options": [inside]}, {"net": [inside]}):
        assert attack.send(body, {**body.example, **wrapped}).status_code == 422
    attack.assert_harmless()


@pytest.mark.parametrize("value", [False, 0, "0", "false", None, [False], {"value": 0}])
def test_l16_no_body_asks_for_a_privileged_container(attack: Attack, value: Any) -> None:
    for body in BODIES:
        if body.kind == "cts":
            assert attack.send(body, {**body.example, "unprivileged": value}).status_code == 422
    attack.assert_harmless()


def test_l15_no_string_of_a_body_opens_a_parameter(attack: Attack) -> None:
    before = attack.accepted

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        body, place, is_list = data.draw(st.sampled_from(TEXTS))
        legit = LEGIT.get(place[-1], "web-1")
        joined = st.builds(
            lambda glue, name, value: f"{legit}{glue}{name}={value}",
            st.sampled_from((",", "\n", "\r\n", ";", " ", "\t", "&", "%0A", "\u2028", "\x0b", ":", "#")),
            st.sampled_from((*OPENERS, *sorted(names_of(FOLDER_OF[body.kind])))),
            st.sampled_from(("0", "1", "/etc", "nesting=1", "local:snippets/x", "a,b=c")),
        )
        value = data.draw(joined | st.sampled_from(HOSTILE) | st.sampled_from(HOSTILE).map(lambda text: legit + text))
        answer = attack.send(body, body.with_value(place, [value] if is_list else value))
        assert answer.status_code in (200, 201, 202, 400, 404, 409, 422, 502), (
            place,
            value,
            answer.get_data(as_text=True),
        )

    attempt()
    assert attack.accepted > before, "nothing came through: the strings never met PVE"
    attack.assert_harmless()
