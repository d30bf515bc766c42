"""Access over time: what of a patient somebody sees, and until the end of which day.

Lost if it fails: a stand-in guardian reads on after the agreed day, or is shut out while it still lasts; and nobody can
say who changed what, and why.
"""

from datetime import date, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import contacts, demo, invitations, portal_users
from clinic.portal_users import AccessDetails, PortalAccess
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tests.access import ANA, BOTH, MARIA, access_of, change, recorded, seen_by
from tests.conftest import Cluster
from tests.house import whole_database
from tests.inside import acting, contact, inside, member, patient, user, waiting_jobs


def today(app: Flask) -> date:
    with inside(app, demo.ELM) as clinic:
        return clock.today(clinic.time_zone)


def test_records_and_billing_are_given_and_taken_apart(app: Flask) -> None:
    change(app, AccessDetails(records=True, billing=False))
    assert seen_by(app)["Leo Lopez"] == (True, False)
    change(app, AccessDetails(records=False, billing=True))
    assert seen_by(app)["Leo Lopez"] == (False, True)
    change(app, AccessDetails(records=True, billing=True))
    assert seen_by(app) == {"Leo Lopez": BOTH, "Mia Lopez": BOTH}
    assert recorded(app, "portal_access.changed") == [
        {"billing": [True, False]},
        {"records": [True, False], "billing": [False, True]},
        {"records": [False, True]},
    ]


def test_what_was_changed_last_by_whom_and_why_is_kept(app: Flask) -> None:
    change(app, AccessDetails(records=True, billing=False), "  Pays no longer ")
    with inside(app, demo.ELM):
        access = access_of(MARIA, "Leo Lopez")
        assert (access.changed_reason, access.changed_by_id) == ("Pays no longer", member(ANA).id)
        row = portal_users.row_of_access(access.id)
        assert (row.changed_reason, row.changed_at) == ("Pays no longer", access.changed_at)


def test_neither_records_nor_billing_is_no_access(app: Flask) -> None:
    change(app, AccessDetails(records=False, billing=False), "Custody changed")
    assert seen_by(app) == {"Mia Lopez": BOTH}
    with inside(app, demo.ELM):
        ended = db.session.scalars(select(PortalAccess).where(PortalAccess.ended_at.is_not(None))).one()
        assert ended.ended_reason == "Custody changed"
        with pytest.raises(Conflict):
            portal_users.change_access(ended.id, AccessDetails(True, True), "Again")
        with pytest.raises(NotFound):
            portal_users.row_of_access(ended.id)
    assert len(recorded(app, "portal_access.ended")) == 1


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
def test_the_last_day_is_the_clinics_own_and_ends_with_itself(cluster: Cluster, committed_app: Flask, zone: str) -> None:
    app = committed_app
    with whole_database.opened(cluster, app) as connection:
        whole_database.plant(connection, f"UPDATE clinics SET time_zone = '{zone}'")
    day = today(app)
    change(app, AccessDetails(True, True, ends_on=day))
    with inside(app, demo.ELM):
        ends_at = access_of(MARIA, "Leo Lopez").ends_at
        assert ends_at is not None and ends_at == portal_users.end_of(day)
        assert portal_users.last_day(ends_at) == day
    left = ends_at - clock.now()
    assert timedelta() < left <= timedelta(hours=25)
    with clock.moved(left - timedelta(seconds=5)):
        assert today(app) == day and "Leo Lopez" in seen_by(app)
    with clock.moved(left + timedelta(seconds=5)):
        assert today(app) == day + timedelta(days=1) and seen_by(app) == {"Mia Lopez": BOTH}
        with inside(app, demo.ELM):
            (row,) = [each for each in portal_users.access_of(user(MARIA).id) if each.patient_name == "Leo Lopez"]
            assert not row.is_live and not row.is_held  # staff still find it …
        change(app, AccessDetails(True, True, ends_on=today(app)))  # … and can extend it
        assert "Leo Lopez" in seen_by(app)
        change(app, AccessDetails(True, True))
    ends = [each["ends_on"] for each in recorded(app, "portal_access.changed")]
    assert {tuple(each) for each in ends} == {
        (None, day.isoformat()),
        (day.isoformat(), (day + timedelta(days=1)).isoformat()),
        ((day + timedelta(days=1)).isoformat(), None),
    }


