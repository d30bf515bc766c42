"""The books compared with Stripe's lists.

Lost if it fails: what no event told stays wrong for good, or the clinic is told of the same thing every hour.
"""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from flask import Flask

from clinic import demo, payments, reconciliation, stripe_gateway
from clinic.money import Money
from clinic.payments import problems, refunds
from clinic.reconciliation import Outcome
from clinic.stripe_gateway import CheckoutOrder, StripeUnknown, line
from tenancy import clock
from tests.access import recorded
from tests.paying import BACK, Desk, at_elm, use_account
from tests.stripe_fake.client import StripeFake


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is looked at as if it had just begun."""
    monkeypatch.setattr(reconciliation, "JUST_BEGUN", timedelta(0))


def run() -> Outcome:
    return reconciliation.reconcile()


def settled() -> None:
    """A second run finds nothing to do and nothing to tell."""
    again = run()
    assert (again.corrected, again.told, again.is_complete) == (0, 0, True)


def test_a_whole_history_without_any_event(desk: Desk) -> None:
    """Paid by card and by bank, refunded here and in the dashboard, failed late, disputed and lost and won."""
    paid, debit, lost, won, bounced = (desk.invoice(10000) for _ in range(5))
    ids = [desk.pay(paid), desk.pay(debit, how="bank_debit"), desk.pay(lost), desk.pay(won), desk.pay(bounced)]
    intents = [desk.intent(each) for each in ids]
    desk.fake.refund(desk.account_id, intents[0], 1000)
    desk.fake.settle(intents[1])
    for intent, how in ((intents[2], "lost"), (intents[3], "won")):
        desk.fake.close_dispute(desk.fake.dispute(intent)["id"], how)
    desk.fake.fail_refund(desk.fake.refund(desk.account_id, intents[4], 4000)["id"])
    first = run()
    assert first.corrected >= 5 and first.is_complete
    assert [desk.due(each) for each in (paid, debit, lost, won, bounced)] == [1000, 0, 10000, 0, 0]
    assert desk.balance() == 11000 and desk.fake.balance(desk.account_id) == {"usd": 50000 - 11000}
    assert desk.problems() == ["refund_failed"] and first.told == 1
    settled()


def test_what_changes_after_a_run_is_found_by_the_next(desk: Desk) -> None:
    """Late: a refund that was seen fails, an inquiry becomes a dispute, a dispute is lost."""
    invoice = desk.invoice(10000)
    payment = desk.pay(invoice)
    run()
    refund = desk.fake.refund(desk.account_id, desk.intent(payment), 4000)
    run()
    assert desk.due(invoice) == 4000
    desk.fake.fail_refund(refund["id"])
    run()
    assert desk.due(invoice) == 0
    desk.fake.inquire(desk.intent(payment))
    run()
    dispute = desk.fake.dispute(desk.intent(payment))
    run()
    desk.fake.close_dispute(dispute["id"], "lost")
    run()
    assert desk.due(invoice) == 10000 and desk.fake.balance(desk.account_id) == {"usd": 0}
    settled()


def test_what_was_begun_and_whose_answer_was_lost(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    with desk.clinic_transaction():
        order = payments.order_of(payments.get(payment), BACK, BACK)
    desk.fake.pay(stripe_gateway.open_checkout(order).id)
    run()
    assert desk.status(payment) == "succeeded"
    settled()


def test_a_refund_whose_call_was_lost(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(5000))
    with desk.staff():
        refund = refunds.ask(uuid4(), payment, Money(1000, "usd"), "Agreed").id
    desk.fake.fault("POST /v1/refunds", "lost", times=None)
    with pytest.raises(StripeUnknown):
        refunds.send(refund, payment)
    desk.fake.clear_faults()
    run()
    assert desk.balance() == 1000
    settled()


def test_our_mark_on_money_that_is_not_ours_is_told_once(desk: Desk) -> None:
    """Another amount under a payment's mark, and a mark that nothing has."""
    payment = desk.begin(desk.invoice(5000))
    for named, minor in ((payment, 700), (uuid4(), 800)):
        order = CheckoutOrder(named, desk.account_id, Money(minor, "usd"), "Elm", BACK, BACK, None, False, later())
        desk.fake.pay(stripe_gateway.open_checkout(order).id)
    assert run().told == 2 and desk.problems() == ["unknown", "unknown"]
    assert desk.lines() == []
    settled()
    with desk.staff():
        for each in problems.still_open():
            problems.settle(each.id)
    settled()
    assert run().still_open == 0


def later() -> datetime:
    return clock.now() + timedelta(hours=1)




def test_what_the_clinic_takes_without_us_is_none_of_ours(desk: Desk) -> None:
    """Its account may have other uses; they are nobody's problem here."""
    price = {"currency": "usd", "unit_amount": 900, "product_data": {"name": "A book"}}
    asked = {"mode": "payment", "success_url": BACK, "line_items": [{"quantity": 1, "price_data": price}]}
    session = line.post("/v1/checkout/sessions", asked, of=desk.account_id)
    desk.fake.pay(session["id"])
    assert run().told == 0
    (intent,) = desk.fake.objects("payment_intent", desk.account_id)
    assert payments.look_at_intent(desk.account_id, intent["id"]) is None and desk.problems() == []


def test_a_payment_on_the_account_that_stripe_lacks_is_told(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(5000))
    with desk.staff():
        payments.get(payment).payment_intent_id = "pi_of_nobody"
    assert run().told >= 1 and "missing" in desk.problems()
    settled()


def test_payments_on_a_former_account_are_compared_too(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    desk.pay(invoice)
    with desk.staff():
        use_account(desk.fake.account())
    run()
    assert desk.due(invoice) == 0


def test_a_stripe_that_does_not_answer_is_said_and_changes_nothing(desk: Desk) -> None:
    payment = desk.pay(desk.invoice(5000))
    desk.fake.down()
    assert not run().is_complete
    desk.fake.clear_faults()
    assert desk.status(payment) == "open" and desk.problems() == []


def test_an_account_that_was_taken_from_us(desk: Desk) -> None:
    desk.paid(desk.invoice(5000))
    desk.fake.deauthorise(desk.account_id)
    outcome = run()
    assert (outcome.corrected, outcome.told) == (0, 0) and desk.balance() == 0


def test_the_command_says_how_it_stands_and_fails_where_a_person_is_needed(app: Flask, stripe_fake: StripeFake) -> None:
    with at_elm(app, stripe_fake) as desk:
        say_how_it_stands(app, desk)


def say_how_it_stands(app: Flask, desk: Desk) -> None:
    desk.pay(desk.invoice(5000))
    runner = app.test_cli_runner()
    first = runner.invoke(args=["payments", "reconcile", demo.ELM])
    assert first.exit_code == 0 and "1 put right" in first.output, first.output
    second = runner.invoke(args=["payments", "reconcile", demo.ELM])
    assert "0 put right, 0 new" in second.output and second.exit_code == 0
    with desk.open_clinic():
        order = CheckoutOrder(uuid4(), desk.account_id, Money(800, "usd"), "Elm", BACK, BACK, None, False, later())
        desk.fake.pay(stripe_gateway.open_checkout(order).id)
    third = runner.invoke(args=["payments", "reconcile"])
    assert third.exit_code == 1 and "elm-street: " in third.output and "1 new" in third.output and "oak-hill" in third.output
    assert runner.invoke(args=["payments", "reconcile", "nowhere"]).exit_code == 1
    assert recorded(app, "payments.reconciled")[0] == {"compared": 2, "corrected": 1, "told": 0}
