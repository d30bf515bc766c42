"""T09: one history of Stripe's, heard of in any order, any number of times, eight at once, and again after three days.

Lost if it fails: a family has paid and the invoice says that they have not, because one message overtook another.

The history of a bank debit: begun, on its way, arrived, a part of it given back, settled, sent back by the bank, asked
about, disputed, won, lost, or lost and won after all. However it is heard of, the books end the same: lines, invoices,
letters, audit log and what people must look at. The events are mixed with the history itself, each read as early as it may
be heard of. What is old undoes nothing. What a dispute was before, its own object does not tell; Stripe's list of events
does, for thirty days, and that is how long a loss may pass unseen and be told all the same.
Two that are known to go wrong elsewhere: the first event ever seen already carries a refund; the intent's id was never
kept when its event arrives.
"""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.exc import IntegrityError

from clinic import payments, stripe_events, stripe_gateway
from clinic.payments import PaymentStatus, agreement
from clinic.payments.agreement import NoteRefund, Step
from clinic.payments.facts import OurRefund, Ours
from clinic.stripe_events import TYPES
from clinic.stripe_gateway import RefundFacts, StripeUnknown, line
from tenancy import clock
from tenancy.errors import Conflict
from tests.attack.money_history import Event, History, books, told_of, undone
from tests.paying import MARIA, Desk, at_elm
from tests.portal.test_webhooks import deliver, job
from tests.stripe_fake.client import StripeFake

DUE, PART = 5000, 2000
ENDINGS = {"won": ["won"], "lost": ["lost"], "won after all": ["lost", "won"]}
# Those of which every order is tried; all others come along in the samples.
MAIN = (
    "payment_intent.processing", "checkout.session.async_payment_succeeded", "refund.created", "refund.failed",
    "charge.dispute.created", "charge.dispute.closed",
)  # fmt: skip
AT_ONCE = 8


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        yield standing


def debit(desk: Desk, monkeypatch: pytest.MonkeyPatch, ending: str) -> History:
    """Everything that can happen to one payment, with nobody listening."""
    history = History(desk, desk.begin(desk.invoice(DUE)), line.get)
    session = desk.open(history.payment_id)
    monkeypatch.setattr(line, "get", history.get)
    for happens in happenings(desk, session, ending):
        history.moment(happens)
    history.is_told = True
    return history


def happenings(desk: Desk, session: str, ending: str) -> Iterator[Any]:
    """What happens at Stripe, one after another."""
    fake = desk.fake
    found: dict[str, str] = {}
    yield lambda: None
    yield lambda: found.update(pi=fake.pay(session, "bank_debit")["payment_intent"])
    yield lambda: fake.settle(found["pi"])
    yield lambda: found.update(refund=fake.refund(desk.account_id, found["pi"], PART)["id"])
    yield lambda: fake.settle_refund(found["refund"])
    yield lambda: fake.fail_refund(found["refund"])
    yield lambda: found.update(dispute=fake.inquire(found["pi"])["id"])
    yield lambda: fake.dispute(found["pi"])
    yield from (partial(fake.close_dispute, found["dispute"], how) for how in ENDINGS[ending])


def books_after(history: History, order: list[Event], since: int = 0) -> dict[str, Any]:
    """The books after this order, which is forgotten again."""
    with undone(history.desk.app):
        history.tell(order, since)
        return books(history.desk)


def some_orders(events: list[Event], count: int, seed: int, most: int = 1) -> Iterator[list[Event]]:
    """Any order, each event up to so many times; the same ones each time."""
    chance = random.Random(seed)
    for _ in range(count):
        order = [event for event in events for _ in range(chance.randint(1, most))]
        chance.shuffle(order)
        yield order


def main_of(history: History) -> list[Event]:
    return [event for event in history.events if event.name in MAIN]


def check_orders(history: History, orders: Iterator[list[Event]], since: int = 0) -> None:
    right = books_after(history, history.events)
    for order in orders:
        assert books_after(history, order, since) == right, [event.name for event in order]


