"""Beginning to pay: how much, for what, once; and what becomes of it before any money moved.

Lost if it fails: somebody pays another amount than they read, an invoice is held by nobody who pays it, or a page that was
called off can still be paid on.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from clinic import payments, stripe_gateway
from clinic.invoices import PaymentInvoice
from clinic.money import Money
from clinic.payment_processing import find_present
from clinic.payments import Wish, beginning, claims, follow_up
from clinic.stripe_gateway import CheckoutFacts
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tests import books
from tests.access import recorded
from tests.clinic.test_locks import locks
from tests.clinic.test_payment_entering import claimed
from tests.paying import BACK, Desk, give_billing


def page_of(desk: Desk, payment: UUID) -> CheckoutFacts:
    """Stripe's page for a payment, of which nothing is kept yet."""
    with desk.family():
        order = payments.order_of(payments.get(payment), BACK, BACK)
    return stripe_gateway.open_checkout(order)


def parts(desk: Desk, payment: UUID) -> dict[UUID, int]:
    with desk.clinic_transaction():
        rows = db.session.execute(select(PaymentInvoice.invoice_id, PaymentInvoice.amount_minor).where(PaymentInvoice.payment_id == payment))
        return {invoice_id: minor for invoice_id, minor in rows}


# Whether the clinic takes payments


def restrict() -> None:
    present = find_present()
    assert present
    present.charges_enabled = False


def turn_off() -> None:
    db.session.execute(text("UPDATE clinics SET payment_processing_since_at = NULL WHERE id = app.clinic_id()"))


@pytest.mark.parametrize(("become", "refusal"), [(restrict, Refused), (turn_off, NotFound)])
def test_a_clinic_that_takes_no_payments_begins_none(desk: Desk, become: Callable[[], None], refusal: type[Exception]) -> None:
    """Lost: a payer stands on a page of an account that may not charge, or of a clinic that left."""
    invoice = desk.invoice(5000)
    with desk.clinic_transaction():
        become()
    with desk.clinic_transaction():
        assert payments.find_account() is None
    with pytest.raises(refusal):
        desk.begin(invoice)
    with desk.clinic_transaction():
        assert payments.of_patient(desk.patient_id) == []


def test_without_a_key_nobody_is_sent_to_stripe(desk: Desk) -> None:
    with desk.clinic_transaction():
        assert payments.find_account() == desk.account_id
        desk.app.extensions["stripe_gateway"] = None
        assert payments.find_account() is None


# How much, for what


def test_a_part_is_held_of_what_was_due_first_and_of_nothing_else(desk: Desk) -> None:
    """An amount on the account; the other invoice can be paid by somebody else meanwhile."""
    desk.allow_partial()
    later, sooner = desk.invoice(5000), desk.invoice(3000, due_in=0)
    assert parts(desk, desk.begin(amount=2000)) == {sooner: 2000}
    assert desk.begin(later)


def test_a_cent_more_than_the_first_goes_to_the_next(desk: Desk) -> None:
    desk.allow_partial()
    later, sooner = desk.invoice(5000), desk.invoice(3000, due_in=0)
    assert parts(desk, desk.begin(amount=3001)) == {sooner: 3000, later: 1}


def test_just_what_the_first_comes_to_holds_nothing_of_the_next(desk: Desk) -> None:
    desk.allow_partial()
    _later, sooner = desk.invoice(5000), desk.invoice(3000, due_in=0)
    assert parts(desk, desk.begin(amount=3000)) == {sooner: 3000}


def test_the_least_there_is_can_be_paid(desk: Desk) -> None:
    """What Stripe thinks too small is Stripe's to say: it differs between currencies."""
    desk.allow_partial()
    assert desk.payment(desk.begin(desk.invoice(5000), amount=1)).amount_minor == 1


