"""Entries in the books, as short as a test wants them. Each stands in a clinic, in a transaction."""

from datetime import date, timedelta
from uuid import UUID

from clinic import account, billing_settings, patients
from clinic.account import LineKind, Method
from clinic.invoices import Invoice, InvoiceLine
from clinic.money import Money
from clinic.patients import PatientDetails
from tenancy import clinics, clock
from tenancy.database import db


def usd(minor: int) -> Money:
    return Money(minor, "usd")


def newcomer() -> UUID:
    """A patient whose account is empty."""
    return patients.add(PatientDetails("Nell Newcomer", date(2019, 1, 31))).id


def charge(patient_id: UUID, minor: int) -> UUID:
    return account.enter(patient_id, LineKind.CHARGE, usd(minor), "A visit")


def cash(patient_id: UUID, minor: int) -> UUID:
    return account.enter(patient_id, LineKind.PAYMENT, usd(minor), "Cash", method=Method.CASH)


def invoice(patient_id: UUID, *minors: int, due_on: date | None = None) -> UUID:
    """Issued today, of charges of these amounts."""
    today = clock.today(clinics.current().time_zone)
    made = Invoice(
        patient_id=patient_id,
        number=billing_settings.take_invoice_number(),
        issued_on=today,
        due_on=due_on or today + timedelta(days=30),
        currency="usd",
    )
    db.session.add(made)
    db.session.flush()
    for minor in minors:
        db.session.add(InvoiceLine(invoice_id=made.id, line_id=charge(patient_id, minor)))
    db.session.flush()
    return made.id
