"""The rows: staff members; and the words for what they may and how they stand."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from clinic import names
from clinic.actors import Holder
from mail.letters import Addressee
from tenancy.database import Base, ClinicOwned, one_of, text_up_to


class StaffRole(StrEnum):
    ADMIN = "admin"
    BILLING = "billing"
    FRONT_DESK = "front_desk"
    THERAPIST = "therapist"


class Right(StrEnum):
    """What a route may ask for: `@needs(Right.ADMIN)`."""

    ADMIN = "admin"  # set up the portal, invite, deactivate, staff
    RECORDS = "records"  # patients, contacts, documents, appointments, conversations
    SIGNING = "signing"  # answer for a document, so that families may see it
    BILLING = "billing"


RIGHTS = {
    StaffRole.ADMIN: frozenset(Right),
    StaffRole.BILLING: frozenset({Right.BILLING}),
    StaffRole.FRONT_DESK: frozenset({Right.RECORDS}),
    StaffRole.THERAPIST: frozenset({Right.RECORDS, Right.SIGNING}),
}


class StaffState(StrEnum):
    INVITED = "invited"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"


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
    def addressee(self) -> Addressee:
        return Addressee(self.email)

    @property
    def holder(self) -> Holder:
        return Holder(staff_member_id=self.id, role=self.role)

    @property
    def may_sign_in(self) -> bool:
        return self.accepted_at is not None and self.deactivated_at is None


IS_ACTIVE_ADMIN = (
    (StaffMember.role == StaffRole.ADMIN)
    & StaffMember.accepted_at.is_not(None)
    & StaffMember.deactivated_at.is_(None)
)
