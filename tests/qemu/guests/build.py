"""Machines to boot in tests, made of Debian's packages: a kernel, busybox and the QEMU agent in an initramfs, on a disk
that starts under BIOS, under UEFI and under Secure Boot. Nothing is installed on this host; what was built is kept in
the user's cache. `python -m tests.qemu.guests.build` prints where."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

KERNEL = "linux-image-cloud-amd64"
INSIDE = (
    "busybox-static",
    "qemu-guest-agent",
    "libglib2.0-0",
    "liburing2",
    "libudev1",
    "libpcre2-8-0",
    "libnuma1",
    "libc6",
)
TOOLS = ("syslinux", "syslinux-common", "mtools", "dosfstools", "shim-signed", "grub-efi-amd64-signed",
         "grub-efi-amd64-bin")  # fmt: skip
MODULES = (
    "virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_scsi", "virtio_balloon", "sd_mod", "sr_mod",
    "isofs", "vfat", "nls_ascii", "nls_cp437", "button", "evdev",
)  # fmt: skip

MIB = 1 << 20
_PARTITION_AT, _PARTITION_MIB, _DISK_MIB = MIB, 40, 64
_COMMAND_LINE = "console=ttyS0 quiet panic=1"


class Impossible(Exception):
    """The guests cannot be built here; the text says why."""


@dataclass(frozen=True)
class Guests:
    """`tiny` boots under BIOS, UEFI and Secure Boot: it says `READY <host name>` on the serial line, `ADDRESS <card>
    <address>` for each lease and `SEED <host name>` for a NoCloud seed, and has an agent that executes. The disk has
    64 MiB, of which the last 20 are free. `unsigned` has a loader that Secure Boot must refuse."""

    tiny: Path
    unsigned: Path


def built() -> Guests:
    """From the cache, or built first, which takes some seconds. Raises Impossible."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poolhouse" / "guests"
    cache.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in ("build.py", "init", "lease"))).hexdigest()
    folder = cache / key[:16]
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache) as work:
                made = Path(work) / "made"
                made.mkdir()
                _build(Path(work), made)
                made.rename(folder)
    return Guests(folder / "tiny.qcow2", folder / "unsigned.qcow2")


def _build(work: Path, made: Path) -> None:
    for program in ("apt-get", "dpkg-deb", "qemu-img"):
        if shutil.which(program) is None:
            raise Impossible(f"{program} is not installed")
    depends = _output("apt-cache", "depends", KERNEL)
    kernel = re.search(r"Depends: (linux-image-\S+)", depends)
    if kernel is None:
        raise Impossible(f"apt knows no {KERNEL}: apt-get update")
    root = work / "root"
    _unpack(work / "packages", root, [kernel[1], *INSIDE, *TOOLS])
    version = kernel[1].removeprefix("linux-image-")
    initrd = _initramfs(root, work / "inside", version)
    vmlinuz = root / "boot" / f"vmlinuz-{version}"
    signed = root / "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
    unsigned = root / "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"
    shim = root / "usr/lib/shim/shimx64.efi.signed"
    _disk(root, work / "tiny", [vmlinuz, initrd], {"BOOTX64.EFI": shim, "grubx64.efi": signed}, made / "tiny.qcow2")
    _disk(root, work / "unsigned", [vmlinuz, initrd], {"BOOTX64.EFI": unsigned}, made / "unsigned.qcow2")


def _unpack(packages: Path, root: Path, names: Iterable[str]) -> None:
    packages.mkdir()
    try:
        _run("apt-get", "download", "-qq", *names, cwd=packages)
    except Impossible as error:
        raise Impossible(f"Debian's packages cannot be had: {error}") from None
    for package in packages.glob("*.deb"):
        _run("dpkg-deb", "--extract", str(package), str(root))


