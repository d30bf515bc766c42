"""Paying online, below HTTP: begun, opened, paid on Stripe's page, entered by what Stripe says when it is asked.

Lost if it fails: a family pays twice or pays and it is not seen, or the clinic's books tell what did not happen.
"""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from clinic import account, invoices, payments, portal_users, stripe_gateway
from clinic.account import LineKind, Method
from clinic.invoices import Invoice
from clinic.money import Money
from clinic.payments import follow_up, problems
from clinic.stripe_gateway import StripeRefused, StripeUnknown
from tenancy import clinics, clock
from tenancy.database import db, transaction
from tenancy.errors import Conflict, NotFound, Refused
from tests import books, inside
from tests.paying import ANA, BACK, Desk, give_billing

# Paying


def test_a_card_pays_an_invoice(desk: Desk) -> None:
    invoice = desk.invoice(12000)
    payment = desk.paid(invoice)
    assert desk.status(payment) == "succeeded"
    assert (desk.due(invoice), desk.balance(), desk.lines()) == (0, 0, [("payment", -12000)])
    assert (desk.payment(payment).method, desk.payment(payment).card) == ("card", "Visa 4242")
    assert desk.letters() == ["receipt_waits"] and desk.problems() == []
    assert desk.events("payment.") == ["payment.begun", "payment.entered", "payment.allocated", "payment.succeeded"]
    assert desk.fake.balance(desk.account_id) == {"usd": 12000}


