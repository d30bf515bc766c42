"""Portal users, and which patients each may see.

One portal user per clinic and address, made when a contact is invited. Access is a row per (portal user, patient):
records and billing apart, with its start, its end, who gave it and who ended it. Row security reads the same rows, so
ending one works on the next request everywhere.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Index,
    Text,
    bindparam,
    case,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array
from sqlalchemy.orm import Mapped, mapped_column

from clinic import actors, addresses, audit, mailed_links, names, sessions, word_search
from clinic.actors import Holder
from clinic.contacts import RelationshipKind
from clinic.mailed_links import LinkState, MailedLink
from clinic.patients import Patient
from mail.outbox import LetterState, OutgoingLetter
from tenancy import clock
from tenancy.database import Base, ClinicOwned, db, one_of, same_clinic, text_up_to
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.link_tokens import Purpose


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
        Index("uq_portal_users_email_norm", "clinic_id", "email_norm", unique=True),
        Index("ix_portal_users_name", "clinic_id", "name", "id"),
    )
    email: Mapped[str]
    email_norm: Mapped[str]
    name: Mapped[str]
    phone: Mapped[str | None]
    invited_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    deactivated_at: Mapped[datetime | None]
    last_sign_in_at: Mapped[datetime | None]

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


@dataclass(frozen=True)
class SignedInPortalUser:
    """The portal user behind a request."""

    id: UUID
    name: str
    email: str


@dataclass(frozen=True)
class PortalUserRow:
    """A portal user as staff see one; `cursor` pages on from it."""

    id: UUID
    name: str
    email: str
    state: str
    invited_at: datetime
    last_sign_in_at: datetime | None
    link_issued_at: datetime | None
    patients: list[str]

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.name, self.id


@dataclass(frozen=True)
class AccessRow:
    """One live access, as the pages of its portal user and of its patient list it."""

    id: UUID
    portal_user_id: UUID
    portal_user_name: str
    portal_user_email: str
    portal_user_state: str
    patient_id: UUID
    patient_name: str
    relationship: str
    records: bool
    billing: bool
    starts_at: datetime


_SIGNED_IN = select(PortalUser.id, PortalUser.name, PortalUser.email).where(
    PortalUser.id == bindparam("id"), PortalUser.accepted_at.is_not(None), PortalUser.deactivated_at.is_(None)
)
_link = (
    select(MailedLink.issued_at, MailedLink.expires_at, MailedLink.ending, OutgoingLetter.state.label("letter_state"))
    .outerjoin(
        OutgoingLetter,
        (OutgoingLetter.clinic_id == MailedLink.clinic_id) & (OutgoingLetter.id == MailedLink.letter_id),
    )
    .where(
        MailedLink.clinic_id == PortalUser.clinic_id,
        MailedLink.portal_user_id == PortalUser.id,
        MailedLink.purpose == Purpose.INVITATION,
    )
    .order_by(MailedLink.issued_at.desc())
    .limit(1)
    .lateral("link")
)
_STATE = case(
    (PortalUser.deactivated_at.is_not(None), PortalUserState.DEACTIVATED.value),
    (PortalUser.accepted_at.is_not(None), PortalUserState.ACTIVE.value),
    (_link.c.ending == LinkState.LOCKED, PortalUserState.LOCKED.value),
    (_link.c.letter_state == LetterState.UNDELIVERED, PortalUserState.UNDELIVERED.value),
    (_link.c.ending.is_not(None) | (_link.c.expires_at <= bindparam("now")), PortalUserState.EXPIRED.value),
    else_=PortalUserState.INVITED.value,
)
IS_LIVE = PortalAccess.ended_at.is_(None) & or_(PortalAccess.ends_at.is_(None), PortalAccess.ends_at > func.now())
_NAMES = (
    select(func.coalesce(func.array_agg(aggregate_order_by(Patient.name, Patient.search_text)), array([], type_=Text)))
    .join(PortalAccess, (PortalAccess.clinic_id == Patient.clinic_id) & (PortalAccess.patient_id == Patient.id))
    .where(PortalAccess.clinic_id == PortalUser.clinic_id, PortalAccess.portal_user_id == PortalUser.id, IS_LIVE)
    .correlate(PortalUser)
    .scalar_subquery()
)
_ROWS = select(
    PortalUser.id,
    PortalUser.name,
    PortalUser.email,
    _STATE,
    PortalUser.invited_at,
    PortalUser.last_sign_in_at,
    _link.c.issued_at,
    _NAMES,
).outerjoin(_link, true())
_ACCESS = (
    select(
        PortalAccess.id,
        PortalUser.id,
        PortalUser.name,
        PortalUser.email,
        _STATE,
        Patient.id,
        Patient.name,
        PortalAccess.relationship,
        PortalAccess.records,
        PortalAccess.billing,
        PortalAccess.starts_at,
    )
    .select_from(PortalAccess)
    .join(
        PortalUser,
        (PortalUser.clinic_id == PortalAccess.clinic_id) & (PortalUser.id == PortalAccess.portal_user_id),
    )
    .join(Patient, (Patient.clinic_id == PortalAccess.clinic_id) & (Patient.id == PortalAccess.patient_id))
    .outerjoin(_link, true())
    .where(IS_LIVE)
    .order_by(Patient.search_text, PortalUser.name)
)


def find_signed_in(portal_user_id: UUID) -> SignedInPortalUser | None:
    """The active portal user of a session."""
    row = db.session.execute(_SIGNED_IN, {"id": portal_user_id}).one_or_none()
    return SignedInPortalUser(*row) if row else None


def find_by_email(email: str) -> PortalUser | None:
    return db.session.scalars(
        select(PortalUser).where(PortalUser.email_norm == addresses.normalised(email))
    ).one_or_none()


def get(portal_user_id: UUID) -> PortalUser:
    """Raises NotFound."""
    return _get(portal_user_id, lock=False)


def row_of(portal_user_id: UUID) -> PortalUserRow:
    """One portal user as staff see it. Raises NotFound."""
    row = db.session.execute(_ROWS.where(PortalUser.id == portal_user_id), {"now": clock.now()}).one_or_none()
    if row is None:
        raise NotFound("portal user")
    return PortalUserRow(*row)


def search(
    typed: str = "", *, state: PortalUserState | None = None, after: tuple[str, UUID] | None = None, limit: int = 50
) -> list[PortalUserRow]:
    """Portal users by name; the words typed begin a word of the contact's name or address, or of the patient's name."""
    statement = _ROWS.order_by(PortalUser.name, PortalUser.id).limit(limit)
    for number, word in enumerate(names.search_words(typed)):
        found = word_search.owners(word, f"word{number}")
        reached = select(PortalAccess.portal_user_id).where(
            PortalAccess.contact_id.in_(found) | PortalAccess.patient_id.in_(found)
        )
        statement = statement.where(PortalUser.id.in_(reached))
    if state:
        statement = statement.where(_STATE.in_([state.value]))
    if after:
        statement = statement.where(
            tuple_(PortalUser.name, PortalUser.id) > tuple_(bindparam("name", after[0]), bindparam("id", after[1]))
        )
    return [PortalUserRow(*row) for row in db.session.execute(statement, {"now": clock.now()})]


def count_unaccepted() -> dict[PortalUserState, int]:
    """How many invitations are in which state, of those that were not accepted yet."""
    open_ones = (
        select(_STATE.label("state"))
        .select_from(PortalUser)
        .outerjoin(_link, true())
        .where(PortalUser.accepted_at.is_(None), PortalUser.deactivated_at.is_(None))
        .subquery()
    )
    counted = select(open_ones.c.state, func.count()).group_by(open_ones.c.state)
    return {PortalUserState(row[0]): row[1] for row in db.session.execute(counted, {"now": clock.now()})}


def access_of(portal_user_id: UUID) -> list[AccessRow]:
    """The live access of one portal user, by patient."""
    return _access(PortalAccess.portal_user_id == portal_user_id)


def access_to(patient_id: UUID) -> list[AccessRow]:
    """Who may see one patient on the portal."""
    return _access(PortalAccess.patient_id == patient_id)


def unlink(access_id: UUID, reason: str = "") -> PortalAccess:
    """End one portal user's access to one patient. Raises NotFound, Conflict."""
    access = db.session.scalars(
        select(PortalAccess).where(PortalAccess.id == access_id).with_for_update(key_share=True)
    ).one_or_none()
    if access is None:
        raise NotFound("portal access")
    if access.ended_at:
        raise Conflict(_l("This access was ended already."))
    access.ended_at, access.ended_by_id = clock.now(), actors.current().id
    access.ended_reason = reason.strip()[:200] or None
    db.session.flush()
    user = _get(access.portal_user_id, lock=True)
    if not user.accepted_at and not access_of(user.id):
        mailed_links.withdraw_all_of(user.holder)
    audit.record("portal_access.ended", subject_id=user.id, patient_id=access.patient_id)
    return access


