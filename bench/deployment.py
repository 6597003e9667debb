"""Deploying 200 containers against the lab, beside the bare engine: as many steps and tasks, in which nothing is done.

Both on SQLite, from the first request (submission) until the last operation has ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from bench.creation import until_all_is_done
from bench.house import CHECKOUT, running_house
from bench.people import make_member, make_tenant
from bench.results import Result

COUNT = 200


def run() -> Iterator[Result]:
    with running_house() as house:
        house.start_worker()
        admin = house.login()
        member = make_member(house, admin, make_tenant(admin))
        body = {"name": "ct-{n}", "count": COUNT // 2, "spec": {"template_id": "debian-12", "memory": 64}}
        began = time.monotonic()
        for batch in range(2):
            answer = member.ask("POST", "/api/proxmox/guests/batch", {**body, "name": f"ct-{batch}-{{n}}"})
            assert answer.status == 200, answer.body
        until_all_is_done(admin)
        deployed = COUNT / (time.monotonic() - began)
    yield Result(f"deploy {COUNT} containers", round(deployed, 2), "a second", round(_bare(), 2))


def _bare() -> float:
    with tempfile.TemporaryDirectory(prefix="poolhouse-bench-") as folder:
        command = [sys.executable, "-m", "bench.bare_engine", folder, str(COUNT)]
        done = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    return COUNT / float(json.loads(done.stdout.splitlines()[-1])["seconds"])
