"""Every step of every saga, stopped by kill -9 before, during and after it, done twice, refused, undone, stuck.

The cases come from the saga registry. `make test` plays a part of them, `make kill` all; the table at the end says
what was tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from app.sagas import REGISTRY
from tests.house import House, wait_for
from tests.kill import matrix
from tests.kill.matrix import Case, Played
from tests.kill.scenes import GOLDEN, IMAGE_PORT, PLAN, SECOND_STORAGE, scenes
from tests.lab.process import LabProcess
from tests.web_server import serving

pytestmark = pytest.mark.timeout(1800)
EVERY = matrix.cases()
EVERYDAY = matrix.selection(EVERY, 11)


def _parameter(case: Case) -> object:
    return pytest.param(case, id=str(case), marks=() if str(case) in EVERYDAY else pytest.mark.matrix)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Played]]:
    """All chosen cases, played; PVE's tasks take some tenths of a second."""
    chosen = [
        item.callspec.params["case"]
        for item in request.session.items
        if "case" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    lab = LabProcess.start(state="demo", time_scale=0.1)
    house = House.start(tmp_path_factory.mktemp("matrix"), lab, POOLHOUSE_DOWNLOAD_NETWORKS="127.0.0.1/32")
    house.pve.post("/storage", storage=SECOND_STORAGE, type="dir", path="/srv/attic", content="rootdir,images")
    house.start_worker()
    house.wait_ready()
    storages = "/proxmox/storages"
    wait_for(lambda: SECOND_STORAGE in {row["id"] for row in house.admin().get(storages).get_json()["data"]})
    assert house.admin().post("/plans", PLAN).status_code == 201
    _publish_container(house)
    try:
        with serving(IMAGE_PORT):
            ended = matrix.play(house, chosen)
        yield ended
    finally:
        house.stop()
        lab.stop()


def _publish_container(house: House) -> None:
    """One of PVE's that is a template, as the catalog's, once the inventory has seen it as that."""
    archive = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst"
    house.pve.post("/nodes/n1/lxc", vmid=9103, ostemplate=archive, rootfs="local-lvm:2", hostname=GOLDEN)
    wait_for(lambda: 9103 in {one["vmid"] for one in house.pve.guests() if one["status"] == "stopped"})
    wait_for(lambda: "lock" not in house.pve.get("/nodes/n1/lxc/9103/config"))
    house.pve.post("/nodes/n1/lxc/9103/template")
    entry = {"source": "9103", "name": GOLDEN, "published": True}
    wait_for(lambda: house.admin().post("/templates", entry).status_code == 201, every=0.5)


def test_every_saga_has_a_scene() -> None:
    assert {scene.saga for scene in scenes()} == set(REGISTRY)


@pytest.mark.parametrize("case", [_parameter(case) for case in EVERY])
def test_the_world_is_in_order(
    played: dict[str, Played], case: Case, record_property: Callable[[str, object], None]
) -> None:
    """L39, L40, L41, L119: it ends as it should, its guest is there once or not at all, and the ledger agrees."""
    found = played[str(case)]
    record_property(matrix.TRIED, matrix.row(found))
    if case.direction.what == "catch":
        assert found.caught, "it never came to that point"
    if case.direction.what == "stick":
        assert found.was_stuck
    assert found.operation["state"] == case.end, found.operation
    assert found.disorder == []
