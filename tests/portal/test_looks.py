"""Who has looked at this record: a family reads of the staff and of themselves, and of nobody else.

Lost if it fails: a family cannot see who read their child's record; or one parent learns of the other.
"""

from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import insert, select, text
from sqlalchemy.exc import ProgrammingError

from clinic import actors, audit, audit_log, demo
from clinic.actors import Actor, ActorKind
from clinic.audit import AuditEntry
from clinic.audit_log import FAMILY_SEES, LogFilter
from clinic.portal_users import PortalAccess
from clinic.staff import StaffRole
from portal_app import looks
from tenancy import clock
from tenancy.database import db
from tenancy.tenant import Role
from tests.inside import acting, inside, member, patient, user
from tests.visitor import Visitor

MARIA, OMAR = "maria@family.example", "omar@family.example"


@pytest.fixture
def leo(app: Flask) -> UUID:
    with inside(app, demo.ELM):
        return patient("Leo Lopez").id


def let_omar_in(app: Flask, leo: UUID) -> None:
    """Omar stands by Leo too, as a second parent who is a stranger to the first."""
    with inside(app, demo.ELM):
        maria_s = db.session.scalars(select(PortalAccess).where(PortalAccess.patient_id == leo)).first()
        assert maria_s
        db.session.add(
            PortalAccess(
                portal_user_id=user(OMAR).id, patient_id=leo, contact_id=maria_s.contact_id, relationship="parent",
                starts_at=clock.now() - timedelta(days=1),
            )
        )  # fmt: skip


def test_a_mother_reads_who_of_the_staff_looked_and_that_she_did(app: Flask, maria: Visitor, ana: Visitor, leo: UUID) -> None:
    ana.read(f"/{demo.ELM}/patients/{leo}/documents")
    maria.read(f"/patients/{leo}/billing")
    page = maria.read(f"/patients/{leo}/looks")
    assert "Ana Alvarez · Administration" in page and "List of documents" in page
    assert "You" in page and "Billing ·" in page
    assert "Who has looked at this record" in maria.read(f"/patients/{leo}/")


def test_one_parent_never_reads_of_the_other(app: Flask, maria: Visitor, ana: Visitor, leo: UUID) -> None:
    let_omar_in(app, leo)
    omar = Visitor(app, maria.base_url).sign_in(OMAR)
    omar.read(f"/patients/{leo}/documents")
    with inside(app, demo.ELM), acting("ana@elm.example"):
        for event in ("portal_access.given", "portal_access.viewed", "conversation.opened", "contacts.viewed"):
            audit.record(event, patient_id=leo, subject_id=user(OMAR).id)
    page = maria.read(f"/patients/{leo}/looks")
    assert "Omar" not in page and "Haddad" not in page and OMAR not in page
    assert "Nobody looked" in page  # of all this, nothing is hers to read
    with inside(app, demo.ELM, Role.PORTAL, user_id(app, MARIA)):
        seen = db.session.execute(text("SELECT actor_id, event FROM audit_entries")).all()
    assert user_id(app, OMAR) not in {row.actor_id for row in seen}
    assert {row.event for row in seen} <= set(FAMILY_SEES)


def user_id(app: Flask, email: str) -> UUID:
    with inside(app, demo.ELM):
        return user(email).id


def test_row_security_holds_what_the_page_asks_for(app: Flask, maria: Visitor, ana: Visitor, leo: UUID) -> None:
    """A page that forgot every condition would still show nothing more."""
    with inside(app, demo.ELM), acting("ana@elm.example"):
        for event in FAMILY_SEES:
            audit.record(event, patient_id=leo)
            audit.record(event, patient_id=patient("Zoe Haddad").id)
        ana_id, ben_id = member("ana@elm.example").id, member("ben@elm.example").id
    with inside(app, demo.ELM, Role.PORTAL, user_id(app, MARIA)):
        seen = db.session.execute(text("SELECT patient_id, event FROM audit_entries")).all()
        assert {row.patient_id for row in seen} == {leo} and {row.event for row in seen} == set(FAMILY_SEES)
        assert db.session.scalars(text("SELECT id FROM staff_members")).all() == [ana_id] != [ben_id]
    for column in ("subject_id", "details", "address", "actor_name", "request_id", "hash"):
        with pytest.raises(ProgrammingError), inside(app, demo.ELM, Role.PORTAL, user_id(app, MARIA)):
            db.session.execute(text(f"SELECT {column} FROM audit_entries"))
    for column in ("email", "role", "last_sign_in_at"):
        with pytest.raises(ProgrammingError), inside(app, demo.ELM, Role.PORTAL, user_id(app, MARIA)):
            db.session.execute(text(f"SELECT {column} FROM staff_members"))


