"""T11: a payment is killed at every durable step, and then finds its end.

Lost if it fails: a worker dies in the second in which a family pays, and they are charged twice, or were charged and still
owe, or cannot pay any more because somebody who is gone holds the invoice; or money was given back twice.

kill -9 before and after each commit that wrote and each request to Stripe: attempt row, key saved, request sent, answer read,
row updated, webhook stored, applied, books entered, letter posted · n = 1, 2 … until nothing is killed any more · again with
Stripe's answer lost after it acted · the same for a refund · an hour later: one charge at Stripe, the account equal to
Stripe's balance, the invoice right, one receipt, nothing unfinished; events that come again change nothing
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask
from sqlalchemy import func, select

from clinic import demo, payments, reconciliation, stripe_events
from clinic.invoices import PaymentInvoice
from clinic.payments import UNFINISHED, Payment, Refund, RefundStatus, agreeing, agreement, refunds, telling
from clinic.stripe_events import StripeEvent, applying
from clinic.stripe_gateway import line
from mail.outbox import OutgoingLetter
from tenancy import clock
from tenancy.database import db, transaction
from tests import books
from tests.attack.doomed import Kill, Life, Moment, at, live, nth
from tests.conftest import BASE, PORT
from tests.paying import MARIA, Desk, at_elm
from tests.portal.test_paying_by_link import fields_of, follow
from tests.portal.test_payments import form_of, pay_page, session_of
from tests.stripe_fake.client import NotPossible, StripeFake
from tests.visitor import Visitor

Administrator = psycopg.Connection[tuple[Any, ...]]
AN_HOUR = timedelta(minutes=65)
PRICE, BACK = 12000, 4000
UNSETTLED = (RefundStatus.ASKED, RefundStatus.PENDING)
PAID, REFUNDED = ("checkout.session.completed", "payment_intent.succeeded"), ("refund.created", "charge.refunded")
ANSWERED = "answered the family"


@dataclass
class Stage:
    """Elm on a database of its own; Maria signed in at its portal; and one life after the other."""

    app: Flask
    fake: StripeFake
    administrator: Administrator
    maria: Visitor
    stripe: Visitor  # whoever posts to the webhook

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """A new patient, and a new account at a Stripe that has forgotten everything else."""
        self.fake.reset()
        with at_elm(self.app, self.fake) as desk:
            yield desk
        assert self.fake.violations() == []

    def live(self, work: Callable[[Moment], None], kill: Kill) -> Life:
        return live(self.app, self.administrator, work, kill)


@pytest.fixture
def stage(committed_app: Flask, stripe_fake: StripeFake, administrator: Administrator) -> Stage:
    maria = Visitor(committed_app, f"http://{demo.ELM}.{BASE}:{PORT}").sign_in(MARIA)
    return Stage(committed_app, stripe_fake, administrator, maria, Visitor(committed_app, f"http://{BASE}:{PORT}"))


def hear(stage: Stage, desk: Desk, moment: Moment, *types: str) -> None:
    """Stripe's events of these types arrive, and the worker looks into each."""
    for event in [each for type_ in types for each in desk.fake.events(desk.account_id, type_)]:
        body, headers = desk.fake.webhook(event["id"])
        answer = stage.stripe.client.post("/webhooks/stripe", data=body, headers=headers, base_url=stage.stripe.base_url)
        assert answer.status_code == 200
        moment("answered Stripe")
        with desk.open_clinic():
            stripe_events.look_into(event["id"])
        moment("looked into it")


def an_hour_later(desk: Desk) -> None:
    """What runs by itself, whoever died before."""
    desk.fake.advance(int(AN_HOUR.total_seconds()))
    with clock.moved(AN_HOUR), desk.open_clinic():
        applying.apply_waiting()
        payments.look_again()
        reconciliation.reconcile()


def count(desk: Desk, *where: Any) -> int:
    """Rows of the table that the condition is about."""
    with desk.clinic_transaction():
        return db.session.scalars(select(func.count()).where(*where)).one()


def letters(desk: Desk, kind: str) -> int:
    return count(desk, OutgoingLetter.kind == kind)


def check_nothing_is_left(desk: Desk) -> None:
    assert count(desk, Payment.status.in_(UNFINISHED)) == 0
    assert count(desk, Refund.status.in_(UNSETTLED)) == 0
    assert count(desk, PaymentInvoice.released_at.is_(None)) == 0
    assert count(desk, StripeEvent.applied_at.is_(None)) == 0
    with clock.moved(AN_HOUR), desk.open_clinic():
        again = reconciliation.reconcile()
    assert (again.corrected, again.told, again.is_complete) == (0, 0, True)


# A payment


Press = Callable[[], None]  # the button, once more where the page says that we are checking; then Stripe's page, unless it was paid there


