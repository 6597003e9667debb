"""What strangers and broken clients send: the lab lives on, its state is as it was, its memory is bounded."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import json
import random
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lab.process import LabProcess, Session

MIB = 1 << 20


@pytest.fixture
def unharmed(lab: LabProcess) -> Iterator[LabProcess]:
    """A lab that must answer afterwards, be as it was before, and have taken little memory."""
    before, memory = lab.state(), memory_of(lab)
    yield lab
    assert lab.process.poll() is None
    assert lab.login().ok("GET", "/version")["version"] == "9.1.8"
    assert lab.state() == before
    assert memory_of(lab) - memory < 64 * MIB


def memory_of(lab: LabProcess) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{lab.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def trusting() -> ssl.SSLContext:
    return ssl._create_unverified_context()


@contextlib.contextmanager
def wire(lab: LabProcess, *, tls: bool = True) -> Iterator[socket.socket]:
    with socket.create_connection((lab.host, lab.port), 15) as plain:
        if not tls:
            yield plain
            return
        with trusting().wrap_socket(plain) as safe:
            yield safe


def answer_to(lab: LabProcess, *parts: bytes, tls: bool = True) -> bytes:
    """What comes back until the connection ends or falls silent; a connection that is cut is as good as any answer."""
    found = b""
    with contextlib.suppress(OSError), wire(lab, tls=tls) as connection:
        connection.settimeout(8)
        for part in parts:
            connection.sendall(part)
        while more := connection.recv(65536):
            found += more
    return found


def request(root: Session, method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A request of root's, byte for byte."""
    known = root.http.headers
    lines = [
        f"{method} /api2/json{path} HTTP/1.1",
        "Host: lab",
        "Connection: close",
        f"Cookie: {known['Cookie']!s}",
        f"CSRFPreventionToken: {known['CSRFPreventionToken']!s}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def status_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n")[0]


FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Content-Type: application/json"


def test_noise_instead_of_tls(unharmed: LabProcess) -> None:
    dice = random.Random(1)
    hello = bytes.fromhex("1603010200010001fc0303")
    noise = [dice.choice([b"", hello]) + dice.randbytes(dice.randrange(1, 3000)) for _ in range(40)]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda sent: answer_to(unharmed, sent, tls=False), noise))
    assert b"200 OK" not in answer_to(unharmed, b"GET /api2/json/version HTTP/1.1\r\n\r\n", tls=False)


def test_noise_instead_of_http(unharmed: LabProcess) -> None:
    dice = random.Random(2)
    for _ in range(40):
        line = dice.choice(
            [b"", b"GET ", b"POST /api2/json/pools HTTP/1.1\r\n", b"\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"]
        )
        assert b"200 OK" not in answer_to(unharmed, line + dice.randbytes(dice.randrange(1, 3000)) + b"\r\n\r\n")


def test_requests_with_bytes_changed(unharmed: LabProcess, root: Session) -> None:
    """A good request, broken in some places. What is changed is the transport, not what root wants."""
    dice = random.Random(3)
    good = request(root, "GET", "/nodes/n1/qemu?full=1", "Accept: */*", "X-One: two")
    for _ in range(80):
        broken = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            place = dice.randrange(len(broken))
            broken[place : place + dice.randrange(2)] = dice.randbytes(dice.randrange(3))
        answer_to(unharmed, bytes(broken) + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([f"X-{n}: y" for n in range(200)], b"400"),
        ([f"X: {'y' * 20_000}"], b"400"),
        (["Content-Length: -5"], b"400"),
        (["Content-Length: 5, 6"], b"400"),
        (["Content-Length: 99999999999999999999999"], b"400"),
        (["Content-Length: 5", "Content-Length: 6"], b"400"),
        (["Content-Length: 5", "Transfer-Encoding: chunked"], b"400"),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], b"400"),
        (["Transfer-Encoding: chunked"], b"501"),
        (["Transfer-Encoding: xchunked"], b"400"),
        (["Transfer-Encoding: gzip, chunked"], b"501"),
        (["X: a\x00b"], b"400"),
        (["X : y"], b"400"),
        (["Content-Length: 600000"], b"501"),
        (["Content-Length: 99999999999"], b"501"),
        (["Content-Type: text/plain", "Content-Length: 5"], b"506"),
    ],
)
def test_headers_that_no_client_sends(unharmed: LabProcess, root: Session, headers: list[str], status: bytes) -> None:
    body = b"f\r\npoolid=smuggled\r\n0\r\n\r\n" + request(root, "POST", "/pools?poolid=smuggled")
    found = status_of(answer_to(unharmed, request(root, "POST", "/pools", *headers, body=body)))
    assert found.split(b" ")[1:2] in ([status], [b"400"], [])


def test_a_target_without_end(unharmed: LabProcess, root: Session) -> None:
    found = status_of(answer_to(unharmed, request(root, "GET", f"/version?x={'y' * 100_000}")))
    assert found.split(b" ")[1:2] in ([b"400"], [])


