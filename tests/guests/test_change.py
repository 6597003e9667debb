"""Guests of both kinds are changed: what is asked reaches PVE, what grows is charged before, what shrinks after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house import Caller, House, container, vm, wait_for

KINDS = ("cts", "vms")
BODIES = {"cts": container, "vms": vm}
PVE_KIND = {"cts": "lxc", "vms": "qemu"}
NAME = {"cts": "hostname", "vms": "name"}
DISK = {"cts": "rootfs", "vms": "scsi0"}


def make(caller: Caller, kind: str, **more: Any) -> dict[str, Any]:
    guest: dict[str, Any] = caller.done("POST", f"/proxmox/{kind}", BODIES[kind](**more))["result"]["guest"]
    return guest


def config(house: House, kind: str, guest: dict[str, Any], query: str = "") -> dict[str, Any]:
    """The guest's config as the lab's administrator sees it."""
    found: dict[str, Any] = house.pve.get(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/config{query}")
    return found


def behind_our_back(house: House, kind: str, guest: dict[str, Any], **options: Any) -> None:
    house.pve.put(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/config", **options)


def allocated(caller: Caller, tenant: dict[str, Any]) -> dict[str, Any]:
    usage = caller.get(f"/tenants/{tenant['id']}/usage").get_json()
    return {**usage["allocated"], **{f"running_{name}": amount for name, amount in usage["running"].items()}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_what_is_asked_reaches_pve_and_the_rest_stays(house: House, member: Caller, kind: str, method: str) -> None:
    """L45, L27."""
    guest = make(member, kind, net={"bridge": "vmbr0", "vlan": 7, "rate": 3})
    before = config(house, kind, guest)
    body = {
        "memory": 192, "cores": 2, "name": f"renamed-{guest['vmid']}", "net": {"vlan": 12, "rate": 0},
        "tags": ["web", "blue"], "description": "two lines\nof text, & a <sign>", "onboot": True,
        "disk_increment_gb": 2,
    } | ({"swap": 96} if kind == "cts" else {})  # fmt: skip
    operation = member.done(method, f"/proxmox/{kind}/{guest['id']}", body)
    assert operation["type"] == f"{kind[:-1]}.change"
    assert operation["result"]["pending"] == []
    told = operation["result"]["guest"]
    assert told | {"observed_at": ""} == member.get(f"/proxmox/{kind}/{guest['id']}").get_json() | {"observed_at": ""}
    shown = {name: told[name] for name in ("name", "cores", "memory", "disk_gb", "tags")}
    assert shown == {"name": body["name"], "cores": 2, "memory": 192, "disk_gb": 3, "tags": ["web", "blue"]}
    after = config(house, kind, guest)
    assert (int(after["memory"]), after["cores"], after["onboot"]) == (192, 2, 1)
    assert after[NAME[kind]] == body["name"]
    assert sorted(after["tags"].split(";")) == ["blue", "web"]
    assert after["description"].strip() == f"poolhouse-guest: {guest['id']}\n{body['description']}"
    assert "size=3G" in after[DISK[kind]]
    assert after.get("swap") == (96 if kind == "cts" else None)
    card = set(before["net0"].split(",")) - {"tag=7", "rate=3"} | {"tag=12"}
    assert set(after["net0"].split(",")) == card, "bridge, MAC and all else of the card stay"
    changed = {*body, DISK[kind], NAME[kind], "net0", "digest"}
    rest = {key: value for key, value in before.items() if key not in changed}
    assert {key: value for key, value in after.items() if key not in changed} == rest


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_the_network_card_change_and_the_others_stay(house: House, member: Caller, kind: str) -> None:
    guest = make(member, kind, net={"bridge": "vmbr0", "vlan": 7})
    path = f"/proxmox/{kind}/{guest['id']}"
    member.done("PATCH", path, {"net": {"rate": 2.5}})
    card = config(house, kind, guest)["net0"].split(",")
    assert {"bridge=vmbr0", "tag=7", "rate=2.5", "firewall=1"} <= set(card)
    member.done("PATCH", path, {"net": {"bridge": "vmbr0", "vlan": 0}})
    assert not [part for part in config(house, kind, guest)["net0"].split(",") if part.startswith("tag=")]
    if kind == "cts":
        member.done("PATCH", path, {"net": {"ip": "10.9.8.7/24", "gw": "10.9.8.1"}})
        assert {"ip=10.9.8.7/24", "gw=10.9.8.1"} <= set(config(house, kind, guest)["net0"].split(","))
        member.done("PATCH", path, {"net": {"ip": "2001:db8::7/64"}})
        parts = [part for part in config(house, kind, guest)["net0"].split(",") if part[:2] in ("ip", "gw")]
        assert parts == ["ip6=2001:db8::7/64"]


@pytest.mark.parametrize("kind", KINDS)
def test_tags_and_description_can_be_emptied_and_the_mark_stays(house: House, member: Caller, kind: str) -> None:
    """L37: whatever is written below it, the first line says whose the guest is."""
    guest = make(member, kind)
    path = f"/proxmox/{kind}/{guest['id']}"
    member.done("PATCH", path, {"tags": ["a"], "description": "poolhouse-guest: somebody-else"})
    assert config(house, kind, guest)["description"].startswith(f"poolhouse-guest: {guest['id']}\n")
    changed = member.done("PATCH", path, {"tags": [], "description": ""})["result"]["guest"]
    assert changed["tags"] == []
    assert config(house, kind, guest)["description"].strip() == f"poolhouse-guest: {guest['id']}"
    assert config(house, kind, guest).get("tags", " ") == " "
    member.done("DELETE", path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_so_already_is_success_without_a_call(house: House, member: Caller, kind: str) -> None:
    """L106."""
    guest = make(member, kind)
    before = len(house.calls())
    member.done("PATCH", f"/proxmox/{kind}/{guest['id']}", {"memory": guest["memory"], "name": guest["name"]})
    assert [call for call in house.calls()[before:] if call["method"] != "GET"] == []


BAD = [
    ("memory", 0), ("memory", 15), ("memory", "256"), ("memory", None), ("memory", 2**40), ("memory", True),
    ("cores", 0), ("cores", -1), ("cores", 1.5), ("cores", 513),
    ("disk_increment_gb", 0), ("disk_increment_gb", -1), ("disk_increment_gb", "1"), ("disk_increment_gb", 10**9),
    ("name", "-a-"), ("name", "a b"), ("name", "a\n"), ("name", None), ("hostname", "a,b"), ("hostname", ""),
    ("tags", "web"), ("tags", ["Web"]), ("tags", ["a;b"]), ("tags", None), ("tags", ["a"] * 33),
    ("description", 5), ("description", "a\x1bb"), ("description", "a\rb"), ("description", "a" * 4097),
    ("onboot", 1), ("onboot", "true"), ("onboot", None),
    ("net", []), ("net", None), ("net", {"bridge": "a/b"}), ("net", {"bridge": "vmbr1"}), ("net", {"vlan": 4095}),
    ("net", {"vlan": -1}), ("net", {"rate": -1}), ("net", {"rate": True}), ("net", {"mtu": 9000}),
    ("net", {"gw": "10.9.8.1"}), ("net", {"ip": "10.9.8.7"}),
    ("disk_gb", 1), ("storage", "local-lvm"), ("unprivileged", False), ("features", "nesting=1"), ("node", "n2"),
]  # fmt: skip
ONLY = {"cts": [("swap", -1), ("swap", "0")], "vms": [("swap", 64), ("net", {"ip": "10.9.8.7/24"})]}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_wrong_is_422_by_name_before_pve_is_asked(
    house: House, tenant: dict[str, Any], member: Caller, kind: str
) -> None:
    """L25, L104, L15: a disk does not shrink either."""
    guest = make(member, kind)
    usage, before = allocated(member, tenant), len(house.calls())
    path = f"/proxmox/{kind}/{guest['id']}"
    for field, value in [*BAD, *ONLY[kind]]:
        answer = member.patch(path, {"memory": 999, field: value})
        assert answer.status_code == 422, (field, value, answer.get_data(as_text=True))
        assert list(answer.get_json()["errors"]) == [field], (field, value)
    for empty in ({}, None):
        for method in ("PATCH", "PUT"):
            answer = member.send(method, path, empty)
            assert (answer.status_code, answer.get_json()["code"]) == (422, "validation.failed"), empty
    both = member.patch(path, {"name": "a", "hostname": "b"})
    assert (both.status_code, list(both.get_json()["errors"])) == (422, ["hostname"])
    asked = [call for call in house.calls()[before:] if call["user"].startswith(tenant["pve_user"])]
    assert asked == [], "but for the administrator's own readings nothing reaches PVE"
    assert allocated(member, tenant) == usage
    assert member.get("/operations?guest=" + guest["id"]).get_json()["count"] == 1


def test_hostname_is_another_word_for_name(house: House, member: Caller) -> None:
    for kind in KINDS:
        guest = make(member, kind)
        renamed = f"other-{guest['vmid']}"
        told = member.done("PATCH", f"/proxmox/{kind}/{guest['id']}", {"hostname": renamed})["result"]["guest"]
        assert told["name"] == config(house, kind, guest)[NAME[kind]] == renamed


# -- quota


@pytest.mark.parametrize("kind", KINDS)
def test_growth_is_refused_at_the_limit_with_its_figures(house: House, kind: str) -> None:
    """L26, L33."""
    tenant = house.make_tenant({"cores": 3, "memory": 512, "disk_gb": 4})
    member = house.make_member(tenant)
    guest = make(member, kind, cores=1)
    before, stood = allocated(member, tenant), config(house, kind, guest)
    path = f"/proxmox/{kind}/{guest['id']}"
    for body, figures in (
        ({"cores": 4, "memory": 256}, {"dimension": "cores", "limit": 3, "used": 1, "requested": 3}),
        ({"cores": 2, "memory": 513}, {"dimension": "memory", "limit": 512, "used": 128, "requested": 385}),
        ({"disk_increment_gb": 4}, {"dimension": "disk_gb", "limit": 4, "used": 1, "requested": 4}),
    ):
        refused = member.patch(path, body)
        assert (refused.status_code, refused.get_json()["code"]) == (403, "quota.exceeded")
        assert {name: refused.get_json()[name] for name in figures} == figures
    assert allocated(member, tenant) == before
    assert config(house, kind, guest) == stood
    member.done("PATCH", path, {"cores": 3, "memory": 512, "disk_increment_gb": 3})
    after = allocated(member, tenant)
    assert (after["cores"], after["memory"], after["disk_gb"]) == (3, 512, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_growth_is_charged_from_the_request_on_and_shrinking_until_pve_has_it(house: House, kind: str) -> None:
    """L26, L28."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, kind, memory=256, cores=2)
    path = f"/proxmox/{kind}/{guest['id']}"
    with house.pve.fault(method="PUT", path=f"/{guest['vmid']}/config", kind="delay", seconds=1.5, count=1):
        accepted = member.patch(path, {"memory": 512, "cores": 1, "disk_increment_gb": 1})
        assert accepted.status_code == 202
        during = allocated(member, tenant)
        assert (during["memory"], during["cores"], during["disk_gb"]) == (512, 2, 2)
        busy = member.patch(path, {"memory": 128})
        assert (busy.status_code, busy.get_json()["code"]) == (409, "guest.busy")
        wait_for(lambda: member.get(f"/operations/{accepted.get_json()['id']}").get_json()["state"] == "succeeded")
    after = allocated(member, tenant)
    assert (after["memory"], after["cores"], after["disk_gb"]) == (512, 1, 2)