def test_whoever_lost_access_reads_nothing_more(app: Flask, maria: Visitor, ana: Visitor, leo: UUID) -> None:
    ana.read(f"/{demo.ELM}/patients/{leo}")
    assert "Ana Alvarez" in maria.read(f"/patients/{leo}/looks")
    with inside(app, demo.ELM):
        db.session.execute(text("UPDATE portal_access SET records = false WHERE patient_id = :leo"), {"leo": leo})
    assert maria.get(f"/patients/{leo}/looks").status_code == 404
    with inside(app, demo.ELM, Role.PORTAL, user_id(app, MARIA)):
        assert audit_log.looks_at(leo, clock.now().date(), clock.now().date() + timedelta(days=2)) == []


def test_each_look_is_told_once_with_the_name_of_whoever_looked(app: Flask, maria: Visitor, leo: UUID) -> None:
    for email in ("ana@elm.example", "ben@elm.example"):
        with inside(app, demo.ELM), acting(email):
            audit.record_view("patient.viewed", subject_id=None, patient_ids=(leo,))
    today = clock.today("America/New_York")
    with inside(app, demo.ELM, Role.PORTAL, user_id(app, MARIA)):
        looks = audit_log.looks_at(leo, today - timedelta(days=1), today + timedelta(days=2))
    told = [each.staff_name for each in looks if each.event == "patient.viewed"]
    assert told == ["Ben Brandt", "Ana Alvarez"]


def test_days_begin_at_the_clinic_s_midnight_and_end_before_the_next(app: Flask, maria: Visitor, leo: UUID) -> None:
    first = clock.today("America/New_York") - timedelta(days=9)
    midnight = datetime.combine(first, time(), ZoneInfo("America/New_York"))
    instants = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(days=1, microseconds=-1), midnight + timedelta(days=1)]
    with inside(app, demo.ELM), acting("ana@elm.example"):
        for at in instants:
            kept = {"event": "patient.viewed", "patient_id": leo, "details": {}, **audit.stamp(), "at": at}
            db.session.execute(insert(AuditEntry).values(kept))
        asked = LogFilter(since=first, until=first, patient_id=leo)
        assert [each.at for each in audit_log.search(asked)] == instants[2:0:-1]
    with inside(app, demo.ELM, Role.PORTAL, user_id(app, MARIA)):
        looks = audit_log.looks_at(leo, first, first + timedelta(days=1))
    assert [each.at for each in looks] == instants[2:0:-1]


def test_looks_are_read_month_by_month(app: Flask, maria: Visitor, leo: UUID) -> None:
    """In the clinic's months: the first hour of a month at the clinic is the month before's last in London."""
    me = Actor(ActorKind.PORTAL_USER, user_id(app, MARIA))
    with clock.moved(-timedelta(days=62)), inside(app, demo.ELM, Role.PORTAL, me.id), actors.acting(me):
        audit.record_view("patient.viewed", subject_id=None, patient_ids=(leo,))
        then = clock.today("America/New_York")
    assert "You" not in maria.read(f"/patients/{leo}/looks").split("<h2>")[1]
    page = maria.read(f"/patients/{leo}/looks?month={then:%Y-%m}")
    assert "You" in page.split("<h2>")[1] and "Next" in page and "Previous" in page
    for month in ("2999-01", "0001-01", "nonsense", "2026-13"):
        assert maria.get(f"/patients/{leo}/looks?month={month}").status_code == 200


def test_every_look_and_every_role_has_a_word() -> None:
    assert looks.PAGES.keys() == set(FAMILY_SEES) and looks.ROLES.keys() == set(StaffRole)


def test_planted_row_security_shows_other_portal_users(app: Flask, leo: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement's own condition holds by itself, and is needed where row security is down."""
    let_omar_in(app, leo)
    omar = Actor(ActorKind.PORTAL_USER, user_id(app, OMAR))
    with inside(app, demo.ELM, Role.PORTAL, omar.id), actors.acting(omar):
        audit.record_view("patient.viewed", subject_id=None, patient_ids=(leo,))
    today = clock.today("America/New_York")
    span = (today - timedelta(days=1), today + timedelta(days=2))
    with inside(app, demo.ELM):  # staff see every row; the statement alone stands between
        assert audit_log.looks_at(leo, *span) == []
        monkeypatch.setattr(audit_log, "_LOOKS", select(AuditEntry.at, AuditEntry.event, AuditEntry.actor_name, AuditEntry.actor_role).where(AuditEntry.patient_id == leo))
        assert [each.event for each in audit_log.looks_at(leo, *span)] != []
