"""What becomes of an invoice: drafted, issued under the clinic's next number, discarded while a draft, void afterwards.

Its one surprise: a void invoice still adds up. Every line on it is corrected on the account, so that it comes to
nothing, and what was paid is credit again; the number stays taken.
"""

from collections.abc import Collection
from datetime import date, timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from clinic import account, audit, billing_settings
from clinic.account import BILLED, AccountLine
from clinic.invoices.allocating import lock, release_excess
from clinic.invoices.questions import being_paid, rows_of
from clinic.invoices.rows import Invoice, InvoiceLine
from tenancy import clinics, clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused

DUE_AFTER_DAYS = 30
LONGEST_TERM_DAYS = 366
BEING_PAID = _l("This invoice is being paid online right now. Wait until that is through, or call the payment off first.")


def draft(patient_id: UUID, line_ids: Collection[UUID]) -> UUID:
    """A new draft of lines that stand on no invoice yet. Raises NotFound, Refused, Conflict."""
    account.lock(patient_id)
    if not line_ids:
        raise Refused(_l("Choose what to bill."), field="line_ids")
    invoice = Invoice(patient_id=patient_id, currency=clinics.current().currency)
    db.session.add(invoice)
    db.session.flush()
    audit.record("invoice.drafted", subject_id=invoice.id, patient_id=patient_id)
    _put(invoice.id, patient_id, line_ids)
    return invoice.id


def add_lines(invoice_id: UUID, patient_id: UUID, line_ids: Collection[UUID]) -> None:
    """More lines for a draft. Raises NotFound, Refused, Conflict."""
    _draft(invoice_id, patient_id)
    if not line_ids:
        raise Refused(_l("Choose what to bill."), field="line_ids")
    _put(invoice_id, patient_id, line_ids)
    audit.record("invoice.changed", subject_id=invoice_id, patient_id=patient_id, lines_added=len(line_ids))


def remove_line(invoice_id: UUID, patient_id: UUID, line_id: UUID) -> None:
    """A line leaves a draft and stays on the account. Raises NotFound, Conflict."""
    _draft(invoice_id, patient_id)
    placed = select(InvoiceLine).where(InvoiceLine.invoice_id == invoice_id, InvoiceLine.line_id == line_id)
    found = db.session.scalars(placed).one_or_none()
    if found is None:
        raise NotFound("account line")
    db.session.delete(found)
    db.session.flush()
    audit.record("invoice.changed", subject_id=invoice_id, patient_id=patient_id, lines_removed=1)


def discard(invoice_id: UUID, patient_id: UUID) -> None:
    """A draft goes; its lines stay on the account. Raises NotFound, Conflict."""
    invoice = _draft(invoice_id, patient_id)
    for placed in db.session.scalars(select(InvoiceLine).where(InvoiceLine.invoice_id == invoice_id)):
        db.session.delete(placed)
    db.session.flush()
    db.session.delete(invoice)
    db.session.flush()
    audit.record("invoice.discarded", subject_id=invoice_id, patient_id=patient_id)


def issue(invoice_id: UUID, patient_id: UUID, due_on: date | None = None) -> int:
    """Give a draft the clinic's next number and today's date; due in 30 days if not said. Returns the number.

    Raises NotFound, Conflict if it is no draft any more, Refused if there is nothing on it.
    """
    invoice = _draft(invoice_id, patient_id)
    today = clock.today(clinics.current().time_zone)
    due_on = due_on or usual_due_day()
    if due_on < today:
        raise Refused(_l("Enter a day that is not in the past."), field="due_on")
    if due_on > today + timedelta(days=LONGEST_TERM_DAYS):
        raise Refused(_l("Enter a day within a year."), field="due_on")
    if not lines_on(invoice_id):
        raise Refused(_l("There is nothing on this invoice. Add a charge first."))
    if rows_of([invoice_id])[invoice_id].total.minor < 0:
        raise Refused(_l("This invoice comes to less than nothing. Take a discount off it first."))
    # Last of all: whoever issues next waits for it.
    invoice.number, invoice.issued_on, invoice.due_on = billing_settings.take_invoice_number(), today, due_on
    db.session.flush()
    audit.record("invoice.issued", subject_id=invoice_id, patient_id=patient_id, number=invoice.number, due_on=due_on.isoformat())
    return invoice.number


