"""Where a new guest stands among its tenant's others."""

from __future__ import annotations

from typing import Any

from tests.house import Caller, House, vm


def made(caller: Caller, **more: Any) -> str:
    """A VM with an empty disk, which any node can have; the name of the one it is on."""
    node: str = caller.done("POST", "/proxmox/vms", vm(**more))["result"]["guest"]["node"]
    return node


def test_tags_attract_and_repel_within_a_tenant(house: House) -> None:
    member, stranger = (house.make_member(house.make_tenant()) for _ in range(2))
    first = made(member, tags=["web"])
    as_far = "affinity" if made(stranger, tags=["seed"]) != first else "anti_affinity"
    elsewhere = {made(stranger, tags=["web", "blue"], **{as_far: ["seed"]}) for _ in range(2)}
    assert len(elsewhere) == 1
    assert first not in elsewhere
    assert {made(member, anti_affinity=["web"])} == elsewhere, "the stranger's two with that tag do not count"
    assert made(member, affinity=["web"]) == first


def test_a_wish_that_is_no_tag_is_refused(house: House) -> None:
    member = house.make_member(house.make_tenant())
    for path, body in (
        ("/proxmox/vms", vm(affinity=["a b"])),
        ("/deployments", {"template_id": "debian-12", "name": "web", "affinity": ["a b"]}),
    ):
        answer = member.post(path, body)
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["affinity"])
