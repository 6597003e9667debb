"""The firewall's calls, the same on every level: index, options, rules, aliases, IP sets, security groups."""

import re
from collections.abc import Callable
from typing import Any

from app.lab.call import Call, Refused, handler
from app.lab.guests.firewall import rules as rule_book
from app.lab.guests.firewall.macros import MACROS
from app.lab.guests.firewall.scopes import ALL, CLUSTER, GUESTS, NODE, File, Scope, digest, file_of, require_digest
from app.lab.state import World

_META = frozenset({"node", "vmid", "digest", "delete"})


def _known(world: World, key: str) -> dict[str, set[str]]:
    files = [file_of(world, "cluster"), file_of(world, key)]
    return {part: {name for file in files for name in file[part]} for part in ("ipset", "aliases")}


def _index(scope: Scope) -> None:
    names = {"cluster": "aliases groups ipset macros options refs rules", "node": "log options rules"}
    listed = names.get(scope.kind, "rules aliases ipset refs options").split()

    def index(_call: Call) -> Any:
        return [{"name": name} for name in listed]

    handler("GET", scope.base)(index)


def _options(scope: Scope) -> None:
    def read(call: Call) -> Any:
        file = file_of(call.world, scope.key(call))
        return file["options"] | {"digest": digest(file)}

    def write(call: Call) -> Any:
        file = file_of(call.world, scope.key(call))
        require_digest(call, file)
        for name in re.split(r"[,; ]+", call.params.get("delete", "")):
            if name and name not in call.schema_parameters - _META:
                raise Refused.parameters({"delete": f"no such option '{name}'"})
            file["options"].pop(name, None)
        file["options"].update({key: value for key, value in call.params.items() if key not in _META})
        return None

    handler("GET", f"{scope.base}/options")(read)
    handler("PUT", f"{scope.base}/options")(write)


RuleList = Callable[[Call], tuple[File, list[rule_book.Rule]]]


def _rule_calls(base: str, scope: Scope, find: RuleList, *, groups: bool) -> None:
    guest = scope.kind == "guest"

    def listing(call: Call) -> Any:
        file, rules = find(call)
        tag = digest(file)
        return [rule | {"pos": pos, "digest": tag} for pos, rule in enumerate(rules)]

    def create(call: Call) -> Any:
        file, rules = find(call)
        require_digest(call, file)
        rule = rule_book.from_params(call.params)
        rules.insert(0, rule_book.checked(rule, _known(call.world, scope.key(call)), groups=groups, guest=guest))
        return None

    def show(call: Call) -> Any:
        file, rules = find(call)
        rule = rule_book.at(rules, call.params["pos"])
        return rule | {"pos": str(call.params["pos"]), "digest": digest(file)}

    def change(call: Call) -> Any:
        file, rules = find(call)
        require_digest(call, file)
        pos = call.params["pos"]
        rule = dict(rule_book.at(rules, pos))
        moveto = call.params.get("moveto")
        if moveto is not None and moveto != pos:
            rule_book.move(rules, pos, moveto)
            return None
        rule.update({key: call.params[key] for key in rule_book.FIELDS if key in call.params})
        for name in re.split(r"[,; ]+", call.params.get("delete", "")):
            rule.pop(name, None)
        rules[pos] = rule_book.checked(rule, _known(call.world, scope.key(call)), groups=groups, guest=guest)
        return None

    def remove(call: Call) -> Any:
        file, rules = find(call)
        require_digest(call, file)
        rule_book.at(rules, call.params["pos"])
        del rules[call.params["pos"]]
        return None

    handler("GET", base)(listing)
    handler("POST", base)(create)
    handler("GET", f"{base}/{{pos}}")(show)
    handler("PUT", f"{base}/{{pos}}")(change)
    handler("DELETE", f"{base}/{{pos}}")(remove)


