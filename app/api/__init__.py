"""The HTTP face: the URL table, and the one function that puts the application together."""

from __future__ import annotations

from collections.abc import Mapping
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from flask import Flask
from flask.views import MethodView
from werkzeug.middleware.proxy_fix import ProxyFix

from app import current
from app.api import (
    api_keys,
    auth,
    deployments,
    docs,
    drift,
    errors,
    flavors,
    gate,
    groups,
    health,
    json,
    legacy,
    limits,
    operations,
    plans,
    spec,
    templates,
    tenants,
    users,
)
from app.api.conventions import WAITERS, blp
from app.api.proxmox import bulk, clusters, cts, pools, security_groups, storages, tasks, vms
from app.api.qemu import host
from app.api.qemu import images as local_images
from app.config import Settings, configure_log

if TYPE_CHECKING:
    from app.services import Services

#: Tag -> path below /api -> view. Whoever may call what is asked in the services.
URLS: Mapping[str, Mapping[str, type[MethodView]]] = {
    "auth": {
        "/auth/login": auth.LogInView,
        "/auth/refresh": auth.RefreshView,
        "/auth/logout": auth.LogOutView,
        "/auth/me": auth.MeView,
        "/auth/change-password": auth.PasswordView,
    },
    "api-keys": {
        "/api-keys": api_keys.ApiKeysView,
        "/api-keys/<key>": api_keys.ApiKeyView,
    },
    "users": {
        "/users": users.UsersView,
        "/users/<user>": users.UserView,
    },
    "tenants": {
        "/tenants": tenants.TenantsView,
        "/tenants/<tenant>": tenants.TenantView,
        "/tenants/<tenant>/members": tenants.MembersView,
        "/tenants/<tenant>/members/<user>": tenants.MemberView,
        "/tenants/<tenant>/quota": tenants.QuotaView,
        "/tenants/<tenant>/plan": plans.TenantPlanView,
        "/tenants/<tenant>/usage": tenants.UsageView,
        "/tenants/<tenant>/access": tenants.AccessView,
    },
    "plans": {"/plans": plans.PlansView, "/plans/<plan>": plans.PlanView},
    "groups": {f"/groups{path}": view for path, view in groups.VIEWS.items()},
    "clusters": {f"/proxmox{path}": view for path, view in clusters.VIEWS.items()},
    "pools": {f"/proxmox{path}": view for path, view in pools.VIEWS.items()},
    "storages": {f"/proxmox{path}": view for path, view in storages.VIEWS.items()},
    "tasks": {f"/proxmox{path}": view for path, view in tasks.VIEWS.items()},
    "security-groups": {f"/proxmox{path}": view for path, view in security_groups.VIEWS.items()},
    "vms": {f"/proxmox/vms{path}": view for path, view in vms.VIEWS.items()},
    "cts": {f"/proxmox/cts{path}": view for path, view in cts.VIEWS.items()},
    "guests": {f"/proxmox/guests{path}": view for path, view in bulk.VIEWS.items()},
    "qemu": {f"/qemu{path}": view for path, view in {**host.VIEWS, **local_images.VIEWS}.items()},
    "flavors": {"/flavors": flavors.FlavorsView, "/flavors/<flavor>": flavors.FlavorView},
    "deployments": {"/deployments": deployments.DeploymentsView},
    "templates": {f"/templates{path}": view for path, view in templates.VIEWS.items()},
    "operations": {
        "/operations": operations.OperationsView,
        "/operations/<operation>": operations.OperationView,
        "/operations/<operation>/cancel": operations.CancelView,
        "/operations/<operation>/resolve": operations.ResolveView,
    },
    "drift": {
        "/drift": drift.DriftsView,
        "/drift/<drift>/adopt": drift.AdoptView,
        "/drift/<drift>/forget": drift.ForgetView,
        "/drift/<drift>/repair": drift.RepairView,
    },
    "frontend": legacy.VIEWS,
    "health": {
        "/health": health.HealthView,
        "/ready": health.ReadyView,
    },
}

for _tag, _views in URLS.items():
    for _path, _view in _views.items():
        blp.add_url_rule(_path, view_func=_view, tags=[_tag])


def make_flask(settings: Settings, services: Services | None) -> Flask:
    """The application. Without services it can only describe itself (`app.api.openapi`)."""
    configure_log(settings.log_level)
    app = Flask("app", static_folder=None)
    app.json = json.Provider(app)
    app.url_map.merge_slashes = False  # a redirect would break a browser's preflight
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions[current.SETTINGS] = settings
    app.extensions[current.SERVICES] = services
    app.extensions[WAITERS] = BoundedSemaphore(max(1, settings.web_threads * 3 // 4))
    gate.configure_tokens(app, settings)
    gate.install(app, settings, limits.limiter(settings))
    errors.install(app)
    spec.install(app, blp, list(URLS))
    docs.install(app)
    if settings.proxies:
        hops = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    return app
