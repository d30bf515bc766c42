"""What pages ask about staff members."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, case, func, select, true, tuple_

from clinic import addresses, mailed_links
from clinic.mailed_links import MailedLink
from clinic.staff.people import IS_ACTIVE_ADMIN, RIGHTS, Right, StaffMember, StaffRole, StaffState
from mail.outbox import LetterState
from tenancy import clock
from tenancy.database import db, locked
from tenancy.errors import NotFound
from tenancy.link_tokens import Purpose


@dataclass(frozen=True)
class SignedInStaff:
    """The staff member behind a request."""

    id: UUID
    name: str
    email: str
    role: str

    def may(self, right: Right) -> bool:
        return right in RIGHTS[StaffRole(self.role)]


@dataclass(frozen=True)
class StaffRow:
    """A staff member as the Staff page lists one; `cursor` pages on from it."""

    id: UUID
    name: str
    email: str
    role: str
    state: str
    invited_at: datetime
    last_sign_in_at: datetime | None
    link_issued_at: datetime | None
    is_only_admin: bool  # the last active one: stays as they are

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.name, self.id


_SIGNED_IN = select(StaffMember.id, StaffMember.name, StaffMember.email, StaffMember.role).where(
    StaffMember.id == bindparam("id"),
    StaffMember.accepted_at.is_not(None),
    StaffMember.deactivated_at.is_(None),
)
_link = mailed_links.newest_with_letter(
    Purpose.STAFF_INVITATION,
    (MailedLink.clinic_id == StaffMember.clinic_id) & (MailedLink.staff_member_id == StaffMember.id),
)
_STATE = case(
    (StaffMember.deactivated_at.is_not(None), StaffState.DEACTIVATED.value),
    (StaffMember.accepted_at.is_not(None), StaffState.ACTIVE.value),
    (_link.c.letter_state == LetterState.UNDELIVERED, StaffState.UNDELIVERED.value),
    (_link.c.ending.is_not(None) | (_link.c.expires_at <= bindparam("now")), StaffState.EXPIRED.value),
    else_=StaffState.INVITED.value,
)
_ADMINS = select(func.count()).select_from(StaffMember).where(IS_ACTIVE_ADMIN).correlate(None).scalar_subquery()
_ROWS = select(
    StaffMember.id,
    StaffMember.name,
    StaffMember.email,
    StaffMember.role,
    _STATE,
    StaffMember.invited_at,
    StaffMember.last_sign_in_at,
    _link.c.issued_at,
    IS_ACTIVE_ADMIN & (_ADMINS == 1),
).outerjoin(_link, true())


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


def row_of(staff_member_id: UUID) -> StaffRow:
    """One staff member as the admins see them. Raises NotFound."""
    row = db.session.execute(_ROWS.where(StaffMember.id == staff_member_id), {"now": clock.now()}).one_or_none()
    if row is None:
        raise NotFound("staff member")
    return StaffRow(*row)


def listed(*, after: tuple[str, UUID] | None = None, limit: int = 50) -> list[StaffRow]:
    """Staff members by name, also those who were deactivated."""
    statement = _ROWS.order_by(StaffMember.name, StaffMember.id).limit(limit)
    if after:
        statement = statement.where(
            tuple_(StaffMember.name, StaffMember.id) > tuple_(bindparam("name", after[0]), bindparam("id", after[1]))
        )
    return [StaffRow(*row) for row in db.session.execute(statement, {"now": clock.now()})]


def admins() -> list[StaffMember]:
    """The active admins: who is told when something needs the clinic's attention."""
    return list(db.session.scalars(select(StaffMember).where(IS_ACTIVE_ADMIN)))


def with_right(right: Right) -> list[StaffMember]:
    """The active staff members who have it, by id."""
    roles = [role for role, rights in RIGHTS.items() if right in rights]
    active = StaffMember.accepted_at.is_not(None) & StaffMember.deactivated_at.is_(None)
    return list(db.session.scalars(select(StaffMember).where(StaffMember.role.in_(roles), active).order_by(StaffMember.id)))
