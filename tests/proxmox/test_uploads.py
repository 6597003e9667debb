"""Media on their way through the house to PVE."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from tests.api.test_errors import assert_problem
from tests.house import Caller, House

PATH = "/proxmox/storages/local/upload"
BYTES = bytes(range(256)) * 5000  # more than a chunk, and no multiple of one
SHA256 = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture(scope="module")
def admin(house: House) -> Caller:
    return house.admin()


@pytest.fixture
def name(house: House) -> Iterator[str]:
    """Of an image that is not there, and is gone in the end."""
    found = f"image-{uuid.uuid4().hex[:8]}.iso"
    yield found
    for node in ("n1", "n2"):
        if f"local:iso/{found}" in on_node(house, node):
            house.pve.delete(f"/nodes/{node}/storage/local/content/local:iso/{found}")


def on_node(house: House, node: str = "n1") -> dict[str, int]:
    """volid -> size"""
    return {row["volid"]: row["size"] for row in house.pve.get(f"/nodes/{node}/storage/local/content")}


def octets(caller: Caller, query: str, body: bytes | io.BytesIO = BYTES, **more: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {caller.token}", "Prefer": "wait=30", **more.pop("headers", {})}
    more.setdefault("content_type", "application/octet-stream")
    return caller.client.post(f"/api{PATH}{query}", data=body, headers=headers, **more)


def form(
    caller: Caller, query: str = "", *, filename: str = "x.iso", body: bytes = BYTES, **fields: str
) -> TestResponse:
    headers = {"Authorization": f"Bearer {caller.token}", "Prefer": "wait=30"}
    file = FileStorage(io.BytesIO(body), filename, "file")
    boundary, data = encode_multipart({**fields, "file": file}, boundary="of-this-form")
    sent_as = f"multipart/form-data; boundary={boundary}"
    return caller.client.post(f"/api{PATH}{query}", data=data, headers=headers, content_type=sent_as)


def test_a_plain_body_comes_to_the_storage_as_it_was(house: House, admin: Caller, name: str) -> None:
    mark = house.pve.mark()
    answer = octets(admin, f"?filename={name}&checksum={SHA256}&node=n2")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    operation = answer.get_json()
    volid = f"local:iso/{name}"
    expected = {"volid": volid, "content": "iso", "node": "n2", "size": len(BYTES), "sha256": SHA256}
    assert (operation["type"], operation["state"]) == ("media.upload", "succeeded")
    assert operation["result"] == {"volume": expected}
    assert answer.headers["Location"] == f"/api/operations/{operation['id']}"
    assert on_node(house, "n2")[volid] == len(BYTES)
    assert volid not in on_node(house, "n1")
    writes = [(call["method"], call["path"]) for call in house.pve.writes(mark)]
    assert writes == [("POST", "/nodes/n2/storage/local/upload")]
    content = admin.get("/proxmox/storages/local/content?content=iso").get_json()["data"]
    assert volid in [row["volid"] for row in content]


@pytest.mark.parametrize("terminated", [True, False])
def test_servers_differ_at_the_end_of_a_body(house: House, admin: Caller, name: str, terminated: bool) -> None:
    """gunicorn ends the body itself (`wsgi.input_terminated`), others leave it open."""
    answer = octets(admin, f"?filename={name}", environ_overrides={"wsgi.input_terminated": terminated})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert on_node(house)[f"local:iso/{name}"] == len(BYTES)


@pytest.mark.parametrize("where", ["query", "fields"])
def test_a_form_comes_to_the_storage_as_it_was(house: House, admin: Caller, name: str, where: str) -> None:
    told = {"content": "iso", "checksum": hashlib.sha512(BYTES).hexdigest(), "checksum_algorithm": "sha512"}
    if where == "fields":
        answer = form(admin, filename=name, **told)
    else:
        query = "&".join(f"{field}={value}" for field, value in {**told, "filename": name}.items())
        answer = form(admin, f"?{query}", filename="something else.iso")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert on_node(house)[f"local:iso/{name}"] == len(BYTES)
    assert answer.get_json()["result"]["volume"]["sha256"] == SHA256


def test_what_was_uploaded_can_be_used_at_once(house: House, admin: Caller, name: str) -> None:
    """Without waiting for the inventory's next look at media, a minute later."""
    assert octets(admin, f"?filename={name}&node=n1").status_code == 200
    member = house.make_member(house.make_tenant())
    body = {"name": "boots", "iso": f"local:iso/{name}", "memory": 128, "disk_gb": 1}
    guest = member.done("POST", "/proxmox/vms", body)["result"]["guest"]
    assert guest["node"] == "n1"
    member.done("DELETE", f"/proxmox/vms/{guest['id']}")


