"""What is owed for a patient, where the clinic shows it: balance, account lines, invoices."""

from uuid import UUID

from flask import render_template
from flask_babel import lazy_gettext as _l

from clinic import account, invoices, payments, portal_home
from clinic.account import LineKind
from clinic.invoices import InvoiceStatus
from portal_app import guards, wayfinding
from portal_app.payments import STATUSES as PAYMENT_STATUSES
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import NotFound
from ui.looks import shows

LINE_KINDS = {
    LineKind.CHARGE: _l("Charge"),
    LineKind.PAYMENT: _l("Payment"),
    LineKind.DISCOUNT: _l("Discount"),
    LineKind.WRITE_OFF: _l("Taken off by the clinic"),
    LineKind.REFUND: _l("Refund"),
    LineKind.CHARGEBACK: _l("Payment taken back by the bank"),
}
# status: (words, tone of the badge)
STATUSES = {
    InvoiceStatus.OPEN: (_l("Open"), "warn"),
    InvoiceStatus.PARTLY_PAID: (_l("Partly paid"), "warn"),
    InvoiceStatus.PAID: (_l("Paid"), "good"),
    InvoiceStatus.VOID: (_l("Cancelled"), "neutral"),
}


@shows("billing.viewed")
def show(patient_id: UUID) -> str:
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_billing(patient_id))
        balance, lines, issued = None, [], []
        if patient.shows_balance:
            balance = account.balance_of_patient(patient.id, guards.clinic().currency)
            lines = account.lines_of_patient(patient.id)
        if patient.shows_invoices:
            issued = invoices.of_patient(patient.id)
        owes = any(each.is_payable for each in issued) or (balance is not None and balance.minor > 0)
        may_pay = owes and payments.find_account() is not None
        own = payments.unfinished_of_patient(patient.id)
    return render_template(
        "portal/billing/account.html",
        patient=patient,
        balance=balance,
        lines=lines,
        issued=issued,
        kinds=LINE_KINDS,
        statuses=STATUSES,
        as_of=clock.now(),
        may_pay=may_pay,
        own=own,
        payment_statuses=PAYMENT_STATUSES,
    )


@shows("invoice.viewed")
def invoice(patient_id: UUID, invoice_id: UUID) -> str:
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_billing(patient_id))
        if not patient.shows_invoices:
            raise NotFound("invoice")
        found = invoices.get_of_patient(invoice_id, patient.id)
        may_pay = payments.find_account() is not None
    return render_template(
        "portal/billing/invoice.html",
        patient=patient,
        invoice=found.invoice,
        lines=found.lines + found.payments,
        kinds=LINE_KINDS,
        status=STATUSES[found.invoice.status],
        may_pay=may_pay,
    )
