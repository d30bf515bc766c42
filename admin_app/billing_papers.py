"""The same papers that families can keep, for whoever keeps the books."""

from uuid import UUID

from flask import Response

from admin_app.account import today
from admin_app.blueprint import admin
from admin_app.guards import needs
from clinic import billing_papers, invoices, patients
from clinic.billing_papers import Paper
from clinic.staff import Right
from tenancy.database import transaction
from ui import file_answers
from ui.looks import shows


@admin.get("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>/download")
@needs(Right.BILLING)
@shows("invoice.downloaded", once=True)
def invoice_download(patient_id: UUID, invoice_id: UUID) -> Response:
    with transaction():
        found = invoices.get_of_patient(invoice_id, patient_id)
        paper = billing_papers.invoice(found, patients.row_of(patient_id).name)
    return _sent(paper)


@admin.get("/patients/<uuid:patient_id>/account/lines/<uuid:line_id>/receipt")
@needs(Right.BILLING)
@shows("receipt.downloaded", once=True)
def receipt(patient_id: UUID, line_id: UUID) -> Response:
    with transaction():
        paper = billing_papers.receipt(line_id, patient_id, patients.row_of(patient_id).name)
    return _sent(paper)


@admin.get("/patients/<uuid:patient_id>/account/statements/<month>")
@needs(Right.BILLING)
@shows("statement.downloaded")
def statement(patient_id: UUID, month: str) -> Response:
    with transaction():
        name, first = patients.row_of(patient_id).name, billing_papers.month_of(month, today())
        paper = billing_papers.statement(first, patient_id, name)
    return _sent(paper)


def _sent(paper: Paper) -> Response:
    return file_answers.of(billing_papers.printed(paper), "application/pdf", paper.file_name, to_keep=True)
