"""Two clinics at work in many processes, and somebody who kills, stops and cuts them off.

Every process is forked: it knows what the test knows, has connections of its own, does one thing after the other until it
dies, and writes down what it was told is done, and what it did not expect.
"""

import logging
import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psycopg
import sqlalchemy.exc
from flask import Flask
from procrastinate.exceptions import ConnectorException
from werkzeug.serving import make_server

from clinic import payments, reconciliation
from clinic.stripe_events import applying
from clinic.stripe_gateway import StripeFault
from tenancy import child_processes, jobs
from tenancy.errors import PorticoError
from tests.attack.doomed import own_connections
from tests.attack.hands import Diary
from tests.paying import Desk
from tests.stripe_fake.client import NotPossible, StripeFake
from tests.stripe_fake.server import OneRequestEach

NAME = "at-work"  # of their connections
CUT_OFF = (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, ConnectorException)
NEVER_EXPECTED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


# What goes on by itself


def does_the_jobs(app: Flask) -> None:
    """The worker, as long as something is enqueued."""
    with jobs.worker(app.config["PORTICO"]) as queue:
        queue.run_worker(
            concurrency=1, wait=False, install_signal_handlers=False, additional_context={"flask": app},
            delete_jobs="successful", listen_notify=False,
        )  # fmt: skip


def looks_again(desks: list[Desk], pause_seconds: float = 0.3) -> None:
    """The jobs of each minute, more often."""
    for desk in one_of_each_clinic(desks):
        with desk.open_clinic():
            applying.apply_waiting()
            payments.look_again()
    time.sleep(pause_seconds)


def reconciles(desks: list[Desk], pause_seconds: float = 1.0) -> reconciliation.Outcome:
    outcome = reconciliation.Outcome()
    for desk in one_of_each_clinic(desks):
        with desk.open_clinic():
            outcome += reconciliation.reconcile()
    time.sleep(pause_seconds)
    return outcome


def one_of_each_clinic(desks: list[Desk]) -> list[Desk]:
    return list({desk.clinic.id: desk for desk in desks}.values())


def stands_at_the_door(app: Flask, port: int) -> None:
    make_server("127.0.0.1", port, app, threaded=True, request_handler=OneRequestEach).serve_forever()


# Processes


@dataclass
class Processes:
    """Who is at work, by name; each is begun anew when it was killed."""

    app: Flask
    diary: Diary
    works: dict[str, Callable[[Random], object]]
    seed: int
    running: dict[str, int] = field(default_factory=dict)
    begun: int = 0

    def start(self, name: str) -> None:
        self.begun += 1
        draw = Random(self.seed * 1000 + self.begun)
        child = os.fork()
        if child == 0:
            try:
                self._live(self.works[name], draw)
            finally:
                os._exit(1)
        self.running[name] = child

    def _live(self, work: Callable[[Random], object], draw: Random) -> None:
        if child_processes.libc:
            child_processes.libc.prctl(child_processes.PR_SET_PDEATHSIG, signal.SIGKILL)
        own_connections(self.app, NAME)
        for logger in (logging.getLogger(), self.app.logger):
            logger.handlers = [_Complaints(self.diary)]
        self.app.logger.propagate = False
        self.app.testing = False  # what goes wrong in a page is logged, as for a visitor
        while True:
            try:
                work(draw)
            except Exception as error:  # noqa: BLE001  whatever it is, it is written down
                if not is_expected(error):
                    self.diary.complain(traceback.format_exc())
                elif isinstance(error, CUT_OFF):
                    time.sleep(0.2)

    def kill(self, name: str) -> None:
        os.kill(self.running[name], signal.SIGKILL)
        os.waitpid(self.running.pop(name), 0)

    def stop(self, name: str, seconds: float) -> None:
        """It stands still meanwhile, with whatever it holds."""
        os.kill(self.running[name], signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self.running[name], signal.SIGCONT)

    def kill_all(self) -> None:
        for name in list(self.running):
            with suppress(ProcessLookupError, ChildProcessError):
                self.kill(name)


class _Complaints(logging.Handler):
    """An error that was logged and not shown to anybody, such as a page's or a job's."""

    def __init__(self, diary: Diary) -> None:
        super().__init__(logging.ERROR)
        self.diary = diary

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error and not is_expected(error):
            self.diary.complain(f"{record.getMessage()}\n{''.join(traceback.format_exception(error))}")


def is_expected(error: BaseException | None) -> bool:
    """A refusal, a silence, or a connection that was cut: never a deadlock."""
    while error is not None:
        if isinstance(error, NEVER_EXPECTED):
            return False
        if isinstance(error, (PorticoError, StripeFault, NotPossible, *CUT_OFF)):
            return not isinstance(getattr(error, "orig", None), NEVER_EXPECTED)
        error = error.__cause__
    return False


# Who disturbs


@dataclass
class Nemesis:
    processes: Processes
    fake: StripeFake
    draw: Random
    cut_off_everybody: Callable[[], None]
    still_seconds: float

    def strike(self) -> str:
        blow = self.draw.choice(BLOWS)
        blow(self)
        return blow.__name__

    def _somebody(self) -> str:
        return self.draw.choice(sorted(self.processes.running))

    def kills(self) -> None:
        name = self._somebody()
        self.processes.kill(name)
        self.processes.start(name)

    def kills_the_worker(self) -> None:
        self.processes.kill("worker")
        self.processes.start("worker")

    def stops(self) -> None:
        self.processes.stop(self._somebody(), self.still_seconds)

    def cuts_off(self) -> None:
        self.cut_off_everybody()

    def drops_webhooks(self) -> None:
        self.fake.drop_webhooks(count=self.draw.randint(1, 5))

    def doubles_and_delays_webhooks(self) -> None:
        self.fake.webhook_faults(duplicate=self.draw.randint(0, 2), delay=self.draw.choice((0, 1, 3)))

    def disturbs_stripe(self) -> None:
        kind = self.draw.choice(("lost", "500", "500_after", "409", "429", "truncated", "refused"))
        self.fake.fault(self.draw.choice(("POST /v1/*", "*")), kind, times=self.draw.randint(1, 4))


BLOWS = [
    *[Nemesis.kills] * 3, Nemesis.kills_the_worker, Nemesis.stops, Nemesis.cuts_off, Nemesis.drops_webhooks,
    Nemesis.doubles_and_delays_webhooks, *[Nemesis.disturbs_stripe] * 2,
]  # fmt: skip
