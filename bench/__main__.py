"""Run all benchmarks, or those named: `python -m bench listing creation`. Writes bench/results.json.

Where only some were named, the rows of the others stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench import creation, deployment, durability, fairness, lab, listing, passwords, quota, searching
from bench.results import write

RESULTS = Path(__file__).parent / "results.json"
_ALL = {
    "listing": listing.run,
    "searching": searching.run,
    "creation": creation.run,
    "deployment": deployment.run,
    "fairness": fairness.run,
    "quota": quota.run,
    "durability": durability.run,
    "passwords": passwords.run,
    "lab": lab.run,
}


def main(names: list[str]) -> int:
    unknown = set(names) - set(_ALL)
    if unknown:
        print(f"No such benchmark: {', '.join(sorted(unknown))}. There are: {', '.join(_ALL)}.", file=sys.stderr)
        return 2
    results = []
    for name in names or _ALL:
        print(f"{name} ...", flush=True)
        for result in _ALL[name]():
            results.append(result)
            print(f"  {result.line()}", flush=True)
    write(results, RESULTS, keep=bool(names))
    print(f"Written to {RESULTS}")
    return 0


sys.exit(main(sys.argv[1:]))
