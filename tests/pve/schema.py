"""PVE's own declaration of its parameters, as it is packed with the lab: what is sent is held against it (L48)."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests_mock

_PACKED = Path(__file__).parents[2] / "app" / "lab" / "pve-9.1-schema.json.gz"


@cache
def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = json.loads(gzip.decompress(_PACKED.read_bytes()))["paths"]
    return paths


def declared(verb: str, template: str) -> dict[str, Any]:
    """The parameters of a method of a path template."""
    parameters = _paths()[template][verb]["parameters"]
    found: dict[str, Any] = parameters.get("properties", parameters)
    return found


def assert_known(wire: requests_mock.Mocker) -> None:
    """Every call that was sent exists in PVE 9.1, with all that it needs and nothing that it does not know."""
    for sent in wire.request_history:
        path = urlsplit(sent.url).path.removeprefix("/api2/json")
        method, in_path = _method(sent.method, path)
        declared = method["parameters"].get("properties", method["parameters"])
        given = {*parse_qs(urlsplit(sent.url).query), *parse_qs(sent.text or "", keep_blank_values=True)}
        known = {re.sub(r"\[n\]$", r"\\d+", name) for name in declared}
        unknown = {name for name in given if not any(re.fullmatch(form, name) for form in known)}
        assert not unknown, (sent.method, path, unknown)
        needed = {name for name, about in declared.items() if not about.get("optional")}
        assert needed <= given | in_path, (sent.method, path, needed - given - in_path)


def _method(verb: str, path: str) -> tuple[dict[str, Any], set[str]]:
    best: tuple[dict[str, Any], set[str]] | None = None
    for template, methods in _paths().items():
        form = re.sub(r"\{volume\}", ".+", template)
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", form), path):
            found = (methods[verb], set(re.findall(r"\{(\w+)\}", template)))
            best = found if best is None or len(found[1]) < len(best[1]) else best
    assert best is not None, (verb, path)
    return best
