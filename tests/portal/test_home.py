"""The family's start page."""

from uuid import uuid4

from flask import Flask
from sqlalchemy import Engine, event, select

from clinic import demo
from clinic.audit import AuditEntry
from tenancy.database import db
from tests.inside import inside, user
from tests.visitor import Visitor


def test_a_mother_finds_both_children_and_nobody_elses(maria: Visitor) -> None:
    page = maria.read("/")
    assert "Leo" in page and "Mia" in page
    assert "Zoe" not in page and "Nina" not in page


def test_a_stranger_is_asked_to_sign_in(portal: Visitor) -> None:
    answer = portal.get("/")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in")


def test_a_refused_look_is_recorded_with_who_asked_and_for_what(app: Flask) -> None:
    """Lost if it fails: a clinic cannot tell that somebody tries other families' addresses."""
    maria = Visitor(app, f"http://{demo.ELM}.localhost:8000").sign_in("maria@family.example")
    wanted = uuid4()
    assert maria.get(f"/patients/{wanted}/documents").status_code == 404
    with inside(app, demo.ELM):
        (entry,) = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "access.refused"))
        assert entry.actor_kind == "portal_user" and entry.actor_id == user("maria@family.example").id
        assert entry.details == {"page": "portal.documents", "ids": {"patient_id": str(wanted)}}


def test_the_page_takes_three_questions_however_many_children(app: Flask) -> None:
    """Once it is known who asks: one round trip to say so, three to answer, and two to record that they looked."""
    maria = Visitor(app, f"http://{demo.ELM}.localhost:8000").sign_in("maria@family.example")
    said: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        if "SAVEPOINT" not in statement:  # the tests' own
            said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        maria.read("/")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    as_family = said[min(at for at, each in enumerate(said) if "SET LOCAL ROLE portico_portal" in each) :]
    assert len(as_family) == 6 and "INSERT INTO audit_entries" in as_family[5], as_family