def test_headers_that_never_end(unharmed: LabProcess) -> None:
    def send() -> None:
        with contextlib.suppress(OSError), wire(unharmed) as connection:
            connection.sendall(b"GET /api2/json/version HTTP/1.1\r\n")
            for _ in range(3000):
                connection.sendall(b"X-Header: " + b"y" * 1000 + b"\r\n")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: send(), range(4)))


def test_many_who_say_nothing_or_stop_in_the_middle_do_not_keep_others_out(unharmed: LabProcess, root: Session) -> None:
    """Slow senders: each is dropped after five silent seconds, and nobody waits for them meanwhile."""
    beginnings = [
        b"",
        b"GET /api2/json/ver",
        request(root, "GET", "/version")[:-4],
        request(root, "POST", "/pools", FORM, "Content-Length: 20", body=b"poolid="),
        request(root, "POST", "/nodes/n1/storage/local/upload", "Content-Type: multipart/form-data; boundary=b",
                "Content-Length: 5000", body=b"--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\nis"),
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(wire(unharmed, tls=False)) for _ in range(100)]
        begun = []
        for beginning in beginnings * 8:
            begun.append(stack.enter_context(wire(unharmed)))
            begun[-1].sendall(beginning)
        for _ in range(5):
            root.ok("GET", "/version")
        for connection in begun:
            connection.settimeout(15)
            with contextlib.suppress(ConnectionError):
                assert b"200 OK" not in connection.recv(65536)
        for connection in slow:
            connection.close()


def test_sockets_closed_on_one_side(unharmed: LabProcess, root: Session) -> None:
    for beginning in (b"", request(root, "GET", "/version"), request(root, "POST", "/pools", "Content-Length: 9")):
        with wire(unharmed, tls=False) as plain:
            coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
            safe = trusting().wrap_bio(coming, going)
            while True:
                try:
                    safe.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    plain.sendall(going.read())
                    coming.write(plain.recv(65536))
            safe.write(beginning or b"G")
            plain.sendall(going.read())
            plain.shutdown(socket.SHUT_WR)
            plain.settimeout(8)
            with contextlib.suppress(OSError):
                while plain.recv(65536):
                    pass


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 400_000,
        b'{"a":' * 80_000,
        b'{"poolid":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"poolid": "\\ud800"}',
        b'{"poolid": NaN}',
        b'{"poolid": ' + b"9" * 10_000 + b"}",
        b'{"\\u0000": "\\u0000"}',
        b"\xff\xfe\x00",
        b'{"poolid": {"a": 1}}',
        gzip.compress(b'{"poolid":"a"}'),
    ],
    ids=range(10),
)
def test_json_that_means_nothing(unharmed: LabProcess, root: Session, body: bytes) -> None:
    answer = answer_to(unharmed, request(root, "POST", "/pools", JSON, f"Content-Length: {len(body)}", body=body))
    assert status_of(answer).split(b" ")[1] in (b"400", b"500")
    assert b"internal error of the lab" not in answer


def test_half_a_character_can_be_taken_and_saved(lab: LabProcess, root: Session) -> None:
    """JSON can spell what no UTF-8 can."""
    body = b'{"poolid": "a", "comment": "one \\ud800 two"}'
    answer = answer_to(lab, request(root, "POST", "/pools", JSON, f"Content-Length: {len(body)}", body=body))
    assert status_of(answer).split(b" ")[1] == b"200"
    assert lab.state()["pools"]["a"]["comment"] == "one \ufffd two"


def test_a_bomb_stays_as_small_as_it_came(unharmed: LabProcess, root: Session) -> None:
    bomb = gzip.compress(b"poolid=a&comment=" + b"x" * (200 * MIB), 9)
    for coding in ("gzip", "deflate", "br"):
        headers = [FORM, f"Content-Encoding: {coding}", f"Content-Length: {len(bomb)}"]
        answer = answer_to(unharmed, request(root, "POST", "/pools", *headers, body=bomb))
        assert status_of(answer).split(b" ")[1] == b"400"


def test_a_large_upload_is_not_kept_in_memory(unharmed: LabProcess, root: Session) -> None:
    """It is refused at its end, so that the state stays."""
    size = 150 * MIB
    head = b'--b\r\nContent-Disposition: form-data; name="content"\r\n\r\nnonsense\r\n'
    head += b'--b\r\nContent-Disposition: form-data; name="filename"; filename="a.iso"\r\n\r\n'
    kind = "Content-Type: multipart/form-data; boundary=b"
    whole = len(head) + size + 9
    path = "/nodes/n1/storage/local/upload"
    parts = (b"x" * MIB for _ in range(150))
    begun = request(root, "POST", path, kind, f"Content-Length: {whole}", body=head)
    answer = answer_to(unharmed, begun, *parts, b"\r\n--b--\r\n")
    assert status_of(answer).split(b" ")[1] == b"400"


