"""The billing accounts of the demo's patients."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from clinic import billing_settings
from clinic.account import AccountLine, LineKind, Method
from clinic.invoices import Allocation, Invoice, InvoiceLine
from clinic.patients import Patient
from tenancy import clinics, clock
from tenancy.database import db


def fill(patient: Patient) -> None:
    """An open invoice, a paid one, a draft, and a charge on no invoice."""
    today = clock.today(clinics.current().time_zone)
    paid = _invoice(patient, today - timedelta(days=60))
    _line(patient, paid, LineKind.CHARGE, "Occupational therapy, 45 minutes", 12000, today - timedelta(days=62))
    cheque = _line(patient, None, LineKind.PAYMENT, "Cheque", -12000, today - timedelta(days=50), Method.CHEQUE)
    _add(
        Allocation(
            patient_id=patient.id, payment_line_id=cheque, invoice_id=paid, amount_minor=12000, allocated_at=clock.now()
        )
    )
    unpaid = _invoice(patient, today - timedelta(days=10))
    _line(patient, unpaid, LineKind.CHARGE, "Occupational therapy, 45 minutes", 12000, today - timedelta(days=14))
    _line(patient, unpaid, LineKind.DISCOUNT, "Sibling discount", -2000, today - timedelta(days=14))
    _invoice(patient, None)
    _line(patient, None, LineKind.CHARGE, "Workbook", 1850, today - timedelta(days=5))


def _add(row: Any) -> UUID:
    db.session.add(row)
    db.session.flush()
    made: UUID = row.id
    return made


def _invoice(patient: Patient, issued_on: date | None) -> UUID:
    number = billing_settings.take_invoice_number() if issued_on else None
    due_on = issued_on + timedelta(days=30) if issued_on else None
    return _add(Invoice(patient_id=patient.id, number=number, issued_on=issued_on, due_on=due_on, currency="usd"))


def _line(
    patient: Patient, invoice: UUID | None, kind: LineKind, text: str, minor: int, on: date, method: Method | None = None
) -> UUID:
    line = AccountLine(
        patient_id=patient.id,
        kind=kind,
        method=method,
        description=text,
        dated_on=on,
        amount_minor=minor,
        currency="usd",
        entered_at=clock.now(),
    )
    made = _add(line)
    if invoice:
        _add(InvoiceLine(invoice_id=invoice, line_id=made))
    return made
