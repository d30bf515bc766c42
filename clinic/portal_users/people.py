"""The rows: portal users, which patients each may see, and what keeps one from a patient for a while."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, exists, func, or_, select, text
from sqlalchemy.orm import Mapped, aliased, mapped_column

from clinic import names
from clinic.actors import Holder
from clinic.contacts import RelationshipKind
from clinic.patients import Patient
from mail.letters import Addressee
from tenancy.database import Base, ClinicOwned, one_of, same_clinic, text_up_to
from tenancy.languages import Language

LONGEST_REASON = 200


class PortalUserState(StrEnum):
    INVITED = "invited"
    UNDELIVERED = "undelivered"
    EXPIRED = "expired"
    LOCKED = "locked"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"


class HoldKind(StrEnum):
    CUSTODY = "custody"  # a person, by contact and by address: not to be invited, and suspended until it is lifted
    HOLD = "hold"  # a portal user, perhaps only for some days: suspended, and then as before


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
    guardian_for_adult: Mapped[bool] = mapped_column(default=False)  # sees the records also once the patient is of age
    records: Mapped[bool] = mapped_column(default=True)
    billing: Mapped[bool] = mapped_column(default=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]  # agreed beforehand: from this instant on it is over
    given_by_id: Mapped[UUID | None]
    changed_at: Mapped[datetime | None]  # the last time; the audit log has every time
    changed_by_id: Mapped[UUID | None]
    changed_reason: Mapped[str | None]
    of_age_told_at: Mapped[datetime | None]  # when the clinic was told that the patient will soon be of age
    came_of_age_at: Mapped[datetime | None]  # when the records were taken because the patient was
    ended_at: Mapped[datetime | None]  # taken away
    ended_by_id: Mapped[UUID | None]
    ended_reason: Mapped[str | None]


class AccessHold(ClinicOwned, Base):
    """Keeps a person from a patient while it is in force, whatever access says."""

    __tablename__ = "access_holds"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        same_clinic("portal_user_id", "portal_users"),
        same_clinic("contact_id", "contacts"),
        same_clinic("placed_by_id", "staff_members"),
        same_clinic("lifted_by_id", "staff_members"),
        one_of("kind", HoldKind),
        text_up_to("reason", LONGEST_REASON),
        text_up_to("lifted_reason", LONGEST_REASON),
        CheckConstraint("num_nonnulls(portal_user_id, contact_id, email_norm) > 0", name="somebody"),
        CheckConstraint("kind = 'custody' OR portal_user_id IS NOT NULL", name="a_user"),
        CheckConstraint("kind = 'hold' OR until_at IS NULL", name="until_lifted"),
        CheckConstraint("(lifted_at IS NULL) = (lifted_reason IS NULL)", name="lifted_why"),
        Index("ix_access_holds_in_force", "clinic_id", "patient_id", postgresql_where=text("lifted_at IS NULL")),
    )
    kind: Mapped[str]
    patient_id: Mapped[UUID]
    portal_user_id: Mapped[UUID | None]
    contact_id: Mapped[UUID | None]
    email_norm: Mapped[str | None]
    reason: Mapped[str]
    placed_at: Mapped[datetime]
    placed_by_id: Mapped[UUID | None]
    until_at: Mapped[datetime | None]  # from this instant on it is over by itself
    lifted_at: Mapped[datetime | None]
    lifted_by_id: Mapped[UUID | None]
    lifted_reason: Mapped[str | None]


# The same rules stand in migrations/row_security.sql; each holds by itself. Both ask the one clock, by `app.now()`.
_child = aliased(Patient)
_holder = aliased(PortalUser)
HOLD_IS_IN_FORCE = AccessHold.lifted_at.is_(None) & or_(
    AccessHold.until_at.is_(None), AccessHold.until_at > func.app.now()
)
IS_HELD = exists(
    select(AccessHold.id)
    .where(
        AccessHold.clinic_id == PortalAccess.clinic_id,
        AccessHold.patient_id == PortalAccess.patient_id,
        HOLD_IS_IN_FORCE,
        or_(
            AccessHold.portal_user_id == PortalAccess.portal_user_id,
            AccessHold.contact_id == PortalAccess.contact_id,
            AccessHold.email_norm
            == select(_holder.email_norm)
            .where(_holder.clinic_id == PortalAccess.clinic_id, _holder.id == PortalAccess.portal_user_id)
            .correlate(PortalAccess)
            .scalar_subquery(),
        ),
    )
    .correlate(PortalAccess)
)
IS_LIVE = (
    PortalAccess.ended_at.is_(None)
    & (PortalAccess.starts_at <= func.app.now())
    & or_(PortalAccess.ends_at.is_(None), PortalAccess.ends_at > func.app.now())
    & ~IS_HELD
)
# Of a live access: its records. Whoever is neither the patient nor a guardian for an adult loses them as the patient
# comes of age.
AT_ANY_AGE = (PortalAccess.relationship == RelationshipKind.SELF) | PortalAccess.guardian_for_adult
AGE_ALLOWS = or_(
    AT_ANY_AGE,
    exists(
        select(_child.id)
        .where(
            _child.clinic_id == PortalAccess.clinic_id,
            _child.id == PortalAccess.patient_id,
            _child.birth_on > func.app.of_age_born_until(),
        )
        .correlate(PortalAccess)
    ),
)
SEES_RECORDS = PortalAccess.records & AGE_ALLOWS
SEES_SOMETHING = IS_LIVE & or_(SEES_RECORDS, PortalAccess.billing)
