"""Saved cards, and invoices that are paid with one when they are due.

Lost if it fails: a card is charged that nobody offered, unannounced, twice, or after its owner said stop.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from clinic import portal_users
from clinic.payments import Autopay, Payment, SavedCard, autopay, cards, charging, find_account
from tenancy import clock
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tests import inside
from tests.paying import ANA, Desk, give_billing, use_account

TODAY = date(2030, 5, 20)


@contextmanager
def at(desk: Desk, day: date, hour: int = 12) -> Iterator[None]:
    """At this hour of this day where the clinic is."""
    then = datetime.combine(day, time(hour), ZoneInfo(desk.clinic.time_zone))
    with clock.moved(then - clock.now()):
        yield


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """Maria saved a card as she paid."""
    desk.paid(desk.invoice(1000), saves_card=True)
    return desk


def card(desk: Desk) -> UUID:
    with desk.family():
        return cards.mine()[0].id


def choose(desk: Desk) -> None:
    with desk.family():
        autopay.choose(desk.patient_id, cards.mine()[0].id, find_account())


def run(desk: Desk, day: date, hour: int = 12) -> None:
    with at(desk, day, hour):
        charging.pay_what_is_due()


def endings(desk: Desk) -> list[str | None]:
    with desk.clinic_transaction():
        return list(db.session.scalars(select(Autopay.ending).order_by(Autopay.begun_at)))


def charged(desk: Desk) -> list[tuple[str, int]]:
    with desk.clinic_transaction():
        rows = db.session.execute(select(Payment.status, Payment.amount_minor).where(Payment.way == "autopay").order_by(Payment.started_at))
        return [(status, minor) for status, minor in rows]


def pay_by_card_when_due(desk: Desk) -> UUID:
    """Maria saves a card as she pays, and has what comes paid with it; an invoice that is due in three days."""
    desk.paid(desk.invoice(1000), saves_card=True)
    choose(desk)
    return desk.invoice(5000, due_in=3)


@contextmanager
def announced(desk: Desk) -> Iterator[None]:
    """What is due in three days is announced now; in the block it is noon of that day, at Stripe too."""
    charging.pay_what_is_due()
    before = clock.now()
    with at(desk, clock.today(desk.clinic.time_zone) + timedelta(days=3)):
        desk.fake.advance(int((clock.now() - before).total_seconds()))
        yield


def due_later(desk: Desk, day: date = TODAY, minor: int = 5000) -> UUID:
    return desk.invoice(minor, due_on=day)


# Cards


def test_a_card_is_saved_where_the_payer_asks_for_it_and_known_again(desk: Desk) -> None:
    with desk.family():
        (saved,) = cards.mine()
        assert saved.label == "Visa 4242" and saved.expires_on == date(2034, 12, 31) and not saved.has_expired
    desk.paid(desk.invoice(2000))
    with desk.family():
        assert len(cards.mine()) == 1
    again = desk.begin(desk.invoice(3000))
    desk.fake.pay(desk.open(again), "saved")  # the page offers it
    desk.look(again)
    assert desk.status(again) == "succeeded"


def test_a_card_belongs_to_whoever_saved_it(desk: Desk) -> None:
    mine = card(desk)
    with desk.staff():
        omar = inside.user("omar@family.example").id
        give_billing(omar, desk.patient_id)
    with desk.family(omar):
        assert cards.mine() == []
        with pytest.raises(NotFound):
            cards.remove(mine)
        with pytest.raises(NotFound):
            autopay.choose(desk.patient_id, mine, find_account())


def test_a_removed_card_is_forgotten_by_stripe_too_and_nothing_is_paid_with_it(desk: Desk) -> None:
    choose(desk)
    mine = card(desk)
    with desk.family():
        cards.remove(mine)
        assert cards.mine() == []
    with pytest.raises(NotFound), desk.family():
        cards.remove(mine)
    (job,) = inside.waiting_jobs(desk.app, cards.DETACH)
    cards.detach(job["card_id"])
    cards.detach(job["card_id"])
    assert [each["customer"] for each in desk.fake.objects("payment_method", desk.account_id)] == [None]
    assert endings(desk) == ["card_removed"]


# Charging


def test_an_invoice_is_announced_and_charged_on_the_day_it_is_due(desk: Desk) -> None:
    choose(desk)
    invoice = due_later(desk)
    run(desk, TODAY - timedelta(days=4))
    assert desk.letters() == ["receipt_waits"]
    run(desk, TODAY - timedelta(days=3))
    run(desk, TODAY - timedelta(days=3), 13)
    run(desk, TODAY - timedelta(days=1))
    assert desk.letters() == ["receipt_waits", "autopay_announced"] and charged(desk) == []
    run(desk, TODAY, 7)
    assert charged(desk) == []  # nobody is charged at night
    run(desk, TODAY, 8)
    assert charged(desk) == [("succeeded", 5000)] and desk.due(invoice) == 0
    run(desk, TODAY, 9)
    assert charged(desk) == [("succeeded", 5000)]
    assert desk.letters() == ["receipt_waits", "autopay_announced", "receipt_waits"]
    assert desk.events("autopay.") == ["autopay.begun", "autopay.announced"]
    assert desk.events("payment.")[-4:] == ["payment.begun", "payment.entered", "payment.allocated", "payment.succeeded"]


def test_what_is_overdue_already_is_announced_all_the_same(desk: Desk) -> None:
    choose(desk)
    invoice = due_later(desk, TODAY - timedelta(days=40))
    run(desk, TODAY)
    run(desk, TODAY + timedelta(days=2))
    assert desk.due(invoice) == 5000
    run(desk, TODAY + timedelta(days=3))
    assert desk.due(invoice) == 0


def test_what_was_paid_otherwise_is_not_charged(desk: Desk) -> None:
    choose(desk)
    invoice = due_later(desk)
    run(desk, TODAY - timedelta(days=3))
    desk.paid(invoice)
    run(desk, TODAY)
    assert charged(desk) == []


def test_what_somebody_pays_just_now_is_not_charged_and_nothing_is_left_behind(desk: Desk) -> None:
    choose(desk)
    invoice = due_later(desk)
    run(desk, TODAY - timedelta(days=3))
    desk.begin(invoice)
    run(desk, TODAY)
    assert charged(desk) == []


def test_two_parents_who_both_asked_are_not_both_charged(desk: Desk) -> None:
    choose(desk)
    with desk.staff():
        omar = inside.user("omar@family.example").id
        give_billing(omar, desk.patient_id)
        other = db.session.scalars(select(SavedCard)).one()
        copied = SavedCard(portal_user_id=omar, account_id=other.account_id, customer_id="cus_2", payment_method_id="pm_2", label="Visa 1", saved_at=clock.now())
        db.session.add(copied)
    with desk.family(omar):
        autopay.choose(desk.patient_id, cards.mine()[0].id, find_account())
    invoice = due_later(desk)
    run(desk, TODAY - timedelta(days=3))
    run(desk, TODAY)
    assert charged(desk) == [("succeeded", 5000)] and desk.due(invoice) == 0
    assert desk.letters().count("autopay_announced") == 1


# Stopping


def test_who_says_stop_is_not_charged(desk: Desk) -> None:
    choose(desk)
    invoice = due_later(desk)
    run(desk, TODAY - timedelta(days=3))
    with desk.family():
        autopay.stop_mine(desk.patient_id)
        assert autopay.mine()[desk.patient_id].ending == "stopped"
    run(desk, TODAY)
    assert desk.due(invoice) == 5000 and charged(desk) == []


def test_who_does_not_see_the_bills_any_more_is_not_charged(desk: Desk) -> None:
    choose(desk)
    due_later(desk)
    run(desk, TODAY - timedelta(days=3))
    with desk.staff(ANA):
        (access,) = [each for each in portal_users.access_of(desk.maria) if each.patient_id == desk.patient_id]
        portal_users.unlink(access.id)
    run(desk, TODAY)
    assert charged(desk) == [] and endings(desk) == ["unlinked"] and desk.letters()[-1] == "autopay_stopped"


def test_a_dispute_stops_it(desk: Desk) -> None:
    choose(desk)
    with desk.clinic_transaction():
        payment = db.session.scalars(select(Payment.id)).one()
    desk.fake.dispute(desk.intent(payment))
    desk.look(payment)
    assert endings(desk) == ["disputed"] and "autopay_stopped" in desk.letters()


def test_two_failures_in_a_row_stop_it(desk: Desk) -> None:
    """The first is told and announced once more; after the second nothing is charged."""
    choose(desk)
    invoice = due_later(desk)
    (method,) = desk.fake.objects("payment_method", desk.account_id)
    desk.fake.card_later(method["id"], "insufficient_funds")
    run(desk, TODAY - timedelta(days=3))
    run(desk, TODAY)
    assert charged(desk) == [("failed", 5000)] and endings(desk) == [None]
    assert desk.letters()[-2:] == ["payment_failed", "autopay_announced"]
    run(desk, TODAY + timedelta(days=2))
    assert len(charged(desk)) == 1
    run(desk, TODAY + timedelta(days=3))
    assert [status for status, _minor in charged(desk)] == ["failed", "failed"] and endings(desk) == ["failed_twice"]
    assert desk.letters()[-2:] == ["payment_failed", "autopay_stopped"]
    run(desk, TODAY + timedelta(days=9))
    assert len(charged(desk)) == 2 and desk.due(invoice) == 5000


def test_a_success_between_forgets_the_failure(desk: Desk) -> None:
    choose(desk)
    due_later(desk)
    (method,) = desk.fake.objects("payment_method", desk.account_id)
    desk.fake.card_later(method["id"], "authentication_required")
    run(desk, TODAY - timedelta(days=3))
    run(desk, TODAY)
    desk.fake.card_later(method["id"], "succeeds")
    run(desk, TODAY + timedelta(days=3))
    with desk.clinic_transaction():
        assert db.session.scalars(select(Autopay.failures)).one() == 0
    assert [status for status, _minor in charged(desk)] == ["failed", "succeeded"]


def test_an_answer_that_was_lost_is_asked_for_again_and_charges_once(desk: Desk) -> None:
    choose(desk)
    invoice = due_later(desk)
    run(desk, TODAY - timedelta(days=3))
    desk.fake.fault("POST /v1/payment_intents", "lost", times=None)
    run(desk, TODAY)
    assert charged(desk) == [("starting", 5000)] and desk.due(invoice) == 5000
    desk.fake.clear_faults()
    run(desk, TODAY, 13)
    assert charged(desk) == [("succeeded", 5000)] and desk.due(invoice) == 0
    assert len(desk.fake.objects("payment_intent", desk.account_id)) == 2  # with the one that saved the card


def test_a_card_of_a_former_account_is_not_charged(desk: Desk) -> None:
    choose(desk)
    due_later(desk)
    with desk.staff():
        use_account(desk.fake.account())
    run(desk, TODAY - timedelta(days=3))
    run(desk, TODAY)
    assert charged(desk) == [] and endings(desk) == ["card_removed"]
    with pytest.raises(Refused), desk.family():
        autopay.choose(desk.patient_id, cards.mine()[0].id, find_account())
