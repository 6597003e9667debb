"""Console tickets: vncproxy, termproxy, spiceproxy and the websocket behind them."""

import base64
import secrets
from typing import Any

from app.lab import clock
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.guests import lookup
from app.lab.state import Guest, World
from app.lab.tasks import Task

_FIRST_PORT, _LAST_PORT = 5900, 5999
_HOLD_SECONDS, _TICKET_SECONDS = 10.0, 40.0
"""A proxy waits so long for its websocket, and keeps its port."""


def _free_port(world: World) -> int:
    now = clock.now(world)
    world.console_ports = {port: end for port, end in world.console_ports.items() if end > now}
    return next(port for port in range(_FIRST_PORT, _LAST_PORT + 1) if port not in world.console_ports)


def _open(call: Call, path: str, task_type: str, subject: str, ends_with: str) -> dict[str, Any]:
    """A task that waits for the websocket, and what the client needs to reach it."""
    world, port = call.world, _free_port(call.world)
    world.console_ports[port] = clock.now(world) + _HOLD_SECONDS
    ticket = f"PVEVNC:{int(clock.now(world)):08X}::{base64.b64encode(secrets.token_bytes(48)).decode()}"
    world.console_tickets[ticket] = {"path": path, "port": port, "until": clock.now(world) + _TICKET_SECONDS}

    async def work(task: Task) -> None:
        await task.sleep(_HOLD_SECONDS)
        raise TaskFailed(ends_with)

    upid = call.start_task(task_type, subject, work)
    return {"user": call.who.user, "ticket": ticket, "port": str(port), "upid": upid}


def _open_guest(call: Call, guest: Guest) -> dict[str, Any]:
    stopped = f"{lookup.NAMES[guest.kind]} {guest.vmid} not running"
    ends_with = "connection timed out" if guest.status == "running" else stopped
    return _open(call, f"/vms/{guest.vmid}", "vncproxy", str(guest.vmid), ends_with)


@handler("POST", "/nodes/{node}/qemu/{vmid}/vncproxy")
def vnc_vm(call: Call) -> Any:
    guest = lookup.guest_of(call, "qemu")
    out = _open_guest(call, guest) | {"cert": call.world.certificate}
    if call.params.get("generate-password"):
        out["password"] = secrets.token_urlsafe(6)
    return out


@handler("POST", "/nodes/{node}/lxc/{vmid}/vncproxy")
def vnc_ct(call: Call) -> Any:
    """The measured hosts had no vncterm, so nobody ever listened on the port; containers are reached by termproxy."""
    lookup.guest_of(call, "lxc")
    raise Refused(500, f"Timeout while waiting for port '{_free_port(call.world)}' to get ready!")


def _term(kind: str) -> None:
    def term(call: Call) -> Any:
        guest = lookup.guest_of(call, kind)
        serial = call.params.get("serial")
        if serial and serial not in guest.config and guest.status != "running":
            raise Refused(500, f"unable to find a serial interface '{serial}'")
        return _open_guest(call, guest)

    handler("POST", f"/nodes/{{node}}/{kind}/{{vmid}}/termproxy")(term)


def _spice(kind: str) -> None:
    def spice(call: Call) -> Any:
        guest = lookup.guest_of(call, kind)
        if guest.status != "running":
            raise Refused(500, f"{lookup.NAMES[kind]} {guest.vmid} not running")
        if kind == "qemu" and not str(guest.config.get("vga", "")).startswith("qxl"):
            raise Refused(500, "no spice port")
        return {
            "type": "spice",
            "title": f"{lookup.NAMES[kind]} {guest.vmid}",
            "host": f"pvespiceproxy:{secrets.token_hex(8)}:{guest.vmid}:{call.node}::61000",
            "proxy": f"http://{call.params.get('proxy', call.node)}:3128",
            "tls-port": 61000,
            "password": secrets.token_hex(20),
            "delete-this-file": 1,
            "toggle-fullscreen": "Shift+F11",
            "secure-attention": "Ctrl+Alt+Ins",
            "release-cursor": "Ctrl+Alt+R",
            "host-subject": f"OU=PVE Cluster Node,O=Proxmox Virtual Environment,CN={call.node}",
            "ca": call.world.certificate,
        }

    handler("POST", f"/nodes/{{node}}/{kind}/{{vmid}}/spiceproxy")(spice)


def _websocket(kind: str) -> None:
    def connect(call: Call) -> Any:
        held = call.world.console_tickets.get(call.params["vncticket"])
        valid = held and held["path"] == f"/vms/{call.params['vmid']}" and held["until"] > clock.now(call.world)
        if not valid:
            raise Refused(401, "permission denied - invalid PVEVNC ticket")
        return {"port": str(call.params["port"])}

    handler("GET", f"/nodes/{{node}}/{kind}/{{vmid}}/vncwebsocket")(connect)


@handler("POST", "/nodes/{node}/termproxy")
def term_node(call: Call) -> Any:
    return _open(call, f"/nodes/{call.node}", "vncshell", "", "connection timed out")


@handler("POST", "/nodes/{node}/vncshell")
def vnc_node(call: Call) -> Any:
    opened = _open(call, f"/nodes/{call.node}", "vncshell", "", "connection timed out")
    return opened | {"cert": call.world.certificate}


for _kind in ("qemu", "lxc"):
    _term(_kind)
    _spice(_kind)
    _websocket(_kind)
