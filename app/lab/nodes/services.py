"""`/nodes/{node}/services` and what else a host tells of its software: versions, certificates, logs."""

from typing import Any

from cryptography import x509

from app.lab.call import Call, Refused, handler
from app.lab.certificate import fingerprint
from app.lab.cluster.status import VERSION

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


def _state(name: str, text: str) -> dict[str, Any]:
    return {
        "service": name,
        "name": name,
        "desc": text,
        "state": "running",
        "active-state": "active",
        "unit-state": "enabled",
    }


@handler("GET", "/nodes/{node}/services")
def services(_call: Call) -> Any:
    return [_state(name, text) for name, text in _SERVICES]


@handler("GET", "/nodes/{node}/services/{service}/state")
def service(call: Call) -> Any:
    """One of them; the schema knows more services than are installed."""
    name = call.params["service"]
    text = dict(_SERVICES).get(name)
    if text is None:
        raise Refused(500, f"Unit {name}.service could not be found.")
    return _state(name, text)


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
