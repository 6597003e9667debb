"""The QEMU guest agent's calls, and the addresses of containers.

A guest of the lab has an agent only where its seed or the control port says so (`guest.agent`).
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from app.lab import clock
from app.lab.call import Call, Refused, handler
from app.lab.guests import addresses, figures, inside, lookup, properties
from app.lab.state import Guest
from app.lab.storage.words import words

_GET = words(
    "get-fsinfo get-host-name get-memory-block-info get-memory-blocks get-osinfo get-time get-timezone get-users "
    "get-vcpus info network-get-interfaces"
)
_POST = words(
    "fsfreeze-freeze fsfreeze-status fsfreeze-thaw fstrim ping shutdown suspend-disk suspend-hybrid suspend-ram"
)
_OTHERS = words("exec exec-status file-read file-write set-user-password")


def agent_on(guest: Guest) -> bool:
    """Whether the option `agent` is on."""
    return properties.parse(str(guest.config.get("agent", "0")), "enabled").get("enabled") == "1"


def reachable(call: Call) -> Guest:
    """The VM, with an agent that answers. Raises Refused 500."""
    guest = lookup.guest_of(call, "qemu")
    if not agent_on(guest):
        raise Refused(500, "No QEMU guest agent configured")
    if guest.status != "running":
        raise Refused(500, f"VM {guest.vmid} is not running")
    if not guest.agent or guest.paused:
        raise Refused(500, "QEMU guest agent is not running")
    return guest


def _answer(call: Call, guest: Guest, command: str) -> Any:
    now = int(clock.now(call.world))
    answers: dict[str, Any] = {
        "get-host-name": {"host-name": figures.name(guest)},
        "get-osinfo": {
            "id": "debian",
            "name": "Debian GNU/Linux",
            "pretty-name": "Debian GNU/Linux 12 (bookworm)",
            "version": "12 (bookworm)",
            "version-id": "12",
            "machine": "x86_64",
            "kernel-release": "6.1.0-39-amd64",
            "kernel-version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.148-1",
        },
        "get-time": now * 1_000_000_000,
        "get-timezone": {"zone": "UTC", "offset": 0},
        "get-users": [],
        "get-vcpus": [
            {"logical-id": number, "online": True, "can-offline": number > 0}
            for number in range(int(figures.cpus(call.world, guest)))
        ],
        "get-fsinfo": [
            {
                "name": "sda1",
                "mountpoint": "/",
                "type": "ext4",
                "total-bytes": figures.disk_size(guest) * 95 // 100,
                "used-bytes": figures.disk_size(guest) // 4,
                "disk": [],
            }
        ],
        "get-memory-block-info": {"size": 128 << 20},
        "get-memory-blocks": [
            {"phys-index": number, "online": True, "can-offline": False}
            for number in range(figures.memory(guest) // (128 << 20))
        ],
        "info": {
            "version": "7.2.17",
            "supported_commands": [{"name": f"guest-{name}", "enabled": True} for name in _GET],
        },
        "network-get-interfaces": addresses.agent(guest),
        "fsfreeze-status": "thawed",
        "fsfreeze-freeze": 1,
        "fsfreeze-thaw": 1,
        "fstrim": {"paths": [{"path": "/", "trimmed": 0, "minimum": 0}]},
    }
    return {"result": answers.get(command, {})}


def _register(method: str, command: str) -> None:
    def run(call: Call) -> Any:
        return _answer(call, reachable(call), command)

    handler(method, f"/nodes/{{node}}/qemu/{{vmid}}/agent/{command}")(run)


for _name in _GET:
    _register("GET", _name)
for _name in _POST:
    _register("POST", _name)


@handler("GET", "/nodes/{node}/qemu/{vmid}/agent")
def index(_call: Call) -> Any:
    return [{"name": name} for name in sorted([*_GET, *_POST, *_OTHERS])]


@handler("POST", "/nodes/{node}/qemu/{vmid}/agent")
def run_named(call: Call) -> Any:
    return _answer(call, reachable(call), call.params["command"])


@handler("POST", "/nodes/{node}/qemu/{vmid}/agent/exec")
def execute(call: Call) -> Any:
    guest = reachable(call)
    words = call.params["command"]
    with _failing():
        return {"pid": inside.of_guest(call.world, guest).execute(words, call.params.get("input-data", ""))}


@handler("GET", "/nodes/{node}/qemu/{vmid}/agent/exec-status")
def execution(call: Call) -> Any:
    guest = reachable(call)
    with _failing():
        ended = inside.of_guest(call.world, guest).result(call.params["pid"])
    written = {"out-data": ended.output, "err-data": ended.errors}
    return {"exited": 1, "exitcode": ended.code} | {name: text for name, text in written.items() if text}


@handler("GET", "/nodes/{node}/qemu/{vmid}/agent/file-read")
def read_file(call: Call) -> Any:
    guest = reachable(call)
    with _failing():
        return {"content": inside.of_guest(call.world, guest).read(call.params["file"])}


@handler("POST", "/nodes/{node}/qemu/{vmid}/agent/file-write")
def write_file(call: Call) -> Any:
    guest = reachable(call)
    vm, encoded = inside.of_guest(call.world, guest), not call.params.get("encode", 1)
    with _failing():
        vm.write(call.params["file"], call.params["content"], encoded=encoded)


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except inside.AgentFailed as failure:
        raise Refused(500, f"Agent error: {failure}") from None


@handler("POST", "/nodes/{node}/qemu/{vmid}/agent/set-user-password")
def set_password(call: Call) -> Any:
    reachable(call)
    return {"result": {}}


@handler("GET", "/nodes/{node}/lxc/{vmid}/interfaces")
def interfaces(call: Call) -> Any:
    guest = lookup.guest_of(call, "lxc")
    return addresses.container(guest) if guest.status == "running" else None
