"""The demo: all of Portico on this machine, started in order, stopped together. `./demo` runs it.

What it makes stays in one folder (`.portico/`, or the one PORTICO_DATA names): the secrets, the database, the
letters, what the stand-in for Stripe remembers and the logs. With STRIPE_API_KEY and STRIPE_WEBHOOK_SECRET set, Stripe's
own test mode is used instead of the stand-in. DATABASE_URL may name another PostgreSQL >= 15 by an administrator's URL; the demo then
makes its two login roles and the database `portico_demo` there.
"""

import argparse
import base64
import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psycopg
from psycopg import sql

from tenancy.child_processes import ChildFailed, Children, end_of, end_with_parent
from tenancy.embedded_postgres import Server, ServerFailed, prepare

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "portico_demo"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoRefused(RuntimeError):
    """The message is a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Plan:
    port: int
    letters_port: int
    smtp_port: int
    data: Path
    fresh: bool
    server_url: str | None  # an administrator's; None for the embedded server
    stripe_port: int = 12111
    has_stripe: bool = False  # Stripe itself is asked, with a key from the environment


def read_plan(arguments: list[str]) -> Plan:
    parser = argparse.ArgumentParser(
        prog="./demo", description="Portico on this machine, with two demo clinics. Ctrl-C stops it."
    )
    parser.add_argument("--port", type=_port, default=8000, help="of the portal itself (8000)")
    parser.add_argument("--letters-port", type=_port, default=8025, help="of the page that shows the letters (8025)")
    parser.add_argument("--smtp-port", type=_port, default=1025, help="of the demo's mail server (1025)")
    parser.add_argument("--stripe-port", type=_port, default=12111, help="of the stand-in for Stripe (12111)")
    parser.add_argument("--fresh", action="store_true", help="throw the demo's data away and start over")
    options = parser.parse_args(arguments)
    data = Path(os.environ.get("PORTICO_DATA") or ROOT / ".portico").absolute()
    server_url = os.environ.get("DATABASE_URL") or None
    has_stripe = bool(os.environ.get("STRIPE_API_KEY") or os.environ.get("STRIPE_API_KEY_FILE"))
    ports = (options.port, options.letters_port, options.smtp_port)
    return Plan(*ports, data, options.fresh, server_url, options.stripe_port, has_stripe)


class Demo:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.logs = plan.data / "logs"
        self.anchors = plan.data / "anchors"
        self.postgres = Server(plan.data / "postgres")
        self.children = Children(ROOT, self.logs)

    def start(self) -> None:
        plan = self.plan
        if plan.fresh:
            with step("Throwing the old data away"):
                self.start_over()
        self.logs.mkdir(mode=0o700, exist_ok=True)
        self.anchors.mkdir(mode=0o700, exist_ok=True)
        keys = self.secrets()
        with step("Preparing the server that DATABASE_URL names" if plan.server_url else "Starting PostgreSQL"):
            server_url = plan.server_url or self.postgres.start().superuser_url("postgres")
            owner_url, runtime_url = prepare(server_url, DATABASE, keys["portico_password"])
        environment = self.environment(keys, runtime_url)
        self.leave_environment(environment | {"DATABASE_OWNER_URL": owner_url})
        with step("Migrating the database"):
            self.flask(environment | {"DATABASE_OWNER_URL": owner_url}, "db", "upgrade")
        with step("Filling the demo clinics"):
            self.flask(environment, "demo", "fill")
            app_secret = self.flask(environment, "demo", "app-secret").strip()
        if not plan.has_stripe:
            with step("Starting the stand-in for Stripe"):
                self.start_stripe(environment)
                self.flask(environment, "demo", "sign-up")
        with step("Starting the post office"):
            ports = ("--smtp-port", str(plan.smtp_port), "--http-port", str(plan.letters_port))
            shown = ("--folder", str(plan.data / "letters"), "--app-secret", app_secret)
            self.children.start("post office", environment, "mail.mail_page", *ports, *shown)
            self.children.wait_for_page(plan.letters_port)
        with step("Starting the worker"):
            self.children.start("worker", environment, "flask", "worker")
        with step("Starting the web server"):
            shape = ("--worker-class", "gthread", "--workers", "2", "--threads", "4", "--graceful-timeout", "5")
            bind = ("--bind", f"127.0.0.1:{plan.port}", "--no-control-socket")
            self.children.start("web server", environment, "gunicorn", *shape, *bind, "wsgi:create_app()")
            self.children.wait_for_page(plan.port)
        self.show_the_way(self.flask(environment, "demo", "sign-ins"))

    def start_stripe(self, environment: dict[str, str]) -> None:
        """Remembers its accounts and payments from one start to the next; bank debits settle after a minute."""
        told = ("--webhook-url", f"http://localhost:{self.plan.port}/webhooks/stripe")
        known = ("--key", environment["STRIPE_API_KEY"], "--webhook-secret", environment["STRIPE_WEBHOOK_SECRET"])
        kept = ("--state", str(self.plan.data / "stripe.json"), "--settle-after", "60")
        port = ("--port", str(self.plan.stripe_port))
        self.children.start("stand-in for Stripe", environment, "tests.stripe_fake", *port, *told, *known, *kept)
        self.children.wait_for_page(self.plan.stripe_port)

    def stop(self) -> None:
        self.children.stop()
        if self.plan.server_url is None:
            self.postgres.stop()

    def start_over(self) -> None:
        self.postgres.discard()
        for path in self.plan.data.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self.plan.server_url:
            with psycopg.connect(self.plan.server_url, autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))

    def secrets(self) -> dict[str, str]:
        """Made once, kept beside the data they protect."""
        path = self.plan.data / "secrets.json"
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        made = {
            "secret_key": secrets.token_urlsafe(),
            "master_key": base64.b64encode(secrets.token_bytes(32)).decode(),
            "portico_password": secrets.token_urlsafe(),
            "stripe_key": f"sk_test_{secrets.token_hex()}",
            "stripe_webhook_secret": f"whsec_{secrets.token_hex()}",
        }
        if made.keys() - kept.keys():
            kept = made | kept
            _write_private(path, json.dumps(kept))
        return kept

    def environment(self, keys: dict[str, str], runtime_url: str) -> dict[str, str]:
        ours = ("PORTICO_", "DATABASE_", "FLASK_", "GUNICORN_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return inherited | self.stripe(keys) | {
            "PORTICO_BASE_URL": f"http://localhost:{self.plan.port}",
            "PORTICO_SECRET_KEY": keys["secret_key"],
            "PORTICO_MASTER_KEY": keys["master_key"],
            "PORTICO_MAIL_SERVER": "127.0.0.1",
            "PORTICO_MAIL_PORT": str(self.plan.smtp_port),
            "PORTICO_MAIL_SECURITY": "none",
            "PORTICO_MAIL_SENDER": "no-reply@localhost.test",
            "PORTICO_AUDIT_ANCHORS": str(self.anchors),
            "DATABASE_URL": runtime_url,
        }

    def stripe(self, keys: dict[str, str]) -> dict[str, str]:
        """How the stand-in is reached; Stripe itself by what the environment says already."""
        if self.plan.has_stripe:
            return {}
        return {
            "STRIPE_API_KEY": keys["stripe_key"],
            "STRIPE_WEBHOOK_SECRET": keys["stripe_webhook_secret"],
            "STRIPE_API_BASE": f"http://127.0.0.1:{self.plan.stripe_port}",
        }

    def leave_environment(self, environment: dict[str, str]) -> None:
        """For operator commands in a second terminal: `. .portico/environment && .venv/bin/flask clinics list`."""
        settings = {name: value for name, value in environment.items() if name.startswith(("PORTICO_", "DATABASE_", "STRIPE_"))}
        settings["PORTICO_OPERATOR"] = "demo operator"
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in settings.items()]
        _write_private(self.plan.data / "environment", "".join(lines))

    def flask(self, environment: dict[str, str], *arguments: str) -> str:
        command = [sys.executable, "-m", "flask", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, start_new_session=True, preexec_fn=end_with_parent,
        )  # fmt: skip
        if done.returncode:
            raise ChildFailed(f"flask {' '.join(arguments)} failed:\n{end_of(done.stdout)}")
        return done.stdout

    def show_the_way(self, sign_ins: str) -> None:
        print("\nPortico is up. Where to click:\n")
        print(f"  {f'http://localhost:{self.plan.port}/':<42} the front door: find my portal")
        print(f"  {f'http://127.0.0.1:{self.plan.letters_port}/':<42} every letter that was sent, and the staff's sign-in code")
        if self.plan.has_stripe:
            print("  Payments are made at Stripe, with the key in STRIPE_API_KEY. For its webhooks, in another terminal:")
            print(f"  stripe listen --forward-connect-to localhost:{self.plan.port}/webhooks/stripe")
        else:
            print(f"  {f'http://127.0.0.1:{self.plan.stripe_port}/':<42} the stand-in for Stripe: each clinic's dashboard there")
        print(f"{sign_ins.rstrip()}\n")
        print(f"For operator commands in a second terminal: . {shlex.quote(str(self.plan.data / 'environment'))}")
        print("Ctrl-C stops all of it and keeps the data; ./demo --fresh starts over.")


@contextmanager
def step(words: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"  {words} …", end=" ")
    try:
        yield
    except BaseException:
        print()
        raise
    print(f"{time.monotonic() - began:.1f} s")


def main() -> int:
    plan = read_plan(sys.argv[1:])
    for number in STOP_SIGNALS:
        signal.signal(number, _stop_asked)
    try:
        _refuse_taken_ports(plan)
        with _only_demo_in(plan.data):
            demo = Demo(plan)
            try:
                demo.start()
                demo.children.watch()
            finally:
                for number in STOP_SIGNALS:
                    signal.signal(number, signal.SIG_IGN)
                with step("Stopping"):
                    demo.stop()
    except KeyboardInterrupt:
        pass  # the ordinary end
    except (DemoRefused, ChildFailed, ServerFailed, psycopg.Error) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text} is not a port number")
    return int(text)


def _stop_asked(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _refuse_taken_ports(plan: Plan) -> None:
    ports = {"port": plan.port, "letters-port": plan.letters_port, "smtp-port": plan.smtp_port}
    if not plan.has_stripe:
        ports["stripe-port"] = plan.stripe_port
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
            try:
                probe.bind(("127.0.0.1", port))
            except PermissionError:
                raise DemoRefused(
                    f"Port {port} is reserved by the system: choose one above 1023 with --{option}."
                ) from None
            except OSError:
                raise DemoRefused(
                    f"Port {port} is taken by another program: stop that, or choose another with --{option}."
                ) from None


@contextmanager
def _only_demo_in(data: Path) -> Iterator[None]:
    # Others may pass through, not look: as root, PostgreSQL runs under another account further down.
    data.mkdir(mode=0o711, parents=True, exist_ok=True)
    handle = os.open(data, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DemoRefused(
            f"A demo already runs in {data}. Stop it first, or name another folder in PORTICO_DATA."
        ) from None
    finally:
        os.close(handle)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
