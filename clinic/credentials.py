"""Passwords: the rules for choosing one, and how it is kept (argon2id) and checked."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from threading import BoundedSemaphore
from uuid import uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, Index, bindparam, delete, or_, select
from sqlalchemy.orm import Mapped

from clinic import names
from clinic.actors import Held, Holder, held_by_one
from tenancy import clock
from tenancy.database import Base, ClinicOwned, db
from tenancy.errors import Busy, Refused

SHORTEST = 15
SHORTEST_WITH_FACTOR = 8  # together with a second factor
LONGEST = 256
MOSTLY_LETTERS = 8
HASHES_AT_ONCE = 2  # in this process: a flood of sign-ins leaves the rest their share
LONGEST_WAIT = timedelta(seconds=1)
_hashing = BoundedSemaphore(HASHES_AT_ONCE)
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Checked when there is no password to check, so that both answers take as long.
_NOBODYS = _hasher.hash("nobody has this password")


class Password(Held, ClinicOwned, Base):
    __tablename__ = "passwords"
    __table_args__ = (
        *held_by_one(),
        Index("uq_passwords_portal_user", "clinic_id", "portal_user_id", unique=True),
        Index("uq_passwords_staff_member", "clinic_id", "staff_member_id", unique=True),
    )

    hash: Mapped[str]
    set_at: Mapped[datetime]
    needs_factor: Mapped[bool]  # too short to stand alone


def check_rules(password: str, *, clinic_name: str, email: str, has_factor: bool = False) -> None:
    """Raises Refused with what to do. Any character is welcome; there are no composition rules."""
    if len(password) < SHORTEST_WITH_FACTOR and has_factor:
        raise Refused(_l("Use at least 8 characters. A few unrelated words are easy to remember."), field="password")
    if len(password) < SHORTEST and not has_factor:
        raise Refused(
            _l("Use at least 15 characters. Four or five unrelated words are easy to remember."), field="password"
        )
    if len(password) > LONGEST:
        raise Refused(_l("Use at most 256 characters."), field="password")
    plain = _squeezed(password)
    # Mostly signs, or pictures: judged as it is, not by the few letters in it.
    judged = plain if len(plain) >= MOSTLY_LETTERS else password.casefold()
    if judged in common_passwords() or len(set(judged)) < 5 or _is_repeated(judged):
        raise Refused(_l("This password is too easy to guess. Please choose another."), field="password")
    local_part = _squeezed(email.partition("@")[0])
    for known in (_squeezed(clinic_name), _squeezed(email), local_part):
        if len(known) >= 4 and known in plain:
            raise Refused(
                _l("Leave the clinic's name and your e-mail address out of your password."), field="password"
            )


@lru_cache
def common_passwords() -> frozenset[str]:
    """Well-known passwords, squeezed, one a line in common_passwords.txt."""
    return frozenset(files("clinic").joinpath("common_passwords.txt").read_text().split())


def choose(holder: Holder, password: str) -> None:
    """Keep this password for the holder; the one before stops working. Rules were checked by the caller."""
    db.session.execute(delete(Password).where(_of(holder)))
    db.session.add(
        Password(
            staff_member_id=holder.staff_member_id,
            portal_user_id=holder.portal_user_id,
            hash=_hashed(password),
            set_at=clock.now(),
            needs_factor=len(password) < SHORTEST,
        )
    )


_KEPT = select(Password.hash).where(
    or_(Password.staff_member_id == bindparam("holder_id"), Password.portal_user_id == bindparam("holder_id"))
)


def is_right(holder: Holder | None, password: str) -> bool:
    """Whether this is the holder's password. Takes as long for nobody as for somebody. Raises Busy."""
    holder_id = (holder.staff_member_id or holder.portal_user_id) if holder else uuid4()
    kept = db.session.scalars(_KEPT, {"holder_id": holder_id}).one_or_none()
    try:
        with _a_turn():
            _hasher.verify(kept or _NOBODYS, password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


def needs_factor(holder: Holder) -> bool:
    """Whether the holder's password is too short to stand alone."""
    return bool(db.session.scalars(select(Password.needs_factor).where(_of(holder))).one_or_none())


def _hashed(password: str) -> str:
    with _a_turn():
        return _hasher.hash(password)


@contextmanager
def _a_turn() -> Iterator[None]:
    """Hashing takes all of a core. Raises Busy when no turn comes within LONGEST_WAIT."""
    if not _hashing.acquire(timeout=LONGEST_WAIT.total_seconds()):
        raise Busy(_l("Very many people are signing in. Please try again in a few seconds."), timedelta(seconds=5))
    try:
        yield
    finally:
        _hashing.release()


def _of(holder: Holder) -> ColumnElement[bool]:
    if holder.staff_member_id:
        return Password.staff_member_id == holder.staff_member_id
    return Password.portal_user_id == holder.portal_user_id


def _squeezed(text: str) -> str:
    return "".join(letter for letter in names.folded(text) if letter.isalnum())


def _is_repeated(plain: str) -> bool:
    """A well-known one again and again, or one run of letters or digits, however long."""
    again = re.fullmatch(r"(.+?)\1+", plain, re.DOTALL)
    is_known = again is not None and again[1] in common_passwords()
    return is_known or plain in "abcdefghijklmnopqrstuvwxyz" * LONGEST or plain in "0123456789" * LONGEST
