"""A scrape of prometheus-pve-exporter, and its samples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.lab.process import LabProcess

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Labels = frozenset[tuple[str, str]]


class Metrics(dict[str, dict[Labels, float]]):
    """The samples of one scrape: by name, then by their labels."""

    @classmethod
    def of(cls, text: str) -> Metrics:
        metrics = cls()
        for name, labels, value in (found.groups() for line in text.splitlines() if (found := _SAMPLE.match(line))):
            metrics.setdefault(name, {})[frozenset(_LABEL.findall(labels or ""))] = float(value)
        return metrics

    def value(self, name: str, **labels: str) -> float:
        return self[name][frozenset(labels.items())]

    def by_id(self, name: str) -> dict[str, float]:
        """The values of a metric that has no label but the id."""
        return {dict(labels)["id"]: value for labels, value in self.get(name, {}).items()}

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of an `info` metric, whose values are all 1."""
        assert set(self.get(name, {}).values()) <= {1.0}
        return [dict(labels) for labels in self.get(name, {})]


@dataclass(frozen=True)
class Exporter:
    lab: LabProcess
    url: str
    log: Path

    def answer(self, **query: str) -> requests.Response:
        query = {"target": f"127.0.0.1:{self.lab.port}"} | query
        with requests.Session() as http:
            http.trust_env = False
            return http.get(f"{self.url}/pve", params=query, timeout=60)

    def scrape(self, **query: str) -> Metrics:
        answer = self.answer(**query)
        assert answer.status_code == 200, answer.text
        return Metrics.of(answer.text)

    def own_metrics(self) -> Metrics:
        """What it tells of itself."""
        with requests.Session() as http:
            http.trust_env = False
            return Metrics.of(http.get(f"{self.url}/metrics", timeout=60).text)
