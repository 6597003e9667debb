"""The document tells what the API does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import validate

from app.api import gate, openapi
from app.api.conventions import takes

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return openapi.document_app().test_client()


@pytest.fixture(scope="module")
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]


def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_the_committed_document_is_fresh() -> None:
    assert (CHECKOUT / "openapi" / "openapi.json").read_text() == openapi.render(openapi.document_app())


def test_it_is_the_same_every_time() -> None:
    assert openapi.render(openapi.document_app()) == openapi.render(openapi.document_app())


def test_every_operation_has_what_readers_need(document: dict[str, Any]) -> None:
    seen = set()
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert path.startswith("/api/"), where
        assert operation["summary"], where
        assert len(operation["tags"]) == 1, where
        assert operation["operationId"] not in seen, where
        seen.add(operation["operationId"])
        refusals = {status for status in operation["responses"] if status.startswith("4")}
        assert refusals >= {"400", "422", "429"}, where
        assert ("401" in refusals) or path in gate.PUBLIC, where
        assert ("404" in refusals) or "{" not in path, where
        assert (operation.get("security") == []) == (path in gate.PUBLIC), where
    for name, answer in document["components"]["responses"].items():
        assert list(answer["content"]) == ["application/problem+json"], name


def test_every_body_has_an_example_that_its_schema_takes(document: dict[str, Any]) -> None:
    bodies = 0
    views = openapi.document_app()
    for rule in views.url_map.iter_rules():
        view: Any = getattr(views.view_functions[rule.endpoint], "view_class", None)
        for method in ("post", "put", "patch"):
            if view is None or not takes(view, method, "json"):
                continue
            path = re.sub(r"<([a-z]+)>", r"{\1}", rule.rule)
            content = document["paths"][path][method]["requestBody"]["content"]["application/json"]
            arguments = getattr(view, method)._apidoc["arguments"]["parameters"]
            schema = next(found["schema"] for found in arguments if found["in"] == "json")
            schema.load(content["example"])
            bodies += 1
    assert bodies >= 10


def test_every_answer_with_a_body_names_its_schema(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status in ("200", "201", "202"):
                assert answer["content"]["application/json"]["schema"], (method, path)


def test_mutations_take_a_key_and_operations_a_wish_to_wait(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        is_file = "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
        assert ("Idempotency-Key" in names) == (method != "get" and not is_file), (method, path)
        begins = "202" in operation["responses"] or path.startswith("/api/proxmox/guests/")
        assert ("Prefer" in names) == begins, (method, path)


def test_swagger_ui_is_served_from_here(client: FlaskClient) -> None:
    page = client.get("/docs")
    if page.status_code == 503:
        pytest.skip("Swagger UI is not installed: make setup")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.get_data(as_text=True))
    assert len(assets) >= 5
    for asset in assets:
        assert client.get(asset).status_code == 200, asset
    assert "<script>" not in page.get_data(as_text=True)
    for other in ("/docs/package.json", "/docs/../../config.py", "/docs/%2e%2e/index.js", "/docs/"):
        assert client.get(other).status_code == 404
