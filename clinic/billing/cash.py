"""Money over the counter: cash and cheques recorded and given back, and credit applied to invoices.

What a payment was meant for is decided when it is recorded; what no invoice takes stays credit.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from flask_babel import lazy_gettext as _l

from clinic import account, invoices
from clinic.account import LineKind, Method
from clinic.money import Money
from tenancy.errors import Conflict, Refused

OVER_THE_COUNTER = (Method.CASH, Method.CHEQUE)
LONGEST_REFERENCE = 80


class Towards(StrEnum):
    """What a payment is for."""

    OLDEST = "oldest"  # the invoices that were due first, as far as it goes
    INVOICE = "invoice"  # a chosen one; what exceeds it stays credit
    CREDIT = "credit"  # none for now


@dataclass(frozen=True)
class DeskPayment:
    method: Method
    amount: Money
    dated_on: date
    reference: str = ""
    towards: Towards = Towards.OLDEST
    invoice_id: UUID | None = None


def record_payment(patient_id: UUID, payment: DeskPayment) -> UUID:
    """Enter cash or a cheque that was received; returns the payment's line.

    Invoices that somebody is paying online are passed over. Raises NotFound, Refused, and Conflict if the chosen one is.
    """
    account.lock(patient_id)
    if payment.method not in OVER_THE_COUNTER:
        raise Refused(_l("Choose how it was paid."), field="method")
    if len(payment.reference) > LONGEST_REFERENCE:
        raise Refused(_l("Use at most 80 characters."), field="reference")
    if payment.towards is Towards.INVOICE:
        _check_open(patient_id, payment.invoice_id)
    line_id = account.enter(
        patient_id,
        LineKind.PAYMENT,
        payment.amount,
        ": ".join(filter(None, (payment.method.capitalize(), payment.reference.strip()))),
        dated_on=payment.dated_on,
        method=payment.method,
    )
    if payment.towards is Towards.OLDEST:
        invoices.allocate_oldest_first(line_id)
    elif payment.invoice_id and payment.towards is Towards.INVOICE:
        invoices.allocate(line_id, [(payment.invoice_id, payment.amount)], as_far_as_it_goes=True)
    return line_id


def apply_credit(patient_id: UUID, invoice_id: UUID | None = None) -> Money:
    """Pay an invoice, or those that were due first, with the credit there is, the oldest payment first; returns how much.

    Raises NotFound, Refused if there is nothing to apply or nothing to pay, Conflict while the invoice is being paid.
    """
    account.lock(patient_id)
    if invoice_id:
        _check_open(patient_id, invoice_id)
    went = []
    for line_id, credit in account.credits_of_patient(patient_id).items():
        if invoice_id:
            went += invoices.allocate(line_id, [(invoice_id, credit)], as_far_as_it_goes=True)
        else:
            went += invoices.allocate_oldest_first(line_id)
    if not went:
        raise Refused(_l("There is no credit, or no invoice to pay with it."))
    amounts = [amount for _invoice_id, amount in went]
    return sum(amounts[1:], amounts[0])


def refund_cash(payment_line_id: UUID, patient_id: UUID, amount: Money, description: str, dated_on: date) -> UUID:
    """Give back cash or a cheque, or a part; returns the refund's line. What of it had paid invoices is due again.

    Raises NotFound, Refused for a payment made online and for more than is left of it.
    """
    account.lock(patient_id)
    line = account.get(payment_line_id, patient_id)
    payment = account.get_payment(line.id)
    if payment.source_id:
        raise Refused(_l("This was paid online: refund it where the online payments are."))
    if amount > account.left_of(payment.id):
        raise Refused(_l("This is more than is left of the payment."), field="amount")
    refund = account.enter(
        patient_id, LineKind.REFUND, amount, description, dated_on=dated_on, takes_back_id=payment.id
    )
    missing = -account.credit_of(payment.id)
    if missing.minor > 0:
        invoices.release(payment.id, missing)
    return refund


def _check_open(patient_id: UUID, invoice_id: UUID | None) -> None:
    if invoice_id is None:
        raise Refused(_l("Choose an invoice."), field="invoice_id")
    invoices.lock(patient_id, [invoice_id])
    if invoices.being_paid([invoice_id]):
        raise Conflict(invoices.BEING_PAID)
    if invoices.due_of([invoice_id])[invoice_id].minor <= 0:
        raise Refused(_l("Nothing is due on this invoice."), field="invoice_id")
