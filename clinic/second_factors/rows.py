"""The rows: an authenticator app, the secret shared with it, and recovery codes.

Two tables for one app, because two kinds of people look: that somebody has a second factor, their clinic may know; the
secret is shown by the database to its holder's own sign-in only.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Index
from sqlalchemy.orm import Mapped

from clinic.actors import Held, Holder, held_by_one
from tenancy.database import Base, ClinicOwned, same_clinic


class Authenticator(Held, ClinicOwned, Base):
    """An app that shows six digits, which its holder has shown to work. One a person."""

    __tablename__ = "authenticators"
    __table_args__ = (
        *held_by_one(),
        Index("uq_authenticators_staff_member", "clinic_id", "staff_member_id", unique=True),
        Index("uq_authenticators_portal_user", "clinic_id", "portal_user_id", unique=True),
    )
    added_at: Mapped[datetime]


class AuthenticatorSecret(Held, ClinicOwned, Base):
    __tablename__ = "authenticator_secrets"
    __table_args__ = (
        *held_by_one(),
        same_clinic("authenticator_id", "authenticators", on_delete="CASCADE"),
        Index("uq_authenticator_secrets_authenticator", "clinic_id", "authenticator_id", unique=True),
        Index("ix_authenticator_secrets_staff_member", "clinic_id", "staff_member_id"),
        Index("ix_authenticator_secrets_portal_user", "clinic_id", "portal_user_id"),
    )
    authenticator_id: Mapped[UUID]
    sealed: Mapped[bytes]
    last_step: Mapped[int]  # of 30 seconds since 1970: codes of this one and earlier ones are spent


class RecoveryCode(Held, ClinicOwned, Base):
    __tablename__ = "recovery_codes"
    __table_args__ = (
        *held_by_one(),
        Index("uq_recovery_codes_code_hash", "clinic_id", "code_hash", unique=True),
        Index("ix_recovery_codes_staff_member", "clinic_id", "staff_member_id"),
        Index("ix_recovery_codes_portal_user", "clinic_id", "portal_user_id"),
    )
    code_hash: Mapped[bytes]
    made_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


def of(holder: Holder, table: type[Held]) -> ColumnElement[bool]:
    """The holder's rows of a table."""
    if holder.staff_member_id:
        return table.staff_member_id == holder.staff_member_id
    return table.portal_user_id == holder.portal_user_id
