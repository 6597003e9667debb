"""The OpenAPI 3.1 document: generated from the views and schemas, the same on every machine."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import flask_smorest
import orjson
from flask import Flask

from app import __version__
from app.api import errors
from app.api.conventions import DRY_RUN, MUTATIONS, Blueprint
from app.api.gate import PUBLIC
from app.api.schemas.operations import ProblemSchema
from app.api.schemas.rehearsal import DryRunSchema

_DOCUMENT = "poolhouse-openapi"
_TAGS = {
    "auth": "Log in, refresh, log out",
    "api-keys": "Keys for programs, each for one tenant and some actions",
    "users": "Users of the house (administrators)",
    "tenants": "Tenants with members, limits and use",
    "plans": "Limits, storages, bridges, VLAN and flavors under a name, which administrators give to tenants",
    "groups": "Groups of users and tenants to whom a plan applies (administrators)",
    "clusters": "Clusters of Proxmox VE and their nodes",
    "pools": "Pools of tenants with members, use and quota",
    "storages": "Storages, and what lies on them",
    "tasks": "Tasks of Proxmox VE, and what they said",
    "security-groups": "Firewall rules under a name, which administrators write and guests' rules name",
    "vms": "Virtual machines on Proxmox VE",
    "cts": "Containers on Proxmox VE, always unprivileged",
    "guests": "Many guests in one request",
    "qemu": "Virtual machines on this host, without any cluster",
    "flavors": "Named sizes",
    "deployments": "Guests out of the catalog",
    "templates": "The catalog of what may be deployed",
    "drift": "What was changed in Proxmox VE behind our back",
    "operations": "Long work: followed, cancelled, resolved",
    "frontend": "What an existing front end calls: its own paths and shapes over the same services",
    "health": "Whether it lives and can be used",
}
_DESCRIPTION = (
    "Multi-tenant provisioning of virtual machines and containers. Log in at `/api/auth/login`, then send "
    "`Authorization: Bearer <access_token>`; programs send an API key in its place. What takes longer answers 202 with "
    "an operation, or with `Prefer: wait=N` its end. Errors are `application/problem+json` with a stable `code`."
)
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key, as `POST /api/api-keys` gave it."},
}
#: Where an API key does not do: a program has no password, and makes no keys.
_LOG_IN_ONLY = frozenset(
    {"/api/auth/logout", "/api/auth/change-password", "/api/api-keys", "/api/api-keys/{key}"}
)  # fmt: skip
#: What a body or a query names there is looked for among what the caller may see.
_NAMES_WITHIN = frozenset({"/api/operations", "/api/drift", "/api/qemu/images", "/api/provisioning/deploy"})
#: What stands in a path: what it is, and what it is on the seed of `make run` or once the examples of the bodies have
#: been sent, in the order of the document. Of ids that only an answer tells there is no example.
_IN_PATHS: Mapping[str, tuple[str, str | None]] = {
    "backup": ("The backup's id, as the list of the guest's backups tells", None),
    "disk": ("As Proxmox VE calls it", "scsi1"),
    "drift": ("Its id, as the list tells", None),
    "flavor": ("Id or name", "small"),
    "group": ("Id or name", "students"),
    "guest": ("Id or vmid", "10000"),
    "image": ("Id or name", "web"),
    "key": ("The key's id, as the list of mine tells", None),
    "node": ("The node's name", "n1"),
    "operation": ("The operation's id, as the answer that began it tells", None),
    "plan": ("Id or name", "course"),
    "poolid": ("The pool's name, as its tenant tells", None),
    "pos": ("The rule's position, from 0", "0"),
    "schedule": ("The schedule's id, as the list of the guest's tells", None),
    "snapshot": ("The snapshot's name", "before-2"),
    "storage": ("The storage's name", "local"),
    "template": ("The template's id", "5d1c7f0e-3a52-4c0b-9a57-0c6f1b2d1201"),
    "tenant": ("Id or name", "demo"),
    "upid": ("The task's UPID, as the steps of an operation tell", None),
    "user": ("Id or name", "maria"),
    "vmid": ("The guest's number", "10000"),
    "volid": ("The volume's id, as the storage's content tells", "local:iso/alpine-virt-3.22.0-x86_64.iso"),
}
#: The same below some paths, where the examples of the bodies make another one.
_IN_PATHS_BELOW: Mapping[str, Mapping[str, str]] = {
    "/api/proxmox/cts/": {"guest": "10001", "disk": "mp0"},
    "/api/proxmox/security-groups/": {"group": "web"},
    "/api/provisioning/": {"snapshot": "pre-deploy"},
    "/api/admin/groups/": {"group": "teachers"},
}
#: What a query may say, on that seed. These are shown, and not filled in: a query is as well left out.
_IN_QUERIES: Mapping[str, str] = {
    "cluster": "lab",
    "filename": "tiny.iso",
    "name": "web",
    "node": "n1",
    "tag": "web",
    "tenant": "demo",
    "type": "vm.create",
}
_REFUSALS = {
    400: "The request is not well-formed",
    401: "Not logged in, or no longer",
    403: "Seen, but not allowed: role, quota or policy",
    404: "Not there, or not the caller's",
    409: "Busy, taken, or in the wrong state",
    412: "What `If-Match` expects is not so any more",
    413: "The body is too large",
    415: "The body is not JSON",
    422: "A value is wrong; `errors` names each field",
    429: "Too many requests; `Retry-After` says when to come back",
    502: "Proxmox VE refused, or its task failed",
    503: "The database, Proxmox VE or the local hypervisor is away",
    504: "Proxmox VE did not answer in time",
    507: "No node or storage has the room",
}


class Api(flask_smorest.Api):  # type: ignore[misc]
    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """Errors are `app.api.errors`' business alone."""


