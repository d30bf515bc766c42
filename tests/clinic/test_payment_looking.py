"""Looking at a payment: where Stripe is asked for it, when again, and whose it is when its name was never kept.

Lost if it fails: money that came is found by nobody, or what somebody else made under our mark passes for a family's payment.
"""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from clinic import payments, stripe_gateway
from clinic.money import Money
from clinic.payments import charging, looking, waiting
from clinic.payments.charging import ASKED_AGAIN_WITHIN
from clinic.stripe_gateway import CheckoutFacts, line
from tenancy import clock
from tenancy.errors import Conflict, NotFound
from tests.clinic.test_autopay import announced, at, charged, pay_by_card_when_due
from tests.paying import BACK, Desk, use_account


def never_kept(desk: Desk, payment: UUID, **changed: Any) -> CheckoutFacts:
    """Stripe made a page for this payment, and its answer was lost."""
    with desk.family():
        order = payments.order_of(payments.get(payment), BACK, BACK)
    return stripe_gateway.open_checkout(replace(order, **changed))


def second_page(desk: Desk, payment: UUID) -> CheckoutFacts:
    """Another page that carries the mark of a payment, of the same amount: nobody of ours made it."""
    desk.fake.advance(25 * 3600)  # Stripe has forgotten the key
    return never_kept(desk, payment, expires_at=clock.now() + timedelta(hours=26))


# When


@pytest.mark.parametrize(
    ("age", "wait"),
    [(0, 2), (1, 2), (2, 2), (7, 7), (60, 60), (61, 60), (60 * 24 * 3, 60)],
)
def test_silence_is_waited_for_as_long_again_and_never_longer_than_an_hour(still: None, age: int, wait: int) -> None:
    """Lost: Stripe is asked without pause, or somebody's money is on its way for a day and nobody looks."""
    begun: Any = SimpleNamespace(started_at=clock.now() - timedelta(minutes=age))
    assert waiting.next_look(begun) == clock.now() + timedelta(minutes=wait)