def pays(stage: Stage, desk: Desk, press: Press) -> Callable[[Moment], None]:
    """From the button to the books: the family's request, Stripe's page, the webhook, the worker."""

    def work(moment: Moment) -> None:
        press()
        moment(ANSWERED)
        hear(stage, desk, moment, *PAID)

    return work


def signed_in(stage: Stage, desk: Desk, invoice: UUID) -> Press:
    """Maria, on the portal."""
    payment = form_of(stage.maria.read(pay_page(desk)))
    form, where = {"payment_id": payment, "invoices": [str(invoice)]}, f"/patients/{desk.patient_id}/payments/{payment}"
    return partial(_press, stage.maria, desk, pay_page(desk), form, where)


def behind_a_link(stage: Stage, desk: Desk, invoice: UUID) -> Press:
    """Somebody who followed the link of a mailed invoice, and does not sign in."""
    desk.let_links_pay()
    greta = follow(Visitor(stage.app, stage.maria.base_url), desk.mail(invoice))
    form = fields_of(greta.read("/link/invoice"))
    return partial(_press, greta, desk, "/link/invoice", form, f"/mailed-invoice/payments/{form['payment_id']}")


def _press(who: Visitor, desk: Desk, page: str, form: dict[str, Any], payment: str) -> None:
    where = who.post(page, form).headers["Location"]
    if not where.startswith(desk.fake.url):
        where = who.post(f"{payment}/checkout").headers["Location"]
    if where.startswith(desk.fake.url):
        with suppress(NotPossible):  # it was paid there already, and Stripe's page says so
            desk.fake.pay(session_of(where))


def check_paid_once(desk: Desk, invoice: UUID, receipts: int) -> None:
    """At Stripe and in the books."""
    assert [each["status"] for each in desk.fake.objects("charge", desk.account_id)] == ["succeeded"]
    assert desk.fake.balance(desk.account_id) == {"usd": PRICE}
    assert (desk.lines(), desk.due(invoice), desk.balance()) == ([("payment", -PRICE)], 0, 0)
    assert letters(desk, "receipt_waits") == receipts


def pay_and_survive(
    stage: Stage, kill: Kill, *, comes_back: bool, loses_answers: bool = False, payer: Callable[[Stage, Desk, UUID], Press] = signed_in
) -> Life:
    """One payment, killed at that moment; and then everything that is expected of it."""
    with stage.desk() as desk:
        invoice = desk.invoice(PRICE)
        press, before = payer(stage, desk, invoice), letters(desk, "receipt_waits")
        if loses_answers:
            desk.fake.fault("POST /v1/checkout/sessions", "lost", times=2)
        life = stage.live(pays(stage, desk, press), kill)
        desk.fake.clear_faults()
        if comes_back:
            press()
        assert len(desk.fake.objects("checkout.session", desk.account_id)) <= 1, "a second page, for one press of the button"
        an_hour_later(desk)
        check_nothing_is_left(desk)
        if desk.due(invoice):
            assert not comes_back and desk.fake.balance(desk.account_id) in ({}, {"usd": 0})
            assert letters(desk, "receipt_waits") == before
            pay_anew(desk, invoice)
        check_paid_once(desk, invoice, before + 1)
        hear(stage, desk, lambda _: None, *PAID)
        check_nothing_is_left(desk)
        check_paid_once(desk, invoice, before + 1)
    return life


def pay_anew(desk: Desk, invoice: UUID) -> None:
    """Who is gone holds nothing: the invoice can be paid."""
    with clock.moved(AN_HOUR):
        desk.paid(invoice)


MOMENTS = {
    "Stripe was not asked yet": at("after commit"),
    "Stripe acted and nobody knows": at("after asking Stripe"),
    "the event is not kept yet": at("before commit", 3),
    "the books are not entered yet": at("before commit", 5),
    "the books are entered and the event is not settled": at("after commit", 5),
}


@pytest.mark.parametrize("when", list(MOMENTS))
def test_a_payment_killed_when(stage: Stage, when: str) -> None:
    assert pay_and_survive(stage, MOMENTS[when], comes_back=False).was_killed


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
@pytest.mark.parametrize("when", list(MOMENTS))
def test_a_payment_by_a_mailed_link_killed_when(stage: Stage, when: str, comes_back: bool) -> None:
    assert pay_and_survive(stage, MOMENTS[when], comes_back=comes_back, payer=behind_a_link).was_killed


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_payment_killed_anywhere_finds_its_end(stage: Stage, comes_back: bool) -> None:
    """n = 1, 2 … until nothing is killed any more."""
    number, life = 0, Life([], was_killed=True)
    while life.was_killed:
        number += 1
        life = pay_and_survive(stage, nth(number), comes_back=comes_back)
    assert len(life.moments) > 20, life.moments


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_payment_whose_answer_was_lost_is_killed_anywhere(stage: Stage, comes_back: bool) -> None:
    """Until the family was answered; after that it is a payment like any other."""
    number, life = 0, Life([], was_killed=True)
    while ANSWERED not in life.moments[:-1]:
        number += 1
        life = pay_and_survive(stage, nth(number), comes_back=comes_back, loses_answers=True)
    assert life.moments.count("before asking Stripe") == 3  # twice in vain


