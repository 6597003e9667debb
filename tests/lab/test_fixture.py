"""What users of the package get: the fixture `pve_lab`, by pytest's entry point, and the lab in Python."""

from __future__ import annotations

import json
import ssl
import urllib.parse
import urllib.request
from typing import Any

import pytest

from app.lab.testing import LabError, PveLab


def ask(lab: PveLab, path: str, body: dict[str, str] | None = None, **headers: str) -> Any:
    """A call with nothing but Python's own library."""
    data = urllib.parse.urlencode(body).encode() if body else None
    request = urllib.request.Request(f"{lab.url}/api2/json{path}", data, headers)
    with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=lab.ca_file)) as answer:
        return json.load(answer)["data"]


def test_the_fixture_is_a_cluster_to_log_in_to(pve_lab: PveLab) -> None:
    ticket = ask(pve_lab, "/access/ticket", {"username": "root@pam", "password": pve_lab.password})
    nodes = ask(pve_lab, "/nodes", Cookie=f"PVEAuthCookie={ticket['ticket']}")
    assert {node["node"] for node in nodes} == {"n1", "n2"}
    (_, second) = pve_lab.calls()
    assert (second["user"], second["path"], second["status"]) == ("root@pam", "/nodes", 200)


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_finds_it_at_its_start(pve_lab: PveLab, turn: int) -> None:
    assert (pve_lab.calls(), pve_lab.faults()) == ([], [])
    assert pve_lab.control("GET", "clock")["mode"] == "run"
    pve_lab.fault("close", path="^/version")
    pve_lab.stop_time()
    with pytest.raises(urllib.error.HTTPError):
        ask(pve_lab, "/nodes/n1/nonsense", {"turn": str(turn)})


def test_what_makes_no_sense_is_refused(pve_lab: PveLab) -> None:
    with pytest.raises(LabError, match="kind must be one of"):
        pve_lab.fault("earthquake")
    with pytest.raises(LabError, match="no node n9"):
        pve_lab.node("n9", online=False)


def test_a_block_is_undone(pve_lab: PveLab) -> None:
    before = pve_lab.state()
    with pve_lab.restored_after():
        pve_lab.skew("n2", 60)
        assert pve_lab.state() != before
    assert pve_lab.state() == before


def test_a_lab_that_can_not_start_says_so() -> None:
    with pytest.raises(LabError):
        PveLab.start("/no/such/state.json")
