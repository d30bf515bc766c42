"""What is done with a portal user's access to one patient: taken away, changed, given until a day, marked for a guardian.

A day ends with itself, in the clinic's time zone: access "until May 3" is over when May 4 begins there.
"""

from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from clinic import actors, audit, mailed_links
from clinic.contacts import Relationship
from clinic.portal_users.people import AGE_ALLOWS, LONGEST_REASON, PortalAccess
from clinic.portal_users.questions import access_of, get
from tenancy import clinics, clock, jobs
from tenancy.database import db, locked
from tenancy.errors import Conflict, NotFound, Refused

# The job that ends what somebody began to pay and may not pay any more.
END_CHECKOUTS = "payments.end_checkouts"
FURTHEST = timedelta(days=50 * 366)
OF_AGE = _l(
    "The patient is of age. Mark the contact as guardian for an adult first, if this person may see the records."
)


@dataclass(frozen=True)
class AccessDetails:
    """What of one patient a portal user may see, and until the end of which day."""

    records: bool
    billing: bool
    ends_on: date | None = None


def unlink(access_id: UUID, reason: str = "") -> PortalAccess:
    """End one portal user's access to one patient. Raises NotFound, Conflict."""
    access = _locked(access_id)
    access.ended_at, access.ended_by_id = clock.now(), actors.current().id
    access.ended_reason = reason.strip()[:LONGEST_REASON] or None
    user = get(access.portal_user_id, lock=True)
    if not user.accepted_at and not access_of(user.id):
        mailed_links.withdraw_all_of(user.holder)
    jobs.enqueue(END_CHECKOUTS)
    audit.record("portal_access.ended", subject_id=user.id, patient_id=access.patient_id)
    return access


def change_access(access_id: UUID, details: AccessDetails, reason: str) -> PortalAccess:
    """Give more or less, or until another day; nothing at all takes the access away. Raises NotFound, Conflict, Refused."""
    access = _locked(access_id)
    kept = checked_reason(reason)
    before = AccessDetails(access.records, access.billing, last_day(access.ends_at))
    if details.ends_on != before.ends_on:
        check_day(details.ends_on, field="ends_on")
    if details.records and not access.records and not _may_see_records(access):
        raise Refused(OF_AGE, field="records")
    if not details.records and not details.billing:
        return unlink(access_id, kept)
    access.records, access.billing = details.records, details.billing
    access.came_of_age_at = None if details.records else access.came_of_age_at
    if details.ends_on != before.ends_on:
        access.ends_at = end_of(details.ends_on)
    access.changed_at, access.changed_by_id, access.changed_reason = clock.now(), actors.current().id, kept
    if not details.billing:
        jobs.enqueue(END_CHECKOUTS)
    _record_change(access, before, details)
    return access


def mark_guardian(contact_id: UUID, patient_id: UUID, is_guardian: bool, reason: str) -> None:
    """Whether a contact sees the records of this patient also once the patient is of age, now or when invited.

    What the coming of age took comes back with the mark. Raises NotFound, Refused.
    """
    relationship = db.session.scalars(
        locked(
            select(Relationship).where(Relationship.contact_id == contact_id, Relationship.patient_id == patient_id)
        )
    ).one_or_none()
    if relationship is None:
        raise NotFound("relationship")
    kept = checked_reason(reason)
    if relationship.guardian_for_adult == is_guardian:
        return
    relationship.guardian_for_adult, relationship.guardian_reason = is_guardian, kept if is_guardian else None
    given = db.session.scalars(
        locked(
            select(PortalAccess).where(
                PortalAccess.contact_id == contact_id,
                PortalAccess.patient_id == patient_id,
                PortalAccess.ended_at.is_(None),
            )
        )
    ).all()
    for access in given:
        access.guardian_for_adult = is_guardian
        access.changed_at, access.changed_by_id, access.changed_reason = clock.now(), actors.current().id, kept
        if is_guardian and access.came_of_age_at:
            access.records, access.came_of_age_at = True, None
    audit.record(
        "relationship.changed",
        subject_id=contact_id,
        patient_id=patient_id,
        guardian_for_adult=[not is_guardian, is_guardian],
    )


def end_of(day: date | None) -> datetime | None:
    """The instant at which a day of the clinic is over; None for none."""
    if day is None:
        return None
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(clinics.current().time_zone))


def last_day(ends_at: datetime | None) -> date | None:
    """The day of the clinic on which something that is over at this instant can still be seen."""
    if ends_at is None:
        return None
    return (ends_at - timedelta(microseconds=1)).astimezone(ZoneInfo(clinics.current().time_zone)).date()


def check_day(day: date | None, *, field: str) -> None:
    """Raises Refused for a day that is over, or further away than anybody plans."""
    today = clock.today(clinics.current().time_zone)
    if day and day < today:
        raise Refused(_l("Choose today or a day to come."), field=field)
    if day and day > today + FURTHEST:
        raise Refused(_l("Choose a day within the next 50 years, or leave it empty."), field=field)


def checked_reason(reason: str) -> str:
    """Raises Refused."""
    kept = reason.strip()
    if not 1 <= len(kept) <= LONGEST_REASON:
        raise Refused(_l("Say why in 1 to 200 characters; only staff see it."), field="reason")
    return kept


def _may_see_records(access: PortalAccess) -> bool:
    """Whether the patient's age lets this access show records, were they given."""
    held = select(PortalAccess.id).where(PortalAccess.id == access.id, AGE_ALLOWS)
    return db.session.scalars(held).first() is not None


def _record_change(access: PortalAccess, before: AccessDetails, after: AccessDetails) -> None:
    changes: dict[str, Any] = {
        each.name: [_plain(getattr(before, each.name)), _plain(getattr(after, each.name))]
        for each in fields(AccessDetails)
        if getattr(before, each.name) != getattr(after, each.name)
    }
    audit.record(
        "portal_access.changed", subject_id=access.portal_user_id, patient_id=access.patient_id, **changes
    )


def _plain(value: bool | date | None) -> bool | str | None:
    return value.isoformat() if isinstance(value, date) else value


def _locked(access_id: UUID) -> PortalAccess:
    access = db.session.scalars(locked(select(PortalAccess).where(PortalAccess.id == access_id))).one_or_none()
    if access is None:
        raise NotFound("portal access")
    if access.ended_at:
        raise Conflict(_l("This access was ended already."))
    return access
