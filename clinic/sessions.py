"""Sessions: the cookie holds a random id; its row is found inside the open clinic only, and says who it is.

Idle and absolute limits differ between staff and portal. A session ends by sign-out, by a new password or second factor,
by the deactivation of its holder or by a new address of the clinic; ended is ended in every process at the next request.
A person has at most ten at a time: one more ends the oldest.

Its one surprise: a session never rises. Each proof of who somebody is (password, code, both again) ends the session
and starts another with a new token, so `started_at` is also when its holder last proved themselves.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, Index, bindparam, or_, select, update
from sqlalchemy.orm import Mapped

from clinic import audit, browsers
from clinic.actors import Held, Holder, held_by_one
from tenancy import clock
from tenancy.database import Base, ClinicOwned, db, one_of
from tenancy.errors import Conflict, NotFound

IDLE_STAFF = timedelta(minutes=15)
IDLE_PORTAL = timedelta(minutes=20)
LONGEST = timedelta(hours=12)
SEEN_EVERY = timedelta(minutes=1)  # how exactly last-seen is kept
MOST_AT_ONCE = 10
FRESH = timedelta(minutes=15)  # how long a proof counts for what is sensitive


class Stage(StrEnum):
    """How far a sign-in has come: what its session may reach."""

    FULL = "full"
    FACTOR_DUE = "factor_due"  # the password was right; reaches the code's page only
    ENROLMENT_DUE = "enrolment_due"  # a second factor must be set up first; reaches those pages only


class SignInSession(Held, ClinicOwned, Base):
    __tablename__ = "sessions"
    __table_args__ = (
        *held_by_one(),
        one_of("stage", Stage),
        Index("uq_sessions_token_hash", "clinic_id", "token_hash", unique=True),
        Index("ix_sessions_live_staff", "clinic_id", "staff_member_id", postgresql_where="ended_at IS NULL"),
        Index("ix_sessions_live_portal", "clinic_id", "portal_user_id", postgresql_where="ended_at IS NULL"),
    )
    token_hash: Mapped[bytes]
    stage: Mapped[str]
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_reason: Mapped[str | None]
    browser: Mapped[str | None]
    network_address: Mapped[str | None]


@dataclass(frozen=True)
class LiveSession:
    """A session in use; it ends by itself at `idle_until`, and whatever happens at `ends_at`."""

    id: UUID
    holder: Holder
    stage: Stage
    started_at: datetime
    idle_until: datetime
    ends_at: datetime

    @property
    def is_fresh(self) -> bool:
        """Whether its holder proved themselves just now."""
        return clock.now() - self.started_at <= FRESH


@dataclass(frozen=True)
class SessionRow:
    """A live session as its holder sees it."""

    id: UUID
    started_at: datetime
    last_seen_at: datetime
    browser: str | None
    network_address: str | None


def start(holder: Holder, stage: Stage = Stage.FULL) -> str:
    """A new session; returns the token for the cookie, 256 random bits. The caller has locked the holder."""
    token = secrets.token_urlsafe(32)
    now, browser = clock.now(), browsers.current()
    db.session.add(
        SignInSession(
            staff_member_id=holder.staff_member_id,
            portal_user_id=holder.portal_user_id,
            token_hash=_hash(token),
            stage=stage,
            started_at=now,
            last_seen_at=now,
            browser=browser.name,
            network_address=browser.network_address,
        )
    )
    oldest = [row.id for row in of_holder(holder)[MOST_AT_ONCE:]]
    if oldest:
        _end(SignInSession.id.in_(oldest), reason="too many at once")
    return token


_IS_LIVE = (
    SignInSession.ended_at.is_(None),
    SignInSession.started_at > bindparam("not_before"),
    or_(
        SignInSession.last_seen_at > bindparam("staff_seen"),
        SignInSession.portal_user_id.is_not(None) & (SignInSession.last_seen_at > bindparam("portal_seen")),
    ),
)
_LIVE = select(
    SignInSession.id,
    SignInSession.staff_member_id,
    SignInSession.portal_user_id,
    SignInSession.stage,
    SignInSession.started_at,
    SignInSession.last_seen_at,
).where(SignInSession.token_hash == bindparam("token_hash"), *_IS_LIVE)


def find_live(token: str, *, is_attended: bool = True) -> LiveSession | None:
    """The session of this token if it is live in the open clinic. Notes that it was seen, if a person asks."""
    now = clock.now()
    row = db.session.execute(_LIVE, {"token_hash": _hash(token)} | _limits(now)).one_or_none()
    if row is None:
        return None
    seen_at = row.last_seen_at
    if is_attended and now - seen_at > SEEN_EVERY:
        seen_at = now
        db.session.execute(update(SignInSession).where(SignInSession.id == row.id).values(last_seen_at=now))
    holder, began_at = Holder(row.staff_member_id, row.portal_user_id), row.started_at
    return LiveSession(
        row.id, holder, Stage(row.stage), began_at, seen_at + idle_limit(holder), began_at + LONGEST
    )


def idle_limit(holder: Holder) -> timedelta:
    return IDLE_STAFF if holder.staff_member_id else IDLE_PORTAL


def of_holder(holder: Holder) -> list[SessionRow]:
    """The live sessions of one person, the newest first; not those that stopped at the second factor, lest whoever knows
    the password alone could crowd the others out."""
    columns = (
        SignInSession.id,
        SignInSession.started_at,
        SignInSession.last_seen_at,
        SignInSession.browser,
        SignInSession.network_address,
    )
    live = select(*columns).where(_of(holder), SignInSession.stage != Stage.FACTOR_DUE, *_IS_LIVE).order_by(SignInSession.started_at.desc(), SignInSession.id)
    return [SessionRow(*row) for row in db.session.execute(live, _limits(clock.now()))]


def find_holder(token: str) -> Holder | None:
    """Whose session this was, live or ended, in the open clinic."""
    held = select(SignInSession.staff_member_id, SignInSession.portal_user_id).where(
        SignInSession.token_hash == _hash(token)
    )
    row = db.session.execute(held).one_or_none()
    return Holder(*row) if row else None


def has_ended(session_id: UUID) -> bool:
    """Read afresh: another request may have ended it while this one waited for its holder's lock."""
    return db.session.scalars(select(SignInSession.ended_at).where(SignInSession.id == session_id)).one() is not None


