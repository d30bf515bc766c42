"""Lost if it fails: a mother who reads Spanish is spoken to in English, at the door, on a page or in a letter."""

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from clinic import contacts, demo, invitation_batches, invitations
from clinic.contacts import ContactDetails, RelationshipKind
from mail import outbox
from mail.letters import AccessAdded, Addressee, PasswordReset
from tenancy.database import db
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.conftest import BASE, PORT
from tests.inside import acting, inside, letters, pair, patient, secret, send_link, user
from tests.visitor import Visitor

MARIA = "maria@family.example"


def language_of(page: str) -> str:
    return page.partition('<html lang="')[2].partition('"')[0]


def choose(visitor: Visitor, page: str, language: str) -> None:
    visitor.get(page)
    assert visitor.post("/language", {"language": language, "next": page}).status_code == 303


def test_a_door_speaks_the_browser_s_language(portal: Visitor, front_door: Visitor) -> None:
    for visitor, page in ((portal, "/sign-in"), (front_door, "/")):
        assert language_of(visitor.read(page)) == "en"
        assert language_of(visitor.get(page, headers={"Accept-Language": "es-MX,es;q=0.9,en;q=0.5"}).text) == "es"
        assert language_of(visitor.get(page, headers={"Accept-Language": "tlh"}).text) == "en"


def test_a_language_chosen_at_the_door_stays(portal: Visitor) -> None:
    choose(portal, "/sign-in", "es")
    assert language_of(portal.read("/new-link")) == "es"
    choose(portal, "/sign-in", "en")
    assert language_of(portal.get("/new-link", headers={"Accept-Language": "es"}).text) == "en"


def test_switching_leads_back_to_this_host_only(portal: Visitor) -> None:
    portal.get("/sign-in")
    for onward in ("https://evil.example/", "//evil.example/", ""):
        assert portal.post("/language", {"language": "es", "next": onward}).headers["Location"] == "/"
    page = portal.read("/sign-in?next=/profile")
    assert 'name="next" value="/sign-in?next=%2Fprofile"' in page


def test_no_other_language_is_taken(portal: Visitor) -> None:
    choose(portal, "/sign-in", "xx")
    assert language_of(portal.read("/sign-in")) == "en"


def test_the_person_s_own_language_holds_whatever_the_browser_reads(maria: Visitor) -> None:
    maria.get("/profile")
    answer = maria.post("/profile", {"name": "María López", "phone": "", "language": "es"})
    assert answer.status_code == 303
    assert language_of(maria.get("/", headers={"Accept-Language": "en"}).text) == "es"
    maria.get("/profile")
    maria.post("/sign-out")
    assert language_of(maria.read("/sign-in")) == "es"
    assert language_of(maria.sign_in(MARIA).read("/")) == "es"


def test_a_form_with_no_such_language_is_refused(maria: Visitor) -> None:
    maria.get("/profile")
    assert maria.post("/profile", {"name": "María López", "phone": "", "language": "xx"}).status_code == 422


def test_staff_pages_are_in_english(ana: Visitor) -> None:
    page = ana.get(f"/{demo.ELM}/", headers={"Accept-Language": "es"}).text
    assert language_of(page) == "en"
    assert "Español" not in ana.read(f"/{demo.ELM}/forgot-password")


def test_letters_are_written_in_the_reader_s_language(app: Flask) -> None:
    with inside(app, demo.ELM):
        user(MARIA).language = Language.SPANISH
    send_link(app, demo.ELM, Purpose.PASSWORD_RESET)
    posted = letters(app, demo.ELM)[-1]
    assert (posted.language, posted.letter) == (
        "es", PasswordReset(Addressee(MARIA, "es"), link_id=posted.letter.link_id),  # type: ignore[attr-defined]
    )  # fmt: skip


def test_the_contact_s_language_goes_with_the_invitation(app: Flask) -> None:
    """What the front desk noted is the language of the letter, of its page, and of the account, until they choose."""
    with inside(app, demo.ELM), acting("ana@elm.example"):
        leo = patient("Leo Lopez")
        details = ContactDetails("Abuela Lopez", "abuela@family.example", language=Language.SPANISH)
        contacts.add(leo.id, details, RelationshipKind.GRANDPARENT)
        invitation_batches.confirm(invitation_batches.choose([pair("Abuela Lopez", "Leo Lopez").id]).id)
    assert letters(app, demo.ELM)[-1].language == "es"
    with inside(app, demo.ELM):
        assert user("abuela@family.example").language == "es"
    with inside(app, demo.ELM):
        invitations.send(user("abuela@family.example"))
    assert letters(app, demo.ELM)[-1].language == "es"
    visitor = Visitor(app, f"http://{demo.ELM}.{BASE}:{PORT}")
    visitor.get(f"/link/invitation/{secret(app, demo.ELM, Purpose.INVITATION)}")
    assert language_of(visitor.read("/link/invitation")) == "es"
    choose(visitor, "/link/invitation", "en")
    assert language_of(visitor.read("/link/invitation")) == "en"


@pytest.mark.parametrize("table", ["contacts", "portal_users", "letters"])
def test_the_database_knows_no_other_language(app: Flask, table: str) -> None:
    with inside(app, demo.ELM, Role.STAFF):
        if table == "letters":
            outbox.post(AccessAdded(to=Addressee(MARIA)))
        with pytest.raises(IntegrityError, match=f"ck_{table}_language"), db.session.begin_nested():
            db.session.execute(text(f"UPDATE {table} SET language = 'xx'"))
