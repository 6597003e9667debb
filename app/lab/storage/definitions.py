"""`/storage`: the definitions in storage.cfg, with what each type demands and allows."""

import hashlib
import re
from typing import Any

import orjson

from app.lab import locks
from app.lab.call import Call, Refused, handler
from app.lab.state import Storage, World
from app.lab.storage import access
from app.lab.storage.words import words

_ALWAYS = frozenset(words("bwlimit content disable nodes prune-backups shared"))
_FILES = frozenset(
    words("content-dirs create-base-path create-subdirs format max-protected-backups mkdir preallocation")
)
_MOUNTED = _FILES | {"options", "path", "snapshot-as-volume-chain"}

TYPES: dict[str, tuple[str, frozenset[str], str]] = {
    "dir": ("path", _FILES | {"is_mountpoint", "snapshot-as-volume-chain"}, "images,rootdir"),
    "btrfs": ("path", _FILES | {"is_mountpoint", "nocow"}, "images,rootdir"),
    "nfs": ("export server", _MOUNTED, "images"),
    "cifs": ("server share", _MOUNTED | {"domain", "password", "smbversion", "subdir", "username"}, "images"),
    "cephfs": ("", _MOUNTED | {"fs-name", "fuse", "keyring", "monhost", "subdir", "username"}, "backup"),
    "lvm": (
        "vgname",
        frozenset(
            words("base saferemove saferemove-stepsize saferemove_throughput snapshot-as-volume-chain tagged_only")
        ),
        "images,rootdir",
    ),
    "lvmthin": ("thinpool vgname", frozenset(), "images,rootdir"),
    "zfspool": ("pool", frozenset(words("blocksize mountpoint sparse")), "images,rootdir"),
    "zfs": (
        "iscsiprovider pool portal target",
        frozenset(words("blocksize comstar_hg comstar_tg lio_tpg nowritecache sparse zfs-base-path")),
        "images",
    ),
    "rbd": (
        "",
        frozenset(words("data-pool keyring krbd monhost namespace pool username")),
        "images",
    ),
    "pbs": (
        "datastore server",
        frozenset(
            words(
                "encryption-key fingerprint master-pubkey max-protected-backups namespace password port "
                "skip-cert-verification username"
            )
        ),
        "backup",
    ),
    "iscsi": ("portal target", frozenset(), "images"),
    "iscsidirect": ("portal target", frozenset(), "images"),
    "esxi": ("server username", frozenset({"password", "skip-cert-verification"}), "import"),
}
"""Per type: the options it demands, those it allows besides the general ones, and its default content."""

_CONTENT_OF_TYPE = {
    "dir": "images rootdir vztmpl iso backup snippets import",
    "btrfs": "images rootdir vztmpl iso backup snippets import",
    "nfs": "images rootdir vztmpl iso backup snippets import",
    "cifs": "images rootdir vztmpl iso backup snippets import",
    "cephfs": "vztmpl iso backup snippets import",
    "pbs": "backup",
    "esxi": "import",
    "iscsi": "images none",
}
_SECRET = frozenset({"password", "encryption-key", "keyring", "master-pubkey"})


def digest(world: World) -> str:
    """SHA-1 of all definitions: they share one file."""
    plain = {storage.id: [storage.type, storage.options] for storage in world.storages.values()}
    return hashlib.sha1(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS), usedforsecurity=False).hexdigest()


def _row(world: World, storage: Storage) -> dict[str, Any]:
    options = {key: value for key, value in storage.options.items() if key not in _SECRET}
    return options | {"storage": storage.id, "type": storage.type, "digest": digest(world)}


def _require_content(kind: str, content: str) -> None:
    allowed = _CONTENT_OF_TYPE.get(kind, "images rootdir").split()
    for name in content.split(","):
        if name and name not in allowed:
            known = name == "none"
            raise Refused(
                500, f"unknown vtype '{name}'" if known else f"storage does not support content type '{name}'"
            )


def _content_list(text: str) -> str:
    return ",".join(part for part in re.split(r"[,; ]+", text) if part)


def _options(params: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in params.items() if key not in ("storage", "type", "digest", "delete")}
    if "content" in given:
        given["content"] = _content_list(given["content"])
    return given


def _settle(options: dict[str, Any]) -> None:
    """`disable=0` is not written."""
    if not options.get("disable", 1):
        del options["disable"]


@handler("GET", "/storage")
def listing(call: Call) -> Any:
    wanted = call.params.get("type")
    return [
        _row(call.world, storage)
        for storage in call.world.storages.values()
        if (not wanted or storage.type == wanted)
        and call.has(f"/storage/{storage.id}", "Datastore.Audit", "Datastore.AllocateSpace", any_of=True)
    ]


@handler("POST", "/storage")
async def create(call: Call) -> Any:
    kind, name = call.params["type"], call.params["storage"]
    demanded, allowed, content = TYPES[kind]
    given = _options(call.params)
    for option in demanded.split():
        if option not in given:
            raise Refused(500, f"missing value for required option '{option}'")
    for option in given:
        if option not in _ALWAYS | allowed and option not in demanded.split():
            raise Refused(500, f"unexpected property '{option}'")
    async with _file_lock(call.world, "create storage failed: "):
        if name in call.world.storages:
            raise Refused(500, f"create storage failed: storage ID '{name}' already defined")
        try:
            _require_content(kind, given.get("content", ""))
        except Refused as refusal:
            raise Refused(refusal.status, f"create storage failed: {refusal.message}") from None
        options = {"content": content} | given
        _settle(options)
        call.world.storages[name] = Storage(id=name, type=kind, options=options)
    return {"storage": name, "type": kind}


@handler("GET", "/storage/{storage}")
def show(call: Call) -> Any:
    return _row(call.world, access.storage_of(call.world, call.params["storage"]))


@handler("PUT", "/storage/{storage}")
async def change(call: Call) -> Any:
    async with _file_lock(call.world, "update storage failed: "):
        try:
            return _change(call)
        except Refused as refusal:
            raise Refused(refusal.status, f"update storage failed: {refusal.message}") from None


def _change(call: Call) -> dict[str, str]:
    storage = access.storage_of(call.world, call.params["storage"])
    demanded, allowed, _content = TYPES[storage.type]
    if (given := call.params.get("digest")) and given != digest(call.world):
        raise Refused(500, "detected modified configuration - file changed by other user? Try again.")
    changes = _options(call.params)
    for option in changes:
        if option not in _ALWAYS | allowed:
            raise Refused(500, f"unexpected property '{option}'")
    _require_content(storage.type, changes.get("content", ""))
    for option in re.split(r"[,; ]+", call.params.get("delete", "")):
        if option in demanded.split():
            raise Refused(500, f"unable to delete required option '{option}'")
        if option and option not in _ALWAYS | allowed:
            raise Refused(500, f"no such option '{option}'")
        storage.options.pop(option, None)
    storage.options.update(changes)
    _settle(storage.options)
    return {"storage": storage.id, "type": storage.type}


@handler("DELETE", "/storage/{storage}")
async def remove(call: Call) -> Any:
    async with _file_lock(call.world, "delete storage failed: "):
        name = call.params["storage"]
        if name not in call.world.storages:
            raise Refused(500, f"delete storage failed: storage '{name}' does not exist")
        call.world.storages.pop(name)


def _file_lock(world: World, prefix: str) -> Any:
    return locks.take(world, "storage.cfg", 10, prefix=prefix)
