"""Those who work at two clinics' desks, by chance: families that pay, and staff that keep the books.

What somebody was told is done is written down at once, in one file for all processes.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, select

from clinic import billing, invoices, payments, stripe_gateway
from clinic.account import AccountLine, LineKind, Method
from clinic.billing import DeskPayment, Towards
from clinic.invoices import Invoice
from clinic.payments import Dispute, DisputeStatus, Payment, PaymentStatus, refunds
from tenancy import clock
from tenancy.database import db
from tests import books
from tests.paying import BACK, Desk

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


@dataclass
class Hand:
    """Somebody who does one thing after the other: a family that pays, or staff that keep the books."""

    desks: list[Desk]
    diary: Diary
    draw: Random
    pause_seconds: float = 0.0  # between two things, at most twice that

    def work(self) -> None:
        time.sleep(self.draw.uniform(0, 2 * self.pause_seconds))
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
        """Won, lost, or won after all."""
        not_won = Dispute.status.in_((DisputeStatus.OPEN, DisputeStatus.LOST))
        if dispute := self._one_of(desk, Dispute.stripe_dispute_id, not_won, Payment.id == Dispute.payment_id, Payment.patient_id == desk.patient_id):
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
