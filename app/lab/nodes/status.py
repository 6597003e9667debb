"""`/nodes`: the hosts, what they are and how they do."""

import datetime
import re
import zoneinfo
from typing import Any

from app.lab import clock
from app.lab.call import Call, Refused, handler
from app.lab.cluster.status import VERSION
from app.lab.guests import power
from app.lab.nodes import figures
from app.lab.state import Node
from app.lab.storage.rows import moments

_KERNEL = {
    "sysname": "Linux",
    "release": "6.17.2-1-pve",
    "version": "#1 SMP PREEMPT_DYNAMIC PMX 6.17.2-1 (2025-10-21T11:55Z)",
    "machine": "x86_64",
}
_CPU = {
    "model": "Lab CPU",
    "vendor": "GenuineLab",
    "family": "25",
    "flags": "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht lm",
    "mhz": "2596.140",
    "hvm": "1",
    "sockets": 1,
    "user_hz": 100,
}


@handler("GET", "/nodes")
def listing(call: Call) -> Any:
    """Every node for everybody, its figures with Sys.Audit only."""
    fingerprint = figures.certificate_print(call.world)
    rows = []
    for node in call.world.nodes.values():
        row = figures.facts(node) | {"ssl_fingerprint": fingerprint}
        if node.online and call.has(f"/nodes/{node.name}", "Sys.Audit"):
            row |= figures.load(call.world, node)
        rows.append(row)
    return rows


def _memory(call: Call, node: Node) -> dict[str, int]:
    used = figures.memory_used(call.world, node)
    return {"total": node.memory, "used": used, "free": node.memory - used, "available": node.memory - used}


@handler("GET", "/nodes/{node}/status")
def status(call: Call) -> Any:
    node = call.world.nodes[call.node]
    used, busy = figures.root_used(node), figures.cpu(call.world, node)
    kernel = f"{_KERNEL['sysname']} {_KERNEL['release']} {_KERNEL['version']}"
    return {
        "uptime": figures.uptime(call.world, node),
        "cpu": busy,
        "wait": 0,
        "idle": 0,
        "loadavg": [f"{busy * node.cpus * part:.2f}" for part in (1, 0.9, 0.8)],
        "cpuinfo": _CPU | {"cpus": node.cpus, "cores": node.cpus},
        "memory": _memory(call, node),
        "swap": {"total": 0, "used": 0, "free": 0},
        "ksm": {"shared": 0},
        "rootfs": {
            "total": node.root_size,
            "used": used,
            "free": node.root_size - used,
            "avail": node.root_size - used,
        },
        "pveversion": f"pve-manager/{VERSION['version']}/{VERSION['repoid']}",
        "kversion": kernel,
        "current-kernel": _KERNEL,
        "boot-info": {"mode": "legacy-bios"},
    }


@handler("POST", "/nodes/{node}/status")
def command(call: Call) -> Any:
    """Reboot or shut down a host: its guests go off, those with `onboot` come back after a reboot."""
    node = call.world.nodes[call.node]
    for guest in call.world.guests.values():
        if guest.node == node.name and guest.status == "running":
            power.switch_off(call.world, guest)
            if call.params["command"] == "reboot" and guest.config.get("onboot"):
                power.switch_on(call.world, guest)
    node.booted_at = clock.now(call.world)
    if call.params["command"] == "shutdown" and node.name != call.world.local_node:
        node.online, node.reachable = 0, False


@handler("POST", "/nodes/{node}/wakeonlan")
def wake(call: Call) -> Any:
    """The local node wakes another by its `wakeonlan` address, which is the answer."""
    world, name = call.world, call.params["node"]
    if name in ("localhost", world.local_node):
        raise Refused(500, f"'{name}' is local node, cannot wake my self!")
    if name not in world.nodes:
        raise Refused(500, f"no such cluster node '{name}'")
    node = world.nodes[name]
    options = str(node.options.get("wakeonlan", "")).split(",")
    address = next((part.removeprefix("mac=") for part in options if part and not re.match(r"b\S+=", part)), None)
    if address is None:
        raise Refused(500, f"No wake on LAN MAC address defined for '{name}'!")
    if not node.online:
        node.online, node.reachable, node.booted_at = 1, True, clock.now(world)
    return address


@handler("GET", "/nodes/{node}/version")
def version(_call: Call) -> Any:
    return VERSION


@handler("GET", "/nodes/{node}/time")
def time(call: Call) -> Any:
    now = int(clock.wall(call.world, call.node))
    zone = call.world.nodes[call.node].timezone
    offset = datetime.datetime.fromtimestamp(now, zoneinfo.ZoneInfo(zone)).utcoffset() or datetime.timedelta()
    return {"timezone": zone, "time": now, "localtime": now + int(offset.total_seconds())}


@handler("PUT", "/nodes/{node}/time")
def set_timezone(call: Call) -> Any:
    if call.params["timezone"] not in zoneinfo.available_timezones():
        raise Refused.parameters({"timezone": "No such timezone"})
    call.world.nodes[call.node].timezone = call.params["timezone"]


@handler("GET", "/nodes/{node}/rrddata")
def rrddata(call: Call) -> Any:
    """Rows of numbers, oldest first; only the time where the node was not up."""
    node = call.world.nodes.get(call.node)
    if node is None:
        path = f"/var/lib/rrdcached/db/pve-node-9.0/{call.node}"
        raise Refused(500, f"RRD error: opening '{path}': No such file or directory")
    return [_point(call, node, moment) for moment in moments(call.world, call.params["timeframe"])]


def _point(call: Call, node: Node, moment: int) -> dict[str, Any]:
    if moment < node.booted_at:
        return {"time": moment}
    wave = 1 + moment // 60 % 10 / 20
    used = figures.memory_used(call.world, node)
    return {
        "time": moment,
        "maxcpu": node.cpus,
        "cpu": round(figures.cpu(call.world, node) * wave, 5),
        "iowait": 0.0001,
        "loadavg": round(figures.cpu(call.world, node) * node.cpus * wave, 3),
        "memtotal": node.memory,
        "memused": used,
        "memavailable": node.memory - used,
        "swaptotal": 0,
        "swapused": 0,
        "roottotal": node.root_size,
        "rootused": figures.root_used(node),
        "netin": 1200.5,
        "netout": 900.25,
        "arcsize": 0,
    } | dict.fromkeys((f"pressure{what}" for what in _PRESSURES), 0)


_PRESSURES = ("cpusome", "iosome", "iofull", "memorysome", "memoryfull")


@handler("GET", "/nodes/{node}/subscription")
def subscription(_call: Call) -> Any:
    return {
        "status": "notfound",
        "message": "There is no subscription key",
        "serverid": "0" * 32,
        "url": "https://www.proxmox.com/en/proxmox-virtual-environment/pricing",
    }
