"""nginx.conf as it stands in the repository, in front of the application server, on one machine's own addresses.

Only what a deployer changes is changed: the base domain, the certificate, the socket, the logs, the ports. Each
connection comes from an address of its own (127.x.y.z), so that the limits by address count nobody together.
"""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.client import HTTPResponse
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from flask import Flask

from tenancy import clock
from tenancy.child_processes import Children
from tenancy.database import db
from tenancy.settings import BY_SOCKET, Settings
from tests.journeys.running import environment_of, free_port
from wsgi import create_app

ROOT = Path(__file__).resolve().parents[1]
BASE = "portal.test"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
# What the application server writes of each request it sees.
SEEN = "%(m)s %(U)s host=%({host}i)s for=%({x-forwarded-for}i)s names=%({x-forwarded-host}i)s%({forwarded}i)s%({x-original-url}i)s"
SECONDS = 20
_addresses = count(1)


@dataclass(frozen=True)
class Answer:
    """`status` is 0 where nothing but the end of the connection came."""

    status: int
    headers: list[tuple[str, str]]
    text: str

    def header(self, name: str) -> str:
        return ", ".join(value for each, value in self.headers if each.lower() == name.lower())


def read(received: bytes) -> Answer:
    """The first answer of what came over a connection."""
    if not received.startswith(b"HTTP/1"):
        return Answer(0, [], received.decode("latin-1"))
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(int(first.split()[1]), headers, body.decode("utf-8", "replace"))


@dataclass
class Door:
    """nginx on two ports, the application server behind it on a socket, and an application that asks through both."""

    folder: Path
    inner_socket: Path
    log: Path
    port: int
    plain_port: int
    settings: Settings
    app: Flask = field(repr=False)
    authority: ssl.SSLContext = field(repr=False)
    config: str = field(repr=False)

    def connect(self, name: str | None = f"elm-street.{BASE}", *, source: str | None = None) -> ssl.SSLSocket:
        """A TLS session in which the handshake says `name`."""
        plain = socket.create_connection(("127.0.0.1", self.port), SECONDS, (source or new_address(), 0))
        try:
            return self.authority.wrap_socket(plain, server_hostname=name)
        except BaseException:
            plain.close()
            raise

    def ask(
        self, request: str | bytes, *, name: str | None = f"elm-street.{BASE}", source: str | None = None
    ) -> Answer:
        """Send a request as it stands (lines of a text end in CR LF) and read until the other side closes."""
        raw = request.replace("\n", "\r\n").encode("latin-1") if isinstance(request, str) else request
        with self.connect(name, source=source) as secure:
            return read(exchange(secure, raw))

    def get(self, host: str, path: str = "/sign-in", headers: str = "", **options: Any) -> Answer:
        return self.ask(f"GET {path} HTTP/1.1\nHost: {host}\n{headers}Connection: close\n\n", name=host, **options)

    def ask_plainly(self, request: str) -> Answer:
        """Without TLS."""
        with socket.create_connection(("127.0.0.1", self.plain_port), SECONDS) as plain:
            return read(exchange(plain, request.replace("\n", "\r\n").encode("latin-1")))

    def ask_inside(self, request: str) -> Answer:
        """Past nginx, at the application server's own socket."""
        with socket.socket(socket.AF_UNIX) as inner:
            inner.settimeout(SECONDS)
            inner.connect(str(self.inner_socket))
            return read(exchange(inner, request.replace("\n", "\r\n").encode("latin-1")))

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """The requests that reached the application server meanwhile, as SEEN writes them; known after the block."""
        seen: list[str] = []
        before = self._lines_until_now()
        yield seen
        seen += self._lines_until_now()[len(before) : -1]

    def _lines_until_now(self) -> list[str]:
        """The server's one thread writes a line after each answer: once ours is there, those before it are, too."""
        mark = f"/mark-{next(_addresses)}"
        self.ask_inside(f"GET {mark} HTTP/1.1\nHost: {BASE}\nConnection: close\n\n")
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            lines = self.log.read_text().splitlines()
            if lines and mark in lines[-1]:
                return lines
            time.sleep(0.01)
        raise AssertionError(f"the application server never wrote of {mark}")

    @contextmanager
    def rebuilt(self, *changes: tuple[str, str]) -> Iterator["Door"]:
        """Another nginx before the same application, with other words in its configuration."""
        text = self.config
        for old, new in changes:
            assert old in text, f"nginx.conf does not say {old!r}"
            text = text.replace(old, new)
        folder = self.folder / f"rebuilt-{next(_addresses)}"
        folder.mkdir()
        with nginx(folder, text) as (port, plain_port):
            yield replace(self, port=port, plain_port=plain_port, app=_asking(self.settings, port, self.authority))


def new_address() -> str:
    number = next(_addresses)
    return f"127.{1 + number // 62500}.{number // 250 % 250}.{1 + number % 250}"


def exchange(connection: socket.socket, raw: bytes) -> bytes:
    received = b""
    try:
        connection.sendall(raw)
        while piece := connection.recv(65536):
            received += piece
    except (ConnectionError, ssl.SSLError):
        pass  # cut off: what came before counts
    return received


