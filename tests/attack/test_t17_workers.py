"""T17, with the application server as it is deployed: while Stripe hangs, every other page is as fast as ever.

Lost if it fails: Stripe has a bad hour, and no family of any clinic can read when its appointment is.
As many press the button to pay as there are threads, again and again; somebody reads the start page meanwhile.
"""

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest

from clinic import demo
from tenancy.database import db
from tests import books, inside
from tests.attack.test_t04_workers import _workers
from tests.conftest import Cluster
from tests.journeys.running import ROOT, Running
from tests.paying import MARIA, give_billing, use_account
from tests.stripe_fake.client import StripeFake
from tests.visitor import Visitor

PRESSERS, SECONDS = 18, 12  # two workers have six threads each
PAGE_EACH = 0.2  # seconds, whether the last was answered or not
LONGEST_SECONDS = 10
PATIENCE = 60  # a busy machine's
# A deployment without what keeps a hanging Stripe from the threads.
PLANTED = """
from clinic.stripe_gateway import breaker
breaker.AT_ONCE, breaker.FAILURES = 1000, 1000
"""


@dataclass
class Crowd:
    """Everybody who presses, and what they were told how fast."""

    port: int
    presses: list[bytes]
    home: bytes
    pressed: list[tuple[bytes, float]] = field(default_factory=list)

    def slowest_but_few(self) -> float:
        """The start page's 95th percentile while each of the next PRESSERS presses again and again."""
        until = time.monotonic() + SECONDS
        pressing, self.presses = self.presses[:PRESSERS], self.presses[PRESSERS:]
        with ThreadPoolExecutor(200) as people:
            for each in pressing:
                people.submit(self._press, each, until)
            pages = []
            while time.monotonic() < until:
                pages.append(people.submit(ask, self.port, self.home))
                time.sleep(PAGE_EACH)
        read = [page.result() for page in pages]
        assert {status for status, _seconds in read} == {b"200"}
        return sorted(seconds for _status, seconds in read)[int(len(read) * 0.95)]

    def _press(self, request: bytes, until: float) -> None:
        while time.monotonic() < until:
            self.pressed.append(ask(self.port, request))
            time.sleep(0.5)


def ask(port: int, request: bytes) -> tuple[bytes, float]:
    """The status and how long it took."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
        line.sendall(request)
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    return answer[9:12], time.monotonic() - began


@contextmanager
def standing(cluster: Cluster, fake: StripeFake, folder: Path, *, more: str = "") -> Iterator[tuple[Running, Crowd]]:
    """gunicorn with the repository's own configuration, and whoever will press."""
    settings = replace(cluster.copy(), stripe_api_key=fake.key, stripe_webhook_secret=fake.secret, stripe_api_base=fake.url)
    running = Running(settings, folder)
    configured = folder / "gunicorn.conf.py"
    configured.write_text((ROOT / "gunicorn.conf.py").read_text() + more)
    port = running.settings.port
    assert port
    try:
        start = ("--config", str(configured), "--bind", f"127.0.0.1:{port}", "wsgi:create_app()")
        running.children.start("web server", running.environment, "gunicorn", *start)
        running.children.wait_for_page(port)
        yield running, Crowd(port, *requests(running, fake))
    finally:
        fake.clear_faults()
        running.stop()
        with running.app.app_context():
            db.engine.dispose()
        cluster.drop(settings)


def requests(running: Running, fake: StripeFake) -> tuple[list[bytes], bytes]:
    """Maria's requests to pay an invoice each, and one for her start page."""
    account_id = fake.account()
    with inside.inside(running.app, demo.ELM):
        use_account(account_id)
        patient_id = books.newcomer()
        give_billing(inside.user(MARIA).id, patient_id)
        owed = [books.invoice(patient_id, 5000) for _ in range(2 * PRESSERS)]
    host = f"{demo.ELM}.{running.settings.authority}"
    maria = Visitor(running.app, f"http://{host}").sign_in(MARIA)
    path = f"/patients/{patient_id}/payments/new"
    maria.get(path)
    cookie = "; ".join(f"{each.key}={each.value}" for each in maria.client._cookies.values())
    common = f"Host: {host}\r\nCookie: {cookie}\r\nOrigin: http://{host}\r\nConnection: close\r\n"
    return [_press(path, common, maria.token, invoice) for invoice in owed], f"GET / HTTP/1.1\r\n{common}\r\n".encode()


def _press(path: str, common: str, token: str, invoice: UUID) -> bytes:
    body = urlencode({"csrf_token": token, "payment_id": str(uuid4()), "invoices": str(invoice)})
    form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
    return f"POST {path} HTTP/1.1\r\n{common}{form}\r\n{body}".encode()


def check_other_pages_are_as_fast(running: Running, crowd: Crowd, fake: StripeFake) -> None:
    """As they are while Stripe answers."""
    workers = _workers(running)
    usual = crowd.slowest_but_few()
    fake.fault("/v1/*", "hang", times=None, seconds=100)
    hanging = crowd.slowest_but_few()
    print(f"p95 {usual:.2f} s, while Stripe hangs {hanging:.2f} s")
    waited = max(seconds for _status, seconds in crowd.pressed)
    assert hanging < max(2 * usual, 1.0), f"the start page's p95 is {usual:.2f} s, and {hanging:.2f} s while Stripe hangs"
    assert {status for status, _seconds in crowd.pressed} == {b"303"} and waited < LONGEST_SECONDS
    assert _workers(running) == workers, "a worker was killed for being slow"
    log = (running.children.logs / "web-server.log").read_text()
    assert not re.search("WORKER TIMEOUT|Traceback", log)


@pytest.mark.slow
def test_other_pages_are_as_fast_while_stripe_hangs(cluster: Cluster, stripe_fake: StripeFake, tmp_path: Path) -> None:
    with standing(cluster, stripe_fake, tmp_path) as (running, crowd):
        check_other_pages_are_as_fast(running, crowd, stripe_fake)


@pytest.mark.slow
def test_planted_a_hanging_stripe_holds_every_thread(cluster: Cluster, stripe_fake: StripeFake, tmp_path: Path) -> None:
    with standing(cluster, stripe_fake, tmp_path, more=PLANTED) as (running, crowd), pytest.raises(AssertionError, match="the start page"):
        check_other_pages_are_as_fast(running, crowd, stripe_fake)
