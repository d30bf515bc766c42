"""What changes a payment holds the patient's account first and then the payment, until it is done.

Lost if it fails: two who give back, enter or end at once both count, or wait for each other. (Raced for real in
tests/attack/test_t10_two_tabs.py and test_t34_refunds_and_minor_units.py, where a lock that is gone is seen only as often as the
race is lost.)
"""

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from clinic import payments
from clinic.money import Money
from clinic.payments import agreeing, charging, problems, refunds
from clinic.payments.problems import ProblemKind
from tests.clinic.test_autopay import announced, pay_by_card_when_due
from tests.clinic.test_locks import locks
from tests.clinic.test_refunds import ask, limit
from tests.paying import ANA, Desk

ACCOUNT, PAYMENT = "patients", "payments"


REFUNDS: dict[str, Callable[[UUID, UUID], object]] = {
    "ask": lambda _refund, payment: refunds.ask(uuid4(), payment, Money(100, "usd"), "Agreed"),
    "confirm": refunds.confirm,
    "withdraw": refunds.withdraw,
}


@pytest.mark.parametrize("verb", REFUNDS)
def test_whoever_decides_about_a_refund_holds_the_account_and_the_payment(desk: Desk, verb: str) -> None:
    payment = desk.paid(desk.invoice(5000))
    limit(desk, 0)
    refund = ask(desk, payment, 2000)
    with desk.staff(ANA), locks() as held:
        REFUNDS[verb](refund, payment)
    assert held == [ACCOUNT, PAYMENT]


def test_what_stripe_says_is_entered_while_both_are_held(desk: Desk) -> None:
    payment = desk.pay(desk.invoice(5000))
    with locks() as held:
        desk.look(payment)
    assert held[:2] == [ACCOUNT, PAYMENT]


def test_what_never_went_back_is_written_while_both_are_held(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(5000))
    refund = ask(desk, payment, 5000)
    with locks() as held:
        refunds._fail(refund, payment, "never_made")
    assert held == [ACCOUNT, PAYMENT]


def test_a_payment_that_is_known_by_its_mark_is_held_like_any_other(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    session = desk.open(payment)
    with desk.staff():
        payments.get(payment).checkout_session_id = None
    with locks() as held:
        payments.look_at_checkout(desk.account_id, session)
    assert held[:2] == [ACCOUNT, PAYMENT] and desk.payment(payment).checkout_session_id == session


def test_a_charge_begins_with_the_account(desk: Desk) -> None:
    pay_by_card_when_due(desk)
    with announced(desk), desk.clinic_transaction():
        (notice,) = charging._due()
        with locks() as held:
            assert charging._begin(notice, desk.account_id)
    assert held == [ACCOUNT]


def test_who_settles_a_problem_holds_it_and_what_is_let_go(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    with desk.staff():
        problems.report(ProblemKind.UNREADABLE, str(payment), payment)
    with desk.staff(), locks() as held:
        problems.settle(problems.still_open()[0].id)
    assert held == ["payment_problems", PAYMENT]


def test_a_look_holds_nobody_up(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    with desk.staff(), locks() as held:
        payments.get(payment)
    assert held == []
    with desk.staff(), locks() as held:
        agreeing.held(payment)
    assert held == [ACCOUNT, PAYMENT]
