"""The rows: portal users, and which patients each may see."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Index,
    func,
    or_,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from clinic import names
from clinic.actors import Holder
from clinic.contacts import RelationshipKind
from mail.letters import Addressee
from tenancy.database import Base, ClinicOwned, one_of, same_clinic, text_up_to
from tenancy.languages import Language


class PortalUserState(StrEnum):
    INVITED = "invited"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    LOCKED = "locked"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"


class PortalUser(ClinicOwned, Base):
    __tablename__ = "portal_users"
    __table_args__ = (
        text_up_to("name", names.LONGEST),
        one_of("language", Language),
        Index("uq_portal_users_email_norm", "clinic_id", "email_norm", unique=True),
        Index("ix_portal_users_name", "clinic_id", "name", "id"),
    )
    email: Mapped[str]
    email_norm: Mapped[str]
    name: Mapped[str]
    phone: Mapped[str | None]
    language: Mapped[str] = mapped_column(default=Language.ENGLISH)
    invited_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]
    last_sign_in_at: Mapped[datetime | None]

    @property
    def addressee(self) -> Addressee:
        return Addressee(self.email, self.language)

    @property
    def holder(self) -> Holder:
        return Holder(portal_user_id=self.id)

    @property
    def may_sign_in(self) -> bool:
        return self.accepted_at is not None and self.deactivated_at is None


class PortalAccess(ClinicOwned, Base):
    __tablename__ = "portal_access"
    __table_args__ = (
        same_clinic("portal_user_id", "portal_users"),
        same_clinic("patient_id", "patients"),
        one_of("relationship", RelationshipKind),
        CheckConstraint("records OR billing", name="to_something"),
        Index(
            "uq_portal_access_live",
            "clinic_id",
            "portal_user_id",
            "patient_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_portal_access_patient", "clinic_id", "patient_id"),
    )
    portal_user_id: Mapped[UUID]
    patient_id: Mapped[UUID]
    contact_id: Mapped[UUID | None]  # whom it was given to; the contact may be gone since
    relationship: Mapped[str]
    records: Mapped[bool] = mapped_column(default=True)
    billing: Mapped[bool] = mapped_column(default=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]  # agreed beforehand
    given_by_id: Mapped[UUID | None]
    ended_at: Mapped[datetime | None]  # taken away
    ended_by_id: Mapped[UUID | None]
    ended_reason: Mapped[str | None]


IS_LIVE = PortalAccess.ended_at.is_(None) & or_(PortalAccess.ends_at.is_(None), PortalAccess.ends_at > func.now())