def end(session_id: UUID, reason: str) -> None:
    _end(SignInSession.id == session_id, reason=reason)


def end_own(holder: Holder, session_id: UUID) -> None:
    """A person ends one of their own sign-ins. Raises NotFound; Conflict if it has ended already."""
    owned = select(SignInSession.ended_at).where(_of(holder), SignInSession.id == session_id)
    row = db.session.execute(owned).one_or_none()
    if row is None:
        raise NotFound("session")
    if row.ended_at:
        raise Conflict(_l("This sign-in has ended already."))
    end(session_id, "ended by its holder")
    audit.record("session.ended", subject_id=session_id)


def sign_out_everywhere(holder: Holder) -> None:
    """A person ends all of their own sign-ins, this one too."""
    end_all_of(holder, "signed out everywhere")
    audit.record("sessions.ended", subject_id=holder.staff_member_id or holder.portal_user_id)


def end_all_of(holder: Holder, reason: str) -> None:
    """Sign out everywhere."""
    _end(_of(holder), reason=reason)


def end_all_on_portal(reason: str) -> None:
    """Every portal user of the clinic signs in again: the portal's address changed."""
    _end(SignInSession.portal_user_id.is_not(None), reason=reason)


def end_all_in_clinic(reason: str) -> None:
    """Staff and portal users alike: the clinic was suspended."""
    _end(reason=reason)


def _of(holder: Holder) -> ColumnElement[bool]:
    column = SignInSession.staff_member_id if holder.staff_member_id else SignInSession.portal_user_id
    return column == (holder.staff_member_id or holder.portal_user_id)


def _limits(now: datetime) -> dict[str, datetime]:
    return {"not_before": now - LONGEST, "staff_seen": now - IDLE_STAFF, "portal_seen": now - IDLE_PORTAL}


def _end(*which: ColumnElement[bool], reason: str) -> None:
    db.session.execute(
        update(SignInSession)
        .where(SignInSession.ended_at.is_(None), *which)
        .values(ended_at=clock.now(), ended_reason=reason)
        .execution_options(synchronize_session=False)
    )


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()
