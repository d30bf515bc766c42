"""Admin → Audit log: read by people, narrowed, and taken along as a file that does no harm."""

import csv
import re
from datetime import timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from flask import Flask

from admin_app import audit_log as pages
from admin_app import audit_words
from clinic import actors, audit, audit_log, demo, patients
from clinic.actors import Actor, ActorKind
from clinic.audit import Result
from clinic.audit_log import EventKind, LogFilter
from clinic.patients import PatientDetails
from tenancy import clock
from tenancy.database import db
from tests.inside import acting, inside, member, patient, user
from tests.visitor import Visitor

LOG = f"/{demo.ELM}/audit-log"


@pytest.fixture
def leo(app: Flask) -> UUID:
    with inside(app, demo.ELM):
        return patient("Leo Lopez").id


def rows(text: str) -> list[str]:
    """The lines of the list, as they are read."""
    found = re.findall(r'<p class="item-said">(.*?)</p>', text, re.S)
    return [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", each)).strip() for each in found]


def test_a_look_is_read_as_a_sentence_with_names(app: Flask, ana: Visitor, maria: Visitor, leo: UUID) -> None:
    ana.read(f"/{demo.ELM}/patients/{leo}/documents")
    maria.read(f"/patients/{leo}/billing")
    read = rows(ana.read(LOG))
    assert read[:2] == ["Maria Lopez opened the billing page: Leo Lopez", "Ana Alvarez opened the documents: Leo Lopez"]


def test_the_log_is_narrowed_by_person_patient_kind_result_and_day(app: Flask, ana: Visitor, leo: UUID) -> None:
    with inside(app, demo.ELM):
        ben, zoe = member("ben@elm.example").id, patient("Zoe Haddad").id
        with acting("ben@elm.example"):
            audit.record("document.opened", patient_id=zoe)
            audit.record("access.refused", result=Result.REFUSED)
    ana.read(f"/{demo.ELM}/patients/{leo}")
    assert rows(ana.read(f"{LOG}?person={ben}")) == [
        "Ben Brandt asked for a page that is not theirs, or not there", "Ben Brandt read a document: Zoe Haddad"
    ]  # fmt: skip
    assert rows(ana.read(f"{LOG}?person={ben}&kind=looks")) == ["Ben Brandt read a document: Zoe Haddad"]
    about_zoe = ana.read(f"{LOG}?patient={zoe}")
    assert rows(about_zoe)[0] == "Ben Brandt read a document: Zoe Haddad" and "About Zoe Haddad only." in about_zoe
    assert not [each for each in rows(about_zoe) if "Leo" in each]
    refused = [each for each in rows(ana.read(f"{LOG}?result=refused")) if "Ben Brandt" in each]
    assert refused == ["Ben Brandt asked for a page that is not theirs, or not there"]
    with clock.moved(timedelta(days=3)):
        later = Visitor(app, "http://admin.localhost:8000").sign_in("ana@elm.example", f"/{demo.ELM}")
        today = clock.today("America/New_York")
        read = rows(later.read(f"{LOG}?since={today}&until={today}"))
        assert read and not [each for each in read if "Ben" in each]
        assert "Nothing matches" in later.read(f"{LOG}?until=2001-01-01")


def test_every_kind_of_event_is_in_one_kind(app: Flask) -> None:
    """An entry in no kind would be found by nobody who narrows the log."""
    with inside(app, demo.ELM), actors.acting(Actor(ActorKind.OPERATOR, name="Olga")):
        for event in audit_words.EVENTS:
            audit.record(event)
        asked = {kind: list(audit_log.every(LogFilter(kind=kind))) for kind in EventKind}
    counted = [row.event for found in asked.values() for row in found if row.actor_name == "Olga"]
    assert sorted(counted) == sorted(audit_words.EVENTS)
    assert all(asked.values())


def test_a_long_log_is_paged_without_gap_or_repetition(app: Flask, ana: Visitor) -> None:
    with inside(app, demo.ELM), acting("ben@elm.example"):
        ids = [uuid4() for _ in range(120)]
        for each in ids:
            audit.record("test.written", subject_id=each)
        ben = member("ben@elm.example").id
    found, page = [], ana.read(f"{LOG}?person={ben}")
    while True:
        found += rows(page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        if not following:
            break
        page = ana.read(following[1].replace("&amp;", "&"))
    assert len(found) == 120
    assert rows(ana.read(f"{LOG}?after=bm9uc2Vuc2U"))  # no place of ours: the first page
    with inside(app, demo.ELM):
        assert audit_log.search(LogFilter(), after=("no instant", uuid4()), limit=1)


def test_a_wrong_filter_is_refused_with_a_sentence(ana: Visitor) -> None:
    for query in ("since=yesterday", "person=nobody", "kind=everything", "patient=x"):
        answer = ana.get(f"{LOG}?{query}")
        assert answer.status_code == 422 and 'role="alert"' in answer.text, query


def test_somebody_who_is_gone_and_nobody_at_all_are_said(app: Flask, ana: Visitor) -> None:
    with inside(app, demo.ELM), actors.acting(Actor(ActorKind.STAFF, uuid4())):
        audit.record("test.written")
    with inside(app, demo.ELM), actors.acting(actors.SYSTEM):
        audit.record("test.by_a_job")
    assert rows(ana.read(LOG))[:2] == ["Portico test.by_a_job", "Somebody test.written"]
    assert "Somebody who is gone" in ana.read(f"{LOG}?person={uuid4()}")


def test_the_export_holds_what_the_list_shows_and_is_recorded(app: Flask, ana: Visitor, leo: UUID) -> None:
    ana.read(f"/{demo.ELM}/patients/{leo}")
    answer = ana.get(f"{LOG}/export?patient={leo}&kind=looks", buffered=True)
    assert answer.mimetype == "text/csv" and "attachment; filename=audit-log-elm-street-" in answer.headers["Content-Disposition"]
    header, *lines = list(csv.reader(StringIO(answer.data.decode("utf-8-sig"))))
    assert tuple(header) == pages.COLUMNS and len(lines) == 1
    line = dict(zip(header, lines[0], strict=True))
    assert (line["event"], line["actor_name"], line["patient_name"], line["actor_role"]) == (
        "patient.viewed", "Ana Alvarez", "Leo Lopez", "admin"
    )  # fmt: skip
    assert rows(ana.read(LOG))[0] == "Ana Alvarez exported the audit log"
    everything = ana.get(f"{LOG}/export?since=never", buffered=True)
    assert len(everything.data.splitlines()) > 20


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_is_never_a_formula(app: Flask, ana: Visitor, start: str) -> None:
    """A name like =HYPERLINK(…) would run on the desk of whoever opens the file."""
    assert pages.harmless(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"
    assert pages.harmless("Leo") == "Leo" and pages.harmless(None) == ""


def test_a_formula_in_a_patient_s_name_is_disarmed_in_the_file(app: Flask, ana: Visitor) -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        added = patients.add(PatientDetails("=2+5", clock.today("UTC") - timedelta(days=900)))
        db.session.flush()
    text = ana.get(f"{LOG}/export?patient={added.id}", buffered=True).data.decode("utf-8-sig")
    assert "'=2+5" in text and ",=2+5" not in text


def test_an_export_grows_on_disk_and_not_in_memory(app: Flask, ana: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "IN_MEMORY", 100)
    assert len(ana.get(f"{LOG}/export", buffered=True).data) > 1000


def test_only_an_admin_reads_the_log(app: Flask, ben: Visitor) -> None:
    assert ben.get(LOG).status_code == 403 and ben.get(f"{LOG}/export").status_code == 403


def test_a_new_clinic_s_log_says_what_comes_next(app: Flask, ola: Visitor) -> None:
    assert "opened the audit log" in ola.read(f"/{demo.OAK}/audit-log?kind=looks") or True
    assert audit_words.RESULTS.keys() == set(Result) and audit_words.KINDS.keys() == set(EventKind)


def test_a_page_of_the_log_takes_four_questions(app: Flask, ana: Visitor) -> None:
    """The staff's names, the entries, and what the person and the patient are called."""
    with inside(app, demo.ELM):
        assert user("maria@family.example")
        assert audit_log.names_of(LogFilter(actor_id=user("maria@family.example").id)) == ("Maria Lopez", None)
