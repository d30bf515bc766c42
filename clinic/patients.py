"""Patients: the people whose records the clinic keeps. Active, or inactive once discharged.

An inactive patient cannot be newly invited for; portal users who see them already keep what they see.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import Index, bindparam, select, tuple_
from sqlalchemy.orm import Mapped, mapped_column

from clinic import audit, names, word_search
from tenancy import clinics, clock
from tenancy.database import Base, ClinicOwned, Folded, db, one_of, text_up_to
from tenancy.errors import NotFound, Refused

OLDEST_YEARS = 120


class PatientStatus(StrEnum):
    ACTIVE = "active"
    INACTIVE = "inactive"


class Patient(ClinicOwned, Base):
    __tablename__ = "patients"
    __table_args__ = (
        one_of("status", PatientStatus),
        text_up_to("name", names.LONGEST),
        Index("ix_patients_search_text", "clinic_id", "search_text", "id"),
        Index("ix_patients_birth_on", "clinic_id", "birth_on"),
    )
    name: Mapped[str]
    nickname: Mapped[str | None]
    birth_on: Mapped[date]
    status: Mapped[str]
    reference: Mapped[str | None]  # the clinic's own number
    search_text: Mapped[str] = mapped_column(Folded)
    created_at: Mapped[datetime]

    @property
    def is_active(self) -> bool:
        return self.status == PatientStatus.ACTIVE

    @property
    def called(self) -> str:
        return self.nickname or self.name


@dataclass(frozen=True)
class PatientDetails:
    """What staff type about a patient."""

    name: str
    birth_on: date
    nickname: str = ""
    reference: str = ""
    status: PatientStatus = PatientStatus.ACTIVE


@dataclass(frozen=True)
class PatientRow:
    """A line of the patient list; `cursor` pages on from it."""

    id: UUID
    name: str
    nickname: str | None
    birth_on: date
    status: str
    reference: str | None
    search_text: str

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.search_text, self.id

    @property
    def is_active(self) -> bool:
        return self.status == PatientStatus.ACTIVE


_ROWS = select(
    Patient.id,
    Patient.name,
    Patient.nickname,
    Patient.birth_on,
    Patient.status,
    Patient.reference,
    Patient.search_text,
).order_by(Patient.search_text, Patient.id)


def get(patient_id: UUID) -> Patient:
    """Raises NotFound, also for a patient that this portal user may not see."""
    patient = db.session.scalars(select(Patient).where(Patient.id == patient_id)).one_or_none()
    if patient is None:
        raise NotFound("patient")
    return patient


def row_of(patient_id: UUID) -> PatientRow:
    """One patient as staff's pages show them. Raises NotFound."""
    row = db.session.execute(_ROWS.where(Patient.id == patient_id)).one_or_none()
    if row is None:
        raise NotFound("patient")
    return PatientRow(*row)


def search(text: str = "", *, after: tuple[str, UUID] | None = None, limit: int = 50) -> list[PatientRow]:
    """Patients whose name, nickname or reference has words beginning like those typed, by name."""
    statement = _ROWS.limit(limit)
    for number, word in enumerate(names.search_words(text)):
        statement = statement.where(Patient.id.in_(word_search.owners(word, f"word{number}")))
    if after:
        statement = statement.where(
            tuple_(Patient.search_text, Patient.id) > tuple_(bindparam("text", after[0]), bindparam("id", after[1]))
        )
    return [PatientRow(*row) for row in db.session.execute(statement)]


def add(details: PatientDetails) -> Patient:
    """Raises Refused."""
    patient = Patient(created_at=clock.now())
    _write(patient, details)
    db.session.add(patient)
    db.session.flush()
    audit.record("patient.added", subject_id=patient.id, patient_id=patient.id)
    return patient


def change(patient_id: UUID, details: PatientDetails) -> Patient:
    """Raises NotFound, Refused."""
    patient = get(patient_id)
    before = patient.status
    _write(patient, details)
    db.session.flush()
    audit.record(
        "patient.changed", subject_id=patient.id, patient_id=patient.id, status=[before, patient.status]
    )
    return patient


def _write(patient: Patient, details: PatientDetails) -> None:
    name = names.check_name(details.name)
    nickname = names.check_name(details.nickname, field="nickname") if details.nickname.strip() else None
    today = clock.today(clinics.current().time_zone)
    if details.birth_on > today:
        raise Refused(_l("A birth date cannot lie in the future."), field="birth_on")
    if details.birth_on.year < today.year - OLDEST_YEARS:
        raise Refused(_l("This birth date is more than 120 years ago."), field="birth_on")
    reference = details.reference.strip()
    if len(reference) > 40:
        raise Refused(_l("A reference can have at most 40 characters."), field="reference")
    patient.name, patient.nickname = name, nickname
    patient.birth_on, patient.status = details.birth_on, details.status
    patient.reference = reference or None
    patient.search_text = names.folded(" ".join(filter(None, (name, nickname, reference))))
