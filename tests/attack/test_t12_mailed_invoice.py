"""T12, for the link of a mailed invoice, with which somebody pays who is not signed in: it opens one invoice, to one address.

Lost if it fails: whoever gets hold of a link, or of an id, reads or pays what is another family's, or goes on paying after a
court has said no.

Each of two walls alone: the database, asked directly as `portico_payer` by somebody who knows the secret, every id and every
column; and the pages, with every policy of that role widened to the whole clinic. Both away, and it is seen.
"""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from clinic import mailed_invoices
from clinic.payments import by_link, questions
from tenancy.database import db, transaction
from tenancy.errors import NotFound
from tests.paying import GRETA, Desk, at_elm
from tests.portal.test_paying_by_link import (
    NOT_PAYABLE,
    check_not_offered,
    fields_of,
    follow,
    start,
    visitor_answer,
    where,
)
from tests.stripe_fake.client import StripeFake
from tests.visitor import Visitor

PAGE = "/link/invoice"


@pytest.fixture
def desk(committed_app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(committed_app, stripe_fake) as standing:
        standing.let_links_pay()
        yield standing


def visitor(desk: Desk) -> Visitor:
    return Visitor(desk.app, "http://elm-street.localhost:8000")


# The database alone

PAYMENT = {
    "id": "gen_random_uuid()", "clinic_id": "app.clinic_id()", "patient_id": ":patient", "mailing_id": ":mailing", "way": "'link'",
    "status": "'starting'", "amount_minor": "100", "currency": "'usd'", "account_id": "'acct_1'", "saves_card": "false",
    "started_at": "now()", "next_look_at": "now()", "looks": "0",
}  # fmt: skip
WRITES = {
    "for another mailing": {"mailing_id": ":other_mailing"},
    "for another patient": {"patient_id": ":other_patient"},
    "as a portal user's": {"way": "'checkout'", "portal_user_id": ":maria", "mailing_id": "NULL"},
    "as if it were paid": {"status": "'processing'"},
    "with a card that is kept": {"saves_card": "true"},
    "in another clinic": {"clinic_id": ":other_clinic"},
}


def add_payment(changed: dict[str, str]) -> str:
    row = PAYMENT | changed
    return f"INSERT INTO payments ({', '.join(row)}) VALUES ({', '.join(row.values())})"


@pytest.mark.parametrize("what", WRITES)
def test_the_database_takes_a_payment_of_this_mailing_alone(desk: Desk, what: str) -> None:
    mine, other = desk.invoice(8000), desk.invoice(300)
    desk.mail(other, "omar@x.example")
    secret = desk.mail(mine)
    with desk.clinic_transaction():
        known: dict[str, Any] = {"patient": desk.patient_id, "maria": desk.maria, "other_clinic": uuid4()}
        rows = "SELECT id FROM invoice_mailings WHERE invoice_id = :id"
        known["mailing"], known["other_mailing"] = (db.session.scalars(text(rows), {"id": each}).one() for each in (mine, other))
        known["other_patient"] = db.session.scalars(text("SELECT id FROM patients WHERE id <> :patient"), known).first()
    with desk.open_clinic(), mailed_invoices.following(secret), transaction():
        with pytest.raises(ProgrammingError, match="row-level security|permission denied"), db.session.begin_nested():
            db.session.execute(text(add_payment(WRITES[what])), known)
        db.session.execute(text(add_payment({})), known)  # what is right is taken


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments SET amount_minor = 1", "UPDATE payments SET line_id = gen_random_uuid()", "UPDATE payments SET mailing_id = NULL",
        "DELETE FROM payments", "UPDATE invoices SET voided_at = now()", "UPDATE mailed_links SET expires_at = now()",
        "INSERT INTO allocations (clinic_id) VALUES (app.clinic_id())", "INSERT INTO account_lines (clinic_id) VALUES (app.clinic_id())",
        "SELECT name FROM patients", "SELECT secret FROM passwords", "SELECT * FROM sessions", "SELECT * FROM documents", "SELECT * FROM letters",
        "INSERT INTO audit_entries (clinic_id, id, at, actor_kind, event, details) "
        "VALUES (app.clinic_id(), gen_random_uuid(), now(), 'system', 'payment.begun', '{}')",
        "SET LOCAL ROLE portico_chain",
    ],
)  # fmt: skip
def test_the_database_lets_it_do_nothing_else(desk: Desk, statement: str) -> None:
    secret = desk.mail(desk.invoice(8000))
    payment = desk.begin_by_link(secret)
    with desk.open_clinic(), mailed_invoices.following(secret), pytest.raises(ProgrammingError), transaction():
        db.session.execute(text(statement))
    assert desk.status(payment) == "starting"


