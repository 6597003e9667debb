"""The firewall's calls, the same on every level: index, options, rules, aliases, IP sets, security groups."""

import re
from collections.abc import Callable
from typing import Any

from app.lab import clock
from app.lab.call import Call, Refused, handler
from app.lab.guests.firewall import rules as rule_book
from app.lab.guests.firewall.macros import MACROS
from app.lab.guests.firewall.scopes import ALL, CLUSTER, GUESTS, NODE, File, Scope, digest, file_of, require_digest
from app.lab.state import World

_META = frozenset({"node", "vmid", "digest", "delete"})


def _known(world: World, key: str) -> dict[str, dict[str, int | None]]:
    files = [file_of(world, "cluster"), file_of(world, key)]
    return {
        "ipset": {name: None for file in files for name in file["ipset"]},
        "aliases": {name: alias["ipversion"] for file in files for name, alias in file["aliases"].items()},
    }


def _listed(text: str) -> list[str]:
    return [name for name in re.split(r"[,; ]+", text) if name]


def _index(scope: Scope) -> None:
    names = {"cluster": "aliases groups ipset macros options refs rules", "node": "log options rules"}
    listed = names.get(scope.kind, "rules aliases ipset refs options").split()

    def index(_call: Call) -> Any:
        return [{"name": name} for name in listed]

    handler("GET", scope.base)(index)


def _options(scope: Scope) -> None:
    def read(call: Call) -> Any:
        options = file_of(call.world, scope.key(call))["options"]
        return options | {"digest": digest(options)}

    def write(call: Call) -> Any:
        options = file_of(call.world, scope.key(call))["options"]
        require_digest(call, options)
        gone = _listed(call.params.get("delete", ""))
        for name in gone:
            if name not in call.schema_parameters - _META:
                raise Refused.parameters({"delete": f"no such option '{name}'"})
        for name in gone:
            options.pop(name, None)
        options.update({key: value for key, value in call.params.items() if key not in _META})
        if scope.kind == "cluster" and options.get("enable", 0) > 1:
            options["enable"] = int(clock.now(call.world))

    handler("GET", f"{scope.base}/options")(read)
    handler("PUT", f"{scope.base}/options")(write)


RuleList = Callable[[Call], list[rule_book.Rule]]


def _rule_calls(base: str, scope: Scope, find: RuleList, *, groups: bool) -> None:
    guest = scope.kind == "guest"

    def listing(call: Call) -> Any:
        rules = find(call)
        tag = digest(rules)
        return [rule | {"pos": pos, "digest": tag} for pos, rule in enumerate(rules)]

    def create(call: Call) -> Any:
        rules = find(call)
        rule = rule_book.from_params(call.params)
        rules.insert(0, rule_book.checked(rule, _known(call.world, scope.key(call)), groups=groups, guest=guest))

    def show(call: Call) -> Any:
        rules = find(call)
        rule = rule_book.at(rules, call.params["pos"])
        return rule | {"pos": str(call.params["pos"]), "digest": digest(rules)}

    def change(call: Call) -> Any:
        rules = find(call)
        require_digest(call, rules)
        pos = call.params["pos"]
        rule = dict(rule_book.at(rules, pos))
        moveto = call.params.get("moveto")
        if moveto is not None and moveto != pos:
            rule_book.move(rules, pos, moveto)
            return
        rule = rule_book.fill(rule, call.params)
        rule = rule_book.without(rule, _listed(call.params.get("delete", "")))
        rules[pos] = rule_book.checked(rule, _known(call.world, scope.key(call)), groups=groups, guest=guest)

    def remove(call: Call) -> Any:
        rules = find(call)
        require_digest(call, rules)
        rule_book.at(rules, call.params["pos"])
        del rules[call.params["pos"]]

    handler("GET", base)(listing)
    handler("POST", base)(create)
    handler("GET", f"{base}/{{pos}}")(show)
    handler("PUT", f"{base}/{{pos}}")(change)
    handler("DELETE", f"{base}/{{pos}}")(remove)


