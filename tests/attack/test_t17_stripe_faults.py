"""T17: whatever goes wrong between us and Stripe, nobody is told that a payment failed which may have been made.

Lost if it fails: a family is told "failed" and pays twice; a page turns for minutes and every other page with it; money that
arrived at Stripe is never seen because a message about it got lost.

connection refused, TLS error, hang, reset after the request acted, 500 stored under the key, 409, 429, key used with other
parameters, half an answer, a status nobody knows, down for half an hour, webhooks before the API's answer, no webhook ever ·
a request takes at most 10 s · the same key again · unknown is "checking", never "failed" · after some silences Stripe is left
alone, and the portal's other pages are as fast as ever · one reconciliation finds and mends all, the second finds nothing
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask

from clinic import invoices, reconciliation, stripe_events, stripe_gateway
from clinic.payments import RefundStatus, looking, refunds
from clinic.stripe_gateway import StripeRefused, StripeUnknown, breaker, line
from tenancy import clinics, clock
from tenancy.database import db
from tenancy.errors import Conflict
from tests import books
from tests.conftest import BASE, PORT
from tests.journeys.running import free_port
from tests.paying import Desk, at_elm
from tests.portal.test_payments import form_of, pay_page, session_of, start
from tests.stripe_fake.client import StripeFake
from tests.visitor import Visitor

PRICE, BACK = 12000, 4000
LONGEST_SECONDS = 10
OPENING, REFUNDING = "POST /v1/checkout/sessions", "POST /v1/refunds"
HALF_AN_HOUR, AN_HOUR = timedelta(minutes=31), timedelta(minutes=65)


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        yield standing


@pytest.fixture
def door(app: Flask) -> Visitor:
    """Whoever posts to the webhook."""
    return Visitor(app, f"http://{BASE}:{PORT}")


Fault = Callable[[Desk, str], None]


def of_kind(kind: str, **details: object) -> Fault:
    return lambda desk, path: desk.fake.fault(path, kind, times=None, **details)


def nobody_listens(desk: Desk, path: str) -> None:
    _ask_at(desk, f"http://127.0.0.1:{free_port()}")


def no_tls(desk: Desk, path: str) -> None:
    """Somebody listens there who cannot prove to be Stripe."""
    _ask_at(desk, desk.fake.url.replace("http:", "https:"))


def _ask_at(desk: Desk, base: str) -> None:
    stripe_gateway.install(desk.app, replace(desk.app.config["PORTICO"], stripe_api_base=base))


def mend(desk: Desk) -> None:
    """All is as it should be; the process that had given up was replaced meanwhile."""
    desk.fake.clear_faults()
    stripe_gateway.install(desk.app, desk.app.config["PORTICO"])


FAULTS: dict[str, Fault] = {
    "nobody listens": nobody_listens,
    "no TLS": no_tls,
    "reset before it acted": of_kind("refused"),
    "reset after it acted": of_kind("lost"),
    "500": of_kind("500"),
    "500 kept under the key": of_kind("500_after"),
    "409": of_kind("409"),
    "429": of_kind("429"),
    "half an answer": of_kind("truncated"),
}


# Beginning to pay


def check_nobody_is_told_that_it_failed(desk: Desk, maria: Visitor, fault: Fault) -> None:
    """Pressed while it goes wrong, and once more when it does not: one page, one key, one charge."""
    invoice = desk.invoice(PRICE)
    fault(desk, OPENING)
    began = time.monotonic()
    payment, where = start(desk, maria, invoice)
    assert time.monotonic() - began < LONGEST_SECONDS
    page = maria.read(where)
    assert "We are checking" in page and "did not go through" not in page
    assert desk.status(payment) == "starting"
    mend(desk)
    where = maria.post(f"/patients/{desk.patient_id}/payments/{payment}/checkout").headers["Location"]
    if not where.startswith(desk.fake.url):  # Stripe remembers its own failure for a day; what it made is found by looking
        desk.look_again(minutes=3)
        where = maria.post(f"/patients/{desk.patient_id}/payments/{payment}/checkout").headers["Location"]
    desk.fake.pay(session_of(where))
    desk.look_again(minutes=10)
    asked = [each for each in desk.fake.requests("/v1/checkout/sessions") if each["method"] == "POST"]
    assert {each["idempotency_key"] for each in asked} == {f"payment-{payment}"}
    assert len({each["body"] for each in asked}) == 1
    check_paid_once(desk, invoice)


def check_paid_once(desk: Desk, invoice: UUID) -> None:
    assert len(desk.fake.objects("checkout.session", desk.account_id)) == 1
    assert desk.fake.balance(desk.account_id) == {"usd": PRICE}
    assert (desk.due(invoice), desk.lines(), desk.letters()) == (0, [("payment", -PRICE)], ["receipt_waits"])


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_payment_that_stripe_does_not_answer_about_is_not_failed(desk: Desk, maria: Visitor, fault: str) -> None:
    check_nobody_is_told_that_it_failed(desk, maria, FAULTS[fault])


def test_planted_silence_taken_for_a_no(desk: Desk, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_meaning", lambda error: StripeRefused("api_error"))
    with pytest.raises(AssertionError):
        check_nobody_is_told_that_it_failed(desk, maria, FAULTS["500"])


def test_planted_a_key_of_its_own_for_every_request(desk: Desk, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    post = line.post
    monkeypatch.setattr(line, "post", lambda path, params=None, *, of=None, key=None: post(path, params, of=of))
    with pytest.raises(AssertionError):
        check_nobody_is_told_that_it_failed(desk, maria, FAULTS["reset after it acted"])


def test_a_key_that_was_used_with_other_words_is_not_a_failure(desk: Desk, maria: Visitor) -> None:
    """The clinic was renamed between the two: Stripe refuses the second, and has the first's page."""
    invoice = desk.invoice(PRICE)
    desk.fake.fault(OPENING, "lost", times=2)
    payment, _where = start(desk, maria, invoice)
    with desk.staff():
        db.session.get_one(clinics.Clinic, desk.clinic.id).name = "Elm Street and Sons"
    where = maria.post(f"/patients/{desk.patient_id}/payments/{payment}/checkout").headers["Location"]
    page = maria.read(where)
    assert "We are checking" in page and "did not go through" not in page
    desk.look_again(minutes=3)
    where = maria.post(f"/patients/{desk.patient_id}/payments/{payment}/checkout").headers["Location"]
    desk.fake.pay(session_of(where))
    desk.look_again(minutes=10)
    check_paid_once(desk, invoice)


