"""What the house asks of Stripe and how it hears the answers.

Lost if they fail: a payment is made twice or believed never made, a person waits for minutes, every page of the portal
waits with them, or Stripe learns whose child was treated and for what.
"""

import hmac
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import stripe
from flask import Flask

from clinic import stripe_gateway
from clinic.money import Money
from clinic.stripe_gateway import (
    NO_SUCH_ACCOUNT,
    BadSignature,
    CheckoutOrder,
    StripeDown,
    StripeRefused,
    StripeUnknown,
    breaker,
    line,
    reading,
)
from tenancy import clinics, clock
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tests.stripe_fake.client import StripeFake
from tests.stripe_fake.contract import VERSION

pytestmark = pytest.mark.usefixtures("in_app")


@pytest.fixture
def acct(stripe_standing: StripeFake) -> str:
    return stripe_standing.account(business_profile={"name": "Elm Street"})


def order(account_id: str, **more: Any) -> CheckoutOrder:
    asked: dict[str, Any] = {
        "payment_id": uuid4(), "account_id": account_id, "amount": Money(5000, "usd"), "payee": "Elm Street",
        "success_url": "http://elm.example/back", "cancel_url": "http://elm.example/", "customer_id": None,
        "saves_card": False, "expires_at": clock.now() + timedelta(hours=1),
    }  # fmt: skip
    return CheckoutOrder(**asked | more)


def paid(fake: StripeFake, acct: str, how: str = "card", **more: Any) -> str:
    """The intent of a payment that was made."""
    checkout = stripe_gateway.open_checkout(order(acct, **more))
    fake.pay(checkout.id, how)
    intent_id = stripe_gateway.read_checkout(acct, checkout.id).payment_intent_id
    assert intent_id
    return intent_id


# Versions, and what leaves the house


def test_the_version_that_we_speak_is_the_contracts(stripe_standing: StripeFake, acct: str) -> None:
    stripe_gateway.read_account(acct)
    assert stripe.api_version == stripe_gateway.VERSION == VERSION
    assert {each["version"] for each in stripe_standing.requests()} == {VERSION}


def test_stripe_learns_an_amount_the_clinics_name_and_ids_and_nothing_else(stripe_standing: StripeFake) -> None:
    acct = stripe_gateway.make_account("signing-up-1", "Elm Street")
    stripe_gateway.onboarding_url(acct, "http://admin.example/again", "http://admin.example/back")
    stripe_standing.onboard(acct)
    asked = order(acct, saves_card=True)
    checkout = stripe_gateway.open_checkout(asked)
    stripe_standing.pay(checkout.id)
    sent = {}
    for each in stripe_standing.requests():
        sent |= leaves(each["params"])
    free = {name: value for name, value in sent.items() if not name.endswith(("_url", ".type", ".payer", ".payments"))}
    assert free == {
        "controller.requirement_collection": "stripe", "business_profile.name": "Elm Street", "account": acct,
        "mode": "payment", "client_reference_id": str(asked.payment_id), "line_items.0.quantity": "1",
        "line_items.0.price_data.currency": "usd", "line_items.0.price_data.unit_amount": "5000",
        "line_items.0.price_data.product_data.name": "Payment to Elm Street",
        "payment_intent_data.metadata.payment": str(asked.payment_id), "expires_at": str(int(asked.expires_at.timestamp())),
        "payment_intent_data.setup_future_usage": "off_session", "customer_creation": "always", "type": "account_onboarding",
    }  # fmt: skip


def leaves(tree: dict[str, Any], above: str = "") -> dict[str, str]:
    found = {}
    for name, value in tree.items():
        found |= leaves(value, f"{above}{name}.") if isinstance(value, dict) else {f"{above}{name}": value}
    return found


# The clinic's account


def test_one_key_makes_one_account_and_it_is_the_clinics_own(stripe_standing: StripeFake) -> None:
    ids = {stripe_gateway.make_account("signing-up-1", "Elm Street") for _ in range(2)}
    assert len(ids) == len(stripe_standing.objects("account")) == 1
    controller = stripe_standing.objects("account")[0]["controller"]
    assert controller["stripe_dashboard"] == {"type": "full"} and controller["fees"] == {"payer": "account"}
    assert controller["losses"] == {"payments": "stripe"} and controller["requirement_collection"] == "stripe"


