"""T04, with real workers: no request sees another clinic's while workers are ended, recycled and hung up on.

Lost if it fails: a family is shown another clinic's records in the second in which a worker died.
Two gunicorn workers that are recycled every few requests answer both clinics by turns; readers hang up in the middle of
a page, and workers are told to go (`kill -TERM`) while they work.
"""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from clinic import demo
from tenancy.database import db
from tests.conftest import Cluster
from tests.journeys.running import Running
from tests.visitor import Visitor

ANSWERS, ENDED, MOST_SECONDS = 50, 5, 90  # of each clinic; workers told to go; a busy machine's patience
READERS = 4
NAMES = {demo.ELM: re.compile(rb"Leo Lopez|Mia Lopez"), demo.OAK: re.compile(rb"Nina Lopez")}
SHAPE = ("--worker-class", "gthread", "--workers", "2", "--threads", "2", "--max-requests", "40", "--graceful-timeout", "3")


@pytest.fixture
def running(cluster: Cluster, tmp_path: Path) -> Iterator[Running]:
    settings = cluster.copy()
    standing = Running(settings, tmp_path)
    bind = ("--bind", f"127.0.0.1:{standing.settings.port}", "--no-control-socket")
    try:
        standing.children.start("web server", standing.environment, "gunicorn", *SHAPE, *bind, "wsgi:create_app()")
        assert standing.settings.port
        standing.children.wait_for_page(standing.settings.port)
        yield standing
    finally:
        standing.stop()
        with standing.app.app_context():
            db.engine.dispose()
        cluster.drop(settings)


def _request(running: Running, slug: str) -> bytes:
    """A signed-in request for the start page of Maria's portal there."""
    host = f"{slug}.{running.settings.authority}"
    visitor = Visitor(running.app, f"http://{host}").sign_in("maria@family.example")
    cookie = "; ".join(f"{each.key}={each.value}" for each in visitor.client._cookies.values())
    return f"GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n".encode()


def _ask(port: int, request: bytes, *, hang_up: bool) -> bytes:
    """The whole answer; nothing where the reader hung up, or a worker that was going did."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(request)
        if hang_up:
            line.recv(100)
            return b""
        answer = b""
        while piece := line.recv(65536):
            answer += piece
        return answer


def _workers(running: Running) -> list[int]:
    master = running.children.running[-1].process.pid
    found = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return [int(each) for each in found]


@pytest.mark.slow
def test_workers_that_come_and_go_mix_no_clinics(running: Running) -> None:
    port = running.settings.port
    assert port
    requests = {slug: _request(running, slug) for slug in NAMES}
    answered: dict[str, int] = dict.fromkeys(NAMES, 0)
    mixed: list[str] = []
    until = time.monotonic() + MOST_SECONDS
    ended = 0

    def is_enough() -> bool:
        return (ended >= ENDED and min(answered.values()) >= ANSWERS) or time.monotonic() > until

    def read(seed: int) -> None:
        draw = Random(seed)
        while not is_enough():
            slug = draw.choice(list(NAMES))
            try:
                page = _ask(port, requests[slug], hang_up=draw.random() < 0.15)
            except OSError:
                continue  # the worker that held this line has gone
            if not page.startswith(b"HTTP/1.1 200"):
                continue
            answered[slug] += bool(NAMES[slug].search(page))
            mixed.extend(slug for other in NAMES if other != slug and NAMES[other].search(page))

    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(READERS)]
    for reader in readers:
        reader.start()
    while not is_enough():
        time.sleep(1.5)
        for worker in _workers(running)[: ended < ENDED]:
            os.kill(worker, signal.SIGTERM)
            ended += 1
    for reader in readers:
        reader.join()
    assert not mixed
    assert ended >= ENDED and min(answered.values()) >= ANSWERS, (ended, answered)
    assert _ask(port, requests[demo.ELM], hang_up=False).startswith(b"HTTP/1.1 200")