def check_all_orders(history: History, left: list[Event], right: dict[str, Any], at: int = 0) -> int:
    """Every order of what is left, each beginning told once; how many orders that were."""
    if not left:
        assert books(history.desk) == right
        return 1
    tried = 0
    for event in left:
        with undone(history.desk.app):
            history.tell([event], at)
            tried += check_all_orders(history, [each for each in left if each is not event], right, history.at)
    return tried


# Any order, any number of times


@pytest.mark.parametrize("ending", ENDINGS)
def test_any_order_ends_in_the_same_books(desk: Desk, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """A dozen of them: mixed with the history itself, and told when all of it is over."""
    history = debit(desk, monkeypatch, ending)
    check_in_order(history, ending)
    check_orders(history, some_orders(main_of(history), 10, seed=9))
    check_orders(history, some_orders(history.events, 1, seed=9, most=3))
    check_orders(history, some_orders(main_of(history), 2, seed=10), since=history.end)
    check_the_old_undoes_nothing(history)
    check_again_after_three_days(history)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["won", "lost"])
def test_all_orders_end_in_the_same_books(desk: Desk, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    history = debit(desk, monkeypatch, ending)
    assert check_all_orders(history, main_of(history), books_after(history, history.events)) == 720


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_each_event_up_to_three_times_in_any_order(desk: Desk, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    history = debit(desk, monkeypatch, ending)
    check_orders(history, some_orders(history.events, 20, seed=1, most=3))
    check_orders(history, some_orders(history.events, 10, seed=2, most=3), since=history.end)


def check_in_order(history: History, ending: str) -> None:
    """That all orders agree is worth nothing if they agree on something wrong."""
    found, is_lost = books_after(history, history.events), ending == "lost"
    taken = {"lost": {("chargeback", DUE): 1}, "won after all": {("chargeback", DUE): 1, ("chargeback", -DUE): 1}}
    lines = {(kind, minor): count for (kind, minor, _source, _is_correction), count in found["lines"].items()}
    came = {("charge", DUE): 1, ("payment", -DUE): 1, ("refund", PART): 1, ("refund", -PART): 1}
    assert lines == came | taken.get(ending, {})
    assert [(status, paid) for _number, status, paid in found["invoices"]] == [("open", 0) if is_lost else ("paid", DUE)]
    told = {kind: count for (kind, address), count in found["letters"].items() if address == MARIA}
    assert told == {"receipt_waits": 1, "refund_made": 1}
    assert [kind for kind, _object in found["problems"]] == ["refund_failed"]


def check_the_old_undoes_nothing(history: History) -> None:
    """Stripe itself may answer with what was true a moment ago: late `processing`, a dispute that is open again."""
    with undone(history.desk.app):
        history.tell(history.events, since=history.end)
        before = books(history.desk)
        for moment in range(history.end, 0, -1):
            history.at = moment
            history.desk.look(history.payment_id)
            assert books(history.desk) == before, moment


def check_again_after_three_days(history: History) -> None:
    desk = history.desk
    history.tell(history.events)
    before = books(desk)
    with clock.moved(timedelta(days=3)):
        history.tell(history.events[::-1], since=history.end)
        with desk.open_clinic():
            payments.look_again()
    assert books(desk) == before


# At once


def test_eight_at_once_end_in_the_same_books(
    committed_app: Flask, app: Flask, stripe_fake: StripeFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with at_elm(app, stripe_fake) as one, monkeypatch.context() as for_now:
        right = books_after(history := debit(one, for_now, "lost"), history.events)
    with at_elm(committed_app, stripe_fake) as desk:
        session = desk.open(desk.begin(desk.invoice(DUE)))
        for happens in happenings(desk, session, "lost"):
            happens()
        events = [Event(told_of(each), 0) for each in stripe_fake.events(desk.account_id) if each["type"] in MAIN]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            left = list(threads.map(lambda order: _apply(desk, order), some_orders(events, AT_ONCE, seed=3)))
        for order in left:  # what Stripe or the others kept from being settled is taken up again
            assert _apply(desk, order) == []
        assert books(desk) == right


def _apply(desk: Desk, order: list[Event]) -> list[Event]:
    """Returns what must be tried again."""
    left = []
    for event in order:
        try:
            with desk.open_clinic():
                TYPES[event.name](event.told)
        except (Conflict, StripeUnknown):
            left.append(event)
    return left


def test_each_event_is_kept_first_and_answered_without_asking_stripe(desk: Desk) -> None:
    """Whatever order the deliveries come in; the jobs then do the same."""
    session = desk.open(desk.begin(desk.invoice(DUE)))
    for happens in happenings(desk, session, "won"):
        happens()
    ids = [event["id"] for event in desk.fake.events(desk.account_id)]
    asked = len(desk.fake.requests())
    before = books(desk)
    for event_id in ids[::-1] * 2:
        assert deliver(desk.app, desk.fake, event_id) == 200
    assert len(desk.fake.requests()) == asked and books(desk) == before
    job(desk.app)
    assert [(status, paid) for _number, status, paid in books(desk)["invoices"]] == [("paid", DUE)]
    with desk.open_clinic():
        again = books(desk)
        for event_id in ids:
            stripe_events.look_into(event_id)
        assert books(desk) == again


# What is known to go wrong elsewhere


def only(desk: Desk, type_: str) -> None:
    """One event arrives, and no other ever does."""
    (event,) = desk.fake.events(desk.account_id, type_)
    assert deliver(desk.app, desk.fake, event["id"]) == 200
    job(desk.app)


def test_the_first_event_ever_seen_already_carries_a_refund(desk: Desk) -> None:
    invoice = desk.invoice(DUE)
    payment = desk.pay(invoice)
    desk.fake.refund(desk.account_id, desk.intent(payment), PART)
    only(desk, "charge.refunded")
    assert desk.lines() == [("payment", -DUE), ("refund", PART)] and desk.due(invoice) == PART
    assert desk.letters() == ["receipt_waits", "refund_made"]


@pytest.mark.parametrize("type_", ["payment_intent.succeeded", "checkout.session.completed", "charge.succeeded"])
def test_the_intents_id_was_never_kept_and_its_event_arrives(desk: Desk, type_: str) -> None:
    """We were killed after Stripe had acted, or its answer was lost: the row knows neither page nor intent."""
    invoice = desk.invoice(DUE)
    payment = desk.begin(invoice)
    desk.fake.fault("POST /v1/checkout/sessions", "lost", times=2)
    with pytest.raises(StripeUnknown):
        desk.open(payment)
    (session,) = desk.fake.objects("checkout.session", desk.account_id)
    assert desk.payment(payment).checkout_session_id is None
    desk.fake.pay(session["id"])
    only(desk, type_)
    assert desk.status(payment) == "succeeded" and desk.due(invoice) == 0 and desk.problems() == []


# Weaknesses


def test_planted_what_is_over_by_the_time_it_is_seen_is_passed_over(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refund that failed before anybody looked: letters and lines would tell who was faster. And what is old undoes."""
    walk_through = agreement._refund

    def pass_over(ours: Ours, facts: RefundFacts, known: OurRefund | None) -> list[Step]:
        steps, is_entered = walk_through(ours, facts, known), known and known.entry.is_entered
        return steps if is_entered or facts.status != "failed" else [each for each in steps if isinstance(each, NoteRefund)]

    history = debit(desk, monkeypatch, "won")
    with monkeypatch.context() as planted:
        planted.setattr(agreement, "_refund", pass_over)
        with pytest.raises(AssertionError):
            check_orders(history, some_orders(main_of(history), 16, seed=9))
    monkeypatch.setitem(payments.NEXT, PaymentStatus.SUCCEEDED, {PaymentStatus.PROCESSING})
    with pytest.raises((AssertionError, IntegrityError)):
        check_the_old_undoes_nothing(history)


def test_planted_what_a_dispute_was_before_is_not_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then who looked while it was lost has two lines more than who did not."""
    monkeypatch.setattr(stripe_gateway, "with_past", lambda _account_id, dispute: dispute)
    history = debit(desk, monkeypatch, "won after all")
    with pytest.raises(AssertionError):
        check_orders(history, iter([history.events]), since=history.end)
