"""Recorded scenarios of a real cluster, played to a lab."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.lab.process import LabProcess
from tests.lab.sameness import Sameness, pointed, unordered, without

GOLDEN = Path(__file__).parent / "golden"
_PATIENCE = 2.0
"""Seconds for which a step that reads what a real cluster broadcasts is repeated."""

Step = dict[str, Any]


@dataclass(frozen=True)
class Mismatch:
    """A step whose answer is not the recorded one."""

    scenario: str
    step: int
    wanted: Any
    got: Any


def names() -> list[str]:
    return sorted(path.stem for path in GOLDEN.glob("*.json"))


class Play:
    """One scenario, played to a lab that was just reset."""

    def __init__(self, lab: LabProcess, name: str) -> None:
        self._lab = lab
        self._name = name
        self._steps: list[Step] = json.loads((GOLDEN / f"{name}.json").read_text())["steps"]
        self._saved: dict[str, Any] = {"root_password": lab.password}
        self._tickets: dict[str, tuple[str, str]] = {}
        asked = json.dumps([{key: step[key] for key in step if key != "expect"} for step in self._flat(self._steps)])
        self._sameness = Sameness(asked)
        self._http = requests.Session()
        self._http.verify = str(lab.ca_file)
        self._http.trust_env = False

    @staticmethod
    def _flat(steps: list[Step]) -> Iterator[Step]:
        for step in steps:
            yield from Play._flat(step["steps"]) if step.get("kind") == "parallel" else [step]

    def mismatches(self) -> Iterator[Mismatch]:
        """Play all steps; yields those that are answered otherwise."""
        for number, step in enumerate(self._steps):
            played = {"sleep": self._sleep, "login": self._log_in, "wait": self._wait, "parallel": self._at_once}.get(
                step.get("kind", ""), self._ask
            )(step)
            if played is not None and played[0] != played[1]:
                yield Mismatch(self._name, number, *played)

    def steps(self) -> int:
        """How many steps are compared."""
        return sum(step.get("kind") != "sleep" and not step.get("unchecked") for step in self._steps)

    def _sleep(self, step: Step) -> None:
        time.sleep(min(step["seconds"], 1))

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return re.sub(r"\$\{(\w+)\}", lambda found: str(self._saved.get(found[1], f"<missing {found[1]}>")), value)
        if isinstance(value, dict):
            return {self._filled(key): self._filled(item) for key, item in value.items()}
        return [self._filled(item) for item in value] if isinstance(value, list) else value

    def _ticket(self, who: str) -> tuple[str, str]:
        if who == "root" and who not in self._tickets:
            self._log_in({"as": who, "username": "root@pam", "password": self._lab.password, "expect": {}})
        return self._tickets.get(who, ("", ""))

    def _headers(self, step: Step) -> dict[str, str]:
        who: str = step.get("as", "root")
        headers: dict[str, str] = {}
        if who.startswith("token:"):
            headers["Authorization"] = f"PVEAPIToken={who.removeprefix('token:')}"
        elif who != "anonymous":
            ticket, csrf = self._ticket(who)
            headers["Cookie"] = f"PVEAuthCookie={ticket}"
            if step["method"] not in ("GET", "HEAD", "OPTIONS") and not step.get("no_csrf"):
                headers["CSRFPreventionToken"] = "00000000:" + "A" * 43 if step.get("bad_csrf") else csrf
        headers.update(step.get("headers", {}))
        return headers

    def _send(self, raw_step: Step) -> requests.Response:
        step = self._filled({key: value for key, value in raw_step.items() if key not in ("expect", "save")})
        method, headers, options = step["method"], self._headers(step), {}
        pairs = [
            (name, str(item))
            for name, value in step.get("params", {}).items()
            for item in (value if isinstance(value, list) else [value])
        ]
        address = self._lab.url + ("" if step.get("raw_path") else f"/api2/{step.get('api', 'json')}") + step["path"]
        if "files" in step:
            options = {"data": pairs, "files": {name: _file(file) for name, file in step["files"].items()}}
        elif "json" in step:
            options = {"data": json.dumps(step["json"])}
            headers.setdefault("Content-Type", "application/json")
        elif "body" in step:
            options = {"data": step["body"].encode() * step.get("repeat", 1)}
            headers.setdefault("Content-Type", step.get("ctype", "application/x-www-form-urlencoded"))
        elif method in ("GET", "DELETE", "HEAD", "OPTIONS"):
            address += ("&" if "?" in address else "?") + urllib.parse.urlencode(pairs) if pairs else ""
        else:
            options = {"data": urllib.parse.urlencode(pairs)}
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        prepared = requests.Request(method, address, headers=headers, **options).prepare()
        if step.get("raw_path"):
            prepared.url = address
        return self._http.send(prepared, timeout=60, allow_redirects=False)

    def _answer(self, step: Step) -> tuple[Any, dict[str, Any]]:
        """(the body as it came, the answer in its form)."""
        try:
            answer = self._send(step)
        except requests.RequestException as error:
            return None, {"status": 0, "reason": type(error).__name__, "body": None}
        try:
            body = answer.json()
        except ValueError:
            body = answer.text or None
        known = self._sameness.value(body)
        shown = {"status": answer.status_code, "reason": self._sameness.text(answer.reason), "body": known}
        if names := step.get("check_headers"):
            shown["headers"] = {name: answer.headers.get(name) for name in names}
        return body, shown

    def _pair(self, step: Step, got: dict[str, Any]) -> tuple[Any, Any]:
        pair = []
        for answer in (step.get("expect", {}), got):
            copied = json.loads(json.dumps(answer))
            without(copied.get("body"), step.get("ignore", []))
            pair.append(copied if step.get("ordered") else unordered(copied))
        return pair[0], pair[1]

    def _ask(self, step: Step) -> tuple[Any, Any]:
        end = time.monotonic() + (_PATIENCE if step.get("eventually") else 0)
        while True:
            raw, got = self._answer(step)
            pair = self._pair(step, got)
            if pair[0] == pair[1] or time.monotonic() >= end:
                break
            time.sleep(0.3)
        for name, pointer in step.get("save", {}).items():
            value = pointed(raw, pointer)
            self._saved.pop(name, None)
            if value is not None:
                self._saved[name] = value
        return pair

    def _log_in(self, step: Step) -> tuple[Any, Any]:
        params = {"username": step["username"], "password": step["password"]}
        asked = step | {"as": "anonymous", "method": "POST", "path": "/access/ticket", "params": params}
        raw, got = self._answer(asked)
        data = raw.get("data") if isinstance(raw, dict) else None
        self._tickets[step["as"]] = (data["ticket"], data["CSRFPreventionToken"]) if data else ("", "")
        return self._pair(step, got)

    def _wait(self, step: Step) -> tuple[Any, Any]:
        upid, got, end = self._filled(step["upid"]), None, time.monotonic() + 30
        if upid.startswith("UPID:"):
            path = f"/nodes/{upid.split(':')[1]}/tasks/{urllib.parse.quote(upid, safe='')}/status"
            while time.monotonic() < end:
                raw, _ = self._answer({"method": "GET", "path": path})
                status = raw.get("data") if isinstance(raw, dict) else None
                if not status:
                    break
                if status["status"] == "stopped":
                    got = self._sameness.text(str(status["exitstatus"]))
                    break
                time.sleep(0.02)
        return step["expect"], {"exitstatus": got}

    def _at_once(self, step: Step) -> tuple[Any, Any] | None:
        with ThreadPoolExecutor(len(step["steps"])) as pool:
            answers = list(pool.map(self._answer, step["steps"]))
        for number, (raw, _) in enumerate(answers):
            if isinstance(raw, dict) and isinstance(raw.get("data"), str):
                self._saved[f"p{number}"] = raw["data"]
        return None if step.get("unchecked") else (unordered(step["expect"]), unordered([got for _, got in answers]))


def _file(file: dict[str, Any]) -> tuple[str, bytes]:
    return file["name"], file["text"].encode() if "text" in file else b"x" * file.get("size", 16)
