"""What PVE checks in its code, beyond the schema, before a guest may be made or changed."""

from collections.abc import Iterable, Mapping

from app.lab.call import Call, Refused, TaskFailed
from app.lab.guests import drives, options, properties, tags
from app.lab.storage import access

Values = Mapping[str, str | int]


def forbidden(text: str = "") -> Refused:
    """403 `Permission check failed`, with what was missing where PVE names it."""
    return Refused(403, f"Permission check failed ({text})" if text else "Permission check failed")


def as_failure(refusal: Refused) -> TaskFailed:
    """A refusal that comes up within a task: its text ends the task, with the status where PVE prints it."""
    return TaskFailed(f"403 {refusal.message}" if refusal.status == 403 else refusal.message)


def may_take_id(call: Call, vmid: int, pool: str | None) -> bool:
    """VM.Allocate on the id, or on the pool that the guest is to join."""
    return call.has(f"/vms/{vmid}", "VM.Allocate") or bool(pool and call.has(f"/pool/{pool}", "VM.Allocate"))


def require_pool(call: Call, pool: str | None) -> None:
    """The pool named by `pool=` is there; PVE calls its absence a matter of permission, even for root."""
    if pool is not None and pool not in call.world.pools:
        raise forbidden(f"pool '{pool}' does not exist")


def require_vm(call: Call, vmid: int, pool: str | None, *privileges: str, any_of: bool = False) -> None:
    """Privileges on the guest, or on the pool it is to join; the refusal always names the guest."""
    if pool and call.has(f"/pool/{pool}", *privileges, any_of=any_of):
        return
    call.require(f"/vms/{vmid}", *privileges, any_of=any_of)


def require_bridge(call: Call, net: Mapping[str, str]) -> None:
    """SDN.Use of the card's bridge: on the bridge, or on each of its VLAN tags."""
    bridge = net.get("bridge")
    if not bridge:
        return
    path = f"/sdn/zones/localnetwork/{bridge}"
    tagged = [tag for tag in (net.get("tag"), *(net.get("trunks") or "").split(";")) if tag]
    for tag in tagged:
        call.require(f"{path}/{tag}", "SDN.Use")
    if not net.get("tag"):
        call.require(path, "SDN.Use")