def test_what_lowers_use_passes_also_over_the_limit(house: House) -> None:
    """L31."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, "cts", memory=512, cores=2)
    house.admin().put(f"/tenants/{tenant['id']}/quota", {"memory": 1, "cores": 1, "disk_gb": 0, "guests": 0})
    path = f"/proxmox/cts/{guest['id']}"
    assert member.patch(path, {"memory": 256, "cores": 3}).get_json()["dimension"] == "cores"
    member.done("PATCH", path, {"memory": 256, "cores": 2, "name": "smaller"})
    assert allocated(member, tenant)["memory"] == 256


def test_a_users_own_limit_counts_for_his_guests_whoever_grows_them(house: House) -> None:
    """L30."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, "vms", memory=128)
    user = member.get("/auth/me").get_json()["id"]
    admin = house.admin()
    admin.put(f"/tenants/{tenant['id']}/quota?user={user}", {"memory": 256})
    for caller in (member, admin):
        refused = caller.patch(f"/proxmox/vms/{guest['id']}", {"memory": 257}).get_json()
        assert (refused["code"], refused["whose"]) == ("quota.exceeded", "user")
    admin.done("PATCH", f"/proxmox/vms/{guest['id']}", {"memory": 256})


def test_a_running_container_takes_and_gives_back_running_quota_at_once(house: House) -> None:
    """L35."""
    tenant = house.make_tenant({"running_memory": 256})
    member = house.make_member(tenant)
    guest = make(member, "cts", memory=128, cores=2, start=True)
    path = f"/proxmox/cts/{guest['id']}"
    assert member.patch(path, {"memory": 257}).get_json()["dimension"] == "running_memory"
    grown = member.done("PATCH", path, {"memory": 256})["result"]
    assert (grown["pending"], grown["guest"]["state"]) == ([], "running")
    assert allocated(member, tenant)["running_memory"] == 256
    member.done("PATCH", path, {"memory": 64, "cores": 1})
    after = allocated(member, tenant)
    assert (after["running_memory"], after["running_cores"], after["memory"], after["cores"]) == (64, 1, 64, 1)
    member.done("POST", f"{path}/stop")
    member.done("PATCH", path, {"memory": 512})
    assert allocated(member, tenant)["running_memory"] == 0, "a stopped guest claims nothing of it"


