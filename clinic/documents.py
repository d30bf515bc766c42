"""Documents about a patient: draft until signed, and a single one may be held back from the portal with a reason.

The portal shows signed documents of visible types that are not held back; row security says the same.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from flask_babel import lazy_gettext as _l
from sqlalchemy import CheckConstraint, Index, Select, bindparam, select, update
from sqlalchemy.orm import Mapped, mapped_column

from clinic import actors, audit, document_store, document_types, incoming_files, patients, plain_text
from clinic.document_types import DocumentType
from clinic.incoming_files import TakenFile
from clinic.virus_scanner import LETTING_THROUGH, Scan
from tenancy import clinics, clock
from tenancy.database import Base, ClinicOwned, db, one_of, same_clinic, text_up_to
from tenancy.errors import Conflict, NotFound, Refused

LONGEST_TITLE = 120
MOST_AT_ONCE = 200


class DocumentStatus(StrEnum):
    DRAFT = "draft"
    SIGNED = "signed"


class Document(ClinicOwned, Base):
    __tablename__ = "documents"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        same_clinic("document_type_id", "document_types"),
        same_clinic("signed_by_id", "staff_members"),
        one_of("status", DocumentStatus),
        text_up_to("title", LONGEST_TITLE),
        CheckConstraint("(status = 'signed') = (signed_at IS NOT NULL)", name="signed_when"),
        CheckConstraint("(held_back_at IS NULL) = (held_back_reason IS NULL)", name="held_back_why"),
        Index("ix_documents_patient", "clinic_id", "patient_id", "dated_on"),
        one_of("scan", Scan),
        Index("ix_documents_type", "clinic_id", "document_type_id"),
        Index("ix_documents_waiting", "clinic_id", "id", postgresql_where="scan = 'waiting'"),
    )
    patient_id: Mapped[UUID]
    document_type_id: Mapped[UUID]
    title: Mapped[str]
    dated_on: Mapped[date]
    status: Mapped[str]
    signed_at: Mapped[datetime | None]
    signed_by_id: Mapped[UUID | None]
    held_back_at: Mapped[datetime | None]
    held_back_reason: Mapped[str | None]
    media_type: Mapped[str]
    size_bytes: Mapped[int]
    scan: Mapped[str] = mapped_column(server_default=Scan.NONE)
    added_at: Mapped[datetime]

    @property
    def is_signed(self) -> bool:
        return self.status == DocumentStatus.SIGNED

    @property
    def is_held_back(self) -> bool:
        return self.held_back_at is not None


@dataclass(frozen=True)
class DocumentRow:
    """A document as lists and pages show it."""

    id: UUID
    patient_id: UUID
    title: str
    type_id: UUID
    type_name: str
    is_visible_type: bool
    dated_on: date
    status: str
    signed_at: datetime | None
    held_back_reason: str | None
    media_type: str
    size_bytes: int
    scan: str

    @property
    def is_signed(self) -> bool:
        return self.status == DocumentStatus.SIGNED

    @property
    def is_shown(self) -> bool:
        """Whether families with access see it on the portal."""
        return self.is_signed and self.is_visible_type and self.held_back_reason is None and self.may_be_opened

    @property
    def may_be_opened(self) -> bool:
        return self.scan in LETTING_THROUGH

    @property
    def file_name(self) -> str:
        return incoming_files.file_name(self.title, self.media_type)


@dataclass(frozen=True)
class DocumentDetails:
    """What staff type about a document."""

    title: str
    type_id: UUID
    dated_on: date


ROWS: Any = select(
    Document.id,
    Document.patient_id,
    Document.title,
    DocumentType.id,
    DocumentType.name,
    DocumentType.is_visible_on_portal,
    Document.dated_on,
    Document.status,
    Document.signed_at,
    Document.held_back_reason,
    Document.media_type,
    Document.size_bytes,
    Document.scan,
).join(
    DocumentType,
    (DocumentType.clinic_id == Document.clinic_id) & (DocumentType.id == Document.document_type_id),
)
_OF_PATIENT: Any = ROWS.where(Document.patient_id == bindparam("patient_id")).order_by(
    Document.dated_on.desc(), Document.id
)
# The same rule stands in migrations/row_security.sql; each holds by itself.
IS_SHOWN = (
    (Document.status == DocumentStatus.SIGNED)
    & Document.held_back_at.is_(None)
    & DocumentType.is_visible_on_portal.is_(True)
    & Document.scan.in_(LETTING_THROUGH)
)
_SHOWN_OF_PATIENT: Any = _OF_PATIENT.where(IS_SHOWN)


def of_patient(patient_id: UUID) -> list[DocumentRow]:
    """Every document of a patient, newest first: for staff."""
    return [DocumentRow(*row) for row in db.session.execute(_OF_PATIENT, {"patient_id": patient_id})]


def shown_of_patient(
    patient_id: UUID, *, type_id: UUID | None = None, since: date | None = None, until: date | None = None
) -> list[DocumentRow]:
    """What the portal shows of a patient, newest first, perhaps of one type or span of dates."""
    statement = _SHOWN_OF_PATIENT
    if type_id:
        statement = statement.where(Document.document_type_id == type_id)
    if since:
        statement = statement.where(Document.dated_on >= since)
    if until:
        statement = statement.where(Document.dated_on <= until)
    return [DocumentRow(*row) for row in db.session.execute(statement, {"patient_id": patient_id})]


def get(document_id: UUID) -> DocumentRow:
    """Raises NotFound."""
    return _one(ROWS.where(Document.id == document_id))


def get_shown(document_id: UUID, patient_id: UUID) -> DocumentRow:
    """A document that the portal shows, of this patient. Raises NotFound."""
    return _one(ROWS.where(Document.id == document_id, Document.patient_id == patient_id, IS_SHOWN))


def content_of(document: DocumentRow) -> bytes:
    """The bytes, opened for someone who may see the document; whoever shows it records the look. Raises Conflict."""
    incoming_files.check_may_be_opened(document.scan)
    return document_store.fetch(document.id)


def add(patient_id: UUID, details: DocumentDetails, file: TakenFile) -> Document:
    """A draft with its file. Raises NotFound, Refused."""
    patient = patients.get(patient_id)
    document = Document(
        id=uuid4(),
        patient_id=patient.id,
        status=DocumentStatus.DRAFT,
        media_type=file.media_type,
        size_bytes=len(file.content),
        scan=file.scan,
        added_at=clock.now(),
    )
    _write(document, details)
    db.session.add(document)
    db.session.flush()
    document_store.put(document.id, file.content)
    audit.record("document.added", subject_id=document.id, patient_id=patient.id)
    return document


def change(document_id: UUID, details: DocumentDetails) -> None:
    """Correct title, type or date. Raises NotFound, Refused."""
    document = _locked(document_id)
    _write(document, details)
    audit.record("document.changed", subject_id=document.id, patient_id=document.patient_id)


def sign(document_id: UUID) -> None:
    """From now on it is part of the record. Raises NotFound, Conflict."""
    document = _locked(document_id)
    if document.is_signed:
        raise Conflict(_l("This document is signed already."))
    document.status, document.signed_at = DocumentStatus.SIGNED, clock.now()
    document.signed_by_id = actors.current().id
    audit.record("document.signed", subject_id=document.id, patient_id=document.patient_id)


def hold_back(document_id: UUID, reason: str) -> None:
    """Keep one document from the portal. Raises NotFound, Refused."""
    document = _locked(document_id)
    if not 1 <= len(reason.strip()) <= 200:
        raise Refused(_l("Say why in 1 to 200 characters; only staff see it."), field="reason")
    document.held_back_at, document.held_back_reason = clock.now(), reason.strip()
    audit.record("document.held_back", subject_id=document.id, patient_id=document.patient_id)


def release(document_id: UUID) -> None:
    """No longer held back."""
    document = _locked(document_id)
    document.held_back_at = document.held_back_reason = None
    audit.record("document.released", subject_id=document.id, patient_id=document.patient_id)


def waiting_for_scan() -> list[UUID]:
    """Documents whose file the virus scanner has not seen; some of them, if they are many."""
    return list(db.session.scalars(select(Document.id).where(Document.scan == Scan.WAITING).limit(MOST_AT_ONCE)))


def note_scan(document_id: UUID, found: Scan) -> None:
    """What the scanner said of a document that waited for it."""
    patient_id = db.session.scalars(
        update(Document).where(Document.id == document_id).values(scan=found).returning(Document.patient_id)
    ).one()
    audit.record("document.scanned", subject_id=document_id, patient_id=patient_id, found=found)


def _write(document: Document, details: DocumentDetails) -> None:
    title = plain_text.one_line(details.title)
    if not 1 <= len(title) <= LONGEST_TITLE:
        raise Refused(_l("A title must have 1 to 120 characters."), field="title")
    if details.dated_on > clock.today(clinics.current().time_zone):
        raise Refused(_l("A document cannot be dated in the future."), field="dated_on")
    document.document_type_id = document_types.get(details.type_id).id
    document.title, document.dated_on = title, details.dated_on


def _locked(document_id: UUID) -> Document:
    document = db.session.scalars(
        select(Document).where(Document.id == document_id).with_for_update(key_share=True)
    ).one_or_none()
    if document is None:
        raise NotFound("document")
    return document


def _one(statement: Select[Any]) -> DocumentRow:
    row = db.session.execute(statement).one_or_none()
    if row is None:
        raise NotFound("document")
    return DocumentRow(*row)
