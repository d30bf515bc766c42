"""What pages ask about portal users: plain rows, each page's data one visible statement."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Text,
    bindparam,
    case,
    func,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, array

from clinic import addresses, mailed_links, names, word_search
from clinic.mailed_links import LinkState, MailedLink
from clinic.patients import Patient
from clinic.portal_users.people import (
    AT_ANY_AGE,
    IS_HELD,
    IS_LIVE,
    SEES_RECORDS,
    PortalAccess,
    PortalUser,
    PortalUserState,
)
from mail.outbox import LetterState
from tenancy import clock
from tenancy.database import db, locked
from tenancy.errors import NotFound
from tenancy.link_tokens import Purpose

COUNTED = 2000


@dataclass(frozen=True)
class SignedInPortalUser:
    """The portal user behind a request."""

    id: UUID
    name: str
    email: str
    language: str


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
    """One access that was not taken away, as the pages of its portal user and of its patient list it.

    `records` and `billing` are what was given; what of it can be seen at the moment, `sees_records` and `is_live` say.
    """

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
    ends_at: datetime | None
    contact_id: UUID | None
    at_any_age: bool
    came_of_age_at: datetime | None
    changed_at: datetime | None
    changed_reason: str | None
    is_held: bool
    is_live: bool
    sees_records: bool


_SIGNED_IN = select(PortalUser.id, PortalUser.name, PortalUser.email, PortalUser.language).where(
    PortalUser.id == bindparam("id"), PortalUser.accepted_at.is_not(None), PortalUser.deactivated_at.is_(None)
)
_link = mailed_links.newest_with_letter(
    Purpose.INVITATION,
    (MailedLink.clinic_id == PortalUser.clinic_id) & (MailedLink.portal_user_id == PortalUser.id),
)
_STATE = case(
    (PortalUser.deactivated_at.is_not(None), PortalUserState.DEACTIVATED.value),
    (PortalUser.accepted_at.is_not(None), PortalUserState.ACTIVE.value),
    (_link.c.ending == LinkState.LOCKED, PortalUserState.LOCKED.value),
    (_link.c.letter_state == LetterState.UNDELIVERED, PortalUserState.UNDELIVERED.value),
    (_link.c.ending.is_not(None) | (_link.c.expires_at <= bindparam("now")), PortalUserState.EXPIRED.value),
    else_=PortalUserState.INVITED.value,
)
_STANDS = PortalAccess.ended_at.is_(None)  # perhaps suspended, or over as was agreed
_NAMES = (
    select(func.coalesce(func.array_agg(aggregate_order_by(Patient.name, Patient.search_text)), array([], type_=Text)))
    .join(PortalAccess, (PortalAccess.clinic_id == Patient.clinic_id) & (PortalAccess.patient_id == Patient.id))
    .where(PortalAccess.clinic_id == PortalUser.clinic_id, PortalAccess.portal_user_id == PortalUser.id, _STANDS)
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
        PortalAccess.ends_at,
        PortalAccess.contact_id,
        AT_ANY_AGE,
        PortalAccess.came_of_age_at,
        PortalAccess.changed_at,
        PortalAccess.changed_reason,
        IS_HELD,
        IS_LIVE,
        IS_LIVE & SEES_RECORDS,
    )
    .select_from(PortalAccess)
    .join(
        PortalUser,
        (PortalUser.clinic_id == PortalAccess.clinic_id) & (PortalUser.id == PortalAccess.portal_user_id),
    )
    .join(Patient, (Patient.clinic_id == PortalAccess.clinic_id) & (Patient.id == PortalAccess.patient_id))
    .outerjoin(_link, true())
    .where(_STANDS)
    .order_by(Patient.search_text, PortalUser.name)
)


def find_signed_in(portal_user_id: UUID) -> SignedInPortalUser | None:
    """The active portal user of a session."""
    row = db.session.execute(_SIGNED_IN, {"id": portal_user_id}).one_or_none()
    return SignedInPortalUser(*row) if row else None


def find_by_email(email: str, *, lock: bool = False) -> PortalUser | None:
    """`lock` before deciding anything by it: signing in, resetting and deactivating follow one another."""
    statement = select(PortalUser).where(PortalUser.email_norm == addresses.normalised(email))
    return db.session.scalars(locked(statement) if lock else statement).one_or_none()


def get(portal_user_id: UUID, *, lock: bool = False) -> PortalUser:
    """Raises NotFound."""
    statement = select(PortalUser).where(PortalUser.id == portal_user_id)
    if lock:
        statement = locked(statement)
    user = db.session.scalars(statement).one_or_none()
    if user is None:
        raise NotFound("portal user")
    return user


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
        # The login's own address too: staff may have given the contact another since.
        own = (PortalUser.email_norm >= word) & (PortalUser.email_norm < word + "\U0010ffff")
        statement = statement.where(PortalUser.id.in_(reached) | own)
    if state:
        statement = statement.where(_STATE.in_([state.value]))
    if after:
        statement = statement.where(
            tuple_(PortalUser.name, PortalUser.id) > tuple_(bindparam("name", after[0]), bindparam("id", after[1]))
        )
    return [PortalUserRow(*row) for row in db.session.execute(statement, {"now": clock.now()})]


def count_unaccepted() -> dict[PortalUserState, int]:
    """How many invitations are in which state, of those that were not accepted yet; counted no further than COUNTED,
    since every start page of an admin asks."""
    open_ones = (
        select(_STATE.label("state"))
        .select_from(PortalUser)
        .outerjoin(_link, true())
        .where(PortalUser.accepted_at.is_(None), PortalUser.deactivated_at.is_(None))
        .limit(COUNTED)
        .subquery()
    )
    counted = select(open_ones.c.state, func.count()).group_by(open_ones.c.state)
    return {PortalUserState(row[0]): row[1] for row in db.session.execute(counted, {"now": clock.now()})}


def access_of(portal_user_id: UUID) -> list[AccessRow]:
    """The access of one portal user that was not taken away, by patient."""
    return _access(PortalAccess.portal_user_id == portal_user_id)


def access_to(patient_id: UUID) -> list[AccessRow]:
    """Who may see one patient on the portal, or will again once a hold is over."""
    return _access(PortalAccess.patient_id == patient_id)


def row_of_access(access_id: UUID) -> AccessRow:
    """One access that was not taken away. Raises NotFound."""
    found = _access(PortalAccess.id == access_id)
    if not found:
        raise NotFound("portal access")
    return found[0]


def sees_records(portal_user_id: UUID, patient_id: UUID) -> bool:
    """Whether this portal user holds live access to a patient's records."""
    held = select(PortalAccess.id).where(
        PortalAccess.portal_user_id == portal_user_id, PortalAccess.patient_id == patient_id, IS_LIVE, SEES_RECORDS
    )
    return db.session.scalars(held).first() is not None


def _access(which: ColumnElement[bool]) -> list[AccessRow]:
    return [AccessRow(*row) for row in db.session.execute(_ACCESS.where(which), {"now": clock.now()})]