def test_nothing_is_there_for_another_secret(desk: Desk) -> None:
    desk.begin_by_link(desk.mail(desk.invoice(8000)))
    tables = ("payments", "payment_invoices", "invoices", "mailed_links", "billing_settings", "payment_accounts", "contacts")
    for secret in (desk.mail(desk.invoice(300), "omar@x.example"), "made-up"):
        with desk.open_clinic(), mailed_invoices.following(secret), transaction():
            for table in tables[:2] if secret != "made-up" else tables:
                assert db.session.scalars(text(f"SELECT count(*) FROM {table}")).one() == 0, table


# The pages alone


def row_security_is_the_clinics_alone(administrator: psycopg.Connection[Any]) -> None:
    policies = "SELECT tablename, policyname, cmd FROM pg_policies WHERE roles = '{portico_payer}'"
    for table, policy, command in administrator.execute(policies).fetchall():
        using = "USING (clinic_id = app.clinic_id())" if command != "INSERT" else ""
        check = "WITH CHECK (clinic_id = app.clinic_id())" if command not in ("SELECT", "DELETE") else ""
        administrator.execute(f"ALTER POLICY {policy} ON {table} {using} {check}".encode())


@pytest.mark.parametrize("happens", NOT_PAYABLE)
def test_the_pages_by_themselves_know_when_a_link_is_over(
    desk: Desk, administrator: psycopg.Connection[Any], happens: Callable[[Desk, UUID], None]
) -> None:
    row_security_is_the_clinics_alone(administrator)
    invoice = desk.invoice(8000)
    greta = follow(visitor(desk), desk.mail(invoice))
    form = fields_of(greta.read(PAGE))
    happens(desk, invoice)
    check_not_offered(desk, greta, form)


def check_nobody_elses(desk: Desk) -> None:
    """Another link's holder is told of no payment but their own, and changes none."""
    greta = follow(visitor(desk), desk.mail(desk.invoice(8000), GRETA))
    payment, _url = start(desk, greta)
    other = follow(visitor(desk), desk.mail(desk.invoice(300), "omar@x.example"))
    other.get(PAGE)
    for asked in (payment, desk.begin(desk.invoice(400))):
        for step in ("", "/checkout", "/calling-off"):
            assert visitor_answer(other, asked, step) == visitor_answer(other, uuid4(), "")
    assert "$3.00" in other.read(PAGE) and "began" not in other.read(PAGE)
    assert desk.status(payment) == "open"
    assert greta.get(where(payment)).status_code == 200


def test_the_pages_by_themselves_show_nobody_elses_payment(desk: Desk, administrator: psycopg.Connection[Any]) -> None:
    row_security_is_the_clinics_alone(administrator)
    check_nobody_elses(desk)


def _any_payment(_secret: str, payment_id: UUID) -> questions.PaymentRow:
    """As if a page looked for no more than the id of its address."""
    found = questions._payments(questions._PAYMENTS.where(questions.Payment.id == payment_id))
    if not found:
        raise NotFound("payment")
    return found[0]


def test_the_database_by_itself_shows_nobody_elses_payment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_link, "get", _any_payment)
    check_nobody_elses(desk)


def test_planted_both_walls_are_down(desk: Desk, administrator: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    row_security_is_the_clinics_alone(administrator)
    monkeypatch.setattr(by_link, "get", _any_payment)
    with pytest.raises(AssertionError):
        check_nobody_elses(desk)