def test_what_waits_for_the_next_start_is_told_and_running_quota_follows_what_runs(house: House) -> None:
    """L35: a running VM has the larger of what it runs with and what comes."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, "vms", memory=256, cores=2, start=True)
    path = f"/proxmox/vms/{guest['id']}"
    result = member.done("PATCH", path, {"memory": 512, "cores": 1, "onboot": True})["result"]
    assert result["pending"] == ["cores", "memory"]
    assert (result["guest"]["memory"], result["guest"]["cores"]) == (512, 1)
    assert int(config(house, "vms", guest, "?current=1")["memory"]) == 256
    now = allocated(member, tenant)
    assert (now["memory"], now["cores"], now["running_memory"], now["running_cores"]) == (512, 1, 512, 2)
    member.done("POST", f"{path}/start")
    assert allocated(member, tenant) == now, "it runs already, with two cores still"
    member.done("POST", f"{path}/reboot")
    assert int(config(house, "vms", guest, "?current=1")["memory"]) == 512
    then = allocated(member, tenant)
    assert (then["running_memory"], then["running_cores"]) == (512, 1)
    assert member.done("PATCH", path, {"description": "x"})["result"]["pending"] == []
    member.done("PATCH", path, {"memory": 128})
    assert allocated(member, tenant)["running_memory"] == 512
    member.done("POST", f"{path}/stop")
    member.done("POST", f"{path}/start")
    assert allocated(member, tenant)["running_memory"] == 128


# -- what goes wrong


@pytest.mark.parametrize(("kind", "running"), [("cts", True), ("vms", False), ("vms", True)])
def test_a_change_that_fails_is_put_back_and_gives_everything_back(house: House, kind: str, running: bool) -> None:
    """L28, L40."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, kind, memory=256, cores=2, start=running, net={"vlan": 7})
    path = f"/proxmox/{kind}/{guest['id']}"
    member.done("PATCH", path, {"tags": ["old"], "description": "old"})
    before, stood, shown = allocated(member, tenant), config(house, kind, guest), member.get(path).get_json()
    body = {
        "memory": 512, "cores": 1, "name": "new", "tags": ["new"], "description": "new", "net": {"vlan": 8},
        "onboot": True, "disk_increment_gb": 1,
    }  # fmt: skip
    with house.pve.fault(kind="task_fails", task=f"resize:{guest['vmid']}", text="lvextend failed"):
        answer = member.send("PATCH", path, body, wait=30)
    assert (answer.status_code, answer.get_json()["code"]) == (502, "pve.task_failed")
    assert "kept" not in answer.get_json()
    assert allocated(member, tenant) == before
    now = config(house, kind, guest)
    card, old_card = set(now.pop("net0").split(",")), set(stood.pop("net0").split(","))
    assert card == old_card
    for one in (now, stood):
        one.pop("digest")
    assert now.pop("onboot", 0) == stood.pop("onboot", 0)
    assert now == stood
    pending = house.pve.get(f"/nodes/{guest['node']}/{PVE_KIND[kind]}/{guest['vmid']}/pending")
    assert [row for row in pending if "pending" in row or "delete" in row] == []
    assert member.get(path).get_json() | {"observed_at": ""} == shown | {"observed_at": ""}


