"""/pools: what holds a tenant's guests. Pools of Poolhouse are not nested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import PveAbsent, PveRefused
from app.domain.identifiers import PoolId, VmId
from app.pve.answers import Row, rows
from app.pve.speaking import Scalar, Speaker, gone_now, made_now


@dataclass(frozen=True)
class Pool:
    """`poolid` may be a nested one's in lists. Members are known where the pool was asked for by name."""

    poolid: str
    comment: str
    vmids: frozenset[VmId] = frozenset()
    storages: frozenset[str] = frozenset()


class PoolsApi:
    def __init__(self, client: Speaker) -> None:
        self._client = client

    def list(self) -> tuple[Pool, ...]:
        """Without members."""
        return tuple(_pool(row) for row in rows(self._client.get(("pools",))))

    def get(self, poolid: PoolId) -> Pool:
        """With members, by the call that checks Pool.Audit (GET /pools?poolid= does not). Raises PveAbsent."""
        poolid = PoolId.parse(poolid)
        return _pool(Row({**Row(self._client.get(("pools", poolid))).values, "poolid": poolid}))

    def create(self, poolid: PoolId, *, comment: str) -> bool:
        """False where it exists already; whether it is ours its comment tells."""
        params = {"poolid": PoolId.parse(poolid), "comment": comment}
        return made_now(lambda: self._client.post(("pools",), params))

    def update(self, poolid: PoolId, *, comment: str) -> None:
        self._client.put(("pools",), {"poolid": PoolId.parse(poolid), "comment": comment})

    def add_guests(self, poolid: PoolId, vmids: Sequence[VmId], *, allow_move: bool = False) -> bool:
        """Guests that exist into the pool, all or none; False where the only one is a member already.

        The caller knows that they exist: PVE takes any number, keeps it unseen, and puts whatever guest gets that
        number later into the pool (measured on PVE 9.1).
        """
        params: dict[str, Scalar] = {
            "poolid": PoolId.parse(poolid), "vms": _joined(vmids), "allow-move": allow_move or None
        }  # fmt: skip
        if len(vmids) == 1:
            return made_now(lambda: self._client.put(("pools",), params))
        self._client.put(("pools",), params)
        return True

    def remove_guests(self, poolid: PoolId, vmids: Sequence[VmId]) -> bool:
        """False where the pool, or the only guest in it, is not there."""
        params: dict[str, Scalar] = {"poolid": PoolId.parse(poolid), "vms": _joined(vmids), "delete": True}
        try:
            self._client.put(("pools",), params)
        except PveAbsent:
            if len(vmids) == 1:
                return False
            raise
        return True

    def delete(self, poolid: PoolId) -> bool:
        """False where it is not there. One that holds something is `pve.not_empty`; its rights stay behind."""
        return gone_now(lambda: self._client.delete(("pools",), {"poolid": PoolId.parse(poolid)}))


def _joined(vmids: Sequence[VmId]) -> str:
    if not vmids:
        raise PveRefused("No guest was named.")
    return ",".join(str(VmId.parse(vmid)) for vmid in vmids)


def _pool(row: Row) -> Pool:
    members = rows(row.values.get("members"))
    return Pool(
        poolid=row.text("poolid"),
        comment=row.text("comment"),
        vmids=frozenset(member.vmid() for member in members if "vmid" in member.values),
        storages=frozenset(member.text("storage") for member in members if member.text("type") == "storage"),
    )
