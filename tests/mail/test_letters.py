"""Lost if it fails: a letter on a kitchen table, or a copy of the outbox, tells who is a patient and of what."""

import dataclasses
import re
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import appearance, demo, invitation_batches, portal_settings
from clinic.documents import Document
from clinic.patients import Patient
from mail import letterhead, letters, outbox, rendering
from mail.letters import KINDS, Addressee, Letter, LinkLetter
from mail.rendering import Page
from tenancy.clinics import ClinicEntry
from tenancy.database import db
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tests.inside import contact, inside, pair, patient, written
from tests.inside import letters as rows_of

CLINICAL = re.compile(r"diagnos|speech|occupational|progress note|plan of care|daily note|evaluation|treatment|\$\s?\d", re.I)


def example(kind: type[Letter], language: str = Language.ENGLISH) -> Letter:
    ids = {field.name: str(uuid4()) for field in dataclasses.fields(kind) if field.name != "to"}
    return letters.restored(kind.kind, Addressee("maria@family.example", language), ids)


def page_of(app: Flask, letter: Letter, clinic_name: str | None = None) -> Page:
    with inside(app, demo.ELM) as clinic:
        named: ClinicEntry = dataclasses.replace(clinic, name=clinic_name or clinic.name)
        return rendering.written(letter, named, letterhead.of_clinic(), rendering.signing_key())


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_letter_can_hold_nothing_but_its_address_and_ids(kind: type[Letter]) -> None:
    """What has no field cannot be put into a letter by mistake: no name, no amount, no free text."""
    fields = {field.name: field.type for field in dataclasses.fields(kind)}
    assert fields.pop("to") in (Addressee, "Addressee")
    assert all(type_ in (UUID, "UUID") for type_ in fields.values())
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    if issubclass(kind, LinkLetter):
        assert set(fields) == {"link_id"}
        assert isinstance(kind.purpose, Purpose)


def test_every_letter_there_is_is_known_by_its_kind() -> None:
    made = {each for each in _below(Letter) if hasattr(each, "kind")}
    assert made == set(KINDS.values())
    assert {each.purpose for each in made if issubclass(each, LinkLetter)} == set(Purpose)


def _below(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *_below(child))]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_stored_letter_is_the_one_that_was_posted(kind: type[Letter]) -> None:
    letter = example(kind)
    assert letters.restored(kind.kind, letter.to, letters.ids_in(letter)) == letter


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_letter_has_a_subject_text_and_html_that_say_the_same(app: Flask, kind: type[Letter]) -> None:
    """Somebody who reads plain text, or hears it, gets the same link and the same sentences."""
    page = page_of(app, example(kind))
    assert page.subject and "\n" not in page.subject
    assert "Elm Street Therapy" in page.text and "Elm Street Therapy" in page.html
    assert "{{" not in page.text + page.html and "None" not in page.text + page.html
    assert "<html lang=\"en\"" in page.html
    assert "&#39;" not in page.text and "&amp;" not in page.text
    urls = re.findall(r"http://\S+", page.text)
    assert bool(urls) != issubclass(kind, letters.SignInNotice)
    assert all(url in page.html for url in urls)
    if issubclass(kind, LinkLetter):
        assert [url for url in urls if re.search(rf"/link/{kind.purpose}/[\w-]{{43}}$", url)]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_no_letter_fetches_anything_or_counts_its_readers(app: Flask, kind: type[Letter]) -> None:
    html = page_of(app, example(kind)).html
    assert not re.search(r"<img|<script|<link|<iframe|url\(|@import|src=", html, re.I)


