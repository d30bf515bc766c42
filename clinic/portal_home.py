"""What a portal user finds: the patients they may see, and of each what comes next, what is new and what is owed.

Everything here is asked by the portal user who is signed in; there is no way to ask for another. Row security holds
the same rules (migrations/row_security.sql); each holds by itself.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, bindparam, case, cast, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from clinic import appointments, conversations, documents
from clinic.account import AccountLine
from clinic.appointments import Appointment, AppointmentRow, AppointmentStatus
from clinic.conversations import Conversation
from clinic.documents import Document, DocumentRow
from clinic.money import Money
from clinic.patients import Patient
from clinic.portal_settings import PortalSettings
from clinic.portal_users import IS_LIVE, SEES_RECORDS, SEES_SOMETHING, PortalAccess
from tenancy import clock, tenant
from tenancy.clinics import Clinic
from tenancy.database import db
from tenancy.errors import NotFound

NEW_FOR = timedelta(days=30)
MOST_NEW = 3  # documents listed for a patient; how many more there are is counted


@dataclass(frozen=True)
class PatientSeen:
    """A patient as the signed-in portal user may see them."""

    id: UUID
    name: str
    nickname: str | None
    relationship: str
    records: bool
    billing: bool
    shows_balance: bool
    shows_invoices: bool
    allows_messages: bool
    allows_appointment_requests: bool

    @property
    def called(self) -> str:
        return self.nickname or self.name

    @property
    def shows_billing(self) -> bool:
        """Whether there is a billing page for this patient at all."""
        return self.shows_balance or self.shows_invoices


@dataclass(frozen=True)
class Seen:
    """The patient a page is about, and all that its reader may switch to, by name."""

    patient: PatientSeen
    patients: list[PatientSeen]


@dataclass(frozen=True)
class PatientAtHome:
    """A patient as the home page shows them; `balance` and `unread_messages` are None where not shown."""

    patient: PatientSeen
    balance: Money | None
    next_appointment: AppointmentRow | None
    new_documents: list[DocumentRow]
    new_document_count: int
    unread_messages: int | None


_shows_billing = PortalAccess.billing & Clinic.payment_processing_since_at.is_not(None)
_shows_balance = _shows_billing & PortalSettings.shows_balance
_shows_invoices = _shows_billing & PortalSettings.shows_invoices
_allows_messages = SEES_RECORDS & PortalSettings.allows_messages
_MINE = PortalAccess.portal_user_id == bindparam("portal_user_id")
_PATIENTS: Any = (
    select(
        Patient.id,
        Patient.name,
        Patient.nickname,
        PortalAccess.relationship,
        SEES_RECORDS,
        PortalAccess.billing,
        _shows_balance,
        _shows_invoices,
        _allows_messages,
        SEES_RECORDS & PortalSettings.allows_appointment_requests,
    )
    .select_from(PortalAccess)
    .join(Patient, (Patient.clinic_id == PortalAccess.clinic_id) & (Patient.id == PortalAccess.patient_id))
    .join(PortalSettings, PortalSettings.clinic_id == PortalAccess.clinic_id)
    .join(Clinic, Clinic.id == PortalAccess.clinic_id)
    .where(_MINE, SEES_SOMETHING)
    .order_by(Patient.search_text, Patient.id)
)
_balance = (
    select(func.coalesce(func.sum(AccountLine.amount_minor), 0))
    .where(AccountLine.clinic_id == PortalAccess.clinic_id, AccountLine.patient_id == PortalAccess.patient_id)
    .correlate(PortalAccess)
    .scalar_subquery()
)
_unread = (
    conversations.UNREAD_BY_FAMILY.where(
        Conversation.clinic_id == PortalAccess.clinic_id,
        Conversation.portal_user_id == PortalAccess.portal_user_id,
        Conversation.patient_id == PortalAccess.patient_id,
    )
    .correlate(PortalAccess)
    .scalar_subquery()
)
_PATIENTS_AT_HOME = _PATIENTS.add_columns(
    case((_shows_balance, _balance)), Clinic.currency, case((_allows_messages, _unread))
)
_lasting = func.make_interval(0, 0, 0, 0, 0, cast(Appointment.duration_minutes, Integer))
_NEXT_APPOINTMENTS = (
    appointments.ROWS.join(
        PortalAccess,
        (PortalAccess.clinic_id == Appointment.clinic_id) & (PortalAccess.patient_id == Appointment.patient_id),
    )
    .where(_MINE, IS_LIVE, SEES_RECORDS, Appointment.status == AppointmentStatus.BOOKED)
    .where(Appointment.starts_at + _lasting > bindparam("now"))
    .ext(distinct_on(Appointment.patient_id))
    .order_by(Appointment.patient_id, Appointment.starts_at, Appointment.id)
)
_new = (
    documents.ROWS.join(
        PortalAccess,
        (PortalAccess.clinic_id == Document.clinic_id) & (PortalAccess.patient_id == Document.patient_id),
    )
    .where(_MINE, IS_LIVE, SEES_RECORDS, documents.IS_SHOWN, Document.signed_at > bindparam("since"))
    .add_columns(
        func.row_number()
        .over(partition_by=Document.patient_id, order_by=(Document.signed_at.desc(), Document.id))
        .label("place"),
        func.count().over(partition_by=Document.patient_id).label("count"),
    )
    .subquery("new_documents")
)
_NEW_DOCUMENTS = select(_new).where(_new.c.place <= MOST_NEW).order_by(_new.c.place)


def patients() -> list[PatientSeen]:
    """Every patient the signed-in portal user may see, by name."""
    return [PatientSeen(*row) for row in db.session.execute(_PATIENTS, {"portal_user_id": _me()})]


def see(patient_id: UUID) -> Seen:
    """A patient this portal user may see something of. Raises NotFound."""
    listed = patients()
    for patient in listed:
        if patient.id == patient_id:
            return Seen(patient, listed)
    raise NotFound("patient")


def see_records(patient_id: UUID) -> Seen:
    """A patient whose documents and appointments this portal user may see. Raises NotFound."""
    seen = see(patient_id)
    if not seen.patient.records:
        raise NotFound("records")
    return seen


def see_messages(patient_id: UUID) -> Seen:
    """A patient about whom this portal user and the clinic may write each other. Raises NotFound."""
    seen = see(patient_id)
    if not seen.patient.allows_messages:
        raise NotFound("messages")
    return seen


def see_appointment_requests(patient_id: UUID) -> Seen:
    """A patient for whom this portal user may ask for an appointment. Raises NotFound."""
    seen = see(patient_id)
    if not seen.patient.allows_appointment_requests:
        raise NotFound("appointment requests")
    return seen


def see_billing(patient_id: UUID) -> Seen:
    """A patient whose balance or invoices the clinic shows this portal user. Raises NotFound."""
    seen = see(patient_id)
    if not seen.patient.shows_billing:
        raise NotFound("billing")
    return seen


def at_home() -> list[PatientAtHome]:
    """What the home page shows, patient by patient, in three statements."""
    now = clock.now()
    asking: dict[str, Any] = {"portal_user_id": _me()}
    rows = db.session.execute(_PATIENTS_AT_HOME, asking).all()
    booked = db.session.execute(_NEXT_APPOINTMENTS, asking | {"now": now})
    coming = {row.patient_id: AppointmentRow(*row) for row in booked}
    new, counts = _new_documents(asking | {"since": now - NEW_FOR})
    found = []
    for *seen, minor, currency, unread in rows:
        patient = PatientSeen(*seen)
        balance = None if minor is None else Money(int(minor), currency)
        found.append(
            PatientAtHome(
                patient, balance, coming.get(patient.id), new.get(patient.id, []), counts.get(patient.id, 0), unread
            )
        )
    return found


def _new_documents(asking: dict[str, Any]) -> tuple[dict[UUID, list[DocumentRow]], dict[UUID, int]]:
    listed: dict[UUID, list[DocumentRow]] = {}
    counts: dict[UUID, int] = {}
    for *row, _place, count in db.session.execute(_NEW_DOCUMENTS, asking):
        document = DocumentRow(*row)
        listed.setdefault(document.patient_id, []).append(document)
        counts[document.patient_id] = count
    return listed, counts


def _me() -> UUID | None:
    return tenant.current().portal_user_id
