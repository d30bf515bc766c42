"""Staff's pages for payments online.

Lost if it fails: money is given back by whoever may not, twice, or without anybody seeing how it stands.
"""

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import text

from clinic import billing_settings, demo
from clinic.payments import problems, refunds
from clinic.payments.problems import ProblemKind
from tenancy.database import db
from tests.paying import Desk, at_elm
from tests.stripe_fake.client import NotPossible, StripeFake
from tests.visitor import Visitor


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        yield standing


def page_of(desk: Desk, payment: UUID) -> str:
    return f"/{demo.ELM}/patients/{desk.patient_id}/payments/{payment}"


def give_back(desk: Desk, who: Visitor, payment: UUID, amount: str, reason: str = "Agreed") -> tuple[int, str]:
    """The status, and the page that follows."""
    where = f"{page_of(desk, payment)}/refunds/new"
    found = re.search(r'name="refund_id"[^>]*value="([^"]+)"', who.read(where))
    assert found
    answer = who.post(where, {"refund_id": found[1], "amount": amount, "reason": reason})
    return answer.status_code, who.read(page_of(desk, payment)) if answer.status_code == 303 else answer.text


def test_a_payment_is_found_and_given_back(desk: Desk, ben: Visitor) -> None:
    invoice = desk.invoice(12000)
    payment = desk.paid(invoice)
    listed = ben.read(f"/{demo.ELM}/patients/{desk.patient_id}/payments")
    assert "$120.00" in listed and "Visa 4242" in listed
    status, page = give_back(desk, ben, payment, "20.00")
    assert status == 303 and "It is given back" in page and "$100.00" in page
    assert desk.due(invoice) == 2000


@pytest.mark.parametrize("amount", ["120.01", "0", "twelve", ""])
def test_an_amount_that_cannot_be_given_back_is_refused_at_the_field(desk: Desk, ben: Visitor, amount: str) -> None:
    status, page = give_back(desk, ben, desk.paid(desk.invoice(12000)), amount)
    assert status == 422 and "error-summary" in page and desk.fake.objects("refund", desk.account_id) == []


def test_above_the_limit_a_colleague_confirms(desk: Desk, ben: Visitor, ana: Visitor) -> None:
    payment = desk.paid(desk.invoice(12000))
    with desk.staff():
        billing_settings.get().refund_limit_minor = 5000
    _status, page = give_back(desk, ben, payment, "60.00")
    assert "a colleague must confirm it" in page and "Confirm $60.00" not in page
    with desk.clinic_transaction():
        (waiting,) = refunds.unconfirmed()
    confirmation = f"{page_of(desk, payment)}/refunds/{waiting.id}/confirmation"
    assert ben.post(confirmation).status_code == 303 and desk.balance() == 0
    assert "Somebody else must confirm it" in ben.read(page_of(desk, payment))
    assert "Nell Newcomer" in ana.read(f"/{demo.ELM}/billing/problems")
    assert "Confirm $60.00" in ana.read(page_of(desk, payment))
    ana.post(confirmation)
    assert "It is given back" in ana.read(page_of(desk, payment)) and desk.balance() == 6000


def test_stripe_that_does_not_answer_is_said_and_nothing_is_asked_twice(desk: Desk, ben: Visitor) -> None:
    payment = desk.paid(desk.invoice(12000))
    desk.fake.fault("POST /v1/refunds", "lost", times=None)
    _status, page = give_back(desk, ben, payment, "20.00")
    assert "We do not know yet" in page and "Being checked with Stripe" in page
    desk.fake.clear_faults()
    desk.look_again(minutes=5)
    assert "Given back" in ben.read(page_of(desk, payment))
    assert len(desk.fake.objects("refund", desk.account_id)) == 1


def test_a_dispute_is_shown_with_the_day_of_the_answer(desk: Desk, ben: Visitor) -> None:
    payment = desk.paid(desk.invoice(12000))
    desk.fake.dispute(desk.intent(payment))
    desk.look(payment)
    page = ben.read(page_of(desk, payment))
    assert "Disputed" in page and "answer in Stripe" in page
    assert "Answer by" in ben.read(f"/{demo.ELM}/billing/problems")
    status, refused = give_back(desk, ben, payment, "1.00")
    assert status == 422 and "disputes this payment" in refused


