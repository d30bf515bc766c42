"""What Stripe is told: the clinic's name, amounts, and the ids of payments and refunds. Asserted on every request that reaches
the stand-in.

Lost if it fails: a company outside the clinic's walls knows which child goes to which therapy, and who pays for it; or can
tell by an id that two payments are for one child.

A whole life of money: the clinic signs up, a family pays by card, by bank, in part and onto the account, saves a card, lets it be
charged, calls a payment off; staff give back with a reason; a bank disputes; events, jobs and the reconciliation read it all again.
Canaries are every word of the two clinics' people, records and bills, and of a patient whose words stand nowhere else.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import account, demo, reconciliation, stripe_gateway
from clinic.account import LineKind
from clinic.mailed_links import MailedLink
from clinic.money import Money
from clinic.payments import refunds
from clinic.stripe_gateway import CheckoutOrder
from tenancy import keys, link_tokens, tenant
from tenancy.database import Base, db, transaction
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests import books, inside
from tests.clinic.test_autopay import TODAY, choose, due_later, run
from tests.paying import MARIA, Desk, at_elm
from tests.portal.test_paying_by_link import follow, where
from tests.portal.test_paying_by_link import start as start_by_link
from tests.portal.test_payments import pay_page, session_of, start
from tests.portal.test_webhooks import deliver, job
from tests.stripe_fake.client import StripeFake
from tests.visitor import Visitor

# Words that stand nowhere else, each in another place.
CANARIES = {
    "patients": "UPDATE patients SET name = 'Zebulon Quagmire', nickname = 'Zebbyquag' WHERE id = :id",
    "their bills": "Dysphagia-92526 for Zebulon",
    "a reason": "Xerxes lost his job",
}
TABLES = ("patients", "contacts", "portal_users", "staff_members", "account_lines", "documents", "document_types", "appointments", "conversations")
# What Stripe is told of by its id, so that we find it again.
TOLD_BY_ID = {"payments", "refunds"}
# Words that are no secret, or stand in too much else to be one.
NOT_TELLING = {"none", "elm street", "oak hill", "paid online", "visit", "a visit", "self", "other"}
CODED = ("id", "status", "state", "kind", "language", "method", "currency", "relationship", "role", "time_zone", "token", "hash", "at", "norm")


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        with standing.clinic_transaction():
            db.session.execute(text(CANARIES["patients"]), {"id": standing.patient_id})
        yield standing


def secrets_of(desk: Desk) -> set[str]:
    """Every text and every day that the records hold, each longer word of a name, and the secrets of mailed links."""
    found = {CANARIES["a reason"], "dysphagia", "xerxes", demo.PASSWORD, MARIA}
    with desk.open_clinic(), tenant.acting(Role.DOOR), transaction():
        key, links = keys.signing_key(link_tokens.KEY_PURPOSE), db.session.execute(select(MailedLink.id, MailedLink.purpose))
        found |= {link_tokens.token(key, Purpose(purpose), link_id) for link_id, purpose in links}
    for slug in (demo.ELM, demo.OAK):
        with inside.inside(desk.app, slug):
            for table in TABLES:
                for row in db.session.scalars(text(f"SELECT to_jsonb(t) FROM {table} t")):
                    found |= set(_texts(row))
    return {each for each in map(str.lower, found) if len(each) > 3 and each not in NOT_TELLING}


def ids_of(desk: Desk) -> set[str]:
    """Of everything that both clinics' staff can read: patients, contacts, invoices, lines … but payments and refunds."""
    tables = {name for name, table in Base.metadata.tables.items() if {"clinic_id", "id"} <= set(table.columns.keys())}
    found: set[str] = set()
    for slug in (demo.ELM, demo.OAK):
        with inside.inside(desk.app, slug):
            for table in sorted(tables - TOLD_BY_ID):
                if db.session.scalars(text("SELECT has_column_privilege(:table, 'id', 'SELECT')"), {"table": table}).one():
                    found |= set(map(str, db.session.scalars(text(f"SELECT id FROM {table}"))))
    return found | {each.replace("-", "") for each in found}


