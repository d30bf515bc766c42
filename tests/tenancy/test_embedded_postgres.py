"""The private PostgreSQL of the demo and the tests: it starts, is found again, survives a kill, and is made ready twice."""

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from sqlalchemy import make_url

from tenancy.embedded_postgres import PORTS, Server, ServerFailed, prepare


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # Not tmp_path: as root, the account PostgreSQL runs under may not enter pytest's folders.
    server = Server(Path(tempfile.mkdtemp(prefix="portico-embedded-")), fast=True)
    try:
        yield server.start()
    finally:
        server.discard()


def ask(url: str, question: LiteralString) -> object:
    """The only value of the answer, or its only row; None for a statement that answers nothing."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(question)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row and len(row) == 1 else row


def postmaster(server: Server) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def test_it_listens_on_loopback_only_and_asks_for_a_password(server: Server) -> None:
    url = make_url(server.superuser_url())
    assert url.port in PORTS
    assert ask(server.superuser_url(), "show listen_addresses") == "127.0.0.1"
    assert ask(server.superuser_url(), "show unix_socket_directories") == ""
    assert ask(server.superuser_url(), "show server_encoding") == "UTF8"
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(url.set(password="wrong").render_as_string(hide_password=False))
    assert server.folder.stat().st_mode & 0o077 == 0


def test_a_second_start_finds_the_same_server(server: Server) -> None:
    before = postmaster(server)
    again = Server(server.folder, fast=True).start()
    assert postmaster(server) == before
    assert again.superuser_url() == server.superuser_url()


def test_stop_keeps_the_data(server: Server) -> None:
    ask(server.superuser_url(), "create table kept as select 7 as number")
    server.stop()
    assert not server.is_running()
    server.stop()
    server.start()
    assert ask(server.superuser_url(), "select number from kept") == 7


def test_it_starts_again_after_it_was_killed(server: Server) -> None:
    with psycopg.connect(server.superuser_url()):  # its backend outlives the postmaster for a moment
        os.kill(postmaster(server), signal.SIGKILL)
        server.start()
    assert ask(server.superuser_url(), "select 1") == 1


def test_it_starts_although_another_program_took_the_dead_one_s_number(server: Server) -> None:
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    server.start()
    assert postmaster(server) != os.getpid()


def test_a_stranger_on_its_old_port_is_not_taken_for_it(server: Server) -> None:
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    with socket.create_server(("127.0.0.1", int(lines[3]))) as stranger:
        stranger.settimeout(0.1)
        pid_file.write_text("\n".join(["999999", *lines[1:]]) + "\n")
        began = time.monotonic()
        server.start()
    assert make_url(server.superuser_url()).port != int(lines[3])
    assert time.monotonic() - began < 15


def test_an_initdb_that_was_cut_short_is_begun_again() -> None:
    server = Server(Path(tempfile.mkdtemp(prefix="portico-embedded-")), fast=True)
    try:
        (server.folder / "unfinished").mkdir()
        (server.folder / "unfinished" / "PG_VERSION").write_text("18\n")
        assert server.start().is_running()
    finally:
        server.discard()
    assert not server.folder.exists()


def test_prepare_makes_two_plain_logins_and_a_database_and_may_be_repeated(server: Server) -> None:
    prepare(server.superuser_url(), "portico_a", "first")
    owner_url, runtime_url = prepare(server.superuser_url(), "portico_a", "pass /word%:@", owner_password="owner's")

    assert ask(owner_url, "select current_user || ' in ' || current_database()") == "portico_owner in portico_a"
    assert ask(runtime_url, "select current_user::text") == "portico"
    rights: LiteralString = """
        select rolsuper, rolbypassrls, rolcreaterole, rolinherit, rolcreatedb from pg_roles where rolname = current_user
    """
    assert ask(owner_url, rights) == (False, False, True, True, False)
    assert ask(runtime_url, rights) == (False, False, False, False, False)
    forbidden: tuple[LiteralString, ...] = (
        "create table nosy ()",
        "create schema nosy",
        "create temporary table nosy ()",
    )
    for statement in forbidden:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ask(runtime_url, statement)
    with pytest.raises(psycopg.OperationalError, match="password"):
        ask(make_url(runtime_url).set(password="first").render_as_string(hide_password=False), "select 1")


def test_prepare_leaves_no_password_in_the_log(server: Server) -> None:
    ask(server.superuser_url(), "alter system set log_statement = 'all'")
    ask(server.superuser_url(), "select pg_reload_conf()")
    prepare(server.superuser_url(), "portico_a", "seen-by-nobody", owner_password="nor-this-one")
    log = server.log.read_text()
    assert "ALTER ROLE" in log
    assert "seen-by-nobody" not in log
    assert "nor-this-one" not in log
    ask(server.superuser_url(), "alter system reset log_statement")
    ask(server.superuser_url(), "select pg_reload_conf()")


def test_prepare_needs_no_superuser() -> None:
    # A server of its own: CREATEROLE governs the roles it made, not those another administrator left.
    server = Server(Path(tempfile.mkdtemp(prefix="portico-embedded-")), fast=True).start()
    try:
        with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
            connection.execute("create role hosting login createrole createdb password 'hosted'")
        hosting = (
            make_url(server.superuser_url())
            .set(username="hosting", password="hosted")
            .render_as_string(hide_password=False)
        )
        prepare(hosting, "portico_b", "runtime")
        owner_url, runtime_url = prepare(hosting, "portico_b", "runtime")
        assert ask(owner_url, "select current_user::text") == "portico_owner"
        assert ask(runtime_url, "select current_user::text") == "portico"
    finally:
        server.discard()


def test_prepare_does_not_take_over_a_database_of_somebody_else(server: Server) -> None:
    with pytest.raises(ServerFailed, match="belongs to postgres"):
        prepare(server.superuser_url(), "postgres", "runtime")


def test_prepare_says_when_it_is_not_given_an_administrator(server: Server) -> None:
    _, runtime_url = prepare(server.superuser_url(), "portico_a", "runtime")
    with pytest.raises(ServerFailed, match="portico may not make the roles"):
        prepare(runtime_url, "portico_a", "runtime")
