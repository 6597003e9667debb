"""`/nodes/{node}/aplinfo`: container templates on offer, and their download to a storage."""

from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.storage import access, names, volumes
from app.lab.tasks import Task

_OFFERED: dict[str, tuple[str, str, int]] = {
    "alpine-3.22-default_20250617_amd64.tar.xz": ("alpine", "3.22-default", 3_200_000),
    "debian-12-standard_12.12-1_amd64.tar.zst": ("debian-12", "12.12-1", 126_000_000),
    "debian-13-standard_13.1-2_amd64.tar.zst": ("debian-13", "13.1-2", 124_000_000),
    "ubuntu-24.04-standard_24.04-2_amd64.tar.zst": ("ubuntu-24.04", "24.04-2", 141_000_000),
}
"""File name to operating system, version and size in bytes."""


@handler("GET", "/nodes/{node}/aplinfo")
def offered(_call: Call) -> Any:
    return [
        {
            "template": name,
            "os": system,
            "package": name.partition("_")[0],
            "version": version,
            "section": "system",
            "type": "lxc",
            "architecture": "amd64",
            "headline": f"{system} as a container",
            "source": "lab",
        }
        for name, (system, version, _size) in _OFFERED.items()
    ]


@handler("POST", "/nodes/{node}/aplinfo")
def download(call: Call) -> Any:
    name = call.params["template"]
    if name not in _OFFERED:
        raise Refused.parameters({"template": "no such template"})
    storage = access.enabled(call.world, call.params["storage"], call.node)
    if storage.type not in names.FILE_TYPES or "vztmpl" not in access.contents(storage):
        raise Refused(500, f"storage '{storage.id}' does not support templates")

    async def work(task: Task) -> None:
        task.log(f"downloading {name}")
        await task.sleep(5)
        volumes.make(call.world, call.node, storage, f"vztmpl/{name}", _OFFERED[name][2], used=_OFFERED[name][2])

    return call.start_task("download", name, work)
