"""What is owed for a patient, where the clinic shows it: balance, account lines, invoices."""

from typing import Any
from uuid import UUID

from flask import render_template
from flask_babel import lazy_gettext as _l

from clinic import account, billing_papers, invoices, payments, portal_home
from clinic.billing_papers import LINE_KINDS
from clinic.invoices import InvoiceRow, InvoiceStatus
from portal_app import guards, wayfinding
from portal_app.checkouts import STATUSES as PAYMENT_STATUSES
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import NotFound
from ui.looks import shows

# status: (words, tone of the badge)
STATUSES = {
    InvoiceStatus.OPEN: (_l("Open"), "info"),
    InvoiceStatus.PARTLY_PAID: (_l("Partly paid"), "info"),
    InvoiceStatus.PAID: (_l("Paid"), "good"),
    InvoiceStatus.VOID: (_l("Cancelled"), "neutral"),
}
OVERDUE = (_l("Overdue"), "bad")
MONTHS_AT_ONCE = 12


@shows("billing.viewed")
def show(patient_id: UUID) -> str:
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_billing(patient_id))
        balance, lines, issued, months = None, [], [], []
        if patient.shows_balance:
            balance = account.balance_of_patient(patient.id, guards.clinic().currency)
            lines = account.lines_of_patient(patient.id)
            months = account.months_of_patient(patient.id)[:MONTHS_AT_ONCE]
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
        corrected={each.corrects_id for each in lines},
        issued=[(each, state(each)) for each in issued],
        months=months,
        kinds=LINE_KINDS,
        said=billing_papers.said,
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
        paid_by = [(each, billing_papers.method_of(each)) for each in found.payments]
        may_pay = found.invoice.is_payable and payments.find_account() is not None
    return render_template(
        "portal/billing/invoice.html",
        patient=patient,
        invoice=found.invoice,
        lines=found.lines,
        paid_by=paid_by,
        kinds=LINE_KINDS,
        said=billing_papers.said,
        status=state(found.invoice),
        may_pay=may_pay,
    )


def state(row: InvoiceRow) -> tuple[Any, str]:
    """(words, tone of the badge)"""
    return OVERDUE if row.is_overdue(clock.today(guards.clinic().time_zone)) else STATUSES[row.status]
