"""Asking for a refund: what may be asked, who else must agree, when Stripe is asked again and when that would pay twice.

Lost if it fails: money goes back that nobody may send, or twice, or a family waits for what was never sent.
"""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from clinic import payments
from clinic.money import Money
from clinic.payments import questions, refunds
from clinic.stripe_gateway import StripeUnknown
from tenancy import clinics, clock
from tenancy.errors import NotFound, Refused
from tests import books, inside
from tests.access import recorded
from tests.clinic.test_refunds import ask, give_back, limit, statuses
from tests.paying import ANA, BEN, Desk, give_billing


def of_another_patient(desk: Desk, minor: int = 700) -> UUID:
    """A payment that Maria makes for somebody else."""
    with desk.staff():
        patient_id = books.newcomer()
        give_billing(desk.maria, patient_id)
        invoice = books.invoice(patient_id, minor)
    return replace(desk, patient_id=patient_id).paid(invoice)


# What may be asked


@pytest.mark.parametrize(("length", "is_taken"), [(1, True), (200, True), (201, False)])
def test_a_reason_has_a_length(desk: Desk, length: int, is_taken: bool) -> None:
    payment = desk.paid(desk.invoice(5000))
    if is_taken:
        assert ask(desk, payment, 100, reason="x" * length)
    else:
        with pytest.raises(Refused, match="why"):
            ask(desk, payment, 100, reason="x" * length)


