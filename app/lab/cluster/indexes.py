"""What a cluster answers where nothing is set up: the indexes of its API, and lists that are empty until something is.

Only lists that nothing on the lab can fill stand here; what would fill them is not implemented (501).
"""

from typing import Any

from app.lab.call import Call, Refused, handler

_NAMES = {
    "/cluster": (
        "name",
        "acme backup backup-info bulk-action ceph config firewall ha jobs log mapping metrics notifications nextid "
        "options replication resources status tasks sdn",
    ),
    "/cluster/bulk-action": ("name", "guest"),
    "/cluster/bulk-action/guest": ("name", "start shutdown suspend migrate"),
    "/cluster/config": ("name", "nodes totem join qdevice apiversion"),
    "/cluster/ha": ("id", "status resources groups rules"),
    "/cluster/ha/status": ("name", "current manager_status"),
    "/cluster/jobs": ("subdir", "schedule-analyze realm-sync"),
    "/cluster/mapping": ("name", "dir pci usb"),
    "/cluster/metrics": ("name", "server export"),
    "/cluster/acme": ("name", "account tos directories plugins challenge-schema"),
    "/cluster/notifications": ("name", "endpoints matchers targets"),
    "/cluster/sdn": ("id", "vnets zones controllers ipams dns fabrics"),
    "/nodes/{node}": (
        "name",
        "aplinfo apt capabilities ceph certificates config disks dns firewall hardware hosts journal lxc migrateall "
        "netstat network qemu query-oci-repo-tags query-url-metadata replication report rrd rrddata scan sdn services "
        "spiceshell startall status stopall storage subscription suspendall syslog tasks termproxy time version "
        "vncshell vzdump wakeonlan",
    ),
    "/nodes/{node}/apt": ("id", "changelog repositories update versions"),
    "/nodes/{node}/capabilities": ("name", "qemu"),
    "/nodes/{node}/certificates": ("name", "acme custom info"),
    "/nodes/{node}/disks": ("name", "directory initgpt list lvm lvmthin smart wipedisk zfs"),
    "/nodes/{node}/hardware": ("type", "pci usb"),
    "/nodes/{node}/scan": ("method", "cifs iscsi lvm nfs pbs zfs"),
    "/nodes/{node}/sdn": ("name", "fabrics vnets zones"),
    "/": ("subdir", "version cluster nodes storage access pools"),
}
_EMPTY = (
    "/cluster/acme/account",
    "/cluster/acme/plugins",
    "/cluster/ha/resources",
    "/cluster/ha/rules",
    "/cluster/jobs/realm-sync",
    "/cluster/mapping/dir",
    "/cluster/mapping/pci",
    "/cluster/mapping/usb",
    "/cluster/metrics/server",
    "/cluster/replication",
    "/cluster/sdn/controllers",
    "/cluster/sdn/dns",
    "/cluster/sdn/vnets",
    "/cluster/sdn/zones",
    "/nodes/{node}/apt/update",
    "/nodes/{node}/disks/list",
    "/nodes/{node}/hardware/pci",
    "/nodes/{node}/hardware/usb",
    "/nodes/{node}/replication",
    "/nodes/{node}/scan/zfs",
    "/nodes/{node}/sdn/zones",
    "/access/tfa",
)


def _index(path: str, key: str, names: str) -> None:
    rows = [{key: name} for name in names.split()]
    handler("GET", path)(lambda _call: rows)


def _empty(path: str) -> None:
    handler("GET", path)(lambda _call: [])


for _path, (_key, _text) in _NAMES.items():
    _index(_path, _key, _text)
for _path in _EMPTY:
    _empty(_path)


@handler("GET", "/cluster/ha/groups")
def ha_groups(_call: Call) -> Any:
    """PVE 9 has moved them."""
    raise Refused(500, "cannot index groups: ha groups have been migrated to rules")
