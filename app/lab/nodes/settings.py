"""A host's own settings: notes, DNS, hosts file, network interfaces."""

import hashlib
from typing import Any

import orjson

from app.lab.access.users import split
from app.lab.call import Call, Refused, handler, require_writable_file
from app.lab.state import Node

_BRIDGE_KINDS = {
    "any_bridge": ("bridge", "OVSBridge"),
    "any_local_bridge": ("bridge", "OVSBridge"),
    "bridge": ("bridge",),
    "include_sdn": ("bridge", "OVSBridge"),
}
_NOT_OPTIONS = frozenset({"node", "iface", "delete", "digest", "type"})


def _node(call: Call) -> Node:
    return call.world.nodes[call.node]


def _digest(value: Any) -> str:
    return hashlib.sha1(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), usedforsecurity=False).hexdigest()


@handler("GET", "/nodes/{node}/config")
def config(call: Call) -> Any:
    options = _node(call).options
    if not options:
        return {}
    return options | {"digest": _digest(options)}


@handler("PUT", "/nodes/{node}/config")
def set_config(call: Call) -> Any:
    require_writable_file(call.world, f"nodes/{call.node}/config")
    options = _node(call).options
    if (given := call.params.get("digest")) and given != _digest(options):
        raise Refused(500, "detected modified configuration - file changed by other user? Try again.")
    for name in split(call.params.get("delete")):
        options.pop(name, None)
    options.update({name: value for name, value in call.params.items() if name not in ("node", "delete", "digest")})


@handler("GET", "/nodes/{node}/dns")
def dns(call: Call) -> Any:
    return _node(call).dns


@handler("PUT", "/nodes/{node}/dns")
def set_dns(call: Call) -> Any:
    _node(call).dns = {name: value for name, value in call.params.items() if name != "node"}


@handler("GET", "/nodes/{node}/hosts")
def hosts(call: Call) -> Any:
    text = _node(call).hosts
    return {"data": text, "digest": _digest(text)}


@handler("POST", "/nodes/{node}/hosts")
def set_hosts(call: Call) -> Any:
    node = _node(call)
    if (given := call.params.get("digest")) and given != _digest(node.hosts):
        raise Refused(500, "detected modified configuration - file changed by other user? Try again.")
    node.hosts = call.params["data"]


def _sees(call: Call, name: str, interface: dict[str, Any]) -> bool:
    """Bridges are for those who may use them; everything else is for everybody."""
    if interface["type"] not in ("bridge", "OVSBridge"):
        return True
    return call.has(f"/sdn/zones/localnetwork/{name}", "SDN.Audit", "SDN.Use", any_of=True)


def _planned(node: Node) -> dict[str, dict[str, Any]]:
    """The interfaces as they will be once the changes are applied."""
    return node.interfaces if node.pending_interfaces is None else node.pending_interfaces


@handler("GET", "/nodes/{node}/network")
def interfaces(call: Call) -> Any:
    wanted = call.params.get("type")
    kinds = _BRIDGE_KINDS.get(wanted, (wanted,)) if wanted else None
    return [
        {"iface": name, "families": ["inet"]} | interface
        for name, interface in _planned(_node(call)).items()
        if (kinds is None or interface["type"] in kinds) and _sees(call, name, interface)
    ]


def _interface(call: Call) -> dict[str, Any]:
    found = _planned(_node(call)).get(call.params["iface"])
    if found is None:
        raise Refused.parameters({"iface": "interface does not exist"})
    return found


@handler("GET", "/nodes/{node}/network/{iface}")
def interface(call: Call) -> Any:
    return {"families": ["inet"]} | _interface(call)


def _plan(call: Call) -> dict[str, dict[str, Any]]:
    """A plan that may be written to: changes wait until they are applied."""
    node = _node(call)
    if node.pending_interfaces is None:
        node.pending_interfaces = {name: dict(options) for name, options in node.interfaces.items()}
    return node.pending_interfaces


def _given(call: Call) -> dict[str, Any]:
    return {name: value for name, value in call.params.items() if name not in _NOT_OPTIONS}


@handler("POST", "/nodes/{node}/network")
def add_interface(call: Call) -> Any:
    name = call.params["iface"]
    if name in _planned(_node(call)):
        raise Refused.parameters({"iface": "interface already exists"})
    method = "static" if "address" in call.params or "cidr" in call.params else "manual"
    fresh = {"type": call.params["type"], "method": method, "method6": "manual", "priority": 9}
    _plan(call)[name] = fresh | _given(call)


@handler("PUT", "/nodes/{node}/network/{iface}")
def change_interface(call: Call) -> Any:
    _interface(call)
    options = _plan(call)[call.params["iface"]]
    for name in split(call.params.get("delete")):
        options.pop(name, None)
    options.update({"type": call.params["type"]} | _given(call))


@handler("DELETE", "/nodes/{node}/network/{iface}")
def remove_interface(call: Call) -> Any:
    _interface(call)
    _plan(call).pop(call.params["iface"])


@handler("DELETE", "/nodes/{node}/network")
def revert(call: Call) -> Any:
    """Forget what was planned."""
    _node(call).pending_interfaces = None


@handler("PUT", "/nodes/{node}/network")
def apply(call: Call) -> Any:
    """Do what was planned, within a task."""

    async def work(task: Any) -> None:
        node = _node(call)
        await task.sleep(2)
        if node.pending_interfaces is not None:
            node.interfaces = {name: {"active": 1} | options for name, options in node.pending_interfaces.items()}
            node.pending_interfaces = None

    return call.start_task("srvreload", "networking", work)
