"""Money that goes back: refunds by staff and in Stripe's own dashboard, and disputes.

Lost if it fails: money is given back twice or never, more than was paid, or the books say otherwise than the bank.
"""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from clinic import billing_settings
from clinic.money import Money
from clinic.payments import Dispute, Refund, refunds
from clinic.stripe_gateway import StripeUnknown
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tests.paying import ANA, BEN, Desk


def ask(desk: Desk, payment: UUID, minor: int, *, refund_id: UUID | None = None, email: str = BEN, reason: str = "Agreed") -> UUID:
    with desk.staff(email):
        return refunds.ask(refund_id or uuid4(), payment, Money(minor, "usd"), reason).id


def give_back(desk: Desk, payment: UUID, minor: int) -> str:
    return refunds.send(ask(desk, payment, minor), payment)


def statuses(desk: Desk) -> list[str]:
    with desk.clinic_transaction():
        return list(db.session.scalars(select(Refund.status).order_by(Refund.asked_at, Refund.id)))


def test_a_part_is_given_back_and_then_the_rest(desk: Desk) -> None:
    """What paid an invoice makes it owed again; the payer is told each time."""
    invoice = desk.invoice(12000)
    payment = desk.paid(invoice)
    assert give_back(desk, payment, 2000) == "succeeded"
    assert desk.lines() == [("payment", -12000), ("refund", 2000)] and desk.due(invoice) == 2000
    assert give_back(desk, payment, 10000) == "succeeded"
    assert desk.due(invoice) == 12000 and desk.balance() == 12000 and desk.credit(payment) == 0
    assert desk.letters() == ["receipt_waits", "refund_made", "refund_made"]
    assert desk.fake.balance(desk.account_id) == {"usd": 0}
    with pytest.raises(Refused, match="more than is left"):
        ask(desk, payment, 1)


def test_credit_goes_back_before_an_invoice_is_owed_again(desk: Desk) -> None:
    invoice = desk.invoice(3000)
    payment = desk.paid(amount=5000)
    give_back(desk, payment, 2000)
    assert desk.due(invoice) == 0 and desk.credit(payment) == 0
    give_back(desk, payment, 500)
    assert desk.due(invoice) == 500


@pytest.mark.parametrize("minor", [0, -1, 12001])
def test_nothing_and_more_than_was_paid_is_refused(desk: Desk, minor: int) -> None:
    payment = desk.paid(desk.invoice(12000))
    with pytest.raises(Refused):
        ask(desk, payment, minor)