@pytest.mark.parametrize("kind", KINDS)
def test_a_grown_disk_stays_grown_and_charged_and_the_error_says_so(house: House, kind: str) -> None:
    """L27, L28."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, kind)
    path = f"/proxmox/{kind}/{guest['id']}"
    theirs = {"tags": "Web;x+y", "description": f"poolhouse-guest: {guest['id']}\r\n\tby hand"}
    behind_our_back(house, kind, guest, **theirs)
    stood = config(house, kind, guest)
    asked = {"memory": 512, "tags": ["ours"], "description": "ours", "disk_increment_gb": 2}
    with house.pve.fault(method="GET", path=f"/{guest['vmid']}/pending", kind="refuse", status=500, text="no"):
        answer = member.send("PATCH", path, asked, wait=30)
    assert (answer.status_code, answer.get_json()["code"]) == (502, "pve.refused")
    assert answer.get_json()["kept"] == {"disk_gb": 3}
    assert "size=3G" in config(house, kind, guest)[DISK[kind]]
    for option in ("memory", *theirs):
        assert str(config(house, kind, guest)[option]).strip() == str(stood[option]).strip()
    now = allocated(member, tenant)
    assert (now["disk_gb"], now["memory"]) == (3, 128)
    assert member.get(path).get_json()["disk_gb"] == 3
    member.done("PATCH", path, {"disk_increment_gb": 1})
    assert (allocated(member, tenant)["disk_gb"], "size=4G" in config(house, kind, guest)[DISK[kind]]) == (4, True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", ["config", "resize"])
def test_a_lost_answer_changes_nothing_twice(house: House, member: Caller, kind: str, call: str) -> None:
    """L38, L74."""
    guest = make(member, kind)
    with house.pve.fault(method="PUT", path=f"/{guest['vmid']}/{call}", kind="lost_reply", count=1):
        told = member.done("PATCH", f"/proxmox/{kind}/{guest['id']}", {"memory": 512, "disk_increment_gb": 2})
    assert (told["result"]["guest"]["memory"], told["result"]["guest"]["disk_gb"]) == (512, 3)
    assert "size=3G" in config(house, kind, guest)[DISK[kind]]
    assert (
        len([task for task in house.pve.tasks() if (task["type"], task["id"]) == ("resize", str(guest["vmid"]))]) == 1
    )


def test_a_locked_guest_is_waited_for(house: House, member: Caller) -> None:
    guest = make(member, "vms")
    behind_our_back(house, "vms", guest, lock="backup")
    accepted = member.patch(f"/proxmox/vms/{guest['id']}", {"memory": 256})
    operation = f"/operations/{accepted.get_json()['id']}"
    wait_for(lambda: member.get(operation).get_json()["steps"][1]["state"] == "running")
    behind_our_back(house, "vms", guest, delete="lock", skiplock=1)
    wait_for(lambda: member.get(operation).get_json()["state"] == "succeeded")
    assert int(config(house, "vms", guest)["memory"]) == 256


def test_a_change_that_is_cancelled_gives_back_what_it_claimed(house: House, tenant: dict[str, Any]) -> None:
    """L28."""
    member = house.make_member(tenant)
    guest = make(member, "vms")
    before, stood = allocated(member, tenant), config(house, "vms", guest)
    behind_our_back(house, "vms", guest, lock="backup")
    accepted = member.patch(f"/proxmox/vms/{guest['id']}", {"memory": 512})
    operation = f"/operations/{accepted.get_json()['id']}"
    wait_for(lambda: member.get(operation).get_json()["steps"][1]["state"] == "running")
    assert member.post(f"{operation}/cancel").status_code in (200, 202)
    behind_our_back(house, "vms", guest, delete="lock", skiplock=1)
    wait_for(lambda: member.get(operation).get_json()["state"] == "cancelled")
    assert (allocated(member, tenant), config(house, "vms", guest)) == (before, stood)


def test_a_guest_that_went_behind_our_back_keeps_its_quota_and_is_not_made_anew(house: House) -> None:
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, "cts")
    house.pve.delete(f"/nodes/{guest['node']}/lxc/{guest['vmid']}")
    before = allocated(member, tenant)
    answer = member.send("PATCH", f"/proxmox/cts/{guest['id']}", {"memory": 512, "disk_increment_gb": 1}, wait=30)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.missing")
    assert allocated(member, tenant) == before


def test_a_guest_that_is_not_ours_any_more_is_not_touched(house: House) -> None:
    """L37: somebody else's guest under our vmid."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, "vms")
    behind_our_back(house, "vms", guest, description="mine now")
    stood = config(house, "vms", guest)
    answer = member.send("PATCH", f"/proxmox/vms/{guest['id']}", {"memory": 512}, wait=30)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "guest.missing")
    assert config(house, "vms", guest) == stood
    assert allocated(member, tenant)["memory"] == 128


