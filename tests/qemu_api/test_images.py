"""The catalog of images, through HTTP: whose they are, what is refused, and that rows and files agree.

L81: by id, name and owner, never by a path. L94: what comes is bounded, and nothing of what is refused stays.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import struct
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from app.db import local_images
from app.db.session import Database
from tests.api.test_errors import assert_problem
from tests.house import Caller, House, iso, wait_for

NEEDS_QEMU_IMG = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="apt-get install qemu-utils")
MIB = 1 << 20


@pytest.fixture(scope="module")
def stranger(house: House) -> Caller:
    return house.make_member(house.make_tenant(), "owner")


def new_name() -> str:
    return f"i-{uuid.uuid4().hex[:8]}"


def upload(caller: Caller, content: bytes = iso(), **fields: str) -> Any:
    """As a form. The client's own boundary is now and then longer than the 70 characters of RFC 2046."""
    file = FileStorage(io.BytesIO(content), "../../x.iso", "file")
    boundary, form = encode_multipart({**fields, "file": file}, boundary="of-this-form")
    return caller.client.post(
        "/api/qemu/images",
        data=form,
        content_type=f"multipart/form-data; boundary={boundary}",
        headers={"Authorization": f"Bearer {caller.token}"},
    )


def kept(caller: Caller, content: bytes = iso(), **fields: str) -> dict[str, Any]:
    answer = upload(caller, content, **{"name": new_name(), **fields})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    return found


def files_of(house: House) -> set[str]:
    return {path.name for path in (house.state_dir / "qemu" / "images").glob("*")}


def test_an_iso_is_kept_listed_shown_and_deleted(
    house: House, tenant: dict[str, Any], member: Caller, stranger: Caller
) -> None:
    content = iso(new_name().encode())
    digest = hashlib.sha256(content).hexdigest()
    image = kept(member, content, name=(name := new_name()), sha256=digest.upper())
    expected = (name, "iso", tenant["id"], len(content), len(content), digest)
    assert (*(image[k] for k in ("name", "kind", "tenant", "size", "virtual_size", "sha256")),) == expected
    assert (house.state_dir / "qemu" / "images" / f"{image['id']}.iso").read_bytes() == content
    assert member.get(f"/qemu/images/{name}").get_json() == image
    assert member.get(f"/qemu/images/{image['id']}").get_json() == image
    assert member.get(f"/qemu/images?name={name[2:]}&kind=iso").get_json()["data"] == [image]
    assert member.get(f"/qemu/images?name={name}&kind=raw").get_json()["data"] == []
    for ref in (name, image["id"]):
        assert_problem(stranger.get(f"/qemu/images/{ref}"), 404, "not_found")
        assert_problem(stranger.delete(f"/qemu/images/{ref}"), 404, "not_found")
    assert stranger.get(f"/qemu/images?name={name}").get_json()["count"] == 0
    assert_problem(upload(member, name=name), 409, "name.taken")
    assert member.delete(f"/qemu/images/{name}?dry_run=true").status_code == 200
    assert member.get(f"/qemu/images/{name}").status_code == 200
    assert member.delete(f"/qemu/images/{name}").status_code == 204
    assert_problem(member.get(f"/qemu/images/{name}"), 404, "not_found")
    wait_for(lambda: f"{image['id']}.iso" not in files_of(house))


def test_a_plain_body_is_an_image_too_and_a_raw_one_must_be_said_to_be_one(member: Caller) -> None:
    name, content = new_name(), bytes(MIB)
    assert_problem(member.post(f"/qemu/images?name={name}", content), 422, "image.refused")
    answer = member.post(f"/qemu/images?name={name}&kind=raw", content)
    assert (answer.status_code, answer.get_json()["virtual_size"]) == (201, MIB)
    assert member.delete(f"/qemu/images/{name}").status_code == 204


def test_administrators_publish_for_all_or_for_one(
    house: House, tenant: dict[str, Any], member: Caller, stranger: Caller
) -> None:
    admin = house.admin()
    everybodys, theirs = kept(admin), kept(admin, tenant=tenant["name"])
    assert (everybodys["tenant"], theirs["tenant"]) == (None, tenant["id"])
    for caller in (member, stranger):
        assert caller.get(f"/qemu/images/{everybodys['name']}").status_code == 200
        assert_problem(caller.delete(f"/qemu/images/{everybodys['id']}"), 403, "policy.forbidden")
    assert member.get(f"/qemu/images/{theirs['id']}").status_code == 200
    assert_problem(stranger.get(f"/qemu/images/{theirs['id']}"), 404, "not_found")
    assert_problem(upload(admin, name=everybodys["name"]), 409, "name.taken")
    own = kept(member, name=everybodys["name"])
    assert_problem(member.get(f"/qemu/images/{own['name']}"), 422, "validation.failed")
    db = Database(house.settings.database_url)
    with db.read() as tx:
        used = local_images.usable(tx, tenant["id"], own["name"])
    db.close()
    assert used is not None, "a machine of the tenant is made of its own one"
    assert used.id == own["id"]
    assert member.delete(f"/qemu/images/{theirs['id']}").status_code == 204
    for image in (everybodys, own):
        assert admin.delete(f"/qemu/images/{image['id']}").status_code == 204