def _aliases(scope: Scope) -> None:
    """Aliases are kept, and told apart, by their names in small letters."""

    def of(call: Call) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = file_of(call.world, scope.key(call))["aliases"]
        return found

    def rows(call: Call) -> list[dict[str, Any]]:
        return [alias for _name, alias in sorted(of(call).items())]

    def listing(call: Call) -> Any:
        found = rows(call)
        return [alias | {"digest": digest(found)} for alias in found]

    def create(call: Call) -> Any:
        name = call.params["name"]
        if name.lower() in of(call):
            raise Refused.parameters({"name": f"alias '{name}' already exists"})
        of(call)[name.lower()] = _alias(call, name)

    def find(call: Call) -> dict[str, Any]:
        found = of(call).get(call.params["name"].lower())
        if found is None:
            raise Refused.parameters({"name": "no such alias"})
        return found

    def change(call: Call) -> Any:
        require_digest(call, rows(call))
        find(call)
        old = call.params["name"]
        name = call.params.get("rename") or old
        if name.lower() != old.lower() and name.lower() in of(call):
            raise Refused.parameters({"name": f"alias '{name}' already exists"})
        del of(call)[old.lower()]
        of(call)[name.lower()] = _alias(call, old if name.lower() == old.lower() else name)

    def remove(call: Call) -> Any:
        require_digest(call, rows(call))
        of(call).pop(call.params["name"].lower(), None)

    base = f"{scope.base}/aliases"
    handler("GET", base)(listing)
    handler("POST", base)(create)
    handler("GET", f"{base}/{{name}}")(find)
    handler("PUT", f"{base}/{{name}}")(change)
    handler("DELETE", f"{base}/{{name}}")(remove)


def _alias(call: Call, name: str) -> dict[str, Any]:
    cidr = rule_book.written(call.params["cidr"])
    made = {"name": name, "cidr": cidr, "ipversion": rule_book.address_version(cidr)}
    comment = call.params.get("comment", "").strip()
    return made | ({"comment": comment} if comment else {})


def _make_or_rename(call: Call, file: File, part: str, param: str, label: str) -> None:
    """Create a set or group, or rename the one named by `rename`."""
    things, name, old = file[part], call.params[param], call.params.get("rename")
    if old is not None:
        require_digest(call, _rows(file, part, param))
        if old not in things:
            raise Refused.parameters({param: f"{label} '{old}' does not exists"})
        if old != name and name in things:
            raise Refused.parameters({param: f"{label} '{name}' does already exist"})
        things[name] = things.pop(old)
    elif name in things:
        raise Refused.parameters({param: f"{label} '{name}' already exists"})
    else:
        things[name] = {"entries": []}
    if "comment" in call.params:
        things[name]["comment"] = call.params["comment"]


def _rows(file: File, part: str, param: str) -> list[dict[str, Any]]:
    return [
        {param: name} | ({"comment": thing["comment"]} if thing.get("comment") else {})
        for name, thing in sorted(file[part].items())
    ]