def install(app: Flask, blueprint: Blueprint, tags: Sequence[str]) -> None:
    app.config.update(API_TITLE="Poolhouse", API_VERSION=__version__, OPENAPI_VERSION="3.1.0")
    description = {"description": _DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}}
    api = Api(app, spec_kwargs={"info": description})
    api.spec.components.schema("DryRun", schema=DryRunSchema)
    api.register_blueprint(blueprint)
    app.extensions[_DOCUMENT] = functools.cache(lambda: _finished(api.spec.to_dict(), tags))


def document(app: Flask) -> dict[str, Any]:
    """The document as JSON values, in a fixed order."""
    found: dict[str, Any] = app.extensions[_DOCUMENT]()
    return found


def render(app: Flask) -> str:
    """The same as text that only changes where the API does."""
    return orjson.dumps(document(app), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _finished(spec: dict[str, Any], tags: Sequence[str]) -> dict[str, Any]:
    for path, item in spec["paths"].items():
        for parameter in item.get("parameters", []):
            _explain(path, parameter)
        for method, operation in item.items():
            if method in MUTATIONS | {"get"}:
                _finish(path, method, operation, item.get("parameters", []))
    components = spec["components"]
    components["responses"] = {f"Problem{status}": _refusal(status) for status in _REFUSALS}
    components["securitySchemes"] = _SECURITY
    components["schemas"].pop("PaginationMetadata", None)
    components["schemas"] = dict(sorted(components["schemas"].items()))
    spec["security"] = [{"bearer": []}, {"apiKey": []}]
    spec["tags"] = [{"name": tag, "description": _TAGS[tag]} for tag in tags]
    ordered: dict[str, Any] = orjson.loads(orjson.dumps(spec, option=orjson.OPT_NON_STR_KEYS))
    return {"openapi": ordered.pop("openapi"), "info": ordered.pop("info"), **dict(sorted(ordered.items()))}


def _explain(path: str, parameter: dict[str, Any]) -> None:
    """What a parameter of a path is, with what Swagger UI fills in."""
    parameter["description"], example = _IN_PATHS[parameter["name"]]
    for prefix, examples in _IN_PATHS_BELOW.items():
        if path.startswith(prefix):
            example = examples.get(parameter["name"], example)
    if example is not None:
        parameter["example"] = example


def _tell_of_dry_runs(answers: dict[str, Any]) -> None:
    plan = {"$ref": "#/components/schemas/DryRun"}
    done = answers.setdefault("200", {"description": "With `dry_run=true`: the plan"})
    content = done.setdefault("content", {}).setdefault("application/json", {})
    content["schema"] = {"oneOf": [content["schema"], plan]} if "schema" in content else plan


def _finish(path: str, method: str, operation: dict[str, Any], parameters: Sequence[dict[str, Any]]) -> None:
    """A name for generators of clients, the refusals, and for public routes that they need no log-in."""
    operation["operationId"] = "_".join([method, *re.findall(r"[a-z]+", path.removeprefix("/api"))])
    is_public = path in PUBLIC
    if is_public:
        operation["security"] = []
        operation["parameters"] = [one for one in operation.get("parameters", []) if one["name"] != DRY_RUN]
    elif path in _LOG_IN_ONLY:
        operation["security"] = [{"bearer": []}]
    for one in operation.get("parameters", []):
        if one["in"] == "query" and one["name"] in _IN_QUERIES and "enum" not in one["schema"]:
            one["schema"] = {**one["schema"], "examples": [_IN_QUERIES[one["name"]]]}
    refusals = {400, 422, 429} | (set() if is_public else {401, 403})
    if parameters or "/proxmox/" in path or path in _NAMES_WITHIN:
        refusals.add(404)
    if method in MUTATIONS:
        refusals |= {409, 413, 415}
    if re.search(r"/(vms|cts|resources)/\{", path):
        refusals.add(409)  # a number that several clusters have
    if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", [])):
        refusals.add(412)
    if "/qemu/" in path:
        refusals |= {503} | ({502, 507} if method in MUTATIONS else set())
    if path == "/api/auth/login" or path == "/api/auth/refresh":
        refusals |= {401, 403}
    if "/proxmox/" in path or path.endswith("/access") or "202" in operation["responses"]:
        refusals |= {502, 503, 504, 507}
    answers = {str(status): given for status, given in operation["responses"].items() if str(status) < "400"}
    for status, given in answers.items():
        if "description" in given and given["description"] in {known.phrase for known in HTTPStatus}:
            given["description"] = {"200": "Done", "201": "Created", "202": "Accepted", "204": "Done"}[status]
    if any(one["name"] == DRY_RUN for one in operation.get("parameters", [])):
        _tell_of_dry_runs(answers)
    operation["responses"] = answers | {
        str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(refusals)
    }
    if path == "/api/ready":
        operation["responses"]["503"] = answers["200"] | {"description": "A part cannot be used"}


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": _REFUSALS[status], "content": {errors.CONTENT_TYPE: {"schema": schema}}}