# What is read


@pytest.mark.parametrize("path", ["GET /v1/checkout/sessions/*", "GET /v1/payment_intents/*", "GET /v1/refunds", "GET /v1/disputes"])
@pytest.mark.parametrize("kind", ["refused", "500", "429", "truncated"])
def test_what_cannot_be_read_waits(desk: Desk, path: str, kind: str) -> None:
    """Whichever of the four answers is missing: nothing is entered by halves, nothing is failed."""
    invoice = desk.invoice(PRICE)
    payment = desk.pay(invoice)
    desk.fake.fault(path, kind, times=None)
    desk.look_again(minutes=3)
    assert desk.status(payment) == "open" and desk.lines() == [] and desk.letters() == [] and desk.problems() == []
    mend(desk)
    desk.look_again(minutes=10)
    check_paid_once(desk, invoice)


@pytest.mark.parametrize("path", ["GET /v1/checkout/sessions/*", "GET /v1/payment_intents/*"])
@pytest.mark.parametrize("is_paid", [True, False])
def test_a_word_that_nobody_knows_decides_nothing(desk: Desk, path: str, is_paid: bool) -> None:
    """Lost: a payment that was seen once with a new word of Stripe's stays "on its way" for good, and holds its invoice."""
    invoice = desk.invoice(PRICE)
    payment = desk.begin(invoice)
    session = desk.open(payment)
    if is_paid:
        desk.fake.pay(session)
    else:
        desk.fake.pay(session, "declined")
    desk.fake.fault(path, "odd_status", times=1)
    desk.look_again(minutes=3)
    if is_paid:
        desk.look_again(minutes=10)
        return check_paid_once(desk, invoice)
    desk.fake.advance(int(AN_HOUR.total_seconds()))
    desk.look_again(minutes=65)
    assert desk.status(payment) == "ended" and desk.lines() == []
    with clock.moved(AN_HOUR):
        assert desk.begin(invoice)
    return None


# Giving back


REFUND_FAULTS = FAULTS | {"a status nobody knows": of_kind("odd_status")}


