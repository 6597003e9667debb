"""The door of the lab, as pveproxy has it: reason phrases, envelopes, connections, credentials (facts.md 1 to 3)."""

from __future__ import annotations

import http.client
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.process import LabProcess, Session


def raw(lab: LabProcess, method: str, path: str, body: bytes = b"", **headers: Any) -> http.client.HTTPResponse:
    connection = http.client.HTTPSConnection("127.0.0.1", lab.port, context=ssl._create_unverified_context())
    connection.request(method, path, body or None, {name.replace("_", "-"): text for name, text in headers.items()})
    return connection.getresponse()


def as_root(root: Session) -> dict[str, Any]:
    headers = root.http.headers
    return {"Cookie": str(headers["Cookie"]), "CSRFPreventionToken": str(headers["CSRFPreventionToken"])}


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/x", 500, "no such file '/x'"),
        ("GET", "/api2", 501, "no such uri"),
        ("BREW", "/api2/json/version", 501, "method 'BREW' not available"),
        ("PATCH", "/api2/json/version", 501, "method 'PATCH' not available"),
        ("GET", "/api2/json/nosuch", 401, "No ticket"),
        ("GET", "/api2/xml/version", 401, "No ticket"),
        ("POST", "/api2/json/nosuch", 401, "No ticket"),
    ],
)
def test_what_strangers_get(lab: LabProcess, method: str, path: str, status: int, reason: str) -> None:
    answer = raw(lab, method, path)
    assert (answer.status, answer.reason) == (status, reason)
    repeats = {"/x": f"{reason}\n", "/api2": reason}
    assert answer.read().decode() == repeats.get(path, "")


def test_open_calls_are_open_only_as_they_are_written(lab: LabProcess) -> None:
    assert raw(lab, "GET", "/api2/json/access/domains").status == 200
    assert raw(lab, "GET", "/api2/json//access/domains").status == 401
    assert raw(lab, "GET", "/api2/json/access/domains/").status == 401


def test_an_unknown_formatter_is_told_in_the_body_too(lab: LabProcess, root: Session) -> None:
    answer = raw(lab, "GET", "/api2/xml/version", **as_root(root))
    assert (answer.status, answer.reason) == (501, "no formatter for uri /version, xml")
    assert answer.read().decode() == answer.reason


def test_the_number_that_browsers_add_is_no_parameter(lab: LabProcess, root: Session) -> None:
    assert raw(lab, "GET", "/api2/json/version?_dc=1700000000", **as_root(root)).status == 200


def test_a_ticket_goes_before_a_token_and_into_its_header(lab: LabProcess, root: Session) -> None:
    ticket = {"Authorization": as_root(root)["Cookie"]}
    assert raw(lab, "GET", "/api2/json/version", **ticket).status == 200
    rubbish = {"Authorization": "PVEAPIToken=root@pam!nope=00000000-0000-0000-0000-000000000000"}
    assert raw(lab, "GET", "/api2/json/version", **rubbish).status == 401
    assert raw(lab, "GET", "/api2/json/version", **rubbish, **as_root(root)).status == 200


def test_paths_are_decoded_first(lab: LabProcess, root: Session) -> None:
    answer = raw(lab, "GET", "/api2/json//nodes/n1%2Fqemu/", **as_root(root))
    assert (answer.status, answer.read()) == (200, b'{"data":[]}')
    assert raw(lab, "GET", "/api2/json/access/../version", **as_root(root)).status == 501


def test_errors_close_the_connection_and_answers_keep_it(lab: LabProcess, root: Session) -> None:
    good = raw(lab, "GET", "/api2/json/version", **as_root(root))
    bad = raw(lab, "GET", "/api2/json/nodes/n1/qemu/999/config", **as_root(root))
    assert good.getheader("Connection") != "close"
    assert bad.getheader("Connection") == "close"
    assert good.getheader("Content-Type") == bad.getheader("Content-Type") == "application/json;charset=UTF-8"


def test_a_body_of_half_a_mebibyte_is_enough(lab: LabProcess, root: Session) -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = raw(lab, "POST", "/api2/json/pools", b"comment=" + b"x" * (512 * 1024), **form, **as_root(root))
    assert (answer.status, answer.reason) == (501, "for data too large")


