"""What is written when a payment agrees with Stripe: the row, its claims, the account, who is told, what is on record.

Lost if it fails: a page or the audit log tells otherwise than the bank; money lies where nobody meant it to go.
"""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from clinic import account, invoices, payments, portal_users
from clinic.account import LineKind, Method
from clinic.invoices import PaymentInvoice
from clinic.money import Money
from clinic.payments import Dispute, Refund
from tenancy import clock
from tenancy.database import db
from tests.access import recorded
from tests.clinic.test_refunds import disputes, give_back
from tests.paying import ANA, Desk


def claimed(desk: Desk, payment: UUID) -> list[UUID]:
    """The invoices that nobody else can begin to pay."""
    with desk.clinic_transaction():
        live = select(PaymentInvoice.invoice_id).where(PaymentInvoice.payment_id == payment, PaymentInvoice.released_at.is_(None))
        return list(db.session.scalars(live))


def refund_of(desk: Desk, payment: UUID) -> Refund:
    with desk.clinic_transaction():
        return db.session.scalars(select(Refund).where(Refund.payment_id == payment).execution_options(populate_existing=True)).one()


def dispute_of(desk: Desk, payment: UUID) -> Dispute:
    with desk.clinic_transaction():
        return db.session.scalars(select(Dispute).where(Dispute.payment_id == payment).execution_options(populate_existing=True)).one()


def take_cash(desk: Desk, invoice: UUID, minor: int) -> UUID:
    with desk.staff():
        line_id = account.enter(desk.patient_id, LineKind.PAYMENT, Money(minor, "usd"), "Cash", method=Method.CASH)
        invoices.allocate(line_id, [(invoice, Money(minor, "usd"))])
        return line_id


# The payment


def test_what_has_ended_has_its_time_and_holds_no_invoice(desk: Desk) -> None:
    """Lost: an invoice that was paid in part, or not at all, can be paid by nobody any more."""
    desk.allow_partial()
    invoice = desk.invoice(5000)
    paid = desk.pay(invoice, amount=2000)
    waits = desk.payment(paid)
    assert waits.ended_at is None and claimed(desk, paid) == [invoice]
    desk.look(paid)
    assert desk.payment(paid).ended_at and claimed(desk, paid) == []
    failed = desk.paid(invoice, how="bank_debit")
    assert desk.payment(failed).ended_at is None and claimed(desk, failed) == [invoice]
    desk.fake.settle(desk.intent(failed), ok=False)
    desk.look(failed)
    assert desk.payment(failed).ended_at and claimed(desk, failed) == []
    assert desk.events("payment.")[-1] == "payment.failed"
    assert recorded(desk.app, "payment.failed")[-1]["fault"] == desk.payment(failed).fault
    desk.paid(invoice)
    assert desk.due(invoice) == 0