def deactivate(portal_user_id: UUID) -> None:
    """No sign-in, no sessions, no open links until reactivated; access rows stay. Raises NotFound, Conflict."""
    user = _get(portal_user_id, lock=True)
    if user.deactivated_at:
        raise Conflict(_l("This portal user is deactivated already."))
    user.deactivated_at = clock.now()
    sessions.end_all_of(user.holder, "deactivated")
    mailed_links.withdraw_all_of(user.holder)
    audit.record("portal_user.deactivated", subject_id=user.id)


def reactivate(portal_user_id: UUID) -> None:
    """Raises NotFound, Conflict."""
    user = _get(portal_user_id, lock=True)
    if not user.deactivated_at:
        raise Conflict(_l("This portal user is not deactivated."))
    user.deactivated_at = None
    audit.record("portal_user.reactivated", subject_id=user.id)


def rename_self(portal_user_id: UUID, name: str, phone: str) -> None:
    """What a portal user may change on their own profile. Raises Refused."""
    user = _get(portal_user_id, lock=True)
    user.name = names.check_name(name)
    if len(phone.strip()) > 40:
        raise Refused(_l("A phone number can have at most 40 characters."), field="phone")
    user.phone = phone.strip() or None
    audit.record("portal_user.changed", subject_id=user.id)


def _access(which: ColumnElement[bool]) -> list[AccessRow]:
    return [AccessRow(*row) for row in db.session.execute(_ACCESS.where(which), {"now": clock.now()})]


def _get(portal_user_id: UUID, *, lock: bool) -> PortalUser:
    statement = select(PortalUser).where(PortalUser.id == portal_user_id)
    if lock:
        statement = statement.with_for_update(key_share=True)
    user = db.session.scalars(statement).one_or_none()
    if user is None:
        raise NotFound("portal user")
    return user
