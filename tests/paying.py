"""Elm Street takes payments online by the stand-in for Stripe, and Maria pays for somebody. Below HTTP, as the pages do it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import func, select, text

from clinic import (
    account,
    actors,
    billing_settings,
    contacts,
    demo,
    invoices,
    mailed_invoices,
    payments,
    stripe_gateway,
)
from clinic.account import AccountLine
from clinic.audit import AuditEntry
from clinic.contacts import ContactDetails, RelationshipKind
from clinic.invoices import Invoice
from clinic.money import Money
from clinic.payment_processing import PaymentAccount, find_present
from clinic.payments import Payment, PaymentProblem, Wish, by_link
from clinic.portal_users import PortalAccess
from mail.outbox import OutgoingLetter
from tenancy import clinics, clock, tenant
from tenancy.clinics import ClinicEntry, ClinicPaymentAccount
from tenancy.database import db, transaction
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests import books, inside
from tests.conftest import connected
from tests.stripe_fake.client import StripeFake

MARIA, BEN, ANA = "maria@family.example", "ben@elm.example", "ana@elm.example"
GRETA = "greta@family.example"
BACK = "http://elm-street.localhost:8000/back"


@dataclass
class Desk:
    """A clinic that is open, a patient whose account is empty, and Maria, who pays for them."""

    app: Flask
    fake: StripeFake
    clinic: ClinicEntry
    account_id: str
    patient_id: UUID
    maria: UUID
    keeper: str = BEN  # who keeps its books

    # Who does it

    @contextmanager
    def open_clinic(self) -> Iterator[None]:
        """Inside the clinic, as its jobs are."""
        with self.app.app_context(), clinics.open_clinic(self.clinic, Role.STAFF):
            yield

    @contextmanager
    def clinic_transaction(self) -> Iterator[None]:
        with self.open_clinic(), transaction():
            yield

    @contextmanager
    def staff(self, email: str | None = None) -> Iterator[None]:
        """One transaction of a staff member's."""
        with self.clinic_transaction():
            actor = inside.member(email or self.keeper).holder.actor
        with self.open_clinic(), actors.acting(actor), transaction():
            yield

    @contextmanager
    def family(self, portal_user_id: UUID | None = None) -> Iterator[None]:
        """One transaction of a portal user's, as the database knows them."""
        me = portal_user_id or self.maria
        who = actors.Holder(portal_user_id=me).actor
        with self.open_clinic(), tenant.acting(Role.PORTAL, portal_user_id=me), actors.acting(who), transaction():
            yield

    # What they do

    def invoice(self, *minors: int, due_in: int = 30, due_on: date | None = None) -> UUID:
        """Issued today; due on any day, also one that is past."""
        with self.staff():
            made = books.invoice(self.patient_id, *minors, due_in=due_in)
            if due_on:
                db.session.get_one(Invoice, (self.clinic.id, made)).due_on = due_on
            return made

    def begin(self, *invoice_ids: UUID, amount: int | None = None, payment_id: UUID | None = None, **values: Any) -> UUID:
        payer = values.pop("payer", None)
        money = Money(amount, "usd") if amount is not None else None
        with self.family(payer):
            return payments.begin(Wish(payment_id or uuid4(), self.patient_id, invoice_ids, money, **values)).id

    def open(self, payment_id: UUID) -> str:
        """The hosted page; its id."""
        with self.family(self.payment(payment_id).portal_user_id):
            order = payments.order_of(payments.get(payment_id), f"{BACK}?returned=1", BACK)
        with self.open_clinic():
            facts = stripe_gateway.open_checkout(order)
        with self.family(self.payment(payment_id).portal_user_id):
            assert payments.opened(payment_id, facts) == facts.url
        return facts.id

    def pay(self, *invoice_ids: UUID, how: str = "card", **values: Any) -> UUID:
        """Begun, opened, paid on Stripe's page; nothing is heard of it yet."""
        payment_id = self.begin(*invoice_ids, **values)
        self.fake.pay(self.open(payment_id), how, save=values.get("saves_card", False))
        return payment_id

    def paid(self, *invoice_ids: UUID, **values: Any) -> UUID:
        payment_id = self.pay(*invoice_ids, **values)
        self.look(payment_id)
        return payment_id

    def look(self, payment_id: UUID) -> bool:
        with self.open_clinic():
            return payments.bring_up_to_date(payment_id)

    def look_again(self, *, minutes: int = 0) -> None:
        """The job of each minute, so much later."""
        with clock.moved(timedelta(minutes=minutes)), self.open_clinic():
            payments.look_again()

    def allow_partial(self) -> None:
        with self.staff():
            billing_settings.get().allows_partial = True

    def mail(self, invoice_id: UUID, email: str = GRETA, language: Language = Language.ENGLISH) -> str:
        """To somebody who stands by the patient and does not use the portal; what the link has in its address."""
        with self.staff():
            same = [each.contact_id for each in contacts.of_patient(self.patient_id) if each.email == email]
            details = ContactDetails("Greta Newcomer", email, language=language)
            contact_id = same[0] if same else contacts.add(self.patient_id, details, RelationshipKind.OTHER).id
            mailed_invoices.mail(invoice_id, self.patient_id, contact_id)
        return inside.secret(self.app, self.clinic.slug, Purpose.INVOICE)

    def let_links_pay(self, *, pays: bool = True) -> None:
        with self.staff():
            billing_settings.get().pays_by_link = pays

    def begin_by_link(self, secret: str, payment_id: UUID | None = None) -> UUID:
        with self.open_clinic(), mailed_invoices.following(secret), transaction():
            return by_link.begin(secret, payment_id or uuid4(), mailed_invoices.mailing_of(secret)).id

    # What there is

    def payment(self, payment_id: UUID) -> Payment:
        with self.clinic_transaction():
            return db.session.scalars(select(Payment).where(Payment.id == payment_id).execution_options(populate_existing=True)).one()

    def status(self, payment_id: UUID) -> str:
        return self.payment(payment_id).status

    def intent(self, payment_id: UUID) -> str:
        found = [each for each in self.fake.objects("payment_intent", self.account_id) if each["metadata"].get("payment") == str(payment_id)]
        return str(found[0]["id"])

    def due(self, invoice_id: UUID) -> int:
        with self.clinic_transaction():
            return invoices.due_of([invoice_id])[invoice_id].minor

    def lines(self) -> list[tuple[str, int]]:
        """(kind, amount) of what is no charge, in the order of entry."""
        with self.clinic_transaction():
            found = select(AccountLine.kind, AccountLine.amount_minor).where(AccountLine.patient_id == self.patient_id)
            rows = db.session.execute(found.where(AccountLine.kind != "charge").order_by(AccountLine.entered_at, AccountLine.id))
            return [(kind, minor) for kind, minor in rows]

    def balance(self) -> int:
        with self.clinic_transaction():
            return account.balance_of_patient(self.patient_id, "usd").minor

    def credit(self, payment_id: UUID) -> int:
        line_id = self.payment(payment_id).line_id
        assert line_id
        with self.clinic_transaction():
            return account.credit_of(line_id).minor

    def letters(self) -> list[str]:
        """Kinds of the letters about money, in the order of posting."""
        with self.clinic_transaction():
            rows = db.session.scalars(select(OutgoingLetter).order_by(OutgoingLetter.posted_at, OutgoingLetter.id))
            return [each.kind for each in rows if each.kind in MONEY_LETTERS]

    def problems(self) -> list[str]:
        with self.clinic_transaction():
            return list(db.session.scalars(select(PaymentProblem.kind).order_by(PaymentProblem.found_at)))

    def events(self, *beginning: str) -> list[str]:
        """About this patient, or about nobody."""
        with self.clinic_transaction():
            mine = select(AuditEntry.event).where(func.coalesce(AuditEntry.patient_id, self.patient_id) == self.patient_id)
            rows = db.session.scalars(mine.order_by(AuditEntry.at, AuditEntry.id))
            return [each for each in rows if each.startswith(beginning)]