def _initramfs(root: Path, inside: Path, version: str) -> Path:
    busybox = root / "bin/busybox"
    _run(str(busybox), "depmod", "-b", str(root), version)
    modules = root / "lib/modules" / version
    for module in _with_dependencies(modules / "modules.dep", MODULES):
        _copy(modules / module, inside / "lib/modules" / version / module)
    for table in ("modules.dep", "modules.alias", "modules.symbols"):
        _copy(modules / table, inside / "lib/modules" / version / table)
    _copy(busybox, inside / "bin/busybox")
    _copy(root / "usr/sbin/qemu-ga", inside / "usr/sbin/qemu-ga")
    libraries = root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu"
    for name in (
        "libglib-2.0.so.0",
        "libgmodule-2.0.so.0",
        "libnuma.so.1",
        "liburing.so.2",
        "libudev.so.1",
        "libpcre2-8.so.0",
        "libc.so.6",
        "libm.so.6",
    ):
        _copy(next(found / name for found in libraries if (found / name).exists()), inside / "lib" / name)
    _copy(root / "lib64/ld-linux-x86-64.so.2", inside / "lib64/ld-linux-x86-64.so.2")
    _copy(HERE / "init", inside / "init")
    _copy(HERE / "lease", inside / "etc/lease")
    for script in (inside / "init", inside / "etc/lease"):
        script.chmod(0o755)
    initrd = inside.with_suffix(".gz")
    with initrd.open("wb") as archive:
        _run("sh", "-c", f"find . | {busybox} cpio -o -H newc 2>/dev/null | gzip -9n", cwd=inside, stdout=archive)
    return initrd


def _with_dependencies(table: Path, wanted: Iterable[str]) -> set[str]:
    needs = {line.split(":")[0]: line.split(":")[1].split() for line in table.read_text().splitlines()}
    by_name = {Path(module).stem.replace("-", "_"): module for module in needs}
    found: set[str] = set()
    for name in wanted:
        if name in by_name:  # the others are built into the kernel
            found |= {by_name[name], *needs[by_name[name]]}
    return found


def _disk(root: Path, work: Path, files: list[Path], loaders: dict[str, Path], disk: Path) -> None:
    """An MBR with one FAT partition: syslinux for BIOS, `loaders` for UEFI."""
    work.mkdir()
    fat, raw = work / "fat", work / "raw"
    grub = f"set timeout=0\nmenuentry tiny {{\n linux /vmlinuz {_COMMAND_LINE}\n initrd /initrd\n}}\n"
    (work / "grub.cfg").write_text(grub)
    (work / "syslinux.cfg").write_text(
        f"DEFAULT tiny\nPROMPT 0\nTIMEOUT 0\nLABEL tiny\n LINUX vmlinuz\n INITRD initrd\n APPEND {_COMMAND_LINE}\n"
    )
    tools = {**os.environ, "PATH": f"{root}/usr/bin:{root}/usr/sbin:{root}/sbin:{os.environ['PATH']}"}
    _run("mkfs.fat", "-F", "16", "-n", "TINY", "-C", str(fat), str(_PARTITION_MIB << 10), env=tools)
    _run("mmd", "-i", str(fat), "::EFI", "::EFI/BOOT", "::EFI/debian", env=tools)
    for source, target in [
        (files[0], "vmlinuz"), (files[1], "initrd"), (work / "syslinux.cfg", "syslinux.cfg"),
        (work / "grub.cfg", "EFI/debian/grub.cfg"), (work / "grub.cfg", "EFI/BOOT/grub.cfg"),
        *((path, f"EFI/BOOT/{name}") for name, path in loaders.items()),
    ]:  # fmt: skip
        _run("mcopy", "-i", str(fat), str(source), f"::{target}", env=tools)
    _run("syslinux", "--install", str(fat), env=tools)
    master = (root / "usr/lib/syslinux/mbr/mbr.bin").read_bytes().ljust(446, b"\0")
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x0E, b"\xfe\xff\xff", _PARTITION_AT // 512,
                        _PARTITION_MIB * MIB // 512)  # fmt: skip
    with raw.open("wb") as image:
        image.write(master + entry + bytes(48) + b"\x55\xaa")
        image.seek(_PARTITION_AT)
        image.write(fat.read_bytes())
        image.truncate(_DISK_MIB * MIB)
    _run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(disk))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _run(*command: str, **more: object) -> None:
    given: dict[str, object] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **more}
    done = subprocess.run(command, check=False, **given)  # type: ignore[call-overload]
    if done.returncode:
        raise Impossible(f"{Path(command[0]).name}: {done.stderr.decode(errors='replace').strip()[-300:]}")


if __name__ == "__main__":
    print(built())  # noqa: T201
