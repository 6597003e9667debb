"""The catalog of images: uploaded, looked at before they are kept, and found by id or name, never by a path."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from app.db import audit, local_images, tenants
from app.db.models import LocalImage
from app.db.session import Database
from app.domain.access import Context, Privilege
from app.domain.errors import Conflict, Invalid
from app.domain.local import Image, ImageFilter, ImageUpload
from app.domain.paging import Page, PageRequest
from app.policy import rules
from app.qemu.images import FileId, Files, Kind
from app.services.local.host import require_enabled


class LocalImages:
    """`most` bytes of one file. Needs no libvirt. A file is in its place before its row is there, and stays a while
    when the row is gone: `sweep` takes away what no row names."""

    def __init__(self, db: Database, files: Files, *, most: int, enabled: bool) -> None:
        self._db = db
        self._files = files
        self._most = most
        self._enabled = enabled

    def list(self, ctx: Context, wanted: ImageFilter, request: PageRequest) -> Page[Image]:
        """Everybody's, and those of the caller's tenants."""
        rules.require(ctx, Privilege.TEMPLATE_AUDIT)
        require_enabled(self._enabled)
        with self._db.read() as tx:
            return local_images.page(tx, rules.visible(ctx), wanted, request)

    def get(self, ctx: Context, image: str) -> Image:
        rules.require(ctx, Privilege.TEMPLATE_AUDIT)
        require_enabled(self._enabled)
        with self._db.read() as tx:
            return local_images.view(local_images.find(tx, rules.visible(ctx), image))

    def add(self, ctx: Context, tenant: str | None, receive: Callable[[], ImageUpload]) -> Image:
        """Keep a file as an image: a tenant's own, or without one everybody's, which administrators publish.

        `receive` is called when the caller may, in `tenant` where one is named by then. Raises Invalid
        (`image.refused` for what is not an image that stands on its own), Conflict `name.taken`, CapacityExceeded.
        """
        rules.holding(ctx, Privilege.GUEST_ALLOCATE)
        require_enabled(self._enabled)
        if tenant is not None:
            self._owner(ctx, tenant)
        upload = receive()
        owner = self._owner(ctx, upload.tenant)
        image = FileId(str(uuid.uuid4()))
        self._files.prepare()
        with self._files.incoming(image) as folder:
            got = self._files.receive(upload.chunks, folder / "file", limit=self._most)
            if upload.sha256 is not None and upload.sha256 != got.sha256:
                raise Invalid({"sha256": [f"the file has another one: {got.sha256}"]})
            kind = Kind(upload.kind) if upload.kind is not None else self._files.recognise(got.path)
            seen = self._files.inspect(got.path, kind)
            self._files.keep(got.path, self._files.image(image, kind))
            with self._db.begin() as tx:
                row = LocalImage(
                    id=image, tenant_id=owner, name=upload.name, kind=kind.value, size=seen.size,
                    virtual_size=seen.virtual_size, sha256=got.sha256, created_by=ctx.caller.user,
                )  # fmt: skip
                tx.add(row)
                tx.flush()
                audit.record(tx, ctx, "image.create", tenant=owner, subject=f"{row.name} sha256:{row.sha256}")
                return local_images.view(row)

    def delete(self, ctx: Context, image: str) -> None:
        """Its file follows at the next sweep. Raises Conflict `image.in_use`, and Forbidden for everybody's where the
        caller publishes none."""
        rules.require_scope(ctx, Privilege.GUEST_ALLOCATE)
        require_enabled(self._enabled)
        with self._db.begin() as tx:
            row = local_images.find(tx, rules.visible(ctx), image)
            self._require_owner(ctx, row.tenant_id)
            local_images.lock(tx, row.id)
            if local_images.in_use(tx, row.id):
                raise Conflict(
                    "A machine uses this image.", code="image.in_use", remedy="Delete the machine, or eject the image."
                )
            tx.delete(row)
            audit.record(tx, ctx, "image.delete", tenant=row.tenant_id, subject=row.name)

    def sweep(self) -> None:
        """Remove files that no row names: of uploads that a dead process left, of deleted images, of tenants that are
        gone. What is still coming in is left alone."""
        self._files.prepare()
        self._files.sweep()
        for image, path in self._files.images():
            # in this order: who is not coming in any more has committed his row
            if not self._files.is_coming(image) and not self._is_known(image):
                self._files.remove(path)

    def _is_known(self, image: FileId) -> bool:
        with self._db.read() as tx:
            return local_images.is_known(tx, image)

    def _owner(self, ctx: Context, named: str | None) -> str | None:
        """The tenant whose image it becomes; None: everybody's."""
        if named is None:
            everybodys = rules.is_everywhere(ctx, Privilege.TEMPLATE_MODIFY) and ctx.key is None
            owner = None if everybodys else rules.only_tenant(ctx)
        else:
            with self._db.read() as tx:
                owner = tenants.find(tx, rules.visible(ctx), named).id
        self._require_owner(ctx, owner)
        return owner

    def _require_owner(self, ctx: Context, tenant: str | None) -> None:
        rules.require(ctx, Privilege.TEMPLATE_MODIFY if tenant is None else Privilege.GUEST_ALLOCATE, on=tenant)
