"""What a patient's billing account says, newest first, and what it adds up to."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import bindparam, func, select

from clinic.account.lines import AccountLine
from clinic.money import Money
from tenancy.database import db


@dataclass(frozen=True)
class LineRow:
    id: UUID
    kind: str
    description: str
    dated_on: date
    amount: Money
    method: str | None
    corrects_id: UUID | None


LINE_COLUMNS = (
    AccountLine.id,
    AccountLine.kind,
    AccountLine.description,
    AccountLine.dated_on,
    AccountLine.amount_minor,
    AccountLine.currency,
    AccountLine.method,
    AccountLine.corrects_id,
)
_LINES = (
    select(*LINE_COLUMNS)
    .where(AccountLine.patient_id == bindparam("patient_id"))
    .order_by(AccountLine.dated_on.desc(), AccountLine.entered_at.desc(), AccountLine.id)
)
_BALANCE = select(func.coalesce(func.sum(AccountLine.amount_minor), 0)).where(
    AccountLine.patient_id == bindparam("patient_id")
)


def line_row(
    id_: UUID,
    kind: str,
    description: str,
    dated_on: date,
    minor: int,
    currency: str,
    method: str | None,
    corrects_id: UUID | None,
) -> LineRow:
    """Of `LINE_COLUMNS`."""
    return LineRow(id_, kind, description, dated_on, Money(int(minor), currency), method, corrects_id)


def lines_of_patient(patient_id: UUID) -> list[LineRow]:
    """Newest first."""
    rows = db.session.execute(_LINES, {"patient_id": patient_id})
    return [line_row(*row) for row in rows]


def balance_of_patient(patient_id: UUID, currency: str) -> Money:
    """What is owed; negative is credit."""
    return Money(int(db.session.execute(_BALANCE, {"patient_id": patient_id}).scalar_one()), currency)