def test_what_stripe_cannot_send_is_not_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dinar has a thousand parts, and Stripe takes them by tens."""
    here = clinics.current
    monkeypatch.setattr(clinics, "current", lambda: replace(here(), currency="kwd"))
    wish = payments.Wish(uuid4(), desk.patient_id, (), Money(12340, "kwd"))
    with desk.family():
        payments.begin(wish)
    desk.fake.pay(desk.open(wish.payment_id))
    desk.look(wish.payment_id)
    with pytest.raises(Refused, match="last digit is 0"), desk.staff():
        refunds.ask(uuid4(), wish.payment_id, Money(1005, "kwd"), "Agreed")
    with desk.staff():
        refunds.ask(uuid4(), wish.payment_id, Money(1000, "kwd"), "Agreed")


def test_the_id_of_another_payments_refund_asks_for_nothing(desk: Desk) -> None:
    one, other = desk.paid(desk.invoice(5000)), desk.paid(desk.invoice(5000))
    refund = ask(desk, one, 100)
    with pytest.raises(NotFound):
        ask(desk, other, 100, refund_id=refund)
    with pytest.raises(NotFound):
        refunds.send(uuid4(), one)


def test_nothing_is_left_of_what_never_came_or_went_back_twice(desk: Desk) -> None:
    """What the page offers to give back."""
    debit = desk.paid(desk.invoice(5000), how="bank_debit")
    paid = desk.paid(desk.invoice(12000))
    other = desk.paid(desk.invoice(300))
    give_back(desk, paid, 5000)
    assert [left(desk, each) for each in (debit, paid, other)] == [0, 7000, 300]
    desk.fake.dispute(desk.intent(paid), 7000)
    desk.look(paid)
    assert [left(desk, each) for each in (debit, paid, other)] == [0, 0, 300]
    desk.fake.dispute(desk.intent(other))
    desk.look(other)
    assert left(desk, other) == 0
    gone_twice = desk.paid(desk.invoice(900))
    give_back(desk, gone_twice, 400)
    desk.fake.dispute(desk.intent(gone_twice), 900)
    desk.look(gone_twice)
    assert left(desk, gone_twice) == 0


def left(desk: Desk, payment: UUID) -> int:
    with desk.clinic_transaction():
        return questions.refundable(questions.of_id(payment, desk.patient_id)).minor


# A second person


def test_just_the_limit_needs_nobody_else(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    limit(desk, 5000)
    assert give_back(desk, payment, 5000) == "succeeded"
    other = desk.paid(desk.invoice(12000))
    assert give_back(desk, other, 5000) == "succeeded"  # each payment for itself


def test_what_failed_or_was_withdrawn_is_not_added_up(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    give_back(desk, payment, 3000)
    (made,) = desk.fake.objects("refund", desk.account_id)
    desk.fake.fail_refund(made["id"])
    desk.look(payment)
    limit(desk, 5000)
    refund = ask(desk, payment, 6000)
    with desk.staff():
        refunds.withdraw(refund, payment)
    assert give_back(desk, payment, 5000) == "succeeded"
    assert [each["refund"] for each in recorded(desk.app, "refund.withdrawn")] == [str(refund)]


def test_what_is_asked_for_is_on_record_with_the_amount_and_no_name(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(5000))
    refund = ask(desk, payment, 2000)
    assert recorded(desk.app, "refund.asked") == [{"refund": str(refund), "amount_minor": 2000, "currency": "usd"}]


def test_a_dispute_between_two_people_stops_it(desk: Desk) -> None:
    """Lost: the money goes back by the clinic and by the bank."""
    payment = desk.paid(desk.invoice(12000))
    limit(desk, 5000)
    refund = ask(desk, payment, 6000)
    desk.fake.dispute(desk.intent(payment))
    desk.look(payment)
    with pytest.raises(Refused, match="disputes"), desk.staff(ANA):
        refunds.confirm(refund, payment)


def test_who_confirms_is_on_record_and_begins_the_day_in_which_stripe_is_asked(desk: Desk) -> None:
    payment = desk.paid(desk.invoice(12000))
    limit(desk, 5000)
    refund = ask(desk, payment, 6000)
    with clock.moved(timedelta(days=2)):
        with desk.staff(ANA):
            refunds.confirm(refund, payment)
            assert refunds.get(refund, payment).confirmed_by_id == inside.member(ANA).id != inside.member(BEN).id
        assert refunds.send(refund, payment) == "succeeded"
    assert [each["refund"] for each in recorded(desk.app, "refund.confirmed")] == [str(refund)]


def test_what_waits_for_a_second_person_is_listed_with_whose_it_is(desk: Desk) -> None:
    """Lost: somebody confirms for one family what was asked for another."""
    other = of_another_patient(desk)
    payment = desk.paid(desk.invoice(12000))
    limit(desk, 0)
    first, second = ask(desk, payment, 6000), ask(desk, other, 100)
    with desk.clinic_transaction():
        found = refunds.unconfirmed()
        assert [(each.id, each.payment_id, each.amount.minor) for each in found] == [(first, payment, 6000), (second, other, 100)]
        assert [each.patient_id == desk.patient_id for each in found] == [True, False]
        assert {each.patient_name for each in found} == {"Nell Newcomer"}


# Asking Stripe


def test_what_was_asked_just_now_is_left_to_who_asked(still: None, desk: Desk) -> None:
    """The job of each minute takes up what was left, and not what another is sending at this moment."""
    payment = desk.paid(desk.invoice(12000))
    ask(desk, payment, 2000)
    for minutes in (0, 2):
        desk.look_again(minutes=minutes)
        assert desk.fake.objects("refund", desk.account_id) == [] and statuses(desk) == ["asked"]
    with clock.moved(timedelta(minutes=2, seconds=30)):
        desk.look_again()
    assert statuses(desk) == ["succeeded"] and desk.balance() == 2000


def test_nothing_is_sent_twice_and_nothing_given_up_while_it_may_have_been_sent(still: None, desk: Desk) -> None:
    """Stripe forgets keys after a day: shortly before, asking ends; after it, what Stripe does not know was never made."""
    payment = desk.paid(desk.invoice(12000))
    refund = ask(desk, payment, 2000)
    desk.fake.fault("POST /v1/refunds", "500", times=None)
    for minutes, is_asked, status in ((23 * 60 - 1, True, "asked"), (23 * 60, False, "asked"), (24 * 60, False, "asked"), (24 * 60 + 1, False, "failed")):
        before = len(_sent(desk))
        with clock.moved(timedelta(minutes=minutes)):
            if is_asked:
                with pytest.raises(StripeUnknown):
                    refunds.send(refund, payment)
            else:
                refunds.send(refund, payment)
        assert (len(_sent(desk)) > before, statuses(desk)) == (is_asked, [status]), minutes
    desk.fake.clear_faults()
    assert recorded(desk.app, "refund.failed") == [{"refund": str(refund), "amount_minor": 2000, "currency": "usd"}]
    with desk.staff():
        found = refunds.get(refund, payment)
        assert (found.fault, found.ended_at is None) == ("never_made", False)
    assert refunds.send(refund, payment) == "failed" and _sent(desk) == _sent(desk)[:2]


def test_what_was_made_is_not_given_up_however_late_it_is_found(desk: Desk) -> None:
    """Lost: staff read that it failed and give the same money back again."""
    payment = desk.paid(desk.invoice(12000))
    refund = ask(desk, payment, 2000)
    desk.fake.fault("POST /v1/refunds", "lost", times=None)
    with pytest.raises(StripeUnknown):
        refunds.send(refund, payment)
    desk.fake.clear_faults()
    with clock.moved(timedelta(hours=25)):
        assert refunds.send(refund, payment) == "succeeded"
    assert desk.balance() == 2000 and recorded(desk.app, "refund.failed") == []


def _sent(desk: Desk) -> list[str]:
    return [each["idempotency_key"] for each in desk.fake.requests("/v1/refunds") if each["method"] == "POST"]


def test_what_stripe_refuses_keeps_stripes_reason(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """The page tells staff why nothing went back, and the log whoever runs the portal."""
    payment = desk.paid(desk.invoice(12000))
    refund = ask(desk, payment, 12000)
    desk.fake.refund(desk.account_id, desk.intent(payment))
    assert refunds.send(refund, payment) == "failed"
    with desk.staff():
        assert refunds.get(refund, payment).fault == "charge_already_refunded"
    assert f"refused refund {refund}: charge_already_refunded" in caplog.text
