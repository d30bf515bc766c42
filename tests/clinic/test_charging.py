"""Carrying out autopay: what is announced and charged, and what is asked again when Stripe's answer was lost.

Lost if it fails: a card is charged twice, against a wish that ended at this very moment, or for another family's invoice.
"""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text

from clinic.account import entering
from clinic.payment_processing import find_present
from clinic.payments import Autopay, AutopayNotice, Payment, SavedCard, autopay, cards, charging, find_account
from clinic.stripe_gateway import line
from tenancy import clock
from tenancy.database import db
from tests import books, inside
from tests.access import recorded
from tests.clinic.test_autopay import announced, charged, choose, endings, pay_by_card_when_due
from tests.paying import Desk, give_billing
from tests.stripe_fake.client import Thing


def let_omar_pay_too(desk: Desk) -> UUID:
    """Omar sees the bills as well, and has a card like Maria's."""
    with desk.staff():
        omar = inside.user("omar@family.example").id
        give_billing(omar, desk.patient_id)
        other = db.session.scalars(select(SavedCard)).one()
        his = {"customer_id": "cus_2", "payment_method_id": "pm_2", "label": "Visa 1111"}
        db.session.add(SavedCard(portal_user_id=omar, account_id=other.account_id, saved_at=clock.now(), **his))
    with desk.family(omar):
        autopay.choose(desk.patient_id, cards.mine()[0].id, find_account())
    return omar


def failures(desk: Desk, portal_user_id: UUID) -> list[int]:
    with desk.clinic_transaction():
        found = select(Autopay.failures).where(Autopay.portal_user_id == portal_user_id, Autopay.ended_at.is_(None))
        return list(db.session.scalars(found))


def asked_for(desk: Desk) -> list[Thing]:
    """The requests that would charge a card."""
    return [each for each in desk.fake.requests("/v1/payment_intents") if each["method"] == "POST"]


# Announcing


def test_several_invoices_are_announced_in_one_letter_and_each_is_charged(desk: Desk) -> None:
    first = pay_by_card_when_due(desk)
    second = desk.invoice(700, due_in=2)
    with announced(desk):
        charging.pay_what_is_due()
    assert sorted(charged(desk)) == [("succeeded", 700), ("succeeded", 5000)] and desk.due(first) == desk.due(second) == 0
    assert desk.letters().count("autopay_announced") == 1
    assert recorded(desk.app, "autopay.announced") == [{"invoices": 2}]


def test_a_clinic_that_takes_no_payments_announces_and_charges_nothing(desk: Desk) -> None:
    """Lost: Stripe restricted the clinic, and its families are told of charges that it must not make."""
    pay_by_card_when_due(desk)
    with desk.staff():
        present = find_present()
        assert present
        present.charges_enabled = False
    with announced(desk):
        charging.pay_what_is_due()
    assert charged(desk) == [] and "autopay_announced" not in desk.letters()


def test_what_was_announced_under_a_wish_that_ended_is_announced_anew(desk: Desk) -> None:
    """Lost: who stopped and began again is charged without notice, or never again."""
    invoice = pay_by_card_when_due(desk)
    omar = let_omar_pay_too(desk)
    charging.pay_what_is_due()
    with desk.family():
        autopay.stop_mine(desk.patient_id)
    charging.pay_what_is_due()
    with desk.clinic_transaction():
        told = db.session.execute(select(Autopay.portal_user_id, AutopayNotice.invoice_id).join_from(AutopayNotice, Autopay, AutopayNotice.autopay_id == Autopay.id))
        assert sorted((who, what) for who, what in told) == sorted([(desk.maria, invoice), (omar, invoice)])
    assert desk.letters().count("autopay_announced") == 2


def test_what_is_due_is_of_wishes_that_stand_alone(desk: Desk) -> None:
    """Another parent's wish stands, and does not carry out the one that was stopped."""
    pay_by_card_when_due(desk)
    let_omar_pay_too(desk)
    with announced(desk):
        with desk.family():
            autopay.stop_mine(desk.patient_id)
        with desk.clinic_transaction():
            assert charging._due() == []
        charging.pay_what_is_due()
    assert charged(desk) == []


def test_each_notice_is_due_once_however_many_wishes_there_are(desk: Desk) -> None:
    pay_by_card_when_due(desk)
    let_omar_pay_too(desk)
    with announced(desk), desk.clinic_transaction():
        assert len(charging._due()) == 1


# At the very moment


