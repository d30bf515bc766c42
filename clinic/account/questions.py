"""What a patient's billing account says, newest first, and what it adds up to."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import Date, bindparam, cast, func, select, text

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
    .where(AccountLine.dated_on.between(bindparam("since"), bindparam("until")))
    .order_by(AccountLine.dated_on.desc(), AccountLine.entered_at.desc(), AccountLine.id)
)
_BALANCE = select(func.coalesce(func.sum(AccountLine.amount_minor), 0)).where(
    AccountLine.patient_id == bindparam("patient_id"), AccountLine.dated_on <= bindparam("until")
)
_MONTHS = (
    select(cast(func.date_trunc("month", AccountLine.dated_on), Date).label("month"))
    .where(AccountLine.patient_id == bindparam("patient_id"))
    .distinct()
    .order_by(text("month DESC"))
)
EVER, SOME_DAY = date(1900, 1, 1), date(9999, 12, 31)


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


def lines_of_patient(patient_id: UUID, *, since: date = EVER, until: date = SOME_DAY) -> list[LineRow]:
    """Newest first; of these days alone, both included."""
    rows = db.session.execute(_LINES, {"patient_id": patient_id, "since": since, "until": until})
    return [line_row(*row) for row in rows]


def balance_of_patient(patient_id: UUID, currency: str, *, until: date = SOME_DAY) -> Money:
    """What is owed, or was at the end of a day, by what has been entered since; negative is credit."""
    minor = db.session.execute(_BALANCE, {"patient_id": patient_id, "until": until}).scalar_one()
    return Money(int(minor), currency)


def months_of_patient(patient_id: UUID) -> list[date]:
    """The first days of the months in which something is dated, newest first."""
    return [month for month, in db.session.execute(_MONTHS, {"patient_id": patient_id})]
