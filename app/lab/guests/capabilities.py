"""What the QEMU of a node can do: CPU models, machine types."""

from typing import Any

from app.lab.call import Call, handler
from app.lab.storage.words import words

_FLAGS = words(
    "nested-virt md-clear pcid spec-ctrl ssbd ibpb virt-ssbd amd-ssbd amd-no-ssb pdpe1gb hv-tlbflush hv-evmcs aes"
)
_MODELS = words(
    "486 athlon Broadwell Broadwell-IBRS Broadwell-noTSX Broadwell-noTSX-IBRS Cascadelake-Server "
    "Cascadelake-Server-noTSX Cascadelake-Server-v2 Cascadelake-Server-v4 Cascadelake-Server-v5 ClearwaterForest "
    "Conroe Cooperlake Cooperlake-v2 EPYC EPYC-Genoa EPYC-Genoa-v2 EPYC-IBPB EPYC-Milan EPYC-Milan-v2 "
    "EPYC-Milan-v3 EPYC-Rome EPYC-Rome-v2 EPYC-Rome-v3 EPYC-Rome-v4 EPYC-Rome-v5 EPYC-Turin EPYC-v3 EPYC-v4 "
    "EPYC-v5 "
    "GraniteRapids GraniteRapids-v2 Haswell Haswell-IBRS Haswell-noTSX Haswell-noTSX-IBRS Icelake-Client "
    "Icelake-Client-noTSX Icelake-Server Icelake-Server-noTSX Icelake-Server-v3 Icelake-Server-v4 "
    "Icelake-Server-v5 "
    "Icelake-Server-v6 Icelake-Server-v7 IvyBridge IvyBridge-IBRS KnightsMill Nehalem Nehalem-IBRS Opteron_G1 "
    "Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5 Penryn SandyBridge SandyBridge-IBRS SapphireRapids "
    "SapphireRapids-v2 SapphireRapids-v3 SierraForest SierraForest-v2 Skylake-Client Skylake-Client-IBRS "
    "Skylake-Client-noTSX-IBRS Skylake-Client-v4 Skylake-Server Skylake-Server-IBRS Skylake-Server-noTSX-IBRS "
    "Skylake-Server-v4 Skylake-Server-v5 Westmere Westmere-IBRS core2duo coreduo host kvm32 kvm64 max pentium "
    "pentium2 pentium3 phenom qemu32 qemu64 x86-64-v2 x86-64-v2-AES x86-64-v3 x86-64-v4"
)
_VERSIONS = words("10.1 10.0 9.2 9.1 9.0 8.2 8.1 8.0 7.2")


@handler("GET", "/nodes/{node}/capabilities/qemu")
def index(_call: Call) -> Any:
    return [{"name": name} for name in ("cpu", "machines", "migration")]


@handler("GET", "/nodes/{node}/capabilities/qemu/cpu")
def models(_call: Call) -> Any:
    return [{"name": name, "custom": 0, "vendor": "default"} for name in _MODELS]


@handler("GET", "/nodes/{node}/capabilities/qemu/cpu-flags")
def flags(_call: Call) -> Any:
    return [{"name": name, "description": name} for name in _FLAGS]


@handler("GET", "/nodes/{node}/capabilities/qemu/machines")
def machines(_call: Call) -> Any:
    kinds = (("i440fx", "pc-i440fx"), ("q35", "pc-q35"))
    return [
        {"id": f"{prefix}-{version}", "type": kind, "version": version}
        for kind, prefix in kinds
        for version in _VERSIONS
    ]


@handler("GET", "/nodes/{node}/capabilities/qemu/migration")
def migration(_call: Call) -> Any:
    return {"has-dbus-vmstate": 0}