def test_looking_again_writes_nothing(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    before = desk.lines(), desk.letters(), desk.events("payment")
    assert [desk.look(payment) for _ in range(3)] == [False] * 3
    assert (desk.lines(), desk.letters(), desk.events("payment")) == before


def test_several_invoices_are_paid_at_once_and_a_part_of_one_where_the_clinic_allows(desk: Desk) -> None:
    first, second = desk.invoice(3000), desk.invoice(5000)
    desk.paid(first, second)
    assert (desk.due(first), desk.due(second)) == (0, 0)
    third = desk.invoice(5000)
    with pytest.raises(Refused, match="whole"):
        desk.begin(third, amount=2000)
    desk.allow_partial()
    desk.paid(third, amount=2000)
    assert desk.due(third) == 3000
    with pytest.raises(Refused, match="more than is due"):
        desk.begin(third, amount=3001)


def test_an_amount_on_the_account_goes_to_what_was_due_first_and_the_rest_is_credit(desk: Desk) -> None:
    later, sooner = desk.invoice(5000), desk.invoice(3000, due_in=0)
    payment = desk.paid(amount=10000)
    assert (desk.due(later), desk.due(sooner), desk.credit(payment), desk.balance()) == (0, 0, 2000, -2000)
    assert desk.problems() == []


@pytest.mark.parametrize("amount", [0, -5000])
def test_nothing_and_less_than_nothing_is_refused(desk: Desk, amount: int) -> None:
    desk.allow_partial()
    with pytest.raises(Refused):
        desk.begin(desk.invoice(5000), amount=amount)


def test_only_open_invoices_of_this_patient_are_paid(desk: Desk) -> None:
    """A paid one, a void one, another patient's and one made up: each is refused before Stripe is asked."""
    paid, void = desk.invoice(5000), desk.invoice(5000)
    desk.paid(paid)
    with desk.staff():
        db.session.get_one(Invoice, (desk.clinic.id, void)).voided_at = clock.now()
        foreign = books.invoice(books.newcomer(), 5000)
        zoe = inside.patient("Zoe Haddad").id
    for invoice in (paid, void, foreign, uuid4()):
        with pytest.raises(Conflict):
            desk.begin(invoice)
    with desk.family(), pytest.raises(NotFound):
        wish = payments.Wish(uuid4(), zoe, (), Money(500, "usd"))
        payments.begin(wish)


# Once


def test_the_same_form_sent_twice_is_one_payment(desk: Desk) -> None:
    invoice, form = desk.invoice(5000), uuid4()
    assert desk.begin(invoice, payment_id=form) == desk.begin(invoice, payment_id=form)
    assert desk.open(form) == desk.open(form)
    assert len(desk.fake.objects("checkout.session", desk.account_id)) == 1


def test_a_second_person_is_told_that_it_is_being_paid(desk: Desk) -> None:
    """Lost: two parents pay the same invoice at the same time."""
    invoice = desk.invoice(5000)
    with transaction():
        omar = inside.user("omar@family.example").id
        give_billing(omar, desk.patient_id)
    begun = desk.begin(invoice)
    with pytest.raises(Conflict, match="already being paid"):
        desk.begin(invoice, payer=omar)
    with pytest.raises(Conflict, match="already being paid"):
        desk.begin(invoice)  # another tab
    with desk.family():
        assert payments.find_mine_live((invoice,)) == begun
    with desk.family(omar):
        assert payments.find_mine_live((invoice,)) is None
    with pytest.raises(Conflict):  # with the id of a payment of somebody else's
        desk.begin(desk.invoice(100), payment_id=begun, payer=omar)


def test_an_amount_on_the_account_passes_over_what_is_being_paid(desk: Desk) -> None:
    first, second = desk.invoice(3000, due_in=0), desk.invoice(5000)
    desk.begin(first)
    desk.paid(amount=8000)
    assert (desk.due(first), desk.due(second)) == (3000, 0)


# Not paid


def test_a_declined_card_leaves_the_page_open(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    session = desk.open(payment)
    desk.fake.pay(session, "declined")
    desk.look(payment)
    assert desk.status(payment) == "open" and desk.letters() == []
    desk.fake.pay(session, "card")
    desk.look(payment)
    assert desk.status(payment) == "succeeded" and desk.due(invoice) == 0


def test_what_is_called_off_can_be_paid_by_somebody_else(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    session = desk.open(payment)
    assert follow_up.end_checkout(payment)
    assert desk.status(payment) == "ended"
    assert [each["status"] for each in desk.fake.objects("checkout.session", desk.account_id) if each["id"] == session] == ["expired"]
    desk.paid(invoice)
    assert desk.due(invoice) == 0


def test_what_was_paid_meanwhile_is_not_called_off(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.pay(invoice)
    assert not follow_up.end_checkout(payment)
    assert desk.status(payment) == "succeeded" and desk.due(invoice) == 0


def test_a_page_that_nobody_paid_on_ends(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    desk.open(payment)
    desk.fake.advance(3700)
    with clock.moved(timedelta(seconds=3700)):
        follow_up.look_again()
    assert desk.status(payment) == "ended"
    assert desk.begin(invoice)


def test_a_bank_debit_is_on_its_way_for_days_and_cannot_be_paid_again_meanwhile(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.paid(invoice, how="bank_debit")
    assert desk.status(payment) == "processing" and desk.due(invoice) == 5000 and desk.letters() == []
    with pytest.raises(Conflict, match="already being paid"):
        desk.begin(invoice)
    desk.fake.settle(desk.intent(payment))
    desk.look(payment)
    assert desk.status(payment) == "succeeded" and desk.due(invoice) == 0
    assert desk.payment(payment).method == "bank_debit"


def test_a_bank_debit_that_fails_days_later_makes_the_invoice_payable_again(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.paid(invoice, how="bank_debit")
    desk.fake.settle(desk.intent(payment), ok=False)
    desk.look(payment)
    assert desk.status(payment) == "failed" and desk.lines() == [] and desk.letters() == ["payment_failed"]
    desk.paid(invoice)
    assert desk.due(invoice) == 0


# Nobody says anything


def test_without_any_event_the_job_of_each_minute_is_enough(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.pay(invoice)
    follow_up.look_again()
    assert desk.status(payment) == "open"  # it is not time yet
    desk.look_again(minutes=10)
    assert desk.status(payment) == "succeeded" and desk.due(invoice) == 0


@pytest.mark.parametrize("how", ["lost", "500_after", "truncated"])
def test_an_answer_that_was_lost_is_not_a_failure_and_the_same_key_finds_the_page(desk: Desk, how: str) -> None:
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    desk.fake.fault("POST /v1/checkout/sessions", how, times=None)
    with pytest.raises(StripeUnknown):
        desk.open(payment)
    desk.fake.clear_faults()
    assert desk.status(payment) == "starting"
    with transaction():
        assert payments.may_ask_again(payments.get(payment))
    if how != "500_after":  # Stripe remembers the failure under the key; then the list has the page
        desk.fake.pay(desk.open(payment))
    desk.look_again(minutes=10)
    assert desk.status(payment) == ("open" if how == "500_after" else "succeeded")
    assert len(desk.fake.objects("checkout.session", desk.account_id)) == 1


def test_what_stripe_never_heard_of_ends_after_half_an_hour(desk: Desk) -> None:
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    desk.look_again(minutes=10)
    assert desk.status(payment) == "starting"
    with clock.moved(timedelta(minutes=31)):
        follow_up.look_again()
    assert desk.status(payment) == "ended"
    assert desk.begin(invoice)


def test_stripe_that_is_down_fails_nothing(desk: Desk) -> None:
    payment = desk.pay(desk.invoice(5000))
    desk.fake.down()
    desk.look_again(minutes=10)
    assert desk.status(payment) == "open" and desk.problems() == []
    desk.fake.clear_faults()


def test_the_intent_was_never_saved_and_its_event_comes(desk: Desk) -> None:
    """Our row knows neither page nor intent: what the page is marked with names it, our own row decides."""
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    with transaction():
        order = payments.order_of(payments.get(payment), BACK, BACK)
    desk.fake.pay(stripe_gateway.open_checkout(order).id)
    assert payments.look_at_intent(desk.account_id, desk.intent(payment)) == payment
    assert desk.status(payment) == "succeeded" and desk.due(invoice) == 0 and desk.problems() == []


def test_a_mark_alone_proves_nothing(desk: Desk) -> None:
    """Another amount under our mark is entered nowhere, and told."""
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    with transaction():
        order = payments.order_of(payments.get(payment), BACK, BACK)
    cheap = order.__class__(**{**order.__dict__, "amount": Money(100, "usd")})
    desk.fake.pay(stripe_gateway.open_checkout(cheap).id)
    assert payments.look_at_intent(desk.account_id, desk.intent(payment)) is None
    assert desk.problems() == ["unknown"] and desk.letters() == ["payment_problem_found"] * 2
    assert desk.status(payment) == "starting" and desk.due(invoice) == 5000 and desk.lines() == []
    desk.look_again(minutes=10)
    assert desk.lines() == []


# Money that finds no invoice


def test_money_for_an_invoice_that_was_paid_otherwise_is_credit_and_told(desk: Desk) -> None:
    """Lost: a family has paid twice and nobody knows."""
    invoice = desk.invoice(5000)
    payment = desk.pay(invoice)
    with desk.staff():
        line = account.enter(desk.patient_id, LineKind.PAYMENT, Money(5000, "usd"), "Cash", method=Method.CASH)
        invoices.allocate(line, [(invoice, Money(5000, "usd"))])
    desk.look(payment)
    assert desk.status(payment) == "succeeded" and desk.credit(payment) == 5000 and desk.balance() == -5000
    assert desk.problems() == ["credited"]
    assert sorted(desk.letters()) == ["payment_problem_found", "payment_problem_found", "receipt_waits"]


def test_a_checkout_for_what_is_not_owed_any_more_is_ended(desk: Desk) -> None:
    """The cash desk was faster: within a minute nobody can pay on Stripe's page."""
    invoice = desk.invoice(5000)
    payment = desk.begin(invoice)
    session = desk.open(payment)
    with desk.staff():
        line = account.enter(desk.patient_id, LineKind.PAYMENT, Money(5000, "usd"), "Cash", method=Method.CASH)
        invoices.allocate(line, [(invoice, Money(5000, "usd"))])
    follow_up.look_again()
    assert desk.status(payment) == "ended"
    with pytest.raises(AssertionError, match="expired"):
        desk.fake.pay(session)


@pytest.mark.parametrize("how", ["unlinked", "deactivated"])
def test_whoever_may_not_see_the_bills_any_more_cannot_pay_them_either(desk: Desk, how: str) -> None:
    payment = desk.begin(desk.invoice(5000))
    desk.open(payment)
    with desk.staff(ANA):
        if how == "unlinked":
            (access,) = [each for each in portal_users.access_of(desk.maria) if each.patient_id == desk.patient_id]
            portal_users.unlink(access.id)
        else:
            portal_users.deactivate(desk.maria)
    assert inside.waiting_jobs(desk.app, portal_users.END_CHECKOUTS)
    follow_up.end_checkouts()
    assert desk.status(payment) == "ended"


def test_an_account_that_was_taken_from_us_is_told_once_and_nothing_is_failed(desk: Desk) -> None:
    payment = desk.pay(desk.invoice(5000))
    desk.fake.deauthorise(desk.account_id)
    desk.look_again(minutes=10)
    with clock.moved(timedelta(hours=3)):
        follow_up.look_again()
    assert desk.status(payment) == "open" and desk.problems() == ["unreadable"]
    with desk.staff():
        problems.settle(problems.still_open()[0].id)
    assert desk.status(payment) == "failed"  # it holds its invoice no longer, and money that arrives is entered all the same


def test_an_amount_below_stripes_least_is_refused_for_good(desk: Desk) -> None:
    payment = desk.begin(desk.invoice(10))
    with pytest.raises(StripeRefused) as refused:
        desk.open(payment)
    with desk.family():
        payments.refused(payment, refused.value.code)
    assert desk.status(payment) == "failed" and desk.payment(payment).fault == "amount_too_small"


def test_two_who_look_at_once_write_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before the other one wrote is old, and is read again."""
    payment = desk.pay(desk.invoice(5000))
    look = payments.looking.look
    seen: list[UUID] = []

    def look_while_another_does(known: payments.looking.Ours) -> payments.looking.Facts:
        facts = look(known)
        seen.append(known.id)
        if len(seen) == 1:
            desk.look(payment)
        return facts

    monkeypatch.setattr(payments.looking, "look", look_while_another_does)
    desk.look(payment)
    assert len(seen) == 3 and desk.lines() == [("payment", -5000)] and desk.letters() == ["receipt_waits"]


@pytest.mark.parametrize(("currency", "minor", "refused"), [("jpy", 1500, 0), ("kwd", 12340, 12345)])
def test_currencies_without_and_with_three_decimals(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, currency: str, minor: int, refused: int
) -> None:
    """Yen are not counted in hundredths; of three decimals Stripe takes those whose last digit is 0."""
    here = clinics.current
    monkeypatch.setattr(clinics, "current", lambda: replace(here(), currency=currency))
    wish = payments.Wish(uuid4(), desk.patient_id, (), Money(minor, currency))
    with desk.family():
        payments.begin(wish)
    desk.fake.pay(desk.open(wish.payment_id))
    desk.look(wish.payment_id)
    assert desk.lines() == [("payment", -minor)] and desk.fake.balance(desk.account_id) == {currency: minor}
    if refused:
        with desk.family(), pytest.raises(Refused, match="last digit"):
            payments.begin(replace(wish, payment_id=uuid4(), amount=Money(refused, currency)))
    with desk.family(), pytest.raises(Refused, match="currency"):
        payments.begin(replace(wish, payment_id=uuid4(), amount=Money(500, "usd")))