def test_an_account_tells_what_is_still_due_and_whether_it_may_charge(stripe_standing: StripeFake) -> None:
    acct = stripe_gateway.make_account("signing-up-1", "Elm Street")
    facts = stripe_gateway.read_account(acct)
    assert not facts.charges_enabled and not facts.details_submitted and "external_account" in facts.due
    stripe_standing.onboard(acct)
    facts = stripe_gateway.read_account(acct)
    assert facts.charges_enabled and facts.payouts_enabled and facts.due == () and facts.disabled_reason is None
    stripe_standing.restrict(acct)
    facts = stripe_gateway.read_account(acct)
    assert not facts.charges_enabled and facts.details_submitted and facts.disabled_reason == "requirements.past_due"


def test_each_click_has_a_link_of_its_own(stripe_standing: StripeFake) -> None:
    acct = stripe_gateway.make_account("signing-up-1", "Elm Street")
    links = {stripe_gateway.onboarding_url(acct, "http://x.example/", "http://x.example/") for _ in range(2)}
    assert len(links) == 2


def test_an_account_whose_owner_left_is_known_by_its_code(stripe_standing: StripeFake, acct: str) -> None:
    stripe_standing.deauthorise(acct)
    with pytest.raises(StripeRefused) as refused:
        stripe_gateway.read_account(acct)
    assert refused.value.code == NO_SUCH_ACCOUNT


# Paying and giving back


def test_a_checkout_is_opened_once_however_often_it_is_asked_for(stripe_standing: StripeFake, acct: str) -> None:
    asked = order(acct)
    first, second = (stripe_gateway.open_checkout(asked) for _ in range(2))
    assert first == second and first.status == "open" and first.url and first.payment_id == asked.payment_id
    assert (first.amount, first.payment_status, first.livemode) == (Money(5000, "usd"), "unpaid", False)
    assert [each.id for each in stripe_gateway.open_checkouts(acct)] == [first.id]


def test_a_payment_tells_its_card_and_who_may_be_charged_again(stripe_standing: StripeFake, acct: str) -> None:
    asked = order(acct, saves_card=True)
    checkout = stripe_gateway.open_checkout(asked)
    stripe_standing.pay(checkout.id)
    done = stripe_gateway.read_checkout(acct, checkout.id)
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert done.payment_intent_id and done.customer_id
    intent = stripe_gateway.read_intent(acct, done.payment_intent_id)
    assert (intent.status, intent.amount, intent.payment_id) == ("succeeded", Money(5000, "usd"), asked.payment_id)
    charge = intent.charge
    assert charge and (charge.method, charge.label, charge.status) == ("card", "Visa 4242", "succeeded")
    assert charge.expires_on and charge.expires_on.isoformat() == "2034-12-31"
    assert charge.customer_id == done.customer_id and charge.payment_method_id
    assert stripe_gateway.find_checkout_of_intent(acct, intent.id) == done
    assert stripe_gateway.find_checkout_of_intent(acct, "pi_of_nobody") is None
    assert [each.id for each in stripe_gateway.intents_since(acct, clock.now() - timedelta(hours=1))] == [intent.id]
    later = stripe_gateway.charge_saved(uuid4(), acct, Money(700, "usd"), done.customer_id, charge.payment_method_id)
    assert (later.status, later.fault) == ("succeeded", None) and later.charge and later.charge.amount.minor == 700
    shown = stripe_gateway.open_checkout(order(acct, customer_id=done.customer_id, saves_card=True))
    assert stripe_standing.pay(shown.id, "saved")["payment_status"] == "paid"
    stripe_gateway.detach_card(acct, charge.payment_method_id)
    with pytest.raises(StripeRefused):
        stripe_gateway.charge_saved(uuid4(), acct, Money(700, "usd"), done.customer_id, charge.payment_method_id)


