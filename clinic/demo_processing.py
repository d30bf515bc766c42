"""The demo's Elm Street signs up for payment processing: at a stand-in for Stripe, all of it at once."""

import json
from urllib.request import Request, urlopen

from flask import current_app

from clinic import payment_processing, stripe_gateway
from clinic.actors import Actor, ActorKind, acting
from clinic.staff import admins
from tenancy import clinics
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tenancy.settings import Settings

SECONDS = 10


def sign_up(clinic: ClinicEntry) -> None:
    """As an Admin who presses the button and tells Stripe's pages everything. Does nothing the second time."""
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


def _tell_everything(account_id: str) -> None:
    """What a person would type on the stand-in's pages."""
    settings: Settings = current_app.config["PORTICO"]
    asked = Request(
        f"{settings.stripe_api_base}/_control/onboard",
        json.dumps({"account": account_id}).encode(),
        {"Content-Type": "application/json"},
    )
    urlopen(asked, timeout=SECONDS).close()
