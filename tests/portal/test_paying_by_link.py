"""Paying a mailed invoice without signing in.

Lost if it fails: a grandmother who gets the bill by mail pays twice, or is told a lie about her money; or whoever comes by her
link learns more than an amount, pays what is not theirs to pay, or stands in the way of the family for good.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from clinic import access_holds, contacts, demo, invoices, payments
from clinic.audit import AuditEntry
from clinic.payment_processing import find_present
from mail.outbox import OutgoingLetter
from tenancy import clock, link_tokens
from tenancy.database import db
from tenancy.languages import Language
from tenancy.tenant import Role
from tests import books, inside
from tests.paying import GRETA, Desk, at_elm
from tests.portal.test_payments import form_of, pay_page, session_of
from tests.stripe_fake.client import StripeFake
from tests.visitor import Visitor

PAGE, DUE = "/link/invoice", 8000
HERS = ("Nell", "Newcomer", "A visit", "Maria", "Leo")


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        standing.let_links_pay()
        yield standing


@pytest.fixture
def invoice(desk: Desk) -> UUID:
    return desk.invoice(DUE)


@pytest.fixture
def greta(desk: Desk, invoice: UUID) -> Visitor:
    """She followed the link of her letter, in a browser of her own; nobody is signed in."""
    return follow(Visitor(desk.app, "http://elm-street.localhost:8000"), desk.mail(invoice))


def follow(visitor: Visitor, secret: str) -> Visitor:
    assert visitor.get(f"{PAGE}/{secret}").headers["Location"] == PAGE
    return visitor


def fields_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'name="(payment_id|mailing_id)"[^>]*value="([^"]+)"', page))


def press(who: Visitor, **typed: str) -> TestResponse:
    return who.post(PAGE, fields_of(who.read(PAGE)) | typed)


def begun(desk: Desk) -> UUID:
    """The payment that was begun last."""
    with desk.clinic_transaction():
        return payments.of_patient(desk.patient_id)[0].id


def start(desk: Desk, who: Visitor) -> tuple[UUID, str]:
    """The payment's id and where Stripe's page is."""
    answer = press(who)
    assert answer.status_code == 303 and answer.headers["Location"].startswith(desk.fake.url), answer.headers
    return begun(desk), answer.headers["Location"]


def where(payment: UUID, step: str = "") -> str:
    return f"/mailed-invoice/payments/{payment}{step}"


def way_back(desk: Desk, which: str = "success_url") -> str:
    *_, session = desk.fake.objects("checkout.session", desk.account_id)
    given = urlsplit(session[which])
    return f"{given.path}?{given.query}"


def open_pages(desk: Desk) -> int:
    return len([each for each in desk.fake.objects("checkout.session", desk.account_id) if each["status"] == "open"])


def test_from_the_letter_to_stripe_and_back(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    page = greta.read(PAGE)
    assert "Pay $80.00" in page and "Elm Street Therapy" in page
    policy = greta.get(PAGE).headers["Content-Security-Policy"]
    assert f"form-action 'self' {desk.fake.url}" in policy
    payment, url = start(desk, greta)
    desk.fake.pay(session_of(url))
    back = greta.get(way_back(desk))
    assert back.status_code == 303
    checking = greta.read(back.headers["Location"])
    assert "We are checking" in checking and 'http-equiv="refresh"' in checking and "data-refresh-seconds" in checking
    desk.look(payment)
    arrived = greta.read(back.headers["Location"])
    assert "Your payment has arrived" in arrived and "receipt waits in the patient portal" in arrived and "refresh" not in arrived
    assert "This invoice is paid" in greta.read(PAGE)
    for each in (page, checking, arrived):
        assert [word for word in HERS if word in each] == []
    assert (desk.due(invoice), desk.lines(), desk.balance()) == (0, [("payment", -DUE)], 0)


def test_what_was_not_paid_can_be_paid_again(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    payment, url = start(desk, greta)
    assert "not paid yet" in greta.read(way_back(desk, "cancel_url").rstrip("?"))
    assert greta.post(where(payment, "/checkout")).headers["Location"] == url
    assert greta.post(where(payment, "/calling-off")).headers["Location"] == PAGE
    assert (desk.status(payment), open_pages(desk)) == ("ended", 0)
    assert "Nothing was paid" in greta.read(where(payment))
    second, url = start(desk, greta)
    assert second != payment
    desk.fake.pay(session_of(url))
    assert "may have been paid" in greta.get(greta.post(where(second, "/calling-off")).headers["Location"]).text
    desk.look(second)
    assert desk.due(invoice) == 0


def test_a_declined_debit_is_told_on_the_page_and_by_letter(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    form = fields_of(greta.read(PAGE))
    payment, url = start(desk, greta)
    debit = desk.fake.pay(session_of(url), "bank_debit")
    desk.look(payment)
    assert "bank has been asked" in greta.read(where(payment))
    again = greta.post(PAGE, form | {"payment_id": str(uuid4())})
    assert again.headers["Location"] == where(payment)  # and is not paid twice meanwhile
    desk.fake.settle(str(debit["payment_intent"]), ok=False)
    desk.look(payment)
    page = greta.read(where(payment))
    assert "did not go through" in page and "Back to the invoice" in page
    assert desk.letters() == ["payment_failed"] and "Pay $80.00" in greta.read(PAGE)


def test_the_letters_go_where_the_invoice_went_in_that_persons_language(desk: Desk, invoice: UUID, portal: Visitor) -> None:
    """Also when the contact has another address by then: it is the reader of the first who paid."""
    follow(portal, desk.mail(invoice, language=Language.SPANISH))
    payment, url = start(desk, portal)
    desk.fake.pay(session_of(url))
    with desk.clinic_transaction():
        db.session.execute(text("UPDATE contacts SET email = 'x@x.example', email_norm = 'x@x.example' WHERE email = :old"), {"old": GRETA})
    desk.look(payment)
    with desk.clinic_transaction():
        *_, letter = db.session.query(OutgoingLetter).order_by(OutgoingLetter.posted_at)
        assert (letter.kind, letter.to_address, letter.language) == ("receipt_waits", GRETA, "es")


def test_eight_presses_are_one_page(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    form = fields_of(greta.read(PAGE))
    urls = {greta.post(PAGE, form).headers["Location"] for _ in range(8)}
    assert len(urls) == 1 and len(desk.fake.objects("checkout.session", desk.account_id)) == 1


def test_another_tab_leads_to_what_was_begun_before(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    form = fields_of(greta.read(PAGE))
    payment, _url = start(desk, greta)
    page = greta.read(PAGE)
    assert "You began to pay this" in page and "Pay $80.00" not in page
    answer = greta.post(PAGE, form | {"payment_id": str(uuid4())})
    assert answer.headers["Location"] == where(payment)
    assert open_pages(desk) == 1


def test_the_family_and_the_link_are_told_of_each_other_and_learn_nobodys_name(
    desk: Desk, invoice: UUID, greta: Visitor, maria: Visitor
) -> None:
    start(desk, greta)
    form = form_of(maria.read(pay_page(desk)))
    answer = maria.post(pay_page(desk), {"payment_id": form, "invoices": [str(invoice)]})
    assert answer.status_code == 409 and "already being paid" in answer.text and "Greta" not in answer.text
    greta.post(where(begun(desk), "/calling-off"))
    assert maria.post(pay_page(desk), {"payment_id": form, "invoices": [str(invoice)]}).status_code == 303
    answer = press(greta)
    assert answer.status_code == 409 and "already being paid" in answer.text
    assert [word for word in HERS if word in answer.text] == []
    assert open_pages(desk) == 1


def test_two_letters_in_one_browser_do_not_pay_for_one_another(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    """The first letter's page, still open in its tab, when the second was followed: nothing is begun, and the page says what is due."""
    form = fields_of(greta.read(PAGE))
    follow(greta, desk.mail(desk.invoice(300)))
    answer = greta.post(PAGE, form)
    assert answer.status_code == 409 and "Look at the amount" in answer.text and "$3.00" in answer.text
    assert desk.fake.requests("/v1/checkout") == []


