"""Whole histories of payments as Stripe tells them: in any order, twice, falsely, by somebody else's account.

Lost if it fails: a refund is booked twice, a payment that failed first and succeeded then stays unpaid, or an event that
was made up enters money.
"""

import random
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import demo, stripe_events
from clinic.payment_processing import opened
from clinic.payments import problems
from clinic.stripe_events import StripeEvent
from clinic.stripe_gateway import line
from tenancy import clinics
from tenancy.database import db, transaction
from tests.inside import inside
from tests.paying import Desk, at_elm
from tests.stripe_fake.client import StripeFake, Thing


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        yield standing


def hear(desk: Desk, events: list[Thing]) -> None:
    """Each is sent to the webhook; then its job runs."""
    for event in events:
        body, headers = desk.fake.webhook(event["id"])
        hear_body(desk, body, headers, event["id"])


def hear_body(desk: Desk, body: bytes, headers: dict[str, str], event_id: str) -> None:
    answer = desk.app.test_client().post("/webhooks/stripe", base_url="http://localhost:8000", data=body, headers=headers)
    assert answer.status_code == 200
    with desk.open_clinic():
        stripe_events.look_into(event_id)


def told(desk: Desk) -> list[Thing]:
    return [each for each in desk.fake.events(desk.account_id) if each["type"] != "account.updated"]


def outcomes(desk: Desk) -> dict[str, str | None]:
    with desk.clinic_transaction():
        return {row.type: row.outcome for row in db.session.scalars(select(StripeEvent))}


ORDERS = {
    "as it happened": lambda events: events,
    "backwards": lambda events: events[::-1],
    "each twice": lambda events: [each for each in events for _ in range(2)],
    "all again at the end": lambda events: events + events,
    "shuffled": lambda events: random.Random(3).sample(events, len(events)),
    "the last one alone": lambda events: events[-1:],
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_history_ends_in_the_same_books_whatever_order_it_is_told_in(desk: Desk, order: str) -> None:
    """Declined, then paid; a part given back, sent back by the bank, given back again; asked about, disputed, won."""
    invoice = desk.invoice(12000)
    payment = desk.begin(invoice)
    session = desk.open(payment)
    desk.fake.pay(session, "declined")
    desk.fake.pay(session, "card")
    intent = desk.intent(payment)
    desk.fake.fail_refund(desk.fake.refund(desk.account_id, intent, 2000)["id"])
    desk.fake.refund(desk.account_id, intent, 3000)
    desk.fake.inquire(intent)
    desk.fake.close_dispute(desk.fake.dispute(intent, 1000)["id"], "won")
    hear(desk, ORDERS[order](told(desk)))
    assert desk.status(payment) == "succeeded" and desk.problems().count("differs") == 0
    assert sum(minor for _, minor in desk.lines()) == -9000 == -desk.fake.balance(desk.account_id)["usd"]
    assert desk.balance() == 3000 and desk.due(invoice) == 3000
    assert desk.letters().count("receipt_waits") == 1


def test_a_debit_that_fails_days_later_leaves_the_invoice_due(desk: Desk) -> None:
    invoice = desk.invoice(12000)
    payment = desk.pay(invoice, how="bank_debit")
    hear(desk, told(desk))
    assert desk.status(payment) == "processing"
    desk.fake.settle(desk.intent(payment), ok=False)
    hear(desk, told(desk))
    assert (desk.status(payment), desk.due(invoice), desk.lines()) == ("failed", 12000, [])


def test_an_event_names_its_payment_and_says_what_became_of_it(desk: Desk) -> None:
    payment = desk.pay(desk.invoice(12000))
    hear(desk, told(desk))
    found = outcomes(desk)
    assert found["checkout.session.completed"] == found["payment_intent.succeeded"] == "applied"
    assert found["payment_intent.created"] == "ignored"
    with desk.clinic_transaction():
        of = select(StripeEvent.payment_id).where(StripeEvent.type == "payment_intent.succeeded")
        assert db.session.scalars(of).one() == payment


def test_what_a_true_event_says_of_itself_is_not_believed(desk: Desk) -> None:
    """Signed with our secret, and yet made up: unpaid, it says that it was paid, and more than was asked."""
    invoice = desk.invoice(12000)
    payment = desk.begin(invoice)
    desk.fake.pay(desk.open(payment), "declined")
    failed = next(each for each in told(desk) if each["type"] == "payment_intent.payment_failed")
    body, _ = desk.fake.webhook(failed["id"])
    body = body.replace(b"payment_intent.payment_failed", b"payment_intent.succeeded").replace(b"12000", b"99999")
    body = body.replace(b'"requires_payment_method"', b'"succeeded"')
    hear_body(desk, body, {"Stripe-Signature": desk.fake.sign(body)}, failed["id"])
    assert (desk.due(invoice), desk.lines(), desk.status(payment)) == (12000, [], "open")


def test_another_clinics_account_cannot_speak_for_a_payment(desk: Desk) -> None:
    """Oak Hill's account tells of Elm Street's payment: nothing is entered anywhere, and Oak Hill is told."""
    invoice = desk.invoice(12000)
    payment = desk.pay(invoice)
    oaks = desk.fake.account()
    with inside(desk.app, demo.OAK) as oak:
        opened(oaks)
    paid = next(each for each in told(desk) if each["type"] == "payment_intent.succeeded")
    body, _ = desk.fake.webhook(paid["id"])
    body = body.replace(desk.account_id.encode(), oaks.encode())
    hear_body(desk, body, {"Stripe-Signature": desk.fake.sign(body)}, paid["id"])
    assert desk.status(payment) == "open" and desk.lines() == []
    with desk.app.app_context(), clinics.open_clinic(oak):
        stripe_events.look_into(paid["id"])
        with transaction():
            assert [each.outcome for each in db.session.scalars(select(StripeEvent))] == ["put aside: resource_missing"]
            assert [each.object_id for each in problems.still_open()] == [desk.intent(payment)]
    assert desk.status(payment) == "open" and desk.lines() == []


def test_a_payment_that_the_clinic_took_elsewhere_is_none_of_ours(desk: Desk) -> None:
    """The account is the clinic's own: it may take money at a fair, too."""
    item = {"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 700, "product_data": {"name": "Mug"}}}
    with desk.open_clinic():
        asked = {"mode": "payment", "success_url": "http://fair.example/", "line_items": [item]}
        session = line.post("/v1/checkout/sessions", asked, of=desk.account_id)["id"]
    desk.fake.pay(session)
    hear(desk, told(desk))
    assert set(outcomes(desk).values()) == {"not ours", "ignored"} and desk.problems() == desk.lines() == []