def _texts(row: dict[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        if isinstance(value, str) and not name.endswith(CODED):
            yield value
            if name in ("name", "nickname"):
                yield from (word for word in value.split() if len(word) > 4)


def told(desk: Desk) -> str:
    """All that the stand-in ever received: addresses, headers that it keeps, bodies, as they were meant."""
    return unquote_plus(unquote_plus("\n".join(map(str, desk.fake.requests())))).lower()


def check_nothing_is_told(desk: Desk) -> None:
    said = told(desk)
    assert [each for each in sorted(secrets_of(desk) | ids_of(desk)) if each in said] == []


def bill(desk: Desk, minor: int) -> UUID:
    with desk.staff():
        account.enter(desk.patient_id, LineKind.CHARGE, Money(100, "usd"), CANARIES["their bills"])
        return books.invoice(desk.patient_id, minor)


def live_by_link(desk: Desk, app: Flask, invoice: UUID) -> None:
    """Somebody pays an invoice that was mailed, and does not sign in."""
    desk.let_links_pay()
    greta = follow(Visitor(app, "http://elm-street.localhost:8000"), desk.mail(invoice))
    off, _url = start_by_link(desk, greta)
    greta.post(where(off, "/checkout"))
    greta.post(where(off, "/calling-off"))
    _payment, url = start_by_link(desk, greta)
    desk.fake.pay(session_of(url))


def live(desk: Desk, app: Flask) -> None:
    """A whole life of money."""
    fake = desk.fake
    maria = Visitor(app, "http://elm-street.localhost:8000").sign_in(MARIA)
    saved, url = start(desk, maria, bill(desk, 5000), saves_card="y")
    fake.pay(session_of(url), save=True)
    desk.look(saved)
    _debit, url = start(desk, maria, bill(desk, 6000))
    fake.settle(str(fake.pay(session_of(url), "bank_debit")["payment_intent"]))
    off, _url = start(desk, maria, bill(desk, 7000))
    maria.post(f"/patients/{desk.patient_id}/payments/{off}/checkout")
    maria.post(f"/patients/{desk.patient_id}/payments/{off}/ending")
    maria.read(pay_page(desk))
    start(desk, maria, amount="200.00")
    live_by_link(desk, app, bill(desk, 8000))
    with desk.staff():
        refund = refunds.ask(uuid4(), saved, Money(1000, "usd"), CANARIES["a reason"]).id
    with desk.open_clinic():
        refunds.send(refund, saved)
    fake.inquire(desk.intent(saved))
    fake.dispute(desk.intent(saved), 1000)
    for event in fake.events(desk.account_id):
        deliver(app, fake, event["id"])
    job(app)
    with desk.open_clinic():
        choose(desk)
        due_later(desk)
        for day in (TODAY - timedelta(days=3), TODAY):
            run(desk, day)
        reconciliation.reconcile()
    desk.look_again(minutes=180)


def test_stripe_is_told_nothing_of_anybody(desk: Desk, app: Flask, ana: Visitor) -> None:
    ana.get(f"/{demo.ELM}/payment-processing")
    live(desk, app)
    with desk.clinic_transaction():
        present = text("UPDATE payment_accounts SET ended_at = now(), ending = 'replaced', charges_enabled = false WHERE ended_at IS NULL")
        db.session.execute(present)
    ana.post(f"/{demo.ELM}/payment-processing/sign-up")
    done = {(each["method"], each["path"].split("/")[2]) for each in desk.fake.requests()}
    # All ways of asking were gone; otherwise nothing was shown.
    assert {("POST", "checkout"), ("POST", "refunds"), ("POST", "payment_intents"), ("POST", "accounts"), ("POST", "account_links"),
            ("GET", "payment_intents"), ("GET", "refunds"), ("GET", "disputes"), ("GET", "checkout")} <= done  # fmt: skip
    assert "payment to elm street" in told(desk)
    assert len(secrets_of(desk)) > 60 and {str(desk.patient_id), str(desk.maria)} <= ids_of(desk)
    check_nothing_is_told(desk)


def test_planted_a_payment_that_is_named_after_whom_it_is_for(desk: Desk, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = stripe_gateway.open_checkout

    def tell(order: CheckoutOrder) -> Any:
        return ask(replace(order, payee="Zebulon Quagmire"))

    monkeypatch.setattr(stripe_gateway, "open_checkout", tell)
    maria = Visitor(app, "http://elm-street.localhost:8000").sign_in(MARIA)
    start(desk, maria, bill(desk, 5000))
    with pytest.raises(AssertionError):
        check_nothing_is_told(desk)


def test_planted_a_way_back_that_names_the_patient(desk: Desk, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = stripe_gateway.open_checkout

    def tell(order: CheckoutOrder) -> Any:
        return ask(replace(order, cancel_url=order.cancel_url.replace("/payments/", f"/patients/{desk.patient_id}/payments/")))

    monkeypatch.setattr(stripe_gateway, "open_checkout", tell)
    maria = Visitor(app, "http://elm-street.localhost:8000").sign_in(MARIA)
    start(desk, maria, bill(desk, 5000))
    with pytest.raises(AssertionError):
        check_nothing_is_told(desk)
