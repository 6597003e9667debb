"""Clients that cost little themselves: one socket each, kept alive, requests made once and sent often."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_TIMEOUT = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection to one server. `token` is the bearer's, `timeout` how many seconds it waits for anything."""

    def __init__(self, url: str, token: str | None = None, *, timeout: float = _TIMEOUT) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = (parts.hostname, parts.port)
        self.token = token
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        """The bytes of a request, ready to be sent many times."""
        content = json.dumps(body).encode() if body is not None else b""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._address[0]}:{self._address[1]}"]
        lines += [f"Authorization: Bearer {self.token}"] if self.token else []
        lines += ["Content-Type: application/json"] if body is not None else []
        lines += [f"Content-Length: {len(content)}"] if body is not None or method != "GET" else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + content

    def connect(self) -> socket.socket:
        """The open connection, or a new one."""
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def send(self, request: bytes) -> Answer:
        """Raises OSError where the server is away; the next request makes a new connection."""
        self.begin(request)
        return self.end()

    def begin(self, request: bytes) -> None:
        """Send, and do not wait for the answer; `end` reads it. Both raise as `send` does."""
        try:
            self.connect().sendall(request)
        except OSError:
            self.close()
            raise

    def end(self) -> Answer:
        try:
            return self._answer(self.connect())
        except OSError:
            self.close()
            raise

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        return self.send(self.request(method, path, body, **headers))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _answer(self, connection: socket.socket) -> Answer:
        buffer = bytearray()
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += _more(connection)
        head = bytes(buffer[:end]).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        length = int(headers.get("content-length", 0))
        while len(buffer) < end + 4 + length:
            buffer += _more(connection)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(head[0].split(" ", 2)[1]), bytes(buffer[end + 4 :]))


def _more(connection: socket.socket) -> bytes:
    received = connection.recv(1 << 18)
    if not received:
        raise ConnectionResetError("the server closed the connection")
    return received


@dataclass
class Outcome:
    """`latencies` in seconds, of the answers that were expected; `others` counts the rest."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds


def closed_loop(clients: Sequence[Client], request: bytes, seconds: float) -> Outcome:
    """Every client sends again as soon as it is answered."""
    return _together(clients, lambda client, outcome, began: _keep_sending(client, request, outcome, began + seconds))


def open_loop(
    clients: Sequence[Client], request: Callable[[Client, int], bytes], *, rate: float, seconds: float, expect: int
) -> Outcome:
    """All clients together send `rate` requests a second, in turn. A late answer does not slow the sender's clock:
    latency counts from the moment at which the request was due."""
    total = int(rate * seconds)
    numbers = {id(client): range(position, total, len(clients)) for position, client in enumerate(clients)}

    def run(client: Client, outcome: Outcome, began: float) -> None:
        for number in numbers[id(client)]:
            due = began + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            _one(client, request(client, number), outcome, due, expect)

    return _together(clients, run)


def _keep_sending(client: Client, request: bytes, outcome: Outcome, until: float) -> None:
    while (began := time.monotonic()) < until:
        _one(client, request, outcome, began, 200)


def _one(client: Client, request: bytes, outcome: Outcome, due: float, expect: int) -> None:
    try:
        answer = client.send(request)
    except OSError as error:
        outcome.others[type(error).__name__] += 1
        return
    if answer.status == expect:
        outcome.latencies.append(time.monotonic() - due)
    else:
        outcome.others[f"{answer.status} {answer.body[:200].decode(errors='replace')}"] += 1


def _together(clients: Sequence[Client], run: Callable[[Client, Outcome, float], None]) -> Outcome:
    outcomes = [Outcome() for _ in clients]
    began = time.monotonic() + 0.05
    threads = [
        threading.Thread(target=run, args=(client, outcome, began))
        for client, outcome in zip(clients, outcomes, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Outcome(seconds=time.monotonic() - began)
    for outcome in outcomes:
        whole.latencies += outcome.latencies
        whole.others += outcome.others
    return whole
