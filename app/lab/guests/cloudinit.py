"""A VM's cloud-init data: what is set, what would be handed to the guest."""

import hashlib
import ipaddress
import urllib.parse
from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.guests import config, lookup, properties
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
    lookup.require_writable(call.world, guest)
    for volid in _custom_parts(guest).values():
        if volumes.find(call.world, call.node, volid) is None:
            raise Refused(500, f"volume '{volid}' does not exist")


@handler("GET", "/nodes/{node}/qemu/{vmid}/cloudinit/dump")
def dump(call: Call) -> Any:
    """The data as the drive of type nocloud holds it (qemu-server: Cloudinit.pm)."""
    guest, part = lookup.guest_of(call, "qemu"), call.params["type"]
    if volid := _custom_parts(guest).get(part):
        raise Refused(500, f"volume '{volid}' does not exist")
    user, network = _user(guest), _network(call, guest)
    if part == "meta":
        return f"instance-id: {hashlib.sha1((user + network).encode(), usedforsecurity=False).hexdigest()}\n"
    return network if part == "network" else user


def _user(guest: Guest) -> str:
    values = guest.config
    name = str(values.get("name", f"VM{guest.vmid}"))
    domain = str(values.get("searchdomain", "")).split(" ")[0]
    full = name if "." in name else f"{name}.{domain}" if domain else ""
    lines = ["#cloud-config", f"hostname: {name.partition('.')[0]}", "manage_etc_hosts: true"]
    lines += [f"fqdn: {full}"] if full else []
    lines += [f"user: {values['ciuser']}"] if "ciuser" in values else []
    lines += [f"password: {config.MASK}"] if "cipassword" in values else []
    keys = [key for key in urllib.parse.unquote(str(values.get("sshkeys", ""))).split("\n") if key.strip()]
    lines += ["ssh_authorized_keys:", *(f"  - {key}" for key in keys)] if keys else []
    lines += ["chpasswd:", "  expire: False"]
    lines += ["users:", "  - default"] if values.get("ciuser") != "root" else []
    lines += ["package_upgrade: true"] if values.get("ciupgrade", 1) else []
    return "\n".join(lines) + "\n"


def _network(call: Call, guest: Guest) -> str:
    lines = ["version: 1", "config:"]
    for number in range(32):
        if f"net{number}" not in guest.config:
            continue
        mac = properties.parse_qemu_net(str(guest.config[f"net{number}"])).get("macaddr", "").lower()
        lines += ["    - type: physical", f"      name: eth{number}", f"      mac_address: '{mac}'", "      subnets:"]
        lines += _subnets(properties.parse(str(guest.config.get(f"ipconfig{number}", ""))))
    dns = call.world.nodes[guest.node].dns
    servers = str(
        guest.config.get("nameserver") or " ".join(v for k, v in sorted(dns.items()) if k != "search")
    ).split()
    domains = str(guest.config.get("searchdomain") or dns.get("search", "")).split()
    if servers or domains:
        lines.append("    - type: nameserver")
        lines += ["      address:", *(f"      - '{server}'" for server in servers)] if servers else []
        lines += ["      search:", *(f"      - '{domain}'" for domain in domains)] if domains else []
    return "\n".join(lines) + "\n"


def _subnets(wanted: dict[str, str]) -> list[str]:
    """The lines of one card's addresses; none where nothing is configured."""
    lines: list[str] = []
    address, six = wanted.get("ip"), wanted.get("ip6")
    if address == "dhcp":
        lines.append("      - type: dhcp4")
    elif address:
        network = ipaddress.ip_interface(address)
        lines += ["      - type: static", f"        address: '{network.ip}'", f"        netmask: '{network.netmask}'"]
        lines += [f"        gateway: '{wanted['gw']}'"] if "gw" in wanted else []
    if six in ("dhcp", "auto"):
        lines.append(f"      - type: {'dhcp6' if six == 'dhcp' else 'ipv6_slaac'}")
    elif six:
        lines += ["      - type: static6", f"        address: '{six}'"]
        lines += [f"        gateway: '{wanted['gw6']}'"] if "gw6" in wanted else []
    return lines
