"""What keeps a person from a patient: custody blocks and holds, each with a reason, placed and lifted by name.

A custody block is against a person, known by contact and by address: they cannot be invited for this patient, and
access they have is suspended until the block is lifted. A hold is against one portal user ("court papers awaited"): it
suspends, and ends by itself on the day agreed, or when lifted. Neither takes anything away: afterwards all is as before.
Its one surprise: nothing is changed on the access itself. Whether a hold is in force is asked whenever something is
read, here and by row security, so one that is placed while access is being given holds too.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, or_, select

from clinic import actors, addresses, audit, patients, portal_users
from clinic.contacts import Contact, Relationship
from clinic.portal_users import END_CHECKOUTS, HOLD_IS_IN_FORCE, AccessHold, HoldKind, PortalAccess, PortalUser
from clinic.portal_users.access import check_day, checked_reason, end_of
from clinic.staff import StaffMember
from tenancy import clock, jobs
from tenancy.database import db, locked
from tenancy.errors import Conflict, NotFound, Refused


@dataclass(frozen=True)
class HoldRow:
    """One as staff's pages show it. `name` is none for an address that nobody here goes by."""

    id: UUID
    kind: str
    portal_user_id: UUID | None
    contact_id: UUID | None
    name: str | None
    email: str | None
    reason: str
    placed_at: datetime
    placed_by: str | None
    until_at: datetime | None
    lifted_at: datetime | None

    @property
    def is_custody(self) -> bool:
        return self.kind == HoldKind.CUSTODY


_ROWS: Any = (
    select(
        AccessHold.id,
        AccessHold.kind,
        AccessHold.portal_user_id,
        AccessHold.contact_id,
        func.coalesce(Contact.name, PortalUser.name),
        func.coalesce(AccessHold.email_norm, PortalUser.email),
        AccessHold.reason,
        AccessHold.placed_at,
        StaffMember.name,
        AccessHold.until_at,
        AccessHold.lifted_at,
    )
    .outerjoin(Contact, (Contact.clinic_id == AccessHold.clinic_id) & (Contact.id == AccessHold.contact_id))
    .outerjoin(
        PortalUser, (PortalUser.clinic_id == AccessHold.clinic_id) & (PortalUser.id == AccessHold.portal_user_id)
    )
    .outerjoin(
        StaffMember, (StaffMember.clinic_id == AccessHold.clinic_id) & (StaffMember.id == AccessHold.placed_by_id)
    )
    .order_by(AccessHold.placed_at, AccessHold.id)
)


def of_patient(patient_id: UUID) -> list[HoldRow]:
    """Custody blocks and holds in force, the oldest first."""
    found = db.session.execute(_ROWS.where(AccessHold.patient_id == patient_id, HOLD_IS_IN_FORCE))
    return [HoldRow(*row) for row in found]


def get(hold_id: UUID, patient_id: UUID, kind: HoldKind) -> HoldRow:
    """One of this patient, in force or not. Raises NotFound."""
    row = db.session.execute(
        _ROWS.where(AccessHold.id == hold_id, AccessHold.patient_id == patient_id, AccessHold.kind == kind)
    ).one_or_none()
    if row is None:
        raise NotFound("hold")
    return HoldRow(*row)


def block(patient_id: UUID, *, contact_id: UUID | None, email: str, reason: str) -> AccessHold:
    """Place a custody block against a contact of this patient, an address, or both. Raises NotFound, Refused, Conflict."""
    patients.get(patient_id)
    kept = checked_reason(reason)
    contact = _contact_of(contact_id, patient_id) if contact_id else None
    address = addresses.normalised(addresses.check_email(email)) if email.strip() else None
    if contact is None and address is None:
        raise Refused(_l("Choose a contact or enter an e-mail address."), field="contact_id")
    address = address or (contact.email_norm if contact else None)
    same = _of_patient(patient_id, HoldKind.CUSTODY).where(
        AccessHold.contact_id == contact_id if contact_id else AccessHold.email_norm == address
    )
    if db.session.scalars(same).first():
        raise Conflict(_l("There is a custody block against this person already."))
    return _place(
        AccessHold(
            kind=HoldKind.CUSTODY,
            patient_id=patient_id,
            contact_id=contact_id,
            email_norm=address,
            portal_user_id=_user_of(patient_id, contact_id, address),
            reason=kept,
        )
    )