def check_not_offered(desk: Desk, who: Visitor, form: dict[str, str]) -> None:
    """Not on the page, and not by the form of a page that was opened before."""
    page = who.get(PAGE)
    assert "Pay $80.00" not in page.text and ("sign-in" in page.text or "new-link" in page.text)
    answer = who.post(PAGE, form)
    assert answer.status_code in (303, 409, 410, 422), answer.status_code
    assert desk.fake.requests("/v1/checkout") == []
    with desk.clinic_transaction():
        assert payments.of_patient(desk.patient_id) == []


def switched_off(desk: Desk, _invoice: UUID) -> None:
    desk.let_links_pay(pays=False)


def account_restricted(desk: Desk, _invoice: UUID) -> None:
    with desk.staff():
        present = find_present()
        assert present
        present.charges_enabled = False


def processing_off(desk: Desk, _invoice: UUID) -> None:
    with desk.staff():
        db.session.execute(text("UPDATE clinics SET payment_processing_since_at = NULL WHERE id = app.clinic_id()"))


def voided(desk: Desk, invoice: UUID) -> None:
    with desk.staff():
        invoices.void(invoice, desk.patient_id, "A slip")


def paid_in_cash(desk: Desk, invoice: UUID) -> None:
    with desk.staff():
        invoices.allocate(books.cash(desk.patient_id, DUE), [(invoice, books.usd(DUE))])


