"""What a VM's cloud-init drive would tell its guest."""

import hashlib

from tests.lab.guests.api import Api

USER = """#cloud-config
hostname: web
manage_etc_hosts: true
fqdn: web.ex.org
user: root
chpasswd:
  expire: False
"""
NETWORK = """version: 1
config:
    - type: physical
      name: eth0
      mac_address: 'bc:24:11:00:00:0a'
      subnets:
      - type: static
        address: '192.0.2.5'
        netmask: '255.255.255.0'
        gateway: '192.0.2.1'
      - type: ipv6_slaac
    - type: physical
      name: eth2
      mac_address: 'bc:24:11:00:00:0b'
      subnets:
    - type: nameserver
      address:
      - '192.0.2.53'
      search:
      - 'ex.org'
"""


def test_what_is_dumped(root: Api) -> None:
    root.machine(
        100,
        name="web",
        ide2="local-lvm:cloudinit",
        net0="virtio=BC:24:11:00:00:0A,bridge=vmbr0",
        net2="virtio=BC:24:11:00:00:0B,bridge=vmbr0",
        ipconfig0="ip=192.0.2.5/24,gw=192.0.2.1,ip6=auto",
        nameserver="192.0.2.53",
        searchdomain="ex.org",
        ciuser="root",
        ciupgrade=0,
    )
    at = "/nodes/n1/qemu/100/cloudinit/dump"
    assert root.get(at, type="user") == USER
    assert root.get(at, type="network") == NETWORK
    seen = hashlib.sha1((USER + NETWORK).encode(), usedforsecurity=False).hexdigest()
    assert root.get(at, type="meta") == f"instance-id: {seen}\n"


def test_what_nobody_set_is_the_hosts(root: Api) -> None:
    root.machine(100, ide2="local-lvm:cloudinit")
    at = "/nodes/n1/qemu/100/cloudinit/dump"
    assert root.get(at, type="user").splitlines()[1:3] == ["hostname: VM100", "manage_etc_hosts: true"]
    assert "package_upgrade: true" in root.get(at, type="user")
    assert root.get(at, type="network").splitlines()[2:] == [
        "    - type: nameserver",
        "      address:",
        "      - '127.0.0.1'",
        "      search:",
        "      - 'local'",
    ]