def test_planted_a_key_of_its_own_for_every_request(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever presses again after a crash has a second page on which to pay."""
    _without_keys(monkeypatch)
    with pytest.raises(AssertionError, match="second page"):
        pay_and_survive(stage, at("after asking Stripe"), comes_back=True)


def test_planted_a_receipt_in_a_transaction_of_its_own(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two, the books are right and nobody is told."""
    late: list[Payment] = []
    post, bring = telling.receipt_waits, agreeing.bring_up_to_date

    def in_two_steps(payment_id: UUID) -> bool:
        changed = bring(payment_id)
        with transaction():
            for payment in late:
                post(payment)
        late.clear()
        return changed

    monkeypatch.setattr(telling, "receipt_waits", late.append)
    for module in (agreeing, payments):
        monkeypatch.setattr(module, "bring_up_to_date", in_two_steps)
    with pytest.raises(AssertionError):
        pay_and_survive(stage, at("after commit", 5), comes_back=False)


@pytest.mark.parametrize("when", ["Stripe was not asked yet", "the books are not entered yet"])
def test_planted_nobody_looks_again(stage: Stage, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Books that live on events alone: what a dead process left lies there for good."""
    for module, name in ((applying, "apply_waiting"), (payments, "look_again"), (reconciliation, "reconcile")):
        monkeypatch.setattr(module, name, lambda: reconciliation.Outcome())
    with pytest.raises(AssertionError):
        pay_and_survive(stage, MOMENTS[when], comes_back=False)


# A refund


def gives_back(stage: Stage, desk: Desk, payment: UUID, refund: UUID) -> Callable[[Moment], None]:
    """Asked by Ben, made at Stripe, entered; and then heard of."""

    def work(moment: Moment) -> None:
        ask(desk, payment, refund)
        moment("answered Ben")
        hear(stage, desk, moment, *REFUNDED)

    return work


def ask(desk: Desk, payment: UUID, refund: UUID) -> None:
    with desk.staff():
        refunds.ask(refund, payment, books.usd(BACK), "Came too late")
    with desk.open_clinic():
        refunds.send(refund, payment)


def check_given_back_once(desk: Desk, invoice: UUID, told: int) -> None:
    found = desk.fake.objects("refund", desk.account_id)
    assert [(each["status"], each["amount"]) for each in found] == [("succeeded", BACK)]
    assert desk.fake.balance(desk.account_id) == {"usd": PRICE - BACK}
    assert (desk.lines(), desk.due(invoice), desk.balance()) == ([("payment", -PRICE), ("refund", BACK)], BACK, BACK)
    assert letters(desk, "refund_made") == told


def give_back_and_survive(stage: Stage, kill: Kill, *, loses_answers: bool = False) -> Life:
    with stage.desk() as desk:
        invoice, refund, before = desk.invoice(PRICE), uuid4(), letters(desk, "refund_made")
        payment = desk.paid(invoice)
        if loses_answers:
            desk.fake.fault("POST /v1/refunds", "lost", times=1)
        life = stage.live(gives_back(stage, desk, payment, refund), kill)
        desk.fake.clear_faults()
        an_hour_later(desk)
        check_nothing_is_left(desk)
        if not count(desk, Refund.id == refund):
            assert desk.fake.objects("refund", desk.account_id) == []
            ask(desk, payment, refund)
        check_given_back_once(desk, invoice, before + 1)
        hear(stage, desk, lambda _: None, *REFUNDED)
        check_nothing_is_left(desk)
        check_given_back_once(desk, invoice, before + 1)
    return life


def test_a_refund_killed_when_stripe_made_it(stage: Stage) -> None:
    assert give_back_and_survive(stage, at("after asking Stripe")).was_killed


@pytest.mark.slow
@pytest.mark.parametrize("loses_answers", [False, True])
def test_a_refund_killed_anywhere_finds_its_end(stage: Stage, loses_answers: bool) -> None:
    number, life = 0, Life([], was_killed=True)
    while life.was_killed:
        number += 1
        life = give_back_and_survive(stage, nth(number), loses_answers=loses_answers)
    assert len(life.moments) > 15, life.moments


def test_planted_a_refund_asked_for_with_another_key_each_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not known again by its mark when Stripe's list is looked at: either alone is enough."""
    _without_keys(monkeypatch)
    by_id = lambda ours, facts, *_: next((each for each in ours.refunds if each.stripe_refund_id == facts.id), None)  # noqa: E731
    monkeypatch.setattr(agreement, "_known_refund", by_id)
    with pytest.raises(AssertionError):
        give_back_and_survive(stage, at("after asking Stripe"))


def _without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    post = line.post
    monkeypatch.setattr(line, "post", lambda path, params=None, *, of=None, key=None: post(path, params, of=of))