@pytest.mark.parametrize(
    "body",
    [
        b"--b\r\n",
        b"--b--\r\n",
        b"no boundary at all",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="content"\r\n\r\n' + b"x" * 200_000 + b"\r\n--b--\r\n",
        b"--b\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b'--b\r\nContent-Disposition: form-data; name="filename"; filename="\x00\xff/../a.iso"\r\n\r\nx\r\n--b--\r\n',
    ],
    ids=range(8),
)
def test_uploads_that_are_none(unharmed: LabProcess, root: Session, body: bytes) -> None:
    kind = "Content-Type: multipart/form-data; boundary=b"
    path = "/nodes/n1/storage/local/upload"
    answer = answer_to(unharmed, request(root, "POST", path, kind, f"Content-Length: {len(body)}", body=body))
    assert status_of(answer)[9:12] in (b"400", b"500", b"")
    assert b"internal error of the lab" not in answer


@pytest.mark.parametrize("path", ["/version", "/nodes/n1/vncwebsocket", "/nodes/n1/qemu/100/vncwebsocket"])
def test_websockets_that_are_begun_and_left(unharmed: LabProcess, root: Session, path: str) -> None:
    upgrade = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: binary"]
    for headers in (
        [*upgrade, "Sec-WebSocket-Key: x"],
        [*upgrade, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="],
        upgrade,
    ):
        target = f"{path}?port=5900&vncticket=PVEVNC:00000000::x"
        sent = request(root, "GET", target, *headers).replace(b"Connection: close", b"Connection: Upgrade")
        answer_to(unharmed, sent + b"\x82\xff" + b"\xff" * 200)


@pytest.mark.parametrize(
    "headers",
    [
        ["Cookie: PVEAuthCookie=PVE:root@pam:FFFFFFFF::x"],
        ["Cookie: PVEAuthCookie=PVE:root@pam:" + "F" * 5000 + "::x"],
        ["Cookie: PVEAuthCookie=%00%ff\udcff\udcfe::::"],
        ["Authorization: PVEAPIToken=root@pam!\udcff=\udcff"],
        ["Authorization: PVEAPIToken"],
        ["Authorization: PVEAPIToken=!!!==="],
        ["Cookie: " + ";" * 7000],
    ],
)
def test_credentials_that_are_none(unharmed: LabProcess, headers: list[str]) -> None:
    lines = "\r\n".join(["GET /api2/json/version HTTP/1.1", "Host: lab", *headers, "", ""])
    answer = answer_to(unharmed, lines.encode("utf-8", "surrogateescape"))
    assert status_of(answer).split(b" ")[1] == b"401"


@pytest.mark.parametrize("path", ["/%00", "/nodes/%ff%fe/status", "/nodes/n1\udcff/qemu", "/nodes/%0d%0aX:%20y/status"])
def test_paths_that_are_none(unharmed: LabProcess, root: Session, path: str) -> None:
    answer = answer_to(unharmed, request(root, "GET", path))
    assert status_of(answer).split(b" ")[1:2] in ([b"400"], [b"500"], [b"501"], [])
    assert b"\r\nX: y" not in answer
    assert b"internal error of the lab" not in answer


def test_a_thousand_requests_in_one_breath(unharmed: LabProcess, root: Session) -> None:
    one = request(root, "GET", "/version").replace(b"Connection: close\r\n", b"")
    answer = answer_to(unharmed, one * 1000)
    assert 0 < answer.count(b"200 OK") <= 100


WORDS = st.text(max_size=40) | st.sampled_from(
    ["-1", "99999999999999999999", "1e999", "\x00", "../..", "ä", "\ud7ff", " "]
)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | WORDS, st.lists, max_leaves=4)
CALLS = [
    ("POST", "/access/users", "userid", "expire"),
    ("PUT", "/access/users/root@pam", "comment", "expire"),
    ("POST", "/access/groups", "groupid", "comment"),
    ("POST", "/access/roles", "roleid", "privs"),
    ("PUT", "/access/acl", "path", "roles"),
    ("POST", "/pools", "poolid", "comment"),
    ("PUT", "/cluster/options", "description", "next-id"),
    ("POST", "/cluster/firewall/aliases", "name", "cidr"),
    ("POST", "/cluster/firewall/rules", "type", "comment"),
    ("POST", "/storage", "storage", "path"),
    ("POST", "/nodes/n1/qemu", "vmid", "memory"),
    ("PUT", "/nodes/n1/config", "description", "wakeonlan"),
    ("POST", "/cluster/backup", "schedule", "comment"),
]


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(call=st.sampled_from(CALLS), first=VALUES, second=VALUES, form=st.booleans())
def test_whatever_root_says_can_be_saved(
    lab: LabProcess, root: Session, call: tuple[str, str, str, str], first: Any, second: Any, form: bool
) -> None:
    """What is taken may change the state, but never so that it can not be written down and read again."""
    method, path, *names = call
    given_values = dict(zip(names, (first, second), strict=True))
    if form:
        answer = root.http.request(method, f"{lab.url}/api2/json{path}", data=given_values)
    else:
        text = json.dumps(given_values).encode()
        answer = root.http.request(method, f"{lab.url}/api2/json{path}", data=text, headers={"Content-Type": JSON[14:]})
    assert "internal error of the lab" not in answer.text
    state = lab.state()
    lab.restore(state)
    assert lab.state() == state
