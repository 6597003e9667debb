"""Effective permissions: what an identity may do on a path, by ACLs, pools and privilege separation (facts.md 5)."""

from dataclasses import dataclass

from app.lab.access.privileges import ALL, BUILT_IN
from app.lab.state import AclNode, World

Roles = dict[str, int]
"""Role names with their propagate flags."""
Privileges = dict[str, int]
"""Privileges with 1 where they reach further down, 0 where they hold on this path alone."""

_EVERYTHING: Privileges = dict.fromkeys(sorted(ALL), 1)
_NOTHING: Privileges = {}
_TOP = ("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")


@dataclass(frozen=True)
class Identity:
    """Who calls: a user, or one of its tokens."""

    user: str
    token: str | None = None

    @property
    def name(self) -> str:
        """`user@realm` or `user@realm!token`."""
        return f"{self.user}!{self.token}" if self.token else self.user

    @property
    def is_root(self) -> bool:
        """root@pam himself; no token is."""
        return self.user == "root@pam" and self.token is None

    @classmethod
    def parse(cls, name: str) -> "Identity":
        user, _, token = name.partition("!")
        return cls(user, token or None)


class Rights:
    """What one identity may do, computed on demand and kept until users, groups, roles, ACLs or pools change."""

    def __init__(self, world: World, who: Identity) -> None:
        self._world = world
        self._who = who
        self._groups = [group.groupid for group in world.groups.values() if who.user in group.users]
        self._inherited: dict[str, Roles] = {}
        self._privileges: dict[str, Privileges] = {}
        self._of_roles: dict[tuple[tuple[str, int], ...], Privileges] = {}
        token = world.users[who.user].tokens.get(who.token) if who.token and who.user in world.users else None
        self._none = bool(who.token and token is None)
        self._owner = rights_of(world, Identity(who.user)) if token else None
        self._separated = bool(token and token.privsep)
        self._from_pools: dict[str, Roles] | None = None

    def on(self, path: str) -> Privileges:
        """The privileges on exactly this path. Not to be changed by the caller."""
        if self._who.is_root:
            return _EVERYTHING
        if self._none:
            return _NOTHING
        if self._owner and not self._separated:
            return self._owner.on(path)
        found = self._privileges.get(path)
        if found is None:
            found = self._privileges[path] = self._compute(path)
        return found

    def _compute(self, path: str) -> Privileges:
        privileges = self._granted(self._with_pools(path))
        if self._owner is None:
            return privileges
        limit = self._owner.on(path)
        return {name: min(value, limit[name]) for name, value in privileges.items() if name in limit}

    def _granted(self, roles: Roles) -> Privileges:
        key = tuple(sorted(roles.items()))
        found = self._of_roles.get(key)
        if found is None:
            found = self._of_roles[key] = {}
            for role, propagate in key:
                for privilege in privileges_of(self._world, role) or ():
                    found[privilege] = max(propagate, found.get(privilege, 0))
        return found

    def _with_pools(self, path: str) -> Roles:
        roles = self._roles(path)
        if "NoAccess" in roles or not path.startswith(("/vms/", "/storage/")):
            return roles
        if self._from_pools is None:
            self._from_pools = self._pool_roles()
        extra = self._from_pools.get(path)
        if not extra:
            return roles
        return {"NoAccess": 0} if "NoAccess" in extra else {**roles, **dict.fromkeys(extra, 0)}

    def _pool_roles(self) -> dict[str, Roles]:
        found: dict[str, Roles] = {}
        for pool in self._world.pools.values():
            roles = self._roles(f"/pool/{pool.poolid}")
            if roles:
                for path in (*(f"/vms/{vmid}" for vmid in pool.vms), *(f"/storage/{name}" for name in pool.storages)):
                    found.setdefault(path, {}).update(roles)
        return found

    def _roles(self, path: str) -> Roles:
        """Roles by the ACLs alone. A level that says anything replaces all inherited ones; NoAccess clears it."""
        node = self._world.acl.get(path)
        roles = (node and self._said(node, final=True)) or self._down_to(_parent(path))
        return {"NoAccess": roles["NoAccess"]} if "NoAccess" in roles else roles

    def _down_to(self, path: str | None) -> Roles:
        """What reaches the levels below this path."""
        if path is None:
            return {}
        found = self._inherited.get(path)
        if found is None:
            node = self._world.acl.get(path)
            found = (node and self._said(node, final=False)) or self._down_to(_parent(path))
            self._inherited[path] = found
        return found

    def _said(self, node: AclNode, *, final: bool) -> Roles:
        """The roles of one level: the identity's own entries replace those of its groups."""
        own = (node.tokens if self._who.token else node.users).get(self._who.name, {})
        said = {role: propagate for role, propagate in own.items() if final or propagate}
        if said or self._who.token:
            return said
        for group in self._groups:
            for role, propagate in node.groups.get(group, {}).items():
                if final or propagate:
                    said[role] = propagate
        return said

    def everywhere(self) -> dict[str, Privileges]:
        """All paths of note where there is any privilege: the top ones, those of ACLs and above, members of pools."""
        paths = set(_TOP)
        for named in self._world.acl:
            path: str | None = named
            while path is not None:
                paths.add(path)
                path = _parent(path)
        for pool in self._world.pools.values():
            paths.update(f"/vms/{vmid}" for vmid in pool.vms)
            paths.update(f"/storage/{name}" for name in pool.storages)
        return {path: dict(self.on(path)) for path in sorted(paths) if self.on(path)}


def _parent(path: str) -> str | None:
    if path == "/":
        return None
    return path.rpartition("/")[0] or "/"


def privileges_of(world: World, role: str) -> frozenset[str] | set[str] | None:
    """The privileges of a role, None where there is no such role."""
    return BUILT_IN[role] if role in BUILT_IN else world.roles.get(role)


def rights_of(world: World, who: Identity) -> Rights:
    """The rights of an identity, as they are now."""
    found = world.rights.get(who.name)
    if not isinstance(found, Rights):
        found = world.rights[who.name] = Rights(world, who)
    return found
