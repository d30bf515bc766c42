"""Undoing a line that was entered wrongly: a line of the opposite amount, and whatever hung on it put right."""

from uuid import UUID

from flask_babel import lazy_gettext as _l

from clinic import account, invoices
from clinic.account import BILLED, AccountLine, LineKind
from clinic.money import Money
from tenancy.errors import Conflict, Refused


def correct(line_id: UUID, patient_id: UUID, reason: str) -> UUID:
    """Reverse a line; returns the correction's id. The correction joins the invoice of what it corrects.

    A payment is taken off the invoices it went to; what an invoice then has too much is credit. A line leaves a draft and
    is corrected. Raises NotFound, Refused for what was paid online, Conflict if it was corrected before or is being paid.
    """
    account.lock(patient_id)
    line = account.get(line_id, patient_id)
    if line.source_id:
        raise Refused(_l("This was paid online, so it cannot be corrected by hand. Refund the payment instead."))
    if line.kind in BILLED:
        return _correct_billed(line, reason)
    if line.kind == LineKind.PAYMENT and not line.corrects_id:
        _take_off_invoices(line)
    return account.reverse(line_id, patient_id, reason)


def _correct_billed(line: AccountLine, reason: str) -> UUID:
    invoice_id = invoices.invoice_of(line.id)
    if invoice_id is None:
        return account.reverse(line.id, line.patient_id, reason)
    invoice = invoices.lock(line.patient_id, [invoice_id])[invoice_id]
    if invoice.number is None:
        invoices.unplace(line.id)
        return account.reverse(line.id, line.patient_id, reason)
    if invoices.being_paid([invoice_id]):
        raise Conflict(invoices.BEING_PAID)
    row = invoices.rows_of([invoice_id])[invoice_id]
    if row.total.minor < line.amount_minor and line.kind == LineKind.CHARGE and not line.corrects_id:
        raise Refused(_l("Something was taken off this charge. Correct the discount or write-off first."))
    correction = account.reverse(line.id, line.patient_id, reason)
    invoices.place(correction, invoice_id)
    invoices.release_excess(invoice_id)
    return correction


def _take_off_invoices(line: AccountLine) -> None:
    paid = Money(-line.amount_minor, line.currency)
    if account.find_correction(line.id) is None and account.left_of(line.id) != paid:
        raise Refused(_l("Something of this payment was given back. Correct that first."))
    for invoice_id, amount in invoices.allocated_from(line.id):
        invoices.release(line.id, amount, of_invoice=invoice_id)
