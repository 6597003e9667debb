"""The graphs of guests as rows of numbers (`GET rrddata`)."""

from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.guests import figures, lookup
from app.lab.state import Guest
from app.lab.storage import rows


def _rrd(kind: str) -> None:
    def rrddata(call: Call) -> Any:
        guest = lookup.find(call.world, kind, call.node, call.params["vmid"])
        if guest is None:
            path = f"/var/lib/rrdcached/db/pve-vm-9.0/{call.params['vmid']}"
            raise Refused(500, f"RRD error: opening '{path}': No such file or directory")
        return [_point(call, guest, moment) for moment in rows.moments(call.world, call.params["timeframe"])]

    handler("GET", f"/nodes/{{node}}/{kind}/{{vmid}}/rrddata")(rrddata)


def _point(call: Call, guest: Guest, moment: int) -> dict[str, Any]:
    """One row: only the time where the guest was off, figures since it started."""
    if guest.status != "running" or guest.started_at is None or moment < guest.started_at:
        return {"time": moment}
    now = figures.load(call.world, guest)
    wave = 1 + ((moment // 60 + guest.vmid) % 10) / 20
    return {
        "time": moment,
        "maxcpu": figures.cpus(call.world, guest),
        "maxmem": figures.memory(guest),
        "maxdisk": figures.disk_size(guest),
        "cpu": round(now["cpu"] * wave, 4),
        "mem": int(now["mem"] * min(wave, 1.3)),
        "memhost": int(now["memhost"] * min(wave, 1.3)),
        "disk": 0,
        "netin": 900 + guest.vmid % 97,
        "netout": 400 + guest.vmid % 97,
        "diskread": 512,
        "diskwrite": 1024,
    } | dict.fromkeys(figures.PRESSURES, 0)


for _kind in ("qemu", "lxc"):
    _rrd(_kind)
