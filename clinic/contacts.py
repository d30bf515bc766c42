"""Contacts: the people who stand by patients, and how. A patient may be their own contact ("Self").

Three columns of a relationship are kept by triggers, because the invite list must answer at once for 100,000 contacts:
`list_key` (contact's, then patient's folded name), `is_invitable` (has an address, patient is active, nobody with that
address has access to that patient, and no custody block forbids it) and `is_blocked` (only a custody block forbids it).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import CheckConstraint, Index, Text, bindparam, func, select, tuple_
from sqlalchemy.dialects.postgresql import aggregate_order_by, array
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from clinic import addresses, audit, names, patients, word_search
from tenancy import clock
from tenancy.database import Base, ClinicOwned, Folded, db, one_of, same_clinic, text_up_to
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.languages import Language


class RelationshipKind(StrEnum):
    SELF = "self"
    PARENT = "parent"
    GUARDIAN = "guardian"
    GRANDPARENT = "grandparent"
    CASEWORKER = "caseworker"
    SPOUSE = "spouse"
    OTHER = "other"


class Contact(ClinicOwned, Base):
    __tablename__ = "contacts"
    __table_args__ = (
        text_up_to("name", names.LONGEST),
        one_of("language", Language),
        Index("ix_contacts_search_text", "clinic_id", "search_text", "id"),
        Index("ix_contacts_email_norm", "clinic_id", "email_norm"),
    )
    name: Mapped[str]
    email: Mapped[str | None]
    email_norm: Mapped[str | None]
    phone: Mapped[str | None]
    do_not_invite: Mapped[bool] = mapped_column(default=False)
    language: Mapped[str] = mapped_column(default=Language.ENGLISH)  # of letters, until they choose on the portal
    search_text: Mapped[str] = mapped_column(Folded)
    created_at: Mapped[datetime]


class Relationship(ClinicOwned, Base):
    __tablename__ = "relationships"
    __table_args__ = (
        same_clinic("contact_id", "contacts", on_delete="CASCADE"),
        same_clinic("patient_id", "patients"),
        one_of("kind", RelationshipKind),
        Index("uq_relationships_pair", "clinic_id", "contact_id", "patient_id", unique=True),
        Index("ix_relationships_patient", "clinic_id", "patient_id"),
        CheckConstraint("guardian_for_adult = (guardian_reason IS NOT NULL)", name="guardian_why"),
        Index(
            "ix_relationships_listed", "clinic_id", "list_key", "id", postgresql_where="is_invitable OR is_blocked"
        ),
    )
    contact_id: Mapped[UUID]
    patient_id: Mapped[UUID]
    kind: Mapped[str]
    list_key: Mapped[str] = mapped_column(Folded, default="")
    is_invitable: Mapped[bool] = mapped_column(default=False)
    is_blocked: Mapped[bool] = mapped_column(default=False)
    guardian_for_adult: Mapped[bool] = mapped_column(default=False)  # sees the records also once the patient is of age
    guardian_reason: Mapped[str | None]


@dataclass(frozen=True)
class ContactDetails:
    """What staff type about a contact."""

    name: str
    email: str = ""
    phone: str = ""
    do_not_invite: bool = False
    language: Language = Language.ENGLISH


@dataclass(frozen=True)
class Stander:
    """A contact as a patient's page lists it."""

    relationship_id: UUID
    contact_id: UUID
    name: str
    email: str | None
    phone: str | None
    do_not_invite: bool
    kind: str
    is_invitable: bool
    guardian_for_adult: bool
    guardian_reason: str | None


@dataclass(frozen=True)
class ContactRow:
    """A line of the list of contacts; `cursor` pages on from it."""

    id: UUID
    name: str
    email: str | None
    phone: str | None
    search_text: str
    patients: list[str]

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.search_text, self.id


_PATIENTS = (
    select(
        func.coalesce(
            func.array_agg(aggregate_order_by(patients.Patient.name, patients.Patient.search_text)),
            array([], type_=Text),
        )
    )
    .join(
        Relationship,
        (Relationship.clinic_id == patients.Patient.clinic_id) & (Relationship.patient_id == patients.Patient.id),
    )
    .where(Relationship.clinic_id == Contact.clinic_id, Relationship.contact_id == Contact.id)
    .correlate(Contact)
    .scalar_subquery()
)
_ROWS = select(Contact.id, Contact.name, Contact.email, Contact.phone, Contact.search_text, _PATIENTS).order_by(
    Contact.search_text, Contact.id
)
_OF_PATIENT: Any = (
    select(
        Relationship.id,
        Contact.id,
        Contact.name,
        Contact.email,
        Contact.phone,
        Contact.do_not_invite,
        Relationship.kind,
        Relationship.is_invitable,
        Relationship.guardian_for_adult,
        Relationship.guardian_reason,
    )
    .join(Contact, (Contact.clinic_id == Relationship.clinic_id) & (Contact.id == Relationship.contact_id))
    .order_by(Relationship.list_key)
)


def get(contact_id: UUID) -> Contact:
    """Raises NotFound."""
    contact = db.session.scalars(select(Contact).where(Contact.id == contact_id)).one_or_none()
    if contact is None:
        raise NotFound("contact")
    return contact


