"""What money attack tests share: the whole of what is in the books, and a history of Stripe's that can be told again.

A history is made once, at the stand-in. After each of its moments what Stripe answers to every question is kept, so that
events can be delivered in any order, and each read at any moment, without asking anybody.
"""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import select, text

from clinic import invoices
from clinic.account import AccountLine
from clinic.audit import AuditEntry
from clinic.payments import Dispute, Payment, PaymentProblem, Refund
from clinic.stripe_events import TYPES
from clinic.stripe_events.types import Outcome, Told
from mail.outbox import OutgoingLetter
from tenancy.database import db
from tests.paying import MONEY_LETTERS, Desk
from tests.stripe_fake.client import Thing

MONEY_EVENTS = ("payment", "refund", "dispute", "chargeback", "autopay", "saved_card")
MONEY_TABLES = (
    "account_lines", "allocations", "invoices", "invoice_lines", "payments", "payment_invoices", "refunds", "disputes",
    "saved_cards", "stripe_customers", "autopays",
)  # fmt: skip
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=[a-z]_)[A-Za-z0-9]{14,}")


# What is in the books


def money_state(desk: Desk) -> dict[str, list[str]]:
    """Every row of every table of money, as it is. Only the clock may not show: when something was looked at."""
    found = {}
    with desk.clinic_transaction():
        for table in MONEY_TABLES:
            rows = db.session.scalars(text(f"SELECT (to_jsonb(t) - 'next_look_at' - 'looks')::text FROM {table} t"))
            found[table] = sorted(rows)
    return found


def books(desk: Desk) -> dict[str, Any]:
    """What must be the same however it was heard of; of ids, ours and Stripe's, only that they stand there."""
    with desk.clinic_transaction():
        return {
            "lines": Counter(
                (each.kind, each.amount_minor, _anonymous(each.source_id), each.corrects_id is not None)
                for each in db.session.scalars(select(AccountLine).where(AccountLine.patient_id == desk.patient_id))
            ),
            "invoices": [(each.number, each.status.value, each.paid.minor) for each in invoices.of_patient(desk.patient_id)],
            "payments": Counter(
                (each.status, _anonymous(each.payment_intent_id), each.fault, each.method, each.card, each.line_id is not None)
                for each in _fresh(Payment)
            ),
            "refunds": Counter(
                (_anonymous(each.stripe_refund_id), each.status, each.amount_minor, each.fault, each.line_id is not None)
                for each in _fresh(Refund)
            ),
            "disputes": Counter((each.status, each.amount_minor, each.line_id is not None) for each in _fresh(Dispute)),
            "problems": Counter((each.kind, _anonymous(each.object_id)) for each in _fresh(PaymentProblem)),
            "letters": Counter((each.kind, each.to_address) for each in _fresh(OutgoingLetter) if each.kind in MONEY_LETTERS),
            "audit": Counter(
                (each.event, _anonymous(json.dumps(each.details, sort_keys=True)))
                for each in _fresh(AuditEntry)
                if each.event.startswith(MONEY_EVENTS)
            ),
        }


def _fresh(kind: Any) -> list[Any]:
    return list(db.session.scalars(select(kind).execution_options(populate_existing=True)))


def _anonymous(said: str | None) -> str | None:
    return said and _ID.sub("…", said)


@contextmanager
def undone(app: Flask) -> Iterator[None]:
    """What is done in this block was never done; inside a test of the rolled-back application."""
    with app.app_context():
        connection: Any = db._app_engines[app][None]
    before = connection.begin_nested()
    try:
        yield
    finally:
        with app.app_context():
            db.session.remove()
        before.rollback()


# What Stripe says, and when


@dataclass(frozen=True)
class Event:
    told: Told
    since: int  # the moment from which it may be heard of

    @property
    def name(self) -> str:
        return self.told.type


@dataclass
class History:
    """What happened at Stripe, moment by moment: `moments[n]` has the answer to each question at that moment."""

    desk: Desk
    payment_id: UUID
    ask: Callable[..., Any]
    moments: list[dict[str, Any]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    at: int = 0
    is_told: bool = False

    def get(self, path: str, params: dict[str, Any] | None = None, *, of: str | None = None) -> Any:
        """In place of the gateway's own `line.get`."""
        question, answers = json.dumps([path, params, of], sort_keys=True), self.moments[self.at]
        if question not in answers:
            if self.is_told:
                raise LookupError(f"Nobody asked {path} {params} at moment {self.at}.")
            answers[question] = self.ask(path, params, of=of)
        return copy.deepcopy(answers[question])

    def moment(self, happens: Callable[[], Any] | None = None) -> Any:
        """Something happens; then every question that its events may raise is asked, and nothing written."""
        thing = happens() if happens else None
        self.moments.append({})
        self.at = len(self.moments) - 1
        heard = {each.told.event_id for each in self.events}
        for event in self.desk.fake.events(self.desk.account_id):
            if event["id"] not in heard and event["type"] in TYPES and not event["type"].startswith("account."):
                self.events.append(Event(told_of(event), self.at))
        questions = {(TYPES[event.name], event.told.object_id): event for event in self.events}
        for question in questions.values():
            with undone(self.desk.app):
                self.apply(question)
                self.desk.look(self.payment_id)
        return thing

    def apply(self, event: Event) -> Outcome:
        """What the job does once it took the event."""
        with self.desk.open_clinic():
            return TYPES[event.told.type](event.told)

    def tell(self, order: list[Event], since: int = 0) -> None:
        """Each event as early as it may be heard in this order, reading what Stripe says at that moment."""
        self.at = since
        for event in order:
            self.at = max(self.at, event.since)
            self.apply(event)

    @property
    def end(self) -> int:
        return len(self.moments) - 1


def told_of(event: Thing) -> Told:
    return Told(event["id"], event["type"], event["account"], event["data"]["object"]["id"])