def test_a_saved_card_that_is_declined_is_an_answer(stripe_standing: StripeFake, acct: str) -> None:
    intent = stripe_gateway.read_intent(acct, paid(stripe_standing, acct, saves_card=True))
    assert intent.charge and intent.charge.payment_method_id and intent.charge.customer_id
    stripe_standing.card_later(intent.charge.payment_method_id, "insufficient_funds")
    payment_id = uuid4()
    later = stripe_gateway.charge_saved(payment_id, acct, Money(700, "usd"), intent.charge.customer_id, intent.charge.payment_method_id)
    assert (later.status, later.fault, later.payment_id) == ("requires_payment_method", "insufficient_funds", payment_id)


def test_a_checkout_is_ended_once_and_not_after_it_was_paid(stripe_standing: StripeFake, acct: str) -> None:
    open_one, paid_one = (stripe_gateway.open_checkout(order(acct)) for _ in range(2))
    assert [stripe_gateway.end_checkout(acct, open_one.id).status for _ in range(2)] == ["expired", "expired"]
    stripe_standing.pay(paid_one.id)
    with pytest.raises(StripeRefused):
        stripe_gateway.end_checkout(acct, paid_one.id)


def test_what_others_wrote_at_stripe_is_nobodys_id_and_an_unknown_method_has_no_label(
    stripe_standing: StripeFake, acct: str
) -> None:
    """Whoever holds the clinic's dashboard, and any other program on its account, may write what they like."""
    price = {"currency": "usd", "unit_amount": 5000, "product_data": {"name": "A workshop"}}
    asked = {"mode": "payment", "success_url": "http://x.example/", "line_items": [{"quantity": 1, "price_data": price}]}
    made = line.post("/v1/checkout/sessions", asked | {"client_reference_id": "order-17"}, of=acct)
    assert stripe_gateway.read_checkout(acct, made["id"]).payment_id is None
    stripe_standing.pay(made["id"])
    intent_id = line.get(f"/v1/checkout/sessions/{made['id']}", of=acct)["payment_intent"]
    charge = line.get(f"/v1/payment_intents/{intent_id}", {"expand": ["latest_charge"]}, of=acct)["latest_charge"]
    told = reading.charge(charge | {"payment_method_details": {"type": "cash_of_tomorrow", "cash_of_tomorrow": {}}})
    assert (told.method, told.label, told.expires_on) == ("cash_of_tomorrow", None, None)


def test_a_bank_debit_says_how_it_was_paid(stripe_standing: StripeFake, acct: str) -> None:
    intent = stripe_gateway.read_intent(acct, paid(stripe_standing, acct, "bank_debit"))
    assert intent.status == "processing" and intent.charge
    assert (intent.charge.method, intent.charge.label, intent.charge.expires_on) == ("us_bank_account", "Stripe Test Bank 6789", None)


def test_a_refund_is_made_once_and_found_by_our_id(stripe_standing: StripeFake, acct: str) -> None:
    intent_id, refund_id = paid(stripe_standing, acct), uuid4()
    first, second = (stripe_gateway.refund(acct, intent_id, Money(1200, "usd"), refund_id) for _ in range(2))
    assert first == second and (first.our_id, first.amount, first.status) == (refund_id, Money(1200, "usd"), "succeeded")
    theirs = stripe_standing.refund(acct, intent_id, 300)
    found = stripe_gateway.refunds_of(acct, intent_id)
    assert {(each.id, each.our_id) for each in found} == {(first.id, refund_id), (theirs["id"], None)}
    assert {each.id for each in stripe_gateway.refunds_since(acct, clock.now() - timedelta(hours=1))} == {each.id for each in found}
    stripe_standing.fail_refund(first.id)
    failed = stripe_gateway.read_refund(acct, first.id)
    assert (failed.status, failed.fault, failed.intent_id) == ("failed", "expired_or_canceled_card", intent_id)
    with pytest.raises(StripeRefused):
        stripe_gateway.refund(acct, intent_id, Money(999_999, "usd"), uuid4())