def test_a_reason_is_asked_for_and_only_what_arrived_goes_back(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    with pytest.raises(Refused, match="why"):
        ask(desk, payment, 100, reason=" ")
    with pytest.raises(Refused, match="another|zero"), desk.staff():
        refunds.ask(uuid4(), payment, Money(100, "jpy"), "Agreed")
    debit = desk.paid(desk.invoice(5000), how="bank_debit")
    with pytest.raises(Refused, match="arrived"):
        ask(desk, debit, 100)
    with pytest.raises(NotFound):
        ask(desk, uuid4(), 100)


def test_two_at_once_and_one_in_the_dashboard_are_never_more_than_was_paid(desk: Desk) -> None:
    """The dashboard was faster: Stripe refuses ours, which fails and enters nothing."""
    payment = desk.paid(desk.invoice(12000))
    first = ask(desk, payment, 7000)
    with pytest.raises(Refused, match="more than is left"):
        ask(desk, payment, 7000)
    second = ask(desk, payment, 5000)
    desk.fake.refund(desk.account_id, desk.intent(payment), 4000)
    assert refunds.send(first, payment) == "succeeded"
    assert refunds.send(second, payment) == "failed"
    assert desk.balance() == 11000 and desk.fake.balance(desk.account_id) == {"usd": 1000}
    assert sorted(desk.lines()) == [("payment", -12000), ("refund", 4000), ("refund", 7000)]


@pytest.mark.parametrize("how", ["lost", "truncated", "500_after"])
def test_an_answer_that_was_lost_gives_nothing_back_twice(desk: Desk, how: str) -> None:
    """Same key, no second refund; the job of each minute finds what became of it."""
    payment = desk.paid(desk.invoice(12000))
    refund = ask(desk, payment, 2000)
    desk.fake.fault("POST /v1/refunds", how, times=None)
    with pytest.raises(StripeUnknown):
        refunds.send(refund, payment)
    desk.fake.clear_faults()
    assert statuses(desk) == ["asked"]
    desk.look_again(minutes=10)
    assert statuses(desk) == ["succeeded"] and desk.balance() == 2000
    assert len(desk.fake.objects("refund", desk.account_id)) == 1


def test_the_same_form_sent_twice_is_one_refund(desk: Desk) -> None:
    payment, form = desk.paid(desk.invoice(12000)), uuid4()
    assert ask(desk, payment, 2000, refund_id=form) == ask(desk, payment, 2000, refund_id=form)
    refunds.send(form, payment)
    refunds.send(form, payment)
    assert len(desk.fake.objects("refund", desk.account_id)) == 1 and desk.balance() == 2000


def test_stripe_is_not_asked_again_when_it_may_have_forgotten_the_key(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    refund = ask(desk, payment, 2000)
    with clock.moved(timedelta(hours=25)):
        assert refunds.send(refund, payment) == "failed"
    assert desk.fake.objects("refund", desk.account_id) == [] and desk.balance() == 0


def test_a_refund_made_in_the_dashboard_is_entered_as_nobodys(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    desk.fake.refund(desk.account_id, desk.intent(payment), 3000)
    desk.look(payment)
    assert desk.balance() == 3000 and desk.letters() == ["receipt_waits", "refund_made"]


def test_the_first_thing_ever_seen_already_carries_a_refund(desk: Desk) -> None:
    invoice = desk.invoice(12000)
    payment = desk.pay(invoice)
    desk.fake.refund(desk.account_id, desk.intent(payment), 3000)
    desk.look(payment)
    assert desk.lines() == [("payment", -12000), ("refund", 3000)] and desk.due(invoice) == 3000
    assert desk.letters() == ["receipt_waits", "refund_made"]


@pytest.mark.parametrize("is_seen_between", [True, False])
def test_a_refund_that_fails_late_puts_the_money_back(desk: Desk, is_seen_between: bool) -> None:
    """The invoice is paid again, the clinic is told; the same whether or not it was seen before it failed."""
    invoice = desk.invoice(12000)
    payment = desk.paid(invoice)
    made = desk.fake.refund(desk.account_id, desk.intent(payment), 3000)
    if is_seen_between:
        desk.look(payment)
        assert desk.due(invoice) == 3000
    desk.fake.fail_refund(made["id"])
    desk.look(payment)
    assert desk.lines() == [("payment", -12000), ("refund", 3000), ("refund", -3000)]
    assert desk.due(invoice) == 0 and desk.balance() == 0 and desk.problems() == ["refund_failed"]
    assert sorted(desk.letters()) == ["payment_problem_found"] * 2 + ["receipt_waits", "refund_made"]
    assert not desk.look(payment)


# A second person


def limit(desk: Desk, minor: int) -> None:
    with desk.staff():
        billing_settings.get().refund_limit_minor = minor


def test_above_the_limit_somebody_else_confirms(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    limit(desk, 5000)
    refund = ask(desk, payment, 6000)
    assert refunds.send(refund, payment) == "unconfirmed" and desk.fake.objects("refund", desk.account_id) == []
    with pytest.raises(Refused, match="Somebody else"), desk.staff(BEN):
        refunds.confirm(refund, payment)
    with desk.clinic_transaction():
        assert [each.id for each in refunds.unconfirmed()] == [refund]
    with desk.staff(ANA):
        refunds.confirm(refund, payment)
    assert refunds.send(refund, payment) == "succeeded" and desk.balance() == 6000
    with pytest.raises(Conflict), desk.staff(ANA):
        refunds.confirm(refund, payment)


def test_several_below_the_limit_are_added_up(desk: Desk) -> None:
    """Lost: one person alone gives back any amount in small parts."""
    payment = desk.paid(desk.invoice(12000))
    limit(desk, 5000)
    assert give_back(desk, payment, 3000) == "succeeded"
    assert give_back(desk, payment, 2000) == "succeeded"
    assert give_back(desk, payment, 1) == "unconfirmed"


def test_what_is_withdrawn_was_never_made(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    limit(desk, 0)
    refund = ask(desk, payment, 6000)
    with desk.staff():
        refunds.withdraw(refund, payment)
    assert refunds.send(refund, payment) == "withdrawn" and desk.balance() == 0
    assert ask(desk, payment, 12000)


# Disputes


def disputes(desk: Desk) -> list[str]:
    with desk.clinic_transaction():
        return list(db.session.scalars(select(Dispute.status)))


def test_an_inquiry_holds_nothing_and_is_told(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    inquiry = desk.fake.inquire(desk.intent(payment))
    desk.look(payment)
    assert disputes(desk) == ["inquiry"] and desk.balance() == 0
    assert desk.letters() == ["receipt_waits", "dispute_opened", "dispute_opened"]
    desk.fake.close_dispute(inquiry["id"], "warning_closed")
    desk.look(payment)
    assert disputes(desk) == ["inquiry_closed"] and desk.balance() == 0 and len(desk.letters()) == 3


@pytest.mark.parametrize(("how", "balance"), [("lost", 12000), ("won", 0)])
@pytest.mark.parametrize("is_seen_between", [True, False])
def test_an_open_dispute_leaves_the_balance_and_only_a_lost_one_takes_it(
    desk: Desk, how: str, balance: int, is_seen_between: bool
) -> None:
    invoice = desk.invoice(12000)
    payment = desk.paid(invoice)
    dispute = desk.fake.dispute(desk.intent(payment))
    if is_seen_between:
        desk.look(payment)
        assert disputes(desk) == ["open"] and desk.balance() == 0 and desk.due(invoice) == 0
        with pytest.raises(Refused, match="disputes"):
            ask(desk, payment, 100)
    desk.fake.close_dispute(dispute["id"], how)
    desk.look(payment)
    assert disputes(desk) == [how] and (desk.balance(), desk.due(invoice)) == (balance, balance)
    assert desk.letters() == ["receipt_waits", "dispute_opened", "dispute_opened"]
    assert desk.events("dispute.") == ["dispute.opened", "dispute.closed"]
    assert desk.fake.balance(desk.account_id) == {"usd": 12000 - balance}
    assert not desk.look(payment)


def test_an_inquiry_that_becomes_a_dispute_is_told_again(desk: Desk) -> None:
    """There are days for an answer, and they begin anew."""
    payment = desk.paid(desk.invoice(12000))
    desk.fake.inquire(desk.intent(payment))
    desk.look(payment)
    desk.fake.dispute(desk.intent(payment))
    desk.look(payment)
    assert disputes(desk) == ["open"] and desk.letters().count("dispute_opened") == 4


def test_what_was_refunded_and_is_charged_back_too_takes_no_more_than_there_is_from_invoices(desk: Desk) -> None:
    invoice = desk.invoice(12000)
    payment = desk.paid(invoice)
    give_back(desk, payment, 5000)
    dispute = desk.fake.dispute(desk.intent(payment))
    desk.fake.close_dispute(dispute["id"], "lost")
    desk.look(payment)
    assert desk.due(invoice) == 12000 and desk.balance() == 17000
    assert desk.fake.balance(desk.account_id) == {"usd": -5000}


def test_another_payments_refund_is_not_this_ones(desk: Desk) -> None:
    one, other = desk.paid(desk.invoice(5000)), desk.paid(desk.invoice(5000))
    refund = ask(desk, one, 100)
    with pytest.raises(NotFound), desk.staff(ANA):
        refunds.confirm(refund, other)
