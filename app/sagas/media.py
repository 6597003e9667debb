"""An installation medium comes to a storage: what PVE was sent is put into its place, and the inventory knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.db import clusters
from app.domain.errors import PveTaskFailed
from app.domain.identifiers import NodeName, StorageId, Upid
from app.operations import Run, Saga, Step

# -- parameters


@dataclass(frozen=True)
class Parameters:
    """`upid` is the task that was started when the last byte had come. `sha256` is what came."""

    cluster: str
    node: str
    storage: str
    content: str
    volid: str
    sha256: str
    upid: str


# -- functions


def put_into_place(run: Run, p: Parameters) -> Upid | None:
    """Followed again after a crash; one that was judged has ended, and badly."""
    return None if p.upid in run.judged else Upid.parse(p.upid)


def list_it(run: Run, p: Parameters) -> Mapping[str, Any]:
    """As it lies there. Raises PveTaskFailed where PVE has lost it."""
    node = run.gateways.as_admin(p.cluster).node(NodeName(p.node))
    rows = node.storage_content(StorageId(p.storage), p.content)
    found = next((row for row in rows if row.volid == p.volid), None)
    if found is None:
        raise PveTaskFailed("What was uploaded is not on the storage.", upid=p.upid, remedy="Upload it again.")
    with run.db.begin() as tx:
        clusters.add_medium(tx, p.cluster, p.node, p.storage, volid=p.volid, content=p.content, size=found.size)
    return {"size": found.size}


def _result(run: Run, p: Parameters) -> Mapping[str, Any]:
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
