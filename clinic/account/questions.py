"""What a patient's billing account says, newest first, and what it adds up to."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Date, bindparam, cast, func, select, text

from clinic.account.lines import AccountLine, LineKind
from clinic.money import Money
from tenancy.database import db
from tenancy.errors import NotFound


@dataclass(frozen=True)
class LineRow:
    id: UUID
    kind: str
    description: str
    dated_on: date
    amount: Money
    method: str | None
    corrects_id: UUID | None
    takes_back_id: UUID | None
    source_id: str | None

    @property
    def is_online(self) -> bool:
        """Stripe did it, and so only Stripe undoes it."""
        return self.source_id is not None

    @property
    def is_payment(self) -> bool:
        """A payment's own line: what has a receipt."""
        return self.kind == LineKind.PAYMENT and self.corrects_id is None


LINE_COLUMNS = (
    AccountLine.id,
    AccountLine.kind,
    AccountLine.description,
    AccountLine.dated_on,
    AccountLine.amount_minor,
    AccountLine.currency,
    AccountLine.method,
    AccountLine.corrects_id,
    AccountLine.takes_back_id,
    AccountLine.source_id,
)
_LINES: Any = (
    select(*LINE_COLUMNS)
    .where(AccountLine.patient_id == bindparam("patient_id"))
    .where(AccountLine.dated_on.between(bindparam("since"), bindparam("until")))
    .order_by(AccountLine.dated_on.desc(), AccountLine.entered_at.desc(), AccountLine.id)
)
_ONE: Any = select(*LINE_COLUMNS).where(
    AccountLine.patient_id == bindparam("patient_id"), AccountLine.id == bindparam("line_id")
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
    takes_back_id: UUID | None,
    source_id: str | None,
) -> LineRow:
    """Of `LINE_COLUMNS`."""
    amount = Money(int(minor), currency)
    return LineRow(id_, kind, description, dated_on, amount, method, corrects_id, takes_back_id, source_id)


def row_of(line_id: UUID, patient_id: UUID) -> LineRow:
    """A line of this patient's account. Raises NotFound."""
    found = db.session.execute(_ONE, {"line_id": line_id, "patient_id": patient_id}).one_or_none()
    if found is None:
        raise NotFound("account line")
    return line_row(*found)


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
