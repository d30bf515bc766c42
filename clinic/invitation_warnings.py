"""What staff should know before they invite: read from the data, for one batch, each with the rows it is about."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from clinic import addresses
from clinic.contacts import Contact, Relationship, RelationshipKind
from clinic.invitation_batches import IS_BLOCKED, BatchRow
from clinic.patients import Patient, PatientStatus
from clinic.portal_users import PortalAccess, PortalUser
from mail import letterhead
from mail.outbox import LetterState, OutgoingLetter
from tenancy.database import db

LISTED = 20


class WarningKind(StrEnum):
    DO_NOT_INVITE = "do_not_invite"  # refused, not only warned of
    CUSTODY_BLOCK = "custody_block"  # refused too
    SHARED_ADDRESS = "shared_address"  # both would read everything
    MISTYPED = "mistyped"
    BOUNCED = "bounced"
    EXISTING_USER = "existing_user"  # gets access at once, without a new password
    OTHER_ADDRESS = "other_address"  # the contact sees the patient already, signing in with another address
    INACTIVE_PATIENT = "inactive_patient"
    OF_AGE = "of_age"  # gets billing alone
    REPLY_TO_UNSET = "reply_to_unset"
    REPLY_TO_UNCONFIRMED = "reply_to_unconfirmed"


@dataclass(frozen=True)
class Warning:
    """`about`: the first of the addresses or "contact – address" lines concerned; `count`: how many in all."""

    kind: WarningKind
    count: int
    about: list[str]


def of_batch(batch_id: UUID) -> list[Warning]:
    """Gravest first."""
    in_batch = select(BatchRow.email_norm).where(BatchRow.batch_id == batch_id, BatchRow.email_norm != "")
    found = [
        (WarningKind.DO_NOT_INVITE, _named(_contacts_of(batch_id).where(Contact.do_not_invite))),
        (WarningKind.CUSTODY_BLOCK, _named(_contacts_of(batch_id).where(IS_BLOCKED))),
        (WarningKind.INACTIVE_PATIENT, _named(_inactive(batch_id))),
        (
            WarningKind.OF_AGE,
            _named(_of_age(batch_id)),
        ),
        (WarningKind.OTHER_ADDRESS, _named(_with_other_address(batch_id))),
        (
            WarningKind.SHARED_ADDRESS,
            _listed(
                select(Contact.email_norm)
                .where(Contact.email_norm.in_(in_batch))
                .group_by(Contact.email_norm)
                .having(func.count() > 1)
                .order_by(Contact.email_norm)
            ),
        ),
        (
            WarningKind.MISTYPED,
            [each for each in _listed(in_batch.distinct()) if addresses.looks_mistyped(each)],
        ),
        (
            WarningKind.BOUNCED,
            _listed(
                select(OutgoingLetter.to_address)
                .where(
                    OutgoingLetter.state == LetterState.UNDELIVERED, OutgoingLetter.to_address.in_(in_batch)
                )
                .distinct()
            ),
        ),
        (
            WarningKind.EXISTING_USER,
            _listed(
                select(PortalUser.email_norm).where(
                    PortalUser.email_norm.in_(in_batch),
                    PortalUser.accepted_at.is_not(None),
                    PortalUser.deactivated_at.is_(None),
                )
            ),
        ),
    ]
    warnings = [Warning(kind, len(about), about[:LISTED]) for kind, about in found if about]
    return warnings + _of_letterhead()


def _of_letterhead() -> list[Warning]:
    head = letterhead.of_clinic()
    if not head.reply_to:
        return [Warning(WarningKind.REPLY_TO_UNSET, 1, [])]
    if not head.confirmed_at:
        return [Warning(WarningKind.REPLY_TO_UNCONFIRMED, 1, [head.reply_to])]
    return []


def _contacts_of(batch_id: UUID) -> Any:
    return (
        select(Contact.name, BatchRow.email_norm)
        .join(BatchRow, (BatchRow.clinic_id == Contact.clinic_id) & (BatchRow.contact_id == Contact.id))
        .where(BatchRow.batch_id == batch_id)
        .order_by(BatchRow.position)
    )


def _inactive(batch_id: UUID) -> Any:
    return (
        _contacts_of(batch_id)
        .join(Patient, (Patient.clinic_id == BatchRow.clinic_id) & (Patient.id == BatchRow.patient_id))
        .where(Patient.status == PatientStatus.INACTIVE)
    )


def _of_age(batch_id: UUID) -> Any:
    """Caregivers of a patient who decides alone who sees the records."""
    return (
        _contacts_of(batch_id)
        .join(
            Relationship, (Relationship.clinic_id == BatchRow.clinic_id) & (Relationship.id == BatchRow.relationship_id)
        )
        .join(Patient, (Patient.clinic_id == BatchRow.clinic_id) & (Patient.id == BatchRow.patient_id))
        .where(
            Relationship.kind != RelationshipKind.SELF,
            ~Relationship.guardian_for_adult,
            Patient.birth_on <= func.app.of_age_born_until(),
        )
    )


def _with_other_address(batch_id: UUID) -> Any:
    return (
        _contacts_of(batch_id)
        .join(
            PortalAccess,
            (PortalAccess.clinic_id == BatchRow.clinic_id)
            & (PortalAccess.contact_id == BatchRow.contact_id)
            & (PortalAccess.patient_id == BatchRow.patient_id)
            & PortalAccess.ended_at.is_(None),
        )
        .join(PortalUser, (PortalUser.clinic_id == PortalAccess.clinic_id) & (PortalUser.id == PortalAccess.portal_user_id))
        .where(PortalUser.email_norm != BatchRow.email_norm)
    )


def _listed(statement: Any) -> list[str]:
    return [str(each) for each in db.session.scalars(statement)]


def _named(statement: Any) -> list[str]:
    return [f"{row[0]} – {row[1]}" for row in db.session.execute(statement)]
