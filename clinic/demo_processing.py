"""The demo's Elm Street signs up for payment processing, at a stand-in for Stripe, and mails an invoice that can be paid."""

import json
from urllib.request import Request, urlopen

from flask import current_app
from sqlalchemy import select

from clinic import billing_settings, invoices, mailed_invoices, payment_processing, stripe_gateway
from clinic.actors import Actor, ActorKind, acting
from clinic.billing_settings import BillingDetails
from clinic.contacts import Contact, Relationship
from clinic.staff import admins
from tenancy import clinics
from tenancy.clinics import ClinicEntry
from tenancy.database import db, transaction
from tenancy.settings import Settings

SECONDS = 10


def sign_up(clinic: ClinicEntry, email: str) -> None:
    """As an Admin who presses the button, tells Stripe's pages everything, and mails a contact the first open invoice.

    Does nothing the second time.
    """
    with clinics.open_clinic(clinic):
        with transaction():
            opening = payment_processing.begin()
            actor = Actor(ActorKind.STAFF, admins()[0].id)
        if opening.account_id:
            return
        made = stripe_gateway.make_account(opening.key, opening.payee)
        with acting(actor), transaction():
            account_id = payment_processing.opened(made)
        _tell_everything(account_id)
        payment_processing.read_again(account_id)
        with acting(actor), transaction():
            billing_settings.save(BillingDetails(False, pays_by_link=True, refund_limit_minor=None, autopay_notice_days=3))
            _mail_an_invoice(email)


def _mail_an_invoice(email: str) -> None:
    contact = db.session.scalars(select(Contact).where(Contact.email_norm == email)).one()
    patient_id = db.session.scalars(select(Relationship.patient_id).where(Relationship.contact_id == contact.id)).one()
    invoice_id, _due = invoices.payable_of(patient_id)[0]
    mailed_invoices.mail(invoice_id, patient_id, contact.id)


def _tell_everything(account_id: str) -> None:
    """What a person would type on the stand-in's pages."""
    settings: Settings = current_app.config["PORTICO"]
    asked = Request(
        f"{settings.stripe_api_base}/_control/onboard",
        json.dumps({"account": account_id}).encode(),
        {"Content-Type": "application/json"},
    )
    urlopen(asked, timeout=SECONDS).close()
