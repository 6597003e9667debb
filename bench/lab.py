"""The lab as its clients feel it: its start, its memory, and its two most asked questions with 10,000 guests.

Rates are those of one proxmoxer session on keep-alive; the baseline of each is a bare aiohttp server over TLS that
sends the same bytes to the same client. What one core carries is told beside them, from the processor's time.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from proxmoxer import ProxmoxAPI

from bench.house import free_ports, wait_until
from bench.processes import cpu_seconds, most_memory
from bench.results import Result
from tests.lab.process import LabProcess

_GUESTS = 10_000


def run() -> list[Result]:
    begun = time.perf_counter()
    small = LabProcess.start("fresh")
    start = time.perf_counter() - begun
    small.stop()
    results = [Result("lab: start until it listens", round(1000 * start), "ms")]
    lab = LabProcess.start("demo", guests=_GUESTS)
    try:
        for name, path, times in (("/version", "version", 3000), ("/cluster/resources", "cluster/resources", 30)):
            results += _compared(lab, name, path, times)
        results.append(Result("lab: memory at most, 10,000 guests", most_memory(lab.process.pid), "MB"))
    finally:
        lab.stop()
    return results


def _compared(lab: LabProcess, name: str, path: str, times: int) -> list[Result]:
    api = _client(lab.port, lab.password, lab.ca_file)
    cpu = cpu_seconds(lab.process.pid)
    rate = _rate(api, path, times)
    cpu = cpu_seconds(lab.process.pid) - cpu
    body = lab.login().call("GET", f"/{path}").content
    with _bare(body, lab.ca_file) as port:
        bare = _rate(_client(port, lab.password, lab.ca_file), path, times)
    return [
        Result(f"lab: {name} through proxmoxer", round(rate, 1), "requests/s", round(bare, 1)),
        Result(f"lab: {name}, what one core carries", round(times / cpu, 1), "requests/s"),
    ]


def _client(port: int, password: str, ca: Path) -> ProxmoxAPI:
    return ProxmoxAPI("127.0.0.1", port=port, user="root@pam", password=password, verify_ssl=str(ca))


def _rate(api: ProxmoxAPI, path: str, times: int) -> float:
    ask: Callable[[], object] = api(path).get
    ask()
    begun = time.perf_counter()
    for _ in range(times):
        ask()
    return times / (time.perf_counter() - begun)


@contextmanager
def _bare(body: bytes, certificate: Path) -> Iterator[int]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        (port,) = free_ports(1)
        key = certificate.with_suffix(".key")
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.bare_tls", str(port), str(certificate), str(key)],
            env={**os.environ, "BENCH_BODY": file.name},
        )
        try:
            wait_until(lambda: _listens(port), "the bare server", process)
            yield port
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0