def test_nobody_uploads_for_a_tenant_that_he_may_not_work_in(
    house: House, tenant: dict[str, Any], stranger: Caller
) -> None:
    viewer = house.make_member(tenant, "viewer")
    assert_problem(upload(viewer, name=new_name()), 403, "policy.forbidden")
    for named in (tenant["id"], tenant["name"], str(uuid.uuid4())):
        assert_problem(upload(stranger, name=new_name(), tenant=named), 404, "not_found")
        assert_problem(stranger.post(f"/qemu/images?name={new_name()}&tenant={named}", iso()), 404, "not_found")


# -- what is refused, and leaves nothing behind


def qemu_img(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


def qcow2(folder: Path, *options: str, size: str = "16M") -> bytes:
    qemu_img("create", "-f", "qcow2", *options, folder / "disk", size)
    return (folder / "disk").read_bytes()


def full(folder: Path) -> bytes:
    (folder / "raw").write_bytes(b"\x55" * 4 * MIB)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", folder / "raw", folder / "disk")
    return (folder / "disk").read_bytes()


def longer(content: bytes) -> bytes:
    """An ISO that says it has 100 MiB."""
    said = bytearray(content)
    struct.pack_into("<I", said, 0x8000 + 80, 100 * MIB // 2048)
    struct.pack_into("<H", said, 0x8000 + 128, 2048)
    return bytes(said)


HOSTILE: dict[str, Callable[[Path], bytes]] = {
    "backing file": lambda folder: qcow2(folder, "-b", "/etc/passwd", "-F", "raw", "-u"),
    "data file": lambda folder: qcow2(folder, "-o", f"data_file={folder / 'outside'},data_file_raw=on"),
    "10 TB": lambda folder: qcow2(folder, size="10T"),
    "cut in its header": lambda folder: qcow2(folder)[:80],
    "cut in its data": lambda folder: full(folder)[: 2 * MIB],
}


@NEEDS_QEMU_IMG
def test_a_qcow2_image_is_kept_as_it_came(house: House, member: Caller, tmp_path: Path) -> None:
    content = full(tmp_path)
    image = kept(member, content)
    assert (image["kind"], image["virtual_size"], image["size"]) == ("qcow2", 4 * MIB, len(content))
    assert (house.state_dir / "qemu" / "images" / f"{image['id']}.qcow2").read_bytes() == content
    assert member.delete(f"/qemu/images/{image['id']}").status_code == 204


@NEEDS_QEMU_IMG
@pytest.mark.parametrize("kind", HOSTILE)
def test_l81_a_hostile_image_is_refused_and_leaves_nothing(
    house: House, member: Caller, tmp_path: Path, kind: str
) -> None:
    assert_refused(house, member, HOSTILE[kind](tmp_path), 422, "image.refused")


def test_l81_an_iso_that_is_none_or_is_cut_off_is_refused(house: House, member: Caller) -> None:
    assert_refused(house, member, longer(iso()), 422, "image.refused")
    assert_refused(house, member, b"x" * 100_000, 422, "image.refused", kind="iso")
    assert_refused(house, member, b"QFI\xfb" + bytes(MIB - 4), 422, "image.refused", kind="raw")
    assert_refused(house, member, b"", 400, "request.malformed")
    assert_refused(house, member, iso(), 422, "validation.failed", sha256="0" * 64)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a/b", "..", ".hidden", "", "a\x00b", "x" * 65])
def test_l81_a_name_is_never_a_path(house: House, member: Caller, name: str) -> None:
    answer = assert_refused(house, member, iso(), 422, "validation.failed", name=name)
    assert list(answer["errors"]) == ["name"]


def test_a_file_that_does_not_come_to_its_end_leaves_nothing(house: House, member: Caller) -> None:
    before, name = files_of(house), new_name()
    answer = member.client.post(
        f"/api/qemu/images?name={name}", input_stream=io.BytesIO(iso()), content_type="application/octet-stream",
        headers={"Authorization": f"Bearer {member.token}"}, environ_overrides={"CONTENT_LENGTH": str(10 * MIB)},
    )  # fmt: skip
    assert_problem(answer, 400, "request.malformed")
    assert_nothing_came(house, member, name, before)


def assert_refused(
    house: House, member: Caller, content: bytes, status: int, code: str, **fields: str
) -> dict[str, Any]:
    before, name = files_of(house), new_name()
    problem = assert_problem(upload(member, content, **{"name": name, **fields}), status, code)
    assert_nothing_came(house, member, name, before)
    return problem


def assert_nothing_came(house: House, member: Caller, name: str, before: set[str]) -> None:
    assert member.get(f"/qemu/images?name={name}").get_json()["count"] == 0
    assert files_of(house) <= before
    assert list((house.state_dir / "qemu" / "incoming").glob("*")) == []


# -- the files of dead processes


def test_what_no_row_names_is_swept_and_what_one_names_stays(house: House, member: Caller) -> None:
    """As after a kill -9 between file and row."""
    image = kept(member)
    folder = house.state_dir / "qemu"
    orphan = folder / "images" / f"{uuid.uuid4()}.iso"
    orphan.write_bytes(iso())
    (folder / "incoming" / "half").mkdir()
    wait_for(lambda: not orphan.exists() and not (folder / "incoming" / "half").exists())
    assert f"{image['id']}.iso" in files_of(house)
    assert member.delete(f"/qemu/images/{image['id']}").status_code == 204
