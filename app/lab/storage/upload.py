"""Files that come to a storage: uploaded, or downloaded from a URL."""

import hashlib
import ipaddress
import secrets
import urllib.parse
from typing import Any

import aiohttp

from app.lab.bodies import Upload
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.state import Storage, Volume
from app.lab.storage import access, names, volumes
from app.lab.tasks import Task

_PRETENDED_SIZE = 1 << 20
_MOST = 1 << 30


def _storage(call: Call) -> Storage:
    storage = access.enabled(call.world, call.params["storage"], call.node)
    if storage.type not in names.FILE_TYPES:
        more = "" if call.path.endswith("/upload") else ", not a file based storage!"
        raise Refused(500, f"can't upload to storage type '{storage.type}'{more}")
    return storage


def _require_configured(storage: Storage, content: str) -> None:
    if content not in access.contents(storage):
        raise Refused(500, f"storage '{storage.id}' is not configured for content-type '{content}'")


def _filename(call: Call) -> str:
    """The cleaned name, fit for the content. Raises Refused 400."""
    content, name = call.params["content"], names.cleaned(call.params["filename"])
    if not names.upload_fits(content, name):
        text = "invalid filename or wrong extension" if content == "import" else "wrong file extension"
        raise Refused.parameters({"filename": text})
    return name


def _put(call: Call, storage: Storage, name: str, size: int) -> Volume:
    """The file under its name; a second one of that name takes its place."""
    volname = f"{call.params['content']}/{name}"
    return volumes.make(call.world, call.node, storage, volname, size, used=-(-size // 4096) * 4096)


def _disk_in(name: str, head: bytes) -> int:
    """The size of the disk in a qcow2 image, of its header (QEMU's docs/interop/qcow2.txt); 0 where it is none."""
    is_image = name.endswith(".qcow2") and head.startswith(b"QFI\xfb")
    return int.from_bytes(head[24:32], "big") if is_image else 0


def _path(call: Call, storage: Storage, name: str) -> str:
    return names.path_of(storage.type, storage.options, f"{call.params['content']}/{name}")


def _require_checksum(call: Call, found: str) -> None:
    wanted = call.params.get("checksum", "").lower()
    if call.params.get("checksum-algorithm") and found != wanted:
        raise TaskFailed(f"checksum mismatch: got '{found}' != expect '{wanted}'")


@handler("POST", "/nodes/{node}/storage/{storage}/upload")
def upload(call: Call) -> Any:
    storage = _storage(call)
    name, content = _filename(call), call.params["content"]
    if content not in access.contents(storage):
        raise Refused(500, f"storage '{storage.id}' does not support '{content}' content")
    file = call.upload or Upload(0)
    source = call.params.get("tmpfilename") or f"/var/tmp/pveupload-{secrets.token_hex(16)}"  # noqa: S108 - a text

    async def work(task: Task) -> None:
        task.log(f"starting file import from: {source}")
        _require_checksum(call, file.checksum)
        if call.params.get("checksum-algorithm"):
            task.log("calculating checksum...OK, checksum verified")
        target = _path(call, storage, name)
        task.log(f"target node: {call.node}")
        task.log(f"target file: {target}")
        task.log(f"file size is: {file.size}")
        task.log(f"command: cp -- {source} {target}")
        volume = _put(call, storage, name, file.size)
        volume.disk = _disk_in(name, file.head)
        task.log("finished file import successfully")

    return call.start_task("imgcopy", "", work)


def _is_here(url: str) -> bool:
    """Whether the URL is on this machine; the lab calls nobody else."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _fetched(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=60)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, ssl=False) as answer:
            if answer.status != 200:
                raise TaskFailed(f"download failed: ERROR {answer.status}: {answer.reason}")
            return await answer.content.read(_MOST)
    except (aiohttp.ClientError, TimeoutError, OSError) as failure:
        raise TaskFailed(f"download failed: {failure}") from None


@handler("POST", "/nodes/{node}/storage/{storage}/download-url")
def download(call: Call) -> Any:
    """A URL of this machine is fetched; any other is taken to be there, a mebibyte long."""
    storage = _storage(call)
    _require_configured(storage, call.params["content"])
    name = _filename(call)
    url = call.params["url"]

    async def work(task: Task) -> None:
        task.log(f"downloading {url} to {_path(call, storage, name)}")
        if _is_here(url):
            data = await _fetched(url)
            if algorithm := call.params.get("checksum-algorithm"):
                _require_checksum(call, hashlib.new(algorithm, data).hexdigest())
            size = len(data)
        else:
            await task.sleep(5)
            size = _PRETENDED_SIZE
        _put(call, storage, name, size)
        task.log(f"download of '{url}' finished")

    return call.start_task("download", name, work)


@handler("POST", "/nodes/{node}/storage/{storage}/oci-registry-pull")
def pull(call: Call) -> Any:
    """An image of a registry becomes a container template; the lab asks no registry, the image is taken to be there."""
    storage = _storage(call)
    _require_configured(storage, "vztmpl")
    reference = call.params["reference"]
    name = names.cleaned(call.params.get("filename", reference)) + ".tar"
    if volumes.find(call.world, call.node, f"{storage.id}:vztmpl/{name}"):
        raise Refused(500, f"refusing to override existing file '{name}'")

    async def work(task: Task) -> None:
        task.log(f"pulling {reference}")
        await task.sleep(5)
        volumes.make(call.world, call.node, storage, f"vztmpl/{name}", _PRETENDED_SIZE, used=_PRETENDED_SIZE)

    return call.start_task("ociregistrypull", name, work)


@handler("GET", "/nodes/{node}/query-url-metadata")
async def url_metadata(call: Call) -> Any:
    """Size and type of what is behind a URL."""
    url = call.params["url"]
    name = urllib.parse.urlsplit(url).path.rpartition("/")[2]
    if not _is_here(url):
        return {"filename": name, "size": _PRETENDED_SIZE, "mimetype": "application/octet-stream"}
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.head(url, ssl=False) as answer:
            if answer.status != 200:
                raise Refused(500, f"invalid server response: '{answer.status} {answer.reason}'")
            return {
                "filename": name,
                "size": int(answer.headers.get("Content-Length", 0)),
                "mimetype": answer.headers.get("Content-Type", "application/octet-stream"),
            }
    except (aiohttp.ClientError, TimeoutError, OSError) as failure:
        raise Refused(500, f"invalid server response: '500 {failure}'") from None
