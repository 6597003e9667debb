"""What a benchmark found, and how it is written down."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """`ratio` is value / baseline; what is compared with what is said where the result is made."""

    name: str
    value: float
    unit: str
    baseline: float | None = None

    @property
    def ratio(self) -> float | None:
        return round(self.value / self.baseline, 3) if self.baseline else None

    def line(self) -> str:
        compared = f"   {self.ratio:g} of {self.baseline:g}" if self.baseline and self.ratio is not None else ""
        return f"{self.name:<46}{self.value:>10.5g} {self.unit:<12}{compared}"


def write(results: Sequence[Result], path: Path, *, keep: bool) -> None:
    """`keep` what the file has under other names."""
    rows = {result.name: {**dataclasses.asdict(result), "ratio": result.ratio} for result in results}
    before = {row["name"]: row for row in json.loads(path.read_text())} if keep and path.exists() else {}
    path.write_text(json.dumps(list({**before, **rows}.values()), indent=2) + "\n")


def quantile(values: Sequence[float], share: float) -> float:
    """Of all values, the smallest that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