def usual_due_day() -> date:
    """When an invoice that is issued today is due, if nobody says otherwise."""
    return clock.today(clinics.current().time_zone) + timedelta(days=DUE_AFTER_DAYS)


def void(invoice_id: UUID, patient_id: UUID, reason: str) -> None:
    """Take an issued invoice back: its lines are corrected, and what was paid is credit.

    Raises NotFound, Conflict for a draft, a void one, and one that is being paid; Refused without a reason.
    """
    account.lock(patient_id)
    invoice = lock(patient_id, [invoice_id])[invoice_id]
    if invoice.number is None:
        raise Conflict(_l("This is a draft: discard it instead."))
    if invoice.voided_at:
        raise Conflict(_l("This invoice is void already."))
    if being_paid([invoice_id]):
        raise Conflict(BEING_PAID)
    for line_id in lines_on(invoice_id):
        place(account.reverse(line_id, patient_id, reason), invoice_id)
    release_excess(invoice_id)
    invoice.voided_at, invoice.voided_reason = clock.now(), reason.strip()
    db.session.flush()
    audit.record("invoice.voided", subject_id=invoice_id, patient_id=patient_id, number=invoice.number)


def invoice_of(line_id: UUID) -> UUID | None:
    """The invoice that a line stands on."""
    return db.session.scalars(select(InvoiceLine.invoice_id).where(InvoiceLine.line_id == line_id)).one_or_none()


def lines_on(invoice_id: UUID) -> list[UUID]:
    """What an invoice is made of, without what was corrected and the corrections, oldest first."""
    correction = select(AccountLine.corrects_id).where(AccountLine.corrects_id.is_not(None))
    return list(
        db.session.scalars(
            select(AccountLine.id)
            .join(InvoiceLine, (InvoiceLine.clinic_id == AccountLine.clinic_id) & (InvoiceLine.line_id == AccountLine.id))
            .where(InvoiceLine.invoice_id == invoice_id, AccountLine.corrects_id.is_(None))
            .where(AccountLine.id.not_in(correction))
            .order_by(AccountLine.dated_on, AccountLine.entered_at, AccountLine.id)
        )
    )


def place(line_id: UUID, invoice_id: UUID) -> None:
    """Put a line on an invoice, whatever its state; who calls it holds both."""
    db.session.add(InvoiceLine(invoice_id=invoice_id, line_id=line_id))
    db.session.flush()


def unplace(line_id: UUID) -> None:
    """Take a line off the draft it stands on; who calls it holds it."""
    db.session.delete(db.session.scalars(select(InvoiceLine).where(InvoiceLine.line_id == line_id)).one())
    db.session.flush()


def _draft(invoice_id: UUID, patient_id: UUID) -> Invoice:
    account.lock(patient_id)
    invoice = lock(patient_id, [invoice_id])[invoice_id]
    if invoice.number is not None:
        raise Conflict(_l("This invoice was issued already, so it cannot be changed any more."))
    return invoice


def _put(invoice_id: UUID, patient_id: UUID, line_ids: Collection[UUID]) -> None:
    for line_id in dict.fromkeys(line_ids):
        line = account.get(line_id, patient_id)
        if line.kind not in BILLED or line.corrects_id or account.find_correction(line_id):
            raise Refused(_l("Only charges, discounts and write-offs that were not corrected stand on invoices."), field="line_ids")
        if invoice_of(line_id):
            raise Conflict(_l("One of these lines stands on an invoice already. Look again."))
        place(line_id, invoice_id)
