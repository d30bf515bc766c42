"""Charges, and what takes them down: discounts, and write-offs of what will not be paid."""

from datetime import date
from uuid import UUID

from flask_babel import lazy_gettext as _l

from clinic import account, invoices
from clinic.account import AccountLine, LineKind
from clinic.money import Money
from tenancy.errors import Conflict, Refused

TOO_MUCH = _l("This is more than is due.")


def charge(patient_id: UUID, amount: Money, description: str, dated_on: date | None = None) -> UUID:
    """What the family owes for. It stands on no invoice yet. Raises NotFound, Refused."""
    account.lock(patient_id)
    return account.enter(patient_id, LineKind.CHARGE, amount, description, dated_on=dated_on)


def discount(charge_id: UUID, patient_id: UUID, amount: Money, description: str) -> UUID:
    """Take something off a charge; on the invoice that the charge stands on, if it does.

    Raises NotFound, Refused for more than is due, Conflict while the invoice is being paid.
    """
    return _reduce(LineKind.DISCOUNT, charge_id, patient_id, amount, description)


def write_off(charge_id: UUID, patient_id: UUID, amount: Money, description: str) -> UUID:
    """Give up what will not be paid; otherwise like a discount."""
    return _reduce(LineKind.WRITE_OFF, charge_id, patient_id, amount, description)


def _reduce(kind: LineKind, charge_id: UUID, patient_id: UUID, amount: Money, description: str) -> UUID:
    account.lock(patient_id)
    line = account.get(charge_id, patient_id)
    if line.kind != LineKind.CHARGE or line.corrects_id or account.find_correction(charge_id):
        raise Refused(_l("Choose a charge that was not corrected."), field="charge_id")
    invoice_id = invoices.invoice_of(charge_id)
    if invoice_id:
        invoices.lock(patient_id, [invoice_id])
        if invoices.being_paid([invoice_id]):
            raise Conflict(invoices.BEING_PAID)
    if amount > _most(line, invoice_id):
        raise Refused(TOO_MUCH, field="amount")
    reduction = account.enter(patient_id, kind, amount, description)
    if invoice_id:
        invoices.place(reduction, invoice_id)
    return reduction


def _most(line: AccountLine, invoice_id: UUID | None) -> Money:
    """What can be taken off: what is due of the invoice, or what is not billed yet, and never more than the charge."""
    whole = Money(line.amount_minor, line.currency)
    if invoice_id:
        return min(whole, invoices.rows_of([invoice_id])[invoice_id].due)
    unbilled = [each.amount for each in invoices.unbilled_of(line.patient_id)]
    return min(whole, sum(unbilled, Money(0, line.currency)))
