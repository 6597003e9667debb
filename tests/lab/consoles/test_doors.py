"""Who gets into a console, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from tests.lab.consoles.viewer import Viewer, connected
from tests.lab.process import LabProcess, Session


def refused(
    lab: LabProcess, session: Session, path: str, opened: Mapping[str, Any], *protocols: str
) -> tuple[int, str]:
    """(status, reason) of a websocket that is refused; (0, "") where the connection is dropped."""

    async def attempt() -> tuple[int, str]:
        try:
            async with connected(lab, session, path, opened, protocols or ("binary",)):
                raise AssertionError("the websocket was opened")
        except aiohttp.WSServerHandshakeError as refusal:
            return refusal.status, refusal.message
        except aiohttp.ClientError:
            return 0, ""

    return asyncio.run(attempt())


def reason_of(
    lab: LabProcess, session: Session, path: str, opened: Mapping[str, Any], **headers: str
) -> tuple[int, str]:
    """(status, reason) of a hand-made request for a websocket."""
    query = {"port": opened["port"], "vncticket": opened["ticket"]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = session.http.get(f"{lab.url}/api2/json{path}/vncwebsocket", params=query, headers=named, timeout=20)
    return answer.status_code, answer.reason


def test_a_ticket_opens_its_own_console_alone(lab: LabProcess, root: Session, vm: str, ct: str) -> None:
    wrong = (401, "permission denied - invalid PVEVNC ticket")
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)
    assert refused(lab, root, vm, opened | {"ticket": "PVEVNC:0::x"})[0] == wrong[0]
    assert refused(lab, root, ct, opened)[0] == wrong[0]
    root.ok("POST", "/access/users", userid="alice@pve", password="alicepw12345")
    alice = lab.login("alice@pve", "alicepw12345")
    assert refused(lab, alice, vm, opened)[0] == 403
    root.ok("PUT", "/access/acl", path="/vms/100", users="alice@pve", roles="PVEVMUser")
    assert refused(lab, alice, vm, opened)[0] == wrong[0], "it was made for root"
    assert reason_of(lab, root, ct, opened) == wrong


def test_a_ticket_lasts_forty_seconds(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)
    lab.control("PUT", "clock", {"advance": 39})
    assert root.call("GET", f"{vm}/vncwebsocket", port=opened["port"], vncticket=opened["ticket"]).status_code == 200
    lab.control("PUT", "clock", {"advance": 2})
    assert root.refused("GET", f"{vm}/vncwebsocket", port=opened["port"], vncticket=opened["ticket"])[0] == 401


def test_a_proxy_waits_ten_seconds_for_its_client(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)
    status = f"/nodes/n1/tasks/{opened['upid']}/status"
    lab.control("PUT", "clock", {"advance": 9})
    assert root.ok("GET", status)["status"] == "running"
    lab.control("PUT", "clock", {"advance": 2})
    assert root.wait(opened["upid"]) == "connection timed out"
    assert refused(lab, root, vm, opened) == (0, "")


def test_a_port_is_of_one_console(lab: LabProcess, root: Session, vm: str, ct: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)
    other = root.ok("POST", f"{ct}/termproxy")
    assert (opened["port"], other["port"]) == ("5900", "5901")
    assert refused(lab, root, vm, opened | {"port": "5901"}) == (0, "")
    assert refused(lab, root, vm, opened | {"port": "5950"}) == (0, "")


def test_a_console_has_one_client(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)

    async def session() -> None:
        async with connected(lab, root, vm, opened) as line:
            viewer = Viewer(line)
            await viewer.greet()
            with pytest.raises(aiohttp.ClientError):
                async with connected(lab, root, vm, opened):
                    pass
            assert await viewer.authenticate(opened["ticket"]) == 0

    asyncio.run(session())
    assert root.wait(opened["upid"]) == "OK"


def test_the_task_runs_while_the_console_is_open(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)
    status = f"/nodes/n1/tasks/{opened['upid']}/status"

    async def session() -> None:
        async with connected(lab, root, vm, opened) as line:
            await Viewer(line).log_in(opened["ticket"])
            lab.control("PUT", "clock", {"advance": 3600})
            assert (await asyncio.to_thread(root.ok, "GET", status))["status"] == "running"

    asyncio.run(session())
    assert root.wait(opened["upid"]) == "OK"
    opening = [call for call in lab.calls() if call["path"].endswith("/vncwebsocket")]
    assert [call["status"] for call in opening] == [101]


@pytest.mark.parametrize("ending", ["stop", "destroy", "task", "reset"])
def test_a_console_closes_with_its_guest_its_task_and_its_world(
    lab: LabProcess, root: Session, vm: str, ending: str
) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)

    def end() -> None:
        match ending:
            case "stop":
                assert root.task("POST", f"{vm}/status/stop") == "OK"
            case "destroy":
                assert root.task("POST", f"{vm}/status/stop") == "OK"
                assert root.task("DELETE", vm) == "OK"
            case "task":
                root.ok("DELETE", f"/nodes/n1/tasks/{opened['upid']}")
            case "reset":
                lab.reset()

    async def session() -> None:
        async with connected(lab, root, vm, opened) as line:
            await Viewer(line).log_in(opened["ticket"])
            await asyncio.to_thread(end)
            assert await line.closed()

    asyncio.run(session())
    if ending != "reset":
        assert root.wait(opened["upid"]) == ("received interrupt" if ending == "task" else "OK")


def test_a_stopped_vm_shows_nothing_and_the_task_fails(lab: LabProcess, root: Session, vm: str) -> None:
    assert root.task("POST", f"{vm}/status/stop") == "OK"
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)

    async def session() -> None:
        async with connected(lab, root, vm, opened) as line:
            assert await line.closed()

    asyncio.run(session())
    assert root.wait(opened["upid"]) == "Failed to run vncproxy."


def test_only_a_websocket_that_speaks_binary_is_opened(lab: LabProcess, root: Session, vm: str) -> None:
    opened = root.ok("POST", f"{vm}/vncproxy", websocket=1)
    assert reason_of(lab, root, vm, opened) == (200, "OK")
    asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    protocol = {"Sec_WebSocket_Protocol": "binary"}
    for headers, reason in (
        (asked | {"Upgrade": "h2c"}, "unable to upgrade to protocol 'h2c'"),
        (asked | {"Sec_WebSocket_Version": "8"}, "unsupported websocket-version '8'"),
        (asked, "missing websocket-protocol header"),
        (asked | {"Sec_WebSocket_Protocol": "sip"}, "unsupported websocket-protocol protocol 'sip'"),
        (asked | protocol, "missing websocket-key"),
        (asked | protocol | {"Sec_WebSocket_Key": "short"}, "missing websocket-key"),
    ):
        assert reason_of(lab, root, vm, opened, **headers) == (501, reason)
    assert refused(lab, root, vm, opened, "base64")[0] == 501

    async def session() -> None:
        async with connected(lab, root, vm, opened, ("other", "binary")) as line:
            assert line.socket.protocol == "binary"
            await Viewer(line).greet()

    asyncio.run(session())


def test_ports_run_out_at_a_hundred_consoles(lab: LabProcess, root: Session, vm: str) -> None:
    ports = {root.ok("POST", f"{vm}/vncproxy", websocket=1)["port"] for _ in range(100)}
    assert ports == {str(port) for port in range(5900, 6000)}
    assert root.refused("POST", f"{vm}/vncproxy") == (500, "unable to find free port (5900-5999)")


def test_a_spice_client_gets_its_connection_file(lab: LabProcess, root: Session) -> None:
    assert root.task("POST", "/nodes/n1/qemu", vmid=102, name="desk", vga="qxl") == "OK"
    assert root.task("POST", "/nodes/n1/qemu/102/status/start") == "OK"
    file = root.ok("POST", "/nodes/n1/qemu/102/spiceproxy", proxy="pve.example")
    assert (file["type"], file["title"], file["proxy"]) == ("spice", "VM 102 - desk", "http://pve.example:3128")
    assert "\n" not in file["ca"]
    assert file["ca"].replace("\\n", "\n") == lab.ca_file.read_text()


def test_a_state_that_still_holds_tickets_is_taken(lab: LabProcess, root: Session) -> None:
    """Tickets were kept in the state before they were signed."""
    before = lab.control("GET", "state")
    assert not {"console_ports", "console_tickets", "consoles", "displays"} & set(before)
    lab.control("PUT", "state", before | {"console_ports": {"5900": 1.5}, "console_tickets": {"PVEVNC:x": {"port": 1}}})
    assert root.ok("GET", "/version")["version"]