def _aliases(scope: Scope) -> None:
    def listing(call: Call) -> Any:
        file = file_of(call.world, scope.key(call))
        return [alias | {"digest": digest(file)} for alias in file["aliases"].values()]

    def create(call: Call) -> Any:
        aliases = file_of(call.world, scope.key(call))["aliases"]
        if call.params["name"] in aliases:
            raise Refused.parameters({"name": f"alias '{call.params['name']}' already exists"})
        aliases[call.params["name"]] = _alias(call, call.params["name"])
        return None

    def find(call: Call) -> dict[str, Any]:
        aliases = file_of(call.world, scope.key(call))["aliases"]
        if call.params["name"] not in aliases:
            raise Refused.parameters({"name": "no such alias"})
        found: dict[str, Any] = aliases[call.params["name"]]
        return found

    def change(call: Call) -> Any:
        file = file_of(call.world, scope.key(call))
        require_digest(call, file)
        find(call)
        name = call.params.get("rename") or call.params["name"]
        if name != call.params["name"] and name in file["aliases"]:
            raise Refused.parameters({"name": f"alias '{name}' already exists"})
        del file["aliases"][call.params["name"]]
        file["aliases"][name] = _alias(call, name)
        return None

    def remove(call: Call) -> Any:
        file = file_of(call.world, scope.key(call))
        require_digest(call, file)
        file["aliases"].pop(call.params["name"], None)
        return None

    base = f"{scope.base}/aliases"
    handler("GET", base)(listing)
    handler("POST", base)(create)
    handler("GET", f"{base}/{{name}}")(find)
    handler("PUT", f"{base}/{{name}}")(change)
    handler("DELETE", f"{base}/{{name}}")(remove)


def _alias(call: Call, name: str) -> dict[str, Any]:
    cidr = call.params["cidr"]
    made = {"name": name, "cidr": cidr, "ipversion": rule_book.address_version(cidr)}
    return made | ({"comment": call.params["comment"]} if "comment" in call.params else {})


def _make_or_rename(call: Call, file: File, part: str, param: str, label: str) -> None:
    """Create a set or group, or rename the one named by `rename`."""
    things, name, old = file[part], call.params[param], call.params.get("rename")
    require_digest(call, file)
    if old is not None:
        if old not in things:
            raise Refused.parameters({param: f"{label} '{old}' does not exist"})
        if old != name and name in things:
            raise Refused.parameters({param: f"{label} '{name}' already exists"})
        things[name] = things.pop(old)
    elif name in things:
        raise Refused.parameters({param: f"{label} '{name}' already exists"})
    else:
        things[name] = {"entries": []}
    if "comment" in call.params:
        things[name]["comment"] = call.params["comment"]


def _rows(file: File, part: str, param: str) -> list[dict[str, Any]]:
    tag = digest(file)
    return [
        {param: name, "digest": tag} | ({"comment": thing["comment"]} if thing.get("comment") else {})
        for name, thing in sorted(file[part].items())
    ]


def _find_set(call: Call, scope: Scope) -> tuple[File, dict[str, Any]]:
    file = file_of(call.world, scope.key(call))
    name = call.params["name"]
    if name not in file["ipset"]:
        raise Refused(500, f"no such IPSet '{name}'")
    return file, file["ipset"][name]


def _entry(entries: list[dict[str, Any]], cidr: str) -> dict[str, Any]:
    for entry in entries:
        if entry["cidr"] == cidr:
            return entry
    raise Refused.parameters({"cidr": "no such IP/Network"})


