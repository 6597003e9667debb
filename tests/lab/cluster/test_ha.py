"""The HA manager of a cluster that gave it no guest."""

from __future__ import annotations

import pytest

from tests.lab.process import LabProcess, Session


@pytest.mark.parametrize(("quorate", "said", "status"), [(1, "1", "OK"), (0, "", "No quorum on node 'n1'!")])
def test_the_manager_has_kept_nothing_but_tells_of_the_quorum(
    lab: LabProcess, root: Session, quorate: int, said: str, status: str
) -> None:
    state = lab.control("GET", "state")
    state["cluster"]["quorate"] = quorate
    lab.control("PUT", "state", state)
    manager = root.ok("GET", "/cluster/ha/status/manager_status")
    assert manager == {"manager_status": {}, "quorum": {"node": "n1", "quorate": said}}
    (row,) = root.ok("GET", "/cluster/ha/status/current")
    assert (row["quorate"], row["status"]) == (quorate, status)