def kept_away(desk: Desk, _invoice: UUID) -> None:
    with desk.staff():
        access_holds.block(desk.patient_id, contact_id=None, email=GRETA, reason="A court said so")


def parted(desk: Desk, _invoice: UUID) -> None:
    with desk.staff():
        contacts.part(contacts.of_patient(desk.patient_id)[0].relationship_id)


def mailed_again(desk: Desk, invoice: UUID) -> None:
    with clock.moved(timedelta(minutes=6)):
        desk.mail(invoice)


NOT_PAYABLE = [switched_off, account_restricted, processing_off, voided, paid_in_cash, kept_away, parted, mailed_again]
ENDS_THE_PAGE = [switched_off, paid_in_cash, kept_away, parted, mailed_again]


@pytest.mark.parametrize("happens", NOT_PAYABLE)
def test_what_is_not_to_be_paid_by_the_link(
    desk: Desk, invoice: UUID, greta: Visitor, happens: Callable[[Desk, UUID], None]
) -> None:
    form = fields_of(greta.read(PAGE))
    happens(desk, invoice)
    check_not_offered(desk, greta, form)


def test_an_expired_link_pays_nothing(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    form = fields_of(greta.read(PAGE))
    with clock.moved(timedelta(days=7)):
        check_not_offered(desk, greta, form)


def test_a_suspended_clinic_is_no_clinic(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    form = fields_of(greta.read(PAGE))
    with inside.inside(desk.app, demo.ELM, Role.OPERATOR):
        db.session.execute(text("UPDATE clinics SET status = 'suspended' WHERE id = app.clinic_id()"))
    assert greta.get(PAGE).status_code == 404 and greta.post(PAGE, form).status_code in (403, 404)
    assert desk.fake.requests("/v1/checkout") == []


@pytest.mark.parametrize("happens", ENDS_THE_PAGE)
def test_an_open_page_is_ended_when_its_link_is_no_longer_good(
    desk: Desk, invoice: UUID, greta: Visitor, happens: Callable[[Desk, UUID], None]
) -> None:
    payment, url = start(desk, greta)
    happens(desk, invoice)
    assert not greta.post(where(payment, "/checkout")).headers["Location"].startswith(desk.fake.url)
    desk.look_again()
    assert (desk.status(payment), open_pages(desk)) == ("ended", 0), url
    assert "Nothing was paid" in greta.read(where(payment))


def test_an_open_page_stays_while_its_link_is_good(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    """Else whoever types in a card number for a minute finds the page gone."""
    payment, url = start(desk, greta)
    desk.look_again()
    assert (desk.status(payment), open_pages(desk)) == ("open", 1)
    desk.fake.pay(session_of(url))
    desk.look(payment)
    assert desk.due(invoice) == 0


def test_what_became_of_the_money_is_told_after_the_link_has_run_out_too(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    payment, url = start(desk, greta)
    desk.fake.pay(session_of(url))
    with clock.moved(timedelta(days=7)):
        desk.look_again()
        assert "has arrived" in greta.read(where(payment)) and greta.get(PAGE).status_code == 410
    assert desk.due(invoice) == 0


def test_a_payment_is_shown_to_nobody_but_who_holds_its_link(desk: Desk, invoice: UUID, greta: Visitor, maria: Visitor) -> None:
    """Another link's holder, the family's own payments, another clinic's portal, no link at all, an id made up: one answer."""
    payment, _url = start(desk, greta)
    other = Visitor(desk.app, greta.base_url)
    follow(other, desk.mail(desk.invoice(300)))
    other.get(PAGE)
    marias = desk.begin(desk.invoice(400))
    at_oak = greta.at(greta.base_url.replace(demo.ELM, demo.OAK))
    nobody = Visitor(desk.app, greta.base_url)
    for who, asked in ((other, payment), (nobody, payment), (maria, payment), (greta, marias)):
        who.get("/sign-in")
        seen = {visitor_answer(who, asked, step) for step in ("", "/checkout", "/calling-off")}
        assert seen == {visitor_answer(who, uuid4(), "")} and {status for status, _page in seen} == {404}
    assert "If you have just paid, nothing is lost" in nobody.get(where(payment)).text
    assert at_oak.get(where(payment)).status_code == 404
    assert desk.status(payment) == "open"


def visitor_answer(who: Visitor, payment: UUID, step: str) -> tuple[int, str]:
    answer = who.post(where(payment, step)) if step else who.get(where(payment))
    page = re.sub(r'(value|nonce|content|name="next" value)="[^"]*"|nonce-[^\']*', "", answer.text)
    return answer.status_code, page.replace(str(payment), "ID")


def test_another_link_pays_another_invoice(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    """A form that names somebody else's payment, mailing, amount or account begins what the link is for, or nothing."""
    other = desk.invoice(300)
    follow(Visitor(desk.app, greta.base_url), desk.mail(other, "omar@x.example"))
    answer = press(greta, invoices=str(other), amount="1.00", currency="jpy", account_id="acct_evil", patient_id=str(uuid4()))
    assert answer.status_code == 303
    (session,) = desk.fake.objects("checkout.session", desk.account_id)
    assert (session["amount_total"], session["currency"]) == (DUE, "usd") and desk.due(other) == 300


@pytest.mark.parametrize("typed", [{"payment_id": "1"}, {"mailing_id": "nobody's"}, {"payment_id": ""}, {"mailing_id": str(UUID(int=7))}, None])
def test_a_form_that_was_made_up_begins_nothing(desk: Desk, invoice: UUID, greta: Visitor, typed: dict[str, str] | None) -> None:
    form = fields_of(greta.read(PAGE))
    form = form | typed if typed else {}
    assert greta.post(PAGE, form).status_code in (303, 409)
    assert desk.fake.requests("/v1/checkout") == []


def test_a_silent_stripe_is_not_a_failure(desk: Desk, invoice: UUID, greta: Visitor) -> None:
    desk.fake.fault("/v1/checkout/sessions", "lost", times=2)
    answer = press(greta)
    payment = begun(desk)
    assert answer.headers["Location"] == where(payment)
    page = greta.read(where(payment))
    assert "Stripe has not answered yet" in page and "Go on to the payment page" in page
    url = greta.post(where(payment, "/checkout")).headers["Location"]
    desk.fake.pay(session_of(url))
    desk.look(payment)
    assert desk.lines() == [("payment", -DUE)] and len(desk.fake.objects("charge", desk.account_id)) == 1


def test_the_secret_is_in_no_address_and_no_log_of_ours(desk: Desk, invoice: UUID, portal: Visitor) -> None:
    secret = desk.mail(invoice)
    follow(portal, secret)
    payment, _url = start(desk, portal)
    pages = [portal.get(PAGE), portal.get(where(payment)), portal.get(way_back(desk))]
    kept = (secret, link_tokens.token_hash(secret).hex())
    for answer in pages:
        assert not any(each in answer.text + answer.headers.get("Location", "") for each in kept)
        assert answer.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert not any(each in str(desk.fake.requests()) for each in kept)
    with desk.clinic_transaction():
        entries = db.session.query(AuditEntry).filter_by(patient_id=desk.patient_id).all()
    assert not any(each in str(vars(entry)) for each in kept for entry in entries)


def test_the_log_names_the_mailing_and_nobody(desk: Desk, invoice: UUID, greta: Visitor, ana: Visitor) -> None:
    payment, _url = start(desk, greta)
    greta.post(where(payment, "/calling-off"))
    with desk.clinic_transaction():
        found = db.session.query(AuditEntry).filter_by(subject_id=payment).order_by(AuditEntry.at).all()
    said = [(each.event, each.actor_kind, each.actor_role, each.actor_id, each.patient_id) for each in found]
    nobody = ("system", "visitor", None, desk.patient_id)
    assert said == [("payment.begun", *nobody), ("payment.ended", *nobody)]
    assert found[0].details == {"amount_minor": DUE, "currency": "usd", "mailing": str(desk.payment(payment).mailing_id)}
    listed = f"/elm-street/patients/{desk.patient_id}/payments"
    assert "by a mailed invoice" in ana.read(listed) and GRETA in ana.read(f"{listed}/{payment}")


def test_the_staff_switch_it_on_and_the_form_says_so(desk: Desk, invoice: UUID, ana: Visitor) -> None:
    path = f"/elm-street/patients/{desk.patient_id}/invoices/{invoice}/mailing"
    desk.mail(invoice)
    assert "without signing in" in ana.read(path) and "Can be paid without signing in" in ana.read("/elm-street/clinic-options")
    ana.get("/elm-street/clinic-options/billing")
    ana.post("/elm-street/clinic-options/billing", {"autopay_notice_days": "3"})
    assert "they sign in to the portal" in ana.read(path)
    assert "Are paid after signing in" in ana.read("/elm-street/clinic-options")
    with desk.clinic_transaction():
        entry = db.session.query(AuditEntry).filter_by(event="billing_settings.saved").order_by(AuditEntry.at.desc()).first()
        assert entry and entry.details == {"pays_by_link": [True, False]}