def _ipsets(scope: Scope) -> None:
    def listing(call: Call) -> Any:
        return _rows(file_of(call.world, scope.key(call)), "ipset", "name")

    def create(call: Call) -> Any:
        _make_or_rename(call, file_of(call.world, scope.key(call)), "ipset", "name", "IPSet")

    def remove(call: Call) -> Any:
        file, found = _find_set(call, scope)
        if found["entries"] and not call.params.get("force"):
            raise Refused(500, f"IPSet '{call.params['name']}' is not empty")
        del file["ipset"][call.params["name"]]

    def entries(call: Call) -> Any:
        file, found = _find_set(call, scope)
        return [entry | {"digest": digest(file)} for entry in found["entries"]]

    def add(call: Call) -> Any:
        _file, found = _find_set(call, scope)
        cidr = call.params["cidr"]
        if any(entry["cidr"] == cidr for entry in found["entries"]):
            raise Refused.parameters({"cidr": f"address '{cidr}' already exists"})
        found["entries"].insert(
            0, {key: call.params[key] for key in ("cidr", "comment", "nomatch") if key in call.params}
        )

    def show(call: Call) -> Any:
        return _entry(_find_set(call, scope)[1]["entries"], call.params["cidr"])

    def change(call: Call) -> Any:
        file, found = _find_set(call, scope)
        require_digest(call, file)
        entry = _entry(found["entries"], call.params["cidr"])
        entry.update({key: call.params[key] for key in ("comment", "nomatch") if key in call.params})

    def drop(call: Call) -> Any:
        file, found = _find_set(call, scope)
        require_digest(call, file)
        found["entries"] = [entry for entry in found["entries"] if entry["cidr"] != call.params["cidr"]]

    base = f"{scope.base}/ipset"
    handler("GET", base)(listing)
    handler("POST", base)(create)
    handler("GET", f"{base}/{{name}}")(entries)
    handler("POST", f"{base}/{{name}}")(add)
    handler("DELETE", f"{base}/{{name}}")(remove)
    handler("GET", f"{base}/{{name}}/{{cidr}}")(show)
    handler("PUT", f"{base}/{{name}}/{{cidr}}")(change)
    handler("DELETE", f"{base}/{{name}}/{{cidr}}")(drop)


def _ref_rows(file: File, scope: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part, kind, mark in (("ipset", "ipset", "+"), ("aliases", "alias", "")):
        for name, thing in file[part].items():
            row = {"type": kind, "name": name, "ref": mark + name, "scope": scope}
            rows.append(row | ({"comment": thing["comment"]} if thing.get("comment") else {}))
    return rows


def _refs(scope: Scope) -> None:
    def listing(call: Call) -> Any:
        rows = _ref_rows(file_of(call.world, "cluster"), "dc")
        if scope.kind == "guest":
            rows += _ref_rows(file_of(call.world, scope.key(call)), "guest")
        wanted = call.params.get("type")
        return [row for row in rows if not wanted or row["type"] == wanted]

    handler("GET", f"{scope.base}/refs")(listing)


@handler("GET", "/cluster/firewall/macros")
def macros(_call: Call) -> Any:
    return [{"macro": name, "descr": text} for name, text in MACROS.items()]


@handler("GET", "/cluster/firewall/groups")
def groups(call: Call) -> Any:
    return _rows(file_of(call.world, "cluster"), "groups", "group")


@handler("POST", "/cluster/firewall/groups")
def create_group(call: Call) -> Any:
    _make_or_rename(call, file_of(call.world, "cluster"), "groups", "group", "Security group")


def _find_group(call: Call) -> tuple[File, list[rule_book.Rule]]:
    file, name = file_of(call.world, "cluster"), call.params["group"]
    if name not in file["groups"]:
        raise Refused(500, f"no such security group '{name}'")
    found: list[rule_book.Rule] = file["groups"][name]["entries"]
    return file, found


@handler("DELETE", "/cluster/firewall/groups/{group}")
def remove_group(call: Call) -> Any:
    file, rules = _find_group(call)
    if rules:
        raise Refused(500, f"Security group '{call.params['group']}' is not empty")
    del file["groups"][call.params["group"]]


def _log(scope: Scope) -> None:
    def log(call: Call) -> Any:
        return call.with_total([{"n": 1, "t": "unable to open file - No such file or directory"}], 1)

    handler("GET", f"{scope.base}/log")(log)


def _rules_of(scope: Scope) -> RuleList:
    def find(call: Call) -> tuple[File, list[rule_book.Rule]]:
        file = file_of(call.world, scope.key(call))
        return file, file["rules"]

    return find


for _scope in ALL:
    _index(_scope)
    _options(_scope)
    _rule_calls(f"{_scope.base}/rules", _scope, _rules_of(_scope), groups=True)
for _scope in (CLUSTER, *GUESTS):
    _aliases(_scope)
    _ipsets(_scope)
    _refs(_scope)
for _scope in (NODE, *GUESTS):
    _log(_scope)
_rule_calls("/cluster/firewall/groups/{group}", CLUSTER, _find_group, groups=False)
