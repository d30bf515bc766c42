"""The audit log as people read it: staff all of it, a family who has looked at the record of somebody they stand by.

Names are looked up at reading; the log holds ids. A family sees the clinic's staff and themselves, never another portal
user: divorced parents must not learn of each other. Row security holds the same rule; each holds by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, bindparam, func, not_, or_, select, tuple_

from clinic.actors import ActorKind
from clinic.audit import AuditEntry, Result
from clinic.patients import Patient
from clinic.portal_users import PortalUser
from clinic.staff import StaffMember
from tenancy import clinics, clock, tenant
from tenancy.database import db

# The looks that a family reads of; `migrations/row_security.sql` has the same list. Of messages, contacts and access
# they see their own pages only: anything more would tell one parent about the other.
FAMILY_SEES = (
    "patient.viewed",
    "patient_details.viewed",
    "appointments.viewed",
    "appointment.viewed",
    "documents.viewed",
    "document.viewed",
    "document.opened",
    "document.downloaded",
    "billing.viewed",
    "invoice.viewed",
    "invoice.downloaded",
    "receipt.downloaded",
    "statement.downloaded",
)
AT_A_TIME = 1000


class EventKind(StrEnum):
    LOOKS = "looks"
    SIGN_INS = "sign_ins"
    PEOPLE = "people"  # who may see what, and who works here
    SETTINGS = "settings"
    RECORDS = "records"


@dataclass(frozen=True)
class LogFilter:
    """What of the log is asked for; days are the clinic's, `until` is part of them."""

    since: date | None = None
    until: date | None = None
    actor_id: UUID | None = None
    patient_id: UUID | None = None
    kind: EventKind | None = None
    result: Result | None = None


@dataclass(frozen=True)
class LogRow:
    id: UUID
    number: int
    at: datetime
    actor_kind: str
    actor_role: str | None
    actor_id: UUID | None
    actor_name: str | None
    event: str
    result: str
    patient_id: UUID | None
    patient_name: str | None
    subject_id: UUID | None
    request_id: UUID | None
    address: str | None
    details: dict[str, Any]

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.at.isoformat(), self.id


@dataclass(frozen=True)
class Look:
    """Somebody saw something of a record. `staff_name` is None for the one who reads this."""

    at: datetime
    event: str
    staff_name: str | None
    staff_role: str | None


_IS_LOOK = AuditEntry.event.regexp_match(r"\.(viewed|listed|searched|opened|downloaded|exported)$")
_NOUNS = {
    EventKind.SIGN_INS: "sign_in|sign_in_reset|sessions?|identity|password|password_reset|present_password|email_change|"
    "second_factor|factor_code|passkey|recovery_codes?|portal_search",
    EventKind.PEOPLE: "portal_access|portal_user|invitation|invitation_batch|access_hold|custody_block|coming_of_age|"
    "staff_member|contact_sign_in",
    EventKind.SETTINGS: "payment_account|billing_settings|clinic|logo|portal|portal_settings|document_type|reply_to|plan|status|"
    "audit_log",
}
_OF_NOUNS = {kind: AuditEntry.event.regexp_match(rf"^({nouns})\.") for kind, nouns in _NOUNS.items()}
_KINDS: dict[EventKind, ColumnElement[bool]] = {
    EventKind.LOOKS: _IS_LOOK,
    **{kind: and_(is_of, not_(_IS_LOOK)) for kind, is_of in _OF_NOUNS.items()},
    EventKind.RECORDS: not_(or_(_IS_LOOK, *_OF_NOUNS.values())),
}
_ROWS: Any = (
    select(
        AuditEntry.id,
        AuditEntry.number,
        AuditEntry.at,
        AuditEntry.actor_kind,
        AuditEntry.actor_role,
        AuditEntry.actor_id,
        func.coalesce(StaffMember.name, PortalUser.name, AuditEntry.actor_name),
        AuditEntry.event,
        AuditEntry.result,
        AuditEntry.patient_id,
        Patient.name,
        AuditEntry.subject_id,
        AuditEntry.request_id,
        AuditEntry.address,
        AuditEntry.details,
    )
    .select_from(AuditEntry)
    .outerjoin(
        StaffMember, (StaffMember.clinic_id == AuditEntry.clinic_id) & (StaffMember.id == AuditEntry.actor_id)
    )
    .outerjoin(PortalUser, (PortalUser.clinic_id == AuditEntry.clinic_id) & (PortalUser.id == AuditEntry.actor_id))
    .outerjoin(Patient, (Patient.clinic_id == AuditEntry.clinic_id) & (Patient.id == AuditEntry.patient_id))
    .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
)
_STAFF_NAMES = select(StaffMember.id, StaffMember.name).order_by(func.lower(StaffMember.name), StaffMember.id)
_LOOKS = (
    select(AuditEntry.at, AuditEntry.event, StaffMember.name, AuditEntry.actor_role)
    .select_from(AuditEntry)
    .outerjoin(
        StaffMember, (StaffMember.clinic_id == AuditEntry.clinic_id) & (StaffMember.id == AuditEntry.actor_id)
    )
    .where(
        AuditEntry.patient_id == bindparam("patient_id"),
        AuditEntry.event.in_(FAMILY_SEES),
        or_(AuditEntry.actor_kind == ActorKind.STAFF, AuditEntry.actor_id == bindparam("me")),
        AuditEntry.at >= bindparam("since"),
        AuditEntry.at < bindparam("until"),
    )
    .order_by(AuditEntry.at.desc(), AuditEntry.id)
)