def test_who_says_stop_as_the_charge_begins_is_not_charged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the account reads again what was written while it was held."""
    pay_by_card_when_due(desk)
    _while_it_is_waited_for(monkeypatch, "UPDATE autopays SET ended_at = now(), ending = 'stopped'")
    with announced(desk):
        charging.pay_what_is_due()
    assert charged(desk) == [] and endings(desk) == ["stopped"]


def test_what_another_worker_charges_just_now_is_not_charged_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = pay_by_card_when_due(desk)
    _while_it_is_waited_for(monkeypatch, "UPDATE autopay_notices SET payment_id = (SELECT id FROM payments LIMIT 1)")
    with announced(desk):
        charging.pay_what_is_due()
    assert charged(desk) == [] and desk.due(invoice) == 5000


def _while_it_is_waited_for(monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """Somebody else does this, and is done as soon as the account is ours."""
    lock = entering.lock

    def lock_after_another(patient_id: UUID) -> None:
        db.session.execute(text(statement))
        lock(patient_id)

    monkeypatch.setattr(charging.account, "lock", lock_after_another)


# Stripe's answer


def test_a_card_that_stripe_does_not_know_any_more_is_a_failure_that_is_told(desk: Desk) -> None:
    """Removed in Stripe's dashboard: there was not even an attempt."""
    invoice = pay_by_card_when_due(desk)
    (method,) = desk.fake.objects("payment_method", desk.account_id)
    line.post(f"/v1/payment_methods/{method['id']}/detach", of=desk.account_id)
    with announced(desk):
        charging.pay_what_is_due()
    assert charged(desk) == [("failed", 5000)] and desk.due(invoice) == 5000 and failures(desk, desk.maria) == [1]
    assert desk.letters()[-2:] == ["payment_failed", "autopay_announced"]
    assert desk.events("payment.")[-1] == "payment.failed"


def test_a_failure_is_nobody_elses(desk: Desk) -> None:
    """Lost: one parent's card is declined, and the other's is not charged any more."""
    pay_by_card_when_due(desk)
    omar = let_omar_pay_too(desk)
    (method,) = desk.fake.objects("payment_method", desk.account_id)
    desk.fake.card_later(method["id"], "insufficient_funds")
    with announced(desk):
        charging.pay_what_is_due()
    assert charged(desk) == [("failed", 5000)] and (failures(desk, desk.maria), failures(desk, omar)) == ([1], [0])


def test_an_answer_that_was_lost_is_asked_for_again_as_long_as_that_is_the_same_charge(still: None, desk: Desk) -> None:
    """Not while the first who asked may still be waiting, and not when Stripe may have forgotten: that would charge twice."""
    pay_by_card_when_due(desk)
    desk.begin(desk.invoice(300))  # on a page: it is nobody's to charge
    with announced(desk):
        desk.fake.fault("POST /v1/payment_intents", "500", times=None)
        charging.pay_what_is_due()
        (begun,) = by_autopay(desk)
        assert begun.next_look_at > begun.started_at
        for minutes, is_asked in ((2, False), (3, True), (23 * 60 - 1, True), (23 * 60, False), (24 * 60, False)):
            before = len(asked_for(desk))
            with clock.moved(timedelta(minutes=minutes)):
                charging.ask_again()
            assert (len(asked_for(desk)) > before) == is_asked, minutes
    assert {each["idempotency_key"] for each in asked_for(desk)} == {f"payment-{begun.id}"}


def by_autopay(desk: Desk) -> list[Payment]:
    with desk.clinic_transaction():
        return list(db.session.scalars(select(Payment).where(Payment.way == "autopay")))


def test_a_bill_for_another_family_is_not_charged_to_this_card(desk: Desk) -> None:
    mine = pay_by_card_when_due(desk)
    with desk.staff():
        other = books.invoice(books.newcomer(), 900, due_in=3)
    with announced(desk):
        charging.pay_what_is_due()
    assert charged(desk) == [("succeeded", 5000)] and (desk.due(mine), desk.due(other)) == (0, 900)


def test_who_has_chosen_nothing_is_charged_nothing(desk: Desk) -> None:
    desk.paid(desk.invoice(1000), saves_card=True)
    desk.invoice(5000, due_in=3)
    with announced(desk):
        charging.pay_what_is_due()
    assert charged(desk) == [] and desk.letters() == ["receipt_waits"]
    choose(desk)
    with announced(desk):
        charging.pay_what_is_due()
    assert charged(desk) == [("succeeded", 5000)]
