"""Effective permissions against a second model, written from the rules in words and without any cache."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.lab.access.privileges import BUILT_IN
from app.lab.access.rights import Identity, rights_of
from app.lab.state import AclNode, Cluster, Group, Pool, Token, User, World

USERS = ("a@pve", "b@pve")
GROUPS = ("g1", "g2")
TOKENS = ("a@pve!sep", "a@pve!full")
ROLES = ("NoAccess", "PVEAuditor", "PVEVMUser", "PVEVMAdmin", "PVEDatastoreUser", "own")
PATHS = ("/", "/vms", "/vms/100", "/vms/101", "/storage", "/storage/local", "/pool", "/pool/p", "/pool/p/q", "/access")
ASKED = (*PATHS, "/vms/102", "/storage/other", "/pool/z", "/nodes/n1", "/access/groups/g1")

entries = st.lists(
    st.tuples(
        st.sampled_from(PATHS),
        st.sampled_from([*(("users", name) for name in USERS), *(("groups", name) for name in GROUPS)]
                        + [("tokens", name) for name in TOKENS]),
        st.sampled_from(ROLES),
        st.integers(0, 1),
    ),
    max_size=14,
)  # fmt: skip
members = st.sets(st.sampled_from(USERS))
vms = st.sets(st.sampled_from((100, 101, 102)))
storages = st.sets(st.sampled_from(("local", "other")))


def world_of(acl: list[tuple[str, tuple[str, str], str, int]]) -> World:
    world = World(Cluster("c"), "n1", roles={"own": {"VM.Audit", "Sys.Modify"}})
    for userid in USERS:
        world.users[userid] = User(userid)
    world.users["a@pve"].tokens = {"sep": Token("x", privsep=1), "full": Token("y", privsep=0)}
    for path, (kind, name), role, propagate in acl:
        getattr(world.acl.setdefault(path, AclNode()), kind).setdefault(name, {})[role] = propagate
    return world


def levels(path: str) -> list[str]:
    """`/`, then each part further down, to the path itself."""
    parts = [part for part in path.split("/") if part]
    return ["/", *("/" + "/".join(parts[: count + 1]) for count in range(len(parts)))]


def roles_in_words(world: World, name: str, path: str) -> dict[str, int]:
    """Walk down; a level that says anything to the identity, else to its groups, replaces what was inherited."""
    roles: dict[str, int] = {}
    kind = "tokens" if "!" in name else "users"
    for level in levels(path):
        if level not in world.acl:
            continue
        node, counts = world.acl[level], level == path
        personal = {r: p for r, p in getattr(node, kind).get(name, {}).items() if counts or p}
        shared: dict[str, int] = {}
        for group in world.groups.values():
            if name in group.users:
                shared.update({r: p for r, p in node.groups.get(group.groupid, {}).items() if counts or p})
        if personal or shared:
            roles = personal or shared
    return {"NoAccess": 0} if "NoAccess" in roles else roles


def privileges_in_words(world: World, name: str, path: str) -> set[str]:
    user, _, token = name.partition("!")
    if token and not world.users[user].tokens[token].privsep:
        return privileges_in_words(world, user, path)
    roles = set(roles_in_words(world, name, path))
    for pool in world.pools.values():
        inside = path in {f"/vms/{vmid}" for vmid in pool.vms} | {f"/storage/{name}" for name in pool.storages}
        if inside and "NoAccess" not in roles:
            roles |= set(roles_in_words(world, name, f"/pool/{pool.poolid}"))
    if "NoAccess" in roles:
        return set()
    found = {privilege for role in roles for privilege in BUILT_IN.get(role, world.roles.get(role, set()))}
    return found & privileges_in_words(world, user, path) if token else found


@settings(max_examples=300, deadline=None)
@given(entries, members, members, vms, vms, storages)
def test_rights_are_those_of_the_rules_in_words(
    acl: list[tuple[str, tuple[str, str], str, int]],
    first: set[str],
    second: set[str],
    in_p: set[int],
    in_q: set[int],
    stored: set[str],
) -> None:
    world = world_of(acl)
    world.groups = {"g1": Group("g1", users=first), "g2": Group("g2", users=second)}
    world.pools = {"p": Pool("p", vms=in_p, storages=stored), "p/q": Pool("p/q", vms=in_q - in_p)}
    for name in (*USERS, *TOKENS):
        rights = rights_of(world, Identity.parse(name))
        for path in ASKED:
            assert set(rights.on(path)) == privileges_in_words(world, name, path), (name, path)


@given(entries)
def test_what_is_shown_everywhere_is_what_holds_there(acl: list[tuple[str, tuple[str, str], str, int]]) -> None:
    world = world_of(acl)
    rights = rights_of(world, Identity("a@pve"))
    shown = rights.everywhere()
    assert all(shown.values())
    assert {path: dict(rights.on(path)) for path in shown} == shown


def test_a_change_counts_at_once() -> None:
    world = world_of([("/vms", ("users", "a@pve"), "PVEAuditor", 1)])
    who = Identity("a@pve")
    assert "VM.Audit" in rights_of(world, who).on("/vms/100")
    world.acl["/vms/100"] = AclNode(users={"a@pve": {"NoAccess": 1}})
    world.access_changed()
    assert not rights_of(world, who).on("/vms/100")


def test_root_may_everything_and_his_token_is_not_he() -> None:
    world = world_of([])
    world.users["root@pam"] = User("root@pam", tokens={"t": Token("x", privsep=0), "s": Token("y", privsep=1)})
    assert Identity("root@pam").is_root
    assert "Sys.Modify" in rights_of(world, Identity("root@pam", "t")).on("/")
    assert not Identity("root@pam", "t").is_root
    assert not rights_of(world, Identity("root@pam", "s")).on("/")
    assert not rights_of(world, Identity("root@pam", "gone")).on("/")
