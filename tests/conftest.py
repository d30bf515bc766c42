"""Real PostgreSQL, the real migrations, the real roles; the cast of two clinics always standing.

`app` runs each test in an outer transaction that is rolled back. A test that needs real commits (races, the worker, a
browser) asks for `committed_app`: a database of its own, copied from a template in some milliseconds.
"""

import base64
import gc
import os
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from argon2 import PasswordHasher
from flask import Flask
from jinja2 import FileSystemBytecodeCache

from clinic import credentials, demo, stripe_gateway
from tenancy import clinics, clock, embedded_postgres
from tenancy.clinics import ClinicEntry
from tenancy.database import db, transaction
from tenancy.settings import Settings
from tests import outer_door
from tests.house import route_map
from tests.one_connection import rolled_back
from tests.stripe_fake.client import StripeFake
from tests.stripe_fake.fixture import _stripe_fake_process, stripe_fake  # noqa: F401  fixtures
from tests.visitor import Visitor
from wsgi import create_app

LOGIN_PASSWORD = "for-tests-only"
FULL_HASHES = credentials._hasher
BASE = "localhost"
PORT = 8000
SHARED_MEMORY, ROOM = Path("/dev/shm"), 4 << 30  # bytes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, then files with many tests: so that two processes end at about one time."""
    tests = Counter(item.path for item in items)
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: (item.path not in long, -tests[item.path]))


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """pytest-flask's own shares `g` between the requests of one test; ours pushes nothing."""


@pytest.fixture(autouse=True)
def _the_network_is_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leaves this machine."""
    connect = socket.socket.connect

    def only_here(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise AssertionError(f"A test tried to reach {address[0]}.")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", only_here)


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server, a migrated template with the cast in it, and how to get copies."""

    admin_url: str
    template: str
    settings: Settings

    def copy(self, template: str | None = None) -> Settings:
        """A database of one's own."""
        name = f"portico_{uuid4().hex[:12]}"
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            # Files are copied faster than logged, where nothing waits for the disk.
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template or self.template} STRATEGY file_copy OWNER portico_owner")
        return replace(
            self.settings,
            database_url=_on(self.settings.database_url, name),
            database_owner_url=_on(self.settings.database_owner_url or "", name),
        )

    def url_of(self, settings: Settings) -> str:
        """That database for the server's superuser, whom no policy holds."""
        return _on(self.admin_url, settings.database_url.rpartition("/")[2])

    def drop(self, settings: Settings) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {settings.database_url.rpartition('/')[2]} WITH (FORCE)")


def _on(url: str, database: str) -> str:
    return url.rpartition("/")[0] + "/" + database