def search(text: str = "", *, after: tuple[str, UUID] | None = None, limit: int = 50) -> list[ContactRow]:
    """Contacts whose name or address has words beginning like those typed, by name."""
    statement = _ROWS.limit(limit)
    for number, word in enumerate(names.search_words(text)):
        statement = statement.where(Contact.id.in_(word_search.owners(word, f"word{number}")))
    if after:
        statement = statement.where(
            tuple_(Contact.search_text, Contact.id) > tuple_(bindparam("text", after[0]), bindparam("id", after[1]))
        )
    return [ContactRow(*row) for row in db.session.execute(statement)]


def of_patient(patient_id: UUID) -> list[Stander]:
    """Who stands by a patient, by name."""
    rows = db.session.execute(_OF_PATIENT.where(Relationship.patient_id == patient_id))
    return [Stander(*row) for row in rows]


def find_stander(contact_id: UUID, patient_id: UUID) -> Stander | None:
    """One contact as they stand by one patient."""
    row = db.session.execute(
        _OF_PATIENT.where(Relationship.patient_id == patient_id, Relationship.contact_id == contact_id)
    ).one_or_none()
    return Stander(*row) if row else None


def patients_of(contact_id: UUID) -> list[tuple[UUID, str, str]]:
    """(patient id, patient's name, relationship) for each patient a contact stands by."""
    patient = patients.Patient
    rows = db.session.execute(
        select(patient.id, patient.name, Relationship.kind)
        .join(Relationship, (Relationship.clinic_id == patient.clinic_id) & (Relationship.patient_id == patient.id))
        .where(Relationship.contact_id == contact_id)
        .order_by(patient.search_text)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def find_same_address(email: str) -> list[Contact]:
    """Contacts with this address already; two may share one."""
    return list(db.session.scalars(select(Contact).where(Contact.email_norm == addresses.normalised(email))))


def add(patient_id: UUID, details: ContactDetails, kind: RelationshipKind) -> Contact:
    """A new contact who stands by this patient. Raises NotFound, Refused."""
    patient = patients.get(patient_id)
    contact = Contact(created_at=clock.now())
    _write(contact, details)
    db.session.add(contact)
    db.session.flush()
    db.session.add(Relationship(contact_id=contact.id, patient_id=patient.id, kind=kind))
    db.session.flush()
    audit.record("contact.added", subject_id=contact.id, patient_id=patient.id)
    return contact


def stand_by(contact_id: UUID, patient_id: UUID, kind: RelationshipKind) -> None:
    """An existing contact stands by another patient too. Raises NotFound, Conflict."""
    contact, patient = get(contact_id), patients.get(patient_id)
    try:
        with db.session.begin_nested():
            db.session.add(Relationship(contact_id=contact.id, patient_id=patient.id, kind=kind))
    except IntegrityError as error:
        raise Conflict(_l("This contact stands by the patient already.")) from error
    audit.record("relationship.added", subject_id=contact.id, patient_id=patient.id)


def change(contact_id: UUID, details: ContactDetails) -> Contact:
    """Corrects a contact. A login never moves by this: portal users keep the address they accepted with."""
    contact = get(contact_id)
    before = contact.email_norm
    _write(contact, details)
    db.session.flush()
    audit.record("contact.changed", subject_id=contact.id, address_changed=before != contact.email_norm)
    return contact


def correct_kind(contact_id: UUID, patient_id: UUID, kind: RelationshipKind) -> None:
    """How a contact stands by a patient was recorded wrongly. Raises NotFound."""
    relationship = db.session.scalars(
        select(Relationship).where(Relationship.contact_id == contact_id, Relationship.patient_id == patient_id)
    ).one_or_none()
    if relationship is None:
        raise NotFound("relationship")
    if relationship.kind != kind:
        before, relationship.kind = relationship.kind, kind
        audit.record("relationship.changed", subject_id=contact_id, patient_id=patient_id, kind=[before, kind])


def part(relationship_id: UUID) -> UUID:
    """The contact no longer stands by the patient; returns the patient's id. Portal access is ended separately."""
    relationship = db.session.scalars(
        select(Relationship).where(Relationship.id == relationship_id)
    ).one_or_none()
    if relationship is None:
        raise NotFound("relationship")
    patient_id, contact_id = relationship.patient_id, relationship.contact_id
    db.session.delete(relationship)
    db.session.flush()
    audit.record("relationship.removed", subject_id=contact_id, patient_id=patient_id)
    return patient_id


def _write(contact: Contact, details: ContactDetails) -> None:
    name = names.check_name(details.name)
    email = addresses.check_email(details.email) if details.email.strip() else None
    phone = details.phone.strip()
    if len(phone) > 40:
        raise Refused(_l("A phone number can have at most 40 characters."), field="phone")
    contact.name, contact.email, contact.phone = name, email, phone or None
    contact.email_norm = addresses.normalised(email) if email else None
    contact.do_not_invite, contact.language = details.do_not_invite, details.language
    contact.search_text = " ".join(filter(None, (names.folded(name), contact.email_norm)))