MONEY_LETTERS = {
    "receipt_waits", "payment_failed", "refund_made", "autopay_announced", "autopay_stopped", "dispute_opened", "payment_problem_found",
}  # fmt: skip


@contextmanager
def at_elm(app: Flask, fake: StripeFake) -> Iterator[Desk]:
    """The clinic's account at the stand-in ready, and Maria given the billing of a new patient."""
    account_id = fake.account()
    with connected(app, fake):
        with inside.inside(app, demo.ELM) as clinic:
            use_account(account_id)
            patient_id = books.newcomer()
            maria = inside.user(MARIA).id
            give_billing(maria, patient_id)
        yield Desk(app, fake, clinic, account_id, patient_id, maria)


def use_account(account_id: str) -> None:
    """As if the clinic had signed up with it."""
    now = clock.now()
    if present := find_present():
        present.ended_at, present.ending = now, "replaced"
        db.session.flush()
    db.session.add(ClinicPaymentAccount(account_id=account_id, clinic_id=tenant.current_clinic_id()))
    db.session.add(PaymentAccount(account_id=account_id, charges_enabled=True, payouts_enabled=True, details_submitted=True, opened_at=now, read_at=now))
    db.session.flush()
    db.session.execute(text("UPDATE clinics SET payment_processing_since_at = now() WHERE id = app.clinic_id()"))


def give_billing(portal_user_id: UUID, patient_id: UUID) -> None:
    access = PortalAccess(portal_user_id=portal_user_id, patient_id=patient_id, relationship="parent", starts_at=clock.now())
    db.session.add(access)
    db.session.flush()
