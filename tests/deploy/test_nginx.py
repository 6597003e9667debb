"""deploy/nginx.conf, as Debian's nginx understands it."""

from __future__ import annotations

import datetime
import socket
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.deploy import front

FRONT_END = "http://localhost:5173"


def test_a_request_reaches_the_app_with_what_nginx_knows_of_it(front_url: str) -> None:
    claims = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "X-Forwarded-Host": "evil.example"}
    seen = requests.get(f"{front_url}/api/health?a=b", headers=claims, timeout=10).json()
    assert seen["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert seen["HTTP_X_FORWARDED_PROTO"] == "http"
    assert not {"HTTP_FORWARDED", "HTTP_X_FORWARDED_HOST"} & set(seen)
    assert seen["PATH_INFO"] == "/api/health"
    assert seen["QUERY_STRING"] == "a=b"


def test_a_sane_request_id_is_kept(front_url: str) -> None:
    seen = requests.get(front_url, headers={"X-Request-ID": "order-42.a_b"}, timeout=10).json()
    assert seen["HTTP_X_REQUEST_ID"] == "order-42.a_b"


@pytest.mark.parametrize("bad", ["", 'a"b', "a" * 65, "a b c d e", "short"])
def test_any_other_request_id_is_replaced(front_url: str, bad: str) -> None:
    seen = requests.get(front_url, headers={"X-Request-ID": bad}, timeout=10).json()
    assert len(seen["HTTP_X_REQUEST_ID"]) == 32


def test_answers_of_the_app_pass_untouched(front_url: str) -> None:
    answer = requests.get(front_url, headers={"X-Status": "503 Service Unavailable"}, timeout=10)
    assert answer.status_code == 503
    assert answer.headers["X-From"] == "app"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_body_within_the_limit_passes(front_url: str) -> None:
    seen = requests.post(front_url, data=b"x" * 1_000_000, timeout=10).json()
    assert seen["body_bytes"] == "1000000"


def test_a_body_above_the_limit_is_a_problem_of_nginx(front_url: str) -> None:
    """L101 behind nginx too: one format for all errors."""
    answer = requests.post(front_url, data=b"x" * 1_100_000, headers={"Origin": FRONT_END}, timeout=10)
    _assert_problem(answer, 413, "request.too_large")


def test_an_address_too_long_is_a_problem(front_url: str) -> None:
    """nginx reads no header of it, so it does not know the origin."""
    _assert_problem(requests.get(front_url + "/" + "a" * 40_000, timeout=10), 414, origin=None)


def test_no_web_process_is_a_problem_that_a_front_end_can_read(orphaned_url: str) -> None:
    """L101; without CORS headers a browser would hide status and text."""
    headers = {"Origin": FRONT_END, "X-Request-ID": "call-0001"}
    answer = requests.get(f"{orphaned_url}/api/me", headers=headers, timeout=10)
    problem = _assert_problem(answer, 502, "service.unreachable")
    assert problem["request_id"] == "call-0001"
    assert answer.headers["X-Request-ID"] == "call-0001"
    assert answer.headers["Retry-After"] == "5"


def test_another_origin_gets_no_cors_headers(orphaned_url: str) -> None:
    """L67"""
    answer = requests.get(orphaned_url, headers={"Origin": "https://evil.example"}, timeout=10)
    assert answer.status_code == 502
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_a_preflight_is_answered_while_the_app_is_away(orphaned_url: str) -> None:
    headers = {"Origin": FRONT_END, "Access-Control-Request-Method": "POST"}
    answer = requests.options(f"{orphaned_url}/api/tenants", headers=headers, timeout=10)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == FRONT_END
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_request_that_cannot_be_read_is_a_problem(front_url: str) -> None:
    host, port = front_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        answer = plain.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"request.malformed"' in answer


def test_https_by_the_file_beside_it(nginx_program: str, echo_port: int, tmp_path: Path) -> None:
    port = front.free_port()
    certificate, key = _certificate(tmp_path)
    text = (front.CHECKOUT / "deploy" / "nginx-tls.conf").read_text()
    for here, there in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen [::]:443 ssl;", ""),
        ("/etc/ssl/poolhouse/fullchain.pem", str(certificate)),
        ("/etc/ssl/poolhouse/privkey.pem", str(key)),
    ):
        assert here in text
        text = text.replace(here, there)
    with front.nginx(nginx_program, tmp_path / "nginx", echo_port, tls=text):
        seen = requests.get(f"https://localhost:{port}/", verify=str(certificate), timeout=10).json()
    assert seen["HTTP_X_FORWARDED_PROTO"] == "https"


def _assert_problem(
    answer: requests.Response, status: int, code: str | None = None, origin: str | None = FRONT_END
) -> dict[str, object]:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("Access-Control-Allow-Origin") == origin
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    problem: dict[str, object] = answer.json()
    assert problem["status"] == status
    assert code in (None, problem["code"])
    assert problem["detail"] == problem["error"] == problem["description"]
    return problem


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