@pytest.fixture(scope="session")
def _quick_hashes() -> None:
    """Passwords are kept at a thousandth of the cost; where that is the subject, a test asks for `full_hashes`."""
    _hash_with(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def _hash_with(hasher: PasswordHasher) -> None:
    credentials._hasher, credentials._NOBODYS = hasher, hasher.hash("nobody has this password")


@pytest.fixture
def full_hashes(_quick_hashes: None) -> Iterator[None]:
    """What is hashed from now on costs what it costs in production."""
    quick = credentials._hasher
    _hash_with(FULL_HASHES)
    yield
    _hash_with(quick)


@pytest.fixture(scope="session")
def cluster(_quick_hashes: None) -> Iterator[Cluster]:
    """The server named by DATABASE_URL, or an embedded one for this test process."""
    server = None
    if external := os.environ.get("DATABASE_URL"):
        admin_url = external
    else:
        folder = tempfile.mkdtemp(prefix="portico-tests-", dir=_in_memory())
        server = embedded_postgres.Server(Path(folder), fast=True).start()
        admin_url = server.superuser_url()
    try:
        standing = with_the_cast(admin_url)
        # What stands now stands to the end: the collector need not look through it each time.
        gc.collect()
        gc.freeze()
        yield standing
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {standing.template} WITH (FORCE)")
    finally:
        if server:
            server.discard()


def _in_memory() -> str | None:
    """Where a database is copied without waiting for a disk; None where there is no such place, or too little room."""
    return str(SHARED_MEMORY) if SHARED_MEMORY.is_dir() and shutil.disk_usage(SHARED_MEMORY).free > ROOM else None


def with_the_cast(admin_url: str) -> Cluster:
    template = f"portico_template_{uuid4().hex[:8]}"
    owner_url, login_url = embedded_postgres.prepare(
        admin_url, template, LOGIN_PASSWORD, owner_password=LOGIN_PASSWORD
    )
    settings = _settings(owner_url, login_url)
    app = create_app(settings)
    app.test_cli_runner().invoke(args=["db", "upgrade"], catch_exceptions=False)
    with app.app_context():
        demo.fill()
        db.engine.dispose()
    return Cluster(admin_url, template, settings)


def _settings(owner_url: str, login_url: str) -> Settings:
    return Settings(
        scheme="http",
        base=BASE,
        port=PORT,
        secret_key="a secret of at least thirty-two characters",
        master_key=base64.b64decode("bWFzdGVyIGtleSBvZiB0aGUgdGVzdHMsIDMyIGJ5dGU="),
        database_url=login_url.replace("postgresql://", "postgresql+psycopg://"),
        database_owner_url=owner_url.replace("postgresql://", "postgresql+psycopg://"),
        mail_server="127.0.0.1",
        mail_port=9,
        mail_security="none",
        mail_username=None,
        mail_password=None,
        mail_sender="no-reply@localhost.test",
        operator="Olga Operator",
    )


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands, and goes only where a test moves it: for what must be told to the instant."""
    began = clock.now()
    monkeypatch.setattr(clock, "now", lambda: began + clock._shift.get())


@pytest.fixture(scope="session", autouse=True)
def _compiled_templates(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every application of a test process compiles a template once."""
    Flask.jinja_options = {"bytecode_cache": FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))}


@contextmanager
def one_more_app(settings: Settings) -> Iterator[Flask]:
    """An application of its own, as another process of an installation has it; its connections go with it."""
    app = create_app(settings)
    app.testing = True
    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="session")
def _standing_app(cluster: Cluster, _compiled_templates: None) -> Iterator[Flask]:
    """One application a test process."""
    settings = cluster.copy()
    with one_more_app(settings) as app:
        yield app
    cluster.drop(settings)


@pytest.fixture
def app(_standing_app: Flask) -> Iterator[Flask]:
    """The application, on a connection whose transaction is rolled back after the test."""
    with rolled_back(_standing_app):
        yield _standing_app


@contextmanager
def working_on(settings: Settings, app: Flask) -> Iterator[None]:
    """Have an application work on this database, for a block: sooner done than making another."""
    app.config.update(PORTICO=settings, SQLALCHEMY_DATABASE_URI=settings.database_url)
    with app.app_context():
        engines = db._app_engines[app]
        options = {**app.config["SQLALCHEMY_ENGINE_OPTIONS"], "pool_pre_ping": False}  # the server is not restarted
        engines[None] = db._make_engine(None, {"url": settings.database_url, **options}, app)
    try:
        yield
    finally:
        engines[None].dispose()


@pytest.fixture(scope="session")
def _committing_app(cluster: Cluster, _compiled_templates: None) -> Flask:
    """One more: to make an application takes longer than most tests."""
    app = create_app(cluster.settings)
    app.testing = True
    return app


@pytest.fixture
def committed_app(cluster: Cluster, _committing_app: Flask) -> Iterator[Flask]:
    """An application whose commits are real, on a database of its own, which goes with it."""
    yield from _on_a_copy(cluster, _committing_app)


@pytest.fixture(scope="session")
def _furnished(cluster: Cluster, _committing_app: Flask) -> Callable[[], str]:
    """The name of a database with something behind every address; another one before the sessions in it idle out."""
    made: list[tuple[str, datetime]] = []

    def name() -> str:
        if not made or clock.now() - made[-1][1] > timedelta(minutes=5):
            settings = cluster.copy()
            with working_on(settings, _committing_app):
                for slug in (demo.ELM, demo.OAK):
                    route_map.prepare(_committing_app, slug)
            made.append((settings.database_url.rpartition("/")[2], clock.now()))
        return made[-1][0]

    return name