# -- If-Match


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_behind_our_back_is_412_and_not_lost(house: House, tenant: dict[str, Any], kind: str) -> None:
    """L79."""
    member = house.make_member(tenant)
    guest = make(member, kind)
    path = f"/proxmox/{kind}/{guest['id']}"
    etag = member.get(f"{path}/config").headers["ETag"]
    behind_our_back(house, kind, guest, memory=192)
    before, stood = allocated(member, tenant), config(house, kind, guest)
    refused = member.patch(path, {"memory": 256, "description": "lost?"}, If_Match=etag)
    assert (refused.status_code, refused.get_json()["code"]) == (412, "pve.config_changed")
    assert refused.get_json()["remedy"]
    assert (allocated(member, tenant), config(house, kind, guest)) == (before, stood)
    etag = member.get(f"{path}/config").headers["ETag"]
    member.done("PATCH", path, {"memory": 256}, If_Match=etag)
    again = member.put(path, {"memory": 512}, If_Match=etag)
    assert again.status_code == 412, "one's own change makes another version, too"
    member.done("PATCH", path, {"memory": 384}, If_Match="*")
    fresh = member.get(f"{path}/config").headers["ETag"]
    member.done("PUT", path, {"disk_increment_gb": 1}, If_Match=f'"nothing", W/{fresh}')
    for etags in ('"x", {0}', '{0}, "x"', '"x" ,W/"y",{0}'):
        fresh = member.get(f"{path}/config").headers["ETag"]
        change = {"description": f"one of {len(etags)}"}
        member.done("PATCH", path, change, If_Match=etags.format(fresh))