@pytest.mark.parametrize("fault", list(REFUND_FAULTS))
def test_a_refund_that_stripe_does_not_answer_about_is_made_once(desk: Desk, fault: str) -> None:
    """The job of each minute alone brings it to its end."""
    payment, refund = desk.paid(desk.invoice(PRICE)), uuid4()
    REFUND_FAULTS[fault](desk, REFUNDING)
    with desk.staff():
        refunds.ask(refund, payment, books.usd(BACK), "Came too late")
    with desk.open_clinic():
        try:
            status = refunds.send(refund, payment)
        except StripeUnknown:
            status = RefundStatus.ASKED
    assert status != RefundStatus.FAILED
    mend(desk)
    desk.look_again(minutes=3)
    with desk.clinic_transaction():
        assert refunds.get(refund, payment).status == RefundStatus.SUCCEEDED
    assert desk.fake.balance(desk.account_id) == {"usd": PRICE - BACK}
    assert desk.lines() == [("payment", -PRICE), ("refund", BACK)] and desk.problems() == []


def test_an_account_that_was_taken_from_us_does_not_stand_in_the_way_of_others(desk: Desk) -> None:
    """Lost: one refund on a Stripe account that the clinic has left, and no page of anybody's is ever ended again."""
    paid = desk.paid(desk.invoice(PRICE))
    with desk.staff():
        refunds.ask(uuid4(), paid, books.usd(BACK), "Came too late")
    desk.fake.deauthorise(desk.account_id)
    with at_elm(desk.app, desk.fake) as other:
        other_invoice = other.invoice(PRICE)
        begun = other.begin(other_invoice)
        other.open(begun)
        with other.staff():
            invoices.allocate(books.cash(other.patient_id, PRICE), [(other_invoice, books.usd(PRICE))])
        other.look_again(minutes=3)
        assert other.status(begun) == "ended"


# Down, and away


def test_half_an_hour_without_stripe(desk: Desk, maria: Visitor) -> None:
    """One paid just before, others pressed meanwhile; nothing is failed, and all is mended when it is back."""
    paid, *unpaid = (desk.invoice(PRICE) for _ in range(4))
    known = desk.pay(paid)
    desk.fake.down()
    began = time.monotonic()
    begun = [start(desk, maria, invoice)[0] for invoice in unpaid]
    assert time.monotonic() - began < LONGEST_SECONDS
    for minutes in (3, 9, 20, 29):
        desk.look_again(minutes=minutes)
        assert [desk.status(each) for each in (known, *begun)] == ["open"] + ["starting"] * 3
    assert "Leo Lopez" in maria.read("/") and desk.letters() == [] and desk.problems() == []
    mend(desk)
    desk.fake.advance(int(HALF_AN_HOUR.total_seconds()))
    desk.look_again(minutes=65)
    assert [desk.status(each) for each in (known, *begun)] == ["succeeded"] + ["ended"] * 3
    assert desk.letters() == ["receipt_waits"] and [desk.due(each) for each in (paid, *unpaid)] == [0, PRICE, PRICE, PRICE]


def check_stripe_is_left_alone(desk: Desk, maria: Visitor) -> None:
    """After three silences nobody waits for a fourth; half a minute later it is asked again."""
    invoices = [desk.invoice(PRICE) for _ in range(5)]
    desk.fake.fault("*", "500", times=None)
    for invoice in invoices[:3]:
        start(desk, maria, invoice)
    before = len(desk.fake.requests())
    payment, where = start(desk, maria, invoices[3])
    assert len(desk.fake.requests()) == before and "We are checking" in maria.read(where)
    desk.fake.clear_faults()
    with clock.moved(breaker.REST):
        assert start(desk, maria, invoices[4])[1].startswith(desk.fake.url)


def test_a_stripe_that_is_silent_is_left_alone_for_a_while(desk: Desk, maria: Visitor) -> None:
    check_stripe_is_left_alone(desk, maria)


