"""A patient's billing account: signed lines; the balance is their sum. Lines are never changed."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, bindparam, func, select
from sqlalchemy.orm import Mapped

from clinic.money import Money
from tenancy.database import Base, ClinicOwned, db, one_of, same_clinic, text_up_to


class LineKind(StrEnum):
    CHARGE = "charge"
    PAYMENT = "payment"
    DISCOUNT = "discount"
    WRITE_OFF = "write_off"
    REFUND = "refund"
    CHARGEBACK = "chargeback"


class AccountLine(ClinicOwned, Base):
    """`amount_minor` is signed: what the family owes more (+) or less (−) by this line."""

    __tablename__ = "account_lines"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        same_clinic("invoice_id", "invoices"),
        one_of("kind", LineKind),
        text_up_to("description", 160),
        CheckConstraint(
            "CASE WHEN kind IN ('charge', 'refund', 'chargeback') THEN amount_minor > 0 ELSE amount_minor < 0 END",
            name="sign",
        ),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        Index("ix_account_lines_patient", "clinic_id", "patient_id", "dated_on"),
        Index("ix_account_lines_invoice", "clinic_id", "invoice_id"),
    )
    patient_id: Mapped[UUID]
    invoice_id: Mapped[UUID | None]
    kind: Mapped[str]
    description: Mapped[str]
    dated_on: Mapped[date]
    amount_minor: Mapped[int]
    currency: Mapped[str]
    entered_at: Mapped[datetime]


@dataclass(frozen=True)
class LineRow:
    id: UUID
    kind: str
    description: str
    dated_on: date
    amount: Money


_LINES = (
    select(
        AccountLine.id,
        AccountLine.kind,
        AccountLine.description,
        AccountLine.dated_on,
        AccountLine.amount_minor,
        AccountLine.currency,
    )
    .where(AccountLine.patient_id == bindparam("patient_id"))
    .order_by(AccountLine.dated_on.desc(), AccountLine.entered_at.desc(), AccountLine.id)
)
_BALANCE = select(func.coalesce(func.sum(AccountLine.amount_minor), 0)).where(
    AccountLine.patient_id == bindparam("patient_id")
)


def lines_of_patient(patient_id: UUID) -> list[LineRow]:
    """Newest first."""
    rows = db.session.execute(_LINES, {"patient_id": patient_id})
    return [LineRow(row[0], row[1], row[2], row[3], Money(row[4], row[5])) for row in rows]


def balance_of_patient(patient_id: UUID, currency: str) -> Money:
    """What is owed; negative is credit."""
    return Money(int(db.session.execute(_BALANCE, {"patient_id": patient_id}).scalar_one()), currency)
