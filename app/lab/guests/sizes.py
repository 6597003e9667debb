"""Sizes as PVE writes them in configurations: `32G`, `512M`, `3584M`, `4K`, or a bare number of bytes."""

import re

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"^([0-9]{1,18}(?:\.[0-9]{1,18})?)([KMGT]?)(?:iB)?$")


def size_of(text: str) -> int | None:
    """Bytes of a written size, or None where it is none."""
    match = _SIZE.match(text)
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def written(size: int) -> str:
    """A size in the largest unit that divides it (PVE::JSONSchema::format_size): 3758096384 is `3584M`."""
    for unit in ("T", "G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)