def test_a_problem_stays_until_somebody_settles_it(desk: Desk, ben: Visitor) -> None:
    where = f"/{demo.ELM}/billing/problems"
    assert "Nothing needs attention" in ben.read(where)
    payment = desk.paid(desk.invoice(12000))
    with desk.staff():
        problems.report(ProblemKind.CREDITED, str(payment), payment)
        problems.report(ProblemKind.UNKNOWN, "pi_of_nobody")
    page = ben.read(where)
    assert "not open any more" in page and "pi_of_nobody" in page
    with desk.clinic_transaction():
        listed = problems.still_open()
    for each in listed:
        assert ben.post(f"{where}/{each.id}/settling").status_code == 303
    assert "Settled" in ben.read(where)
    ben.post(f"{where}/{listed[0].id}/settling")
    assert "settled already" in ben.read(where)


def test_who_does_not_keep_the_books_sees_none_of_it(desk: Desk, app: Flask) -> None:
    payment = desk.paid(desk.invoice(12000))
    fay = Visitor(app, "http://admin.localhost:8000").sign_in("fay@elm.example", f"/{demo.ELM}")
    for path in (page_of(desk, payment), f"{page_of(desk, payment)}/refunds/new", f"/{demo.ELM}/billing/problems"):
        assert fay.get(path).status_code == 403


def test_voiding_ends_what_somebody_is_about_to_pay(desk: Desk, ben: Visitor) -> None:
    invoice = desk.invoice(12000)
    payment = desk.begin(invoice)
    session = desk.open(payment)
    where = f"/{demo.ELM}/patients/{desk.patient_id}/invoices/{invoice}/voiding"
    ben.read(where)
    assert ben.post(where, {"reason": "Billed twice"}).status_code == 303
    assert desk.status(payment) == "ended"
    with pytest.raises(AssertionError, match="expired"):
        desk.fake.pay(session)


def end_page(desk: Desk, who: Visitor, payment: UUID) -> str:
    """What the page says that the button leads back to."""
    answer = who.post(f"{page_of(desk, payment)}/ending", headers={"Referer": f"{who.base_url}{page_of(desk, payment)}"})
    assert (answer.status_code, answer.headers["Location"]) == (303, page_of(desk, payment))
    return who.read(page_of(desk, payment))


def test_the_desk_ends_the_familys_payment_page_before_it_takes_cash(desk: Desk, ben: Visitor) -> None:
    invoice = desk.invoice(12000)
    payment = desk.begin(invoice)
    session = desk.open(payment)
    page = ben.read(f"/{demo.ELM}/patients/{desk.patient_id}/invoices/{invoice}")
    assert "Somebody is paying" in page and "Record a payment" not in page and "End the family" in page
    assert "Nothing was paid there" in end_page(desk, ben, payment)
    with pytest.raises(NotPossible):
        desk.fake.pay(session)
    assert "Record a payment" in ben.read(f"/{demo.ELM}/patients/{desk.patient_id}/invoices/{invoice}")
    assert desk.status(payment) == "ended" and "payment.ended" in desk.events("payment.")


@pytest.mark.parametrize(("how", "said"), [("card", "It was paid in this very moment"), ("bank_debit", "bank was asked for the money")])
def test_what_was_paid_in_that_moment_is_told_and_stays_paid(desk: Desk, ben: Visitor, how: str, said: str) -> None:
    invoice = desk.invoice(12000)
    payment = desk.pay(invoice, how=how)
    assert said in end_page(desk, ben, payment)
    assert desk.due(invoice) == (0 if how == "card" else 12000)
    assert "End the family" not in ben.read(page_of(desk, payment))


def test_a_silent_stripe_ends_nothing_and_is_said(desk: Desk, ben: Visitor) -> None:
    payment = desk.begin(desk.invoice(12000))
    session = desk.open(payment)
    desk.fake.fault("POST /v1/checkout/sessions/*", "down", times=None)
    assert "Nothing was ended" in end_page(desk, ben, payment)
    desk.fake.clear_faults()
    assert desk.status(payment) == "open"
    desk.fake.pay(session)


def test_a_card_that_is_charged_by_itself_has_no_page_to_end(desk: Desk, ben: Visitor) -> None:
    payment = desk.begin(desk.invoice(12000))
    with desk.staff():
        db.session.execute(text("UPDATE payments SET way = 'autopay' WHERE id = :id"), {"id": payment})
    assert "End the family" not in ben.read(page_of(desk, payment))
    assert "Nothing was ended" in end_page(desk, ben, payment)
    assert desk.status(payment) == "starting"
