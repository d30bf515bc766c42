"""T10: one invoice, several who pay it at once, and forms that say what they like.

Lost if it fails: a family pays twice, or somebody pays one dollar for what costs fifty.

Eight presses at once by one person, by two caregivers, by the portal, a mailed link and the cash desk; two parts of which together are too
much; void, paid and foreign invoices; amounts, currencies and accounts of one's own; the page of what was paid before. Real
threads, real commits: at most one page at Stripe on which an invoice can be paid, what is due is never paid over but as
credit that the clinic is told of, and amount and account are the database's.

What is paid above the due stays the family's credit, and is told on the billing page: nothing is refunded by itself. The
clinic sees at once whose it is and gives it back with one press, or the next invoice takes it; a refund that nobody asked for
would take money from a clinic in the night, cost it Stripe's fee, and be wrong where the next invoice waits already.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask, request
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from clinic import billing, demo, invoices, money
from clinic.account import Method
from clinic.billing import DeskPayment, Towards
from clinic.invoices import Invoice, allocating
from clinic.money import Money
from clinic.payments import beginning, claims, follow_up
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, PorticoError, Refused
from tests import books, inside
from tests.attack.test_races import at_once
from tests.conftest import BASE, PORT
from tests.paying import MARIA, Desk, at_elm, give_billing
from tests.portal.test_paying_by_link import fields_of, follow
from tests.stripe_fake.client import NotPossible, StripeFake, Thing
from tests.visitor import Visitor

DUE, PART = 5000, 3000
PORTAL = f"http://{demo.ELM}.{BASE}:{PORT}"
OMAR = "omar@family.example"
WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def racing(committed_app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(committed_app, stripe_fake) as standing:
        yield standing


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        yield standing


def caregiver(desk: Desk, email: str = MARIA) -> Visitor:
    """Signed in, and holding a form token."""
    if email != MARIA:
        with desk.clinic_transaction():
            give_billing(inside.user(email).id, desk.patient_id)
    visitor = Visitor(desk.app, PORTAL).sign_in(email)
    visitor.read(pay_page(desk))
    return visitor


def pay_page(desk: Desk) -> str:
    return f"/patients/{desk.patient_id}/payments/new"


def press(desk: Desk, who: Visitor, *invoice_ids: UUID, **typed: Any) -> TestResponse:
    """In a tab of its own."""
    form = {"payment_id": str(uuid4()), "invoices": [str(each) for each in invoice_ids], **typed}
    return who.at(PORTAL).post(pay_page(desk), form)


def link_holder(desk: Desk, invoice: UUID) -> Callable[..., TestResponse]:
    """Nobody signed in, who followed the link of a mailed invoice: the button of its page, pressed in a tab of its own."""
    desk.let_links_pay()
    greta = follow(Visitor(desk.app, PORTAL), desk.mail(invoice))
    shown = fields_of(greta.read("/link/invoice"))
    return lambda **typed: greta.at(PORTAL).post("/link/invoice", {**shown, **typed})


def pages(desk: Desk, status: str = "open") -> list[Thing]:
    """Where somebody can pay now."""
    return [each for each in desk.fake.objects("checkout.session", desk.account_id) if each["status"] == status]


def taken(desk: Desk) -> int:
    return desk.fake.balance(desk.account_id).get("usd", 0)


def pay_all(desk: Desk) -> None:
    """Everybody pays wherever they can, whatever they were told; then our jobs look."""
    for page in pages(desk):
        desk.fake.pay(page["id"])
    desk.look_again(minutes=10)


# At once


def check_one_page(desk: Desk, presses: Sequence[Callable[[], object]], invoice: UUID) -> list[TestResponse]:
    answers: list[Any] = at_once(*presses)
    to_stripe = [each for each in answers if each.headers.get("Location", "").startswith(desk.fake.url)]
    assert len(to_stripe) == len(pages(desk)) == 1, [(each.status_code, each.headers.get("Location")) for each in answers]
    pay_all(desk)
    assert (taken(desk), desk.due(invoice), desk.lines()) == (DUE, 0, [("payment", -DUE)])
    return [each for each in answers if each not in to_stripe]


def test_eight_presses_in_eight_tabs_are_one_page(racing: Desk) -> None:
    """The others lead to the payment that was begun."""
    invoice, maria = racing.invoice(DUE), caregiver(racing)
    for other in check_one_page(racing, [lambda: press(racing, maria, invoice)] * 8, invoice):
        assert other.status_code == 303 and re.search(r"/payments/[0-9a-f-]{36}$", other.headers["Location"])


def test_eight_presses_of_one_button_are_one_payment(racing: Desk) -> None:
    invoice, maria, form = racing.invoice(DUE), caregiver(racing), str(uuid4())
    answers: list[Any] = at_once(*[lambda: press(racing, maria, invoice, payment_id=form)] * 8)
    assert {each.status_code for each in answers} == {303} and len(pages(racing)) == 1
    pay_all(racing)
    assert (taken(racing), racing.due(invoice), len(racing.lines())) == (DUE, 0, 1)


def test_two_caregivers_at_once_are_one_page_and_the_other_is_told(racing: Desk) -> None:
    invoice, maria, omar = racing.invoice(DUE), caregiver(racing), caregiver(racing, OMAR)
    presses = [partial(press, racing, who, invoice) for who in (maria, omar) * 4]
    others = check_one_page(racing, presses, invoice)
    told = [each for each in others if each.status_code == 409]
    assert len(told) == 4 and all("already being paid" in each.text for each in told)


def test_eight_presses_behind_a_mailed_link_are_one_page(racing: Desk) -> None:
    """By one button, and in eight tabs."""
    invoice = racing.invoice(DUE)
    greta = link_holder(racing, invoice)
    presses = [greta] * 4 + [lambda: greta(payment_id=str(uuid4()))] * 4
    answers: list[Any] = at_once(*presses)
    assert {each.status_code for each in answers} == {303} and len(pages(racing)) == 1
    assert {urlsplit(each.headers["Location"]).path.partition("/payments/")[0] for each in answers} >= {"/mailed-invoice"}
    pay_all(racing)
    assert (taken(racing), racing.due(invoice), racing.lines()) == (DUE, 0, [("payment", -DUE)])


@pytest.mark.parametrize("turn", range(2))
def test_a_parent_and_a_mailed_link_at_once_are_one_page_and_the_other_is_told(racing: Desk, turn: int) -> None:
    invoice = racing.invoice(DUE)
    maria, greta = caregiver(racing), link_holder(racing, invoice)
    others = check_one_page(racing, [lambda: press(racing, maria, invoice), greta] * 3, invoice)
    assert all("already being paid" in each.text for each in others if each.status_code == 409)
    assert sum(each.status_code == 409 for each in others) == 3  # the winner's own presses lead to the payment begun


def cash(desk: Desk, invoice: UUID | None, minor: int = DUE) -> UUID:
    towards = Towards.INVOICE if invoice else Towards.OLDEST
    with desk.staff():
        paid = DeskPayment(Method.CASH, Money(minor, "usd"), clock.today(desk.clinic.time_zone), "", towards, invoice)
        return billing.record_payment(desk.patient_id, paid)


def check_one_of_both(racing: Desk, invoice: UUID, presses: Callable[[], object]) -> None:
    """Either the page is open and the desk is told, or the desk has the cash and whoever pressed is told."""
    online, counter = at_once(presses, lambda: cash(racing, invoice))
    assert isinstance(online, TestResponse)
    went_online = online.headers.get("Location", "").startswith(racing.fake.url)
    assert went_online == isinstance(counter, PorticoError) == bool(pages(racing))
    assert went_online or online.status_code == 409
    pay_all(racing)
    assert racing.due(invoice) == 0 and racing.balance() == 0 and racing.problems() == []


@pytest.mark.parametrize("turn", range(2))
def test_the_portal_and_the_cash_desk_at_once_do_not_both_pay(racing: Desk, turn: int) -> None:
    invoice, maria = racing.invoice(DUE), caregiver(racing)
    check_one_of_both(racing, invoice, lambda: press(racing, maria, invoice))


@pytest.mark.parametrize("turn", range(2))
def test_a_mailed_link_and_the_cash_desk_at_once_do_not_both_pay(racing: Desk, turn: int) -> None:
    invoice = racing.invoice(DUE)
    greta = link_holder(racing, invoice)
    check_one_of_both(racing, invoice, greta)


@pytest.mark.parametrize("turn", range(2))
def test_the_desk_ends_the_page_as_the_family_pays_there(racing: Desk, turn: int) -> None:
    """One of them is first, at Stripe: either it is paid and the desk is told, or it is ended and cash pays it. Never both."""
    invoice, maria, form = racing.invoice(DUE), caregiver(racing), uuid4()
    page = press(racing, maria, invoice, payment_id=str(form)).headers["Location"].rpartition("/")[2]

    def pay() -> bool:
        with suppress(NotPossible):
            return bool(racing.fake.pay(page))
        return False

    def end() -> bool:
        with racing.open_clinic():
            return follow_up.end_checkout(form)

    paid, ended = at_once(pay, end)
    assert paid is not ended
    if ended:
        cash(racing, invoice)
    racing.look_again(minutes=10)
    assert (racing.due(invoice), racing.balance(), racing.problems()) == (0, 0, []) and taken(racing) == (0 if ended else DUE)


@pytest.mark.parametrize("turn", range(2))
def test_cash_on_the_account_passes_over_what_is_being_paid(racing: Desk, turn: int) -> None:
    """Whoever was first: together they pay what is due once, and what is too much is credit."""
    invoice, maria = racing.invoice(DUE), caregiver(racing)
    online, _line = at_once(lambda: press(racing, maria, invoice), lambda: cash(racing, None))
    assert isinstance(online, TestResponse)
    if online.headers.get("Location", "").startswith(racing.fake.url):
        assert racing.due(invoice) == DUE
    pay_all(racing)
    assert racing.due(invoice) == 0 and racing.balance() == -taken(racing) and racing.problems() == []


def by_due_day_against_ids(desk: Desk) -> list[UUID]:
    """Two invoices, of which the one that is due first has the greater id."""
    later, sooner = sorted((desk.invoice(DUE), desk.invoice(DUE)))
    with desk.staff():
        for days, invoice in ((10, sooner), (20, later)):
            db.session.get_one(Invoice, (desk.clinic.id, invoice)).due_on = clock.now().date() + timedelta(days=days)
    return [sooner, later]


def check_nobody_waits_in_a_circle(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, administrator: psycopg.Connection[Any]
) -> None:
    """Credit is applied by the desk when a family has taken the first of two invoices, and not yet the second."""
    chosen, take_one, has_first = by_due_day_against_ids(desk), claims.take_one, threading.Event()
    with desk.staff():
        books.cash(desk.patient_id, 2 * DUE)

    def take_slowly(*claim: Any) -> bool:
        taken = take_one(*claim)
        has_first.set()
        until = time.monotonic() + 5
        while time.monotonic() < until and not administrator.execute(WAITS).fetchone():
            time.sleep(0.02)
        return taken

    def apply_credit() -> None:
        has_first.wait(5)
        with desk.staff():
            billing.apply_credit(desk.patient_id)

    monkeypatch.setattr(claims, "take_one", take_slowly)
    begun, refused = at_once(lambda: desk.begin(*chosen), apply_credit)
    assert isinstance(begun, UUID) and isinstance(refused, Refused), (begun, refused)
    assert [desk.due(each) for each in chosen] == [DUE, DUE]


def test_the_desk_waits_for_who_pays_two_invoices_and_leaves_them_alone(
    racing: Desk, monkeypatch: pytest.MonkeyPatch, administrator: psycopg.Connection[Any]
) -> None:
    """Else the database would end one of them with an error page, or both would pay."""
    check_nobody_waits_in_a_circle(racing, monkeypatch, administrator)


def test_two_parts_at_once_are_one(racing: Desk) -> None:
    """30 and 30 of 50: the second waits, and may then pay 20."""
    racing.allow_partial()
    invoice, maria = racing.invoice(DUE), caregiver(racing)
    at_once(*[lambda: press(racing, maria, invoice, amount="30")] * 2)
    assert [each["amount_total"] for each in pages(racing)] == [PART]
    pay_all(racing)
    refused = press(racing, maria, invoice, amount="30")
    assert refused.status_code == 422 and "more than is due" in refused.text
    assert press(racing, maria, invoice, amount="20").status_code == 303
    pay_all(racing)
    assert (taken(racing), racing.due(invoice), racing.balance()) == (DUE, 0, 0)


def test_voiding_and_paying_at_once(racing: Desk) -> None:
    """Either it is void and cannot be paid, or it is being paid and cannot be voided."""
    invoice, maria = racing.invoice(DUE), caregiver(racing)

    def void() -> None:
        with racing.staff():
            invoices.void(invoice, racing.patient_id, "A slip")

    online, voided = at_once(lambda: press(racing, maria, invoice), void)
    assert isinstance(online, TestResponse)
    assert isinstance(voided, Conflict) == bool(pages(racing)) == (online.status_code == 303)
    pay_all(racing)
    assert racing.due(invoice) == 0 and racing.balance() == 0


# What may be paid


def check_refused(desk: Desk, answer: TestResponse, *statuses: int) -> None:
    assert answer.status_code in statuses, answer.status_code
    assert desk.fake.requests("/v1/checkout") == []


def not_payable(desk: Desk) -> dict[str, UUID]:
    void, draft = desk.invoice(DUE), desk.invoice(DUE)
    with desk.staff():
        invoices.void(void, desk.patient_id, "A slip")
        draft = books.draft(desk.patient_id, DUE)
        another = books.invoice(books.newcomer(), DUE)
    paid = desk.invoice(DUE)
    cash(desk, paid)
    with inside.inside(desk.app, demo.OAK):
        foreign = books.invoice(inside.patient("Nina Lopez").id, DUE)
    return {"void": void, "a draft": draft, "paid": paid, "another patient's": another, "another clinic's": foreign, "none": uuid4()}


def test_only_an_open_invoice_of_this_patient_is_paid(desk: Desk) -> None:
    """And all that are none get the same answer."""
    maria, open_one = caregiver(desk), desk.invoice(DUE)
    answers = {}
    for which, invoice in not_payable(desk).items():
        alone = press(desk, maria, invoice)
        check_refused(desk, alone, 409)
        check_refused(desk, press(desk, maria, invoice, open_one), 409)
        answers[which] = re.sub(r"[0-9a-f-]{36}|(value|nonce|seconds)=\"[^\"]*\"", "", alone.text)
    assert answers["another patient's"] == answers["another clinic's"] == answers["none"]


def test_another_persons_patient_is_not_there(desk: Desk) -> None:
    """Neither for paying nor for looking at what somebody else pays."""
    maria, omar = caregiver(desk), Visitor(desk.app, PORTAL).sign_in(OMAR)
    begun = desk.begin(invoice := desk.invoice(DUE))
    omar.get("/")
    check_refused(desk, press(desk, omar, invoice), 404)
    for path in ("", "/checkout", "/ending"):
        where = f"/patients/{desk.patient_id}/payments/{begun}{path}"
        assert (omar.post(where) if path else omar.get(where)).status_code in (404, 405)
    maria.read(f"/patients/{desk.patient_id}/payments/{begun}")


def test_a_form_with_somebody_elses_payment_in_it_is_refused(desk: Desk) -> None:
    invoice, omar = desk.invoice(DUE), caregiver(desk, OMAR)
    begun = desk.begin(desk.invoice(DUE))
    check_refused(desk, press(desk, omar, invoice, payment_id=str(begun)), 404, 409)
    assert desk.payment(begun).portal_user_id == desk.maria


# What a form says


TYPED = [
    "NaN", "nan", "Infinity", "-Infinity", "1e309", "1e2", "-50", "-0.01", "0", "0.00", "0.005", "49.999", "50.01", "0x32", "५०", "1_0",
    "9" * 30, "999,999.99", "50 USD; DROP", "EUR 50", "+50", "50%", "''", "5\0x", "{}",
]  # fmt: skip


def check_amounts(desk: Desk, maria: Visitor, invoice: UUID) -> None:
    for typed in TYPED:
        answer = press(desk, maria, invoice, amount=typed)
        assert (typed, answer.status_code) == (typed, 422)
    assert desk.fake.requests("/v1/checkout") == []


def test_an_amount_that_is_none_is_refused(desk: Desk) -> None:
    desk.allow_partial()
    check_amounts(desk, caregiver(desk), desk.invoice(DUE))


def check_what_is_asked(desk: Desk, maria: Visitor, invoice: UUID) -> None:
    said = {
        "amount_minor": "1", "total": "1", "due": "1", "currency": "jpy", "account": "acct_1Evil", "account_id": "acct_1Evil",
        "stripe_account": "acct_1Evil", "status": "succeeded", "portal_user_id": str(uuid4()), "patient_id": str(uuid4()),
        "clinic_id": str(uuid4()), "success_url": "https://evil.example/", "way": "autopay", "id": str(uuid4()),
    }  # fmt: skip
    assert press(desk, maria, invoice, **said).status_code == 303
    assert [(each["amount_total"], each["currency"]) for each in pages(desk)] == [(DUE, "usd")]
    asked = desk.fake.requests("/v1/checkout")
    assert [each["account"] for each in asked] == [desk.account_id] and "evil" not in str(asked).lower()


def test_amount_currency_and_account_are_the_databases(desk: Desk) -> None:
    check_what_is_asked(desk, caregiver(desk), desk.invoice(DUE))


@pytest.mark.parametrize("payment_id", ["", "1", "not-an-id", "\0", "' OR 1=1", "00000000-0000-0000-0000-00000000000g"])
def test_a_form_whose_id_is_none_begins_nothing(desk: Desk, payment_id: str) -> None:
    maria, invoice = caregiver(desk), desk.invoice(DUE)
    check_refused(desk, press(desk, maria, invoice, payment_id=payment_id), 404, 422)


# What was paid before


def test_the_page_of_what_was_paid_before_pays_nothing_again(desk: Desk) -> None:
    """The old tab's form, the old page of Stripe's, the old address: each shows what is true."""
    invoice, maria, form = desk.invoice(DUE), caregiver(desk), str(uuid4())
    url = press(desk, maria, invoice, payment_id=form).headers["Location"]
    pay_all(desk)
    where = f"/patients/{desk.patient_id}/payments/{form}"
    assert press(desk, maria, invoice, payment_id=form).headers["Location"].endswith(where)
    maria.read(where)
    assert maria.post(f"{where}/checkout").headers["Location"].endswith(where)
    check_page_is_over(desk, url)
    assert press(desk, maria, invoice).status_code == 409
    assert (len(desk.fake.requests("/v1/checkout/sessions")), taken(desk)) >= (1, DUE) and pages(desk) == []


def check_page_is_over(desk: Desk, url: str) -> None:
    with pytest.raises(NotPossible):
        desk.fake.pay(url.rpartition("/")[2])


def test_the_losers_page_is_ended(desk: Desk) -> None:
    """What was called off, or is paid in another way: nobody can pay there any more."""
    invoice, maria, form = desk.invoice(DUE), caregiver(desk), str(uuid4())
    url = press(desk, maria, invoice, payment_id=form).headers["Location"]
    with desk.staff():
        line = books.cash(desk.patient_id, DUE)
        invoices.allocate(line, [(invoice, Money(DUE, "usd"))])
    with desk.open_clinic():
        follow_up.end_checkouts()
    assert pages(desk) == [] and desk.status(UUID(form)) == "ended"
    check_page_is_over(desk, url)


def test_money_that_arrives_all_the_same_is_credit_and_the_clinic_is_told(desk: Desk) -> None:
    """The payer was faster than our ending of the page: it is not lost, and not counted for what was paid already."""
    invoice = desk.invoice(DUE)
    payment = desk.pay(invoice)
    with desk.staff():
        line = books.cash(desk.patient_id, DUE)
        invoices.allocate(line, [(invoice, Money(DUE, "usd"))])
    desk.look_again(minutes=10)
    assert (desk.due(invoice), desk.credit(payment), desk.balance(), desk.problems()) == (0, DUE, -DUE, ["credited"])
    assert "payment_problem_found" in desk.letters() and desk.fake.objects("refund", desk.account_id) == []


# Weaknesses


def test_planted_a_claim_that_several_may_hold(racing: Desk, administrator: psycopg.Connection[Any]) -> None:
    administrator.execute("DROP INDEX uq_payment_invoices_live")
    invoice, maria = racing.invoice(DUE), caregiver(racing)
    with pytest.raises(AssertionError):
        check_one_page(racing, [lambda: press(racing, maria, invoice)] * 4, invoice)


def test_planted_the_desk_takes_invoices_in_an_order_of_its_own(
    racing: Desk, monkeypatch: pytest.MonkeyPatch, administrator: psycopg.Connection[Any]
) -> None:
    lock = allocating.lock
    monkeypatch.setattr(allocating, "lock", lambda patient_id, ids: [lock(patient_id, [each]) for each in sorted(ids)])
    with pytest.raises(OperationalError, match="deadlock"):
        check_nobody_waits_in_a_circle(racing, monkeypatch, administrator)


def test_planted_a_claim_that_a_parent_and_a_link_may_hold(racing: Desk, administrator: psycopg.Connection[Any]) -> None:
    administrator.execute("DROP INDEX uq_payment_invoices_live")
    invoice = racing.invoice(DUE)
    maria, greta = caregiver(racing), link_holder(racing, invoice)
    with pytest.raises(AssertionError):
        check_one_page(racing, [lambda: press(racing, maria, invoice), greta] * 2, invoice)


def test_planted_an_amount_that_is_a_float(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(money, "read", lambda typed, currency: Money(round(float(typed) * 100), currency))
    desk.allow_partial()
    with pytest.raises((AssertionError, ValueError, OverflowError)):
        check_amounts(desk, caregiver(desk), desk.invoice(DUE))


def test_planted_an_account_that_a_form_names(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a view took what it was sent."""
    monkeypatch.setattr(beginning, "find_account", lambda: request.form.get("account_id") or desk.account_id)
    with pytest.raises(AssertionError):
        check_what_is_asked(desk, caregiver(desk), desk.invoice(DUE))