def search(asked: LogFilter, *, after: tuple[str, UUID] | None = None, limit: int = 50) -> list[LogRow]:
    """Entries, newest first."""
    statement = _filtered(asked).limit(limit)
    if after:
        place = tuple_(bindparam("at", _instant(after[0])), bindparam("id", after[1]))
        statement = statement.where(tuple_(AuditEntry.at, AuditEntry.id) < place)
    return [LogRow(*row) for row in db.session.execute(statement)]


def every(asked: LogFilter) -> Iterator[LogRow]:
    """All of them, newest first, without holding them all at once."""
    for row in db.session.execute(_filtered(asked).execution_options(yield_per=AT_A_TIME)):
        yield LogRow(*row)


def names_of(asked: LogFilter) -> tuple[str | None, str | None]:
    """What the person and the patient that are asked for are called."""
    person = select(StaffMember.name).where(StaffMember.id == asked.actor_id).union_all(
        select(PortalUser.name).where(PortalUser.id == asked.actor_id)
    )
    patient = select(Patient.name).where(Patient.id == asked.patient_id)
    return db.session.scalars(person).first(), db.session.scalars(patient).first()


def staff_names() -> list[tuple[UUID, str]]:
    """(id, name) of everybody who works or worked here, by name."""
    return [(row.id, row.name) for row in db.session.execute(_STAFF_NAMES)]


def looks_at(patient_id: UUID, first: date, following: date) -> list[Look]:
    """Who saw what of a patient's record from the clinic's day `first` until before `following`, newest first."""
    zone = _zone()
    asked = {"patient_id": patient_id, "me": tenant.current().portal_user_id}
    days = {"since": _midnight(first, zone), "until": _midnight(following, zone)}
    return [Look(*row) for row in db.session.execute(_LOOKS, asked | days)]


def _filtered(asked: LogFilter) -> Any:
    statement = _ROWS
    if asked.since:
        statement = statement.where(AuditEntry.at >= _midnight(asked.since, _zone()))
    if asked.until:
        statement = statement.where(AuditEntry.at < _midnight(asked.until + timedelta(days=1), _zone()))
    if asked.actor_id:
        statement = statement.where(AuditEntry.actor_id == asked.actor_id)
    if asked.patient_id:
        statement = statement.where(AuditEntry.patient_id == asked.patient_id)
    if asked.kind:
        statement = statement.where(_KINDS[asked.kind])
    if asked.result:
        statement = statement.where(AuditEntry.result == asked.result)
    return statement


def _zone() -> ZoneInfo:
    return ZoneInfo(clinics.current().time_zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _instant(text: str) -> datetime:
    """Where the page before ended; now, and so the first page, for a place that no page of ours ends with."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return clock.now()
