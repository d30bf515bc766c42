"""Staff members, their roles, and the rights a role carries."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import Index, bindparam, select
from sqlalchemy.orm import Mapped

from clinic import addresses, audit, mailed_links, names
from clinic.actors import Holder
from mail import letters, outbox
from tenancy import clock
from tenancy.database import Base, ClinicOwned, db, locked, one_of, text_up_to
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose


class StaffRole(StrEnum):
    ADMIN = "admin"
    BILLING = "billing"
    FRONT_DESK = "front_desk"
    THERAPIST = "therapist"


class Right(StrEnum):
    """What a route may ask for: `@needs(Right.ADMIN)`."""

    ADMIN = "admin"  # set up the portal, invite, deactivate
    RECORDS = "records"  # patients, contacts, documents, appointments
    BILLING = "billing"


RIGHTS = {
    StaffRole.ADMIN: frozenset(Right),
    StaffRole.BILLING: frozenset({Right.BILLING}),
    StaffRole.FRONT_DESK: frozenset({Right.RECORDS}),
    StaffRole.THERAPIST: frozenset({Right.RECORDS}),
}


class StaffMember(ClinicOwned, Base):
    __tablename__ = "staff_members"
    __table_args__ = (
        one_of("role", StaffRole),
        text_up_to("name", names.LONGEST),
        Index("uq_staff_members_email_norm", "clinic_id", "email_norm", unique=True),
    )
    name: Mapped[str]
    email: Mapped[str]
    email_norm: Mapped[str]
    role: Mapped[str]
    invited_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]
    last_sign_in_at: Mapped[datetime | None]

    @property
    def addressee(self) -> letters.Addressee:
        return letters.Addressee(self.email)

    @property
    def holder(self) -> Holder:
        return Holder(staff_member_id=self.id)

    @property
    def may_sign_in(self) -> bool:
        return self.accepted_at is not None and self.deactivated_at is None


@dataclass(frozen=True)
class SignedInStaff:
    """The staff member behind a request."""

    id: UUID
    name: str
    email: str
    role: str

    def may(self, right: Right) -> bool:
        return right in RIGHTS[StaffRole(self.role)]


_SIGNED_IN = select(StaffMember.id, StaffMember.name, StaffMember.email, StaffMember.role).where(
    StaffMember.id == bindparam("id"),
    StaffMember.accepted_at.is_not(None),
    StaffMember.deactivated_at.is_(None),
)


def find_signed_in(staff_member_id: UUID) -> SignedInStaff | None:
    """The active staff member of a session."""
    row = db.session.execute(_SIGNED_IN, {"id": staff_member_id}).one_or_none()
    return SignedInStaff(*row) if row else None


def find_by_email(email: str, *, lock: bool = False) -> StaffMember | None:
    """`lock` before deciding anything by it: signing in, resetting and deactivating follow one another."""
    statement = select(StaffMember).where(StaffMember.email_norm == addresses.normalised(email))
    return db.session.scalars(locked(statement) if lock else statement).one_or_none()


def get(staff_member_id: UUID, *, lock: bool = False) -> StaffMember:
    """Raises NotFound."""
    statement = select(StaffMember).where(StaffMember.id == staff_member_id)
    member = db.session.scalars(locked(statement) if lock else statement).one_or_none()
    if member is None:
        raise NotFound("staff member")
    return member


def admins() -> list[StaffMember]:
    """The active admins: who is told when something needs the clinic's attention."""
    return list(
        db.session.scalars(
            select(StaffMember).where(
                StaffMember.role == StaffRole.ADMIN,
                StaffMember.accepted_at.is_not(None),
                StaffMember.deactivated_at.is_(None),
            )
        )
    )


def invite(*, email: str, role: StaffRole, name: str = "") -> StaffMember:
    """Make or find the member and mail a one-time invitation. Repeatable until accepted. Raises Refused."""
    address = addresses.check_email(email)
    member = find_by_email(address)
    if member and member.accepted_at:
        raise Refused(_l("A staff member with this address is already there."), field="email")
    if member is None:
        member = StaffMember(
            name=names.check_name(name or address.partition("@")[0]),
            email=address,
            email_norm=addresses.normalised(address),
            role=role,
            invited_at=clock.now(),
        )
        db.session.add(member)
        db.session.flush()
    link = mailed_links.issue(Purpose.STAFF_INVITATION, member.holder, member.email_norm)
    link.letter_id = outbox.post(letters.StaffInvitation(to=member.addressee, link_id=link.id))
    audit.record("staff_member.invited", subject_id=member.id, role=role)
    return member