@pytest.mark.parametrize(("kind", "body"), [("vms", {"memory": 256}), ("cts", {"memory": 256, "disk_increment_gb": 1})])
def test_a_change_between_our_look_and_pve_s_is_412_too(house: House, kind: str, body: dict[str, Any]) -> None:
    """L79: the digest goes to PVE with the change itself."""
    tenant = house.make_tenant()
    member = house.make_member(tenant)
    guest = make(member, kind)
    path = f"/proxmox/{kind}/{guest['id']}"
    etag = member.get(f"{path}/config").headers["ETag"]
    with house.pve.fault(method="PUT", path=f"/{guest['vmid']}/config", user="!", kind="delay", seconds=1.5, count=1):
        accepted = member.patch(path, body, If_Match=etag)
        assert accepted.status_code == 202
        wait_for(lambda: [c for c in house.calls() if c["path"].endswith(f"/{guest['vmid']}/config")][-1:])
        operation = f"/operations/{accepted.get_json()['id']}"
        wait_for(lambda: member.get(operation).get_json()["steps"][2]["state"] == "running")
        behind_our_back(house, kind, guest, onboot=1)
        wait_for(lambda: member.get(operation).get_json()["state"] == "failed")
    error = member.get(operation).get_json()["error"]
    assert (error["status"], error["code"]) == (412, "pve.config_changed")
    now = config(house, kind, guest)
    assert (int(now["memory"]), now["onboot"]) == (128, 1)
    assert allocated(member, tenant)["memory"] == 128


def test_a_busy_guest_is_busy_whatever_its_digest(house: House, member: Caller) -> None:
    guest = make(member, "cts")
    with house.pve.fault(method="POST", path=".*/status/start", kind="delay", seconds=1.5, count=1):
        member.post(f"/proxmox/cts/{guest['id']}/start")
        busy = member.patch(f"/proxmox/cts/{guest['id']}", {"memory": 256}, If_Match='"x"')
    assert (busy.status_code, busy.get_json()["code"]) == (409, "guest.busy")


def test_a_key_changes_once(house: House, member: Caller, tenant: dict[str, Any]) -> None:
    """L50: an increment above all."""
    guest = make(member, "cts")
    path = f"/proxmox/cts/{guest['id']}"
    first = member.send("PATCH", path, {"disk_increment_gb": 1}, wait=30, Idempotency_Key="grow-once")
    second = member.send("PATCH", path, {"disk_increment_gb": 1}, wait=30, Idempotency_Key="grow-once")
    assert first.headers["Location"] == second.headers["Location"]
    assert member.get(path).get_json()["disk_gb"] == 2
