"""The operations of the OpenAPI document, and every place in which their requests say something."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.api.openapi import document, document_app

METHODS = ("get", "post", "put", "patch", "delete")
#: In the steps to a field: an entry of a list.
ENTRY = "[]"


@dataclass(frozen=True)
class Field:
    """`place` is path, query or body; `steps` leads to the field in a body. Of a path it is the segment before it."""

    place: str
    steps: tuple[str, ...]
    schema: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(step for step in self.steps if step != ENTRY)

    def __str__(self) -> str:
        return f"{self.place} {'.'.join(self.steps)}"


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    example: Any
    fields: tuple[Field, ...]
    takes_keys: bool = True

    @property
    def writes(self) -> bool:
        return self.method != "get"

    def places(self, place: str) -> list[Field]:
        return [field for field in self.fields if field.place == place]

    def body(self, tenant: str | None = None) -> Any:
        """The example, in the caller's only tenant or in the one that is named."""
        if not isinstance(self.example, dict):
            return self.example
        body = {name: value for name, value in self.example.items() if name not in ("tenant", "poolid")}
        takes_one = any(field.steps == ("tenant",) for field in self.places("body"))
        return {**body, "tenant": tenant} if takes_one and tenant is not None else body

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def routes() -> list[Route]:
    described = document(document_app())
    schemas, anywhere = described["components"]["schemas"], described["security"]
    return [
        Route(
            method,
            path,
            _example(operation),
            tuple(fields_of(path, shared.get("parameters", []), operation, schemas)),
            takes_keys={"apiKey": []} in operation.get("security", anywhere),
        )
        for path, shared in described["paths"].items()
        for method, operation in shared.items()
        if method in METHODS
    ]


def with_value(body: Any, steps: tuple[str, ...], value: Any, own: Any = None) -> Any:
    """A copy of a body that has this value at the end of the steps, and on the way to it what it needs.

    Of a list it is the last entry: after those of the body, or after the caller's `own`.
    """
    if not steps:
        return value
    if steps[0] == ENTRY:
        entries = body if isinstance(body, list) else []
        before = entries if steps[1:] or own is None else [own]
        return [*before, with_value(entries[0] if entries else None, steps[1:], value)]
    made = copy.deepcopy(body) if isinstance(body, dict) else {}
    made[steps[0]] = with_value(made.get(steps[0]), steps[1:], value, own)
    return made


def _example(operation: dict[str, Any]) -> Any:
    content = _content(operation)
    if "example" in content:
        return content["example"]
    return next((one["value"] for one in content.get("examples", {}).values()), None)


def _content(operation: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return found


def fields_of(
    path: str, shared: list[dict[str, Any]], operation: dict[str, Any], schemas: Mapping[str, Any]
) -> Iterator[Field]:
    segments = path.split("/")
    for before, segment in itertools.pairwise(segments):
        if segment.startswith("{"):
            yield Field("path", (before,), {})
    for parameter in [*shared, *operation.get("parameters", [])]:
        if parameter["in"] == "query":
            yield Field("query", (parameter["name"],), parameter["schema"])
    yield from _members((), _content(operation).get("schema", {}), schemas)


def _members(steps: tuple[str, ...], schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Field]:
    """The leaves of a body's schema, through references, alternatives, lists and objects."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    for kind in ("allOf", "anyOf", "oneOf"):
        for one in schema.get(kind, ()):
            yield from _members(steps, one, schemas)
    if "items" in schema:
        yield from _members((*steps, ENTRY), schema["items"], schemas)
    for name, inner in schema.get("properties", {}).items():
        yield from _members((*steps, name), inner, schemas)
    if steps and not {"items", "properties", "allOf", "anyOf", "oneOf"} & set(schema):
        yield Field("body", steps, schema)
