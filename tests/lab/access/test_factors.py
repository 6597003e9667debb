"""Second factors: nobody has any, and nobody but the user himself and his administrators is told so."""

from __future__ import annotations

from tests.lab.process import LabProcess, Session


def test_nobody_has_a_second_factor(lab: LabProcess, root: Session) -> None:
    for name in ("alice", "bob"):
        root.ok("POST", "/access/users", userid=f"{name}@pve", password=f"{name}pw12345")
    alice = lab.login("alice@pve", "alicepw12345")
    assert alice.ok("GET", "/access/tfa") == alice.ok("GET", "/access/tfa/alice@pve") == []
    assert alice.refused("GET", "/access/tfa/alice@pve/x") == (404, "No such tfa entry 'x'")
    assert alice.ok("GET", "/access/users/alice@pve/tfa") == {}
    assert alice.ok("GET", "/access/users/alice@pve/tfa", multiple=1) == {"user": []}
    for path in ("/access/tfa/bob@pve", "/access/users/bob@pve/tfa"):
        assert alice.refused("GET", path) == (403, "Permission check failed")