def test_a_page_that_nobody_used_ends_on_record_and_without_a_letter(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    desk.open(payment)
    desk.fake.advance(3700)
    with clock.moved(timedelta(seconds=3700)):
        desk.look(payment)
    assert desk.status(payment) == "ended" and desk.payment(payment).ended_at and desk.letters() == []
    assert desk.events("payment.") == ["payment.begun", "payment.ended"]


def test_who_cannot_sign_in_any_more_gets_no_letter(desk: Desk) -> None:
    """Lost: a person whom the clinic has shut out goes on hearing of its patients' bills."""
    payment = desk.pay(desk.invoice(5000))
    with desk.staff(ANA):
        portal_users.deactivate(desk.maria)
    desk.look(payment)
    assert desk.status(payment) == "succeeded" and desk.letters() == []


def test_a_means_of_payment_that_we_do_not_know_is_entered_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = desk.pay(desk.invoice(5000), how="bank_debit")
    desk.fake.settle(desk.intent(payment))
    monkeypatch.setattr("clinic.payments.entering.METHODS", {})
    desk.look(payment)
    assert (desk.status(payment), desk.payment(payment).method, desk.balance()) == ("succeeded", "other", 0)


def test_what_differs_from_what_was_begun_is_told_and_changes_nothing(desk: Desk) -> None:
    """Our row says what was to be paid. Lost: the account tells of money that never came."""
    invoice = desk.invoice(5000)
    payment = desk.pay(invoice)
    with desk.staff():
        payments.get(payment).amount_minor = 4000
    assert desk.look(payment) is True and desk.look(payment) is False
    assert desk.problems() == ["differs"] and desk.status(payment) == "open" and desk.due(invoice) == 5000
    assert desk.lines() == []


# What goes back


def test_a_refund_has_its_end_when_stripe_says_so(desk: Desk) -> None:
    """To a bank account it takes days; the line is entered at once, the end is not."""
    payment = desk.paid(desk.invoice(5000), how="bank_debit")
    desk.fake.settle(desk.intent(payment))
    desk.look(payment)
    made = desk.fake.refund(desk.account_id, desk.intent(payment), 2000)
    desk.look(payment)
    assert (refund_of(desk, payment).status, refund_of(desk, payment).ended_at, desk.balance()) == ("pending", None, 2000)
    desk.fake.settle_refund(made["id"])
    desk.look(payment)
    assert refund_of(desk, payment).status == "succeeded" and refund_of(desk, payment).ended_at and desk.balance() == 2000
    succeeded_at = refund_of(desk, payment).ended_at
    desk.fake.fail_refund(made["id"])
    desk.look(payment)
    found = refund_of(desk, payment)
    assert found.status == "failed" and found.ended_at and succeeded_at and found.ended_at > succeeded_at and found.fault


def test_a_cent_that_goes_back_is_owed_again(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.paid(invoice)
    assert give_back(desk, payment, 1) == "succeeded"
    assert (desk.due(invoice), desk.credit(payment)) == (1, 0)


def test_money_that_comes_back_pays_what_it_was_for_and_nothing_else(desk: Desk) -> None:
    """Paid on the account, 20 for an invoice and 30 as credit; what the desk had taken for that invoice is taken back later.
    A refund that did not arrive is then credit again. Lost: the clinic decides with a family's credit what it is for.
    """
    invoice = desk.invoice(5000)
    cash = take_cash(desk, invoice, 3000)
    payment = desk.paid(amount=5000)
    assert (desk.due(invoice), desk.credit(payment)) == (0, 3000)
    give_back(desk, payment, 500)
    with desk.staff():
        account.reverse(cash, desk.patient_id, "It bounced")
        invoices.release(cash, Money(3000, "usd"))
    (made,) = desk.fake.objects("refund", desk.account_id)
    desk.fake.fail_refund(made["id"])
    desk.look(payment)
    assert (desk.due(invoice), desk.credit(payment), desk.balance()) == (3000, 3000, 0)


def test_a_refund_of_credit_that_fails_leaves_paid_what_is_paid(desk: Desk) -> None:
    invoice = desk.invoice(2000)
    payment = desk.paid(amount=5000)
    give_back(desk, payment, 3500)
    assert (desk.due(invoice), desk.credit(payment)) == (500, 0)
    (made,) = desk.fake.objects("refund", desk.account_id)
    desk.fake.fail_refund(made["id"])
    desk.look(payment)
    assert (desk.due(invoice), desk.credit(payment), desk.balance()) == (0, 3000, -3000)


# Disputes


def test_an_inquiry_is_told_as_one_and_has_no_end_until_it_is_closed(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(5000))
    inquiry = desk.fake.inquire(desk.intent(payment))
    desk.look(payment)
    found = dispute_of(desk, payment)
    assert (found.status, found.closed_at, found.reason) == ("inquiry", None, "fraudulent") and found.evidence_due_at
    assert recorded(desk.app, "dispute.opened") == [{"is_inquiry": True}]
    desk.fake.close_dispute(inquiry["id"], "warning_closed")
    desk.look(payment)
    assert dispute_of(desk, payment).closed_at
    assert desk.events("dispute.") == ["dispute.opened", "dispute.closed"]
    assert recorded(desk.app, "dispute.closed") == [{"status": "inquiry_closed"}]


def test_an_inquiry_does_not_keep_money_from_going_back(desk: Desk) -> None:
    """Giving it back is the usual answer to a bank that asks."""
    payment = desk.paid(desk.invoice(5000))
    desk.fake.inquire(desk.intent(payment))
    desk.look(payment)
    assert give_back(desk, payment, 5000) == "succeeded" and desk.balance() == 5000


def test_a_dispute_is_on_record_as_none_that_is_only_asked(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(5000))
    desk.fake.dispute(desk.intent(payment))
    desk.look(payment)
    assert recorded(desk.app, "dispute.opened") == [{"is_inquiry": False}] and dispute_of(desk, payment).closed_at is None


def test_what_was_lost_and_is_won_after_all_pays_its_invoice_again(desk: Desk) -> None:
    """Lost: a family is asked for what its bank gave back."""
    invoice = desk.invoice(5000)
    payment = desk.paid(invoice)
    dispute = desk.fake.dispute(desk.intent(payment))["id"]
    desk.fake.close_dispute(dispute, "lost")
    desk.look(payment)
    assert (desk.due(invoice), desk.balance()) == (5000, 5000)
    desk.fake.close_dispute(dispute, "won")
    desk.look(payment)
    assert (desk.due(invoice), desk.balance(), desk.credit(payment)) == (0, 0, 0)
    assert disputes(desk) == ["won"] and desk.letters().count("dispute_opened") == 2
    assert desk.events("dispute.") == ["dispute.opened", "dispute.closed", "dispute.closed"]


def test_a_loss_that_nobody_saw_is_on_the_account_with_what_came_back(desk: Desk) -> None:
    """Seen as an inquiry, and next when it was won after all. Lost: the account tells otherwise than the bank's statement."""
    invoice = desk.invoice(5000)
    payment = desk.paid(invoice)
    desk.fake.inquire(desk.intent(payment))
    desk.look(payment)
    dispute = desk.fake.dispute(desk.intent(payment))["id"]
    for how in ("lost", "won"):
        desk.fake.close_dispute(dispute, how)
    desk.look(payment)
    assert desk.lines() == [("payment", -5000), ("chargeback", 5000), ("chargeback", -5000)]
    assert (desk.due(invoice), desk.balance(), disputes(desk)) == (0, 0, ["won"])


def test_a_lost_dispute_takes_credit_before_what_was_paid_with_it(desk: Desk) -> None:
    invoice = desk.invoice(2000)
    payment = desk.paid(amount=5000)
    desk.fake.close_dispute(desk.fake.dispute(desk.intent(payment), 3000)["id"], "lost")
    desk.look(payment)
    assert (desk.due(invoice), desk.credit(payment), desk.balance()) == (0, 0, 0)
