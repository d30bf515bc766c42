"""The list of accounts, for whoever keeps the books: who owes, since when, found by the patient's name."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import String, bindparam, cast, func, select, tuple_

from clinic import names, word_search
from clinic.account import AccountLine
from clinic.invoices import PAID, TOTAL, Invoice
from clinic.money import Money
from clinic.patients import Patient
from tenancy import clinics, clock
from tenancy.database import Folded, db


class Showing(StrEnum):
    """Which accounts are listed."""

    OWING = "owing"
    OVERDUE = "overdue"
    CREDIT = "credit"
    ALL = "all"


@dataclass(frozen=True)
class AccountRow:
    """A line of the list; `cursor` pages on from it."""

    patient_id: UUID
    name: str
    nickname: str | None
    birth_on: date
    balance: Money
    overdue: Money
    overdue_since: date | None  # the oldest due day that passed
    list_key: str

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.list_key, self.patient_id


_balances = (
    select(AccountLine.patient_id, func.sum(AccountLine.amount_minor).label("minor"))
    .group_by(AccountLine.patient_id)
    .subquery("balances")
)
_passed = (
    select(Invoice.patient_id, Invoice.due_on, (TOTAL - PAID).label("minor"))
    .where(Invoice.number.is_not(None), Invoice.voided_at.is_(None), Invoice.due_on < bindparam("today"))
    .subquery("passed")
)
_overdue = (
    select(
        _passed.c.patient_id,
        func.sum(_passed.c.minor).label("minor"),
        func.min(_passed.c.due_on).label("since"),
    )
    .where(_passed.c.minor > 0)
    .group_by(_passed.c.patient_id)
    .subquery("overdue")
)
_balance, _due = func.coalesce(_balances.c.minor, 0), func.coalesce(_overdue.c.minor, 0)
# What is overdue stands first, the longest wait before the others; then by name.
_key = cast(func.coalesce(cast(_overdue.c.since, String), "~"), Folded) + " " + Patient.search_text
_ROWS: Any = (
    select(Patient.id, Patient.name, Patient.nickname, Patient.birth_on, _balance, _due, _overdue.c.since, _key.label("list_key"))
    .outerjoin(_balances, _balances.c.patient_id == Patient.id)
    .outerjoin(_overdue, _overdue.c.patient_id == Patient.id)
    .order_by(_key, Patient.id)
)
_WHERE = {
    Showing.OWING: (_balance > 0) | (_due > 0),
    Showing.OVERDUE: _due > 0,
    Showing.CREDIT: _balance < 0,
}


def accounts(
    text: str = "", showing: Showing = Showing.OWING, *, after: tuple[str, UUID] | None = None, limit: int = 50
) -> list[AccountRow]:
    """Accounts of patients whose name, nickname or reference has words beginning like those typed, overdue ones first."""
    here = clinics.current()
    statement = _ROWS.limit(limit)
    if showing in _WHERE:
        statement = statement.where(_WHERE[showing])
    for number, word in enumerate(names.search_words(text)):
        statement = statement.where(Patient.id.in_(word_search.owners(word, f"word{number}")))
    if after:
        statement = statement.where(tuple_(_key, Patient.id) > tuple_(bindparam("text", after[0]), bindparam("id", after[1])))
    rows = db.session.execute(statement, {"today": clock.today(here.time_zone)})
    return [
        AccountRow(id_, name, nickname, born, Money(int(balance), here.currency), Money(int(due), here.currency), since, key)
        for id_, name, nickname, born, balance, due, since, key in rows
    ]
