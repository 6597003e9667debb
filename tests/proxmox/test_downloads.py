"""L21: media from URLs, and where those may not lead."""

from __future__ import annotations

import hashlib
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.domain.errors import AppError
from app.policy.addresses import may_be_reached
from app.pve import sources
from tests.api.test_errors import assert_problem
from tests.house import Caller, House
from tests.lab.process import LabProcess
from tests.web_server import IMAGE, serving

PATH = "/proxmox/storages/local/download-url"
MOST = 1 << 20


def loopback(address: str) -> bool:
    """The one address of the tests' servers, and nothing else that is not public."""
    return may_be_reached(address, ["127.0.0.1/32"])


def fetched(url: str, may: Callable[[str], bool] = loopback, most: int = MOST) -> bytes:
    with sources.opened(url, may, most=most) as source:
        found = b"".join(source.chunks)
        assert source.size == len(found)
    return found


def refusal(url: str, may: Callable[[str], bool] = loopback, most: int = MOST) -> str:
    with pytest.raises(AppError) as refused:
        fetched(url, may, most)
    return refused.value.code


# -- fetching


def test_a_file_is_fetched_also_by_way_of_redirects() -> None:
    with serving(redirects={"/first": "/second", "/second": "/image"}) as (port, asked):
        assert fetched(f"http://127.0.0.1:{port}/first") == IMAGE
        assert asked == ["/first", "/second", "/image"]


def test_what_leads_to_an_address_that_is_not_public_is_never_connected_to() -> None:
    with serving() as (port, asked):
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"):
            assert refusal(f"http://{host}:{port}/image", may_be_reached) == "url.forbidden", host
        assert asked == []


def test_a_redirect_is_judged_like_the_first_url() -> None:
    with serving(address="127.0.0.2") as (inner, asked):
        targets = {"/a": f"http://127.0.0.2:{inner}/image", "/b": f"//127.0.0.2:{inner}/image", "/c": "/a"}
        with serving(redirects=targets) as (port, _):
            for path in targets:
                assert refusal(f"http://127.0.0.1:{port}{path}") == "url.forbidden"
        assert asked == []


def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name is asked for once, and the connection goes to what was judged."""
    asked_names: list[str] = []

    def lookup(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked_names.append(host)
        address = "127.0.0.1" if len(asked_names) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    with serving() as (port, first), serving(address="127.0.0.2", port=port) as (_, second):
        real = socket.create_connection
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        monkeypatch.setattr(socket, "create_connection", lambda to, *more: _to_address(real, to, *more))
        assert fetched(f"http://rebinding.example:{port}/image") == IMAGE
        assert (first, second, asked_names) == (["/image"], [], ["rebinding.example"])


def _to_address(_real: Any, to: tuple[str, int], *_: Any) -> socket.socket:
    """As the real one, which would look the address up by the name server that the test has replaced."""
    plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    plain.settimeout(5)
    plain.connect(to)
    return plain


def test_a_name_with_one_bad_address_among_good_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("127.0.0.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert refusal("http://mixed.example/image") == "url.forbidden"


def test_what_is_of_no_use_is_told_apart_from_what_is_forbidden() -> None:
    with serving(redirects={"/round": "/round", "/file": "file:///etc/passwd"}) as (port, _):
        base = f"http://127.0.0.1:{port}"
        assert refusal(f"{base}/none") == "url.failed"
        assert refusal(f"{base}/endless") == "url.failed"
        assert refusal(f"{base}/round") == "url.failed"
        assert refusal(f"{base}/image", most=len(IMAGE) - 1) == "url.failed"
        assert refusal(f"{base}/file") == "validation.failed"
        assert refusal(f"https://127.0.0.1:{port}/image") == "url.failed"
    with serving(short=True) as (port, _):
        assert refusal(f"http://127.0.0.1:{port}/image") == "url.failed"


# -- through the house


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One that may fetch from this machine."""
    lab = LabProcess.start(state="demo", time_scale=0)
    networks = {"POOLHOUSE_DOWNLOAD_NETWORKS": "127.0.0.1/32"}
    house = House.start(tmp_path_factory.mktemp("downloading"), lab, **networks)
    house.start_worker()
    house.wait_ready()
    yield house
    house.stop()
    lab.stop()


def body(port: int, **more: Any) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{port}/image", "filename": f"image-{uuid.uuid4().hex[:8]}.iso", **more}


