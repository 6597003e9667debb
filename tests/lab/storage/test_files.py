"""Files and images on storages: what PVE refuses, and what it says of what is there."""

from typing import Any

import pytest

from tests.lab.guests.api import Api
from tests.lab.process import LabProcess, Session

AT = "/nodes/n1/storage/local"


@pytest.fixture
def session(lab: LabProcess) -> Session:
    return lab.login()


def uploaded(
    session: Session, storage: str, content: str, name: str, *, file: bytes = b"x" * 100, **params: Any
) -> Any:
    """The answer to a file, of 100 bytes where none is given."""
    path = f"{session._lab.url}/api2/json/nodes/n1/storage/{storage}/upload"
    files = {"filename": (name, file)}
    return session.http.post(path, data={"content": content} | params, files=files, timeout=60)


@pytest.mark.parametrize(
    ("storage", "content", "name", "wanted"),
    [
        ("local-lvm", "iso", "a.iso", "can't upload to storage type 'lvmthin'"),
        ("nope", "iso", "a.iso", "storage 'nope' does not exist"),
        ("local", "iso", "a.txt", {"filename": "wrong file extension"}),
        ("local", "vztmpl", "a.iso", {"filename": "wrong file extension"}),
        ("local", "import", "a.iso", {"filename": "invalid filename or wrong extension"}),
        ("local", "import", "a.ova", "storage 'local' does not support 'import' content"),
        (
            "local",
            "images",
            "a.raw",
            {"content": "value 'images' does not have a value in the enumeration 'iso, vztmpl, import'"},
        ),
    ],
)
def test_uploads_that_are_refused(session: Session, storage: str, content: str, name: str, wanted: Any) -> None:
    answer = uploaded(session, storage, content, name)
    assert (answer.json().get("errors") or answer.reason) == wanted


def test_an_upload_tells_what_it_does(session: Session) -> None:
    upid = uploaded(session, "local", "iso", "my disc.ISO").json()["data"]
    assert session.wait(upid) == "OK"
    lines = [line["t"] for line in session.ok("GET", f"/nodes/n1/tasks/{upid}/log")]
    assert lines[0].startswith("starting file import from: /var/tmp/pveupload-")
    assert lines[1:4] == [
        "target node: n1",
        "target file: /var/lib/vz/template/iso/my_disc.ISO",
        "file size is: 100",
    ]
    assert lines[5:] == ["finished file import successfully", "TASK OK"]
    wrong = {"checksum": "00", "checksum-algorithm": "md5"}
    upid = uploaded(session, "local", "iso", "b.iso", **wrong).json()["data"]
    assert session.wait(upid).startswith("checksum mismatch: got '")


def test_an_image_is_as_large_as_the_disk_in_it_wherever_that_counts(session: Session, root: Api) -> None:
    """Lists tell the file's size; the image tool, and what is imported, the disk's."""
    root.do("PUT", "/storage/local", content="iso,vztmpl,backup,import")
    for name, head, size in (
        ("a.qcow2", b"QFI\xfb\0\0\0\3" + bytes(16) + (1 << 31).to_bytes(8, "big"), 1 << 31),
        ("b.qcow2", b"x" * 512, 512),
        ("c.raw", b"QFI\xfb" + b"x" * 508, 512),
    ):
        file = head + bytes(512 - len(head))
        assert session.wait(uploaded(session, "local", "import", name, file=file).json()["data"]) == "OK"
        volid = f"local:import/{name}"
        listed = {row["volid"]: row["size"] for row in root.get(f"{AT}/content", content="import")}
        assert (listed[volid], root.get(f"{AT}/content/{volid}")["size"]) == (512, size)
        root.machine(100, scsi0=f"local-lvm:0,import-from={volid}")
        written = root.get("/nodes/n1/qemu/100/config")["scsi0"]
        assert written.endswith("size=2G" if size > 512 else "size=4M"), written
        assert root.task("DELETE", "/nodes/n1/qemu/100") == "OK"


