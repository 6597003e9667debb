"""Console tickets: vncproxy, termproxy, spiceproxy and the websocket behind them."""

import secrets
from typing import Any

from app.lab.access.rights import Identity, rights_of
from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.consoles import displays, proxies, rfb, terminal, tickets
from app.lab.consoles.displays import Display
from app.lab.consoles.proxies import Proxy, Speech
from app.lab.consoles.sockets import Opening
from app.lab.consoles.wire import Hangup, Wire
from app.lab.guests import lookup
from app.lab.state import Guest, World

_CONSOLE = {"qemu": "/usr/sbin/qm terminal {} -escape 0", "lxc": "lxc-console -n {} -e -1"}
_UNHEARD = "connection timed out"


def _free_port(world: World) -> int:
    try:
        return proxies.free_port(world)
    except proxies.NoPort as none:
        raise Refused(500, str(none)) from None


def _open(call: Call, proxy: Proxy, task_type: str, ticket: str) -> dict[str, Any]:
    """A task that waits for the websocket, and what the client needs to reach it."""
    call.world.consoles[proxy.port] = proxy
    subject = str(call.params.get("vmid", ""))
    proxy.upid = call.start_task(task_type, subject, proxy.work)
    return {"user": call.who.name, "ticket": ticket, "port": str(proxy.port), "upid": proxy.upid}


def _vm_picture(call: Call, password: str) -> Speech:
    world, node, vmid = call.world, call.node, call.params["vmid"]

    async def speech(wire: Wire) -> None:
        guest = lookup.find(world, "qemu", node, vmid)
        if guest is None or guest.status != "running":
            raise TaskFailed("Failed to run vncproxy.")
        display = displays.of_guest(world, guest)
        await rfb.serve(wire, display.screen, password, f"QEMU ({display.name})", display.type)

    return speech


@handler("POST", "/nodes/{node}/qemu/{vmid}/vncproxy")
def vnc_vm(call: Call) -> Any:
    guest = lookup.guest_of(call, "qemu")
    path = f"/vms/{guest.vmid}"
    ticket = tickets.make(call.world, call.who.name, path)
    generated = secrets.token_urlsafe(6) if call.params.get("generate-password") else None
    speech = _vm_picture(call, generated or ticket)
    opened = _open(call, Proxy(_free_port(call.world), path, speech, _UNHEARD), "vncproxy", ticket)
    return opened | {"cert": call.world.certificate} | ({"password": generated} if generated else {})


@handler("POST", "/nodes/{node}/lxc/{vmid}/vncproxy")
def vnc_ct(call: Call) -> Any:
    """The measured hosts had no vncterm, so nobody ever listened on the port; containers are reached by termproxy."""
    lookup.guest_of(call, "lxc")
    raise Refused(500, f"Timeout while waiting for port '{_free_port(call.world)}' to get ready!")


def _logged_in(world: World, path: str, privilege: str, inside: Speech, failed: str) -> Speech:
    """A terminal behind termproxy's own log-in."""

    def may(user: str, ticket: str) -> bool:
        return tickets.fits(world, ticket, user, path) and privilege in rights_of(world, Identity.parse(user)).on(path)

    async def speech(wire: Wire) -> None:
        try:
            await terminal.log_in(wire, may)
        except Hangup:
            raise TaskFailed(failed) from None
        await inside(wire)

    return speech


def _open_terminal(call: Call, path: str, privilege: str, task_type: str, command: str, inside: Speech) -> Any:
    port = _free_port(call.world)
    ran = f"/usr/bin/termproxy {port} --path {path} --perm {privilege} -- {command}"
    failed = f"command '{ran}' failed: exit code 1"
    speech = _logged_in(call.world, path, privilege, inside, failed)
    ticket = tickets.make(call.world, call.who.name, path)
    return _open(call, Proxy(port, path, speech, failed), task_type, ticket)


def _inside(call: Call, kind: str) -> Speech:
    world, node, vmid, wanted = call.world, call.node, call.params["vmid"], call.params.get("serial")

    async def speech(wire: Wire) -> None:
        guest = lookup.find(world, kind, node, vmid)
        if guest is None or guest.status != "running":
            await wire.send(f"{lookup.NAMES[kind]} {vmid} not running\r\n".encode())
            return
        if kind == "qemu":
            serial = wanted or _first_serial(guest)
            if serial not in guest.config:
                named = f" '{wanted}'" if wanted else ""
                await wire.send(f"unable to find a serial interface{named}\r\n".encode())
                return
            await wire.send(f"starting serial terminal on interface {serial}\r\n".encode())
        await terminal.serve(wire, displays.shell_of(world, guest))

    return speech