@pytest.mark.parametrize(("days", "is_taken"), [(-1, False), (0, True), (50 * 366, True), (50 * 366 + 1, False)])
def test_a_day_that_is_over_or_beyond_all_plans_is_refused(app: Flask, days: int, is_taken: bool) -> None:
    details = AccessDetails(True, True, today(app) + timedelta(days=days))
    if is_taken:
        change(app, details)
    else:
        with pytest.raises(Refused) as refusal:
            change(app, details)
        assert refusal.value.field == "ends_on"
    assert seen_by(app)["Leo Lopez"] == BOTH


def test_where_paying_ends_what_was_begun_is_ended_too(app: Flask) -> None:
    """A page of Stripe's that is still open would else take money from somebody who may not see the bill any more."""

    def asked() -> int:
        return len(waiting_jobs(app, portal_users.END_CHECKOUTS))

    change(app, AccessDetails(records=False, billing=True))
    assert asked() == 0
    change(app, AccessDetails(records=True, billing=False))
    assert asked() == 1
    change(app, AccessDetails(records=False, billing=False))
    assert asked() == 2
    with inside(app, demo.ELM), acting(ANA):
        portal_users.deactivate(user(MARIA).id)
    assert asked() == 3


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201])
def test_no_change_without_a_reason(app: Flask, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        change(app, AccessDetails(True, False), reason)
    assert refusal.value.field == "reason"
    assert seen_by(app)["Leo Lopez"] == BOTH


@pytest.mark.parametrize("reason", ["x", "x" * 200])
def test_a_reason_may_be_one_word_or_a_long_one(app: Flask, reason: str) -> None:
    change(app, AccessDetails(True, False), reason)
    with inside(app, demo.ELM):
        assert access_of(MARIA, "Leo Lopez").changed_reason == reason


def test_an_end_within_a_day_is_shown_as_that_day(app: Flask) -> None:
    """Not as the day before, on which staff would then believe that it is over."""
    day = today(app)
    with inside(app, demo.ELM):
        midnight = portal_users.end_of(day)
        assert midnight is not None
        assert portal_users.last_day(midnight + timedelta(microseconds=1)) == day + timedelta(days=1)
        assert portal_users.end_of(None) is None and portal_users.last_day(None) is None


def test_an_end_that_is_past_may_stay_while_something_else_changes(app: Flask) -> None:
    day = today(app)
    change(app, AccessDetails(True, True, day))
    with clock.moved(timedelta(days=3)):
        change(app, AccessDetails(False, True, day))
        with pytest.raises(Refused):
            change(app, AccessDetails(False, True, day + timedelta(days=1)))


def test_a_guardians_mark_is_kept_at_the_contact_and_at_what_was_given(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        maria, leo = contact("Maria Lopez").id, patient("Leo Lopez").id
        portal_users.mark_guardian(maria, leo, True, " Court of May 3 ")
        portal_users.mark_guardian(maria, leo, True, "Twice changes nothing")
        stander = contacts.find_stander(maria, leo)
        assert stander and stander.guardian_for_adult and stander.guardian_reason == "Court of May 3"
        assert access_of(MARIA, "Leo Lopez").guardian_for_adult
        assert not access_of(MARIA, "Mia Lopez").guardian_for_adult
        portal_users.mark_guardian(maria, leo, False, "Revoked")
        assert not access_of(MARIA, "Leo Lopez").guardian_for_adult
        stander = contacts.find_stander(maria, leo)
        assert stander and stander.guardian_reason is None
        with pytest.raises(NotFound):
            portal_users.mark_guardian(maria, patient("Zoe Haddad").id, True, "No contact of Zoe's")
        with pytest.raises(Refused):
            portal_users.mark_guardian(maria, leo, True, " ")
    assert recorded(app, "relationship.changed") == [{"guardian_for_adult": [False, True]}, {"guardian_for_adult": [True, False]}]


def test_an_invitation_is_good_while_there_is_access_to_be_had(app: Flask) -> None:
    """A stand-in whose day is over before they accepted gets in no more."""
    with inside(app, demo.ELM):
        grace = user("grace@family.example")
        assert invitations.may_be_accepted(grace)
        access_of(grace.email, "Sam Grant").ends_at = clock.now() - timedelta(seconds=1)
        db.session.flush()
        assert not invitations.may_be_accepted(grace)
