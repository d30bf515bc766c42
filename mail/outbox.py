"""The outbox: a letter is a row in the caller's transaction, and a job that follows it. No commit, no letter.

States: waiting → sent, or undelivered for good. A claimed letter is leased for some minutes, so that a worker that
dies leaves nothing stuck; it may then go out twice, under the same Message-ID.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from mail.letters import KINDS, Addressee, Letter, ids_in, restored
from tenancy import clock, jobs
from tenancy.database import Base, ClinicOwned, db, one_of
from tenancy.languages import Language

DELIVER = "mail.deliver"
BATCH = 50
LEASE = timedelta(minutes=5)
GIVEN_UP_AFTER = timedelta(days=3)


class LetterState(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    UNDELIVERED = "undelivered"


class OutgoingLetter(ClinicOwned, Base):
    __tablename__ = "letters"
    __table_args__ = (
        one_of("state", LetterState),
        one_of("language", Language),
        Index("ix_letters_waiting", "clinic_id", "next_try_at", postgresql_where="state = 'waiting'"),
    )
    kind: Mapped[str]
    to_address: Mapped[str]
    language: Mapped[str]
    ids: Mapped[dict[str, Any]] = mapped_column(JSONB)
    state: Mapped[str] = mapped_column(default=LetterState.WAITING)
    posted_at: Mapped[datetime]
    next_try_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None]  # sent or given up
    fault: Mapped[str | None]  # the server's code only: its text may hold an address

    @property
    def letter(self) -> Letter:
        return restored(self.kind, Addressee(self.to_address, self.language), self.ids)


def post(letter: Letter) -> UUID:
    """Put a letter into the outbox of the open clinic; returns the row's id."""
    assert letter.kind in KINDS
    now = clock.now()
    row = OutgoingLetter(
        kind=letter.kind,
        to_address=letter.to.address,
        language=letter.to.language,
        ids=ids_in(letter),
        posted_at=now,
        next_try_at=now,
    )
    db.session.add(row)
    db.session.flush()
    announce()
    return row.id


def announce() -> None:
    """Tell the worker that this clinic has letters waiting: one job for any number of them."""
    jobs.enqueue(DELIVER)


_DUE = (
    select(OutgoingLetter)
    .where(OutgoingLetter.state == LetterState.WAITING, OutgoingLetter.next_try_at <= bindparam("now"))
    .order_by(OutgoingLetter.next_try_at)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)


def claim() -> list[OutgoingLetter]:
    """Lease up to BATCH due letters to this worker."""
    now = clock.now()
    claimed = list(db.session.scalars(_DUE, {"now": now}))
    for row in claimed:
        row.next_try_at = now + LEASE
        row.tries += 1
    return claimed


def mark_sent(letter_id: UUID) -> None:
    _end(letter_id, LetterState.SENT, None)


def mark_undelivered(letter_id: UUID, fault: str) -> None:
    """For good: the clinic sees it as undelivered."""
    _end(letter_id, LetterState.UNDELIVERED, fault)


def put_off(letter: OutgoingLetter, fault: str) -> None:
    """Try again after 1, 2, 4 … minutes, at most an hour; a letter that is days old is undelivered.

    By age and not by tries: a relay that is down for a night must not cost anybody a letter.
    """
    if clock.now() - letter.posted_at > GIVEN_UP_AFTER:
        return mark_undelivered(letter.id, fault)
    wait = timedelta(minutes=min(2 ** min(letter.tries - 1, 6), 60))
    db.session.execute(
        update(OutgoingLetter)
        .where(OutgoingLetter.id == letter.id, OutgoingLetter.state == LetterState.WAITING)
        .values(next_try_at=clock.now() + wait, fault=fault)
    )


def waiting() -> int:
    """How many letters of the open clinic have not gone out yet."""
    return db.session.scalars(
        select(func.count()).select_from(OutgoingLetter).where(OutgoingLetter.state == LetterState.WAITING)
    ).one()


def _end(letter_id: UUID, state: LetterState, fault: str | None) -> None:
    db.session.execute(
        update(OutgoingLetter)
        .where(OutgoingLetter.id == letter_id, OutgoingLetter.state == LetterState.WAITING)
        .values(state=state, ended_at=clock.now(), fault=fault)
    )
