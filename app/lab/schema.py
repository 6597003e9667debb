"""PVE's declared API: which method a path means, and whether parameters are as declared (pve-common JSONSchema)."""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from app.lab import formats
from app.lab.formats import BadFormat

Errors = dict[str, str]
Properties = Mapping[str, Mapping[str, Any]]

_MISSING = "property is missing and it is not optional"
_UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
_TYPES = {
    "boolean": re.compile(r"[01]"),
    "integer": re.compile(r"[+-]?[0-9]{1,18}"),
    "number": re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
}
_WITH_SLASHES = frozenset({"volume", "cidr"})
"""Path parameters that take all the rest of a path."""
_INDEXED = re.compile(r"^(.*?)(0|[1-9][0-9]{0,8})$")


@dataclass
class _Branch:
    """One level of paths: fixed names first, then at most one parameter."""

    names: dict[str, "_Branch"] = field(default_factory=dict)
    parameter: str = ""
    below: "_Branch | None" = None
    template: str | None = None


class Schema:
    """The API of one PVE version."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.paths: dict[str, dict[str, dict[str, Any]]] = facts["paths"]
        self.formats: dict[str, dict[str, Any]] = facts["formats"]
        # The index of the root is the only method that the recorded facts lack.
        self.paths.setdefault("/", {"GET": {"parameters": {}, "permissions": {"user": "all"}, "allowtoken": 1}})
        self._root = _Branch()
        for path in self.paths:
            self._grow(path)

    @classmethod
    def load(cls) -> "Schema":
        """The schema that is packed with the lab."""
        packed = resources.files("app.lab").joinpath("pve-9.1-schema.json.gz").read_bytes()
        return cls(json.loads(gzip.decompress(packed)))

    def method(self, method: str, template: str) -> dict[str, Any]:
        """What is declared for a method of a path template."""
        return self.paths[template][method]

    def _grow(self, path: str) -> None:
        branch = self._root
        for part in path.strip("/").split("/"):
            if not part:
                continue
            if part.startswith("{"):
                branch.parameter = part[1:-1]
                branch.below = branch.below or _Branch()
                branch = branch.below
            else:
                branch = branch.names.setdefault(part, _Branch())
        branch.template = path

    def find(self, path: str) -> tuple[str, dict[str, str]] | None:
        """(template, path parameters) of a decoded path, or None. A fixed name goes before a parameter."""
        branch, found = self._root, {}
        parts = [part for part in path.split("/") if part]
        for place, part in enumerate(parts):
            if part in branch.names:
                branch = branch.names[part]
            elif branch.below is not None and not re.search(r"\s", part):
                whole = branch.parameter in _WITH_SLASHES
                found[branch.parameter] = "/".join(parts[place:]) if whole else part
                branch = branch.below
                if whole:
                    break
            else:
                return None
        return (branch.template, found) if branch.template else None

    def check(self, declared: dict[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], Errors]:
        """(parameters coerced, errors). None counts as absent; all errors are found together."""
        properties: Properties = declared["parameters"]
        values = {name: _joined(_property(properties, name), value) for name, value in given.items()}
        errors: Errors = {}
        self._object("", properties, values, errors, open_ended=declared.get("additionalProperties") != 0)
        if errors:
            return {}, errors
        return {
            name: _coerced(_property(properties, name), value) for name, value in values.items() if value is not None
        }, {}

    def _object(
        self, path: str, properties: Properties, values: Mapping[str, Any], errors: Errors, *, open_ended: bool = False
    ) -> None:
        for name, declared in properties.items():
            if "[" not in name and "alias" not in declared:
                self._value(_under(path, name), declared, values.get(name), errors)
        for name, value in values.items():
            known = _property(properties, name)
            if known is None:
                if not open_ended:
                    _add(errors, _under(path, name), _UNKNOWN)
                continue
            if name not in properties:
                self._value(_under(path, name), known, value, errors)
            needed = known.get("requires")
            if value is not None and isinstance(needed, str) and values.get(needed) is None:
                _add(errors, _under(path, needed), f"missing property required by '{_under(path, name)}'")

    def _value(self, path: str, declared: Mapping[str, Any], value: Any, errors: Errors) -> None:
        if value is None:
            if not declared.get("optional"):
                _add(errors, path, _MISSING)
            return
        if not _check_type(path, str(declared.get("type", "string")), value, errors):
            return
        if isinstance(value, list):
            for place, item in enumerate(value):
                self._value(f"{path}[{place}]", declared.get("items", {}), item, errors)
            return
        if isinstance(value, dict):
            return
        self._text(path, declared, _text(value), errors)

    def _text(self, path: str, declared: Mapping[str, Any], value: str, errors: Errors) -> None:
        wanted = declared.get("format")
        if wanted is not None:
            try:
                self.check_format(wanted, value, path)
            except BadFormat as error:
                _add(errors, path, f"invalid format - {error}\n")
                return
        _check_bounds(path, declared, value, errors)

    def check_format(self, wanted: str | Mapping[str, Any], value: str, path: str) -> None:
        """A named format, or a property string given by its properties. Raises BadFormat."""
        if not isinstance(wanted, str):
            self._properties(wanted, value, path)
            return
        declared = self.formats.get(wanted, {})
        kind = declared.get("kind")
        if kind == "list":
            for part in re.split(r"[,;\s\0]+", value):
                if part:
                    self.check_format(declared["of"], part, path)
        elif kind == "opt":
            if value:
                self.check_format(declared["of"], value, path)
        elif kind == "properties":
            parsed = self._properties(declared["properties"], value, path)
            if wanted == "pve-vm-cpu-conf":
                formats.cpu(parsed)
        elif check := formats.CHECKS.get(wanted):
            check(value)

    def _properties(self, properties: Properties, value: str, path: str) -> dict[str, str]:
        parsed = parse_properties(properties, value)
        errors: Errors = {}
        self._object(path, properties, parsed, errors)
        if errors:
            lines = "".join(f"\n{name}: {text}" for name, text in errors.items())
            raise BadFormat(f"format error{lines}")
        return parsed


def parse_properties(properties: Properties, value: str) -> dict[str, str]:
    """The parts of a property string, aliases resolved. Raises BadFormat in PVE's words."""
    found: dict[str, str] = {}
    for part in value.split(","):
        if not part.strip():
            continue
        name, equals, text = part.partition("=")
        if not equals:
            name, text = _default_key(properties, found), part
        elif not name or not text:
            raise BadFormat("missing key in comma-separated list property")
        elif name in found:
            raise BadFormat(f"duplicate key in comma-separated list property: {name}")
        declared = properties.get(name, {})
        if "alias" in declared:
            if also := declared.get("keyAlias"):
                if also in found:
                    raise BadFormat(f"key alias '{also}' is already defined")
                found[also] = name
            name = declared["alias"]
            declared = properties.get(name, {})
        found[name] = _boolean(text) if declared.get("type") == "boolean" else text
    return found