def _same_network(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    return all(old.get(key) == new.get(key) for key in ("bridge", "tag", "trunks"))


def require_bridges(call: Call, kind: str, config: Values, old: Values | None = None) -> None:
    """SDN.Use of the bridges of all cards that are new or that change their network."""
    if call.who.is_root:
        return
    read = properties.parse_lxc_net if kind == "lxc" else properties.parse_qemu_net
    for key in config:
        if options.family(key) == "net" and key != "net":
            net = read(str(config[key]))
            if old is None or key not in old or not _same_network(read(str(old[key])), net):
                require_bridge(call, net)


def _qemu_option(call: Call, vmid: int, pool: str | None, option: str) -> None:
    def need(*privileges: str, any_of: bool = False) -> None:
        require_vm(call, vmid, pool, *privileges, any_of=any_of)

    if drives.is_drive(option) or option in ("cdrom", "tags"):
        return
    if options.checked_by_value(option) and option != "rng0":
        return
    if option in options.QEMU_CPU or options.family(option) == "numa":
        need("VM.Config.CPU")
    elif option in options.QEMU_MEMORY:
        need("VM.Config.Memory")
    elif option in options.QEMU_HARDWARE:
        need("VM.Config.HWType")
    elif option in options.QEMU_GENERAL:
        need("VM.Config.Options")
        if option == "startup":
            call.require("/", "Sys.Modify")
    elif option in options.QEMU_POWER:
        need("VM.PowerMgmt")
    elif option in options.QEMU_DISK:
        need("VM.Config.Disk")
    elif options.is_cloudinit(option):
        need("VM.Config.Cloudinit", "VM.Config.Network", any_of=True)
    elif options.family(option) == "net":
        need("VM.Config.Network")
    else:
        raise Refused(500, f"only root can set '{option}' config")


def require_qemu_options(call: Call, vmid: int, pool: str | None, names: Iterable[str]) -> None:
    """The privilege of every option of a VM that is set or deleted; drives and devices are judged elsewhere."""
    if not call.who.is_root:
        for option in names:
            _qemu_option(call, vmid, pool, option)


def _require_mapping(call: Call, path: str) -> None:
    call.require(f"/mapping/{path}", "Mapping.Use")


def _qemu_device(call: Call, vmid: int, pool: str | None, option: str, value: str) -> None:
    """A device of its kind: VM.Config.HWType, Mapping.Use for mapped ones of the host; unmapped ones are root's."""
    kind = options.family(option)
    device = properties.parse(value, {"virtiofs": "dirid", "rng": "source"}.get(kind, "host"))
    host, mapping = device.get("host", ""), device.get("mapping")
    if kind == "serial" and host != "socket":
        raise Refused(500, f"only root can set '{option}' config for real devices")
    if kind == "hostpci" and host:
        raise Refused(500, f"only root can set '{option}' config for non-mapped devices")
    if kind == "hostpci" and mapping:
        _require_mapping(call, f"pci/{mapping}")
    if kind in ("usb", "hostpci") and not (host or mapping):
        raise Refused(500, "either 'host' or 'mapping' must be set.")
    require_vm(call, vmid, pool, "VM.Config.Disk" if kind == "virtiofs" else "VM.Config.HWType")
    if kind == "hostpci" and "romfile" in device:
        raise Refused.parameters({option: "only root@pam can set 'romfile' option"})
    if kind == "usb" and host and host.lower() != "spice":
        raise Refused(500, f"only root can set '{option}' config for real devices")
    if kind == "usb" and not host:
        _require_mapping(call, f"usb/{mapping}")
    if kind == "rng" and device.get("source") == "/dev/hwrng":
        _require_mapping(call, "hwrng")
    if kind == "virtiofs":
        _require_mapping(call, f"dir/{device.get('dirid')}")


_DEVICES = ("serial", "usb", "hostpci", "rng", "virtiofs")
"""In the order in which PVE looks at them."""


def require_qemu_devices(call: Call, vmid: int, pool: str | None, config: Values) -> None:
    """The rights to serial, USB and PCI devices, random number generators and shared folders."""
    if call.who.is_root:
        return
    found = [option for option in config if options.family(option) in _DEVICES]
    for option in sorted(found, key=lambda option: _DEVICES.index(options.family(option))):
        _qemu_device(call, vmid, pool, option, str(config[option]))


def require_qemu_drives(call: Call, vmid: int, config: Values, default_storage: str | None) -> None:
    """The storages of all drives: space for new volumes, sight of isos and of other guests' volumes."""
    for key in drives.disk_keys("qemu", config):
        drive = properties.parse_drive(str(config[key]))
        volume = drive.get("file", "")
        if volume in ("none", "cloudinit") or drives.is_cloudinit(drive):
            continue
        wanted = properties.new_volume(volume)
        if properties.is_cdrom(drive) and volume == "cdrom":
            call.require("/", "Sys.Console")
        elif wanted and not properties.is_cdrom(drive):
            _require_new_drive(call, key, drive, wanted, default_storage)
        else:
            access.require_volume(call, vmid, volume)
            if access.content_of(call.world, volume) == "iso" and not properties.is_cdrom(drive):
                raise Refused.parameters({key: "explicit 'media=cdrom' is required for iso images"})
    if state := config.get("vmstatestorage"):
        call.require(f"/storage/{state}", "Datastore.AllocateSpace")


def _require_new_drive(
    call: Call, key: str, drive: Mapping[str, str], wanted: tuple[str, float], default_storage: str | None
) -> None:
    storage = wanted[0] or default_storage
    if not storage:
        raise Refused(500, "no storage ID specified (and no default storage)")
    call.require(f"/storage/{storage}", "Datastore.AllocateSpace")
    access.require_content(call.world, storage, "images", f"storage '{storage}' does not support vm images")
    if source := drive.get("import-from"):
        if wanted[1] != 0:
            text = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"
            raise Refused.parameters({key: text})
        access.require_volume(call, 0, source)


def _features(text: str) -> dict[str, str]:
    return properties.parse(text)


def _changed_features(old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    return {name for name in (*old, *new) if old.get(name, "0") != new.get(name, "0")}


def require_lxc_features(
    call: Call, vmid: int, pool: str | None, old: str | None, new: str | None, *, unprivileged: bool
) -> None:
    """Feature flags: nesting of an unprivileged container needs VM.Allocate; everything else is for root@pam alone."""
    if not unprivileged:
        raise forbidden("changing feature flags for privileged container is only allowed for root@pam")
    changed = _changed_features(_features(old or ""), _features(new or ""))
    if changed - {"nesting"}:
        raise forbidden("changing feature flags (except nesting) is only allowed for root@pam")
    if changed:
        require_vm(call, vmid, pool, "VM.Allocate")


def mount_type(volume: str) -> str:
    """volume, device or bind: what a mount point rests on."""
    if volume.startswith("/dev/"):
        return "device"
    return "bind" if volume.startswith("/") else "volume"


def _lxc_mount(call: Call, vmid: int, value: str) -> None:
    volume = properties.parse_mount(value).get("volume", "")
    if (kind := mount_type(volume)) != "volume":
        raise forbidden(f"mount point type {kind} is only allowed for root@pam")
    if (wanted := properties.new_volume(volume)) and wanted[0]:
        call.require(f"/storage/{wanted[0]}", "Datastore.AllocateSpace")
    elif not wanted:
        access.require_volume(call, vmid, volume)


def require_lxc_options(
    call: Call,
    vmid: int,
    pool: str | None,
    old: Values | None,
    new: Values,
    delete: Iterable[str],
    *,
    unprivileged: bool,
) -> None:
    """The privilege of every option of a container that is set (`new`) or deleted."""
    if call.who.is_root:
        return

    def need(*privileges: str) -> None:
        require_vm(call, vmid, pool, *privileges)

    def check(option: str, value: str | None) -> None:
        before = str(old[option]) if old and option in old else None
        by_name = _LXC_PRIVILEGE.get(options.family(option))
        if options.family(option) == "dev":
            raise forbidden("configuring device passthrough is only allowed for root@pam")
        if option == "hookscript":
            raise forbidden("changing the hookscript is only allowed for root@pam")
        if option == "features":
            require_lxc_features(call, vmid, pool, before, value, unprivileged=unprivileged)
        elif option == "tags":
            tags.require_change(call, vmid, before or "", value or "")
        else:
            need(by_name or "VM.Config.Options")
        if value is not None and drives.is_mount(option):
            _lxc_mount(call, vmid, value)

    for option, value in new.items():
        check(option, str(value))
        if options.family(option) == "net":
            require_bridges(call, "lxc", {option: value}, old)
    for option in delete:
        check(option, None)


_LXC_PRIVILEGE = {
    "cores": "VM.Config.CPU",
    "cpuunits": "VM.Config.CPU",
    "cpulimit": "VM.Config.CPU",
    "rootfs": "VM.Config.Disk",
    "mp": "VM.Config.Disk",
    "unused": "VM.Config.Disk",
    "memory": "VM.Config.Memory",
    "swap": "VM.Config.Memory",
    "net": "VM.Config.Network",
    "nameserver": "VM.Config.Network",
    "searchdomain": "VM.Config.Network",
    "hostname": "VM.Config.Network",
}
