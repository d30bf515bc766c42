"""The billing accounts of the demo's patients, as a billing desk would have kept them for three months."""

from contextlib import AbstractContextManager
from datetime import timedelta
from uuid import UUID

from clinic import billing, invoices
from clinic.account import Method
from clinic.billing import DeskPayment, Towards
from clinic.money import Money
from clinic.patients import Patient
from tenancy import clinics, clock

VISIT, HALF = "Occupational therapy, 45 minutes", "Occupational therapy, 30 minutes"


def fill(patient: Patient) -> None:
    """An invoice in every state, a charge that is not billed yet, and some credit."""
    cheque = _issued(patient, 70, (VISIT, 12000))
    _paid(patient, 60, Method.CHEQUE, 12000, Towards.INVOICE, cheque, "1071")
    mistaken = _issued(patient, 55, (HALF, 9000))
    with _days_ago(54):
        invoices.void(mistaken, patient.id, "Billed for a visit that was cancelled")
    _issued(patient, 40, (VISIT, 12000))  # overdue
    half = _issued(patient, 20, (VISIT, 12000), ("Workbook", 1850))
    _paid(patient, 8, Method.CASH, 6000, Towards.INVOICE, half, "")
    reduced = _issued(patient, 10, (VISIT, 12000))
    with _days_ago(10):
        billing.discount(invoices.lines_on(reduced)[0], patient.id, _usd(2000), "Sibling discount")
    _charged(patient, 4, (HALF, 9000))
    invoices.draft(patient.id, _charged(patient, 3, (VISIT, 12000)))
    _paid(patient, 2, Method.CASH, 2500, Towards.CREDIT, None, "for the next visit")


def _issued(patient: Patient, days: int, *charges: tuple[str, int]) -> UUID:
    invoice = invoices.draft(patient.id, _charged(patient, days, *charges))
    with _days_ago(days):
        invoices.issue(invoice, patient.id)
    return invoice


def _charged(patient: Patient, days: int, *charges: tuple[str, int]) -> list[UUID]:
    with _days_ago(days):
        return [billing.charge(patient.id, _usd(minor), text) for text, minor in charges]


def _paid(
    patient: Patient, days: int, method: Method, minor: int, towards: Towards, invoice: UUID | None, reference: str
) -> None:
    with _days_ago(days):
        today = clock.today(clinics.current().time_zone)
        billing.record_payment(patient.id, DeskPayment(method, _usd(minor), today, reference, towards, invoice))


def _days_ago(days: int) -> AbstractContextManager[None]:
    return clock.moved(-timedelta(days=days))


def _usd(minor: int) -> Money:
    return Money(minor, "usd")