def test_what_changed_while_it_was_waited_for_is_not_paid(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: somebody pays 50 of which the desk has taken 20 at this moment."""
    invoice = desk.invoice(5000)
    owed = iter([[(invoice, Money(5000, "usd"))], [(invoice, Money(3000, "usd"))]])
    monkeypatch.setattr(beginning.invoices, "payable_of", lambda _patient_id: next(owed))
    with pytest.raises(Conflict, match="changed just now"):
        desk.begin(invoice)


def test_what_was_begun_is_on_record_and_looked_at_soon(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    begun = desk.payment(payment)
    assert recorded(desk.app, "payment.begun") == [{"amount_minor": 5000, "currency": "usd"}]
    assert begun.next_look_at - begun.started_at == timedelta(minutes=2)


# Once


def test_a_press_that_another_was_faster_than_leads_to_the_same_payment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice, form = desk.invoice(5000), uuid4()
    desk.begin(invoice, payment_id=form)
    real, looked = beginning._begun_before, list[Wish]()

    def too_soon(wish: Wish, payer: Any) -> Any:
        looked.append(wish)
        return None if len(looked) == 1 else real(wish, payer)

    monkeypatch.setattr(beginning, "_begun_before", too_soon)
    assert desk.begin(invoice, payment_id=form) == form and len(looked) == 2
    assert len(recorded(desk.app, "payment.begun")) == 1


def test_the_id_of_a_payment_for_another_child_begins_nothing(desk: Desk) -> None:
    begun = desk.begin(desk.invoice(5000))
    with desk.staff():
        sibling = books.newcomer()
        give_billing(desk.maria, sibling)
        books.invoice(sibling, 700)
    with pytest.raises(NotFound):
        replace(desk, patient_id=sibling).begin(amount=700, payment_id=begun)


# Stripe's page


def test_the_page_is_asked_for_in_the_same_words_each_time(desk: Desk) -> None:
    """Stripe takes a key with one request to the letter; an hour later nobody pays there any more."""
    payment = desk.begin(desk.invoice(5000))
    with desk.family():
        order = payments.order_of(payments.get(payment), BACK, BACK)
    with clock.moved(timedelta(minutes=15)), desk.family():
        assert payments.order_of(payments.get(payment), BACK, BACK) == order
    assert order.expires_at == desk.payment(payment).started_at + timedelta(hours=1)
    assert (order.customer_id, order.saves_card, order.account_id) == (None, False, desk.account_id)


def test_the_same_page_can_be_asked_for_as_long_as_stripe_would_make_it(desk: Desk, still: None) -> None:
    payment = desk.begin(desk.invoice(5000))
    for minutes, may in ((0, True), (19, True), (20, False), (21, False)):
        with clock.moved(timedelta(minutes=minutes)), desk.family():
            assert payments.may_ask_again(payments.get(payment)) is may, minutes
    desk.open(payment)
    with desk.family():
        assert not payments.may_ask_again(payments.get(payment))


def test_a_page_that_opens_after_the_payer_went_away_is_not_gone_on_to(desk: Desk) -> None:
    """Lost: called off, payable by somebody else, and still paid."""
    payment = desk.begin(desk.invoice(5000))
    page = page_of(desk, payment)
    assert follow_up.end_checkout(payment)
    with desk.family():
        assert payments.opened(payment, page) is None
    assert (desk.status(payment), desk.payment(payment).checkout_session_id) == ("ended", None)


def test_an_answer_about_a_page_that_is_over_is_kept_and_leads_nowhere(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    page = replace(page_of(desk, payment), status="complete", url=None)
    with desk.family():
        assert payments.opened(payment, page) is None
    assert (desk.status(payment), desk.payment(payment).checkout_session_id) == ("starting", page.id)


def test_what_was_paid_is_neither_called_off_nor_refused(desk: Desk) -> None:
    """An answer from before comes late."""
    payment = desk.paid(desk.invoice(5000))
    events = desk.events("payment.")
    with desk.family():
        payments.called_off(payment)
        payments.refused(payment, "amount_too_small")
    assert desk.status(payment) == "succeeded" and desk.events("payment.") == events


def test_what_is_open_is_not_refused(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(5000))
    desk.open(payment)
    with desk.family():
        payments.refused(payment, "amount_too_small")
    assert desk.status(payment) == "open"


def test_what_stripe_refused_holds_nothing_and_is_on_record(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    with desk.family(), locks() as held:
        payments.refused(payment, "amount_too_small")
    found = desk.payment(payment)
    assert (found.status, found.fault, claimed(desk, payment), held) == ("failed", "amount_too_small", [], ["payments"])
    assert found.ended_at and recorded(desk.app, "payment.failed") == [{"fault": "amount_too_small"}]
    assert desk.begin(invoice)


def test_who_calls_off_holds_the_payment_and_lets_its_invoices_go(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    page = page_of(desk, payment)
    with desk.family(), locks() as held:
        payments.opened(payment, page)
    assert held == ["payments"]
    with desk.family(), locks() as held:
        payments.called_off(payment)
    assert held == ["payments"] and claimed(desk, payment) == [] and desk.payment(payment).ended_at
    assert recorded(desk.app, "payment.ended") == [{"fault": None}]
    with desk.clinic_transaction():
        assert claims.of_payment(payment) == [(invoice, Money(5000, "usd"))]


# By a mailed link


def test_a_link_that_is_no_longer_good_begins_nothing(desk: Desk) -> None:
    """Lost: whoever finds an old letter holds an invoice that nobody else can pay then."""
    desk.let_links_pay()
    secret = desk.mail(desk.invoice(5000))
    with clock.moved(timedelta(days=8)), pytest.raises(NotFound):
        desk.begin_by_link(secret)
    with desk.clinic_transaction():
        assert payments.of_patient(desk.patient_id) == []
