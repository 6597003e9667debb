"""Security groups of a cluster, which administrators write; guests' rules only name them.

PVE has one file for them all: what is ours carries our mark in its comment, and nothing else is changed or removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from app.db import security_groups
from app.domain.access import EVERY_TENANT
from app.domain.errors import Conflict
from app.domain.firewall import Rule, SecurityGroupState
from app.domain.identifiers import SecurityGroupName
from app.operations import Run, Saga, Step
from app.pve.firewall import RulesApi, SecurityGroupsApi
from app.sagas.calls import may, will
from app.sagas.documents import security_group_document

# -- parameters


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """`rules`, `comment`, `published` and `tenants` (ids) are what the group is to have; None stays."""

    group: str
    cluster: str
    name: str
    rules: list[dict[str, Any]] | None = None
    comment: str | None = None
    published: bool | None = None
    tenants: list[str] | None = None


# -- functions


def mark(group: str) -> str:
    return f"poolhouse-security-group: {group}"


def make(run: Run, p: Parameters) -> None:
    there = _groups(run, p).comment(SecurityGroupName(p.name))
    if there is None:
        _groups(run, p).create(SecurityGroupName(p.name), comment=mark(p.group))
    elif there != mark(p.group):
        raise Conflict("The cluster has a security group of this name that is not ours.", code="security_group.taken",
                       remedy="Choose another name.")  # fmt: skip


def remove(run: Run, p: Parameters) -> None:
    if _is_ours(run, p):
        rewrite(_rules(run, p), [])
        _groups(run, p).delete(SecurityGroupName(p.name))


def write(run: Run, p: Parameters) -> None:
    """The rules that are asked for, whichever are there."""
    if p.rules is not None:
        rewrite(_rules(run, p), [Rule(**rule) for rule in p.rules])


def note(run: Run, p: Parameters) -> dict[str, Any]:
    """What stands there now, so that it can be put back."""
    if not _is_ours(run, p):
        raise Conflict("The cluster has no such group of ours any more.", code="security_group.missing",
                       remedy="Delete it, and make it anew.")  # fmt: skip
    return {"rules": [asdict(rule) for rule in _rules(run, p).list().rules]}


def put_back(run: Run, p: Parameters) -> None:
    if p.rules is not None and _is_ours(run, p):
        rewrite(_rules(run, p), [Rule(**rule) for rule in run.outputs["noted"]["rules"]])


def settle(run: Run, p: Parameters) -> None:
    with run.db.begin() as tx:
        row = security_groups.lock(tx, p.group)
        if row is None:
            return
        row.state = SecurityGroupState.READY
        if p.rules is not None:
            row.rules = p.rules
        if p.comment is not None:
            row.comment = p.comment
        if p.published is not None:
            row.published = p.published
        if p.tenants is not None:
            security_groups.publish(tx, p.group, p.tenants)


def reopen(run: Run, p: Parameters) -> None:
    with run.db.begin() as tx:
        row = security_groups.lock(tx, p.group)
        if row is not None:
            row.state = SecurityGroupState.READY


def bring_back(run: Run, p: Parameters) -> None:
    """What was removed of a group that stays after all."""
    make(run, p)
    rewrite(_rules(run, p), [Rule(**rule) for rule in run.outputs["noted"]["rules"]])


def note_if_there(run: Run, p: Parameters) -> dict[str, Any]:
    return note(run, p) if _is_ours(run, p) else {"rules": p.rules or []}


def forget(run: Run, p: Parameters) -> None:
    with run.db.begin() as tx:
        security_groups.remove(tx, p.group)


def rewrite(api: RulesApi, wanted: Sequence[Rule]) -> None:
    """PVE adds on top and nowhere else: what differs goes from there, and comes back from below."""
    there = list(api.list().rules)
    same = 0
    while same < min(len(there), len(wanted)) and there[-1 - same] == wanted[-1 - same]:
        same += 1
    for _ in range(len(there) - same):
        api.delete(0)
    for rule in reversed(wanted[: len(wanted) - same]):
        api.add(rule)


def _groups(run: Run, p: Parameters) -> SecurityGroupsApi:
    groups: SecurityGroupsApi = run.gateways.as_admin(p.cluster).cluster.security_groups
    return groups


def _rules(run: Run, p: Parameters) -> RulesApi:
    return _groups(run, p).rules(SecurityGroupName(p.name))


def _is_ours(run: Run, p: Parameters) -> bool:
    return _groups(run, p).comment(SecurityGroupName(p.name)) == mark(p.group)


def _result(run: Run, p: Parameters) -> dict[str, Any]:
    with run.db.read() as tx:
        row = security_groups.find(tx, EVERY_TENANT, p.group)
        return {"security_group": security_group_document(security_groups.views(tx, EVERY_TENANT, [row])[0])}


# -- definition

CREATE = Saga(
    "security_group.create",
    Parameters,
    steps=(
        Step("reserved", undo=forget),
        Step("group", make, undo=remove, calls=(will("POST /cluster/firewall/groups"),)),
        Step("rules", write, calls=(may("POST /cluster/firewall/groups/{p.name}", lambda p: p.rules),)),
        Step("ready", settle),
    ),
    result=_result,
)

CHANGE = Saga(
    "security_group.change",
    Parameters,
    steps=(
        Step("marked", undo=reopen),
        Step("noted", note),
        Step(
            "rules",
            write,
            undo=put_back,
            calls=(
                may("DELETE /cluster/firewall/groups/{p.name}/0", lambda p: p.rules is not None),
                may("POST /cluster/firewall/groups/{p.name}", lambda p: p.rules),
            ),
        ),
        Step("settled", settle),
    ),
    result=_result,
)

DELETE = Saga(
    "security_group.delete",
    Parameters,
    steps=(
        Step("marked", undo=reopen),
        Step("noted", note_if_there),
        Step(
            "removed",
            remove,
            undo=bring_back,
            calls=(
                may("DELETE /cluster/firewall/groups/{p.name}/0"),
                may("DELETE /cluster/firewall/groups/{p.name}"),
            ),
        ),
        Step("forgotten", forget),
    ),
)