def test_a_medium_comes_from_its_url_to_the_storage(open_house: House) -> None:
    admin, digest = open_house.admin(), hashlib.sha256(IMAGE).hexdigest()
    with serving() as (port, _):
        wanted = body(port, checksum=digest, node="n2")
        operation = admin.done("POST", PATH, wanted)
        volid = f"local:iso/{wanted['filename']}"
        expected = {"volid": volid, "content": "iso", "node": "n2", "size": len(IMAGE), "sha256": digest}
        assert operation["result"] == {"volume": expected}
        rows = open_house.pve.get("/nodes/n2/storage/local/content")
        assert {row["volid"]: row["size"] for row in rows}[volid] == len(IMAGE)
        assert_problem(admin.post(PATH, wanted), 409, "volume.exists")
        wrong = body(port, checksum="0" * 64)
        assert_problem(admin.post(PATH, wrong, wait=30), 422, "validation.failed")
        fetched_by_pve = [call for call in open_house.pve.calls() if "download-url" in call["path"]]
        assert fetched_by_pve == [], "PVE would follow a URL wherever it leads"


def test_what_cannot_be_fetched_is_told_as_what_it_is(open_house: House) -> None:
    admin, path = open_house.admin(), f"{PATH}?dry_run=true"
    with serving() as (port, asked):
        wanted = {**body(port), "url": f"http://localhost:{port}/none"}
        assert admin.post(path, wanted).get_json()["violations"] == [], "this house may fetch from here"
        assert asked == [], "only the name was looked up"
        answer = assert_problem(admin.post(PATH, wanted, wait=30), 502, "url.failed")
        assert answer["title"] == "The file could not be fetched"
    nowhere = {**wanted, "url": "http://nowhere.invalid/image"}
    (told,) = admin.post(path, nowhere).get_json()["violations"]
    assert (told["code"], told["status"], told["title"]) == ("url.failed", 502, answer["title"])


def test_a_url_that_redirects_to_what_is_forbidden_ends_its_operation_so(open_house: House) -> None:
    with serving(address="127.0.0.2") as (inner, asked):
        with serving(redirects={"/image": f"http://127.0.0.2:{inner}/image"}) as (port, _):
            answer = open_house.admin().post(PATH, body(port), wait=30)
        assert_problem(answer, 422, "url.forbidden")
        assert asked == []


def test_a_url_is_forgotten_when_its_operation_ends(open_house: House) -> None:
    """L64: it may hold a secret."""
    with serving(redirects={"/image?signature=very-secret": "/image"}) as (port, _):
        wanted = {**body(port), "url": f"http://127.0.0.1:{port}/image?signature=very-secret"}
        operation = open_house.admin().done("POST", PATH, wanted)
    assert "very-secret" not in str(operation)
    assert b"very-secret" not in b"".join(
        path.read_bytes() for path in open_house.state_dir.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:8006/", "url.forbidden"),
        ("https://169.254.169.254/latest/meta-data", "url.forbidden"),
        ("http://[::1]/x", "url.forbidden"),
        ("http://[fe80::1]/x", "url.forbidden"),
        ("http://10.0.0.1/x", "url.forbidden"),
        ("file:///etc/passwd", "validation.failed"),
        ("ftp://example.org/x", "validation.failed"),
        ("http://", "validation.failed"),
        ("http://user:password@example.org/x", "validation.failed"),
        ("http://example.org:0/x", "validation.failed"),
        ("http://example.org/a b", "validation.failed"),
        ("http://example.org:x/", "validation.failed"),
    ],
)
def test_what_is_plainly_forbidden_is_refused_at_once(house: House, url: str, code: str) -> None:
    wanted = {"url": url, "filename": "image.iso"}
    refused = assert_problem(house.admin().post(PATH, wanted), 422, code)
    assert list(refused["errors"]) == ["url"]


def test_a_name_that_leads_inside_is_refused_by_the_worker_and_a_dry_run_says_so(house: House) -> None:
    with serving() as (port, asked):
        wanted = {**body(port), "url": f"http://localhost:{port}/image"}
        plan = house.admin().post(f"{PATH}?dry_run=true", wanted).get_json()
        assert [(one["code"], one["status"]) for one in plan["violations"]] == [("url.forbidden", 422)]
        assert_problem(house.admin().post(PATH, wanted, wait=30), 422, "url.forbidden")
        assert asked == []


def test_who_is_no_administrator_downloads_nothing(house: House) -> None:
    owner: Caller = house.make_member(house.make_tenant(), "owner")
    assert_problem(owner.post(PATH, {"url": "https://example.org/x", "filename": "x.iso"}), 403, "policy.forbidden")
