"""Mailed links: for one purpose, for one person or address, for a limited time; single use, but for invoices to look at.

Looking at a link never uses it up. Its one surprise: a link that is no longer good still says why (used, superseded,
expired, locked), so that each has its own honest page.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Index, Select, func, select, update
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.selectable import LateralFromClause

from clinic.actors import Held, Holder, held_by_one
from mail.outbox import OutgoingLetter
from tenancy import clock, keys, link_tokens
from tenancy.database import Base, ClinicOwned, db, locked, one_of
from tenancy.link_tokens import Purpose

LASTS = {
    Purpose.INVITATION: timedelta(days=7),
    Purpose.STAFF_INVITATION: timedelta(days=7),
    Purpose.REPLY_TO: timedelta(days=7),
    Purpose.INVOICE: timedelta(days=7),
    Purpose.PASSWORD_RESET: timedelta(minutes=30),
    Purpose.STAFF_PASSWORD_RESET: timedelta(minutes=30),
    Purpose.EMAIL_CHANGE: timedelta(hours=24),
    Purpose.STAFF_EMAIL_CHANGE: timedelta(hours=24),
    Purpose.SIGN_IN_RESET: timedelta(days=1),
    Purpose.STAFF_SIGN_IN_RESET: timedelta(days=1),
}
MOST_MISSES = 5
RESEND_AFTER = timedelta(minutes=5)  # an invitation is not mailed again sooner


class LinkState(StrEnum):
    GOOD = "good"
    EXPIRED = "expired"
    USED = "used"
    SUPERSEDED = "superseded"  # a newer one was mailed
    WITHDRAWN = "withdrawn"  # the clinic took it back, or what it was for is gone
    LOCKED = "locked"  # the birth date, or the clinic's code, was missed too often


ENDINGS = frozenset({LinkState.USED, LinkState.SUPERSEDED, LinkState.WITHDRAWN, LinkState.LOCKED})


class MailedLink(Held, ClinicOwned, Base):
    __tablename__ = "mailed_links"
    __table_args__ = (
        *held_by_one(or_nobody=True),
        one_of("purpose", Purpose),
        one_of("ending", LinkState),
        Index("uq_mailed_links_token_hash", "clinic_id", "token_hash", unique=True),
        # One open link a person and purpose: the newest wins, also when two are asked for at once.
        Index(
            "uq_mailed_links_open_portal",
            "clinic_id",
            "purpose",
            "portal_user_id",
            unique=True,
            postgresql_where="ended_at IS NULL AND portal_user_id IS NOT NULL",
        ),
        Index(
            "uq_mailed_links_open_staff",
            "clinic_id",
            "purpose",
            "staff_member_id",
            unique=True,
            postgresql_where="ended_at IS NULL AND staff_member_id IS NOT NULL",
        ),
        Index("ix_mailed_links_portal_user", "clinic_id", "portal_user_id", "issued_at"),
        Index("ix_mailed_links_staff_member", "clinic_id", "staff_member_id", "issued_at"),
    )
    purpose: Mapped[str]
    email_norm: Mapped[str]  # the address it went to: another address, another link
    token_hash: Mapped[bytes] = mapped_column(deferred=True)  # staff may not read it
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    misses: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None]
    ending: Mapped[str | None]
    letter_id: Mapped[UUID | None]

    @property
    def state(self) -> LinkState:
        if self.ending:
            return LinkState(self.ending)
        return LinkState.EXPIRED if self.expires_at <= clock.now() else LinkState.GOOD

    @property
    def is_good(self) -> bool:
        return self.state == LinkState.GOOD


def issue(
    purpose: Purpose, holder: Holder, email_norm: str, *, misses: int = 0, beside_others: bool = False
) -> MailedLink:
    """A new link; every earlier one of this purpose for this holder stops working, unless it stands beside others."""
    if not beside_others:
        supersede(purpose, holder)
    now = clock.now()
    link_id = uuid4()
    secret = link_tokens.token(keys.signing_key(link_tokens.KEY_PURPOSE), purpose, link_id)
    link = MailedLink(
        id=link_id,
        purpose=purpose,
        staff_member_id=holder.staff_member_id,
        portal_user_id=holder.portal_user_id,
        email_norm=email_norm,
        token_hash=link_tokens.token_hash(secret),
        issued_at=now,
        expires_at=now + LASTS[purpose],
        misses=misses,
    )
    db.session.add(link)
    db.session.flush()
    return link


def supersede(purpose: Purpose, holder: Holder) -> None:
    _end(LinkState.SUPERSEDED, MailedLink.purpose == purpose, _of(holder))


def supersede_these(link_ids: Select[UUID]) -> None:
    """Of links that nobody holds: a newer one is mailed in place of these."""
    _end(LinkState.SUPERSEDED, MailedLink.id.in_(link_ids))


def withdraw_all_of(holder: Holder) -> None:
    """Every open link of a person, whatever for: access was ended, a password was changed."""
    _end(LinkState.WITHDRAWN, _of(holder))


def withdraw_all_in_clinic() -> None:
    """Every open link: the clinic's address changed, and links are bound to it."""
    _end(LinkState.WITHDRAWN)


