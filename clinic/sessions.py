"""Sessions: the cookie holds a random id; its row is found inside the open clinic only, and says who it is.

Idle and absolute limits differ between staff and portal. A session ends by sign-out, by a new password, by the
deactivation of its holder or by a new address of the clinic; ended is ended in every process at the next request.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import ColumnElement, Index, bindparam, or_, select, update
from sqlalchemy.orm import Mapped

from clinic.actors import Held, Holder, held_by_one
from tenancy import clock
from tenancy.database import Base, ClinicOwned, db

IDLE_STAFF = timedelta(minutes=15)
IDLE_PORTAL = timedelta(minutes=20)
LONGEST = timedelta(hours=12)
SEEN_EVERY = timedelta(minutes=1)  # how exactly last-seen is kept


class SignInSession(Held, ClinicOwned, Base):
    __tablename__ = "sessions"
    __table_args__ = (
        *held_by_one(),
        Index("uq_sessions_token_hash", "clinic_id", "token_hash", unique=True),
        Index("ix_sessions_live_staff", "clinic_id", "staff_member_id", postgresql_where="ended_at IS NULL"),
        Index("ix_sessions_live_portal", "clinic_id", "portal_user_id", postgresql_where="ended_at IS NULL"),
    )
    token_hash: Mapped[bytes]
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_reason: Mapped[str | None]


@dataclass(frozen=True)
class LiveSession:
    id: UUID
    holder: Holder


def start(holder: Holder) -> str:
    """A new session; returns the token for the cookie, 256 random bits."""
    token = secrets.token_urlsafe(32)
    now = clock.now()
    db.session.add(
        SignInSession(
            staff_member_id=holder.staff_member_id,
            portal_user_id=holder.portal_user_id,
            token_hash=_hash(token),
            started_at=now,
            last_seen_at=now,
        )
    )
    db.session.flush()
    return token


_LIVE = select(
    SignInSession.id,
    SignInSession.staff_member_id,
    SignInSession.portal_user_id,
    SignInSession.last_seen_at,
).where(
    SignInSession.token_hash == bindparam("token_hash"),
    SignInSession.ended_at.is_(None),
    SignInSession.started_at > bindparam("not_before"),
    or_(
        SignInSession.last_seen_at > bindparam("staff_seen"),
        SignInSession.portal_user_id.is_not(None) & (SignInSession.last_seen_at > bindparam("portal_seen")),
    ),
)


def find_live(token: str) -> LiveSession | None:
    """The session of this token if it is live in the open clinic. Notes that it was seen."""
    now = clock.now()
    row = db.session.execute(
        _LIVE,
        {
            "token_hash": _hash(token),
            "not_before": now - LONGEST,
            "staff_seen": now - IDLE_STAFF,
            "portal_seen": now - IDLE_PORTAL,
        },
    ).one_or_none()
    if row is None:
        return None
    if now - row.last_seen_at > SEEN_EVERY:
        db.session.execute(update(SignInSession).where(SignInSession.id == row.id).values(last_seen_at=now))
    return LiveSession(row.id, Holder(row.staff_member_id, row.portal_user_id))


def end(session_id: UUID, reason: str) -> None:
    _end(SignInSession.id == session_id, reason=reason)


def end_all_of(holder: Holder, reason: str) -> None:
    """Sign out everywhere."""
    column = SignInSession.staff_member_id if holder.staff_member_id else SignInSession.portal_user_id
    _end(column == (holder.staff_member_id or holder.portal_user_id), reason=reason)


def end_all_on_portal(reason: str) -> None:
    """Every portal user of the clinic signs in again: the portal's address changed."""
    _end(SignInSession.portal_user_id.is_not(None), reason=reason)


def end_all_in_clinic(reason: str) -> None:
    """Staff and portal users alike: the clinic was suspended."""
    _end(reason=reason)


def _end(*which: ColumnElement[bool], reason: str) -> None:
    db.session.execute(
        update(SignInSession)
        .where(SignInSession.ended_at.is_(None), *which)
        .values(ended_at=clock.now(), ended_reason=reason)
        .execution_options(synchronize_session=False)
    )


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
