"""The rows: a person's passkeys, what they are called, and taking one away."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import ColumnElement, Index, ScalarSelect, delete, func, select
from sqlalchemy.orm import Mapped

from clinic import audit
from clinic.actors import Held, Holder, held_by_one
from clinic.passkeys.challenges import RelyingParty
from tenancy.database import Base, ClinicOwned, db, locked, text_up_to
from tenancy.errors import NotFound, Refused

LONGEST_NAME = 60


class Passkey(Held, ClinicOwned, Base):
    __tablename__ = "passkeys"
    __table_args__ = (
        *held_by_one(),
        text_up_to("name", LONGEST_NAME),
        Index("uq_passkeys_credential_id", "clinic_id", "credential_id", unique=True),
        Index("ix_passkeys_staff_member", "clinic_id", "staff_member_id"),
        Index("ix_passkeys_portal_user", "clinic_id", "portal_user_id"),
    )
    credential_id: Mapped[bytes]
    public_key: Mapped[bytes]
    sign_count: Mapped[int]
    host: Mapped[str]  # it works there and nowhere else
    name: Mapped[str]
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    challenged_at: Mapped[datetime]  # when the challenge that it answered last was issued


@dataclass(frozen=True)
class PasskeyRow:
    """A passkey as its holder sees it. `works_here`: it was made for the host where the page is."""

    id: UUID
    name: str
    created_at: datetime
    last_used_at: datetime | None
    works_here: bool


def of_holder(holder: Holder, party: RelyingParty) -> list[PasskeyRow]:
    """The oldest first."""
    columns = (Passkey.id, Passkey.name, Passkey.created_at, Passkey.last_used_at, Passkey.host == party.host)
    listed = select(*columns).where(of(holder)).order_by(Passkey.created_at, Passkey.id)
    return [PasskeyRow(*row) for row in db.session.execute(listed)]


def work_at(party: RelyingParty, holder: Holder) -> bool:
    """Whether one of the holder's is good at this door."""
    made_here = select(Passkey.id).where(of(holder), Passkey.host == party.host).limit(1)
    return db.session.scalars(made_here).one_or_none() is not None


def how_many(holder: Holder) -> ScalarSelect[int]:
    """Of the holder, also those of a former address: they count as a second factor, so that a new address leaves nobody
    with a password alone."""
    return select(func.count(Passkey.id)).where(of(holder)).scalar_subquery()


def count(holder: Holder) -> int:
    return db.session.scalars(select(how_many(holder))).one()


def get(holder: Holder, passkey_id: UUID, *, lock: bool = False) -> Passkey:
    """One's own. Raises NotFound."""
    owned = select(Passkey).where(of(holder), Passkey.id == passkey_id)
    passkey = db.session.scalars(locked(owned) if lock else owned).one_or_none()
    if passkey is None:
        raise NotFound("passkey")
    return passkey


def rename(holder: Holder, passkey_id: UUID, name: str) -> None:
    """Raises NotFound, Refused."""
    called = check_name(name)
    passkey = get(holder, passkey_id, lock=True)
    passkey.name = called
    audit.record("passkey.renamed", subject_id=passkey.id)


def remove(holder: Holder, passkey_id: UUID) -> None:
    """Raises NotFound."""
    removed = delete(Passkey).where(of(holder), Passkey.id == passkey_id).returning(Passkey.id)
    if db.session.scalars(removed).one_or_none() is None:
        raise NotFound("passkey")


def remove_all(holder: Holder) -> None:
    db.session.execute(delete(Passkey).where(of(holder)))


def check_name(name: str) -> str:
    called = name.strip()
    if not called:
        raise Refused(_l("Give this passkey a name, so that you know it again."), field="name")
    if len(called) > LONGEST_NAME:
        raise Refused(_l("Use at most 60 characters."), field="name")
    return called


def of(holder: Holder) -> ColumnElement[bool]:
    column = Passkey.staff_member_id if holder.staff_member_id else Passkey.portal_user_id
    return column == (holder.staff_member_id or holder.portal_user_id)
