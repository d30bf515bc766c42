"""nginx.conf as it stands in the repository, in front of the real application.

Lost if it fails: the proxy and the application disagree about whose portal a request is for.
"""

import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from werkzeug.serving import make_server

from tenancy import clock
from tenancy.database import db
from tests.conftest import Cluster
from wsgi import create_app

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
BASE = "portal.test"


@dataclass
class Door:
    port: int

    def ask(self, request: str, *, name: str) -> tuple[int, str]:
        """Send raw bytes in a TLS session for `name`; returns (status, whole answer)."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            secure.sendall(request.replace("\n", "\r\n").encode())
            answer = b""
            while piece := secure.recv(65536):
                answer += piece
        return int(answer.split()[1]), answer.decode(errors="replace")


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, BASE)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(clock.now() - timedelta(days=1))
        .not_valid_after(clock.now() + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "cert.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@pytest.fixture(scope="module")
def door(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists() and not os.environ.get("PORTICO_EVERY_TIER"):
        pytest.skip("nginx is not installed here; ./test --every-tier installs it.")
    folder = tmp_path_factory.mktemp("nginx")
    _certificate(folder)
    settings = replace(cluster.copy(), scheme="https", base=BASE, port=None)
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    port = _free_port()
    text = (ROOT / "nginx.conf").read_text().replace("portal.example", BASE).replace(r"portal\.example", r"portal\.test")
    for ours, theirs in (
        ("/run/nginx.pid", f"{folder}/nginx.pid"),
        ("/var/log/nginx/portico.log", f"{folder}/access.log"),
        (f"/etc/portico/{BASE}.pem", f"{folder}/cert.pem"),
        (f"/etc/portico/{BASE}.key", f"{folder}/cert.key"),
        ("unix:/run/portico/gunicorn.sock", f"127.0.0.1:{server.server_port}"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("listen 80", f"listen 127.0.0.1:{_free_port()}"),
        ("http {\n", "http {\n" + "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in TEMPORARY)),
    ):
        text = text.replace(ours, theirs)
    (folder / "nginx.conf").write_text("daemon off;\n" + ("user root;\n" if os.geteuid() == 0 else "") + text)
    with subprocess.Popen([program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]) as process:
        try:
            _wait(port, folder)
            yield Door(port)
        finally:
            process.terminate()
            server.shutdown()
            thread.join()
            server.server_close()
            with app.app_context():
                db.engine.dispose()
            cluster.drop(settings)


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _wait(port: int, folder: Path) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    log = folder / "error.log"
    raise AssertionError(log.read_text() if log.exists() else "nginx did not start")


def test_a_portal_answers_over_tls_with_a_host_only_secure_cookie(door: Door) -> None:
    host = f"elm-street.{BASE}"
    status, answer = door.ask(f"GET /sign-in HTTP/1.1\nHost: {host}\nConnection: close\n\n", name=host)
    assert status == 200
    cookie = re.search(r"Set-Cookie: (__Host-portico=.*)", answer)
    assert cookie and "Secure" in cookie[1] and "Domain" not in cookie[1] and "HttpOnly" in cookie[1]
    assert "Strict-Transport-Security" in answer and "Elm Street" in answer


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (f"elm-street.{BASE}", f"oak-hill.{BASE}"),
        (f"elm-street.{BASE}", "evil.example"),
        (f"elm-street.{BASE}", f"a.b.{BASE}"),
        (f"elm-street.{BASE}", f"elm-street.{BASE}.evil.example"),
        (f"elm-street.{BASE}", ""),
    ],
)
def test_a_host_that_is_not_the_one_of_the_handshake_is_turned_away(door: Door, name: str, host: str) -> None:
    status, answer = door.ask(f"GET /sign-in HTTP/1.1\nHost: {host}\nConnection: close\n\n", name=name)
    assert status in (400, 404, 421)
    assert "Set-Cookie" not in answer and "Location" not in answer


def test_an_absolute_address_and_the_host_header_cannot_name_two_clinics(door: Door) -> None:
    request = f"GET https://elm-street.{BASE}/sign-in HTTP/1.1\nHost: oak-hill.{BASE}\nConnection: close\n\n"
    status, answer = door.ask(request, name=f"elm-street.{BASE}")
    assert "Oak Hill" not in answer
    assert status in (200, 400, 421)


def test_what_a_client_says_of_forwarding_changes_nothing(door: Door) -> None:
    host = f"elm-street.{BASE}"
    lies = f"X-Forwarded-Host: oak-hill.{BASE}\nX-Forwarded-Proto: http\nForwarded: host=oak-hill.{BASE}\n"
    status, answer = door.ask(f"GET /sign-in HTTP/1.1\nHost: {host}\n{lies}Connection: close\n\n", name=host)
    assert status == 200 and "Elm Street" in answer and "Oak Hill" not in answer
    assert "__Host-portico" in answer
