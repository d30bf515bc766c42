"""Coming of age: on that day, in the clinic's time zone, caregivers stop seeing the patient's records on the portal.

Those who stand by the patient as guardian for an adult go on; so does the patient, as "Self". Billing stays with
whoever has it. 30 days ahead the clinic is told, so that guardians can be marked in time. The clinic says from which
age on; born on February 29, one comes of age on March 1 of a common year, once the years are full.

Its one surprise: row security and every page refuse on the day by themselves, from the birth date. The job that comes
after within the hour writes it down (the records are taken, recorded, the caregiver told), catches up whatever it
missed, and does nothing twice. A birth date corrected afterwards gives nothing back by itself.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, distinct, func, select

from clinic import audit, portal_settings, staff
from clinic.patients import Patient, PatientStatus
from clinic.portal_users import AT_ANY_AGE, PortalAccess, PortalUser
from mail import letters, outbox
from tenancy import clinics, clock, jobs
from tenancy.database import db, locked, transaction
from tenancy.tenant import Role

TOLD_AHEAD = timedelta(days=30)
SHOWN_AFTER = timedelta(days=30)
REASON = "came of age"


@dataclass(frozen=True)
class ComingRow:
    """A patient who comes of age soon or did of late; `caregivers` lose the records by it, or lost them."""

    patient_id: UUID
    name: str
    birth_on: date
    of_age_on: date
    is_of_age: bool
    caregivers: int


_lose = (
    PortalAccess.ended_at.is_(None)
    & ~AT_ANY_AGE
    & (PortalAccess.records | PortalAccess.came_of_age_at.is_not(None))
)
_COMING: Any = (
    select(Patient.id, Patient.name, Patient.birth_on, func.count(distinct(PortalAccess.id)))
    .outerjoin(
        PortalAccess,
        (PortalAccess.clinic_id == Patient.clinic_id) & (PortalAccess.patient_id == Patient.id) & _lose,
    )
    .where(
        Patient.status == PatientStatus.ACTIVE,
        Patient.birth_on > bindparam("after"),
        Patient.birth_on <= bindparam("until"),
    )
    .group_by(Patient.clinic_id, Patient.id)
    .order_by(Patient.birth_on, Patient.search_text)
)
# The caregivers whom the day concerns, their patients born no later than on a day.
_CONCERNED = (
    select(PortalAccess)
    .join(Patient, (Patient.clinic_id == PortalAccess.clinic_id) & (Patient.id == PortalAccess.patient_id))
    .where(
        PortalAccess.ended_at.is_(None),
        PortalAccess.records,
        ~AT_ANY_AGE,
        Patient.birth_on <= bindparam("until"),
    )
    .order_by(PortalAccess.id)
)


def of_age_on(birth_on: date, years: int) -> date:
    """The day on which somebody born then is of age."""
    year = birth_on.year + years
    try:
        return birth_on.replace(year=year)
    except ValueError:  # February 29
        return date(year, 3, 1)


def born_until(day: date, years: int) -> date:
    """Whoever was born by then is of age on this day. As `app.of_age_born_until()` in SQL."""
    try:
        return day.replace(year=day.year - years)
    except ValueError:
        return date(day.year - years, 2, 28)


def coming(patient_id: UUID | None = None) -> list[ComingRow]:
    """Active patients who come of age within 30 days, or did within the last 30; perhaps of one alone. By the day."""
    today, years = _today(), portal_settings.get().of_age_years
    statement = _COMING if patient_id is None else _COMING.where(Patient.id == patient_id)
    span = {"after": born_until(today - SHOWN_AFTER, years), "until": born_until(today + TOLD_AHEAD, years)}
    return [
        ComingRow(row_id, name, birth_on, of_age_on(birth_on, years), of_age_on(birth_on, years) <= today, caregivers)
        for row_id, name, birth_on, caregivers in db.session.execute(statement, span)
    ]


@jobs.every_clinic("clinic.come_of_age", "7 * * * *", Role.STAFF)
def come_of_age() -> None:
    """Tell the clinic of those who will be of age, and write down what ended for those who are."""
    with transaction():
        _tell_ahead()
    with transaction():
        _take_records()


def _tell_ahead() -> None:
    """One letter to each admin, however many they are; each access once."""
    now = clock.now()
    untold = _CONCERNED.where(PortalAccess.of_age_told_at.is_(None), Patient.birth_on > _born_until(_today()))
    told = db.session.scalars(locked(untold), {"until": _born_until(_today() + TOLD_AHEAD)}).all()
    for access in told:
        access.of_age_told_at = now
    if told:
        audit.record("coming_of_age.told", patients=len({access.patient_id for access in told}))
        for admin in staff.admins():
            outbox.post(letters.ComingOfAge(to=admin.addressee))


def _take_records() -> None:
    """Records are taken; access that was to records alone ends."""
    now = clock.now()
    taken = db.session.scalars(locked(_CONCERNED), {"until": _born_until(_today())}).all()
    for access in taken:
        access.came_of_age_at = access.changed_at = now
        access.changed_by_id, access.changed_reason = None, REASON
        if access.billing:
            access.records = False
        else:
            access.ended_at, access.ended_reason = now, REASON
        audit.record(
            "portal_access.came_of_age",
            subject_id=access.portal_user_id,
            patient_id=access.patient_id,
            keeps_billing=access.billing,
        )
    db.session.flush()
    # To those who can sign in: nobody else has seen anything that ended.
    active = select(PortalUser).where(
        PortalUser.id.in_({access.portal_user_id for access in taken}),
        PortalUser.accepted_at.is_not(None),
        PortalUser.deactivated_at.is_(None),
    )
    for user in db.session.scalars(active.order_by(PortalUser.id)):
        outbox.post(letters.RecordsEnded(to=user.addressee))


def _born_until(day: date) -> date:
    return born_until(day, portal_settings.get().of_age_years)


def _today() -> date:
    return clock.today(clinics.current().time_zone)