def test_what_was_looked_at_in_vain_is_not_looked_at_again_at_once(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    desk.open(payment)
    with clock.moved(timedelta(minutes=20)):
        desk.look(payment)
        again = desk.payment(payment).next_look_at
        assert timedelta(minutes=19) < again - clock.now() < timedelta(minutes=21)


def test_who_is_always_slower_than_others_gives_up_and_writes_nothing_old(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: old news is written over new, or a job asks Stripe for ever."""
    payment = desk.pay(desk.invoice(5000))
    look, looks = looking.look, list[UUID]()

    def look_while_another_writes(known: looking.Ours) -> looking.Facts:
        looks.append(known.id)
        found = look(known)
        with desk.clinic_transaction():
            payments.get(payment).looks += 1
        return found

    monkeypatch.setattr(looking, "look", look_while_another_writes)
    with pytest.raises(Conflict):
        desk.look(payment)
    assert len(looks) == 5 and desk.status(payment) == "open" and desk.lines() == []


def test_a_payment_that_is_none_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.look(uuid4())


# Where


def test_a_page_that_waits_is_asked_for_once_a_look(desk: Desk) -> None:
    """Refunds and disputes of what has not come are not asked for: each look costs a clinic of its allowance at Stripe."""
    payment = desk.begin(desk.invoice(5000))
    desk.fake.pay(desk.open(payment), "declined")
    before = len(desk.fake.requests())
    desk.look(payment)
    asked = [each["path"] for each in desk.fake.requests()[before:]]
    session, intent = desk.payment(payment).checkout_session_id, desk.intent(payment)
    assert asked == [f"/v1/checkout/sessions/{session}", f"/v1/payment_intents/{intent}"]


def test_who_never_came_to_the_page_finds_the_way_after_the_next_look(desk: Desk) -> None:
    """Lost: the answer with the page's address was lost, and nobody can pay there or anywhere else for an hour."""
    payment = desk.begin(desk.invoice(5000))
    other = desk.begin(desk.invoice(700))
    page = never_kept(desk, payment)
    desk.open(other)
    desk.look(payment)
    found = desk.payment(payment)
    assert (found.status, found.checkout_session_id, found.checkout_url) == ("open", page.id, page.url)


def test_a_page_is_known_again_by_what_was_paid_there(desk: Desk) -> None:
    """Lost: a payment of which the intent alone is known has no page that could be ended."""
    payment = desk.pay(desk.invoice(5000))
    session, intent = desk.payment(payment).checkout_session_id, desk.intent(payment)
    with desk.staff():
        known = payments.get(payment)
        known.checkout_session_id, known.payment_intent_id = None, intent
    desk.look(payment)
    assert (desk.status(payment), desk.payment(payment).checkout_session_id) == ("succeeded", session)


# Whose it is, when its name was never kept


def test_a_page_that_was_never_kept_is_known_by_its_mark(desk: Desk) -> None:
    """Its event is the first that is heard of it."""
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    page = never_kept(desk, payment)
    desk.fake.pay(page.id)
    assert payments.look_at_checkout(desk.account_id, page.id) == payment
    assert desk.status(payment) == "succeeded" and desk.due(invoice) == 0 and desk.problems() == []


def test_what_is_known_by_its_name_needs_no_mark_and_writes_nothing_more(desk: Desk) -> None:
    """The page first, then what was paid there."""
    payment = desk.pay(desk.invoice(5000))
    session = desk.payment(payment).checkout_session_id
    assert session and payments.look_at_intent(desk.account_id, desk.intent(payment)) == payment
    assert desk.status(payment) == "succeeded"
    looks = desk.payment(payment).looks
    assert payments.look_at_checkout(desk.account_id, session) == payment
    assert payments.look_at_intent(desk.account_id, desk.intent(payment)) == payment
    assert desk.payment(payment).looks == looks


def test_what_carries_no_mark_is_none_of_ours_and_no_problem(desk: Desk) -> None:
    """The account is the clinic's own: it may take money at a fair, too."""
    price = {"currency": "usd", "unit_amount": 900, "product_data": {"name": "A book"}}
    asked = {"mode": "payment", "success_url": BACK, "line_items": [{"quantity": 1, "price_data": price}]}
    session = line.post("/v1/checkout/sessions", asked, of=desk.account_id)["id"]
    desk.fake.pay(session)
    (intent,) = desk.fake.objects("payment_intent", desk.account_id)
    assert payments.look_at_checkout(desk.account_id, session) is None
    assert payments.look_at_intent(desk.account_id, intent["id"]) is None
    assert desk.problems() == []


def test_a_page_of_another_amount_under_our_mark_is_told(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    page = never_kept(desk, payment, amount=Money(4999, "usd"))
    assert payments.look_at_checkout(desk.account_id, page.id) is None
    assert desk.problems() == ["unknown"] and desk.payment(payment).checkout_session_id is None


def test_a_page_under_the_mark_of_nothing_is_told(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    page = never_kept(desk, payment, payment_id=uuid4())
    assert payments.look_at_checkout(desk.account_id, page.id) is None
    assert desk.problems() == ["unknown"]


def test_a_second_page_under_our_mark_is_not_the_payments(desk: Desk) -> None:
    """Lost: the page that the family stands on is forgotten for one that somebody else made, and can be paid twice over."""
    payment = desk.begin(desk.invoice(5000))
    first = desk.open(payment)
    copy = second_page(desk, payment)
    assert payments.look_at_checkout(desk.account_id, copy.id) is None
    desk.fake.pay(copy.id)
    (paid,) = desk.fake.objects("payment_intent", desk.account_id)
    assert payments.look_at_intent(desk.account_id, paid["id"]) is None
    assert desk.problems() == ["unknown", "unknown"]
    found = desk.payment(payment)
    assert (found.checkout_session_id, found.payment_intent_id, desk.lines()) == (first, None, [])


def test_a_payment_that_was_made_on_another_account_is_not_this_ones(desk: Desk) -> None:
    """Lost: who left an account for another has its old payments entered from whatever is done on the new one."""
    payment = desk.begin(desk.invoice(5000))
    new = desk.fake.account()
    with desk.staff():
        use_account(new)
    page = never_kept(desk, payment, account_id=new)
    desk.fake.pay(page.id)
    assert payments.look_at_checkout(new, page.id) is None
    assert desk.problems() == ["unknown"] and desk.status(payment) == "starting"


# A charge without any page


def test_a_charge_whose_answer_was_lost_is_known_by_its_event(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    invoice = pay_by_card_when_due(desk)
    with announced(desk):
        desk.fake.fault("POST /v1/payment_intents", "lost", times=None)
        charging.pay_what_is_due()
        desk.fake.clear_faults()
        (made,) = desk.fake.objects("payment_intent", desk.account_id)[1:]
        assert payments.look_at_intent(desk.account_id, made["id"])
    assert charged(desk) == [("succeeded", 5000)] and desk.due(invoice) == 0
    assert f"did not answer about charge {made['metadata']['payment']}" in caplog.text


def test_an_event_is_enough_whatever_the_clocks_say(desk: Desk) -> None:
    """Stripe's list of what was charged since has nothing, because its clock is behind ours."""
    invoice = pay_by_card_when_due(desk)
    charging.pay_what_is_due()
    with at(desk, clock.today(desk.clinic.time_zone) + timedelta(days=3)):
        desk.fake.fault("POST /v1/payment_intents", "lost", times=None)
        charging.pay_what_is_due()
        desk.fake.clear_faults()
        (made,) = desk.fake.objects("payment_intent", desk.account_id)[1:]
        assert payments.look_at_intent(desk.account_id, made["id"])
    assert charged(desk) == [("succeeded", 5000)] and desk.due(invoice) == 0


def test_a_second_charge_under_our_mark_is_not_the_payments(desk: Desk) -> None:
    """Lost: a charge that somebody copied in Stripe's dashboard takes the place of ours, and ours is charged unseen."""
    pay_by_card_when_due(desk)
    with announced(desk):
        charging.pay_what_is_due()
        (made,) = desk.fake.objects("payment_intent", desk.account_id)[1:]
        desk.fake.advance(25 * 3600)
        mark = UUID(made["metadata"]["payment"])
        again = stripe_gateway.charge_saved(mark, desk.account_id, Money(5000, "usd"), made["customer"], made["payment_method"])
        assert again.id != made["id"] and payments.look_at_intent(desk.account_id, again.id) is None
    assert desk.problems() == ["unknown"] and desk.payment(mark).payment_intent_id == made["id"]


def test_a_charge_is_found_in_stripes_list_when_it_may_not_be_asked_for_again(desk: Desk) -> None:
    """The answer was lost, and Stripe forgets keys: asked again it would charge twice, and what is not found is not failed."""
    invoice = pay_by_card_when_due(desk)
    with announced(desk):
        desk.fake.fault("POST /v1/payment_intents", "lost", times=None)
        charging.pay_what_is_due()
        desk.fake.clear_faults()
        late = ASKED_AGAIN_WITHIN + timedelta(minutes=20)
        desk.fake.advance(int(late.total_seconds()))
        with clock.moved(late):
            charging.ask_again()
            assert charged(desk) == [("starting", 5000)]
        desk.look_again(minutes=int(late.total_seconds()) // 60)
    assert charged(desk) == [("succeeded", 5000)] and desk.due(invoice) == 0
    assert len(desk.fake.objects("payment_intent", desk.account_id)) == 2  # with the one that saved the card
