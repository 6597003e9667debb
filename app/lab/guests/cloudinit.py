"""A VM's cloud-init data: what is set, what would be handed to the guest."""

import base64
from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.guests import config, drives, figures, lookup, properties
from app.lab.state import Guest
from app.lab.storage import volumes
from app.lab.storage.words import words

_CLOUDINIT_ROWS = words("cicustom cipassword citype ciuser nameserver searchdomain sshkeys")


@handler("GET", "/nodes/{node}/qemu/{vmid}/cloudinit")
def cloudinit(call: Call) -> Any:
    shown = config.shown("qemu", lookup.guest_of(call, "qemu").config)
    return [{"key": key, "value": shown[key]} for key in _CLOUDINIT_ROWS if key in shown]


def _custom_parts(guest: Guest) -> dict[str, str]:
    return properties.parse(str(guest.config.get("cicustom", "")))


@handler("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit")
def regenerate(call: Call) -> Any:
    guest = lookup.guest_of(call, "qemu")
    lookup.require_unlocked(guest)
    for volid in _custom_parts(guest).values():
        if volumes.find(call.world, call.node, volid) is None:
            raise Refused(500, f"volume '{volid}' does not exist")


def _has_drive(guest: Guest) -> bool:
    keys = drives.disk_keys("qemu", guest.config)
    return any(drives.is_cloudinit(properties.parse_drive(str(guest.config[key]))) for key in keys)


@handler("GET", "/nodes/{node}/qemu/{vmid}/cloudinit/dump")
def dump(call: Call) -> Any:
    guest, part = lookup.guest_of(call, "qemu"), call.params["type"]
    if volid := _custom_parts(guest).get(part):
        raise Refused(500, f"volume '{volid}' does not exist")
    values, name = guest.config, figures.name(guest)
    if part == "meta":
        return f"instance-id: {base64.b32encode(name.encode()).decode().lower().rstrip('=')}{guest.vmid}\n"
    if part == "network":
        return _network(guest)
    lines = ["#cloud-config", f"hostname: {name}", "manage_etc_hosts: true"]
    lines += [f"user: {values['ciuser']}"] if "ciuser" in values else []
    lines += ["password: ********"] if "cipassword" in values else []
    lines += ["chpasswd:", "  expire: False", "users:", "  - default"]
    lines += ["package_upgrade: true"] if values.get("ciupgrade", 1) else []
    return "\n".join(lines) + "\n"


def _network(guest: Guest) -> str:
    lines = ["version: 1", "config:"]
    for number in range(32):
        if f"net{number}" not in guest.config:
            continue
        mac = properties.parse_qemu_net(str(guest.config[f"net{number}"])).get("macaddr", "").lower()
        lines += ["    - type: physical", f"      name: eth{number}", f"      mac_address: '{mac}'", "      subnets:"]
        address = properties.parse(str(guest.config.get(f"ipconfig{number}", "ip=dhcp"))).get("ip", "dhcp")
        kind = "dhcp4" if address == "dhcp" else "static"
        lines.append(f"      - type: {kind}")
        lines += [] if kind == "dhcp4" else [f"        address: '{address.partition('/')[0]}'"]
    return "\n".join(lines) + "\n"
