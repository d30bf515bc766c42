"""A contact's address was corrected, and a portal user still signs in with the one before.

A login never moves because staff edited a contact: it may be the right person with an old address, or a wrong person
who must not read on. So the clinic is asked: leave the sign-in as it is, or end what it sees of this contact's patients
and invite the new address. Where another contact shares the old address and stands by the same patient, the sign-in
is theirs as well, and keeps that patient.
"""

from dataclasses import dataclass
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import Text, func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by, array
from sqlalchemy.orm import aliased

from clinic import audit, contacts, portal_users
from clinic.contacts import Contact, Relationship
from clinic.patients import Patient
from clinic.portal_users import PortalAccess, PortalUser
from tenancy.database import db
from tenancy.errors import Conflict, NotFound

REASON = _l("The contact's e-mail address was corrected.")


@dataclass(frozen=True)
class SeenPatient:
    """A patient of the contact whom the portal user sees; `shared_with`: who else signs in that way for them."""

    access_id: UUID
    relationship_id: UUID
    name: str
    shared_with: list[str]


@dataclass(frozen=True)
class LeftBehind:
    """A contact, and a portal user who sees patients of theirs and may sign in with another address."""

    contact_name: str
    contact_email: str | None
    portal_user_id: UUID
    portal_user_name: str
    portal_user_email: str
    is_same: bool
    patients: list[SeenPatient]

    @property
    def ends(self) -> list[SeenPatient]:
        return [each for each in self.patients if not each.shared_with]

    @property
    def stays(self) -> list[SeenPatient]:
        return [each for each in self.patients if each.shared_with]


_other, _others_relationship = aliased(Contact), aliased(Relationship)
_SHARED_WITH = (
    select(func.coalesce(func.array_agg(aggregate_order_by(_other.name, _other.search_text)), array([], type_=Text)))
    .join(
        _others_relationship,
        (_others_relationship.clinic_id == _other.clinic_id) & (_others_relationship.contact_id == _other.id),
    )
    .where(
        _other.clinic_id == PortalUser.clinic_id,
        _other.email_norm == PortalUser.email_norm,
        _other.id != Relationship.contact_id,
        _others_relationship.patient_id == PortalAccess.patient_id,
    )
    .correlate(PortalUser, Relationship, PortalAccess)
    .scalar_subquery()
)
_SEEN = (
    select(PortalAccess.id, Relationship.id, Patient.name, _SHARED_WITH)
    .select_from(PortalAccess)
    .join(PortalUser, (PortalUser.clinic_id == PortalAccess.clinic_id) & (PortalUser.id == PortalAccess.portal_user_id))
    .join(
        Relationship,
        (Relationship.clinic_id == PortalAccess.clinic_id) & (Relationship.patient_id == PortalAccess.patient_id),
    )
    .join(Patient, (Patient.clinic_id == PortalAccess.clinic_id) & (Patient.id == PortalAccess.patient_id))
    .where(PortalAccess.ended_at.is_(None))  # also what a hold suspends: it comes back
    .order_by(Patient.search_text)
)


def find(contact_id: UUID, email_before: str | None) -> UUID | None:
    """The portal user who had the contact's address before it was corrected, and sees a patient of theirs."""
    contact = contacts.get(contact_id)
    if not email_before or contact.email_norm == email_before:
        return None
    user = portal_users.find_by_email(email_before)
    return user.id if user and _seen(contact_id, user.id) else None


def get(contact_id: UUID, portal_user_id: UUID) -> LeftBehind:
    """Raises NotFound, also where the portal user sees no patient of this contact."""
    contact, user = contacts.get(contact_id), portal_users.get(portal_user_id)
    seen = _seen(contact_id, portal_user_id)
    if not seen:
        raise NotFound("portal user who sees a patient of this contact")
    return LeftBehind(
        contact.name, contact.email, user.id, user.name, user.email, contact.email_norm == user.email_norm, seen
    )


def of_patient(patient_id: UUID) -> dict[UUID, tuple[UUID, str | None]]:
    """access → (contact, the contact's address), for each access whose portal user signs in with another address than
    the contact has to whom it was given."""
    differing = (
        select(PortalAccess.id, Contact.id, Contact.email)
        .join(PortalUser, (PortalUser.clinic_id == PortalAccess.clinic_id) & (PortalUser.id == PortalAccess.portal_user_id))
        .join(Contact, (Contact.clinic_id == PortalAccess.clinic_id) & (Contact.id == PortalAccess.contact_id))
        .join(
            Relationship,
            (Relationship.clinic_id == PortalAccess.clinic_id)
            & (Relationship.contact_id == Contact.id)
            & (Relationship.patient_id == PortalAccess.patient_id),
        )
        .where(PortalAccess.patient_id == patient_id, PortalAccess.ended_at.is_(None), Contact.email_norm.is_distinct_from(PortalUser.email_norm))
    )
    return {row[0]: (row[1], row[2]) for row in db.session.execute(differing)}


def keep(contact_id: UUID, portal_user_id: UUID) -> None:
    """The sign-in stays as it is: two addresses of one person. Raises NotFound."""
    get(contact_id, portal_user_id)
    audit.record("contact_sign_in.kept", subject_id=contact_id, portal_user_id=str(portal_user_id))


def end(contact_id: UUID, portal_user_id: UUID) -> list[UUID]:
    """End what the portal user sees of this contact's patients; returns the relationships to invite anew.

    Raises NotFound; Conflict when both have one address, so that there is nothing to decide.
    """
    left = get(contact_id, portal_user_id)
    if left.is_same:
        raise Conflict(_l("The contact and the sign-in have the same e-mail address now, so nothing was changed."))
    for each in left.ends:
        portal_users.unlink(each.access_id, str(REASON))
    audit.record(
        "contact_sign_in.ended", subject_id=contact_id, portal_user_id=str(portal_user_id), patients=len(left.ends)
    )
    return [each.relationship_id for each in left.patients] if left.contact_email else []


def _seen(contact_id: UUID, portal_user_id: UUID) -> list[SeenPatient]:
    of_both = _SEEN.where(Relationship.contact_id == contact_id, PortalAccess.portal_user_id == portal_user_id)
    return [SeenPatient(*row) for row in db.session.execute(of_both)]
