"""Invoices, receipts and monthly statements to keep, where the clinic shows them."""

from uuid import UUID

from flask import Response

from clinic import billing_papers, invoices, portal_home
from clinic.billing_papers import Paper
from portal_app import guards
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import NotFound
from ui import file_answers
from ui.looks import shows


@shows("invoice.downloaded", once=True)
def invoice(patient_id: UUID, invoice_id: UUID) -> Response:
    with transaction():
        patient = portal_home.see_billing(patient_id).patient
        if not patient.shows_invoices:
            raise NotFound("invoice")
        paper = billing_papers.invoice(invoices.get_of_patient(invoice_id, patient.id), patient.name)
    return sent(paper)


@shows("receipt.downloaded", once=True)
def receipt(patient_id: UUID, line_id: UUID) -> Response:
    with transaction():
        patient = portal_home.see_billing(patient_id).patient
        paper = billing_papers.receipt(line_id, patient.id, patient.name)
        if not patient.shows_balance and not (patient.shows_invoices and invoices.allocated_from(line_id)):
            raise NotFound("receipt")
    return sent(paper)


@shows("statement.downloaded")
def statement(patient_id: UUID, month: str) -> Response:
    with transaction():
        patient = portal_home.see_billing(patient_id).patient
        if not patient.shows_balance:
            raise NotFound("statement")
        first = billing_papers.month_of(month, clock.today(guards.clinic().time_zone))
        paper = billing_papers.statement(first, patient.id, patient.name)
    return sent(paper)


def sent(paper: Paper) -> Response:
    return file_answers.of(billing_papers.printed(paper), "application/pdf", paper.file_name, to_keep=True)
