"""Two clinics at work in many processes, and somebody who kills, stops and cuts them off.

Every process is forked: it knows what the test knows, has connections of its own, does one thing after the other until it
dies, and writes down what it was told is done, and what it did not expect.
"""

import json
import logging
import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import psycopg
import sqlalchemy.exc
from flask import Flask
from procrastinate.exceptions import ConnectorException
from sqlalchemy import func, select
from werkzeug.serving import make_server

from clinic import billing, invoices, payments, reconciliation, stripe_gateway
from clinic.account import AccountLine, LineKind, Method
from clinic.billing import DeskPayment, Towards
from clinic.invoices import Invoice
from clinic.payments import Dispute, DisputeStatus, Payment, PaymentStatus, refunds
from clinic.stripe_events import applying
from clinic.stripe_gateway import StripeFault
from tenancy import child_processes, clock, jobs
from tenancy.database import db
from tenancy.errors import PorticoError
from tests import books
from tests.attack.doomed import own_connections
from tests.paying import BACK, Desk
from tests.stripe_fake.client import NotPossible, StripeFake
from tests.stripe_fake.server import OneRequestEach

NAME = "at-work"  # of their connections
CUT_OFF = (psycopg.OperationalError, sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError, ConnectorException)
NEVER_EXPECTED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
WAYS = ("card", "card", "card", "declined")


@dataclass
class Diary:
    """One file for all processes: each line is written at once, and is there whoever dies."""

    path: Path

    def promise(self, table: str, id_: UUID) -> None:
        self._write({"table": table, "id": str(id_)})

    def complain(self, what: str) -> None:
        self._write({"unexpected": what})

    def _write(self, entry: dict[str, str]) -> None:
        line = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(line, f"{json.dumps(entry)}\n".encode())
        os.close(line)

    def _entries(self) -> list[dict[str, str]]:
        return [json.loads(each) for each in self.path.read_text().splitlines()] if self.path.exists() else []

    def promised(self) -> list[tuple[str, UUID]]:
        return [(each["table"], UUID(each["id"])) for each in self._entries() if "id" in each]

    def unexpected(self) -> list[str]:
        return [each["unexpected"] for each in self._entries() if "unexpected" in each]


# What somebody does at a desk


