"""The face that an existing front end uses unchanged: its paths and shapes over our services, and no rule of its own.

Whatever a native route refuses is refused here with the same status and code. Lists are bare arrays and show what was
accepted; changes wait a little for their end (POOLHOUSE_FRONT_END_WAIT).
"""

from __future__ import annotations

from collections.abc import Mapping

from flask.views import MethodView

from app.api.legacy import catalog, groups, resources, users

#: Path below /api -> view.
VIEWS: Mapping[str, type[MethodView]] = {
    "/catalog/templates": catalog.OfferedView,
    "/catalog/admin/templates": catalog.CuratedNatively,
    "/catalog/admin/templates/<template>": catalog.CuratedItemView,
    "/provisioning/resources": resources.ResourcesView,
    "/provisioning/deploy": resources.DeployView,
    "/provisioning/resources/<vmid>": resources.ResourceView,
    "/provisioning/resources/<vmid>/scale": resources.ScaleView,
    "/provisioning/resources/<vmid>/start": resources.ResourceStartView,
    "/provisioning/resources/<vmid>/stop": resources.ResourceStopView,
    "/provisioning/resources/<vmid>/reboot": resources.ResourceRebootView,
    "/provisioning/resources/<vmid>/snapshots": resources.RestorePointsView,
    "/provisioning/resources/<vmid>/snapshots/<snapshot>": resources.RestorePointView,
    "/provisioning/resources/<vmid>/snapshots/<snapshot>/rollback": resources.ResourceRollbackView,
    "/admin/users": users.UsersWithLimitsView,
    "/admin/users/<user>/quota": users.LimitsView,
    "/admin/groups": groups.LimitedGroupsView,
    "/admin/groups/<group>": groups.LimitedGroupView,
    "/admin/templates": catalog.CuratedView,
    "/admin/templates/scan": catalog.CandidatesView,
    "/admin/templates/import": catalog.ChosenView,
    "/admin/templates/<template>": catalog.CuratedTemplateView,
    "/admin/templates/<template>/toggle": catalog.CuratedToggleView,
}