@pytest.fixture
def furnished_app(cluster: Cluster, _committing_app: Flask, _furnished: Callable[[], str]) -> Iterator[Flask]:
    """The same, with what `route_map.prepare` brings to both clinics."""
    yield from _on_a_copy(cluster, _committing_app, _furnished())


def _on_a_copy(cluster: Cluster, app: Flask, template: str | None = None) -> Iterator[Flask]:
    settings = cluster.copy(template)
    with working_on(settings, app):
        yield app
    cluster.drop(settings)


@pytest.fixture(scope="session")
def door(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[outer_door.Door]:
    """nginx in front of the application server, for all tests of a process that speak to it. On a database of its own."""
    outer_door.program()
    database = cluster.copy()
    with outer_door.standing(database, tmp_path_factory.mktemp("door")) as standing:
        yield standing
    cluster.drop(database)


@pytest.fixture
def in_app(app: Flask) -> Iterator[None]:
    """For tests of what lies below HTTP: an application context, no clinic open."""
    with app.app_context():
        yield


def clinic_at(slug: str) -> ClinicEntry:
    with transaction():
        found = clinics.find_at(slug)
    assert found is not None
    return found


@pytest.fixture
def stripe_standing(app: Flask, stripe_fake: StripeFake) -> Iterator[StripeFake]:  # noqa: F811  the fixture
    """The stand-in for Stripe, empty, and the application connected to it."""
    with connected(app, stripe_fake):
        yield stripe_fake


@contextmanager
def connected(app: Flask, fake: StripeFake) -> Iterator[None]:
    """The application asks this stand-in for Stripe in this block, and hears what it signs."""
    before = app.extensions["stripe_gateway"], app.config["PORTICO"], app.config["STRIPE_PAGES"]
    settings = replace(before[1], stripe_api_key=fake.key, stripe_api_base=fake.url, stripe_webhook_secret=fake.secret)
    app.config.update(PORTICO=settings, STRIPE_PAGES=settings.stripe_pages)
    stripe_gateway.install(app, settings)
    try:
        yield
    finally:
        app.extensions["stripe_gateway"], app.config["PORTICO"], app.config["STRIPE_PAGES"] = before


@pytest.fixture
def elm(in_app: None) -> ClinicEntry:
    return clinic_at(demo.ELM)


@pytest.fixture
def oak(in_app: None) -> ClinicEntry:
    return clinic_at(demo.OAK)


@pytest.fixture
def portal(app: Flask) -> Visitor:
    """Somebody at Elm Street's portal."""
    return Visitor(app, f"http://{demo.ELM}.{BASE}:{PORT}")


@pytest.fixture
def oak_portal(app: Flask) -> Visitor:
    return Visitor(app, f"http://{demo.OAK}.{BASE}:{PORT}")


@pytest.fixture
def admin(app: Flask) -> Visitor:
    """Somebody at the staff pages."""
    return Visitor(app, f"http://admin.{BASE}:{PORT}")


@pytest.fixture
def front_door(app: Flask) -> Visitor:
    return Visitor(app, f"http://{BASE}:{PORT}")


@pytest.fixture
def maria(portal: Visitor) -> Visitor:
    """Maria, signed in at Elm Street: mother of Leo and Mia."""
    return portal.sign_in("maria@family.example")


@pytest.fixture
def omar(app: Flask) -> Visitor:
    """Omar, signed in at Elm Street: father of Zoe."""
    return Visitor(app, f"http://{demo.ELM}.{BASE}:{PORT}").sign_in("omar@family.example")


@pytest.fixture
def ana(admin: Visitor) -> Visitor:
    """Ana, Elm Street's admin, signed in."""
    return admin.sign_in("ana@elm.example", f"/{demo.ELM}")


@pytest.fixture
def ben(app: Flask) -> Visitor:
    """Ben, who keeps Elm Street's books, signed in."""
    return Visitor(app, f"http://admin.{BASE}:{PORT}").sign_in("ben@elm.example", f"/{demo.ELM}")


@pytest.fixture
def ola(app: Flask) -> Visitor:
    """Ola, Oak Hill's admin, signed in."""
    return Visitor(app, f"http://admin.{BASE}:{PORT}").sign_in("ola@oak.example", f"/{demo.OAK}")
