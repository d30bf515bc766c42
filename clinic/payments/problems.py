"""What about money a person must look at: told to the clinic once, and on its billing page until somebody settled it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from clinic import actors, audit, staff
from clinic.money import Money
from clinic.patients import Patient
from clinic.payments import claims
from clinic.payments.rows import UNFINISHED, Payment, PaymentProblem, PaymentStatus
from clinic.staff import Right
from mail import letters, outbox
from tenancy import clock
from tenancy.database import db, locked
from tenancy.errors import Conflict, NotFound


class ProblemKind(StrEnum):
    DIFFERS = "differs"  # Stripe's amount, currency or mode is not what was begun: nothing was entered
    UNKNOWN = "unknown"  # it carries our mark and is no payment of ours: nothing was entered
    CREDITED = "credited"  # money for an invoice that was void or paid by then; it is credit now
    REFUND_FAILED = "refund_failed"  # the bank sent a refund back: the family still waits for it
    REFUND_UNCLEAR = "refund_unclear"  # in a state we do not know: nothing was entered
    DISPUTE_UNCLEAR = "dispute_unclear"
    UNREADABLE = "unreadable"  # Stripe no longer lets us read it; the account was perhaps disconnected
    MISSING = "missing"  # on our account, and not at Stripe


@dataclass(frozen=True)
class ProblemRow:
    """A problem as the billing page shows it; patient and payment where it is known which."""

    id: UUID
    kind: str
    object_id: str
    payment_id: UUID | None
    patient_id: UUID | None
    patient_name: str | None
    amount: Money | None
    found_at: datetime


_OPEN: Any = (
    select(
        PaymentProblem.id,
        PaymentProblem.kind,
        PaymentProblem.object_id,
        PaymentProblem.payment_id,
        Patient.id,
        Patient.name,
        PaymentProblem.amount_minor,
        PaymentProblem.currency,
        PaymentProblem.found_at,
    )
    .outerjoin(
        Payment, (Payment.clinic_id == PaymentProblem.clinic_id) & (Payment.id == PaymentProblem.payment_id)
    )
    .outerjoin(Patient, (Patient.clinic_id == Payment.clinic_id) & (Patient.id == Payment.patient_id))
    .where(PaymentProblem.settled_at.is_(None))
    .order_by(PaymentProblem.found_at.desc(), PaymentProblem.id)
)
_COUNT_OPEN = select(func.count()).select_from(PaymentProblem).where(PaymentProblem.settled_at.is_(None))


def still_open(limit: int = 100) -> list[ProblemRow]:
    """The newest first."""
    rows = db.session.execute(_OPEN.limit(limit))
    return [
        ProblemRow(id_, kind, object_id, payment_id, patient_id, name, Money(minor, currency) if minor else None, found_at)
        for id_, kind, object_id, payment_id, patient_id, name, minor, currency, found_at in rows
    ]


def count_open() -> int:
    return db.session.scalars(_COUNT_OPEN).one()


def report(kind: ProblemKind, object_id: str, payment_id: UUID | None = None, amount: Money | None = None) -> bool:
    """Tell the clinic, unless it was told of this before, settled or not. Whether it is new."""
    told = select(PaymentProblem.id).where(PaymentProblem.kind == kind, PaymentProblem.object_id == object_id)
    if db.session.scalars(told).first():
        return False
    found = insert(PaymentProblem).values(
        kind=kind,
        object_id=object_id,
        payment_id=payment_id,
        amount_minor=amount.minor if amount else None,
        currency=amount.currency if amount else None,
        found_at=clock.now(),
    )
    # Two may find it at the same moment: the database keeps one.
    if db.session.scalars(found.on_conflict_do_nothing().returning(PaymentProblem.id)).first() is None:
        return False
    audit.record("payment_problem.found", subject_id=payment_id, kind=kind, object=object_id)
    for member in staff.with_right(Right.BILLING):
        outbox.post(letters.PaymentProblemFound(to=member.addressee))
    return True


def settle(problem_id: UUID) -> None:
    """Somebody looked at it and did what was to be done. Raises NotFound, Conflict.

    A payment that Stripe shows nobody any more holds its invoices no longer: they may be paid again.
    """
    problem = db.session.scalars(
        locked(select(PaymentProblem).where(PaymentProblem.id == problem_id))
    ).one_or_none()
    if problem is None:
        raise NotFound("payment problem")
    if problem.settled_at:
        raise Conflict(_l("This was settled already."))
    problem.settled_at, problem.settled_by_id = clock.now(), actors.current().id
    if problem.kind == ProblemKind.UNREADABLE and problem.payment_id:
        _let_go(problem.payment_id)
    audit.record("payment_problem.settled", subject_id=problem.payment_id, kind=problem.kind, object=problem.object_id)


def _let_go(payment_id: UUID) -> None:
    payment = db.session.scalars(locked(select(Payment).where(Payment.id == payment_id))).one()
    if payment.status not in UNFINISHED:
        return
    payment.status, payment.fault, payment.ended_at = PaymentStatus.FAILED, "unreadable", clock.now()
    claims.release(payment)
    audit.record("payment.failed", subject_id=payment.id, patient_id=payment.patient_id, fault=payment.fault)
