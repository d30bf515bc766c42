"""Who calls the stand-in for Stripe, and what they ask for first."""

from typing import Any

import stripe

from tests.stripe_fake.client import StripeFake

CARD_EVENTS = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "charge.updated", "checkout.session.completed"]
Clinic = dict[str, str]  # the options of a call about a clinic's own account


def caller(fake: StripeFake, **options: Any) -> stripe.StripeClient:
    """Stripe's own library, trying once."""
    return stripe.StripeClient(fake.key, base_addresses={"api": fake.url}, max_network_retries=0, **options)


def a_session(api: stripe.StripeClient, clinic: Clinic, amount: int = 5000, currency: str = "usd", **more: Any) -> Any:
    """Open, for one amount owed."""
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "Elm Street"}}
    asked: Any = {
        "mode": "payment", "success_url": "http://clinic.example/back/{CHECKOUT_SESSION_ID}", "cancel_url": "http://clinic.example/",
        "client_reference_id": "attempt-1", "line_items": [{"quantity": 1, "price_data": price}],
    }  # fmt: skip
    return api.v1.checkout.sessions.create(asked | more, clinic)


def paid(fake: StripeFake, api: stripe.StripeClient, clinic: Clinic, how: str = "card", amount: int = 5000, **more: Any) -> str:
    """A payment intent's id, after the person did what `how` says."""
    return str(fake.pay(a_session(api, clinic, amount, **more).id, how)["payment_intent"])


def told(fake: StripeFake, since: int = 0) -> list[str]:
    """What happened, without the account's own news."""
    return [event["type"] for event in fake.events()[since:] if event["type"] != "account.updated"]
