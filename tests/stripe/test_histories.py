"""Whole histories at the stand-in for Stripe, told by Stripe's own library.

Lost if they fail: the books are proven against a Stripe that no clinic will ever meet.
"""

from typing import Any

import pytest
import stripe

from tests.stripe.cast import CARD_EVENTS, Clinic, a_session, paid, told
from tests.stripe_fake.client import NotPossible, StripeFake


def test_a_card_pays(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    session = a_session(api, elm, payment_intent_data={"metadata": {"attempt": "attempt-1"}})
    assert (session.status, session.payment_status, session.payment_intent) == ("open", "unpaid", None)
    stripe_fake.pay(session.id, "card")
    expand: Any = {"expand": ["payment_intent.latest_charge.balance_transaction", "line_items"]}
    session = api.v1.checkout.sessions.retrieve(session.id, expand, elm)
    assert (session.status, session.payment_status, session.url) == ("complete", "paid", None)
    intent = session.payment_intent
    assert (intent.status, intent.metadata.attempt, intent.amount_received) == ("succeeded", "attempt-1", 5000)
    money = intent.latest_charge.balance_transaction
    assert (money.amount, money.fee, money.net, money.source) == (5000, 175, 4825, intent.latest_charge.id)
    assert session.line_items.data[0].description == "Elm Street"
    assert told(stripe_fake) == CARD_EVENTS
    assert [each.id for each in api.v1.checkout.sessions.list({"payment_intent": intent.id}, elm).data] == [session.id]
    assert stripe_fake.balance(elm["stripe_account"]) == {"usd": 5000}
    with pytest.raises(NotPossible, match="complete"):
        stripe_fake.pay(session.id, "card")


def test_declined_then_the_bank_refuses_then_paid(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    session = a_session(api, elm)
    for how in ("declined", "3ds_failed"):
        tried = stripe_fake.pay(session.id, how)
        assert (tried["status"], tried["payment_status"]) == ("open", "unpaid")
    assert stripe_fake.pay(session.id, "3ds")["payment_status"] == "paid"
    charges = api.v1.charges.list({"payment_intent": tried["payment_intent"]}, elm)
    assert [each.status for each in charges.data] == ["succeeded", "failed", "failed"]
    assert told(stripe_fake).count("payment_intent.payment_failed") == 2
    assert told(stripe_fake).count("payment_intent.created") == 1
    assert stripe_fake.balance(elm["stripe_account"]) == {"usd": 5000}


@pytest.mark.parametrize(("ok", "status", "balance"), [(True, "succeeded", {"usd": 5000}), (False, "requires_payment_method", {})])
def test_a_bank_debit_is_known_days_later(
    ok: bool, status: str, balance: dict[str, int], stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic
) -> None:
    session = stripe_fake.pay(a_session(api, elm).id, "bank_debit")
    assert (session["status"], session["payment_status"]) == ("complete", "unpaid")
    intent = session["payment_intent"]
    assert api.v1.payment_intents.retrieve(intent, None, elm).status == "processing"
    assert stripe_fake.balance(elm["stripe_account"]) == {}
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        api.v1.refunds.create({"payment_intent": intent}, elm)
    before = len(stripe_fake.events())
    stripe_fake.settle(intent, ok)
    assert api.v1.payment_intents.retrieve(intent, None, elm).status == status
    assert told(stripe_fake, before)[-1] == f"checkout.session.async_payment_{'succeeded' if ok else 'failed'}"
    assert stripe_fake.balance(elm["stripe_account"]) == balance


def test_a_saved_card_is_charged_later_or_declines(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    session = a_session(api, elm, customer_creation="always", payment_intent_data={"setup_future_usage": "off_session"})
    customer = stripe_fake.pay(session.id)["customer"]
    (card,) = api.v1.customers.payment_methods.list(customer, None, elm).data
    asked: Any = {"amount": 1234, "currency": "usd", "customer": customer, "payment_method": card.id, "off_session": True, "confirm": True}
    assert api.v1.payment_intents.create(asked, elm).status == "succeeded"
    stripe_fake.card_later(card.id, "insufficient_funds")
    with pytest.raises(stripe.CardError) as declined:
        api.v1.payment_intents.create(asked, elm)
    error: Any = declined.value.error
    assert (error.code, error.decline_code, error.payment_intent.status) == ("card_declined", "insufficient_funds", "requires_payment_method")
    stripe_fake.card_later(card.id, "authentication_required")
    with pytest.raises(stripe.CardError, match="requires authentication"):
        api.v1.payment_intents.create(asked, elm)
    with pytest.raises(NotPossible, match="no such saved card"):
        stripe_fake.pay(a_session(api, elm, customer=customer).id, "saved")
    shows_all = {"saved_payment_method_options": {"allow_redisplay_filters": ["always", "limited"]}}
    assert stripe_fake.pay(a_session(api, elm, customer=customer, **shows_all).id, "saved")["payment_status"] == "paid"
    api.v1.payment_methods.detach(card.id, None, elm)
    with pytest.raises(stripe.InvalidRequestError, match="detached"):
        api.v1.payment_intents.create(asked, elm)
    assert stripe_fake.balance(elm["stripe_account"]) == {"usd": 5000 + 1234 + 5000}


def test_a_card_is_saved_only_when_the_box_is_ticked(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    customer = api.v1.customers.create({"metadata": {"portal_user": "7"}}, elm).id
    offers: Any = {"customer": customer, "saved_payment_method_options": {"payment_method_save": "enabled"}}
    for save, kept in ((False, 0), (True, 1)):
        stripe_fake.pay(a_session(api, elm, **offers).id, save=save)
        assert len(api.v1.customers.payment_methods.list(customer, None, elm).data) == kept


def test_a_card_is_saved_without_paying(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    asked: Any = {"mode": "setup", "currency": "usd", "success_url": "http://clinic.example/", "customer_creation": "always"}
    session = api.v1.checkout.sessions.create(asked, elm)
    assert stripe_fake.pay(session.id, "declined")["status"] == "open"
    done = stripe_fake.pay(session.id, "3ds")
    intent = api.v1.setup_intents.retrieve(done["setup_intent"], {"expand": ["payment_method"]}, elm)
    method: Any = intent.payment_method
    assert (intent.status, method.customer, done["payment_status"]) == ("succeeded", done["customer"], "no_payment_required")
    assert told(stripe_fake)[-3:] == ["payment_method.attached", "setup_intent.succeeded", "checkout.session.completed"]


def test_refunds_in_parts_then_too_much_then_one_fails_late(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    intent = paid(stripe_fake, api, elm)
    parts = [api.v1.refunds.create({"payment_intent": intent, "amount": each}, elm) for each in (1500, 2000)]
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        api.v1.refunds.create({"payment_intent": intent, "amount": 1501}, elm)
    account = elm["stripe_account"]
    assert stripe_fake.balance(account) == {"usd": 1500}
    stripe_fake.refund(account, intent)  # the rest, at Stripe's own dashboard
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.v1.refunds.create({"payment_intent": intent}, elm)
    assert refused.value.code == "charge_already_refunded"
    before = len(stripe_fake.events())
    stripe_fake.fail_refund(parts[0].id)
    assert told(stripe_fake, before) == ["refund.failed", "refund.updated", "charge.refund.updated"]
    assert [each.status for each in api.v1.refunds.list({"payment_intent": intent}, elm).data] == ["succeeded", "succeeded", "failed"]
    assert stripe_fake.balance(account) == {"usd": 1500}
    assert api.v1.refunds.create({"payment_intent": intent}, elm).amount == 1500


def test_a_refund_to_a_bank_account_takes_days(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    intent = paid(stripe_fake, api, elm, "bank_debit")
    stripe_fake.settle(intent)
    refund = api.v1.refunds.create({"payment_intent": intent}, elm)
    assert refund.status == "pending"
    stripe_fake.advance(4 * 86_400)
    assert api.v1.refunds.retrieve(refund.id, None, elm).status == "succeeded"


def test_an_inquiry_takes_nothing_a_dispute_does_and_winning_gives_it_back(
    stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic
) -> None:
    intent, account = paid(stripe_fake, api, elm), elm["stripe_account"]
    inquiry = stripe_fake.inquire(intent)
    assert (inquiry["status"], inquiry["balance_transactions"]) == ("warning_needs_response", [])
    with pytest.raises(NotPossible, match="cannot become lost"):
        stripe_fake.close_dispute(inquiry["id"], "lost")
    before = len(stripe_fake.events())
    assert stripe_fake.dispute(intent)["id"] == inquiry["id"]
    assert told(stripe_fake, before) == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.v1.refunds.create({"payment_intent": intent}, elm)
    assert refused.value.code == "charge_disputed"
    assert stripe_fake.figures(account)["usd"]["disputed"] == 5000
    stripe_fake.close_dispute(inquiry["id"], "won")
    dispute = api.v1.disputes.retrieve(inquiry["id"], None, elm)
    assert [each.net for each in dispute.balance_transactions] == [-6500, 5000]
    assert stripe_fake.balance(account) == {"usd": 5000}


def test_a_lost_dispute_and_a_closed_inquiry(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    lost, asked = paid(stripe_fake, api, elm), paid(stripe_fake, api, elm)
    stripe_fake.close_dispute(stripe_fake.dispute(lost, 2000)["id"], "lost")
    stripe_fake.close_dispute(stripe_fake.inquire(asked)["id"], "warning_closed")
    assert [each.status for each in api.v1.disputes.list(None, elm).data] == ["warning_closed", "lost"]
    assert stripe_fake.balance(elm["stripe_account"]) == {"usd": 8000}


def test_a_session_ends_by_the_clock_by_request_and_only_once(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    by_clock = a_session(api, elm, expires_at=stripe_fake.now() + 1800)
    stripe_fake.pay(by_clock.id, "declined")
    by_request = a_session(api, elm)
    stripe_fake.advance(1801)
    assert api.v1.checkout.sessions.retrieve(by_clock.id, None, elm).status == "expired"
    assert told(stripe_fake)[-2:] == ["payment_intent.canceled", "checkout.session.expired"]
    assert api.v1.checkout.sessions.expire(by_request.id, None, elm).status == "expired"
    for session in (by_clock, by_request):
        with pytest.raises(stripe.InvalidRequestError, match="status of expired"):
            api.v1.checkout.sessions.expire(session.id, None, elm)
        with pytest.raises(NotPossible, match="expired"):
            stripe_fake.pay(session.id)


def test_an_intent_is_called_off_but_not_behind_an_open_page(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    alone = api.v1.payment_intents.create({"amount": 500, "currency": "usd"}, elm)
    assert api.v1.payment_intents.cancel(alone.id, None, elm).status == "canceled"
    tried = stripe_fake.pay(a_session(api, elm).id, "declined")
    with pytest.raises(stripe.InvalidRequestError, match="Expire the session"):
        api.v1.payment_intents.cancel(tried["payment_intent"], None, elm)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        api.v1.payment_intents.cancel(paid(stripe_fake, api, elm), None, elm)
    assert refused.value.code == "payment_intent_unexpected_state"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [(49, "usd", "amount_too_small"), (49, "jpy", "amount_too_small"), (5001, "kwd", None), (50_050, "ugx", None), (100_000_000, "usd", "amount_too_large")],
)
def test_amounts_that_stripe_does_not_take(amount: int, currency: str, code: str | None, api: stripe.StripeClient, elm: Clinic) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        a_session(api, elm, amount, currency)
    assert refused.value.code == code


def test_money_waits_two_days_and_adds_up(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    intent = paid(stripe_fake, api, elm)
    api.v1.refunds.create({"payment_intent": intent, "amount": 1000}, elm)
    pending = api.v1.balance.retrieve(None, elm).pending
    movements = api.v1.balance_transactions.list(None, elm).data
    assert [each.amount for each in pending] == [sum(each.net for each in movements)] == [3825]
    stripe_fake.advance(3 * 86_400)
    balance = api.v1.balance.retrieve(None, elm)
    assert ([each.amount for each in balance.available], balance.pending) == ([3825], [])