def _tagged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each with the digest of them all."""
    return [row | {"digest": digest(rows)} for row in rows]


def _find_set(call: Call, scope: Scope) -> list[dict[str, Any]]:
    """The entries of the set, in the order of the file."""
    sets, name = file_of(call.world, scope.key(call))["ipset"], call.params["name"]
    if name not in sets:
        raise Refused(500, f"no such IPSet '{name}'")
    found: list[dict[str, Any]] = sets[name]["entries"]
    return found


def _entry(entries: list[dict[str, Any]], cidr: str) -> dict[str, Any]:
    for entry in entries:
        if entry["cidr"] == cidr:
            return entry
    raise Refused.parameters({"cidr": "no such IP/Network"})


def _member(call: Call, scope: Scope) -> str:
    """The address of a new entry as the file keeps it. Raises Refused 500 for an alias that is not there."""
    cidr = str(call.params["cidr"])
    if match := re.match(r"^(?:(?:dc|guest)/)?([A-Za-z][A-Za-z0-9_-]+)$", cidr):
        if match[1].lower() not in _known(call.world, scope.key(call))["aliases"]:
            raise Refused(500, f"no such alias '{match[1]}'")
        return cidr
    return rule_book.network(cidr)


def _filled(call: Call, cidr: str) -> dict[str, Any]:
    nomatch = {"nomatch": 1} if call.params.get("nomatch") else {}
    comment = call.params.get("comment", "").strip()
    return {"cidr": cidr} | nomatch | ({"comment": comment} if comment else {})


def _ipsets(scope: Scope) -> None:
    def listing(call: Call) -> Any:
        return _tagged(_rows(file_of(call.world, scope.key(call)), "ipset", "name"))

    def create(call: Call) -> Any:
        _make_or_rename(call, file_of(call.world, scope.key(call)), "ipset", "name", "IPSet")

    def remove(call: Call) -> Any:
        if _find_set(call, scope) and not call.params.get("force"):
            raise Refused(500, f"IPSet '{call.params['name']}' is not empty")
        del file_of(call.world, scope.key(call))["ipset"][call.params["name"]]

    def entries(call: Call) -> Any:
        return _tagged(_find_set(call, scope))

    def add(call: Call) -> Any:
        found = _find_set(call, scope)
        cidr = _member(call, scope)
        if any(entry["cidr"] == cidr for entry in found):
            raise Refused.parameters({"cidr": f"address '{cidr}' already exists"})
        if re.search(r"/0+$", cidr):
            raise Refused.parameters({"cidr": "a zero prefix is not allowed in ipset entries"})
        found.append(_filled(call, cidr))
        found.sort(key=lambda entry: str(entry["cidr"]))

    def show(call: Call) -> Any:
        found = _find_set(call, scope)
        return _entry(found, call.params["cidr"]) | {"digest": digest(found)}

    def change(call: Call) -> Any:
        found = _find_set(call, scope)
        require_digest(call, found)
        entry = _entry(found, call.params["cidr"])
        found[found.index(entry)] = _filled(call, entry["cidr"])

    def drop(call: Call) -> Any:
        found = _find_set(call, scope)
        require_digest(call, found)
        found[:] = [entry for entry in found if entry["cidr"] != call.params["cidr"]]

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
    return _tagged(_rows(file_of(call.world, "cluster"), "groups", "group"))


@handler("POST", "/cluster/firewall/groups")
def create_group(call: Call) -> Any:
    _make_or_rename(call, file_of(call.world, "cluster"), "groups", "group", "Security group")


def _group_rules(call: Call) -> list[rule_book.Rule]:
    kept, name = file_of(call.world, "cluster")["groups"], call.params["group"]
    if name not in kept:
        raise Refused(500, f"no such security group '{name}'")
    found: list[rule_book.Rule] = kept[name]["entries"]
    return found


@handler("DELETE", "/cluster/firewall/groups/{group}")
def remove_group(call: Call) -> Any:
    if _group_rules(call):
        raise Refused(500, f"Security group '{call.params['group']}' is not empty")
    del file_of(call.world, "cluster")["groups"][call.params["group"]]


def _log(scope: Scope) -> None:
    def log(call: Call) -> Any:
        return call.with_total([{"n": 1, "t": "unable to open file - No such file or directory"}], 1)

    handler("GET", f"{scope.base}/log")(log)


def _rules_of(scope: Scope) -> RuleList:
    def find(call: Call) -> list[rule_book.Rule]:
        found: list[rule_book.Rule] = file_of(call.world, scope.key(call))["rules"]
        return found

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
_rule_calls("/cluster/firewall/groups/{group}", CLUSTER, _group_rules, groups=False)
