"""Whole histories at the stand-in for Stripe, told by Stripe's own library.

Lost if they fail: the books are proven against a Stripe that no clinic will ever meet.
"""

import pytest
import stripe

from tests.stripe_fake.client import NotPossible, StripeFake
from tests.stripe_fake.contract import VERSION


def caller(fake: StripeFake, **options: object) -> stripe.StripeClient:
    return stripe.StripeClient(fake.key, base_addresses={"api": fake.url}, max_network_retries=0, **options)  # type: ignore[arg-type]


@pytest.fixture
def api(stripe_fake: StripeFake) -> stripe.StripeClient:
    return caller(stripe_fake)


@pytest.fixture
def elm(stripe_fake: StripeFake) -> dict[str, str]:
    """The options of a call about Elm Street's own account."""
    return {"stripe_account": stripe_fake.account(business_profile={"name": "Elm Street"})}


def a_session(api: stripe.StripeClient, clinic: dict[str, str], amount: int = 5000, currency: str = "usd", **more: object) -> stripe.checkout.Session:
    """Open, for one amount owed."""
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "Elm Street"}}
    asked = {
        "mode": "payment", "success_url": "http://clinic.example/back/{CHECKOUT_SESSION_ID}", "cancel_url": "http://clinic.example/",
        "client_reference_id": "attempt-1", "line_items": [{"quantity": 1, "price_data": price}],
    }  # fmt: skip
    return api.v1.checkout.sessions.create(asked | more, clinic)  # type: ignore[arg-type, operator]


def told(fake: StripeFake, *, but: tuple[str, ...] = ("account.updated",)) -> list[str]:
    return [event["type"] for event in fake.events() if event["type"] not in but]


def test_the_contract_the_library_and_every_request_are_of_one_version(
    stripe_fake: StripeFake, api: stripe.StripeClient, elm: dict[str, str]
) -> None:
    a_session(api, elm)
    assert stripe.api_version == VERSION
    assert {each["version"] for each in stripe_fake.requests()} == {VERSION}
    with pytest.raises(stripe.InvalidRequestError, match="speaks"):
        caller(stripe_fake, stripe_version="2024-06-20").v1.balance.retrieve(None, elm)  # type: ignore[arg-type]


def test_a_card_pays(stripe_fake: StripeFake, api: stripe.StripeClient, elm: dict[str, str]) -> None:
    session = a_session(api, elm, payment_intent_data={"metadata": {"attempt": "attempt-1"}})
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    stripe_fake.pay(session.id, "card")
    expand = {"expand": ["payment_intent.latest_charge.balance_transaction", "line_items"]}
    session = api.v1.checkout.sessions.retrieve(session.id, expand, elm)  # type: ignore[arg-type]
    assert (session.status, session.payment_status, session.url) == ("complete", "paid", None)
    intent = session.payment_intent
    assert (intent.status, intent.metadata.attempt, intent.amount_received) == ("succeeded", "attempt-1", 5000)
    money = intent.latest_charge.balance_transaction
    assert (money.amount, money.fee, money.net, money.source) == (5000, 175, 4825, intent.latest_charge.id)
    assert session.line_items.data[0].description == "Elm Street"
    assert told(stripe_fake) == [
        "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "charge.updated", "checkout.session.completed",
    ]  # fmt: skip
    assert stripe_fake.balance(elm["stripe_account"]) == {"usd": 5000}
    with pytest.raises(NotPossible, match="complete"):
        stripe_fake.pay(session.id, "card")


def test_declined_then_asked_by_the_bank_and_refused_then_paid(
    stripe_fake: StripeFake, api: stripe.StripeClient, elm: dict[str, str]
) -> None:
    session = a_session(api, elm)
    for how in ("declined", "3ds_failed"):
        assert stripe_fake.pay(session.id, how)["status"] == "open"
    assert stripe_fake.pay(session.id, "3ds")["payment_status"] == "paid"
    charges = api.v1.charges.list({"payment_intent": api.v1.checkout.sessions.retrieve(session.id, None, elm).payment_intent}, elm)  # type: ignore[typeddict-item]
    assert [each.status for each in charges.data] == ["succeeded", "failed", "failed"]
    assert len(stripe_fake.objects("payment_intent", elm["stripe_account"])) == 1
    assert stripe_fake.balance(elm["stripe_account"]) == {"usd": 5000}