@dataclass
class Hand:
    """Somebody who does one thing after the other: a family that pays, or staff that keep the books."""

    desks: list[Desk]
    diary: Diary
    draw: Random

    def work(self) -> None:
        desk = self.draw.choice(self.desks)
        self.draw.choice(DEEDS)(self, desk)

    def amount(self, most: int = 9000) -> int:
        return self.draw.randrange(100, max(most, 101), 50)

    def bills(self, desk: Desk) -> None:
        invoice = desk.invoice(*(self.amount() for _ in range(self.draw.randint(1, 3))))
        self.diary.promise("invoices", invoice)

    def pays(self, desk: Desk) -> None:
        """All of some invoices, or a part, or an amount on the account; and perhaps goes away on the way."""
        with desk.clinic_transaction():
            open_ = invoices.payable_of(desk.patient_id)
        chosen = self.draw.sample(open_, min(len(open_), self.draw.randint(0, 2)))
        whole = sum(due.minor for _each, due in chosen)
        amount = self.amount(whole) if whole > 100 and self.draw.random() < 0.4 else whole or self.amount(20_000)
        payment = desk.begin(*(each for each, _due in chosen), amount=amount)
        if self.draw.random() < 0.1:
            return
        session = self._page(desk, payment)
        if session is None or self.draw.random() < 0.1:
            return
        desk.fake.pay(session, self.draw.choice(WAYS))
        if self.draw.random() < 0.3:
            desk.look(payment)
        if desk.status(payment) == "succeeded":
            self.diary.promise("payments", payment)

    def calls_off(self, desk: Desk) -> None:
        if payment := self._one_of(desk, Payment.id, Payment.status == PaymentStatus.OPEN, Payment.patient_id == desk.patient_id):
            with desk.open_clinic():
                payments.end_checkout(payment)

    def gives_back(self, desk: Desk) -> None:
        payment = self._paid(desk)
        if payment is None:
            return
        with desk.clinic_transaction():
            left = payments.refundable(payments.of_id(payment, desk.patient_id)).minor
        refund = uuid4()
        with desk.staff():
            refunds.ask(refund, payment, books.usd(min(self.amount(), left)), "Agreed")
        with desk.open_clinic():
            refunds.send(refund, payment)

    def gives_back_in_the_dashboard(self, desk: Desk) -> None:
        if payment := self._paid(desk):
            desk.fake.refund(desk.account_id, self._intent(desk, payment), self.amount(3000))

    def disputes(self, desk: Desk) -> None:
        if payment := self._paid(desk):
            desk.fake.dispute(self._intent(desk, payment))

    def decides_a_dispute(self, desk: Desk) -> None:
        open_ = (Dispute.status == DisputeStatus.OPEN, Payment.id == Dispute.payment_id, Payment.patient_id == desk.patient_id)
        if dispute := self._one_of(desk, Dispute.stripe_dispute_id, *open_):
            desk.fake.close_dispute(dispute, self.draw.choice(("won", "lost")))

    def takes_cash(self, desk: Desk) -> None:
        with desk.staff():
            today = clock.now().date()
            towards = self.draw.choice((Towards.OLDEST, Towards.CREDIT))
            line = billing.record_payment(desk.patient_id, DeskPayment(Method.CASH, books.usd(self.amount()), today, towards=towards))
        self.diary.promise("account_lines", line)

    def gives_cash_back(self, desk: Desk) -> None:
        if line := self._line(desk, AccountLine.kind == LineKind.PAYMENT, AccountLine.method == Method.CASH):
            with desk.staff():
                billing.refund_cash(line, desk.patient_id, books.usd(self.amount(2000)), "Given back", clock.now().date())

    def applies_credit(self, desk: Desk) -> None:
        with desk.staff():
            billing.apply_credit(desk.patient_id)

    def voids(self, desk: Desk) -> None:
        found = self._one_of(desk, Invoice.id, Invoice.patient_id == desk.patient_id, Invoice.voided_at.is_(None), Invoice.number.is_not(None))
        if found:
            with desk.open_clinic():
                payments.end_checkouts_of(found)
            with desk.staff():
                invoices.void(found, desk.patient_id, "By mistake")

    def takes_off(self, desk: Desk) -> None:
        if line := self._line(desk, AccountLine.kind == LineKind.CHARGE):
            with desk.staff():
                self.draw.choice((billing.discount, billing.write_off))(line, desk.patient_id, books.usd(self.amount(1000)), "Agreed")

    def corrects(self, desk: Desk) -> None:
        if line := self._line(desk, AccountLine.source_id.is_(None)):
            with desk.staff():
                billing.correct(line, desk.patient_id, "By mistake")

    def _page(self, desk: Desk, payment_id: UUID) -> str | None:
        """Stripe's; None where somebody called the payment off meanwhile."""
        with desk.family():
            order = payments.order_of(payments.get(payment_id), f"{BACK}?returned=1", BACK)
        with desk.open_clinic():
            facts = stripe_gateway.open_checkout(order)
        with desk.family():
            return facts.id if payments.opened(payment_id, facts) else None

    def _paid(self, desk: Desk) -> UUID | None:
        found: UUID | None = self._one_of(
            desk, Payment.id, Payment.status == PaymentStatus.SUCCEEDED, Payment.patient_id == desk.patient_id
        )
        return found

    def _intent(self, desk: Desk, payment_id: UUID) -> str:
        intent = desk.payment(payment_id).payment_intent_id
        assert intent
        return intent

    def _line(self, desk: Desk, *where: Any) -> UUID | None:
        mine = (AccountLine.patient_id == desk.patient_id, AccountLine.corrects_id.is_(None))
        found: UUID | None = self._one_of(desk, AccountLine.id, *mine, *where)
        return found

    def _one_of(self, desk: Desk, column: Any, *where: Any) -> Any:
        with desk.clinic_transaction():
            return db.session.scalars(select(column).where(*where).order_by(func.random()).limit(1)).first()


DEEDS: list[Callable[[Hand, Desk], None]] = [
    *[Hand.bills] * 6, *[Hand.pays] * 12, *[Hand.gives_back] * 3, *[Hand.takes_cash] * 3, Hand.gives_back_in_the_dashboard,
    Hand.disputes, Hand.decides_a_dispute, Hand.calls_off, Hand.gives_cash_back, Hand.applies_credit, Hand.voids,
    Hand.takes_off, Hand.corrects,
]  # fmt: skip


# What goes on by itself


def does_the_jobs(app: Flask) -> None:
    """The worker, as long as something is enqueued."""
    with jobs.worker(app.config["PORTICO"]) as queue:
        queue.run_worker(
            concurrency=1, wait=False, install_signal_handlers=False, additional_context={"flask": app},
            delete_jobs="successful", listen_notify=False,
        )  # fmt: skip


def looks_again(desks: list[Desk]) -> None:
    """The jobs of each minute, more often."""
    for desk in one_of_each_clinic(desks):
        with desk.open_clinic():
            applying.apply_waiting()
            payments.look_again()
    time.sleep(0.3)


def reconciles(desks: list[Desk]) -> reconciliation.Outcome:
    outcome = reconciliation.Outcome()
    for desk in one_of_each_clinic(desks):
        with desk.open_clinic():
            outcome += reconciliation.reconcile()
    time.sleep(1)
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
        logging.getLogger().handlers = [_Complaints(self.diary)]
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
