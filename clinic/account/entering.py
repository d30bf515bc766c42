"""Entering a line: the one place where an account changes. Whoever changes one holds the patient's row until the end."""

from datetime import date
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from clinic import audit, plain_text
from clinic.account.lines import LONGEST_DESCRIPTION, AccountLine, LineKind, Method
from clinic.money import Money
from clinic.patients import Patient
from tenancy import clinics, clock
from tenancy.database import db, locked
from tenancy.errors import Conflict, NotFound, Refused

# kind: the sign of a line that is no correction
SIGNS = {
    LineKind.CHARGE: 1,
    LineKind.PAYMENT: -1,
    LineKind.DISCOUNT: -1,
    LineKind.WRITE_OFF: -1,
    LineKind.REFUND: 1,
    LineKind.CHARGEBACK: 1,
}


def lock(patient_id: UUID) -> None:
    """From now until the transaction's end nobody else changes this patient's account or invoices. Raises NotFound.

    Everything that changes one begins with it, so that it is read as it stays. Locks come in this order: the patient,
    then invoices, the one that is due first before the others, then payments, then the clinic's billing settings.
    """
    if db.session.scalars(locked(select(Patient).where(Patient.id == patient_id))).one_or_none() is None:
        raise NotFound("patient")


def enter(
    patient_id: UUID,
    kind: LineKind,
    amount: Money,
    description: str,
    *,
    dated_on: date | None = None,
    method: Method | None = None,
    takes_back_id: UUID | None = None,
    source_id: str | None = None,
) -> UUID:
    """Add a line and return its id; the patient is locked by the caller.

    `amount` is above zero: the kind says which way it goes. `dated_on` is today if not given. A payment has a `method`; its
    description is read by everybody who sees the account, so it never names a card. A refund or chargeback
    `takes_back_id`, a payment's line. `source_id` is Stripe's own id, entered once a kind: a second time is a Conflict.
    Raises Refused, Conflict.
    """
    text = _checked(description, "description")
    today = clock.today(clinics.current().time_zone)
    if amount.minor <= 0:
        raise Refused(_l("Enter an amount above zero."), field="amount")
    if amount.currency != clinics.current().currency:
        raise Refused(_l("This is another currency than the account's."), field="amount")
    if dated_on and dated_on > today:
        raise Refused(_l("Enter a day that is not in the future."), field="dated_on")
    if source_id and find_by_source(kind, source_id):
        raise Conflict(_l("This is on the account already."))
    line = AccountLine(
        patient_id=patient_id,
        kind=kind,
        method=method,
        description=text,
        dated_on=dated_on or today,
        amount_minor=SIGNS[kind] * amount.minor,
        currency=amount.currency,
        entered_at=clock.now(),
        takes_back_id=takes_back_id,
        source_id=source_id,
    )
    return _add(line, f"{kind}.entered")


def reverse(line_id: UUID, patient_id: UUID, reason: str) -> UUID:
    """Correct a line by one of the opposite amount, dated today; returns that one's id. The patient is locked.

    What stands on invoices or was paid with it is the caller's to put right. Raises NotFound, Refused; Conflict if it
    was corrected before.
    """
    text = _checked(reason, "reason")
    line = get(line_id, patient_id)
    if line.corrects_id:
        raise Refused(_l("A correction cannot be corrected: enter what is right instead."))
    if find_correction(line_id):
        raise Conflict(_l("This line was corrected already."))
    correction = AccountLine(
        patient_id=patient_id,
        kind=line.kind,
        method=line.method,
        description=text,
        dated_on=clock.today(clinics.current().time_zone),
        amount_minor=-line.amount_minor,
        currency=line.currency,
        entered_at=clock.now(),
        corrects_id=line.id,
        takes_back_id=line.takes_back_id,
        source_id=line.source_id,
    )
    return _add(correction, f"{line.kind}.corrected")


def get(line_id: UUID, patient_id: UUID) -> AccountLine:
    """A line of this patient's account. Raises NotFound."""
    found = select(AccountLine).where(AccountLine.id == line_id, AccountLine.patient_id == patient_id)
    line = db.session.scalars(found).one_or_none()
    if line is None:
        raise NotFound("account line")
    return line


def get_payment(line_id: UUID) -> AccountLine:
    """A payment's own line, not a correction of one. Raises NotFound."""
    found = select(AccountLine).where(
        AccountLine.id == line_id, AccountLine.kind == LineKind.PAYMENT, AccountLine.corrects_id.is_(None)
    )
    line = db.session.scalars(found).one_or_none()
    if line is None:
        raise NotFound("payment")
    return line


def find_by_source(kind: LineKind, source_id: str) -> UUID | None:
    """The line that was entered for something Stripe did; a correction of it is another line."""
    found = select(AccountLine.id).where(
        AccountLine.kind == kind, AccountLine.source_id == source_id, AccountLine.corrects_id.is_(None)
    )
    return db.session.scalars(found).one_or_none()


def find_correction(line_id: UUID) -> UUID | None:
    """The line that corrects this one."""
    return db.session.scalars(select(AccountLine.id).where(AccountLine.corrects_id == line_id)).one_or_none()


def _add(line: AccountLine, event: str) -> UUID:
    db.session.add(line)
    db.session.flush()
    others = {"corrects": line.corrects_id, "takes_back": line.takes_back_id}
    details: dict[str, Any] = {name: str(each) for name, each in others.items() if each}
    details |= {"amount_minor": line.amount_minor, "currency": line.currency}
    audit.record(event, subject_id=line.id, patient_id=line.patient_id, **details)
    return line.id


def _checked(typed: str, field: str) -> str:
    text = plain_text.one_line(typed)
    if not text:
        raise Refused(_l("Say what it is for.") if field == "description" else _l("Say why."), field=field)
    if len(text) > LONGEST_DESCRIPTION:
        raise Refused(_l("Use at most 160 characters."), field=field)
    return text
