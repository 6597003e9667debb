"""What a test sees and does behind the API's back: the lab as its root@pam, and its control port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests


class LabView:
    """Speaks as root@pam, with a ticket; what it does is in the call log under that name."""

    def __init__(self, url: str, password: str, ca_file: Path, control_url: str) -> None:
        self._url = f"{url}/api2/json"
        self._control = control_url
        self._session = requests.Session()
        self._session.trust_env = False
        # The lab ends connections that were idle for some seconds, as PVE does: none is taken up again at that moment.
        self._session.headers["Connection"] = "close"
        self._session.verify = str(ca_file)
        log_in = {"username": "root@pam", "password": password}
        ticket = self._session.post(f"{self._url}/access/ticket", log_in, timeout=30).json()["data"]
        self._session.cookies.set("PVEAuthCookie", ticket["ticket"])
        self._session.headers["CSRFPreventionToken"] = ticket["CSRFPreventionToken"]

    def get(self, path: str) -> Any:
        """The data of a GET; fails where PVE refuses."""
        return self._data("GET", path)

    def delete(self, path: str) -> Any:
        return self._data("DELETE", path)

    def post(self, path: str, /, **params: Any) -> Any:
        return self._data("POST", path, params)

    def put(self, path: str, /, **params: Any) -> Any:
        return self._data("PUT", path, params)

    def guests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/cluster/resources?type=vm")
        return found

    def members(self, poolid: str) -> set[int]:
        """The vmids in a pool."""
        return {member["vmid"] for member in self.get(f"/pools/{poolid}")["members"] if "vmid" in member}

    def tasks(self) -> list[dict[str, Any]]:
        return [task for node in ("n1", "n2") for task in self.get(f"/nodes/{node}/tasks?source=all&limit=1000")]

    # -- the control port

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """What others asked of the lab since a mark, oldest first; this view's own calls are left out."""
        rows = self._controlled("GET", f"calls?since={since}")["data"]
        return [row for row in rows if row["user"] != "root@pam"]

    def mark(self) -> int:
        """The number of the last call, for `calls` and `writes`."""
        last: int = self._controlled("GET", "calls?since=999999999")["cursor"]
        return last

    def writes(self, since: int) -> list[dict[str, Any]]:
        """What others changed, or tried to, since a mark."""
        return [row for row in self.calls(since) if row["method"] != "GET"]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self._controlled("GET", "state")["data"]
        return found

    @contextmanager
    def fault(self, **rule: Any) -> Iterator[None]:
        """A rule that makes things go wrong while the block runs."""
        number = self._controlled("POST", "faults", rule)["data"]["id"]
        try:
            yield
        finally:
            self._controlled("DELETE", f"faults?id={number}")

    @contextmanager
    def inside(self, vmid: int, **wanted: Any) -> Iterator[None]:
        """What the inside of a guest is like while the block runs (`agent`, `deaf`, ...)."""
        before = self.state()["guests"][str(vmid)]
        self._controlled("PUT", f"guests/{vmid}", wanted)
        try:
            yield
        finally:
            self._controlled("PUT", f"guests/{vmid}", {name: before[name] for name in wanted})

    def _data(self, method: str, path: str, params: dict[str, Any] | None = None) -> Any:
        answer = self._session.request(method, self._url + path, data=params, timeout=60)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.reason}"
        return answer.json()["data"]

    def _controlled(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, f"{self._control}/{name}", json=body, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found
