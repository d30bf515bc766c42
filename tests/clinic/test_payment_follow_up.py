"""What is looked at again although nobody says anything, and pages on which nobody may pay any more.

Lost if it fails: with one event lost a family's payment is never seen; or somebody pays for a patient whom they may not see,
or what was paid at the desk meanwhile.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from clinic import payments, portal_users
from clinic.payments import follow_up
from clinic.payments.follow_up import LOOK
from tenancy import clock
from tests import inside
from tests.clinic.test_autopay import choose, endings
from tests.clinic.test_payment_entering import take_cash
from tests.paying import ANA, Desk


def opened(desk: Desk, minor: int = 5000) -> tuple[UUID, UUID]:
    """Invoice and payment; Maria stands on Stripe's page."""
    invoice = desk.invoice(minor)
    payment = desk.begin(invoice)
    desk.open(payment)
    return invoice, payment


def unlink_maria(desk: Desk) -> None:
    with desk.staff(ANA):
        (access,) = [each for each in portal_users.access_of(desk.maria) if each.patient_id == desk.patient_id]
        portal_users.unlink(access.id)


def asked(desk: Desk) -> int:
    return len(desk.fake.requests())


# Looking


def test_whoever_knows_of_something_has_it_looked_at_soon(desk: Desk) -> None:
    payment = desk.pay(desk.invoice(5000))
    with desk.staff():
        follow_up.look_soon(payment)
    (job,) = inside.waiting_jobs(desk.app, LOOK)
    follow_up.look(job["payment_id"])
    assert desk.status(payment) == "succeeded"


def test_what_is_looked_at_by_one_worker_is_left_by_the_next(desk: Desk) -> None:
    """Lost: a Stripe that does not answer is asked for the same payment each minute, by every worker."""
    _invoice, payment = opened(desk)
    desk.fake.fault("GET *", "500", times=None)
    with clock.moved(timedelta(minutes=10)):
        follow_up.look_again()
        before = asked(desk)
        follow_up.look_again()
        assert asked(desk) == before and before
    desk.fake.clear_faults()
    desk.look_again(minutes=21)
    assert asked(desk) > before and desk.status(payment) == "open"


def test_a_look_says_whether_it_brought_anything(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The reconciliation counts what was put right."""
    payment = desk.pay(desk.invoice(5000))
    desk.fake.fault("GET *", "500", times=None)
    assert follow_up.try_to_look(payment) is False
    desk.fake.clear_faults()
    assert follow_up.try_to_look(payment) is True and follow_up.try_to_look(payment) is False
    desk.fake.deauthorise(desk.account_id)
    assert follow_up.try_to_look(payment) is True and follow_up.try_to_look(payment) is False
    assert desk.problems() == ["unreadable"]
    assert f"Payment {payment} waits" in caplog.text and f"does not show payment {payment}" in caplog.text


# Ending


def test_an_open_page_is_ended_once_and_a_finished_payment_never(desk: Desk) -> None:
    _invoice, payment = opened(desk)
    assert follow_up.end_checkout(payment) is True
    assert desk.payment(payment).ended_at and desk.events("payment.") == ["payment.begun", "payment.ended"]
    before = asked(desk)
    assert follow_up.end_checkout(payment) is False and asked(desk) == before
    debit = desk.paid(desk.invoice(700), how="bank_debit")
    before = asked(desk)
    assert follow_up.end_checkout(debit) is False and asked(desk) == before and desk.status(debit) == "processing"


def test_a_payment_that_never_had_a_page_is_called_off_without_asking(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    before = asked(desk)
    assert follow_up.end_checkout(payment) is True and asked(desk) == before and desk.status(payment) == "ended"


def test_before_an_invoice_is_voided_its_pages_end_and_no_others(desk: Desk) -> None:
    invoice, payment = opened(desk)
    _other_invoice, other = opened(desk, 700)
    follow_up.end_checkouts_of(invoice)
    assert (desk.status(payment), desk.status(other)) == ("ended", "open")
    assert desk.begin(invoice)


def test_who_may_not_pay_any_more_has_no_page_and_no_autopay(desk: Desk) -> None:
    """At once, and not with the next charge."""
    desk.paid(desk.invoice(1000), saves_card=True)
    choose(desk)
    _invoice, payment = opened(desk)
    unlink_maria(desk)
    follow_up.end_checkouts()
    assert desk.status(payment) == "ended" and endings(desk) == ["unlinked"] and desk.letters()[-1] == "autopay_stopped"


def test_pages_on_which_everything_is_still_owed_stay(desk: Desk) -> None:
    """Also one on which a part is paid, as long as that much is owed."""
    desk.allow_partial()
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice, amount=2000)
    desk.open(payment)
    take_cash(desk, invoice, 3000)
    follow_up.end_checkouts()
    assert desk.status(payment) == "open"
    take_cash(desk, invoice, 1)
    follow_up.end_checkouts()
    assert desk.status(payment) == "ended"


def test_a_stripe_that_is_down_keeps_pages_open_and_everything_else_going(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A page of which Stripe does not say that it is over may still be paid on: it is not called ended."""
    invoice, payment = opened(desk)
    take_cash(desk, invoice, 5000)
    desk.fake.down()
    follow_up.look_again()
    assert desk.status(payment) == "open" and "checkouts wait" in caplog.text
    desk.fake.clear_faults()
    with clock.moved(timedelta(minutes=1)):
        follow_up.look_again()
    assert desk.status(payment) == "ended"


def test_a_charge_that_is_on_its_way_is_no_page_that_could_be_ended(desk: Desk) -> None:
    """Lost: a card that may have been charged is called off because the bill was paid meanwhile."""
    desk.paid(desk.invoice(1000), saves_card=True)
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    with desk.staff():
        begun = payments.get(payment)
        begun.way = "autopay"
    take_cash(desk, invoice, 5000)
    follow_up.end_checkouts()
    assert desk.status(payment) == "starting"