def find(purpose: Purpose, secret: str) -> MailedLink | None:
    """The link of this secret in the open clinic, good or not."""
    return db.session.scalars(
        select(MailedLink).where(
            MailedLink.token_hash == link_tokens.token_hash(secret), MailedLink.purpose == purpose
        )
    ).one_or_none()


def find_latest(purpose: Purpose, holder: Holder) -> MailedLink | None:
    """The newest of a person's links of one purpose, good or not."""
    return db.session.scalars(
        select(MailedLink)
        .where(MailedLink.purpose == purpose, _of(holder))
        .order_by(MailedLink.issued_at.desc())
        .limit(1)
    ).one_or_none()


def count_issued(purpose: Purpose, holder: Holder, *, since: datetime) -> int:
    """How many links of one purpose a person was mailed from an instant on, whatever became of them."""
    counted = select(func.count()).select_from(MailedLink).where(
        MailedLink.purpose == purpose, _of(holder), MailedLink.issued_at >= since
    )
    return db.session.scalars(counted).one()


def newest_with_letter(purpose: Purpose, of_person: ColumnElement[bool]) -> LateralFromClause:
    """For joining to rows of people: issued_at, expires_at and ending of each one's newest link, and letter_state."""
    return (
        select(
            MailedLink.issued_at, MailedLink.expires_at, MailedLink.ending, OutgoingLetter.state.label("letter_state")
        )
        .outerjoin(
            OutgoingLetter,
            (OutgoingLetter.clinic_id == MailedLink.clinic_id) & (OutgoingLetter.id == MailedLink.letter_id),
        )
        .where(of_person, MailedLink.purpose == purpose)
        .order_by(MailedLink.issued_at.desc())
        .limit(1)
        .lateral("link")
    )


def lock(link: MailedLink) -> MailedLink:
    """Read it afresh and hold it, to use it: one of twenty wins. Whoever it belongs to is locked first."""
    return db.session.scalars(locked(select(MailedLink).where(MailedLink.id == link.id))).one()


def use(link: MailedLink) -> None:
    link.ending, link.ended_at = LinkState.USED, clock.now()


def miss(link: MailedLink) -> bool:
    """Count a wrong answer; returns whether that locked the link."""
    link.misses += 1
    if link.misses < MOST_MISSES:
        return False
    link.ending, link.ended_at = LinkState.LOCKED, clock.now()
    return True


def _of(holder: Holder) -> ColumnElement[bool]:
    if holder == Holder():
        return MailedLink.staff_member_id.is_(None) & MailedLink.portal_user_id.is_(None)
    if holder.staff_member_id:
        return MailedLink.staff_member_id == holder.staff_member_id
    return MailedLink.portal_user_id == holder.portal_user_id


def _end(ending: LinkState, *which: ColumnElement[bool]) -> None:
    db.session.execute(
        update(MailedLink)
        .where(MailedLink.ended_at.is_(None), *which)
        .values(ended_at=clock.now(), ending=ending)
    )
