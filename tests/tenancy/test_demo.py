"""Lost if it fails: whoever wants to see Portico sees a traceback, loses what they tried out, or cannot stop it."""

import base64
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psycopg
import pytest

from tenancy import demo, settings
from tenancy.child_processes import ChildFailed
from tenancy.demo import Demo, DemoRefused, Plan
from tenancy.embedded_postgres import Server, ServerFailed
from tests.journeys.running import ROOT, free_port

PATIENCE_SECONDS = 600  # a busy machine's
KEYS = {
    "secret_key": "s" * 64, "master_key": base64.b64encode(bytes(32)).decode(), "portico_password": "p",
    "stripe_key": "sk_test_x", "stripe_webhook_secret": "whsec_x",
}  # fmt: skip

ALONE = """
import os, sys
from flask import Flask

app = Flask("alone")
app.cli.command("alone")(lambda: print(os.getsid(0) == os.getpid(), repr(sys.stdin.read())))
"""


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("PORTICO_DATA", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name in ("STRIPE_API_KEY", "STRIPE_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return demo.read_plan([f"--{name}port={free_port()}" for name in ("", "letters-", "smtp-", "stripe-")])


@pytest.fixture
def done(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a demo does, in order, where everything that takes time is only written down."""
    done: list[str] = []

    def started(server: Server) -> Server:
        done.append("postgres started")
        return server

    def flask(self: Demo, environment: dict[str, str], *arguments: str) -> str:
        done.append(f"flask {' '.join(arguments)}{' as owner' if 'DATABASE_OWNER_URL' in environment else ''}")
        return {"app-secret": "JBSWY3DP\n", "sign-ins": "  ana@elm.example\n\n"}.get(arguments[-1], "")

    def start(self: Any, name: str, environment: dict[str, str], module: str, *arguments: str) -> None:
        assert environment["PORTICO_BASE_URL"] and "DATABASE_OWNER_URL" not in environment
        done.append(f"{name}: {module} {' '.join(arguments)}")

    def prepare(server_url: str, database: str, password: str) -> tuple[str, str]:
        done.append(f"{database} prepared at {server_url}")
        return "postgresql://owner@db/demo", "postgresql://runtime@db/demo"

    monkeypatch.setattr(Server, "start", started)
    monkeypatch.setattr(Server, "superuser_url", lambda self, database: f"postgresql://embedded/{database}")
    monkeypatch.setattr(Server, "stop", lambda self, mode="fast": done.append(f"postgres stopped, {mode}"))
    monkeypatch.setattr(demo, "prepare", prepare)
    monkeypatch.setattr(Demo, "flask", flask)
    monkeypatch.setattr(demo.Children, "start", start)
    monkeypatch.setattr(demo.Children, "wait_for_page", lambda self, port: done.append(f"page on {port}"))
    monkeypatch.setattr(demo.Children, "stop", lambda self: done.append("children stopped"))
    return done


def run_main(monkeypatch: pytest.MonkeyPatch, plan: Plan, *more: str) -> int:
    """`./demo` in this process, its signals put back afterwards."""
    ports = ("--port", str(plan.port), "--letters-port", str(plan.letters_port), "--smtp-port", str(plan.smtp_port))
    monkeypatch.setattr(sys, "argv", ["./demo", *ports, "--stripe-port", str(plan.stripe_port), *more])
    kept = {number: signal.getsignal(number) for number in demo.STOP_SIGNALS}
    try:
        return demo.main()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def test_without_a_word_it_takes_the_ports_and_the_folder_that_the_readme_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORTICO_DATA", "DATABASE_URL", "STRIPE_API_KEY", "STRIPE_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert demo.read_plan([]) == Plan(8000, 8025, 1025, ROOT / ".portico", False, None, 12111, False)
    monkeypatch.setenv("PORTICO_DATA", "elsewhere")
    monkeypatch.setenv("DATABASE_URL", "postgresql://admin@db")
    arguments = ["--port=1", "--letters-port=65535", "--smtp-port=3", "--stripe-port=4", "--fresh"]
    assert demo.read_plan(arguments) == Plan(1, 65535, 3, Path("elsewhere").absolute(), True, "postgresql://admin@db", 4)


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "80a", "²"])
def test_what_is_no_port_is_said_to_be_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        demo.read_plan([f"--port={port}"])
    assert f"{port} is not a port number" in capsys.readouterr().err


def test_everything_is_started_in_its_order_and_stopped_in_the_other(
    plan: Plan, done: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Any) -> None:
        done.append("watched")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(demo.Children, "watch", interrupted)
    assert run_main(monkeypatch, plan) == 0
    kept = json.loads((plan.data / "secrets.json").read_text())
    shape = "--worker-class gthread --workers 2 --threads 4 --graceful-timeout 5"
    assert done == [
        "postgres started",
        "portico_demo prepared at postgresql://embedded/postgres",
        "flask db upgrade as owner",
        "flask demo fill",
        "flask demo app-secret",
        f"stand-in for Stripe: tests.stripe_fake --port {plan.stripe_port} "
        f"--webhook-url http://localhost:{plan.port}/webhooks/stripe --key {kept['stripe_key']} "
        f"--webhook-secret {kept['stripe_webhook_secret']} "
        f"--state {plan.data}/stripe.json --settle-after 60",
        f"page on {plan.stripe_port}",
        "flask demo sign-up",
        f"post office: mail.mail_page --smtp-port {plan.smtp_port} --http-port {plan.letters_port} "
        f"--folder {plan.data}/letters --app-secret JBSWY3DP",
        f"page on {plan.letters_port}",
        "worker: flask worker",
        f"web server: gunicorn {shape} --bind 127.0.0.1:{plan.port} --no-control-socket wsgi:create_app()",
        f"page on {plan.port}",
        "flask demo sign-ins",
        "watched",
        "children stopped",
        "postgres stopped, fast",
    ]
    steps, _, rest = capsys.readouterr().out.partition("\nPortico is up. Where to click:\n\n")
    assert "  Starting PostgreSQL … 0.0 s\n" in steps
    portal, letters, stripe, *rest = rest.splitlines()
    assert portal.startswith(f"  http://localhost:{plan.port}/ ") and letters.startswith(f"  http://127.0.0.1:{plan.letters_port}/ ")
    assert stripe.startswith(f"  http://127.0.0.1:{plan.stripe_port}/ ")
    assert rest == [
        "  ana@elm.example",
        "",
        f"For operator commands in a second terminal: . {plan.data}/environment",
        "Ctrl-C stops all of it and keeps the data; ./demo --fresh starts over.",
        "  Stopping … 0.0 s",
    ]
    assert "DATABASE_OWNER_URL=postgresql://owner@db/demo\n" in (plan.data / "environment").read_text()


def test_a_server_of_ones_own_is_made_ready_and_neither_started_nor_stopped(
    plan: Plan, done: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://admin@db/postgres")
    monkeypatch.setattr(demo.Children, "watch", lambda self: signal.raise_signal(signal.SIGINT))
    assert run_main(monkeypatch, plan) == 0
    assert done[0] == "portico_demo prepared at postgresql://admin@db/postgres"
    assert not [each for each in done if each.startswith("postgres ")]
    assert "Preparing the server that DATABASE_URL names … " in capsys.readouterr().out


@pytest.mark.parametrize("failure", [ChildFailed("it broke"), ServerFailed("it broke"), psycopg.OperationalError("it broke")])
def test_a_failure_is_one_sentence_and_nothing_stays_behind(
    plan: Plan, done: list[str], failure: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> tuple[str, str]:
        raise failure

    monkeypatch.setattr(demo, "prepare", fail)
    assert run_main(monkeypatch, plan) == 1
    said = capsys.readouterr()
    assert said.err == "it broke\n" and "Starting PostgreSQL … \n" in said.out
    assert done == ["postgres started", "children stopped", "postgres stopped, fast"]


def test_an_impatient_second_ctrl_c_does_not_cut_the_stopping_short(
    plan: Plan, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else PostgreSQL would stay behind, with the port and the folder."""
    monkeypatch.setattr(demo.Children, "watch", lambda self: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(demo.Children, "stop", lambda self: [signal.raise_signal(each) for each in demo.STOP_SIGNALS])
    assert run_main(monkeypatch, plan) == 0
    assert done[-1] == "postgres stopped, fast"


@pytest.mark.parametrize("option", ["port", "letters-port", "smtp-port", "stripe-port"])
def test_a_port_that_is_taken_is_named_with_what_to_do(
    plan: Plan, done: list[str], option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert run_main(monkeypatch, plan, f"--{option}", str(taken)) == 1
    assert capsys.readouterr().err == f"Port {taken} is taken by another program: stop that, or choose another with --{option}.\n"
    assert done == []


def test_a_port_of_the_systems_own_is_said_to_be_one(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(DemoRefused, match=f"Port {plan.port} is reserved by the system: .* above 1023 with --port"):
        demo._refuse_taken_ports(plan)


def test_a_port_that_was_just_given_up_is_free(plan: Plan) -> None:
    """A demo that was stopped may be started again at once, though the system still holds its last connections."""
    with socket.create_server(("127.0.0.1", plan.port)) as server, socket.create_connection(("127.0.0.1", plan.port)):
        server.accept()[0].close()  # who closes first keeps the port waiting
    demo._refuse_taken_ports(plan)


def test_one_demo_a_folder(
    plan: Plan, done: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would write into one database, and stop it under each other."""
    with demo._only_demo_in(plan.data):
        assert run_main(monkeypatch, plan) == 1
    assert f"A demo already runs in {plan.data}. Stop it first" in capsys.readouterr().err
    assert done == []
    with demo._only_demo_in(plan.data / "new" / "folder"):
        assert (plan.data / "new" / "folder").stat().st_mode & 0o777 == 0o711
    with demo._only_demo_in(plan.data / "new" / "folder"):
        pass


def test_secrets_are_made_once_and_for_the_owners_eyes(plan: Plan) -> None:
    """New ones would make everything that is sealed in the database unreadable."""
    made = Demo(plan).secrets()
    assert Demo(plan).secrets() == made
    assert all(len(made[name]) >= 32 for name in ("secret_key", "portico_password", "stripe_key", "stripe_webhook_secret"))
    assert len(base64.b64decode(made["master_key"])) == 32
    (plan.data / "secrets.json").unlink()
    assert not set(made.values()) & set(Demo(plan).secrets().values())  # no two demos share them
    assert (plan.data / "secrets.json").stat().st_mode & 0o077 == 0


def test_what_it_starts_its_programs_with_is_what_portico_takes(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing that is left in the terminal from another day changes it."""
    for name in ("PORTICO_CLAMD", "DATABASE_OWNER_URL", "FLASK_DEBUG", "GUNICORN_CMD_ARGS"):
        monkeypatch.setenv(name, "left behind")
    monkeypatch.setenv("LANG", "C.UTF-8")
    Demo(plan).anchors.mkdir()
    environment = Demo(plan).environment(KEYS, "postgresql://runtime@db/demo")
    assert "left behind" not in environment.values() and environment["LANG"] == "C.UTF-8"
    read = settings.read(environment)
    assert (read.authority, read.mail_port, read.mail_security) == (f"localhost:{plan.port}", plan.smtp_port, "none")
    assert read.audit_anchors == plan.data / "anchors"
    assert (read.stripe_api_base, read.is_live) == (f"http://127.0.0.1:{plan.stripe_port}", False)


def test_with_a_key_of_stripes_own_the_stand_in_stays_away(
    plan: Plan, done: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_of_mine")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", "whsec_of_mine")
    monkeypatch.setattr(demo.Children, "watch", lambda self: signal.raise_signal(signal.SIGINT))
    with socket.create_server(("127.0.0.1", plan.stripe_port)):  # nor does it matter who else is there
        assert run_main(monkeypatch, plan) == 0
    assert not [each for each in done if "stripe_fake" in each or "sign-up" in each]
    assert (
        "with the key in STRIPE_API_KEY. For its webhooks, in another terminal:\n"
        f"  stripe listen --forward-connect-to localhost:{plan.port}/webhooks/stripe\n"
    ) in capsys.readouterr().out
    left = (plan.data / "environment").read_text()
    assert "STRIPE_API_KEY=sk_test_of_mine\n" in left and "STRIPE_API_BASE" not in left


def test_an_operators_terminal_gets_settings_and_no_more(plan: Plan) -> None:
    Demo(plan).leave_environment({"PORTICO_SECRET_KEY": "it's; secret", "DATABASE_URL": "postgresql://x", "PATH": "/bin"})
    kept = plan.data / "environment"
    assert kept.stat().st_mode & 0o077 == 0
    shell = f". {kept} && echo \"$PORTICO_SECRET_KEY|$DATABASE_URL|$PORTICO_OPERATOR\""
    assert subprocess.check_output(["sh", "-c", shell], text=True) == "it's; secret|postgresql://x|demo operator\n"
    assert "PATH" not in kept.read_text()


def test_a_command_that_fails_is_named_with_the_end_of_what_it_said(plan: Plan) -> None:
    environment = {"PATH": os.environ["PATH"]}
    assert Demo(plan).flask(environment, "--version").startswith("Python ")
    (plan.data / "alone.py").write_text(ALONE)
    alone = Demo(plan).flask({"FLASK_APP": str(plan.data / "alone.py"), **environment}, "alone")
    assert alone == "True ''\n"  # Ctrl-C reaches the demo, which ends it; and it asks the terminal nothing
    with pytest.raises(ChildFailed, match=r"flask nowhere to-be failed:\n(.*\n)*.*No such command 'nowhere'"):
        Demo(plan).flask({"FLASK_APP": "flask", **environment}, "nowhere", "to-be")


def test_starting_over_leaves_nothing_of_the_day_before(
    plan: Plan, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "discard", lambda self: done.append("postgres discarded"))
    (plan.data / "letters").mkdir()
    (plan.data / "letters" / "one.eml").touch()
    (plan.data / "secrets.json").write_text(json.dumps({"portico_password": "old"}))
    fresh = Demo(Plan(plan.port, plan.letters_port, plan.smtp_port, plan.data, True, None, plan.stripe_port))
    fresh.start()
    assert done[:2] == ["postgres discarded", "postgres started"]
    assert not (plan.data / "letters").exists() and fresh.secrets()["portico_password"] != "old"
    Demo(plan).start()
    assert Demo(plan).secrets() == fresh.secrets() and done.count("postgres discarded") == 1
    for folder in ("logs", "anchors"):
        assert (plan.data / folder).stat().st_mode & 0o077 == 0


def test_starting_over_on_a_server_of_ones_own_drops_the_demos_database_alone(plan: Plan) -> None:
    with server_of_ones_own() as server_url, psycopg.connect(server_url, autocommit=True) as admin:
        for name in ("portico_demo", "portico"):
            admin.execute(f"CREATE DATABASE {name}".encode())
        admin.execute("ALTER DATABASE portico_demo IS_TEMPLATE false")
        fresh = Demo(Plan(1, 2, 3, plan.data, True, server_url))
        with psycopg.connect(server_url.rpartition("/")[0] + "/portico_demo"):  # somebody looks into it
            fresh.start_over()
        names = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'portico%'").fetchall()
        assert names == [("portico",)]
        fresh.start_over()  # nothing there: nothing to do


@contextmanager
def server_of_ones_own() -> Iterator[str]:
    server = Server(Path(tempfile.mkdtemp(prefix="portico-embedded-")), fast=True)
    try:
        yield server.start().superuser_url()
    finally:
        server.discard()


def page(port: int, host: str = "localhost") -> int:
    try:
        with urlopen(f"http://{host}:{port}/", timeout=20) as answer:
            return int(answer.status)
    except HTTPError as answer:
        return answer.code


def test_the_module_is_what_the_command_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(demo.__file__), run_name="__main__")
    assert ended.value.code == 0 and "Ctrl-C stops it" in capsys.readouterr().out


@pytest.mark.slow
def test_the_demo_itself_starts_shows_its_pages_stops_and_keeps_its_data() -> None:
    """As somebody types it: `./demo` in a terminal, Ctrl-C, and `./demo` again."""
    data = Path(tempfile.mkdtemp(prefix="portico-demo-"))
    data.chmod(0o711)  # as the demo itself makes it
    ports = [free_port() for _ in range(4)]
    names = ("--port", "--letters-port", "--smtp-port", "--stripe-port")
    options = [each for name, port in zip(names, ports, strict=True) for each in (name, str(port))]
    ours = ("PORTICO_", "DATABASE_", "STRIPE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept: list[str] = []
    try:
        for _ in range(2):
            with subprocess.Popen(
                [sys.executable, "-u", "-m", "tenancy.demo", *options], cwd=ROOT, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, env={**environment, "PORTICO_DATA": str(data)}, start_new_session=True,
            ) as running:  # fmt: skip
                assert running.stdout
                patience = threading.Timer(PATIENCE_SECONDS, running.kill)
                patience.start()
                said = ""
                for line in running.stdout:
                    said += line
                    if line.startswith("Ctrl-C"):
                        break
                else:
                    raise AssertionError(said)
                assert page(ports[0]) == 200 and page(ports[1]) == page(ports[3]) == 200 and "ana@elm.example" in said
                kept.append((data / "secrets.json").read_text())
                os.killpg(running.pid, signal.SIGINT)
                assert running.stdout.read().startswith("  Stopping … ") and running.wait(30) == 0
                patience.cancel()
            for port in ports:
                with pytest.raises(OSError):
                    socket.create_connection(("127.0.0.1", port))
            assert not (data / "postgres" / "data" / "postmaster.pid").exists()
        assert kept[0] == kept[1]
    finally:
        Server(data / "postgres").discard()
        shutil.rmtree(data)
