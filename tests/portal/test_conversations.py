"""The family's pages for messages and appointment requests."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from clinic import demo, demo_papers, portal_settings
from tenancy import clock
from tenancy.database import db
from tests.inside import inside, patient
from tests.visitor import Visitor

SCAN = demo_papers.pdf("A scan", [])
UNREAD = "One unread message"
HOSTILE = "<script>alert(1)</script>{{ 7*7 }}\"'><img src=x>"


@pytest.fixture
def leo(app: Flask) -> str:
    with inside(app, demo.ELM):
        return f"/patients/{patient('Leo Lopez').id}"


def only_conversation(maria: Visitor, leo: str) -> str:
    return re.search(rf'href="({leo}/conversations/[0-9a-f-]{{36}})"', maria.read(f"{leo}/conversations"))[1]


@contextmanager
def statements() -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_home_tells_of_an_unread_message_until_it_is_read(maria: Visitor, leo: str) -> None:
    """A parent would not see that the clinic asked something about their child."""
    assert maria.read("/").count(UNREAD) == 1
    page = maria.read(only_conversation(maria, leo))
    assert "pencil grip" in page and "Elm Street Therapy" in page and "Ana" not in page
    assert UNREAD not in maria.read("/") and "Nothing unread" in maria.read("/")


def test_home_asks_no_more_statements_than_before(maria: Visitor) -> None:
    with statements() as sent:
        maria.read("/")
    assert len([each for each in sent if "FROM portal_access JOIN patients" in each]) == 1
    assert sum(each.startswith("SELECT") and "portal_access" in each for each in sent) == 3


def test_reading_writes_nothing_but_the_mark_and_the_audit_log(maria: Visitor, leo: str) -> None:
    address = only_conversation(maria, leo)
    for writes in (2, 1):  # the second time the mark stands already, where it stood
        with statements() as sent:
            maria.read(address)
        tables = [each.split()[1 if each.startswith("UPDATE") else 2] for each in sent if each.startswith(("INSERT", "UPDATE"))]
        assert set(tables) == {"conversations", "audit_entries"}, (writes, tables)


def test_a_reply_with_a_file_arrives_and_can_be_kept(maria: Visitor, ana: Visitor, leo: str) -> None:
    address = only_conversation(maria, leo)
    maria.read(address)
    file = (BytesIO(SCAN), "report.pdf")
    answer = maria.post(address, {"text": f"At home\r\nit goes well. {HOSTILE}", "file": file})
    assert answer.status_code == 303
    page = maria.read(address)
    assert "<script>alert" not in page and "&lt;script&gt;" in page and "49" not in page.split("{{ 7*7 }}")[0][-5:]
    link = re.search(r'href="([^"]+/attachments/[^"]+)"', page)[1]
    kept = maria.get(link)
    assert kept.data == SCAN and kept.mimetype == "application/pdf"
    assert kept.headers["Content-Disposition"].startswith("attachment; filename=report.pdf")
    assert "sandbox" in kept.headers["Content-Security-Policy"] and kept.headers["Cache-Control"] == "private, no-store"
    assert "1 new<" in ana.read(f"/{demo.ELM}/")


def test_a_new_message_reaches_the_desk(maria: Visitor, ana: Visitor, leo: str) -> None:
    maria.read(f"{leo}/conversations/new")
    refused = maria.post(f"{leo}/conversations/new", {"subject": "x" * 36, "text": "Kept text"})
    assert refused.status_code == 422 and "Kept text" in refused.text and 'role="alert"' in refused.text
    sent = maria.post(f"{leo}/conversations/new", {"subject": "Shoes", "text": "Which shoes?"})
    assert sent.status_code == 303
    assert "Which shoes?" in maria.read(sent.headers["Location"])
    assert "Shoes" in ana.read(f"/{demo.ELM}/conversations")


def test_a_program_is_refused_with_a_sentence(maria: Visitor, leo: str) -> None:
    maria.read(f"{leo}/conversations/new")
    form = {"subject": "File", "text": "Look", "file": (BytesIO(b"MZ"), "scan.pdf")}
    answer = maria.post(f"{leo}/conversations/new", form)
    assert answer.status_code == 422 and "Choose a PDF, PNG or JPEG file" in answer.text


def test_switched_off_there_are_no_pages(app: Flask, maria: Visitor, leo: str) -> None:
    """Families would write where the clinic does not look."""
    address = only_conversation(maria, leo)
    pages = [f"{leo}/conversations", f"{leo}/conversations/new", address, f"{leo}/appointment-requests/new"]
    for page in pages:
        maria.read(page)
    with inside(app, demo.ELM):
        settings = portal_settings.get()
        settings.allows_messages = settings.allows_appointment_requests = False
    for page in pages:
        assert maria.get(page).status_code == 404, page
        assert maria.post(page, {"subject": "x", "text": "x", "wish": "x"}).status_code in (404, 405), page
    assert UNREAD not in maria.read("/")
    appointments = maria.read(f"{leo}/appointments")
    assert "Your requests" not in appointments and "Ask for an appointment" not in appointments
    assert "/conversations" not in appointments


def test_a_clinic_that_never_switched_it_on_shows_nothing(app: Flask, oak_portal: Visitor) -> None:
    oak_portal.sign_in("maria@family.example")
    with inside(app, demo.OAK):
        nina = f"/patients/{patient('Nina Lopez').id}"
    assert "/conversations" not in oak_portal.read("/")
    assert oak_portal.get(f"{nina}/conversations").status_code == 404


def test_another_family_finds_nothing(maria: Visitor, omar: Visitor, leo: str) -> None:
    address = only_conversation(maria, leo)
    for page in (address, f"{leo}/conversations", f"{leo}/conversations/new", f"{leo}/appointment-requests/new"):
        assert omar.get(page).status_code == 404
        assert omar.post(page, {"text": "x", "subject": "x", "wish": "x"}).status_code in (404, 405)


def test_an_appointment_is_asked_for_seen_and_withdrawn(app: Flask, maria: Visitor, leo: str) -> None:
    maria.read(f"{leo}/appointment-requests/new")
    yesterday = (clock.now() - timedelta(days=2)).date().isoformat()
    refused = maria.post(f"{leo}/appointment-requests/new", {"wish": "Kept wish", "preferred_on": yesterday})
    assert refused.status_code == 422 and "Kept wish" in refused.text
    assert maria.post(f"{leo}/appointment-requests/new", {"wish": HOSTILE}).status_code == 303
    page = maria.read(f"{leo}/appointments")
    assert page.count("Waits for an answer") == 2 and "<script>alert" not in page
    action = re.search(r'action="([^"]+/withdrawal)"', page)[1]
    assert maria.post(action).status_code == 303
    page = maria.read(f"{leo}/appointments")
    assert page.count("Waits for an answer") == 1 and "Withdrawn" in page
    assert maria.post(action).status_code == 303
    assert "withdrawn already" in maria.read(f"{leo}/appointments")
    with inside(app, demo.ELM):
        assert db.session.scalars(text("SELECT count(*) FROM appointment_requests WHERE state = 'withdrawn'")).one() == 1