def _default_key(properties: Properties, found: Mapping[str, str]) -> str:
    name = next((name for name, declared in properties.items() if declared.get("default_key")), None)
    if name is None:
        raise BadFormat("value without key, but schema does not define a default key")
    if name in found:
        raise BadFormat(f"duplicate key in comma-separated list property: {name}")
    return name


def _boolean(text: str) -> str:
    """Inside property strings, unlike elsewhere, PVE takes words for booleans."""
    lowered = text.lower()
    return {"on": "1", "yes": "1", "true": "1", "off": "0", "no": "0", "false": "0"}.get(lowered, text)


def _property(properties: Properties, name: str) -> Mapping[str, Any] | None:
    """The declaration of a name, also of a member of a family such as `net0`."""
    if name in properties:
        return properties[name]
    indexed = _INDEXED.match(name)
    family = properties.get(f"{indexed[1]}[n]") if indexed else None
    if family is None or indexed is None or int(indexed[2]) > int(family.get("max_index", 255)):
        return None
    return family


def _joined(declared: Mapping[str, Any] | None, value: Any) -> Any:
    """An array where a list in a string is meant, and the other way round."""
    if declared is None:
        return value
    wanted = declared.get("format")
    if isinstance(value, list) and declared.get("type") == "string" and str(wanted).endswith("-list"):
        return ",".join(_text(item) for item in value)
    if declared.get("type") == "array" and value is not None and not isinstance(value, list | dict):
        return [value]
    return value


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _check_type(path: str, wanted: str, value: Any, errors: Errors) -> bool:
    got = _bad_type(wanted, value)
    if got is not None:
        _add(errors, path, f"type check ('{wanted}') failed - got {got}")
    return got is None


def _bad_type(wanted: str, value: Any) -> str | None:
    """What PVE calls a value of the wrong type."""
    if isinstance(value, list):
        return None if wanted == "array" else "ARRAY"
    if isinstance(value, dict):
        return None if wanted == "object" else "HASH"
    if isinstance(value, bool):
        return None if wanted == "boolean" else "JSON::PP::Boolean"
    pattern = _TYPES.get(wanted)
    return None if pattern is None or pattern.fullmatch(_text(value)) else f"'{value}'"


def _check_bounds(path: str, declared: Mapping[str, Any], value: str, errors: Errors) -> None:
    if (pattern := declared.get("pattern")) and not _pattern(pattern).fullmatch(value):
        _add(errors, path, "value does not match the regex pattern")
        return
    if (most := declared.get("maxLength")) is not None and len(value) > int(most):
        _add(errors, path, f"value may only be {most} characters long")
    if (least := declared.get("minLength")) is not None and len(value) < int(least):
        _add(errors, path, f"value must be at least {least} characters long")
    if _TYPES["number"].fullmatch(value):
        if (most := declared.get("maximum")) is not None and float(value) > float(most):
            _add(errors, path, f"value must have a maximum value of {most}")
        if (least := declared.get("minimum")) is not None and float(value) < float(least):
            _add(errors, path, f"value must have a minimum value of {least}")
    if (known := declared.get("enum")) and value not in map(str, known):
        _add(errors, path, f"value '{value}' does not have a value in the enumeration '{', '.join(map(str, known))}'")


_patterns: dict[str, re.Pattern[str]] = {}


def _pattern(source: str) -> re.Pattern[str]:
    """A Perl pattern as Python reads it."""
    if source not in _patterns:
        text = source.replace("(?^:", "(?:").replace("[:alnum:]", "A-Za-z0-9").replace("\\z", "\\Z")
        _patterns[source] = re.compile(text, re.DOTALL)
    return _patterns[source]


def _coerced(declared: Mapping[str, Any] | None, value: Any) -> Any:
    """Integers and booleans as int, everything else as text; arrays item by item."""
    if isinstance(value, list):
        return [_coerced((declared or {}).get("items"), item) for item in value]
    if isinstance(value, dict):
        return value
    kind = (declared or {}).get("type")
    return int(value) if kind in ("integer", "boolean") else _text(value)


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _add(errors: Errors, path: str, text: str) -> None:
    name = path or "_root"
    errors[name] = f"{errors[name]}\\n{text}" if name in errors else text
