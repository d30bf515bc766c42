"""T04: on one shared connection, no request ever sees the clinic of the request before it.

Lost if it fails: under load, a family is shown another clinic's records at random.
Interleaves both clinics over a pool of one connection: pages, refusals, errors in a view, a statement time-out, rolled
back and released savepoints, a background job; then the same through PgBouncer in transaction mode.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from clinic import demo
from clinic.patients import Patient
from mail import worker
from tenancy import clinics, database, tenant
from tenancy.database import db, transaction
from tenancy.tenant import Role
from tests.conftest import LOGIN_PASSWORD, Cluster, clinic_at
from tests.visitor import Visitor
from wsgi import create_app

ROOT = Path(__file__).parents[2]
BLANK = ("portico", "", "")


def _clean_connection(app: Flask) -> None:
    """The connection as the next transaction finds it: the login role, in no clinic, for nobody."""
    with app.app_context(), db.engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT current_user, coalesce(current_setting('app.clinic_id', true), ''), "
                "coalesce(current_setting('app.portal_user_id', true), '')"
            )
        ).one()
        assert tuple(row) == BLANK, tuple(row)


def _names(app: Flask, slug: str) -> set[str]:
    with app.app_context(), clinics.open_clinic(clinic_at(slug)), transaction():
        return set(db.session.scalars(select(Patient.name)))


def _fails_in_the_middle(app: Flask, slug: str) -> None:
    with app.app_context(), suppress(ZeroDivisionError), clinics.open_clinic(clinic_at(slug)), transaction():
        db.session.execute(text("SELECT count(*) FROM patients"))
        raise ZeroDivisionError


def _times_out(app: Flask, slug: str) -> None:
    with app.app_context(), suppress(OperationalError), clinics.open_clinic(clinic_at(slug)), transaction():
        db.session.execute(text("SET LOCAL statement_timeout = '1ms'"))
        db.session.execute(text("SELECT pg_sleep(1)"))


def _uses_savepoints(app: Flask, slug: str) -> None:
    with app.app_context(), clinics.open_clinic(clinic_at(slug)), transaction():
        before = tenant.current_clinic_id()
        with suppress(ZeroDivisionError), db.session.begin_nested():
            raise ZeroDivisionError
        with db.session.begin_nested():
            db.session.execute(text("SELECT 1"))
        assert db.session.execute(text("SELECT app.clinic_id()")).scalar_one() == before


def _runs_a_job(app: Flask, slug: str) -> None:
    with app.app_context(), clinics.open_clinic(clinic_at(slug), Role.MAILER):
        worker.deliver()  # the mail server is not there: every letter is put off


def _reads_outside_a_transaction(app: Flask, slug: str) -> None:
    """The autocommit path: no transaction, no role, no row."""
    with app.app_context(), db.engine.connect() as connection, pytest.raises(Exception, match="permission denied"):
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("SELECT name FROM patients"))


STEPS: list[Callable[[Flask, str], object]] = [
    _fails_in_the_middle,
    _times_out,
    _uses_savepoints,
    _runs_a_job,
    _reads_outside_a_transaction,
]


def _interleave(app: Flask, rounds: int) -> None:
    draw = Random(4)
    theirs = {slug: _names(app, slug) for slug in (demo.ELM, demo.OAK)}
    assert not theirs[demo.ELM] & theirs[demo.OAK]
    visitors = {
        slug: Visitor(app, f"http://{slug}.localhost:8000").sign_in("maria@family.example") for slug in theirs
    }
    for _ in range(rounds):
        slug = draw.choice((demo.ELM, demo.OAK))
        other = demo.OAK if slug == demo.ELM else demo.ELM
        if draw.random() < 0.15:
            draw.choice(STEPS)(app, slug)
        elif draw.random() < 0.1:
            assert visitors[slug].get("/patients/00000000-0000-4000-8000-000000000000/").status_code == 404
        else:
            page = visitors[slug].read("/")
            found = {name for name in theirs[other] if re.search(rf"\b{name}\b", page)}
            assert not found, found
        _clean_connection(app)


@contextmanager
def _app_on_one_connection(cluster: Cluster, change: Callable[[str], str] = lambda url: url) -> Iterator[Flask]:
    settings = cluster.copy()
    app = create_app(replace(settings, database_url=change(settings.database_url)))
    app.testing = True
    with app.app_context():
        engines = db._app_engines[app]
        engines[None].dispose()
        engines[None] = db._make_engine(
            None,
            {
                "url": change(settings.database_url),
                "pool_size": 1,
                "max_overflow": 0,
                "pool_timeout": 5,
                # Debian 12's PgBouncer is older than 1.21, which is the first to know prepared statements.
                "connect_args": {"prepare_threshold": None},
            },
            app,
        )
    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()
        cluster.drop(settings)


def test_one_connection_shared_by_two_clinics(cluster: Cluster) -> None:
    with _app_on_one_connection(cluster) as app:
        _interleave(app, 300)


@pytest.mark.slow
def test_one_connection_shared_for_thousands_of_requests(cluster: Cluster) -> None:
    with _app_on_one_connection(cluster) as app:
        _interleave(app, 5000)


def test_planted_a_setting_of_the_session_is_seen(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Session-level SET instead of SET LOCAL: the check must turn red."""
    said = database.who_is_asking

    def of_the_session(asking: tenant.Tenant | None) -> str:
        return said(asking).replace("SET LOCAL app.clinic_id", "SET app.clinic_id")

    monkeypatch.setattr(database, "who_is_asking", of_the_session)
    with _app_on_one_connection(cluster) as app, pytest.raises(AssertionError):
        _interleave(app, 20)


