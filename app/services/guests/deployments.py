"""A guest out of the catalog, in one request: the template says the kind and the least size, a flavor the usual one."""

from __future__ import annotations

import dataclasses

from app.db import flavors, templates, tenants
from app.db.session import Database, Tx
from app.domain.access import Context, Privilege
from app.domain.deployments import Deployed, DeploymentSpec
from app.domain.errors import Invalid, NotFound
from app.domain.guests import CloudInit, ContainerSpec, GuestKind, Placement, VmSpec
from app.domain.templates import Flavor, Template
from app.policy import passwords, rules
from app.services.guests import Guests, offers


class Deployments:
    def __init__(self, db: Database, guests: Guests) -> None:
        self._db = db
        self._guests = guests

    def deploy_at_home(self, ctx: Context, spec: DeploymentSpec) -> Deployed:
        """As `deploy`, in the caller's home tenant, whatever is named. Raises NotFound for a template that is not
        offered there, Invalid `tenant.required` for who has no tenant."""
        home = rules.home_for(ctx, Privilege.GUEST_ALLOCATE)
        with self._db.read() as tx:
            offered = templates.offered(tx, tenants.get(tx, home))
        template = next((one.id for one in offered if spec.template in (one.id, one.name)), None)
        if template is None:
            raise NotFound
        return self.deploy(ctx, dataclasses.replace(spec, template=template, placement=Placement(tenant=home)))

    def deploy(self, ctx: Context, spec: DeploymentSpec) -> Deployed:
        """Raises as the creation of a guest does, and Invalid for a template that is not published, a flavor that is
        not there or that a plan does not allow, a disk smaller than the template's, and an ISO image or a container's
        clone that is to have a password or keys."""
        rules.require_scope(ctx, Privilege.GUEST_ALLOCATE)
        with self._db.read() as tx:
            template = templates.published_by(tx, spec.template)
            if template is None:
                raise Invalid({"template_id": ["is not a template that you may use"]})
            flavor = self._flavor(tx, ctx, spec.flavor, spec.placement) if spec.flavor is not None else None
        cores, memory, disk_gb = _size(spec, template, flavor)
        made = passwords.generate() if _may_log_in(spec, template) and not (spec.password or spec.ssh_keys) else None
        password = spec.password or made
        if template.kind == GuestKind.CT:
            operation = self._guests.create_container(
                ctx,
                ContainerSpec(
                    name=spec.name, template=template.id, memory=memory, cores=cores, storage=spec.storage,
                    disk_gb=disk_gb, net=spec.net, ssh_keys=spec.ssh_keys, password=password, tags=spec.tags,
                    start=spec.start, onboot=spec.onboot, placement=spec.placement,
                ),
            )  # fmt: skip
        else:
            init = CloudInit(user=spec.login, password=password, ssh_keys=spec.ssh_keys)
            operation = self._guests.create_vm(
                ctx,
                VmSpec(
                    name=spec.name, template=template.id, memory=memory, cores=cores, storage=spec.storage,
                    disk_gb=disk_gb, net=spec.net, cloud_init=init if _may_log_in(spec, template) else None,
                    tags=spec.tags, start=spec.start, onboot=spec.onboot, placement=spec.placement,
                ),
            )  # fmt: skip
        return Deployed(operation, made)

    def _flavor(self, tx: Tx, ctx: Context, ref: str, wanted: Placement) -> Flavor:
        try:
            flavor = flavors.view(flavors.find(tx, ref))
        except NotFound:
            raise Invalid({"flavor": ["is not a flavor"]}) from None
        given = offers.terms(tx, self._guests.tenant_for(tx, ctx, wanted), ctx.caller.user)
        if given.flavors is not None and flavor.id not in given.flavors:
            raise Invalid({"flavor": ["is not a flavor that your plan allows"]})
        return flavor


def _size(spec: DeploymentSpec, template: Template, flavor: Flavor | None) -> tuple[int, int, int]:
    """A flavor's disk grows to the template's; one that was asked for is refused where it is too small."""
    if spec.disk_gb is not None and spec.disk_gb < template.disk_gb:
        raise Invalid({"disk_gb": [f"must be at least {template.disk_gb}, the size of the template's disk"]})
    usual = flavor or template
    disk_gb = spec.disk_gb or max(usual.disk_gb, template.disk_gb)
    return spec.cores or usual.cores, spec.memory or usual.memory, disk_gb


def _may_log_in(spec: DeploymentSpec, template: Template) -> bool:
    """Whether somebody can be let in from outside: into all but a clone of a container, which has its template's own
    log-ins, and what an installer will make."""
    if template.kind == GuestKind.CT and spec.login is not None:
        raise Invalid({"login": ["is root in a container"]})
    if template.kind == GuestKind.CT:
        return template.vmid is None
    if template.boots:
        return True
    if spec.login or spec.password or spec.ssh_keys:
        raise Invalid({"template_id": ["is an ISO image: its installer asks for user and password"]})
    return False
