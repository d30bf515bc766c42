"""Entries in the books, as short as a test wants them. Each stands in a clinic, in a transaction."""

from datetime import date, timedelta
from uuid import UUID

from clinic import account, invoices, patients
from clinic.account import LineKind, Method
from clinic.invoices import PaymentInvoice
from clinic.money import Money
from clinic.patients import PatientDetails
from clinic.payments import Payment, PaymentStatus, PaymentWay
from tenancy import clinics, clock
from tenancy.database import db
from tests.inside import user


def usd(minor: int) -> Money:
    return Money(minor, "usd")


def newcomer() -> UUID:
    """A patient whose account is empty."""
    return patients.add(PatientDetails("Nell Newcomer", date(2019, 1, 31))).id


def charge(patient_id: UUID, minor: int) -> UUID:
    return account.enter(patient_id, LineKind.CHARGE, usd(minor), "A visit")


def cash(patient_id: UUID, minor: int) -> UUID:
    return account.enter(patient_id, LineKind.PAYMENT, usd(minor), "Cash", method=Method.CASH)


def draft(patient_id: UUID, *minors: int) -> UUID:
    return invoices.draft(patient_id, [charge(patient_id, minor) for minor in minors])


def invoice(patient_id: UUID, *minors: int, due_in: int = 30) -> UUID:
    """Issued today, of charges of these amounts."""
    made = draft(patient_id, *minors)
    invoices.issue(made, patient_id, clock.today(clinics.current().time_zone) + timedelta(days=due_in))
    return made


def being_paid(
    invoice_id: UUID, patient_id: UUID, minor: int, status: PaymentStatus = PaymentStatus.OPEN
) -> PaymentInvoice:
    """As if Maria stood on Stripe's page, about to pay so much of the invoice; or as far on as `status` says."""
    now, account_id = clock.now(), "acct_demo"
    payment = Payment(
        **{"patient_id": patient_id, "portal_user_id": user("maria@family.example").id, "way": PaymentWay.CHECKOUT},
        **{"status": status, "amount_minor": minor, "currency": "usd", "account_id": account_id},
        **{"started_at": now, "next_look_at": now + timedelta(minutes=2)},
    )
    db.session.add(payment)
    db.session.flush()
    claim = PaymentInvoice(payment_id=payment.id, invoice_id=invoice_id, amount_minor=minor)
    db.session.add(claim)
    db.session.flush()
    return claim
