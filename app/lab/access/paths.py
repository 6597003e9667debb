"""Paths of ACLs: brought into one form, and known to mean something (pve-access-control: check_path)."""

import re

_NAME = r"[A-Za-z0-9.\-_]+"
_KNOWN = re.compile(
    rf"/|/access(?:/groups(?:/{_NAME})?|/realm(?:/{_NAME})?)?"
    rf"|/nodes(?:/{_NAME})?"
    rf"|/pool(?:/{_NAME}){{0,3}}"
    rf"|/sdn(?:/(?:controllers|dns|ipams|fabrics)(?:/{_NAME})?|/zones(?:/{_NAME}(?:/{_NAME}(?:/[1-9]\d{{0,3}})?)?)?)?"
    rf"|/storage(?:/{_NAME})?"
    rf"|/vms(?:/[1-9]\d{{2,}})?"
    rf"|/mapping(?:/{_NAME}){{0,2}}"
)


def normalized(path: str) -> str | None:
    """With one slash before each part and none at the end; None for nothing, and characters that no path has."""
    if path in ("", "0"):
        return None
    parts = [part for part in path.split("/") if part]
    found = "/" + "/".join(parts)
    return found if re.fullmatch(r"[A-Za-z0-9.\-_/]+", found) else None


def is_known(path: str) -> bool:
    """Whether ACLs make sense there, be the thing there or not."""
    return _KNOWN.fullmatch(path) is not None