def test_an_inquiry_and_a_dispute_are_told_apart(stripe_standing: StripeFake, acct: str) -> None:
    intent_id = paid(stripe_standing, acct)
    asked = stripe_standing.inquire(intent_id)
    assert stripe_gateway.read_dispute(acct, asked["id"]).status == "warning_needs_response"
    stripe_standing.dispute(intent_id)
    [dispute] = stripe_gateway.disputes_of(acct, intent_id)
    assert (dispute.status, dispute.amount, dispute.intent_id) == ("needs_response", Money(5000, "usd"), intent_id)
    assert dispute.evidence_due_at and dispute.evidence_due_at > dispute.created_at
    assert [each.id for each in stripe_gateway.disputes_since(acct, clock.now() - timedelta(hours=1))] == [dispute.id]


def test_what_a_dispute_was_before_is_told_by_its_events(stripe_standing: StripeFake, acct: str) -> None:
    """Another one's events are passed over."""
    mine, other = paid(stripe_standing, acct), paid(stripe_standing, acct)
    stripe_standing.inquire(mine)
    asked = stripe_standing.dispute(mine)["id"]
    stripe_standing.close_dispute(stripe_standing.dispute(other)["id"], "won")
    for how in ("lost", "won"):
        stripe_standing.close_dispute(asked, how)
    found = stripe_gateway.with_past(acct, stripe_gateway.read_dispute(acct, asked))
    assert list(dict.fromkeys(found.past)) == ["warning_needs_response", "needs_response", "lost", "won"]
    assert found.is_past_whole
    later = stripe_gateway.with_past(acct, replace(found, created_at=found.created_at + timedelta(days=40)))
    assert (later.past, later.is_past_whole) == ((), False)  # as when thirty days have passed


def test_lists_are_read_to_their_end(stripe_standing: StripeFake, acct: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "PAGE", 2)
    ids = [stripe_gateway.open_checkout(order(acct)).id for _ in range(5)]
    assert [each.id for each in stripe_gateway.open_checkouts(acct)] == ids[::-1]


@pytest.mark.parametrize(("amount", "sent"), [(Money(1500, "jpy"), "1500"), (Money(1230, "kwd"), "1230"), (Money(70_000, "ugx"), "7000000")])
def test_currencies_without_hundredths_and_with_thousandths_are_not_paid_a_hundredfold(
    stripe_standing: StripeFake, acct: str, amount: Money, sent: str
) -> None:
    checkout = stripe_gateway.open_checkout(order(acct, amount=amount))
    assert checkout.amount == amount
    assert stripe_standing.requests("/v1/checkout")[-1]["params"]["line_items"]["0"]["price_data"]["unit_amount"] == sent


# Faults


FAULTS = {"lost": StripeUnknown, "500": StripeUnknown, "500_after": StripeUnknown, "409": StripeUnknown, "truncated": StripeUnknown, "refused": StripeUnknown, "429": StripeDown}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_silence_is_never_taken_for_a_no(stripe_standing: StripeFake, acct: str, kind: str) -> None:
    """Twice, so that the second try fails too. What happens then is found with the same key."""
    stripe_standing.fault("/v1/checkout/sessions", kind, times=2)
    asked = order(acct)
    with pytest.raises(FAULTS[kind]) as fault:
        stripe_gateway.open_checkout(asked)
    assert not isinstance(fault.value, StripeRefused)
    stripe_standing.clear_faults()
    if kind != "500_after":  # remembered for a day under this key
        assert stripe_gateway.open_checkout(asked).status == "open"
    assert len(stripe_standing.objects("checkout.session", acct)) == 1


@pytest.mark.parametrize("kind", ["lost", "500", "truncated", "refused", "409", "429"])
def test_what_failed_at_once_is_asked_once_more_with_the_same_key(stripe_standing: StripeFake, acct: str, kind: str) -> None:
    stripe_standing.fault("/v1/checkout/sessions", kind, times=1)
    assert stripe_gateway.open_checkout(order(acct)).status == "open"
    keys = [each["idempotency_key"] for each in stripe_standing.requests("/v1/checkout/sessions")]
    assert len(keys) == 2 and len(set(keys)) == 1
    assert len(stripe_standing.objects("checkout.session", acct)) == 1


