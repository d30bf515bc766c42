"""Lost if it fails: a family reads a draft, a hidden note or another child's report, or a file that is not what it says."""

from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text, update

from clinic import demo, demo_papers, document_store, document_types, documents
from clinic.document_store import DocumentContent
from clinic.documents import DocumentDetails, DocumentStatus
from clinic.incoming_files import take
from tenancy import clinics, clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.keys import Unreadable
from tenancy.tenant import Role
from tests.inside import acting, inside, member, patient, user
from tests.visitor import Visitor

PDF = demo_papers.pdf("A page", ["Leo holds the pencil well."])


def details(title: str = "Report", days_ago: int = 0, kind: str = "Plan of Care") -> DocumentDetails:
    (type_id,) = [row.id for row in document_types.listed() if row.name == kind]
    return DocumentDetails(title, type_id, clock.today(clinics.current().time_zone) - timedelta(days=days_ago))


def shown(app: Flask) -> list[str]:
    """Titles that Maria finds for Leo."""
    with inside(app, demo.ELM):
        leo, maria = patient("Leo Lopez").id, user("maria@family.example").id
    with inside(app, demo.ELM, Role.PORTAL, maria):
        return [row.title for row in documents.shown_of_patient(leo)]


def add(app: Flask, kind: str = "Plan of Care") -> UUID:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        return documents.add(patient("Leo Lopez").id, details(kind=kind), take("page.pdf", PDF)).id


def test_only_signed_documents_of_visible_types_that_are_not_held_back_are_shown(app: Flask) -> None:
    known = ["Plan of care, autumn", "Progress after ten visits"]
    assert shown(app) == known
    document_id = add(app)
    assert shown(app) == known  # a draft
    with inside(app, demo.ELM), acting("ana@elm.example"):
        documents.sign(document_id)
    assert shown(app) == ["Report", *known]
    with inside(app, demo.ELM):
        documents.hold_back(document_id, "Parents ask to talk first")
    assert shown(app) == known
    with inside(app, demo.ELM):
        documents.release(document_id)
    assert shown(app) == ["Report", *known]
    with inside(app, demo.ELM):
        document_types.show_only({row.id for row in document_types.listed() if row.name == "Progress Note"})
    assert shown(app) == ["Progress after ten visits"]


def test_row_security_says_the_same_as_the_rule(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that forgot the rule would still show nothing more."""
    monkeypatch.setattr(documents, "_SHOWN_OF_PATIENT", documents._OF_PATIENT)
    assert shown(app) == ["Plan of care, autumn", "Progress after ten visits"]


def test_bytes_are_sealed_and_swapping_two_rows_is_noticed(app: Flask) -> None:
    """Whoever gets at the database cannot hand one child's report to another family."""
    first, second = add(app), add(app)
    with inside(app, demo.ELM):
        sealed = {row.document_id: row.sealed for row in db.session.scalars(select(DocumentContent))}
        assert b"%PDF" not in sealed[first] and b"pencil" not in sealed[first]
        assert documents.content_of(documents.get(first)) == PDF
        for one, other in ((first, second), (second, first)):
            db.session.execute(update(DocumentContent).where(DocumentContent.document_id == one).values(sealed=sealed[other]))
        for document_id in (first, second):
            with pytest.raises(Unreadable):
                documents.content_of(documents.get(document_id))


def test_a_look_at_nothing_is_not_found(app: Flask) -> None:
    with inside(app, demo.ELM), acting("ben@elm.example"):
        for action in (documents.get, documents.sign, documents.release, document_store.fetch):
            with pytest.raises(NotFound):
                action(uuid4())


def test_a_document_is_signed_once_by_whoever_signs(app: Flask) -> None:
    document_id = add(app)
    with inside(app, demo.ELM), acting("ana@elm.example"):
        documents.sign(document_id)
        with pytest.raises(Conflict):
            documents.sign(document_id)
        row = db.session.scalars(select(documents.Document).where(documents.Document.id == document_id)).one()
        assert (row.status, row.signed_by_id) == (DocumentStatus.SIGNED, member("ana@elm.example").id)


def test_what_is_typed_wrongly_is_refused_at_its_field(app: Flask) -> None:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
        for wrong, field in ((details(" \n "), "title"), (details("x" * 121), "title"), (details(days_ago=-1), "dated_on")):
            with pytest.raises(Refused) as refusal:
                documents.add(leo, wrong, take("page.pdf", PDF))
            assert refusal.value.field == field
        with pytest.raises(NotFound):
            documents.add(uuid4(), details(), take("page.pdf", PDF))
        with pytest.raises(NotFound):
            documents.add(leo, DocumentDetails("Report", uuid4(), date(2024, 1, 1)), take("page.pdf", PDF))
        for reason in ("", "   ", "x" * 201):
            with pytest.raises(Refused):
                documents.hold_back(documents.of_patient(leo)[0].id, reason)


def test_a_file_is_served_as_what_it_is_and_runs_nothing(app: Flask, maria: Visitor) -> None:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
        document_id = next(row.id for row in documents.of_patient(leo) if row.is_shown)
    answer = maria.get(f"/patients/{leo}/documents/{document_id}/download")
    assert answer.data.startswith(b"%PDF-")
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert answer.headers["Content-Security-Policy"].endswith("sandbox")
    assert answer.headers["Content-Type"] == "application/pdf"


def test_types_are_the_clinics_own_and_named_once(app: Flask) -> None:
    with inside(app, demo.ELM):
        added = document_types.add("  Letter   to school ")
        assert (added.name, added.is_visible_on_portal) == ("Letter to school", False)
        for wrong in ("", "x" * 61, "Letter to school"):
            with pytest.raises(Refused):
                document_types.add(wrong)
    with pytest.raises(Refused), inside(app, demo.ELM):
        document_types.rename(added.id, "Daily Note")
    with inside(app, demo.ELM):
        document_types.rename(added.id, "School letter")
    with inside(app, demo.OAK):
        assert "School letter" not in [row.name for row in document_types.listed()]
        assert document_types.add("School letter").name == "School letter"


def test_a_portal_user_reads_no_bytes_of_what_is_not_shown(app: Flask) -> None:
    document_id = add(app)
    with inside(app, demo.ELM):
        maria = user("maria@family.example").id
    with inside(app, demo.ELM, Role.PORTAL, maria):
        with pytest.raises(NotFound):
            document_store.fetch(document_id)
        assert len(db.session.execute(text("SELECT * FROM document_contents")).all()) == 4  # two each of Leo and Mia
