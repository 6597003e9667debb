"""The allow-list of what may be sent about a guest, held against PVE's own declaration of its calls (L15, L48)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.domain.errors import Invalid
from app.pve import parameters
from app.pve.parameters import CALLS, RESTORES, check
from tests.pve.schema import declared

#: Root's alone, a way to the host, or a way out of the container: no line of the table may ever be one of these.
#: (`unprivileged`, `features`, `rootfs`, `mp[n]` and `ide2` have lines, whose forms leave one meaning.)
NEVER = re.compile(
    r"args|hookscript|lock|skiplock|lxc\..*|dev\[n\]|hostpci\[n\]|usb\[n\]|serial\[n\]|parallel\[n\]"
    r"|virtiofs\[n\]|ivshmem|cicustom|archive|import-working-storage|restore|ha-managed|startup|template|arch"
    r"|entrypoint|env|cmode|tty|console|debug|vmstatestorage|bwlimit"
)
HOSTILE = (
    "1,mp0=/etc", "1\nlxc.idmap: u 0 0 65536", "x,features=nesting=1", "nesting=1,mount=nfs", "keyctl=1",
    "local-lvm:8,acl=1", "/etc:8", "local:backup/vzdump-lxc-100.tar.zst", "local:iso/x.iso",
    "local-lvm:0,import-from=/x",
    "name=eth0,bridge=vmbr0\n", "name=eth0,bridge=vmbr0,script=/x", "virtio,bridge=vmbr0 mp0=/etc", "l26\nargs: -x",
    "order=scsi0;net0\nhookscript: local:snippets/x", "a;b,c", "web;\x00", "root\nlxc.mount.entry: /etc",
)  # fmt: skip


def path_of(call: str) -> tuple[str, str, tuple[str | int, ...]]:
    """The verb, the template in PVE's schema, and a path of this call."""
    verb, _, rest = call.partition(" ")
    folder, *tail = rest.split("/")
    of_one = verb != "POST" or tail
    template = "/".join(["/nodes/{node}", folder, *(["{vmid}"] if of_one else []), *tail])
    return verb, template, ("nodes", "n1", folder, *([100] if of_one else []), *tail)


@pytest.mark.parametrize("call", CALLS)
def test_l48_every_line_is_a_parameter_of_that_call(call: str) -> None:
    verb, template, _ = path_of(call)
    known = declared(verb, template)
    indexed = {re.sub(r"\d+$", "[n]", name) if name not in known else name for name in CALLS[call]}
    assert indexed <= set(known), indexed - set(known)


@pytest.mark.parametrize("call", RESTORES)
def test_l16_a_restore_says_what_it_is_of_and_that_it_is_unprivileged(call: str) -> None:
    verb, template, path = path_of(call)
    assert set(RESTORES[call]) <= set(declared(verb, template))
    asked = {name for name in RESTORES[call] if NEVER.fullmatch(name)}
    assert asked == ({"restore"} if "lxc" in call else {"archive"})
    kind, flags = ("lxc", {"restore": 1}) if "lxc" in call else ("qemu", {})
    source = "ostemplate" if kind == "lxc" else "archive"
    sent = {**flags, source: f"local:backup/vzdump-{kind}-100-2025_01_01-00_00_00.zst", "unprivileged": 1}
    if kind == "qemu":
        del sent["unprivileged"]
    check(verb, path, sent)
    for wrong in ("/var/lib/vz/dump/x", "local:vztmpl/x.tar.zst", "local:backup/x", f"{sent[source]},x", "-"):
        with pytest.raises(Invalid):
            check(verb, path, sent | {source: wrong})
    for more in ({"unprivileged": 0}, {"rootfs": "local-lvm:1"}, {"features": "nesting=1"}, {"net0": "bridge=vmbr0"}):
        with pytest.raises(Invalid):
            check(verb, path, sent | more)
    if kind == "lxc":
        with pytest.raises(Invalid):
            check(verb, path, {name: value for name, value in sent.items() if name != "unprivileged"})


@pytest.mark.parametrize("call", CALLS)
def test_l15_nothing_dangerous_has_a_line(call: str) -> None:
    assert [name for name in CALLS[call] if NEVER.fullmatch(name)] == []


@pytest.mark.parametrize("call", CALLS)
def test_l15_what_has_no_line_is_refused_whatever_its_value(call: str) -> None:
    verb, template, path = path_of(call)
    assert parameters.call_of(verb, path) == call
    names = {name.replace("[n]", str(n)) for name in declared(verb, template) for n in (0, 1, 255)}
    for name in (*names, "lxc.idmap", "net0\n", " net0", "NET0", "bogus", ""):
        if parameters.is_listed(CALLS[call], name):
            continue
        for value in ("1", "x", ""):
            with pytest.raises(Invalid):
                check(verb, path, {name: value})


