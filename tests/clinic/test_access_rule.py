"""Who sees what of whom, as the domain itself has it: asked in staff's role, whose row security is the clinic's alone.

Lost if it fails: of the two walls between families one is down, and nobody notices while the other stands. To the
microsecond, since both judge by one clock and must agree at every instant.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
from flask import Flask

from clinic import demo, portal_home, portal_users
from clinic.contacts import RelationshipKind
from clinic.portal_users import AccessHold, HoldKind
from tenancy import clock
from tenancy.database import db
from tenancy.tenant import Role
from tests.access import BOTH, MARIA, access_of
from tests.clinic.test_coming_of_age import at, born
from tests.inside import contact, inside, patient, user

OMAR, LEO = "omar@family.example", "Leo Lopez"
NOW, INSTANT = timedelta(), timedelta(microseconds=1)
NEITHER = (False, False)


@dataclass(frozen=True)
class Verdict:
    """(records, billing) on the family's pages, or NEITHER where the patient is not listed; and what staff are shown."""

    seen: tuple[bool, bool]
    is_live: bool
    is_held: bool
    sees_records: bool


OPEN = Verdict(BOTH, is_live=True, is_held=False, sees_records=True)
OVER = Verdict(NEITHER, is_live=False, is_held=False, sees_records=False)
HELD = Verdict(NEITHER, is_live=False, is_held=True, sees_records=False)


def verdict(app: Flask) -> Verdict:
    """Of Maria and Leo."""
    with inside(app, demo.ELM):
        me, leo = user(MARIA).id, patient(LEO).id
    with inside(app, demo.ELM, Role.STAFF, me):
        listed = {each.id: (each.records, each.billing) for each in portal_home.patients()}
        row = portal_users.row_of_access(access_of(MARIA, LEO).id)
        assert portal_users.sees_records(me, leo) is row.sees_records
        return Verdict(listed.get(leo, NEITHER), row.is_live, row.is_held, row.sees_records)


def change(app: Flask, **values: Any) -> None:
    with inside(app, demo.ELM):
        access = access_of(MARIA, LEO)
        for name, value in values.items():
            setattr(access, name, value)


def hold(app: Flask, of_patient: str = LEO, of_user: str = "", of_contact: str = "", **values: Any) -> None:
    """A row as staff leave one: of a portal user, of a contact, of an address."""
    with inside(app, demo.ELM):
        made = {"kind": HoldKind.HOLD if of_user else HoldKind.CUSTODY, "reason": "A court said so", "placed_at": clock.now()}
        who = {"portal_user_id": user(of_user).id if of_user else None, "contact_id": contact(of_contact).id if of_contact else None}
        db.session.add(AccessHold(patient_id=patient(of_patient).id, **made, **who, **values))


def test_what_was_given_is_seen(app: Flask) -> None:
    assert verdict(app) == OPEN
    change(app, records=False)
    assert verdict(app) == Verdict((False, True), is_live=True, is_held=False, sees_records=False)
    change(app, records=True, billing=False)
    assert verdict(app) == Verdict((True, False), is_live=True, is_held=False, sees_records=True)


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [(NOW, None, OPEN), (INSTANT, None, OVER), (-INSTANT, NOW, OVER), (-INSTANT, INSTANT, OPEN), (INSTANT, 2 * INSTANT, OVER)],
)  # fmt: skip
def test_it_is_seen_from_its_first_instant_until_before_its_last(
    still: None, app: Flask, starts: timedelta, ends: timedelta | None, expected: Verdict
) -> None:
    change(app, starts_at=clock.now() + starts, ends_at=clock.now() + ends if ends is not None else None)
    assert verdict(app) == expected


def test_what_was_taken_away_is_gone_whatever_its_days(app: Flask) -> None:
    change(app, ends_at=clock.now() + timedelta(days=9))
    with inside(app, demo.ELM):
        access_of(MARIA, LEO).ended_at = clock.now()
        me, leo = user(MARIA).id, patient(LEO).id
    with inside(app, demo.ELM, Role.STAFF, me):
        assert [each.name for each in portal_home.patients()] == ["Mia Lopez"]
        assert not portal_users.sees_records(me, leo)
        assert [each.patient_name for each in portal_users.access_of(me)] == ["Mia Lopez"]


@pytest.mark.parametrize(
    "whose", [{"of_user": MARIA}, {"of_contact": "Maria Lopez"}, {"email_norm": MARIA}, {"of_contact": "Maria Lopez", "email_norm": "x@y.example"}]
)  # fmt: skip
def test_a_hold_of_the_person_the_contact_or_the_address_shuts_out(app: Flask, whose: dict[str, str]) -> None:
    hold(app, **whose)
    assert verdict(app) == HELD


@pytest.mark.parametrize(
    "whose",
    [{"of_user": OMAR}, {"of_contact": "Omar Haddad"}, {"email_norm": OMAR}, {"of_user": MARIA, "of_patient": "Mia Lopez"}],
)  # fmt: skip
def test_a_hold_of_somebody_else_or_for_another_patient_does_not(app: Flask, whose: dict[str, str]) -> None:
    hold(app, **whose)
    assert verdict(app) == OPEN


@pytest.mark.parametrize(("until", "expected"), [(NOW, OPEN), (INSTANT, HELD)])
def test_a_hold_is_over_at_its_instant(still: None, app: Flask, until: timedelta, expected: Verdict) -> None:
    hold(app, of_user=MARIA, until_at=clock.now() + until)
    assert verdict(app) == expected


def test_a_hold_that_was_lifted_is_over_whatever_its_day(app: Flask) -> None:
    lifted = {"lifted_at": clock.now(), "lifted_reason": "The court lifted it"}
    hold(app, of_user=MARIA, until_at=clock.now() + timedelta(days=9), **lifted)
    hold(app, of_contact="Maria Lopez", **lifted)
    assert verdict(app) == OPEN


@pytest.mark.parametrize(
    ("birth_on", "given", "records"),
    [
        (date(2012, 5, 21), {}, True),
        (date(2012, 5, 20), {}, False),  # eighteen today
        (date(2012, 5, 20), {"guardian_for_adult": True}, True),
        (date(2012, 5, 20), {"guardian_for_adult": True, "records": False}, False),
        (date(2012, 5, 20), {"relationship": RelationshipKind.SELF}, True),
        (date(2012, 5, 21), {"records": False}, False),
    ],
)  # fmt: skip
def test_records_are_seen_until_the_birthday_and_afterwards_by_whom_it_concerns(
    app: Flask, birth_on: date, given: dict[str, Any], records: bool
) -> None:
    change(app, **given)
    born(app, birth_on)
    with at(app, date(2030, 5, 20)):
        assert verdict(app) == Verdict((records, True), is_live=True, is_held=False, sees_records=records)