def _first_serial(guest: Guest) -> str:
    return next((name for name in ("serial0", "serial1", "serial2", "serial3") if name in guest.config), "")


def _term(kind: str) -> None:
    def term(call: Call) -> Any:
        guest = lookup.guest_of(call, kind)
        command = _CONSOLE[kind].format(guest.vmid)
        return _open_terminal(call, f"/vms/{guest.vmid}", "VM.Console", "vncproxy", command, _inside(call, kind))

    handler("POST", f"/nodes/{{node}}/{kind}/{{vmid}}/termproxy")(term)


def _spice(kind: str) -> None:
    def spice(call: Call) -> Any:
        guest = lookup.guest_of(call, kind)
        if guest.status != "running":
            raise Refused(500, f"{lookup.NAMES[kind]} {guest.vmid} not running")
        if kind == "qemu" and not str(guest.config.get("vga", "")).startswith("qxl"):
            raise Refused(500, "no spice port")
        named = guest.config.get("hostname" if kind == "lxc" else "name")
        return {
            "type": "spice",
            "title": f"{lookup.NAMES[kind]} {guest.vmid}" + (f" - {named}" if named else ""),
            "host": f"pvespiceproxy:{secrets.token_hex(8)}:{guest.vmid}:{call.node}::61000",
            "proxy": f"http://{call.params.get('proxy', call.node)}:3128",
            "tls-port": 61000,
            "password": secrets.token_hex(20),
            "delete-this-file": 1,
            "toggle-fullscreen": "Shift+F11",
            "secure-attention": "Ctrl+Alt+Ins",
            "release-cursor": "Ctrl+Alt+R",
            "host-subject": f"OU=PVE Cluster Node,O=Proxmox Virtual Environment,CN={call.node}",
            # The file that the client makes of this has one line per field.
            "ca": call.world.certificate.replace("\n", "\\n"),
        }

    handler("POST", f"/nodes/{{node}}/{kind}/{{vmid}}/spiceproxy")(spice)


def _opening(call: Call, path: str) -> Opening:
    if not tickets.fits(call.world, call.params["vncticket"], call.who.name, path):
        raise Refused(401, "permission denied - invalid PVEVNC ticket")
    return Opening({"port": str(call.params["port"])}, path=path)


def _websocket(kind: str) -> None:
    def connect(call: Call) -> Any:
        opening = _opening(call, f"/vms/{call.params['vmid']}")
        lookup.guest_of(call, kind)
        return opening

    handler("GET", f"/nodes/{{node}}/{kind}/{{vmid}}/vncwebsocket")(connect)


@handler("GET", "/nodes/{node}/vncwebsocket")
def connect_node(call: Call) -> Any:
    return _opening(call, f"/nodes/{call.node}")


@handler("POST", "/nodes/{node}/termproxy")
def term_node(call: Call) -> Any:
    world, node = call.world, call.node

    async def inside(wire: Wire) -> None:
        await terminal.serve(wire, displays.shell_on(world, node, world.nodes[node].booted_at))

    command = "/bin/login -f root" if call.who.is_root else "/bin/login"
    return _open_terminal(call, f"/nodes/{node}", "Sys.Console", "vncshell", command, inside)


@handler("POST", "/nodes/{node}/vncshell")
def vnc_node(call: Call) -> Any:
    world, node, path = call.world, call.node, f"/nodes/{call.node}"
    ticket = tickets.make(world, call.who.name, path)

    async def speech(wire: Wire) -> None:
        display = Display(node, world, world.nodes[node].booted_at)
        await rfb.serve(wire, display.screen, ticket, node, display.type)

    opened = _open(call, Proxy(_free_port(world), path, speech, _UNHEARD), "vncshell", ticket)
    return opened | {"cert": world.certificate}


for _kind in ("qemu", "lxc"):
    _term(_kind)
    _spice(_kind)
    _websocket(_kind)
