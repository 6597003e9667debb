"""An installation medium comes to a storage: what PVE was sent is put into its place, and the inventory knows of it.

What comes from a URL is fetched by the worker and goes through to PVE as it comes, like an upload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.db import clusters
from app.domain.errors import PveTaskFailed
from app.domain.identifiers import MediaName, NodeName, StorageId, Upid, Volid
from app.domain.storages import Checksum, Content, Upload
from app.operations import Again, Run, Saga, Step
from app.policy.addresses import may_be_reached
from app.pve import NodeApi, VolumeRow, sources
from app.sagas.calls import may, will

# -- parameters


@dataclass(frozen=True)
class Parameters:
    """`upid` is the task that was started when the last byte had come. `sha256` is what came."""

    cluster: str
    node: str
    storage: str
    content: str
    volid: str
    sha256: str | None
    upid: str


@dataclass(frozen=True)
class DownloadParameters:
    """`url` is sealed. `most` and `networks` are the rules of the house when it was asked for."""

    cluster: str
    node: str
    storage: str
    content: str
    volid: str
    filename: str
    url: str
    checksum: dict[str, str] | None
    most: int
    networks: list[str]
    sha256: str | None = None
    upid: str = ""


@dataclass(frozen=True)
class DeleteParameters:
    """`nodes` are all that have it; of a shared storage one. `tenant` None: the administrator's identity frees it."""

    cluster: str
    storage: str
    volid: str
    nodes: list[str]
    tenant: str | None = None


# -- functions


def free(run: Run, p: DeleteParameters) -> Again | None:
    """On one node after the other; what is gone is done."""
    pve = run.gateways.as_tenant(p.tenant) if p.tenant is not None else run.gateways.as_admin(p.cluster)
    for name in p.nodes:
        node = pve.node(NodeName(name))
        if any(row.volid == p.volid for row in node.storage_content(StorageId(p.storage))):
            task = node.delete_volume(Volid(p.volid))
            if task is not None:
                return Again(task)
    return None


def forget(run: Run, p: DeleteParameters) -> None:
    with run.db.begin() as tx:
        clusters.remove_medium(tx, p.cluster, p.volid)


def put_into_place(run: Run, p: Parameters) -> Upid | None:
    """Followed again after a crash; one that was judged has ended, and badly."""
    return None if p.upid in run.judged else Upid.parse(p.upid)


def fetch(run: Run, p: DownloadParameters) -> Upid | None:
    """After a crash what is there already is ours: a name that was there before was refused. Else all begins anew."""
    if run.again and _row(run, p) is not None:
        return None
    url = run.gateways.open(p.url, belongs_to=p.volid)
    with sources.opened(url, lambda address: may_be_reached(address, p.networks), most=p.most) as source:
        checksum = Checksum(**p.checksum) if p.checksum is not None else None
        upload = Upload(Content(p.content), MediaName.parse(p.filename), checksum, source.size, source.chunks)
        upid, _ = _node(run, p).upload(StorageId(p.storage), upload)
    return upid


def list_it(run: Run, p: Parameters | DownloadParameters) -> Mapping[str, Any]:
    """As it lies there. Raises PveTaskFailed where PVE has lost it."""
    found = _row(run, p)
    if found is None:
        raise PveTaskFailed("What was sent is not on the storage.", remedy="Send it again.")
    with run.db.begin() as tx:
        clusters.add_medium(tx, p.cluster, p.node, p.storage, volid=p.volid, content=p.content, size=found.size)
    return {"size": found.size}


def _node(run: Run, p: Parameters | DownloadParameters) -> NodeApi:
    node: NodeApi = run.gateways.as_admin(p.cluster).node(NodeName(p.node))
    return node


def _row(run: Run, p: Parameters | DownloadParameters) -> VolumeRow | None:
    rows = _node(run, p).storage_content(StorageId(p.storage), p.content)
    return next((row for row in rows if row.volid == p.volid), None)


def _result(run: Run, p: Parameters | DownloadParameters) -> Mapping[str, Any]:
    size = run.outputs.get("listed", {}).get("size")
    medium = {"volid": p.volid, "content": p.content, "node": p.node, "size": size, "sha256": p.sha256}
    return {"volume": medium}


# -- definition

UPLOAD = Saga(
    "media.upload",
    Parameters,
    steps=(Step("stored", put_into_place), Step("listed", list_it)),
    result=_result,
    point_of_no_return="stored",
)

DOWNLOAD = Saga(
    "media.download",
    DownloadParameters,
    steps=(
        Step("stored", fetch, calls=(will("POST /nodes/{p.node}/storage/{p.storage}/upload"),)),
        Step("listed", list_it),
    ),
    result=_result,
    secrets=("url",),
)

DELETE = Saga(
    "volume.delete",
    DeleteParameters,
    steps=(
        Step("freed", free, calls=(may("DELETE /nodes/{p.nodes[0]}/storage/{p.storage}/content/{p.volid}"),)),
        Step("forgotten", forget),
    ),
    point_of_no_return="freed",
)
