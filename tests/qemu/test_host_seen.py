"""What the keeper of the workers writes down of a host with a real libvirt."""

from __future__ import annotations

from app.db import local_host
from app.db.session import Database
from app.domain.local import LocalHost
from app.services.local.host import LocalHostKeeper
from tests.qemu.daemon import Libvirtd


def test_a_real_libvirt_is_seen_as_it_is(database: Database, libvirtd: Libvirtd) -> None:
    keeper = LocalHostKeeper(database, libvirtd.uri)
    for _ in range(2):
        keeper.look()
    with database.read() as tx:
        seen = local_host.seen(tx)
    assert isinstance(seen, LocalHost)
    assert seen.hypervisor.startswith("QEMU ")
    assert seen.accelerator["type"] in ("kvm", "tcg")
    assert seen.accelerator["reason"] != "It is not probed yet."
    assert seen.cores >= 1
    assert "qemu64" in seen.cpu_models
