"""Recovery codes: ten, each good once, for whoever is without their app or passkey.

Shown when they are made and never again: the database holds a keyed hash of each.
"""

import secrets

from sqlalchemy import ColumnElement, delete, func, select, update

from clinic.actors import Holder
from clinic.second_factors.rows import RecoveryCode, of
from tenancy import clock, keys
from tenancy.database import db

NUMBER = 10
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another
GROUPS, GROUP_LENGTH = 3, 4  # about 59 bits
PURPOSE = "recovery-codes"


def renew(holder: Holder) -> list[str]:
    """Ten new codes; those before stop working. The only time that they can be read."""
    remove(holder)
    codes = [_drawn() for _ in range(NUMBER)]
    key, now = keys.signing_key(PURPOSE), clock.now()
    db.session.add_all(
        RecoveryCode(
            staff_member_id=holder.staff_member_id,
            portal_user_id=holder.portal_user_id,
            code_hash=_hash(key, holder, code),
            made_at=now,
        )
        for code in codes
    )
    db.session.flush()
    return codes


def use(holder: Holder, code: str) -> bool:
    """Whether this is one of the holder's codes that was not used before; from now on it was."""
    used = (
        update(RecoveryCode)
        .where(*_unused(holder), RecoveryCode.code_hash == _hash(keys.signing_key(PURPOSE), holder, code))
        .values(used_at=clock.now())
        .returning(RecoveryCode.id)
    )
    return db.session.scalars(used).one_or_none() is not None


def left(holder: Holder) -> int:
    return db.session.scalars(select(func.count()).select_from(RecoveryCode).where(*_unused(holder))).one()


def remove(holder: Holder) -> None:
    db.session.execute(delete(RecoveryCode).where(of(holder, RecoveryCode)))


def _unused(holder: Holder) -> tuple[ColumnElement[bool], ...]:
    return of(holder, RecoveryCode), RecoveryCode.used_at.is_(None)


def _drawn() -> str:
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))


def _hash(key: bytes, holder: Holder, code: str) -> bytes:
    """Bound to its holder; typed with or without hyphens, in capitals or not."""
    plain = "".join(letter for letter in code.casefold() if letter.isalnum())
    owner = holder.staff_member_id or holder.portal_user_id
    return keys.digest(key, f"{owner}:{plain}".encode("utf-8", "surrogatepass"))
