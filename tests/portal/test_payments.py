"""The family's pages for paying.

Lost if it fails: somebody pays what they do not owe, does not learn what became of their money, or is told a lie about it.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import product
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import text

from clinic.account import LineKind, LineRow
from clinic.billing_papers import said
from clinic.money import Money
from clinic.payment_processing import find_present
from tenancy.database import db
from tests import inside
from tests.paying import Desk, at_elm, give_billing
from tests.stripe_fake.client import StripeFake
from tests.visitor import Visitor


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        yield standing


def pay_page(desk: Desk) -> str:
    return f"/patients/{desk.patient_id}/payments/new"


def form_of(page: str) -> str:
    found = re.search(r'name="payment_id"[^>]*value="([^"]+)"', page)
    assert found
    return found[1]


def start(desk: Desk, who: Visitor, *invoices: UUID, **form: str) -> tuple[UUID, str]:
    """The payment's id and where Stripe's page is."""
    payment_id = form.pop("payment_id", None) or form_of(who.read(pay_page(desk)))
    answer = who.post(pay_page(desk), {"payment_id": payment_id, "invoices": [str(each) for each in invoices], **form})
    assert answer.status_code == 303, answer.text
    return UUID(payment_id), answer.headers["Location"]


def session_of(url: str) -> str:
    return url.rpartition("/")[2]


def way_back(desk: Desk, who: Visitor, which: str = "success_url") -> str:
    """Where the address that Stripe was given leads."""
    (session,) = desk.fake.objects("checkout.session", desk.account_id)
    given = urlsplit(session[which])
    answer = who.get(f"{given.path}?{given.query}")
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"])


def test_from_the_bill_to_stripe_and_back(desk: Desk, maria: Visitor) -> None:
    invoice = desk.invoice(12000)
    page = maria.read(pay_page(desk))
    assert "$120.00" in page and "checked" in page
    payment, url = start(desk, maria, invoice)
    assert url.startswith(desk.fake.url)
    assert "form-action 'self' " + desk.fake.url in maria.get(pay_page(desk)).headers["Content-Security-Policy"]
    desk.fake.pay(session_of(url))
    where = way_back(desk, maria)
    assert where.startswith(f"/patients/{desk.patient_id}/payments/{payment}?returned=")
    checking = maria.read(where)
    assert "We are checking" in checking and 'http-equiv="refresh"' in checking and "data-refresh-seconds" in checking
    assert where.partition("?")[2] in checking  # it goes on asking with the same address
    desk.look(payment)
    arrived = maria.read(where)
    assert "Your payment has arrived" in arrived and "refresh" not in arrived
    assert desk.due(invoice) == 0


def test_the_way_back_is_the_payers_alone(desk: Desk, maria: Visitor, omar: Visitor) -> None:
    """It names the payment and nobody, and opens to nobody else: not to another parent, nor to one who lost access."""
    with desk.staff():
        give_billing(inside.user("omar@family.example").id, desk.patient_id)
    payment, _url = start(desk, maria, desk.invoice(5000))
    assert way_back(desk, maria, "cancel_url") == f"/patients/{desk.patient_id}/payments/{payment}"
    told = [omar.get(f"/payments/{each}?returned=1") for each in (payment, uuid4())]
    assert [each.status_code for each in told] == [404, 404]
    with desk.clinic_transaction():
        db.session.execute(text("UPDATE portal_access SET ended_at = now() WHERE patient_id = :id"), {"id": desk.patient_id})
    assert maria.get(f"/payments/{payment}").status_code == 404


def test_the_page_stops_asking_after_a_while_and_says_what_happens_next(desk: Desk, maria: Visitor) -> None:
    payment, _url = start(desk, maria, desk.invoice(5000))
    long_ago = int(time.time()) - 300
    page = maria.read(f"/patients/{desk.patient_id}/payments/{payment}?returned={long_ago}")
    assert "takes longer than usual" in page and "http-equiv" not in page and "Call it off" not in page
    for made_up in ("soon", "-1", "9" * 40, "1e9"):
        assert maria.get(f"/patients/{desk.patient_id}/payments/{payment}?returned={made_up}").status_code == 200


def test_what_a_form_says_of_amounts_is_not_believed(desk: Desk, maria: Visitor) -> None:
    invoice = desk.invoice(5000)
    form = form_of(maria.read(pay_page(desk)))
    start(desk, maria, invoice, payment_id=form, amount_minor="1", currency="jpy", account_id="acct_evil")
    (session,) = desk.fake.objects("checkout.session", desk.account_id)
    assert (session["amount_total"], session["currency"]) == (5000, "usd")


@pytest.mark.parametrize("amount", ["0", "-5", "0.005", "NaN", "1e309", "1,000,000,000.00", "fifty", "60"])
def test_an_amount_that_is_none_is_refused_at_the_field_and_stays_there(desk: Desk, maria: Visitor, amount: str) -> None:
    desk.allow_partial()
    invoice = desk.invoice(5000)
    form = form_of(maria.read(pay_page(desk)))
    answer = maria.post(pay_page(desk), {"payment_id": form, "invoices": [str(invoice)], "amount": amount})
    assert answer.status_code == 422 and "error-summary" in answer.text and f'value="{amount}"' in answer.text
    assert desk.fake.objects("checkout.session", desk.account_id) == []


def test_a_part_where_the_clinic_allows_it(desk: Desk, maria: Visitor) -> None:
    invoice = desk.invoice(500000)
    desk.allow_partial()
    _payment, url = start(desk, maria, invoice, amount="1,000.00")
    desk.fake.pay(session_of(url))
    (session,) = desk.fake.objects("checkout.session", desk.account_id)
    assert session["amount_total"] == 100000


def test_eight_presses_are_one_checkout(desk: Desk, maria: Visitor) -> None:
    invoice = desk.invoice(5000)
    form = form_of(maria.read(pay_page(desk)))
    urls = {start(desk, maria, invoice, payment_id=form)[1] for _ in range(8)}
    assert len(urls) == 1 and len(desk.fake.objects("checkout.session", desk.account_id)) == 1


def test_another_tab_leads_to_what_was_begun_before(desk: Desk, maria: Visitor) -> None:
    invoice = desk.invoice(5000)
    payment, url = start(desk, maria, invoice)
    answer = maria.post(pay_page(desk), {"payment_id": str(uuid4()), "invoices": [str(invoice)]})
    assert answer.headers["Location"].endswith(f"/payments/{payment}")
    assert str(invoice) not in maria.read(pay_page(desk))  # it is not offered meanwhile
    page = maria.read(answer.headers["Location"])
    assert "not paid yet" in page and "Go on to the payment page" in page
    assert maria.post(f"/patients/{desk.patient_id}/payments/{payment}/checkout").headers["Location"] == url
    maria.post(f"/patients/{desk.patient_id}/payments/{payment}/calling-off")
    assert desk.status(payment) == "ended"
    assert len([each for each in desk.fake.objects("checkout.session", desk.account_id) if each["status"] == "open"]) == 0
    assert start(desk, maria, invoice)[0] != payment


def test_the_other_parent_is_told_and_learns_nobodys_name(desk: Desk, maria: Visitor, omar: Visitor) -> None:
    with desk.staff():
        give_billing(inside.user("omar@family.example").id, desk.patient_id)
    invoice = desk.invoice(5000)
    payment, _url = start(desk, maria, invoice)
    form = form_of(omar.read(pay_page(desk)))
    answer = omar.post(pay_page(desk), {"payment_id": form, "invoices": [str(invoice)]})
    assert answer.status_code == 409 and "already being paid" in answer.text and "Maria" not in answer.text
    for path in ("", "/checkout", "/calling-off"):
        where = f"/patients/{desk.patient_id}/payments/{payment}{path}"
        assert (omar.post(where) if path else omar.get(where)).status_code == 404
    assert desk.status(payment) == "open"


def test_stripe_that_does_not_answer_is_no_failure(desk: Desk, maria: Visitor) -> None:
    """The page says that we are checking; asking again has the same key and makes one page."""
    invoice = desk.invoice(5000)
    desk.fake.fault("POST /v1/checkout/sessions", "lost", times=None)
    began = time.monotonic()
    payment, where = start(desk, maria, invoice)
    assert time.monotonic() - began < 10
    page = maria.read(where)
    assert "We are checking" in page and "did not go through" not in page
    desk.fake.clear_faults()
    again = maria.post(f"/patients/{desk.patient_id}/payments/{payment}/checkout").headers["Location"]
    assert again.startswith(desk.fake.url)
    assert len(desk.fake.objects("checkout.session", desk.account_id)) == 1


def test_an_amount_too_small_for_stripe_says_so(desk: Desk, maria: Visitor) -> None:
    _payment, where = start(desk, maria, desk.invoice(10))
    page = maria.read(where)
    assert "too small to be paid online" in page and "Nothing was paid" in page


def test_each_state_has_its_own_words_and_a_way_back(desk: Desk, maria: Visitor) -> None:
    bank = desk.paid(desk.invoice(5000), how="bank_debit")
    page = maria.read(f"/patients/{desk.patient_id}/payments/{bank}")
    assert "five working days" in page and "Back to billing" in page and "Pay again" not in page
    desk.fake.settle(desk.intent(bank), ok=False)
    desk.look(bank)
    assert "did not go through" in maria.read(f"/patients/{desk.patient_id}/payments/{bank}")
    old = desk.begin(desk.invoice(700))
    desk.look_again(minutes=31)
    assert "Nothing was paid" in maria.read(f"/patients/{desk.patient_id}/payments/{old}")


def test_the_button_is_gone_as_soon_as_the_clinic_takes_no_payments(desk: Desk, maria: Visitor) -> None:
    payment = desk.paid(desk.invoice(5000))
    invoice = desk.invoice(700)
    form = form_of(maria.read(pay_page(desk)))
    with desk.staff():
        present = find_present()
        assert present
        present.charges_enabled = False
    assert "No payments online at the moment" in maria.read(pay_page(desk))
    answer = maria.post(pay_page(desk), {"payment_id": form, "invoices": [str(invoice)]})
    assert answer.status_code == 422
    assert "has arrived" in maria.read(f"/patients/{desk.patient_id}/payments/{payment}")


def test_what_stripe_did_is_said_in_the_readers_language(desk: Desk, maria: Visitor) -> None:
    """Paid, given back, put back; disputed, lost and won: lines that no person wrote. What the clinic wrote stays as it is."""
    payment = desk.paid(desk.invoice(12000))
    made = desk.fake.refund(desk.account_id, desk.intent(payment), 3000)
    desk.look(payment)
    desk.fake.fail_refund(made["id"])
    desk.look(payment)
    maria.post("/profile", {"name": "Maria Lopez", "phone": "", "language": "es"})
    page = maria.read(f"/patients/{desk.patient_id}/billing")
    for spanish in ("Pagado en línea", "Reembolsado", "El reembolso no llegó", "A visit"):
        assert spanish in page
    for english in ("Paid online", "Refunded", "did not arrive"):
        assert english not in page


def test_every_line_that_stripe_causes_has_words() -> None:
    """A kind without any would be read in English by everybody."""
    for kind, is_correction in ((LineKind.PAYMENT, False), *product((LineKind.REFUND, LineKind.CHARGEBACK), (False, True))):
        line = LineRow(uuid4(), kind, "in English", date(2026, 1, 1), Money(1, "usd"), None, uuid4() if is_correction else None, None, "re_1")
        assert said(line) != "in English" == said(replace(line, source_id=None))
