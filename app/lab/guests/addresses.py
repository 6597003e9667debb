"""The addresses of running guests, invented from their ids, as containers and guest agents tell them."""

from typing import Any

from app.lab.guests import properties
from app.lab.state import Guest


def _configured(guest: Guest, number: int) -> str | None:
    if guest.kind == "lxc":
        text = properties.parse_lxc_net(str(guest.config.get(f"net{number}", ""))).get("ip", "")
    else:
        text = properties.parse(str(guest.config.get(f"ipconfig{number}", ""))).get("ip", "")
    return text if "/" in text else None


def of_card(guest: Guest, number: int) -> str:
    """ADDRESS/PREFIX of card N: the configured one, else one of 10.0.0.0/8 that belongs to the id."""
    invented = f"10.{guest.vmid >> 16 & 255}.{guest.vmid >> 8 & 255}.{guest.vmid & 255}/8"
    if number:
        invented = f"10.{128 + number}.{guest.vmid >> 8 & 255}.{guest.vmid & 255}/8"
    if number == 0 and guest.address:
        return f"{guest.address}/8"
    return _configured(guest, number) or invented


def cards(guest: Guest) -> list[tuple[str, str, str]]:
    """(name, MAC, ADDRESS/PREFIX) of the guest's cards, as it sees them itself."""
    out = []
    for number in range(32):
        if f"net{number}" not in guest.config:
            continue
        text = str(guest.config[f"net{number}"])
        if guest.kind == "lxc":
            net = properties.parse_lxc_net(text)
            out.append((net.get("name", f"eth{number}"), net.get("hwaddr", "").lower(), of_card(guest, number)))
        else:
            mac = properties.parse_qemu_net(text).get("macaddr", "").lower()
            out.append((f"eth{number}", mac, of_card(guest, number)))
    return out


def container(guest: Guest) -> list[dict[str, Any]]:
    """`GET interfaces` of a running container."""
    loopback = {"name": "lo", "hwaddr": "00:00:00:00:00:00", "inet": "127.0.0.1/8", "inet6": "::1/128"}
    rows = [loopback] + [{"name": name, "hwaddr": mac, "inet": inet} for name, mac, inet in cards(guest)]
    return [row | {"hardware-address": row["hwaddr"], "ip-addresses": _list(row)} for row in rows]


def _list(row: dict[str, str]) -> list[dict[str, Any]]:
    out = []
    for key, kind in (("inet", "inet"), ("inet6", "inet6")):
        if key in row:
            address, _, prefix = row[key].partition("/")
            out.append({"ip-address": address, "ip-address-type": kind, "prefix": int(prefix)})
    return out


def agent(guest: Guest) -> list[dict[str, Any]]:
    """What `network-get-interfaces` answers for a VM whose agent runs."""
    rows = [("lo", "00:00:00:00:00:00", "127.0.0.1/8"), *cards(guest)]
    out = []
    for name, mac, inet in rows:
        address, _, prefix = inet.partition("/")
        entry = {"ip-address": address, "ip-address-type": "ipv4", "prefix": int(prefix)}
        out.append({"name": name, "hardware-address": mac, "ip-addresses": [entry]})
    return out
