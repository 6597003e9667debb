"""npm's proxmox-api against the lab: it compares the content type as a string and shows the reason phrase."""

from __future__ import annotations

from tests.lab.clients.npm.conftest import Scenario
from tests.lab.process import LabProcess


def test_reads(scenario: Scenario) -> None:
    found = scenario("reads")
    assert found["version"] == "9.1.8"
    assert found["nodes"] == [["n1", "online"], ["n2", "online"]]
    assert found["vms"] == [[1000, "running"], [1004, "running"], [9000, "stopped"]]
    assert found["resources"] == [f"storage/{node}/{name}" for node in ("n1", "n2") for name in ("local", "local-lvm")]
    assert found["domains"] == ["pam", "pve"]


def test_the_life_of_a_container(demo: LabProcess, scenario: Scenario) -> None:
    found = scenario("container")
    assert found["vmid"] == 100
    assert found["ends"] == ["OK"] * 5
    assert (found["created"]["hostname"], found["created"]["unprivileged"]) == ("js", 1)
    assert (found["changed"]["cores"], found["changed"]["onboot"]) == (2, 0)
    assert found["changed"]["description"] == "of JavaScript: ü & = +\n"
    assert found["running"] == "running"
    assert found["snapshots"] == ["one", "current"]
    assert "return Error 500 Configuration file 'nodes/n1/lxc/100.conf' does not exist: " in found["gone"]
    assert {call["user"] for call in demo.calls()[1:]} == {"root@pam"}


def test_a_list_of_words_runs_in_the_guest(scenario: Scenario) -> None:
    assert scenario("agent") == {
        **{"exited": 1, "exitcode": 0, "out-data": "two words\n"},
        "status": "VM status: running\n",
    }


def test_a_token_sees_and_may_what_its_user_may(scenario: Scenario) -> None:
    found = scenario("token")
    assert found["vms"] == [9000]
    assert "failed with 403 Permission check failed (/vms/9000, VM.Config.Memory)" in found["refused"]
    assert "return Error 401 Authentication failed!" in found["wrong"]


def test_errors_in_the_words_of_pve(scenario: Scenario) -> None:
    found = scenario("errors")
    assert "Error 500 Configuration file 'nodes/n1/qemu-server/4711.conf' does not exist: " in found["missing"]
    assert "Error 400 Parameter verification failed.: " in found["parameters"]
    assert "\"cores\":\"type check ('integer') failed - got 'many'\"" in found["parameters"]
    assert "failed with 501 Method 'GET /cluster/nothing' not implemented" in found["unknown"]
    assert found["login"].endswith("/access/ticket Failed!")
    assert found["task"] == "VM 1000 already running"
