"""All of Portico as a person meets it: its web server, its worker and a post office, each a process of its own."""

import base64
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from flask import Flask

from mail.mail_page import ArrivedLetter, Mailbox
from tenancy.child_processes import Children, end_of
from tenancy.settings import Settings
from wsgi import create_app

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"http://\S+/link/\S+")
LETTER_SECONDS = 30


class Running:
    """One Portico on a database of its own. `app` looks into that database from the test's own process."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = replace(settings, port=free_port(), mail_port=free_port())
        self.app: Flask = create_app(self.settings)
        self.environment = environment_of(self.settings)
        self.mailbox = Mailbox(folder / "letters")
        logs = folder / "logs"
        logs.mkdir()
        self.children = Children(ROOT, logs)

    def start(self) -> None:
        letters_port = free_port()
        ports = ("--smtp-port", str(self.settings.mail_port), "--http-port", str(letters_port))
        self.children.start(
            "post office", self.environment, "mail.mail_page", *ports, "--folder", str(self.mailbox.folder)
        )
        self.children.start("worker", self.environment, "flask", "worker")
        shape = ("--worker-class", "gthread", "--workers", "1", "--threads", "6", "--graceful-timeout", "2")
        bind = ("--bind", f"127.0.0.1:{self.settings.port}", "--no-control-socket")
        self.children.start("web server", self.environment, "gunicorn", *shape, *bind, "wsgi:create_app()")
        assert self.settings.port
        self.children.wait_for_page(self.settings.port)
        self.children.wait_for_page(letters_port)

    def stop(self) -> None:
        self.children.stop()

    def faults(self) -> str:
        """What the web server wrote about errors of ours; empty when all went well."""
        log = (self.children.logs / "web-server.log").read_text(errors="replace")
        _, traceback, rest = log.partition("Traceback")
        return traceback + rest

    def portal(self, slug: str, path: str = "/") -> str:
        return f"http://{slug}.{self.settings.authority}{path}"

    def admin(self, slug: str, path: str = "/") -> str:
        return f"http://admin.{self.settings.authority}/{slug}{path}"

    def front_door(self, path: str = "/") -> str:
        return f"http://{self.settings.authority}{path}"

    def flask(self, *arguments: str) -> str:
        """An operator's command, typed in a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "flask", *arguments], cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, end_of(done.stdout)
        return done.stdout

    def letter(self, to: str, containing: str) -> ArrivedLetter:
        """The newest letter to this address whose subject or text contains the words; waits for it to arrive."""
        deadline = time.monotonic() + LETTER_SECONDS
        while time.monotonic() < deadline:
            self.children.all_alive()
            for letter in self.mailbox.newest_first():
                if to in letter.recipient and containing in letter.subject + letter.text:
                    return letter
            time.sleep(0.1)
        there = [(each.recipient, each.subject) for each in self.mailbox.newest_first()]
        raise AssertionError(f"No letter to {to} with “{containing}” arrived. There are: {there}")

    def link(self, to: str, containing: str) -> str:
        """The address that such a letter asks its reader to follow."""
        found = LINK.search(self.letter(to, containing).text)
        assert found, (to, containing)
        return found[0]


def environment_of(settings: Settings) -> dict[str, str]:
    """What a process of Portico with these settings is started with."""
    ours = ("PORTICO_", "DATABASE_", "FLASK_", "GUNICORN_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return inherited | {
        "PORTICO_BASE_URL": f"{settings.scheme}://{settings.authority}",
        "PORTICO_SECRET_KEY": settings.secret_key,
        "PORTICO_MASTER_KEY": base64.b64encode(settings.master_key).decode(),
        "PORTICO_MAIL_SERVER": settings.mail_server,
        "PORTICO_MAIL_PORT": str(settings.mail_port),
        "PORTICO_MAIL_SECURITY": settings.mail_security,
        "PORTICO_MAIL_SENDER": settings.mail_sender,
        "PORTICO_OPERATOR": settings.operator or "",
        "PORTICO_TRUSTED_PROXY": settings.trusted_proxy or "",
        "DATABASE_URL": settings.database_url,
        "STRIPE_API_KEY": settings.stripe_api_key or "",
        "STRIPE_WEBHOOK_SECRET": settings.stripe_webhook_secret or "",
        "STRIPE_API_BASE": settings.stripe_api_base or "",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