def test_nobody_waits_for_a_stripe_that_hangs(stripe_standing: StripeFake, acct: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits are shortened, not the logic: one try, because the first took too long for another."""
    monkeypatch.setattr(line, "ANSWER_SECONDS", 0.4)
    monkeypatch.setattr(line, "SECOND_TRY_WITHIN", 0.2)
    stripe_standing.fault("/v1/*", "hang", times=None, seconds=20)
    began = time.monotonic()
    with pytest.raises(StripeUnknown) as fault:
        stripe_gateway.open_checkout(order(acct))
    assert time.monotonic() - began < 2 and not isinstance(fault.value, StripeDown)
    stripe_standing.clear_faults()
    assert len(stripe_standing.requests("/v1/checkout")) == 1


def test_one_call_takes_at_most_ten_seconds_and_all_calls_of_a_page_too() -> None:
    one_try = line.CONNECT_SECONDS + line.ANSWER_SECONDS
    assert line.PLACE_SECONDS + max(one_try, line.SECOND_TRY_WITHIN + one_try) <= 10
    assert line.PLACE_SECONDS + line.REQUEST_SECONDS <= 10


def test_a_page_that_asks_often_stops_when_its_time_is_over(
    app: Flask, stripe_standing: StripeFake, acct: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "REQUEST_SECONDS", 1.0)
    with app.test_request_context("/"):
        stripe_gateway.read_account(acct)
        time.sleep(0.6)
        with pytest.raises(StripeDown, match="time left"):
            stripe_gateway.read_account(acct)


def test_an_unreachable_stripe_is_known_to_have_heard_nothing(app: Flask, stripe_standing: StripeFake) -> None:
    app.extensions["stripe_gateway"] = line.Line("sk_test_x", "http://127.0.0.1:1")
    with pytest.raises(StripeDown):
        stripe_gateway.read_account("acct_x")


def test_a_stripe_that_does_not_answer_is_left_alone_for_a_while(stripe_standing: StripeFake, acct: str) -> None:
    stripe_standing.down()
    for _ in range(breaker.FAILURES):
        with pytest.raises(StripeUnknown):
            stripe_gateway.read_account(acct)
    stripe_standing.clear_faults()
    asked = len(stripe_standing.requests())
    with pytest.raises(StripeDown):
        stripe_gateway.read_account(acct)
    assert len(stripe_standing.requests()) == asked
    with clock.moved(breaker.REST + timedelta(seconds=1)):
        assert stripe_gateway.read_account(acct).charges_enabled


def test_a_no_is_an_answer_and_breaks_nothing(stripe_standing: StripeFake, acct: str) -> None:
    for _ in range(breaker.FAILURES + 1):
        with pytest.raises(StripeRefused):
            stripe_gateway.read_checkout(acct, "cs_of_nobody")
    assert stripe_gateway.read_account(acct).charges_enabled


def test_a_no_between_silences_ends_the_count(stripe_standing: StripeFake, acct: str) -> None:
    for _ in range(2):
        stripe_standing.fault("/v1/accounts/*", "500", times=2 * (breaker.FAILURES - 1))
        for _ in range(breaker.FAILURES - 1):
            with pytest.raises(StripeUnknown):
                stripe_gateway.read_account(acct)
        with pytest.raises(StripeRefused):
            stripe_gateway.read_checkout(acct, "cs_of_nobody")
    assert stripe_gateway.read_account(acct).charges_enabled


def test_a_hanging_stripe_holds_only_some_of_a_processs_threads(
    app: Flask, stripe_standing: StripeFake, acct: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "PATIENT_PLACE_SECONDS", 0.1)
    stripe_standing.fault("/v1/accounts/*", "slow", times=None, seconds=1)
    started = threading.Semaphore(0)

    def read(_: int) -> str:
        with app.app_context():
            started.release()
            try:
                stripe_gateway.read_account(acct)
            except StripeDown:
                return "turned away"
            return "answered"

    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(read, range(6)))
    assert sorted(results) == ["answered"] * breaker.AT_ONCE + ["turned away"] * (6 - breaker.AT_ONCE)


def test_a_wrong_key_is_a_refusal(app: Flask, stripe_standing: StripeFake) -> None:
    app.extensions["stripe_gateway"] = line.Line("sk_test_wrong", stripe_standing.url)
    with pytest.raises(StripeRefused):
        stripe_gateway.read_account("acct_x")


def test_without_a_key_nobody_is_asked(app: Flask) -> None:
    with app.app_context():
        assert not stripe_gateway.is_connected()
        with pytest.raises(StripeDown):
            stripe_gateway.read_account("acct_x")


ASKS: dict[str, Callable[[str], object]] = {
    "account": lambda acct: stripe_gateway.make_account("key", "Elm"),
    "account link": lambda acct: stripe_gateway.onboarding_url(acct, "http://x.example/", "http://x.example/"),
    "reading an account": stripe_gateway.read_account,
    "checkout": lambda acct: stripe_gateway.open_checkout(order(acct)),
    "a list": lambda acct: list(stripe_gateway.open_checkouts(acct)),
    "saved card": lambda acct: stripe_gateway.charge_saved(uuid4(), acct, Money(500, "usd"), "cus_x", "pm_x"),
    "refund": lambda acct: stripe_gateway.refund(acct, "pi_x", Money(500, "usd"), uuid4()),
}


@pytest.mark.parametrize("what", ASKS)
def test_nothing_is_asked_while_a_transaction_runs(
    stripe_standing: StripeFake, acct: str, elm: ClinicEntry, what: str
) -> None:
    before = len(stripe_standing.requests())
    with clinics.open_clinic(elm), transaction(), pytest.raises(RuntimeError, match="transaction"):
        ASKS[what](acct)
    assert len(stripe_standing.requests()) == before


# Webhooks


def told(fake: StripeFake) -> tuple[str, bytes]:
    acct = fake.account()
    event_id = fake.events(acct)[-1]["id"]
    return acct, fake.webhook(event_id)[0]


def test_a_signed_event_is_read(stripe_fake: StripeFake) -> None:
    acct, body = told(stripe_fake)
    event = stripe_gateway.verified(body, stripe_fake.sign(body), stripe_fake.secret)
    assert (event.type, event.account_id, event.object_id, event.livemode) == ("account.updated", acct, acct, False)
    assert abs(clock.now() - event.created_at) < timedelta(minutes=1)


def test_what_is_not_stripes_or_not_of_now_is_refused(stripe_fake: StripeFake) -> None:
    _, body = told(stripe_fake)
    now = int(clock.now().timestamp())
    good = stripe_fake.sign(body, t=now)
    wrong = {
        "": "unsigned",
        "nonsense": "unsigned",
        good.partition(",")[2]: "unsigned",
        good + f",t={now - 5}": "unsigned",
        stripe_fake.sign(body, scheme="v0"): "unsigned",
        stripe_fake.sign(body, secret="whsec_other"): "wrong_signature",
        stripe_fake.sign(body + b" "): "wrong_signature",
        good.replace(str(now), str(now - 1)): "wrong_signature",
        stripe_fake.sign(body, t=now - 302): "too_old",
        stripe_fake.sign(body, t=now + 86_400): "from_the_future",
        stripe_fake.sign(body, t=now + 310): "from_the_future",
    }
    for header, reason in wrong.items():
        with pytest.raises(BadSignature) as refused:
            stripe_gateway.verified(body, header, stripe_fake.secret)
        assert refused.value.reason == reason, header
    stripe_gateway.verified(body, stripe_fake.sign(body, t=now - 290), stripe_fake.secret)
    # A secret is being replaced: signed with both.
    both = f"{stripe_fake.sign(body, t=now, secret='whsec_old')},{stripe_fake.sign(body, t=now).partition(',')[2]}"
    stripe_gateway.verified(body, both, stripe_fake.secret)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"id": 1, "type": "x", "data": {"object": null}}', b"\xff\xfe"])
def test_what_is_signed_and_cannot_be_read_is_refused(stripe_fake: StripeFake, body: bytes) -> None:
    t = int(clock.now().timestamp())
    header = sign_bytes(body, t, stripe_fake.secret)
    with pytest.raises(BadSignature, match="unreadable"):
        stripe_gateway.verified(body, header, stripe_fake.secret)


def sign_bytes(body: bytes, t: int, secret: str) -> str:
    digest = hmac.new(secret.encode(), str(t).encode() + b"." + body, "sha256").hexdigest()
    return f"t={t},v1={digest}"

