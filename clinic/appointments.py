"""Appointments of a patient, in the clinic's time zone: booked, or cancelled with the day and hour kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import CheckConstraint, Index, bindparam, select
from sqlalchemy.orm import Mapped

from clinic import audit, patients
from tenancy import clock
from tenancy.database import Base, ClinicOwned, db, one_of, same_clinic, text_up_to
from tenancy.errors import Conflict, NotFound, Refused

LONGEST_MINUTES = 8 * 60


class AppointmentStatus(StrEnum):
    BOOKED = "booked"
    CANCELLED = "cancelled"


class Appointment(ClinicOwned, Base):
    __tablename__ = "appointments"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        one_of("status", AppointmentStatus),
        text_up_to("service", 80),
        CheckConstraint(f"duration_minutes BETWEEN 5 AND {LONGEST_MINUTES}", name="duration"),
        Index("ix_appointments_patient", "clinic_id", "patient_id", "starts_at"),
    )
    patient_id: Mapped[UUID]
    starts_at: Mapped[datetime]
    duration_minutes: Mapped[int]
    service: Mapped[str]
    therapist: Mapped[str | None]
    place: Mapped[str | None]
    status: Mapped[str]
    cancelled_at: Mapped[datetime | None]


@dataclass(frozen=True)
class AppointmentRow:
    id: UUID
    patient_id: UUID
    starts_at: datetime
    duration_minutes: int
    service: str
    therapist: str | None
    place: str | None
    status: str

    @property
    def is_cancelled(self) -> bool:
        return self.status == AppointmentStatus.CANCELLED

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(minutes=self.duration_minutes)


@dataclass(frozen=True)
class AppointmentDetails:
    """What staff type; `starts_at` is an instant, read in the clinic's time zone by the form."""

    starts_at: datetime
    duration_minutes: int
    service: str
    therapist: str = ""
    place: str = ""


ROWS = select(
    Appointment.id,
    Appointment.patient_id,
    Appointment.starts_at,
    Appointment.duration_minutes,
    Appointment.service,
    Appointment.therapist,
    Appointment.place,
    Appointment.status,
)
_OF_PATIENT = ROWS.where(Appointment.patient_id == bindparam("patient_id")).order_by(Appointment.starts_at)


def of_patient(patient_id: UUID) -> tuple[list[AppointmentRow], list[AppointmentRow]]:
    """(upcoming, soonest first; past, latest first)."""
    rows = [AppointmentRow(*row) for row in db.session.execute(_OF_PATIENT, {"patient_id": patient_id})]
    now = clock.now()
    upcoming = [row for row in rows if row.ends_at > now]
    return upcoming, [row for row in reversed(rows) if row.ends_at <= now]


def get(appointment_id: UUID) -> AppointmentRow:
    """Raises NotFound."""
    row = db.session.execute(ROWS.where(Appointment.id == appointment_id)).one_or_none()
    if row is None:
        raise NotFound("appointment")
    return AppointmentRow(*row)


def book(patient_id: UUID, details: AppointmentDetails) -> Appointment:
    """Raises NotFound, Refused."""
    patient = patients.get(patient_id)
    appointment = Appointment(patient_id=patient.id, status=AppointmentStatus.BOOKED)
    _write(appointment, details)
    db.session.add(appointment)
    db.session.flush()
    audit.record("appointment.booked", subject_id=appointment.id, patient_id=patient.id)
    return appointment


def change(appointment_id: UUID, details: AppointmentDetails) -> None:
    """Raises NotFound, Refused, Conflict."""
    appointment = _locked(appointment_id)
    if appointment.status == AppointmentStatus.CANCELLED:
        raise Conflict(_l("This appointment was cancelled. Book a new one."))
    _write(appointment, details)
    audit.record("appointment.changed", subject_id=appointment.id, patient_id=appointment.patient_id)


def cancel(appointment_id: UUID) -> None:
    """Raises NotFound, Conflict."""
    appointment = _locked(appointment_id)
    if appointment.status == AppointmentStatus.CANCELLED:
        raise Conflict(_l("This appointment was cancelled already."))
    appointment.status, appointment.cancelled_at = AppointmentStatus.CANCELLED, clock.now()
    audit.record("appointment.cancelled", subject_id=appointment.id, patient_id=appointment.patient_id)


def _write(appointment: Appointment, details: AppointmentDetails) -> None:
    service = " ".join(details.service.split())
    if not 1 <= len(service) <= 80:
        raise Refused(_l("Name the service in 1 to 80 characters."), field="service")
    if not 5 <= details.duration_minutes <= LONGEST_MINUTES:
        raise Refused(_l("An appointment lasts 5 minutes to 8 hours."), field="duration_minutes")
    for text, field in ((details.therapist, "therapist"), (details.place, "place")):
        if len(text.strip()) > 80:
            raise Refused(_l("Use at most 80 characters."), field=field)
    appointment.starts_at, appointment.duration_minutes = details.starts_at, details.duration_minutes
    appointment.service = service
    appointment.therapist, appointment.place = details.therapist.strip() or None, details.place.strip() or None


def _locked(appointment_id: UUID) -> Appointment:
    appointment = db.session.scalars(
        select(Appointment).where(Appointment.id == appointment_id).with_for_update(key_share=True)
    ).one_or_none()
    if appointment is None:
        raise NotFound("appointment")
    return appointment
