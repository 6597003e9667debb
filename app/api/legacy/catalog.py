"""The catalog: what may be chosen, and its curation by administrators."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flask.views import MethodView

from app import current
from app.api.conventions import blp
from app.api.legacy import words
from app.api.schemas.legacy import (
    AddedSchema,
    CandidateSchema,
    CandidatesChosenSchema,
    CuratedAnswerSchema,
    CuratedSchema,
    CurateNewSchema,
    CurateSchema,
    OfferedSchema,
    SavedSchema,
    ToggledSchema,
    as_list,
)
from app.domain.errors import Invalid, NotFound
from app.domain.paging import PageRequest
from app.domain.templates import Source, Template, TemplateSpec

_ALL = PageRequest(limit=100_000)
_FILE_ENDING = re.compile(r"\.(iso|img|qcow2|raw|vmdk|tar\.(gz|xz|zst|bz2)|tgz)$", re.IGNORECASE)
_SIZES = {"default_cpu": "cores", "default_memory": "memory", "default_storage": "disk_gb"}
_LEAST = {"cores": 1, "memory": 16, "disk_gb": 1}
_OTHERS = {"name": "name", "description": "description", "category": "category", "logo_url": "logo_url",
           "is_active": "published"}  # fmt: skip
_REFUSED = {ours: theirs for theirs, ours in _SIZES.items()} | {"source": "proxmox_template_volid"}

_ALPINE = "local:vztmpl/alpine-3.22-default_20250617_amd64.tar.xz"
_UBUNTU = "local:vztmpl/ubuntu-24.04-standard_24.04-2_amd64.tar.zst"


class OfferedView(MethodView):
    @blp.response(200, as_list(OfferedSchema))
    def get(self) -> list[Mapping[str, Any]]:
        """List the templates that the caller's home tenant may deploy"""
        return [_offered(one) for one in current.services.templates.offered(current.ctx)]


class CuratedView(MethodView):
    @blp.response(200, as_list(CuratedSchema))
    def get(self) -> list[Mapping[str, Any]]:
        """List all templates, active or not (administrators, auditors)"""
        return [_curated(one) for one in current.services.templates.every(current.ctx)]


class CandidatesView(MethodView):
    @blp.response(200, as_list(CandidateSchema))
    def get(self) -> list[Mapping[str, Any]]:
        """List what PVE has and the catalog has not (administrators, auditors)"""
        return [_candidate(one) for one in current.services.templates.scan(current.ctx, None, _ALL).data]


class ChosenView(MethodView):
    @blp.arguments(CandidatesChosenSchema, example={"templates": [{"volid": _UBUNTU}]})
    @blp.response(200, CuratedAnswerSchema)
    def post(self, given: Mapping[str, Sequence[Mapping[str, str]]]) -> dict[str, Any]:
        """Make inactive templates of candidates, all or none; known ones are left out (administrators)"""
        with words.in_words(sources="templates"):
            wanted = [one["volid"] for one in given["templates"]]
            made = len(current.services.templates.import_sources(current.ctx, None, wanted))
        return {"success": True, "message": f"{made} template{'' if made == 1 else 's'} imported."}


class CuratedTemplateView(MethodView):
    @blp.arguments(CurateSchema, example={"description": "The stable one", "default_storage": 8})
    @blp.response(200, SavedSchema)
    def put(self, given: dict[str, Any], template: str) -> dict[str, Any]:
        """Change a template; sizes of a clone are Proxmox VE's (administrators)"""
        change = _others(given)
        if not _SIZES.keys().isdisjoint(given):
            found = next((one for one in current.services.templates.every(current.ctx) if one.id == template), None)
            if found is None:
                raise NotFound
            change |= _sizes(given) if found.vmid is None else {}
        with words.in_words(**_REFUSED):
            saved = current.services.templates.change(current.ctx, template, change)
        return {"success": True, "message": "Template saved.", "data": _offered(saved)}

    @blp.response(200, CuratedAnswerSchema)
    def delete(self, template: str) -> dict[str, Any]:
        """Take a template out of the catalog; in PVE nothing is deleted (administrators)"""
        current.services.templates.delete(current.ctx, template)
        return {"success": True, "message": "Template removed from the catalog."}


class CuratedToggleView(MethodView):
    @blp.response(200, ToggledSchema)
    def put(self, template: str) -> dict[str, Any]:
        """Show a template to users, or hide it (administrators)"""
        is_active = current.services.templates.toggle(current.ctx, template).published
        return {
            "success": True, "is_active": is_active, "message": f"Template is {'active' if is_active else 'inactive'}.",
        }  # fmt: skip


class CuratedNatively(MethodView):
    """The same for scripts, below the catalog."""

    @blp.response(200, as_list(OfferedSchema))
    def get(self) -> list[Mapping[str, Any]]:
        """List all templates as users see them, inactive ones too (administrators, auditors)"""
        return [_offered(one) for one in current.services.templates.every(current.ctx)]

    @blp.arguments(
        CurateNewSchema, example={"name": "alpine-3.22", "proxmox_template_volid": _ALPINE, "deploy_mode": "file"}
    )
    @blp.response(201, AddedSchema)
    def post(self, given: dict[str, Any]) -> dict[str, Any]:
        """Put a medium or a template guest into the catalog (administrators)"""
        source = given["proxmox_template_volid"]
        is_clone = source.isdigit()
        if "deploy_mode" in given and (given["deploy_mode"] == "clone") != is_clone:
            raise Invalid({"proxmox_template_volid": ["must be a vmid in digits for clone, and a volid for file"]})
        wanted = {**_others(given), **({} if is_clone else _sizes(given))}
        with words.in_words(**_REFUSED):
            added = current.services.templates.create(current.ctx, TemplateSpec(source, **wanted))
        return {"success": True, "id": added.id}


class CuratedItemView(CuratedTemplateView):
    """The same below the catalog."""


def _others(given: Mapping[str, Any]) -> dict[str, Any]:
    return {ours: given[theirs] for theirs, ours in _OTHERS.items() if theirs in given}


def _sizes(given: Mapping[str, Any]) -> dict[str, int]:
    """Raises Invalid for an emptied one, which comes as 0."""
    wrong = {
        theirs: [f"must be at least {_LEAST[ours]}"]
        for theirs, ours in _SIZES.items()
        if given.get(theirs, _LEAST[ours]) < _LEAST[ours]
    }
    if wrong:
        raise Invalid(wrong)
    return {ours: given[theirs] for theirs, ours in _SIZES.items() if theirs in given}


def _offered(one: Template) -> Mapping[str, Any]:
    return {
        "id": one.id, "name": one.name, "type": words.KINDS[one.kind], "description": one.description,
        "category": one.category, "logo_url": one.logo_url,
        "specs": {"cpu": one.cores, "memory": one.memory, "storage": one.disk_gb},
    }  # fmt: skip


def _curated(one: Template) -> Mapping[str, Any]:
    return {
        "id": one.id, "name": one.name, "type": words.KINDS[one.kind],
        "proxmox_template_volid": one.volid if one.vmid is None else str(one.vmid), "category": one.category,
        "deploy_mode": "file" if one.vmid is None else "clone", "is_active": one.published,
        "description": one.description, "default_cpu": one.cores, "default_memory": one.memory,
        "default_storage": one.disk_gb,
    }  # fmt: skip


def _candidate(one: Source) -> Mapping[str, Any]:
    return {
        "volid": one.reference, "name": _FILE_ENDING.sub("", one.name), "type": words.KINDS[one.kind],
        "detected_size_gb": one.disk_gb, "origin": "file" if one.vmid is None else "vm",
    }  # fmt: skip
