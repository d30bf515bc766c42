"""Lost if it fails: a virus goes from one family's phone to the clinic's desk, or a file vanishes because a scanner did."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import conversations, demo, documents, quarantine, virus_scanner
from clinic.audit import AuditEntry
from clinic.conversations import Written
from clinic.documents import DocumentDetails
from clinic.incoming_files import take
from clinic.virus_scanner import Scan
from tenancy import clinics, clock
from tenancy.database import db
from tenancy.errors import Conflict, Refused
from tenancy.tenant import Role
from tests.clinic import files
from tests.clinic.clamd import Clamd, clamd
from tests.house import route_map
from tests.inside import acting, inside, patient, user
from tests.mail.sink import hung_server
from tests.visitor import Visitor

INFECTED = files.pdf(lambda made: made.pages[0].obj.__setitem__("/Contents", made.make_stream(files.EICAR)), compress_streams=False)
CLEAN = files.pdf()


@pytest.fixture
def scanner(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clamd]:
    with clamd() as made:
        use(app, monkeypatch, made.address)
        yield made


def use(app: Flask, monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.setitem(app.config, "PORTICO", replace(app.config["PORTICO"], clamd=address))


def add(app: Flask, content: bytes) -> UUID:
    """A signed document about Leo, of a visible type."""
    with app.app_context():
        file = take("a.pdf", content)
    type_id = route_map.ids_of(app, demo.ELM, "Leo Lopez")["type"]
    with inside(app, demo.ELM) as clinic, acting("ana@elm.example"):
        details = DocumentDetails("Scanned", type_id, clock.today(clinic.time_zone))
        document = documents.add(patient("Leo Lopez").id, details, file)
        documents.sign(document.id)
        return document.id


def scan_waiting(app: Flask) -> None:
    """What the worker does for one clinic."""
    with inside(app, demo.ELM) as clinic:
        pass
    with app.app_context(), clinics.open_clinic(clinic, Role.STAFF):
        quarantine.scan_waiting()


def scan_of(app: Flask, document_id: UUID) -> str:
    with inside(app, demo.ELM):
        return documents.get(document_id).scan


def is_shown_to_maria(app: Flask, document_id: UUID) -> bool:
    with inside(app, demo.ELM):
        leo, maria = patient("Leo Lopez").id, user("maria@family.example").id
    with inside(app, demo.ELM, Role.PORTAL, maria):
        listed = document_id in [row.id for row in documents.shown_of_patient(leo)]
        rows = db.session.execute(text("SELECT count(*) FROM document_contents WHERE document_id = :id"), {"id": document_id})
        assert rows.scalar_one() == listed, "the page and row security must say the same"
    return listed


def test_an_infected_file_is_not_kept(app: Flask, scanner: Clamd) -> None:
    with app.app_context(), pytest.raises(Refused, match="virus"):
        take("a.pdf", INFECTED)
    assert scanner.seen == [INFECTED]


def test_a_clean_one_is(app: Flask, scanner: Clamd) -> None:
    document_id = add(app, CLEAN)
    assert scan_of(app, document_id) == Scan.CLEAN
    assert is_shown_to_maria(app, document_id)
    scan_waiting(app)
    assert scanner.seen == [CLEAN], "once is enough"


def test_over_a_path_too(app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with clamd(tmp_path / "clamd") as made, app.app_context():
        use(app, monkeypatch, made.address)
        assert virus_scanner.scan(b"x" * 200_000) is Scan.CLEAN
        assert virus_scanner.scan(files.EICAR) is Scan.INFECTED
        assert len(made.seen[0]) == 200_000


def test_without_a_scanner_nothing_is_scanned(app: Flask) -> None:
    document_id = add(app, INFECTED)
    assert scan_of(app, document_id) == Scan.NONE
    assert is_shown_to_maria(app, document_id)


@pytest.mark.parametrize("answer", [b"", b"stream: OK", b"INSTREAM size limit exceeded. ERROR\0", b"\xff\xfe\0", b"x" * 5000])
def test_an_answer_that_is_none_is_no_leave(app: Flask, scanner: Clamd, answer: bytes) -> None:
    scanner.answers = [answer]
    with app.app_context():
        assert virus_scanner.scan(CLEAN) is (Scan.CLEAN if answer == b"stream: OK" else Scan.WAITING)


def test_a_hung_scanner_costs_a_time_out_and_no_file(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virus_scanner, "TIMEOUT_SECONDS", 0.2)
    with hung_server() as port, app.app_context():
        use(app, monkeypatch, f"127.0.0.1:{port}")
        assert virus_scanner.scan(CLEAN) is Scan.WAITING


def test_nothing_is_scanned_inside_a_transaction(app: Flask, scanner: Clamd) -> None:
    with inside(app, demo.ELM), pytest.raises(RuntimeError):
        virus_scanner.scan(CLEAN)


def check_nobody_gets_it(app: Flask, ana: Visitor, maria: Visitor, document_id: UUID) -> None:
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
    path = f"/patients/{leo}/documents/{document_id}"
    for way in ("file", "download"):
        assert (answer := ana.get(f"/{demo.ELM}{path}/{way}")).status_code == 409 and b"%PDF" not in answer.data
        assert ana.get(f"/{demo.ELM}{path}/{way}", headers={"Range": "bytes=0-9"}).status_code == 409
        assert maria.get(f"{path}/{way}").status_code == 404
    assert not is_shown_to_maria(app, document_id)


def test_while_the_scanner_is_down_nobody_gets_the_file(app: Flask, ana: Visitor, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """And once it is back, the worker lets it through."""
    use(app, monkeypatch, "/nowhere/clamd")
    document_id = add(app, CLEAN)
    assert scan_of(app, document_id) == Scan.WAITING
    check_nobody_gets_it(app, ana, maria, document_id)
    with inside(app, demo.ELM):
        page = f"/{demo.ELM}/patients/{patient('Leo Lopez').id}/documents/{document_id}"
    assert "Being checked for viruses" in ana.read(page)
    scan_waiting(app)
    check_nobody_gets_it(app, ana, maria, document_id)
    with clamd() as made:
        use(app, monkeypatch, made.address)
        scan_waiting(app)
    assert scan_of(app, document_id) == Scan.CLEAN
    assert ana.get(f"{page}/file").data == CLEAN
    assert is_shown_to_maria(app, document_id)
    with inside(app, demo.ELM):
        entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "document.scanned")).one()
        assert (entry.subject_id, entry.details) == (document_id, {"found": "clean"})


def test_what_turns_out_infected_stays_shut(app: Flask, ana: Visitor, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    use(app, monkeypatch, "127.0.0.1:9")
    document_id = add(app, INFECTED)
    with clamd() as made:
        use(app, monkeypatch, made.address)
        scan_waiting(app)
    assert scan_of(app, document_id) == Scan.INFECTED
    check_nobody_gets_it(app, ana, maria, document_id)
    with inside(app, demo.ELM):
        page = f"/{demo.ELM}/patients/{patient('Leo Lopez').id}/documents/{document_id}"
    assert "A virus was found in this file" in ana.read(page)


def test_planted_a_page_that_forgets_the_scanner(app: Flask, ana: Visitor, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    use(app, monkeypatch, "/nowhere/clamd")
    document_id = add(app, CLEAN)
    monkeypatch.setattr(documents.incoming_files, "check_may_be_opened", lambda _scan: None)
    with pytest.raises(AssertionError):
        check_nobody_gets_it(app, ana, maria, document_id)


def test_a_message_s_file_waits_too(app: Flask, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    route_map.write_each_other(app, demo.ELM)
    use(app, monkeypatch, "/nowhere/clamd")
    ids = route_map.ids_of(app, demo.ELM, "Leo Lopez")
    with app.app_context():
        file = take("waits.pdf", CLEAN)
    with inside(app, demo.ELM), acting("ana@elm.example"):
        conversations.answer(ids["conversation"], Written("With a file", [file]))
        row = conversations.get(ids["conversation"])
        waiting = next(each for found in conversations.attachments_of(row).values() for each in found if each.file_name == "waits.pdf")
        with pytest.raises(Conflict):
            conversations.content_of(waiting)
    page = f"/patients/{ids['patient']}/conversations/{ids['conversation']}"
    assert "Being checked for viruses" in maria.read(page) and str(waiting.id) not in maria.read(page)
    assert maria.get(f"{page}/attachments/{waiting.id}").status_code == 409
    with clamd() as made:
        use(app, monkeypatch, made.address)
        scan_waiting(app)
    assert maria.get(f"{page}/attachments/{waiting.id}").data == CLEAN
