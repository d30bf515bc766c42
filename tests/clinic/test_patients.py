"""Lost if it fails: staff open the wrong child's record, or cannot find the right one."""

from datetime import date, timedelta

import pytest
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from clinic import demo, names, patients
from clinic.audit import AuditEntry
from clinic.contacts import Relationship
from clinic.patients import PatientDetails, PatientStatus
from tenancy import clinics, clock
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tests.inside import acting, inside, pair, patient

BORN = date(2018, 3, 14)


def found(typed: str) -> list[str]:
    return [row.name for row in patients.search(typed)]


@pytest.mark.parametrize(
    ("typed", "names_"),
    [
        ("", ["Leo Lopez", "Mia Lopez", "Sam Grant", "Zoe Haddad"]),
        ("lopez", ["Leo Lopez", "Mia Lopez"]),
        ("LÓP", ["Leo Lopez", "Mia Lopez"]),
        ("lopez m", ["Mia Lopez"]),
        ("sammy", ["Sam Grant"]),
        ("  zoe   had ", ["Zoe Haddad"]),
        ("opez", []),
        ("leo nina", []),
        ("%", []),
        ("l' OR 1=1 --", []),
        ("\x00", []),
    ],
)
def test_words_typed_begin_words_of_the_name(app: Flask, typed: str, names_: list[str]) -> None:
    with inside(app, demo.ELM):
        assert found(typed) == names_


def test_accents_and_the_clinics_own_number_find_a_patient(app: Flask) -> None:
    with inside(app, demo.ELM):
        patients.add(PatientDetails("Łucja Nuñez-O’Brien", BORN, nickname="Lulu", reference="A-1042"))
        for typed in ("nunez", "Núñez", "lulu", "a-1042", "A-10"):
            assert found(typed) == ["Łucja Nuñez-O’Brien"], typed


def test_a_corrected_name_is_found_and_the_old_one_no_more(app: Flask) -> None:
    with inside(app, demo.ELM):
        patients.change(patient("Leo Lopez").id, PatientDetails("Leon Lopes", BORN))
        assert found("leon") == ["Leon Lopes"]
        assert found("leo lopez") == []
        assert found("lopez") == ["Mia Lopez"]


def test_pages_follow_one_another_without_gap_or_repeat(app: Flask) -> None:
    with inside(app, demo.ELM):
        for number in range(7):
            patients.add(PatientDetails("Same Name", BORN + timedelta(days=number)))
        seen, after = [], None
        while page := patients.search(after=after, limit=3):
            seen += [row.id for row in page]
            after = page[-1].cursor
        assert len(seen) == len(set(seen)) == 11


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "Leo\u202eoeL"}, "name"),
        ({"name": "Leo =?utf-8?q?x?="}, "name"),
        ({"name": "Leo\x0bLopez\x00"}, "name"),
        ({"nickname": "x" * 121}, "nickname"),
        ({"reference": "x" * 41}, "reference"),
        ({"birth_on": date(1850, 1, 1)}, "birth_on"),
        ({"birth_on": date(2999, 1, 1)}, "birth_on"),
    ],
)
def test_what_cannot_be_right_is_refused_at_its_field(app: Flask, wrong: dict[str, object], field: str) -> None:
    with pytest.raises(Refused) as refusal, inside(app, demo.ELM):
        patients.add(PatientDetails(**({"name": "Leo", "birth_on": BORN} | wrong)))  # type: ignore[arg-type]
    assert refusal.value.field == field


def test_a_child_may_be_born_today_on_the_clinics_own_calendar(app: Flask) -> None:
    with inside(app, demo.ELM):
        today = clock.today(clinics.current().time_zone)
        assert patients.add(PatientDetails("New Born", today)).birth_on == today
        with pytest.raises(Refused):
            patients.add(PatientDetails("Not Yet", today + timedelta(days=1)))


def test_every_change_is_recorded_without_a_name_or_a_birth_date(app: Flask) -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        leo = patient("Leo Lopez")
        patients.change(leo.id, PatientDetails("Leonardo Lopez", date(2018, 3, 15), status=PatientStatus.INACTIVE))
        entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "patient.changed")).one()
        assert (entry.patient_id, entry.details) == (leo.id, {"status": ["active", "inactive"]})


def test_a_discharged_patient_is_no_longer_offered_for_invitations(app: Flask) -> None:
    with inside(app, demo.ELM):
        sam = patient("Sam Grant")
        assert pair("Gus Grant", "Sam Grant").is_invitable
        patients.change(sam.id, PatientDetails(sam.name, sam.birth_on, status=PatientStatus.INACTIVE))
        db.session.expire_all()
        assert not any(db.session.scalars(select(Relationship.is_invitable).where(Relationship.patient_id == sam.id)))
        patients.change(sam.id, PatientDetails(sam.name, sam.birth_on))
        db.session.expire_all()
        assert pair("Gus Grant", "Sam Grant").is_invitable


def test_the_other_clinics_patient_is_not_found(app: Flask) -> None:
    with inside(app, demo.OAK):
        nina = patient("Nina Lopez").id
    with inside(app, demo.ELM):
        for action in (patients.get, patients.row_of):
            with pytest.raises(NotFound):
                action(nina)
        with pytest.raises(NotFound):
            patients.change(nina, PatientDetails("Mine", BORN))


@settings(deadline=None)
@given(st.text(max_size=60))
def test_folding_is_stable_and_never_fails(text: str) -> None:
    once = names.folded(text)
    assert names.folded(once) == once
    assert len(names.search_words(text)) <= 6
