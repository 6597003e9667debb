"""Which backups a retention, `keep-last=3,keep-daily=7`, keeps (libpve-storage 9: prune_mark_backup_group)."""

import time
from collections.abc import Callable, Mapping

_PERIODS: dict[str, str] = {
    "keep-hourly": "%Y-%m-%d %H",
    "keep-daily": "%Y-%m-%d",
    "keep-weekly": "%G-%V",
    "keep-monthly": "%Y-%m",
    "keep-yearly": "%Y",
}


def parse(written: str) -> dict[str, int]:
    """Counts by name; `keep-all` is 1 or absent."""
    pairs = (part.partition("=") for part in written.split(",") if part)
    return {key.strip(): int(value) for key, _, value in pairs}


def _period(pattern: str) -> Callable[[int], str]:
    return lambda moment: time.strftime(pattern, time.gmtime(moment))


def kept(plan: Mapping[str, int], backups: Mapping[str, int]) -> set[str]:
    """The names that stay. `backups` maps names to their time (seconds); protected ones are not among them."""
    if plan.get("keep-all") or not any(plan.values()):
        return set(backups)
    newest_first = sorted(backups, key=lambda name: backups[name], reverse=True)
    stay = set(newest_first[: plan.get("keep-last", 0)])
    for rule, pattern in _PERIODS.items():
        _keep_per_period(plan.get(rule, 0), _period(pattern), newest_first, backups, stay)
    return stay


def _keep_per_period(
    count: int, period: Callable[[int], str], order: list[str], backups: Mapping[str, int], stay: set[str]
) -> None:
    """Keep the newest of each of the last `count` periods that nothing kept covers yet."""
    covered = {period(backups[name]) for name in stay}
    added: set[str] = set()
    for name in order:
        label = period(backups[name])
        if name in stay or label in covered or label in added:
            continue
        if len(added) >= count:
            break
        added.add(label)
        stay.add(name)