@contextmanager
def standing(database: Settings, folder: Path) -> Iterator[Door]:
    """The door, in front of an application on this database."""
    _certify(folder)
    settings = replace(database, scheme="https", base=BASE, port=None, trusted_proxy=BY_SOCKET)
    children = Children(ROOT, folder)
    inner_socket, log = folder / "gunicorn.sock", folder / "seen.log"
    shape = ("--bind", f"unix:{inner_socket}", "--workers", "1", "--threads", "1", "--graceful-timeout", "2")
    write = ("--access-logfile", str(log), "--access-logformat", SEEN)
    authority = ssl.create_default_context(cafile=str(folder / "authority.pem"))
    authority.check_hostname = False  # the handshake's name is what many tests lie about
    children.start("web server", environment_of(settings), "gunicorn", *shape, *write, "wsgi:create_app()")
    app = None
    try:
        _wait_for(inner_socket, children)
        text = _deployed(folder)
        with nginx(folder, text) as (port, plain_port):
            app = _asking(settings, port, authority)
            yield Door(folder, inner_socket, log, port, plain_port, settings, app, authority, text)
    finally:
        children.stop()
        if app:
            with app.app_context():
                db.engine.dispose()


def program() -> str:
    found = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(found).exists() and not os.environ.get("PORTICO_EVERY_TIER"):
        pytest.skip("nginx is not installed here; ./test --every-tier installs it.")
    return found


def _asking(settings: Settings, port: int, authority: ssl.SSLContext) -> Flask:
    """The application for a test's client: it looks into the same database, but its answers come through the door."""

    def forward(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host = environ["HTTP_HOST"]
        path = quote(environ["PATH_INFO"].encode("latin-1"), safe="/:;,=@&+$!*'()~-._")
        query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
        said = [(name[5:].replace("_", "-").title(), value) for name, value in environ.items() if name[:5] == "HTTP_"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if environ["REQUEST_METHOD"] == "POST":
            said += [("Content-Length", str(len(body))), ("Content-Type", environ.get("CONTENT_TYPE", ""))]
        head = "".join(f"{name}: {value}\r\n" for name, value in said if value)
        with (
            socket.create_connection(("127.0.0.1", port), SECONDS, (new_address(), 0)) as plain,
            authority.wrap_socket(plain, server_hostname=host) as secure,
        ):
            secure.sendall(f"{environ['REQUEST_METHOD']} {path}{query} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
            answer = HTTPResponse(secure, method=environ["REQUEST_METHOD"])
            answer.begin()
            content = answer.read()
        start_response(f"{answer.status} {answer.reason}", answer.getheaders())
        return [content]

    app = create_app(settings)
    app.testing = True
    app.wsgi_app = forward  # type: ignore[method-assign]
    return app


def _deployed(folder: Path) -> str:
    """nginx.conf with what a deployer changes changed."""
    text = (ROOT / "nginx.conf").read_text().replace("portal.example", BASE).replace(r"portal\.example", r"portal\.test")
    text = re.sub(r"^ +listen \[::\].*\n", "", text, flags=re.M)
    ours = {
        "user www-data;": "user root;" if os.geteuid() == 0 else "",
        f"/etc/portico/{BASE}.": f"{folder}/host.",
        "unix:/run/portico/gunicorn.sock": f"unix:{folder}/gunicorn.sock",
    }
    for theirs, mine in ours.items():
        assert theirs in text, theirs
        text = text.replace(theirs, mine)
    return "daemon off;\n" + text


@contextmanager
def nginx(folder: Path, text: str) -> Iterator[tuple[int, int]]:
    """nginx with this configuration: its ports for TLS and for plain HTTP."""
    port, plain_port = free_port(), free_port()
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in TEMPORARY)
    for theirs, mine in {
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx": str(folder),
        "listen 443": f"listen 127.0.0.1:{port}",
        "listen 80": f"listen 127.0.0.1:{plain_port}",
        "http {\n": "http {\n" + temporary,
    }.items():
        text = text.replace(theirs, mine)
    (folder / "nginx.conf").write_text(text)
    command = [program(), "-c", str(folder / "nginx.conf"), "-e", str(folder / "start.log")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for_port(port, process, folder)
            yield port, plain_port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(SECONDS)


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    log = folder / "start.log"
    raise AssertionError(log.read_text() if log.exists() else "nginx did not start")


def _wait_for(path: Path, children: Children) -> None:
    deadline = time.monotonic() + 3 * SECONDS
    while not path.is_socket():
        children.all_alive()
        assert time.monotonic() < deadline, "the application server did not start"
        time.sleep(0.05)


def _certify(folder: Path) -> None:
    """An authority of our own, and what it certifies: the base domain and every name one below it."""
    authority, authority_key = _signed("Portico's tests", None, [])
    host, host_key = _signed(BASE, (authority, authority_key), [BASE, f"*.{BASE}"])
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "authority.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (folder / "host.pem").write_bytes(host.public_bytes(serialization.Encoding.PEM))
    (folder / "host.key").write_bytes(host_key.private_bytes(*private))


def _signed(
    name: str, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None, hosts: list[str]
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, issuers_key = (by[0].subject, by[1]) if by else (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.now() - timedelta(days=1))
        .not_valid_after(clock.now() + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if hosts:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in hosts]), critical=False)
    return made.sign(issuers_key, hashes.SHA256()), key
