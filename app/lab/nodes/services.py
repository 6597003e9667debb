"""`/nodes/{node}/services` and what else a host tells of its software: versions, certificates, logs."""

from typing import Any

from cryptography import x509

from app.lab.call import Call, Refused, TaskFailed, handler
from app.lab.certificate import fingerprint
from app.lab.cluster.status import VERSION
from app.lab.tasks import Task

_SERVICES = (
    ("chrony", "NTP client/server"),
    ("corosync", "Corosync Cluster Engine"),
    ("cron", "Regular background program processing daemon"),
    ("ksmtuned", "Kernel Samepage Merging (KSM) Tuning Daemon"),
    ("postfix", "Postfix Mail Transport Agent"),
    ("pve-cluster", "The Proxmox VE cluster filesystem"),
    ("pve-firewall", "Proxmox VE firewall"),
    ("pve-ha-crm", "PVE Cluster HA Resource Manager Daemon"),
    ("pve-ha-lrm", "PVE Local HA Resource Manager Daemon"),
    ("pvedaemon", "PVE API Daemon"),
    ("pveproxy", "PVE API Proxy Server"),
    ("pvescheduler", "Proxmox VE scheduler"),
    ("pvestatd", "PVE Status Daemon"),
    ("spiceproxy", "PVE SPICE Proxy Server"),
    ("sshd", "OpenBSD Secure Shell server"),
    ("syslog", "System Logging Service"),
)


_ESSENTIAL = frozenset({"pve-cluster", "pvedaemon", "pveproxy"})
"""Nobody may stop these over the API, which would then be gone."""


def _state(call: Call, name: str, text: str) -> dict[str, Any]:
    runs = name not in call.world.nodes[call.node].stopped_services
    return {
        "service": name,
        "name": name,
        "desc": text,
        "state": "running" if runs else "dead",
        "active-state": "active" if runs else "inactive",
        "unit-state": "enabled",
    }


@handler("GET", "/nodes/{node}/services")
def services(call: Call) -> Any:
    return [_state(call, name, text) for name, text in _SERVICES]


@handler("GET", "/nodes/{node}/services/{service}")
def index(_call: Call) -> Any:
    return [{"subdir": name} for name in ("state", "start", "stop", "restart", "reload")]


@handler("GET", "/nodes/{node}/services/{service}/state")
def service(call: Call) -> Any:
    """One of them; the schema knows more services than are installed."""
    name = call.params["service"]
    text = dict(_SERVICES).get(name)
    if text is None:
        raise Refused(500, f"Unit {name}.service could not be found.")
    return _state(call, name, text)


def _command(verb: str) -> None:
    def run(call: Call) -> str:
        name = call.params["service"]

        async def work(task: Task) -> None:
            await task.sleep(1)
            if name not in dict(_SERVICES):
                raise TaskFailed(f"command 'systemctl {verb} {name}' failed: exit code 5")
            if verb == "stop" and name in _ESSENTIAL:
                raise TaskFailed(f"invalid service cmd '{name} stop': refusing to stop essential service!")
            stopped = call.world.nodes[call.node].stopped_services
            if verb == "stop":
                stopped.add(name)
            elif verb == "reload" and name in stopped:
                raise TaskFailed(f"command 'systemctl reload {name}' failed: exit code 1")
            else:
                stopped.discard(name)

        return call.start_task(f"srv{verb}", name, work)

    handler("POST", f"/nodes/{{node}}/services/{{service}}/{verb}")(run)


for _verb in ("start", "stop", "restart", "reload"):
    _command(_verb)


@handler("GET", "/nodes/{node}/apt/versions")
def versions(_call: Call) -> Any:
    """The packages that clients ask about."""
    packages = (("pve-manager", VERSION["version"]), ("qemu-server", "9.1.4"), ("pve-container", "6.0.18"))
    return [
        {
            "Package": name,
            "Title": name,
            "Version": number,
            "OldVersion": number,
            "CurrentState": "Installed",
            "Arch": "amd64",
            "Origin": "Proxmox",
            "Priority": "optional",
            "Section": "admin",
            "Description": name,
        }
        for name, number in packages
    ]


@handler("GET", "/nodes/{node}/certificates/info")
def certificates(call: Call) -> Any:
    """The one certificate that the API shows here."""
    pem = call.world.certificate
    shown = x509.load_pem_x509_certificate(pem.encode())
    return [
        {
            "filename": "pve-ssl.pem",
            "fingerprint": fingerprint(pem),
            "issuer": shown.issuer.rfc4514_string(),
            "subject": shown.subject.rfc4514_string(),
            "notbefore": int(shown.not_valid_before_utc.timestamp()),
            "notafter": int(shown.not_valid_after_utc.timestamp()),
            "pem": pem,
            "public-key-bits": 256,
            "public-key-type": "id-ecPublicKey",
            "san": ["localhost", "127.0.0.1"],
        }
    ]


@handler("GET", "/nodes/{node}/syslog")
def syslog(call: Call) -> Any:
    """No host, no log: one line says so, as journalctl does of an empty one."""
    return call.with_total([{"n": 1, "t": "no content"}], 1)