def test_no_letter_names_a_patient_or_anything_clinical(app: Flask) -> None:
    """Of every letter that Elm Street can send: not a name, a title, a service or a birth date of its records."""
    with inside(app, demo.ELM):
        known = {word for name in db.session.scalars(select(Patient.name)) for word in name.split()}
        known |= set(db.session.scalars(select(Patient.nickname).where(Patient.nickname.is_not(None))))  # type: ignore[arg-type]
        known |= set(db.session.scalars(select(Document.title)))
        known |= {str(each) for each in db.session.scalars(select(Patient.birth_on))}
        known |= {"Occupational", "Tanaka", "Room 2", "Cheque", "Workbook", "Maria", "Omar"}
    pages = [page_of(app, example(kind), "The Clinic") for kind in KINDS.values()]
    for page in pages:
        # Links are random bits, and the reader's own address is no news to the reader.
        said = re.sub(r"http://\S+|maria@family\.example", "", page.subject + page.text + page.html)
        assert not [word for word in known if re.search(rf"\b{re.escape(word)}\b", said)]
        assert not CLINICAL.search(said), CLINICAL.search(said)


def test_the_outbox_holds_no_text(app: Flask) -> None:
    """Who reads the table, or a backup of it, finds addresses and ids: no words, no link, no name."""
    with inside(app, demo.ELM):
        sam = patient("Sam Grant")
        db.session.execute(text("UPDATE contacts SET do_not_invite = false"))
        batch = invitation_batches.choose([pair("Gus Grant", "Sam Grant").id])
        invitation_batches.confirm(batch.id)
        outbox.post(letters.AccessAdded(to=Addressee("maria@family.example")))
        gus, sam_name = contact("Gus Grant").name, sam.name
    for row in rows_of(app, demo.ELM):
        assert set(row.ids) <= {"link_id", "portal_user_id"}
        assert all(UUID(value) for value in row.ids.values())
        told = " ".join(str(value) for name, value in vars(row).items() if not name.startswith("_"))
        assert not [word for word in ("http", "invite", "Elm Street", gus, sam_name, "Grant") if word in told.replace("portal_invitation", "")]


PAYLOADS = (
    "Elm\r\nBcc: evil@evil.test",
    "Elm\nBcc: evil@evil.test\n\nBuy now",
    "Elm\rX: y",
    "=?utf-8?q?Elm=0ABcc=3A_evil=40evil.test?=",
    "Elm =?utf-8?b?CkJjYzogZXZpbEBldmlsLnRlc3Q=?=",
    "Elm\x0bBcc: e@evil.test\x0c\x85\u2028\u2029x",
    "Elm\x00\x1b[31m",
    'Elm" <evil@evil.test>, "x',
    "Elm <evil@evil.test>",
    "Elm, evil@evil.test",
)


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_name_cannot_begin_a_header(app: Flask, name: str) -> None:
    page = page_of(app, example(letters.PortalInvitation), name)
    for said in (page.subject, rendering.header(name)):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", said)
        assert "=?" not in said


def test_markup_in_a_name_is_text_in_the_letter(app: Flask) -> None:
    name = "<script>alert(1)</script> & <a href='//evil.test'>Sons</a>"
    page = page_of(app, example(letters.PortalInvitation), name)
    assert "<script>" not in page.html and "evil.test'>" not in page.html
    assert "&lt;script&gt;" in page.html
    assert name in page.text  # as it is: nothing is escaped where nothing is markup


def test_a_letter_is_written_with_the_clinics_present_name_and_address(app: Flask) -> None:
    with inside(app, demo.ELM):
        outbox.post(letters.AccessAdded(to=Addressee("maria@family.example")))
        appearance.change(name="Elm Lane Therapy", accent="#1f6f6b")
        portal_settings.rename_portal("elm-lane")
    page = written(app, "elm-lane")[-1]
    assert "Elm Lane Therapy" in page.text and "Elm Street" not in page.text
    assert "http://elm-lane.localhost:8000/" in page.text


def test_the_front_doors_letter_says_where_or_that_nowhere(app: Flask) -> None:
    with app.app_context():
        none = rendering.page("find_my_portal", {"portals": [], "clinic": None})
        portal = {"name": "<b>Elm</b>", "url": "http://elm-street.localhost:8000/"}
        some = rendering.page("find_my_portal", {"portals": [portal], "clinic": None})
    assert "No patient portal knows this address" in none.text and "None" not in none.html
    assert portal["url"] in some.text and portal["url"] in some.html
    assert "<b>Elm</b>" not in some.html.replace("&lt;b&gt;", "")