def test_downloads_look_at_the_storage_before_the_name(root: Api) -> None:
    answer = root.ask("POST", f"{AT}/download-url", content="import", filename="a.txt", url="https://127.0.0.1:9/a")
    assert answer.reason == "storage 'local' is not configured for content-type 'import'"


def test_images_of_registries_become_templates(root: Api) -> None:
    assert root.task("POST", f"{AT}/oci-registry-pull", reference="docker.io/library/nginx:1.29") == "OK"
    rows = {row["volid"]: row["format"] for row in root.get(f"{AT}/content", content="vztmpl")}
    assert rows["local:vztmpl/nginx_1.29.tar"] == "tar"
    again = root.ask("POST", f"{AT}/oci-registry-pull", reference="nginx:1.29")
    assert again.reason == "refusing to override existing file 'nginx_1.29.tar'"
    assert root.ask("POST", f"{AT}/oci-registry-pull", reference="NGINX").status == 400


def test_images_and_their_formats(root: Api) -> None:
    params = {"vmid": 100, "filename": "vm-100-disk-0.qcow2", "size": "4M"}
    answer = root.ask("POST", f"{AT}/content", format="raw", **params)
    assert answer.errors == {"format": "different storage formats (raw != qcow2)"}
    answer = root.ask("POST", "/nodes/n1/storage/local-lvm/content", **params)
    assert answer.reason == "unsupported format 'qcow2'"


@pytest.fixture
def backups(root: Api) -> list[str]:
    root.machine(100)
    for _ in range(3):
        root.task("POST", "/nodes/n1/vzdump", vmid=100, storage="local")
    return sorted(row["volid"] for row in root.get(f"{AT}/content", content="backup"))


def test_a_backup_always_tells_notes_and_protection(root: Api, backups: list[str]) -> None:
    shown = root.get(f"{AT}/content/{backups[0]}")
    assert (shown["notes"], shown["protected"]) == ("", 0)
    root.do("PUT", f"{AT}/content/{backups[0]}", notes="kept", protected=1)
    shown = root.get(f"{AT}/content/{backups[0]}")
    assert (shown["notes"], shown["protected"]) == ("kept", 1)
    answer = root.ask("DELETE", f"{AT}/content/{backups[0]}", delay=5)
    assert answer.status == 500
    assert answer.reason.startswith("cannot remove protected volume ")


def test_pruning_fails_in_its_task(root: Api, backups: list[str]) -> None:
    upid = root.do("DELETE", f"{AT}/prunebackups")
    assert upid.split(":")[6] == "local"
    assert root.ended(upid) == "no prune-backups options configured for storage 'local'"
    upid = root.do("DELETE", "/nodes/n1/storage/local-lvm/prunebackups", **{"prune-backups": "keep-last=1"})
    assert root.ended(upid) == "storage 'local-lvm' does not support backups"
    upid = root.do("DELETE", f"{AT}/prunebackups", vmid=100, **{"prune-backups": "keep-last=1"})
    assert upid.split(":")[6] == "100@local"
    assert root.ended(upid) == "OK"
    assert [row["volid"] for row in root.get(f"{AT}/content", content="backup")] == [backups[-1]]


def test_who_may_prune(root: Api, backups: list[str]) -> None:
    tenant = root.tenant("red")
    plan = {"prune-backups": "keep-last=1"}
    answer = tenant.ask("DELETE", f"{AT}/prunebackups", **plan)
    assert answer.reason == "Permission check failed (/storage/local, Datastore.Allocate)"
    answer = tenant.ask("DELETE", f"{AT}/prunebackups", vmid=100, **plan)
    assert answer.reason == "Permission check failed (/vms/100, VM.Backup)"
    root.do("PUT", "/pools/red", vms=100)
    assert tenant.task("DELETE", f"{AT}/prunebackups", vmid=100, **plan) == "OK"
    assert len(root.get(f"{AT}/content", content="backup")) == 1
