"""The transport against a real socket: whom we take for PVE, and what happens when nobody answers."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.domain.errors import AppError, PveTimeout, PveUnreachable
from app.domain.identifiers import PoolId, TokenId
from app.pve import ApiToken, Endpoint, PveConnections
from tests.pve.conftest import TOKEN

VERSION = {"data": {"version": "9.1.8", "release": "9.1", "repoid": "a8e257e1ad64dd92"}}


class Handler(BaseHTTPRequestHandler):
    """`behaviour` of the server: answer, hang (until told to go on) or hang up."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.rfile.read(length)
        self.server.requests += 1
        if self.server.behaviour == "hang":
            self.server.go_on.wait(30)
        if self.server.behaviour != "answer":
            self.close_connection = True
            return
        body = json.dumps(VERSION).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = "answer"
        self.connections = 0
        self.requests = 0
        self.go_on = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Refused handshakes are what some tests are about."""


@dataclass(frozen=True)
class Identity:
    pem: str
    fingerprint: str
    chain: Path


def certificate(folder: Path) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pve test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = folder / "both.pem"
    chain.write_bytes(pem + private)
    fingerprint = hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest()
    return Identity(pem.decode(), fingerprint, chain)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def server(identity: Identity) -> Iterator[Server]:
    made = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.chain)
    made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield made
    made.go_on.set()
    made.shutdown()
    made.server_close()
    thread.join(5)


def url(server: Server) -> str:
    return f"https://127.0.0.1:{server.server_address[1]}"


def failure_of(endpoint: Endpoint, *, write: bool = False) -> AppError:
    connections = PveConnections()
    pve = connections.connect(endpoint, TOKEN)
    with pytest.raises(AppError) as caught:
        pve.pools.create(PoolId("blue"), comment="") if write else pve.version()
    connections.close()
    return caught.value


def test_the_certificate_is_held_against_ca_or_fingerprint(server: Server, identity: Identity) -> None:
    for endpoint in (
        Endpoint(url(server), ca_pem=identity.pem),
        Endpoint(url(server), fingerprint=identity.fingerprint),
        Endpoint(url(server), verify=False),
    ):
        connections = PveConnections()
        assert connections.connect(endpoint, TOKEN).version().version == "9.1.8"
        connections.close()


def test_any_other_certificate_is_refused_and_nothing_is_sent(
    server: Server, identity: Identity, tmp_path: Path
) -> None:
    stranger = certificate(tmp_path)
    for endpoint in (
        Endpoint(url(server)),
        Endpoint(url(server), ca_pem=stranger.pem),
        Endpoint(url(server), fingerprint=stranger.fingerprint),
        Endpoint(url(server), fingerprint=stranger.fingerprint, ca_pem=identity.pem, verify=False),
    ):
        error = failure_of(endpoint)
        assert isinstance(error, PveUnreachable)
        assert "certificate" in error.detail
    assert server.requests == 0


def test_the_certificates_name_counts_with_a_ca(server: Server, identity: Identity) -> None:
    by_name = Endpoint(url(server).replace("127.0.0.1", "localhost"), ca_pem=identity.pem)
    assert isinstance(failure_of(by_name), PveUnreachable)
    assert server.requests == 0


def test_connections_are_kept_and_shared_by_identities(server: Server, identity: Identity) -> None:
    connections = PveConnections()
    endpoint = Endpoint(url(server), ca_pem=identity.pem)
    other = ApiToken(TokenId("tb@pve!ph"), "b")
    for _ in range(5):
        connections.connect(endpoint, TOKEN).version()
        connections.connect(endpoint, other).version()
    assert (server.requests, server.connections) == (10, 1)
    connections.close()


@pytest.mark.parametrize("write", [False, True])
def test_l75_silence_ends_in_time(server: Server, identity: Identity, write: bool) -> None:
    server.behaviour = "hang"
    began = time.monotonic()
    error = failure_of(Endpoint(url(server), ca_pem=identity.pem, timeout=0.5), write=write)
    assert isinstance(error, PveTimeout)
    assert time.monotonic() - began < 5
    assert server.requests == 1


def test_l74_hanging_up_on_a_write_leaves_it_open(server: Server, identity: Identity) -> None:
    server.behaviour = "hang up"
    endpoint = Endpoint(url(server), ca_pem=identity.pem, timeout=2)
    assert isinstance(failure_of(endpoint, write=True), PveTimeout)
    assert server.requests == 1
    assert isinstance(failure_of(endpoint), PveUnreachable)
    assert server.requests == 4


@pytest.mark.parametrize("write", [False, True])
def test_nobody_there(write: bool) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert isinstance(failure_of(Endpoint(f"https://127.0.0.1:{port}", timeout=1), write=write), PveUnreachable)