def test_a_file_with_another_checksum_is_never_sent_to_its_end(house: House, admin: Caller, name: str) -> None:
    mark = house.pve.mark()
    wrong = hashlib.sha256(b"another file").hexdigest()
    for answer in (octets(admin, f"?filename={name}&checksum={wrong}"), form(admin, filename=name, checksum=wrong)):
        refused = assert_problem(answer, 422, "validation.failed")
        assert list(refused["errors"]) == ["checksum"]
    assert f"local:iso/{name}" not in on_node(house)
    assert [call for call in house.pve.writes(mark) if call["status"] == 200] == []


def test_a_name_that_is_there_is_not_overwritten(house: House, admin: Caller, name: str) -> None:
    assert octets(admin, f"?filename={name}").status_code == 200
    mark = house.pve.mark()
    for answer in (octets(admin, f"?filename={name}", b"other"), form(admin, filename=name, body=b"other")):
        assert_problem(answer, 409, "volume.exists")
    assert house.pve.writes(mark) == []
    assert on_node(house)[f"local:iso/{name}"] == len(BYTES)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?filename=../../etc/passwd.iso", "filename"),
        ("?filename=a..b.iso", "filename"),
        ("?filename=.hidden.iso", "filename"),
        ("?filename=a%2Fb.iso", "filename"),
        ("?filename=a%20b.iso", "filename"),
        ("?filename=a.exe", "filename"),
        ("?filename=a.iso%0A", "filename"),
        ("?filename=a%22.iso", "filename"),
        ("?filename=" + "a" * 130 + ".iso", "filename"),
        ("?filename=a.iso&content=vztmpl", "filename"),
        ("?filename=a.tar.zst&content=iso", "filename"),
        ("", "filename"),
        ("?filename=a.iso&content=backup", "content"),
        ("?filename=a.iso&checksum=abc", "checksum"),
        ("?filename=a.iso&checksum=" + "z" * 64, "checksum"),
        ("?filename=a.iso&checksum=" + "a" * 96, "checksum"),
        ("?filename=a.iso&checksum_algorithm=md5", "checksum_algorithm"),
        ("?filename=a.iso&node=n9", "node"),
        ("?filename=a.iso&cluster=moon", "cluster"),
        ("?filename=a.iso&tmpfilename=/var/tmp/x", "tmpfilename"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_sent(house: House, admin: Caller, query: str, field: str) -> None:
    """L77, L101."""
    mark = house.pve.mark()
    refused = assert_problem(octets(admin, query), 422, "validation.failed")
    assert list(refused["errors"]) == [field]
    assert house.pve.writes(mark) == []


def test_a_form_that_is_none_is_refused(house: House, admin: Caller, name: str) -> None:
    mark = house.pve.mark()
    named = f"?filename={name}"
    for body, kind in (
        (b"no form at all", "multipart/form-data; boundary=B"),
        (b"--B\r\n\r\n\r\n--B--\r\n", "multipart/form-data"),
        (
            b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.iso"\r\n\r\nabc',
            "multipart/form-data; boundary=B",
        ),
    ):
        assert_problem(octets(admin, named, body, content_type=kind), 400, "request.malformed")
    headers = {"Authorization": f"Bearer {admin.token}"}
    url = f"/api{PATH}{named}"
    no_file = admin.client.post(url, data={"content": "iso"}, headers=headers, content_type="multipart/form-data")
    assert list(assert_problem(no_file, 422, "validation.failed")["errors"]) == ["file"]
    twice = form(admin, f"{named}&content=iso", filename=name, content="iso")
    assert list(assert_problem(twice, 422, "validation.failed")["errors"]) == ["content"]
    late = io.BytesIO(
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.iso"\r\n\r\nabc\r\n'
        b'--B\r\nContent-Disposition: form-data; name="content"\r\n\r\niso\r\n--B--\r\n'
    )
    answer = octets(admin, named, late, content_type="multipart/form-data; boundary=B")
    assert_problem(answer, 400, "request.malformed")
    assert [call for call in house.pve.writes(mark) if call["status"] == 200] == []
    assert f"local:iso/{name}" not in on_node(house)


def test_other_bodies_and_bodies_without_a_length_are_refused(admin: Caller, name: str) -> None:
    query = f"?filename={name}"
    assert_problem(octets(admin, query, content_type="application/json"), 415, "request.unsupported_media_type")
    assert list(
        assert_problem(octets(admin, query, b"", environ_overrides={"CONTENT_LENGTH": "0"}), 422, "validation.failed")[
            "errors"
        ]
    ) == ["file"]
    chunked = octets(admin, query, io.BytesIO(BYTES), environ_overrides={"HTTP_TRANSFER_ENCODING": "chunked"})
    assert_problem(chunked, 411, "request.length_required")
    short = octets(admin, query, BYTES[:100], environ_overrides={"CONTENT_LENGTH": "5000"})
    assert_problem(short, 400, "request.malformed")
    keyed = octets(admin, query, headers={"Idempotency-Key": "k"})
    assert list(assert_problem(keyed, 422, "validation.failed")["errors"]) == ["Idempotency-Key"]


def test_a_file_above_the_limit_is_refused_before_it_is_read(
    house: House, admin: Caller, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from app import current

    small = dataclasses.replace(house.settings, max_upload_bytes=len(BYTES) - 1)
    monkeypatch.setitem(house.app.extensions, current.SETTINGS, small)
    mark = house.pve.mark()
    assert_problem(octets(admin, f"?filename={name}"), 413, "request.too_large")
    assert_problem(form(admin, filename=name), 413, "request.too_large")
    endless = octets(admin, f"?filename={name}", b"x", environ_overrides={"CONTENT_LENGTH": str(1 << 50)})
    assert_problem(endless, 413, "request.too_large")
    assert house.pve.writes(mark) == []


def test_a_storage_without_room_or_for_other_things_takes_none(house: House, admin: Caller, name: str) -> None:
    answer = octets(admin, f"?filename={name}", b"x", environ_overrides={"CONTENT_LENGTH": str(9 << 30)})
    assert answer.status_code in (400, 507)
    wrong = admin.client.post(
        f"/api/proxmox/storages/local-lvm/upload?filename={name}", data=BYTES,
        headers={"Authorization": f"Bearer {admin.token}"}, content_type="application/octet-stream",
    )  # fmt: skip
    assert list(assert_problem(wrong, 422, "validation.failed")["errors"]) == ["content"]
    missing = admin.client.post(
        f"/api/proxmox/storages/no-such/upload?filename={name}", data=BYTES,
        headers={"Authorization": f"Bearer {admin.token}"}, content_type="application/octet-stream",
    )  # fmt: skip
    assert_problem(missing, 404, "not_found")


def test_a_task_of_pve_s_that_fails_fails_the_operation(house: House, admin: Caller, name: str) -> None:
    with house.pve.fault(kind="task_fails", task="imgcopy", at=0, text="can't copy file"):
        answer = octets(admin, f"?filename={name}")
    assert_problem(answer, 502, "pve.task_failed")
    assert f"local:iso/{name}" not in on_node(house)
    assert octets(admin, f"?filename={name}").status_code == 200, "and can be tried again"


def test_who_is_no_administrator_uploads_nothing(house: House, name: str) -> None:
    owner = house.make_member(house.make_tenant(), "owner")
    mark = house.pve.mark()
    assert_problem(octets(owner, f"?filename={name}"), 403, "policy.forbidden")
    assert house.pve.writes(mark) == []


# -- never whole in memory


class Zeros(io.RawIOBase):
    """A body of a head, so many zeros, and a tail, which nobody has in memory."""

    def __init__(self, head: bytes, zeros: int, tail: bytes) -> None:
        self._parts = [[head, len(head)], [b"", zeros], [tail, len(tail)]]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        for part in self._parts:
            text, left = part
            if left:
                taken = min(left, len(buffer))
                start = len(text) - left
                buffer[:taken] = text[start : start + taken] if text else bytes(taken)
                part[1] = left - taken
                return int(taken)
        return 0


@pytest.mark.parametrize("kind", ["octets", "form"])
def test_a_large_file_is_never_whole_in_memory(house: House, admin: Caller, name: str, kind: str) -> None:
    """L94: what the process holds at most does not grow with the file."""
    size = 96 << 20
    head = b'--B\r\nContent-Disposition: form-data; name="file"; filename="x.iso"\r\n\r\n' if kind == "form" else b""
    tail = b"\r\n--B--\r\n" if kind == "form" else b""
    content_type = "multipart/form-data; boundary=B" if kind == "form" else "application/octet-stream"
    headers = {"Authorization": f"Bearer {admin.token}", "Prefer": "wait=30"}
    described = {"CONTENT_TYPE": content_type}  # werkzeug's client would put a boundary of its own in
    body = io.BufferedReader(Zeros(head, size, tail), 1 << 16)
    tracemalloc.start()
    try:
        answer = admin.client.post(
            f"/api{PATH}?filename={name}", headers=headers, content_type=content_type,
            environ_overrides={**described, "wsgi.input": body, "CONTENT_LENGTH": str(len(head) + size + len(tail))},
        )  # fmt: skip
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert on_node(house)[f"local:iso/{name}"] == size
    assert peak < 16 << 20


# -- and away again


def gone(caller: Caller, volid: str, storage: str = "local") -> TestResponse:
    return caller.delete(f"/proxmox/storages/{storage}/content/{volid}", wait=30)


def test_a_medium_is_deleted_from_storage_and_inventory(house: House, admin: Caller, name: str) -> None:
    volid = f"local:iso/{name}"
    for node in ("n1", "n2"):
        assert octets(admin, f"?filename={name}&node={node}").status_code == 200
    assert gone(admin, volid).get_json()["state"] == "succeeded"
    assert volid not in {**on_node(house), **on_node(house, "n2")}
    assert_problem(gone(admin, volid), 404, "not_found")
    member = house.make_member(house.make_tenant())
    refused = member.post("/proxmox/vms", {"name": "none", "iso": volid, "memory": 128, "disk_gb": 1})
    assert list(assert_problem(refused, 422, "validation.failed")["errors"]) == ["iso"], "not offered any more"


def test_what_somebody_stands_on_is_not_deleted(house: House, admin: Caller) -> None:
    template = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"
    tenant = house.make_tenant()
    owner = house.make_member(tenant, "owner")
    body = {"name": "stands", "template": "debian-12", "memory": 128, "disk_gb": 1, "storage": "local-lvm"}
    guest = owner.done("POST", "/proxmox/cts", body)["result"]["guest"]
    disk = f"local-lvm:vm-{guest['vmid']}-disk-0"
    mark = house.pve.mark()
    assert_problem(gone(admin, template), 409, "volume.in_use")
    assert_problem(gone(admin, disk, "local-lvm"), 409, "volume.in_use")
    assert_problem(gone(owner, disk, "local-lvm"), 409, "volume.in_use")
    for other in ("local-lvm:vm-1-disk-9", "local:iso/none.iso", "local:iso/../x", "nonsense"):
        assert_problem(gone(admin, other), 404, "not_found")
    assert_problem(gone(admin, disk, "local"), 404, "not_found")
    assert house.pve.writes(mark) == []