def test_planted_a_breaker_that_never_opens(desk: Desk, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FAILURES", 10_000)
    with pytest.raises(AssertionError):
        check_stripe_is_left_alone(desk, maria)


# Webhooks


def check_reconciliation_alone_is_enough(desk: Desk, run: Callable[[], reconciliation.Outcome]) -> None:
    """Paid, refunded, charged back and given up, and nobody ever told us."""
    invoices = [desk.invoice(PRICE) for _ in range(5)]
    paid, given_back, lost, debit = (desk.pay(each, how=how) for each, how in zip(invoices, ("card", "card", "card", "bank_debit"), strict=False))
    desk.open(desk.begin(invoices[4]))
    desk.fake.refund(desk.account_id, desk.intent(given_back), BACK)
    desk.fake.close_dispute(desk.fake.dispute(desk.intent(lost))["id"], "lost")
    desk.fake.settle(desk.intent(debit))
    desk.fake.advance(int(AN_HOUR.total_seconds()))
    with clock.moved(AN_HOUR), desk.open_clinic():
        first, second = run(), run()
    assert first.corrected == 5 and first.is_complete
    assert (second.corrected, second.told, second.is_complete) == (0, 0, True)
    assert [desk.due(each) for each in invoices] == [0, BACK, PRICE, 0, PRICE]
    assert desk.fake.balance(desk.account_id) == {"usd": -sum(minor for _kind, minor in desk.lines())}
    assert desk.status(paid) == "succeeded"


def test_no_webhook_ever_and_one_reconciliation_mends_all(desk: Desk) -> None:
    check_reconciliation_alone_is_enough(desk, reconciliation.reconcile)


def test_planted_a_reconciliation_that_compares_payments_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks Stripe for neither refunds nor disputes enters what was paid, and never what was taken back."""
    for name in ("refunds_of", "disputes_of", "refunds_since", "disputes_since"):
        monkeypatch.setattr(stripe_gateway, name, lambda *_: [])
    with pytest.raises(AssertionError):
        check_reconciliation_alone_is_enough(desk, reconciliation.reconcile)


def hear_all(desk: Desk, door: Visitor) -> None:
    """Every event there is arrives, and is looked into."""
    for event in desk.fake.events(desk.account_id):
        body, headers = desk.fake.webhook(event["id"])
        assert door.client.post("/webhooks/stripe", data=body, headers=headers, base_url=door.base_url).status_code == 200
        with desk.open_clinic():
            stripe_events.look_into(event["id"])


def before_the_answer(monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], object]) -> None:
    """Stripe acted, and before we read its answer to this call something happens."""
    ask = getattr(stripe_gateway, name)

    def asked(*arguments: object) -> object:
        answer = ask(*arguments)
        happens()
        return answer

    monkeypatch.setattr(stripe_gateway, name, asked)


def test_webhooks_come_before_the_answer_that_made_the_page(desk: Desk, maria: Visitor, door: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = desk.invoice(PRICE)

    def is_paid() -> None:
        desk.fake.pay(desk.fake.objects("checkout.session", desk.account_id)[0]["id"])
        hear_all(desk, door)
        assert desk.due(invoice) == 0

    before_the_answer(monkeypatch, "open_checkout", is_paid)
    _payment, where = start(desk, maria, invoice)
    assert "has arrived" in maria.read(where)
    check_paid_once(desk, invoice)


def check_given_back_once(desk: Desk, door: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    refund, payment = uuid4(), desk.paid(desk.invoice(PRICE))
    with desk.staff():
        refunds.ask(refund, payment, books.usd(BACK), "Came too late")
    before_the_answer(monkeypatch, "refund", lambda: hear_all(desk, door))
    with desk.open_clinic():
        assert refunds.send(refund, payment) == RefundStatus.SUCCEEDED
    assert desk.lines() == [("payment", -PRICE), ("refund", BACK)] and desk.letters().count("refund_made") == 1


def test_webhooks_come_before_the_answer_that_made_the_refund(desk: Desk, door: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    check_given_back_once(desk, door, monkeypatch)


def test_planted_rows_believed_as_they_were_read_before(desk: Desk, door: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for Stripe and then decides by what they read before enters what others entered meanwhile."""
    monkeypatch.setattr(looking, "afresh", lambda statement: statement)
    with pytest.raises((AssertionError, Conflict)):
        check_given_back_once(desk, door, monkeypatch)


# Time


def check_nobody_waits_longer(desk: Desk, maria: Visitor) -> None:
    """While Stripe hangs for longer than anybody would wait."""
    invoice, opened = desk.invoice(PRICE), desk.begin(desk.invoice(PRICE))
    desk.open(opened)
    desk.fake.fault("*", "hang", times=None, seconds=14)
    form = form_of(maria.read(pay_page(desk)))
    for path, sent in (
        (pay_page(desk), {"payment_id": form, "invoices": [str(invoice)]}),
        (f"/patients/{desk.patient_id}/payments/{opened}/calling-off", {}),
    ):
        began = time.monotonic()
        assert maria.post(path, sent).status_code == 303
        assert time.monotonic() - began < LONGEST_SECONDS
    desk.fake.clear_faults()


@pytest.mark.slow
def test_a_person_waits_ten_seconds_at_most(desk: Desk, maria: Visitor) -> None:
    check_nobody_waits_longer(desk, maria)


@pytest.mark.slow
def test_planted_the_librarys_own_patience(desk: Desk, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """80 seconds, when nobody says how long to wait."""
    monkeypatch.setattr(line, "_seconds_left", lambda: (80, 80))
    with pytest.raises(AssertionError):
        check_nobody_waits_longer(desk, maria)
    desk.fake.clear_faults()
