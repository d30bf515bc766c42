"""Lost if it fails: a mailed invoice tells a stranger whose it is, or goes to somebody a court keeps from the child."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from clinic import access_holds, contacts, demo, invoices, mailed_invoices, mailed_links, portal_settings
from clinic.mailed_links import LinkState
from tenancy import clock, link_tokens
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.access import recorded
from tests.books import cash, draft, invoice, newcomer, usd
from tests.inside import contact, inside, letters, newest_link, pair, patient, secret, send_link
from tests.visitor import Visitor


def leo() -> UUID:
    return patient("Leo Lopez").id


def maria() -> UUID:
    return contact("Maria Lopez").id


def test_the_letter_and_the_page_tell_the_amount_and_nothing_else(app: Flask, portal: Visitor, ben: Visitor) -> None:
    with inside(app, demo.ELM):
        sent = invoice(leo(), 5000)
        mailed_invoices.mail(sent, leo(), maria())
        number = invoices.rows_of([sent])[sent].number
    assert letters(app, demo.ELM)[-1].kind == "invoice_mailed"
    assert recorded(app, "invoice.mailed")[-1].keys() == {"contact"}
    portal.get(f"/link/invoice/{secret(app, demo.ELM, Purpose.INVOICE)}")
    for _again in range(2):
        page = portal.read("/link/invoice")
        assert "$50.00" in page and "Elm Street Therapy" in page and "Sign in" in page
    for word in ("Leo", "Lopez", "A visit", str(number), str(sent)):
        assert word not in page
    with inside(app, demo.ELM):
        patient_id = leo()
    assert "maria@family.example" in ben.read(f"/elm-street/patients/{patient_id}/invoices/{sent}")


def test_the_page_tells_what_became_of_the_invoice(app: Flask, portal: Visitor) -> None:
    with inside(app, demo.ELM):
        sent = invoice(leo(), 5000)
        mailed_invoices.mail(sent, leo(), maria())
        paid = cash(leo(), 2000)
        invoices.allocate(paid, [(sent, usd(2000))])
    portal.get(f"/link/invoice/{secret(app, demo.ELM, Purpose.INVOICE)}")
    assert "$30.00" in portal.read("/link/invoice")
    with inside(app, demo.ELM):
        invoices.allocate(cash(leo(), 3000), [(sent, usd(3000))])
    assert "This invoice is paid" in portal.read("/link/invoice")
    with inside(app, demo.ELM):
        invoices.void(sent, leo(), "Billed twice")
    assert "taken this invoice back" in portal.read("/link/invoice")


def test_after_a_week_the_link_says_so(app: Flask, portal: Visitor) -> None:
    portal.get(f"/link/invoice/{send_link(app, demo.ELM, Purpose.INVOICE)}")
    with clock.moved(timedelta(days=7, seconds=-5)):
        portal.read("/link/invoice")
    with clock.moved(timedelta(days=7)):
        answer = portal.get("/link/invoice")
        assert (answer.status_code, "It worked for 7 days" in answer.text) == (410, True)
    portal.get("/link/invoice/made-up")
    answer = portal.get("/link/invoice")
    assert (answer.status_code, "e-mail address" in answer.text) == (404, False)


def test_two_invoices_mailed_to_one_person_both_open(app: Flask) -> None:
    with inside(app, demo.ELM):
        for minor in (100, 200):
            mailed_invoices.mail(invoice(leo(), minor), leo(), maria())
            assert newest_link(Purpose.INVOICE).is_good
        assert [each.state for each in db.session.query(mailed_links.MailedLink).filter_by(purpose="invoice")] == [LinkState.GOOD] * 2


def test_what_cannot_be_mailed_is_refused(app: Flask) -> None:
    with inside(app, demo.ELM):
        nell, sent, gus = newcomer(), invoice(leo(), 5000), contact("Gus Grant").id
        paid, void = invoice(leo(), 100), invoice(leo(), 100)
        invoices.allocate(cash(leo(), 100), [(paid, usd(100))])
        invoices.void(void, leo(), "Billed twice")
        for each in (paid, void, draft(leo(), 100)):
            with pytest.raises(Refused):
                mailed_invoices.mail(each, leo(), maria())
        for wrong in ((sent, leo(), gus), (sent, leo(), uuid4()), (sent, nell, maria()), (uuid4(), leo(), maria())):
            with pytest.raises(NotFound):
                mailed_invoices.mail(*wrong)
        mailed_invoices.mail(sent, leo(), maria())
        with pytest.raises(Conflict):
            mailed_invoices.mail(sent, leo(), maria())
        with clock.moved(timedelta(minutes=6)):
            mailed_invoices.mail(sent, leo(), maria())
        contact("Maria Lopez").email = contact("Maria Lopez").email_norm = None
        with pytest.raises(Refused, match="no e-mail"):
            mailed_invoices.mail(invoice(leo(), 100), leo(), maria())


@pytest.mark.parametrize("by", ["contact", "address"])
def test_nobody_is_mailed_an_invoice_of_a_patient_they_are_kept_from(app: Flask, by: str) -> None:
    with inside(app, demo.ELM):
        contact_id, email = (maria(), "") if by == "contact" else (None, "maria@family.example")
        access_holds.block(leo(), contact_id=contact_id, email=email, reason="A court said so")
        with pytest.raises(Refused, match="custody"):
            mailed_invoices.mail(invoice(leo(), 5000), leo(), maria())


@contextmanager
def read_as(app: Flask, followed: str | None, slug: str = demo.ELM) -> Iterator[None]:
    """To the database, whoever follows this link."""
    said = link_tokens.token_hash(followed).hex() if followed else ""
    with inside(app, slug, Role.PAYER):
        db.session.execute(text(f"SET LOCAL app.link_hash = '{said}'"))
        yield


def ids(table: str) -> set[UUID]:
    return set(db.session.scalars(text(f"SELECT id FROM {table}")))


def test_the_database_opens_one_invoice_to_who_knows_its_secret(app: Flask) -> None:
    """No patient's name, no description, nobody's invoice but that one, none once its link is over; nothing without a secret."""
    with inside(app, demo.ELM):
        first, second = invoice(leo(), 5000), invoice(leo(), 700)
        mailed_invoices.mail(first, leo(), maria())
        lines = set(invoices.lines_on(first))
    followed = secret(app, demo.ELM, Purpose.INVOICE)
    with inside(app, demo.ELM):
        mailed_invoices.mail(second, leo(), maria())
    with read_as(app, followed):
        assert (ids("invoices"), ids("account_lines")) == ({first}, lines)
        assert {len(ids(table)) for table in ("mailed_links", "invoice_mailings", "contacts")} == {1}
        for forbidden in ("name FROM patients", "description FROM account_lines", "patient_id FROM account_lines", "name FROM contacts",
                          "payment_line_id FROM allocations", "voided_reason FROM invoices", "name FROM portal_users",
                          "reason FROM access_holds", "allows_partial FROM billing_settings"):  # fmt: skip
            with pytest.raises(ProgrammingError), db.session.begin_nested():
                db.session.execute(text(f"SELECT {forbidden}"))
    for other in ("made-up", None):
        with read_as(app, other):
            for table in ("mailed_links", "invoice_mailings", "invoices", "account_lines", "contacts", "portal_users", "access_holds"):
                assert ids(table) == set()
    with clock.moved(timedelta(days=7)), read_as(app, followed):
        assert ids("invoices") == set()
    with read_as(app, followed, demo.OAK):
        assert ids("mailed_links") == ids("invoices") == set()
    with inside(app, demo.ELM, Role.DOOR):
        for table in ("invoices", "invoice_mailings", "account_lines"):
            with pytest.raises(ProgrammingError), db.session.begin_nested():
                db.session.execute(text(f"SELECT id FROM {table}"))


def kept_away_by_the_contact() -> None:
    access_holds.block(leo(), contact_id=maria(), email="", reason="A court said so")


def kept_away_by_the_address() -> None:
    access_holds.block(leo(), contact_id=None, email="maria@family.example", reason="A court said so")


def held_on_the_portal() -> None:
    access = text("SELECT a.id FROM portal_access a JOIN portal_users u ON (u.clinic_id, u.id) = (a.clinic_id, a.portal_user_id) "
                  "WHERE u.email_norm = 'maria@family.example' AND a.patient_id = :patient")  # fmt: skip
    access_holds.hold(db.session.scalars(access, {"patient": leo()}).one(), "Papers are awaited")


def held_on_the_portal_under_another_address() -> None:
    held_on_the_portal()
    db.session.execute(text("UPDATE portal_users SET email = 'm@x.example', email_norm = 'm@x.example' WHERE email_norm = 'maria@family.example'"))


def no_longer_by_the_patient() -> None:
    contacts.part(pair("Maria Lopez", "Leo Lopez").id)


def at_another_address() -> None:
    contact("Maria Lopez").email = contact("Maria Lopez").email_norm = "maria@new.example"
    db.session.flush()


def mailed_again() -> None:
    with clock.moved(timedelta(minutes=6)):
        mailed_invoices.mail(db.session.scalars(text("SELECT invoice_id FROM invoice_mailings")).one(), leo(), maria())


OVER = [
    kept_away_by_the_contact, kept_away_by_the_address, held_on_the_portal, held_on_the_portal_under_another_address,
    no_longer_by_the_patient, at_another_address, mailed_again,
]  # fmt: skip


@pytest.mark.parametrize("happens", OVER)
def test_a_link_that_would_not_be_mailed_any_more_opens_nothing(app: Flask, portal: Visitor, happens: Callable[[], None]) -> None:
    """Neither on its page nor, should the page forget, in the database."""
    with inside(app, demo.ELM):
        sent = invoice(leo(), 5000)
        mailed_invoices.mail(sent, leo(), maria())
    followed = secret(app, demo.ELM, Purpose.INVOICE)
    portal.get(f"/link/invoice/{followed}")
    assert "$50.00" in portal.read("/link/invoice")
    with inside(app, demo.ELM):
        happens()
    answer = portal.get("/link/invoice")
    assert (answer.status_code, "$50.00" in answer.text, "signing in" in answer.text) == (410, False, True)
    with read_as(app, followed):
        assert ids("invoices") == set()


def test_a_renamed_portal_ends_the_links(app: Flask, portal: Visitor) -> None:
    portal.get(f"/link/invoice/{send_link(app, demo.ELM, Purpose.INVOICE)}")
    with inside(app, demo.ELM):
        mailed_links.withdraw_all_in_clinic()
        assert portal_settings.get()
    assert portal.get("/link/invoice").status_code == 410


def test_staff_mail_it_from_its_page(app: Flask, ben: Visitor) -> None:
    with inside(app, demo.ELM):
        patient_id, sent, contact_id = leo(), invoice(leo(), 5000), maria()
        nell = newcomer()
        hers = invoice(nell, 100)
    path = f"/elm-street/patients/{patient_id}/invoices/{sent}"
    assert "Mail it" in ben.read(path) and "Maria Lopez" in ben.read(f"{path}/mailing")
    assert ben.post(f"{path}/mailing", {"contact_id": str(uuid4())}).status_code == 422
    assert ben.post(f"{path}/mailing", {"contact_id": str(contact_id)}).status_code == 303
    assert "Mailed to" in ben.read(path)
    ben.get(f"{path}/mailing")
    assert "a few minutes ago" in ben.post(f"{path}/mailing", {"contact_id": str(contact_id)}).text
    assert "Nobody to mail it to" in ben.read(f"/elm-street/patients/{nell}/invoices/{hers}/mailing")