def hold(access_id: UUID, reason: str, until_on: date | None = None) -> AccessHold:
    """Suspend one access, perhaps to the end of a day. Raises NotFound, Refused, Conflict."""
    access = portal_users.row_of_access(access_id)
    kept = checked_reason(reason)
    check_day(until_on, field="until_on")
    if db.session.scalars(
        _of_patient(access.patient_id, HoldKind.HOLD).where(AccessHold.portal_user_id == access.portal_user_id)
    ).first():
        raise Conflict(_l("This access is on hold already. Lift that hold first."))
    return _place(
        AccessHold(
            kind=HoldKind.HOLD,
            patient_id=access.patient_id,
            portal_user_id=access.portal_user_id,
            reason=kept,
            until_at=end_of(until_on),
        )
    )


def lift(hold_id: UUID, patient_id: UUID, kind: HoldKind, reason: str) -> None:
    """End a custody block or a hold of this patient. Raises NotFound, Refused, Conflict."""
    found = db.session.scalars(
        locked(
            select(AccessHold).where(
                AccessHold.id == hold_id, AccessHold.patient_id == patient_id, AccessHold.kind == kind
            )
        )
    ).one_or_none()
    if found is None:
        raise NotFound("hold")
    kept = checked_reason(reason)
    if found.lifted_at:
        raise Conflict(_l("This was lifted already."))
    found.lifted_at, found.lifted_by_id, found.lifted_reason = clock.now(), actors.current().id, kept
    db.session.flush()
    audit.record(f"{_NOUNS[kind]}.lifted", subject_id=found.id, patient_id=patient_id)


_NOUNS = {HoldKind.CUSTODY: "custody_block", HoldKind.HOLD: "access_hold"}


def _place(placed: AccessHold) -> AccessHold:
    placed.placed_at, placed.placed_by_id = clock.now(), actors.current().id
    db.session.add(placed)
    db.session.flush()
    jobs.enqueue(END_CHECKOUTS)
    audit.record(
        f"{_NOUNS[HoldKind(placed.kind)]}.placed",
        subject_id=placed.id,
        patient_id=placed.patient_id,
        portal_user_id=str(placed.portal_user_id) if placed.portal_user_id else None,
        contact_id=str(placed.contact_id) if placed.contact_id else None,
    )
    return placed


def _of_patient(patient_id: UUID, kind: HoldKind) -> Any:
    return select(AccessHold.id).where(
        AccessHold.patient_id == patient_id, AccessHold.kind == kind, HOLD_IS_IN_FORCE
    )


def _contact_of(contact_id: UUID, patient_id: UUID) -> Contact:
    found = db.session.scalars(
        select(Contact)
        .join(
            Relationship,
            (Relationship.clinic_id == Contact.clinic_id) & (Relationship.contact_id == Contact.id),
        )
        .where(Contact.id == contact_id, Relationship.patient_id == patient_id)
    ).one_or_none()
    if found is None:
        raise Refused(_l("Choose one of this patient's contacts."), field="contact_id")
    return found


def _user_of(patient_id: UUID, contact_id: UUID | None, address: str | None) -> UUID | None:
    """Who that is on the portal, so that another address of theirs does not undo the block."""
    given = select(PortalAccess.portal_user_id).where(
        PortalAccess.contact_id == contact_id, PortalAccess.patient_id == patient_id
    )
    who = select(PortalUser.id).where(or_(PortalUser.email_norm == address, PortalUser.id.in_(given)))
    return db.session.scalars(who.order_by(PortalUser.email_norm == address).limit(1)).first()
