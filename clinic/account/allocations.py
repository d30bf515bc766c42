"""Which part of a payment paid which invoice. Never changed: a negative part takes one back.

It is told by the account and not by the invoice, because what is left of a payment, its credit, is the account's.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, bindparam, func, or_, select
from sqlalchemy.orm import Mapped, aliased

from clinic.account.lines import AccountLine, LineKind
from clinic.money import Money
from tenancy.database import Base, ClinicOwned, db, same_clinic
from tenancy.errors import NotFound


class Allocation(ClinicOwned, Base):
    __tablename__ = "allocations"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        same_clinic("payment_line_id", "account_lines"),
        same_clinic("invoice_id", "invoices"),
        CheckConstraint("amount_minor <> 0", name="amount"),
        Index("ix_allocations_invoice", "clinic_id", "invoice_id"),
        Index("ix_allocations_payment_line", "clinic_id", "payment_line_id"),
        Index("ix_allocations_patient", "clinic_id", "patient_id"),
    )
    patient_id: Mapped[UUID]
    payment_line_id: Mapped[UUID]
    invoice_id: Mapped[UUID]
    amount_minor: Mapped[int]
    allocated_at: Mapped[datetime]


_Payment, _Part = aliased(AccountLine), aliased(AccountLine)
# A payment's own line, what corrects it, and what takes it back with its own corrections.
_left = (
    select(func.coalesce(-func.sum(_Part.amount_minor), 0))
    .where(
        _Part.clinic_id == _Payment.clinic_id,
        or_(_Part.id == _Payment.id, _Part.corrects_id == _Payment.id, _Part.takes_back_id == _Payment.id),
    )
    .correlate(_Payment)
    .scalar_subquery()
)
_allocated = (
    select(func.coalesce(func.sum(Allocation.amount_minor), 0))
    .where(Allocation.clinic_id == _Payment.clinic_id, Allocation.payment_line_id == _Payment.id)
    .correlate(_Payment)
    .scalar_subquery()
)
_CREDITS = (
    select(_Payment.id, _Payment.currency, _left, _allocated)
    .where(_Payment.kind == LineKind.PAYMENT, _Payment.corrects_id.is_(None))
    .order_by(_Payment.dated_on, _Payment.entered_at, _Payment.id)
)
_CREDIT_OF_LINE = _CREDITS.where(_Payment.id == bindparam("line_id"))
_CREDITS_OF_PATIENT = _CREDITS.where(_Payment.patient_id == bindparam("patient_id"))


def credit_of(payment_line_id: UUID) -> Money:
    """What is left of a payment: less what was given or taken back, and less what went to invoices.

    Negative while more went to invoices than is left of it: `invoices.release` then takes the rest back. Raises NotFound.
    """
    found = db.session.execute(_CREDIT_OF_LINE, {"line_id": payment_line_id}).one_or_none()
    if found is None:
        raise NotFound("payment")
    _id, currency, left, allocated = found
    return Money(int(left - allocated), currency)


def left_of(payment_line_id: UUID) -> Money:
    """What is left of a payment, wherever it went: what can still be given back. Raises NotFound."""
    found = db.session.execute(_CREDIT_OF_LINE, {"line_id": payment_line_id}).one_or_none()
    if found is None:
        raise NotFound("payment")
    return Money(int(found[2]), found[1])


def credits_of_patient(patient_id: UUID) -> dict[UUID, Money]:
    """Payments of a patient of which something is left that went to no invoice, the oldest first."""
    rows = db.session.execute(_CREDITS_OF_PATIENT, {"patient_id": patient_id})
    credits_ = ((line_id, Money(int(left - allocated), currency)) for line_id, currency, left, allocated in rows)
    return {line_id: credit for line_id, credit in credits_ if credit.minor > 0}