def test_nothing_in_the_source_sets_for_a_session() -> None:
    """`SET x` without LOCAL, and set_config, leak through pools; a function's own fixed search path ends with its call."""
    loose = re.compile(r"(?<![\w'])SET (?!LOCAL|NULL|DEFAULT|search_path = pg_catalog)(?:SESSION )?(?:ROLE|app\.|search_path)|set_config\(", re.I)
    for folder in ("tenancy", "mail", "clinic", "ui", "admin_app", "portal_app", "migrations"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".sql"):
                assert not loose.search(path.read_text()), path


@pytest.mark.slow
def test_through_pgbouncer_in_transaction_mode(cluster: Cluster, tmp_path: Path) -> None:
    program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
    if not Path(program).exists() and not os.environ.get("PORTICO_EVERY_TIER"):
        pytest.skip("PgBouncer is not installed here; ./test --every-tier installs it.")
    with (
        _pgbouncer(program, cluster, tmp_path) as port,
        _app_on_one_connection(cluster, lambda url: _at_port(url, port)) as app,
    ):
        _interleave(app, 600)


def _at_port(url: str, port: int) -> str:
    return make_url(url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)


@contextmanager
def _pgbouncer(program: str, cluster: Cluster, folder: Path) -> Iterator[int]:
    server = make_url(cluster.admin_url)
    port = 30100 + os.getpid() % 900
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=portico password={LOGIN_PASSWORD}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        "pool_mode = transaction\ndefault_pool_size = 1\n"
    )
    for path in (folder, *folder.parents):
        if path.owner() == "root" and path != Path("/") and os.geteuid() == 0:
            path.chmod(path.stat().st_mode | 0o011)
    as_nobody = {"user": "nobody"} if os.geteuid() == 0 else {}
    config.chmod(0o644)
    with subprocess.Popen([program, "-q", str(config)], cwd="/", stderr=subprocess.PIPE, **as_nobody) as process:
        try:
            _wait_for(port, cluster)
            yield port
        finally:
            process.terminate()


def _wait_for(port: int, cluster: Cluster) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(_at_port(cluster.admin_url, port), connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
