"""Coming of age.

Lost if it fails: the records of somebody who is of age stay open to their parents, or a child's are closed to them; the
day is somebody else's; or a guardian whom a court has named is shut out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import (
    coming_of_age,
    contacts,
    demo,
    invitation_batches,
    invitation_warnings,
    patients,
    portal_settings,
    portal_users,
)
from clinic.actors import ActorKind
from clinic.audit import AuditEntry
from clinic.contacts import ContactDetails, RelationshipKind
from clinic.invitation_warnings import WarningKind
from clinic.patients import PatientDetails, PatientStatus
from clinic.portal_users import AccessDetails, PortalAccess
from tenancy import clock, jobs
from tenancy.database import db
from tenancy.errors import Refused
from tenancy.tenant import Role
from tests.access import ANA, BOTH, MARIA, access_of, change, recorded, seen_by
from tests.conftest import Cluster
from tests.house import whole_database
from tests.inside import acting, contact, inside, letters, pair, patient, user

LEO = "Leo Lopez"
BILLS_ALONE = (False, True)
BIRTHDAY = date(2030, 5, 20)  # of eighteen years, in a time that comes


@contextmanager
def at(app: Flask, day: date, hour: int = 12) -> Iterator[None]:
    """At this hour of this day where Elm Street is."""
    with inside(app, demo.ELM) as clinic:
        then = datetime.combine(day, time(hour), ZoneInfo(clinic.time_zone))
    with clock.moved(then - clock.now()):
        yield


def run(app: Flask) -> None:
    """The hourly job."""
    with app.app_context():
        jobs.walk_clinics(coming_of_age.come_of_age, Role.STAFF)


def born(app: Flask, birth_on: date, name: str = LEO, status: PatientStatus = PatientStatus.ACTIVE) -> None:
    with inside(app, demo.ELM), acting(ANA):
        patients.change(patient(name).id, PatientDetails(name, birth_on, status=status))


def posted(app: Flask) -> list[tuple[str, str]]:
    ours = ("coming_of_age", "records_ended")
    return [(each.kind, each.to_address) for each in letters(app, demo.ELM) if each.kind in ours]


def settings(app: Flask, years: int) -> None:
    with inside(app, demo.ELM):
        portal_settings.get().of_age_years = years


def mark(app: Flask, is_guardian: bool = True) -> None:
    with inside(app, demo.ELM), acting(ANA):
        portal_users.mark_guardian(contact("Maria Lopez").id, patient(LEO).id, is_guardian, "Court of May 3")


@pytest.fixture
def leo(app: Flask) -> Flask:
    """Leo turns eighteen on BIRTHDAY."""
    born(app, date(2012, 5, 20))
    return app


@pytest.mark.parametrize(
    ("birth_on", "years", "day"),
    [
        (date(2012, 5, 20), 18, date(2030, 5, 20)),
        (date(2012, 2, 29), 18, date(2030, 3, 1)),  # a common year
        (date(2012, 2, 29), 16, date(2028, 2, 29)),  # a leap year
        (date(2011, 3, 1), 13, date(2024, 3, 1)),
        (date(2011, 2, 28), 13, date(2024, 2, 28)),
        (date(2010, 12, 31), 21, date(2031, 12, 31)),
        (date(2011, 1, 1), 21, date(2032, 1, 1)),
    ],
)
def test_the_day_is_the_birthday_and_march_1_for_those_born_on_february_29(
    app: Flask, birth_on: date, years: int, day: date
) -> None:
    """Python and SQL have the same day, not one more and not one less."""
    assert coming_of_age.of_age_on(birth_on, years) == day
    settings(app, years)
    for when, is_of_age in ((day - timedelta(days=1), False), (day, True)):
        assert (birth_on <= coming_of_age.born_until(when, years)) is is_of_age
        with at(app, when), inside(app, demo.ELM):
            in_sql = text("SELECT CAST(:born AS date) <= app.of_age_born_until()").bindparams(born=birth_on)
            assert db.session.scalars(in_sql).one() is is_of_age


def test_every_birth_date_of_eight_years_comes_of_age_on_the_same_day_both_ways() -> None:
    for years in portal_settings.OF_AGE_YEARS:
        for days in range(8 * 366):
            birth_on = date(2008, 1, 1) + timedelta(days=days)
            day = coming_of_age.of_age_on(birth_on, years)
            assert coming_of_age.born_until(day, years) >= birth_on
            assert coming_of_age.born_until(day - timedelta(days=1), years) < birth_on


def test_on_the_day_records_go_and_bills_stay_before_any_job_has_run(leo: Flask) -> None:
    with at(leo, BIRTHDAY - timedelta(days=1), hour=23):
        assert seen_by(leo) == {"Leo Lopez": BOTH, "Mia Lopez": BOTH}
    with at(leo, BIRTHDAY, hour=0):
        assert seen_by(leo) == {"Leo Lopez": BILLS_ALONE, "Mia Lopez": BOTH}
        with inside(leo, demo.ELM):
            assert not portal_users.sees_records(user(MARIA).id, patient(LEO).id)
            row = portal_users.row_of_access(access_of(MARIA, LEO).id)
            assert (row.records, row.is_live, row.sees_records) == (True, True, False)


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_the_day_begins_where_the_clinic_is(cluster: Cluster, committed_app: Flask, zone: str) -> None:
    app = committed_app
    with whole_database.opened(cluster, app) as connection:
        whole_database.plant(connection, f"UPDATE clinics SET time_zone = '{zone}'")
    born(app, date(2012, 5, 20))
    with at(app, BIRTHDAY - timedelta(days=1), hour=23):
        assert seen_by(app)[LEO] == BOTH
        run(app)
        assert seen_by(app)[LEO] == BOTH
    with at(app, BIRTHDAY, hour=0):
        assert seen_by(app)[LEO] == BILLS_ALONE


def test_the_job_writes_it_down_once_and_tells_the_caregiver(leo: Flask) -> None:
    with at(leo, BIRTHDAY):
        for _each in range(3):
            run(leo)
        assert seen_by(leo) == {"Leo Lopez": BILLS_ALONE, "Mia Lopez": BOTH}
        assert posted(leo).count(("records_ended", MARIA)) == 1
        with inside(leo, demo.ELM):
            access = access_of(MARIA, LEO)
            assert (access.records, access.billing, access.changed_reason) == (False, True, coming_of_age.REASON)
            entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "portal_access.came_of_age")).one()
            assert (entry.actor_kind, entry.patient_id) == (ActorKind.SYSTEM, patient(LEO).id)
            assert entry.details == {"keeps_billing": True}


def test_a_job_that_was_down_for_weeks_catches_up(leo: Flask) -> None:
    with at(leo, BIRTHDAY + timedelta(days=60)):
        run(leo)
    assert len(recorded(leo, "portal_access.came_of_age")) == 1


def test_who_saw_records_alone_sees_nothing_any_more(leo: Flask) -> None:
    change(leo, AccessDetails(records=True, billing=False))
    with at(leo, BIRTHDAY):
        assert seen_by(leo) == {"Mia Lopez": BOTH}
        run(leo)
        assert seen_by(leo) == {"Mia Lopez": BOTH}
        with inside(leo, demo.ELM):
            ended = db.session.scalars(select(PortalAccess).where(PortalAccess.ended_at.is_not(None))).one()
            assert ended.ended_reason == coming_of_age.REASON
    assert recorded(leo, "portal_access.came_of_age") == [{"keeps_billing": False}]


def test_the_patient_goes_on_seeing_their_own_record(leo: Flask) -> None:
    with inside(leo, demo.ELM):
        access_of(MARIA, LEO).relationship = RelationshipKind.SELF
    with at(leo, BIRTHDAY):
        run(leo)
        assert seen_by(leo)[LEO] == BOTH


def test_a_guardian_marked_before_goes_on(leo: Flask) -> None:
    mark(leo)
    with at(leo, BIRTHDAY):
        run(leo)
        assert seen_by(leo)[LEO] == BOTH
        assert posted(leo) == []
        mark(leo, is_guardian=False)
        assert seen_by(leo)[LEO] == BILLS_ALONE


def test_a_guardian_marked_afterwards_has_back_what_the_day_took(leo: Flask) -> None:
    with at(leo, BIRTHDAY):
        run(leo)
        mark(leo)
        assert seen_by(leo)[LEO] == BOTH
        run(leo)
        assert seen_by(leo)[LEO] == BOTH


def test_what_staff_took_the_mark_does_not_give_back(leo: Flask) -> None:
    change(leo, AccessDetails(records=False, billing=True))
    mark(leo)
    assert seen_by(leo)[LEO] == BILLS_ALONE


def test_records_of_somebody_of_age_are_given_to_a_guardian_only(leo: Flask) -> None:
    with at(leo, BIRTHDAY):
        run(leo)
        with pytest.raises(Refused) as refusal:
            change(leo, AccessDetails(True, True))
        assert refusal.value.field == "records"
        change(leo, AccessDetails(False, True, BIRTHDAY + timedelta(days=9)))


def test_a_birth_date_corrected_afterwards_gives_nothing_back_by_itself(leo: Flask) -> None:
    with at(leo, BIRTHDAY):
        run(leo)
        born(leo, date(2020, 5, 20))
        run(leo)
        assert seen_by(leo)[LEO] == BILLS_ALONE
        change(leo, AccessDetails(True, True), "The birth date was wrong")
        assert seen_by(leo)[LEO] == BOTH
        with inside(leo, demo.ELM):
            assert access_of(MARIA, LEO).came_of_age_at is None


def test_thirty_days_ahead_the_admins_are_told_once(leo: Flask) -> None:
    with at(leo, BIRTHDAY - timedelta(days=31)):
        run(leo)
        assert posted(leo) == []
    for days in (30, 29, 1):
        with at(leo, BIRTHDAY - timedelta(days=days)):
            run(leo)
    assert posted(leo) == [("coming_of_age", ANA)]
    assert recorded(leo, "coming_of_age.told") == [{"patients": 1}]
    born(leo, date(2012, 5, 21), "Mia Lopez")
    with at(leo, BIRTHDAY - timedelta(days=1)):
        run(leo)
    assert posted(leo) == [("coming_of_age", ANA)] * 2  # of Mia, not of Leo again


def test_nobody_is_told_of_a_patient_whom_no_caregiver_sees(leo: Flask) -> None:
    mark(leo)
    with at(leo, BIRTHDAY - timedelta(days=10)):
        run(leo)
    assert posted(leo) == []


def test_the_list_shows_who_comes_of_age_and_who_did_of_late(leo: Flask) -> None:
    def listed(day: date) -> list[tuple[str, date, bool, int]]:
        with at(leo, day), inside(leo, demo.ELM):
            return [(each.name, each.of_age_on, each.is_of_age, each.caregivers) for each in coming_of_age.coming()]

    born(leo, date(2012, 5, 25), "Zoe Haddad", PatientStatus.INACTIVE)
    born(leo, date(2012, 5, 18), "Sam Grant")
    sam, me = ("Sam Grant", date(2030, 5, 18)), (LEO, BIRTHDAY)
    assert listed(BIRTHDAY - timedelta(days=33)) == []
    assert listed(BIRTHDAY - timedelta(days=32)) == [(*sam, False, 1)]
    assert listed(BIRTHDAY - timedelta(days=1)) == [(*sam, True, 1), (*me, False, 1)]
    with at(leo, BIRTHDAY):
        run(leo)
    assert listed(BIRTHDAY) == [(*sam, True, 1), (*me, True, 1)]
    assert listed(BIRTHDAY + timedelta(days=29)) == [(*me, True, 1)]
    assert listed(BIRTHDAY + timedelta(days=30)) == []
    with at(leo, BIRTHDAY), inside(leo, demo.ELM):
        assert [each.name for each in coming_of_age.coming(patient(LEO).id)] == [LEO]
        assert coming_of_age.coming(patient("Mia Lopez").id) == []


@pytest.mark.parametrize(("years", "sees"), [(13, BILLS_ALONE), (16, BILLS_ALONE), (17, BOTH), (21, BOTH)])
def test_the_clinic_says_at_which_age(leo: Flask, years: int, sees: tuple[bool, bool]) -> None:
    settings(leo, years)
    with at(leo, date(2028, 6, 1)):
        assert seen_by(leo)[LEO] == sees


def test_whoever_is_invited_for_somebody_of_age_is_given_bills_unless_marked(app: Flask) -> None:
    born(app, date(2001, 1, 1), "Zoe Haddad")
    with inside(app, demo.ELM), acting(ANA):
        zoe = patient("Zoe Haddad").id
        people = {"Parent P": RelationshipKind.PARENT, "Guardian G": RelationshipKind.GUARDIAN, "Zoe Herself": RelationshipKind.SELF}
        for name, kind in people.items():
            contacts.add(zoe, ContactDetails(name, f"{name[:3].lower()}@haddad.example"), kind)
        portal_users.mark_guardian(contact("Guardian G").id, zoe, True, "Court of May 3")
        batch = invitation_batches.choose([pair(name, "Zoe Haddad").id for name in people])
        warned = {each.kind: each.about for each in invitation_warnings.of_batch(batch.id)}
        assert warned[WarningKind.OF_AGE] == ["Parent P – par@haddad.example"]
        invitation_batches.confirm(batch.id)
    assert seen_by(app, "par@haddad.example") == {"Zoe Haddad": BILLS_ALONE}
    assert seen_by(app, "gua@haddad.example") == {"Zoe Haddad": BOTH}
    assert seen_by(app, "zoe@haddad.example") == {"Zoe Haddad": BOTH}
    run(app)
    assert posted(app) == [("records_ended", "omar@family.example")]  # and nobody who was just invited


def test_whoever_never_signed_in_gets_no_letter(app: Flask) -> None:
    born(app, date(2001, 1, 1), "Sam Grant")
    run(app)
    assert len(recorded(app, "portal_access.came_of_age")) == 1
    assert posted(app) == []