@pytest.mark.parametrize(
    "method_and_path",
    [
        ("POST", "lxc", 100, "config"), ("POST", "lxc", 100, "move_volume", "x"), ("PUT", "qemu", 100, "unlink"),
        ("POST", "qemu", 100, "monitor"), ("POST", "qemu", 100, "agent", "exec"), ("PUT", "lxc", 100),
        ("POST", "lxc", 100, "remote_migrate"), ("POST", "lxc", 100, "status", "start", "x"),
    ],
)  # fmt: skip
def test_l15_a_call_without_a_line_is_refused(method_and_path: tuple[Any, ...]) -> None:
    method, *path = method_and_path
    with pytest.raises(Invalid):
        check(method, ("nodes", "n1", *path), {})


@pytest.mark.parametrize("value", HOSTILE)
def test_l16_no_value_opens_another_property(value: str) -> None:
    """But in texts that PVE keeps as they are (description, keys, password), where only lines matter."""
    texts = {"description", "ssh-public-keys", "password", "cipassword"}
    for call in ("POST lxc", "PUT lxc/config", "POST qemu", "PUT qemu/config", "POST lxc/clone", "POST qemu/clone"):
        verb, _, path = path_of(call)
        for name in CALLS[call].keys() - texts - {"onboot", "full"}:
            with pytest.raises(Invalid):
                check(verb, path, {name.replace("[n]", "0"): value})


@pytest.mark.parametrize("flag", [0, "0", "", "true", "1,keyctl=1", 11])
def test_l16_the_only_flag_that_can_be_sent_is_unprivileged(flag: int | str) -> None:
    path = ("nodes", "n1", "lxc")
    check("POST", path, {"unprivileged": 1, "features": "nesting=1"})
    with pytest.raises(Invalid):
        check("POST", path, {"unprivileged": flag})
    with pytest.raises(Invalid):
        check("POST", path, {"features": f"nesting=1,{flag}"})
    with pytest.raises(Invalid):
        check("PUT", (*path, 100, "config"), {"unprivileged": 1})


def test_l15_a_config_loses_only_what_it_could_be_given() -> None:
    path = ("nodes", "n1", "lxc", 100, "config")
    check("PUT", path, {"delete": "net1,tags"})
    check("PUT", path, {"delete": "mp0", "revert": "mp0"})
    for gone in ("unprivileged", "net0,lock", "rootfs", "net0,", "net0;mp0"):
        with pytest.raises(Invalid):
            check("PUT", path, {"delete": gone})


def test_l16_a_disk_is_a_volume_of_a_storage_and_never_a_folder_of_the_node() -> None:
    """New ones are made by PVE; one that is there is put back as it was."""
    container, machine = (("nodes", "n1", folder, 100, "config") for folder in ("lxc", "qemu"))
    check("PUT", container, {"mp0": "local-lvm:8,mp=/srv/data,backup=1"})
    check("PUT", container, {"mp255": "local:100/subvol-100-disk-1.subvol,mp=/srv,size=8G"})
    check("PUT", machine, {"scsi1": "local-lvm:8"})
    check("PUT", machine, {"sata0": "local:100/vm-100-disk-1.qcow2,discard=on,size=8G"})
    wrong = (
        "/srv,mp=/srv", "local-lvm:8,mp=/srv", "local-lvm:8,mp=/srv/../etc,backup=1", "local-lvm:8,mp=srv,backup=1",
        "local-lvm:8,mp=/srv,backup=1,shared=1", "local:iso/x.iso,mp=/srv", "local-lvm:vm-100-disk-1,mp=/a,acl=1",
        "local-lvm:vm-100-disk-1,mp=/a,volume=/etc", "local:100/../../etc,mp=/a", "/dev/sda", "none,media=cdrom",
        "local-lvm:vm-100-disk-1,file=/dev/sda", "local-lvm:8,size=1G", "local-lvm:cloudinit",
    )  # fmt: skip
    for value in wrong:
        for path, name in ((container, "mp0"), (machine, "scsi1"), (container, "unused0"), (machine, "unused0")):
            with pytest.raises(Invalid):
                check("PUT", path, {name: value})


def test_l81_a_disk_is_copied_of_an_image_that_lies_there_for_that_and_of_nothing_else() -> None:
    path = ("nodes", "n1", "qemu")
    check("POST", path, {"scsi0": "local-lvm:0,import-from=local:import/debian-13.qcow2"})
    for source in (
        "/etc/shadow", "local-lvm:vm-100-disk-0", "local:100/vm-100-disk-0.qcow2", "local:import/../x.qcow2",
        "local:import/a/b.qcow2", "local:iso/x.iso", "local:import/x.ova", "local:import/x.qcow2,ro=1", "import/x.raw",
    ):  # fmt: skip
        with pytest.raises(Invalid):
            check("POST", path, {"scsi0": f"local-lvm:0,import-from={source}"})
    with pytest.raises(Invalid):
        check("PUT", (*path, 100, "config"), {"scsi1": "local-lvm:0,import-from=local:import/debian-13.qcow2"})


def test_other_parts_of_the_tree_are_not_guests() -> None:
    for path in (("pools",), ("access", "acl"), ("nodes", "n1", "storage", "local", "content")):
        check("POST", path, {"whatever": "x"})