@pytest.mark.parametrize("word", ["yes", "on", "true", "01", ""])
def test_booleans_are_digits(root: Session, word: str) -> None:
    answer = root.call("POST", "/access/users", userid="a@pve", enable=word)
    assert answer.json()["errors"] == {"enable": f"type check ('boolean') failed - got '{word}'"}


def test_the_extjs_form_tells_errors_with_200(root: Session) -> None:
    answer = root.call("GET", "/nodes/n1/qemu/999/config", api="extjs")
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in ("success", "status", "data")} == {
        "success": 0,
        "status": 500,
        "data": None,
    }


def test_who_is_refused_waits_three_seconds_of_pve(lab: LabProcess) -> None:
    lab.control("PUT", "clock", {"time_scale": 0.1})
    began = time.monotonic()
    assert lab.anonymous().refused("GET", "/version") == (401, "No ticket")
    refused = (401, "authentication failure")
    assert lab.anonymous().refused("POST", "/access/ticket", username="root@pam", password="wrong") == refused
    assert 0.6 <= time.monotonic() - began < 2


def test_a_ticket_renews_itself_and_roots_opens_for_all(lab: LabProcess, root: Session) -> None:
    root.ok("POST", "/access/users", userid="a@pve", password="a-password")
    root.ok("POST", "/access/users", userid="b@pve", password="b-password")

    def ticket(user: str, password: str) -> str:
        return str(lab.anonymous().ok("POST", "/access/ticket", username=user, password=password)["ticket"])

    own, roots = ticket("a@pve", "a-password"), ticket("root@pam", lab.password)
    assert ticket("a@pve", own).startswith("PVE:a@pve:")
    assert ticket("b@pve", roots).startswith("PVE:b@pve:")
    assert lab.anonymous().refused("POST", "/access/ticket", username="b@pve", password=own)[0] == 401


def test_tokens_get_no_ticket_and_change_no_password(lab: LabProcess, root: Session) -> None:
    secret = root.ok("POST", "/access/users/root@pam/token/t1", privsep=0)["value"]
    token = lab.token("root@pam!t1", secret)
    text = "Permission check failed (URI '{}' not available with API token, need proper ticket."
    asked: dict[str, Any] = {"userid": "root@pam", "password": "new-password"}
    assert token.refused("PUT", "/access/password", **asked) == (403, text.format("/access/password"))
    asked = {"username": "root@pam", "password": lab.password}
    assert token.refused("POST", "/access/ticket", **asked) == (403, text.format("/access/ticket"))


def test_an_upload_is_refused_before_its_body_is_read(lab: LabProcess, root: Session) -> None:
    root.ok("POST", "/access/users", userid="a@pve", password="a-password")
    path = "/nodes/n1/storage/local/upload"
    alice = lab.login("a@pve", "a-password")
    answer = alice.http.post(f"{lab.url}/api2/json{path}", data={"content": "iso"}, files={"filename": ("a.iso", b"x")})
    assert (answer.status_code, answer.reason) == (
        403,
        "Permission check failed (/storage/local, Datastore.AllocateTemplate)",
    )
    answer = root.http.post(
        f"{lab.url}/api2/json{path}", data={"content": "iso"}, files={"filename": ("my file.iso", b"x" * 100)}
    )
    assert root.wait(answer.json()["data"]) == "OK"
    listed = {row["volid"]: row["size"] for row in root.ok("GET", "/nodes/n1/storage/local/content", content="iso")}
    assert listed["local:iso/my_file.iso"] == 100


def test_many_users_at_once_all_come_to_be(lab: LabProcess, root: Session) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: lab.login().call("POST", "/access/users", userid=f"u{n}@pve"), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len(root.ok("GET", "/access/users")) == 9


@pytest.mark.parametrize(("cores", "status"), [("02", 200), ("+2", 500), ("2.0", 400)])
def test_numbers_that_pass_the_check_but_not_the_file(root: Session, cores: str, status: int) -> None:
    assert root.task("POST", "/nodes/n1/qemu", vmid=100) == "OK"
    answer = root.call("PUT", "/nodes/n1/qemu/100/config", cores=cores)
    assert answer.status_code == status
    if status == 500:
        assert answer.reason == "unable to parse value of 'cores' - type check ('integer') failed - got '+2'"
