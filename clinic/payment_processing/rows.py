"""The rows of the clinic's Stripe accounts."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Base, ClinicOwned, db, one_of, same_clinic


class AccountEnding(StrEnum):
    REPLACED = "replaced"
    DEAUTHORISED = "deauthorised"


class PaymentAccount(ClinicOwned, Base):
    __tablename__ = "payment_accounts"
    __table_args__ = (
        same_clinic("opened_by_id", "staff_members"),
        one_of("ending", AccountEnding),
        CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name="ended"),
        CheckConstraint("account_id ~ '^acct_[A-Za-z0-9]+$'", name="account_id"),
        Index("uq_payment_accounts_account", "clinic_id", "account_id", unique=True),
        Index("uq_payment_accounts_present", "clinic_id", unique=True, postgresql_where="ended_at IS NULL"),
    )
    account_id: Mapped[str]
    charges_enabled: Mapped[bool] = mapped_column(default=False)
    payouts_enabled: Mapped[bool] = mapped_column(default=False)
    details_submitted: Mapped[bool] = mapped_column(default=False)
    due: Mapped[list[Any]] = mapped_column(JSONB, default=list)  # what Stripe still asks for, in its words
    disabled_reason: Mapped[str | None]
    opened_at: Mapped[datetime]
    opened_by_id: Mapped[UUID | None]
    read_at: Mapped[datetime]  # when Stripe was last asked
    ended_at: Mapped[datetime | None]
    ending: Mapped[str | None]


def find_present() -> PaymentAccount | None:
    """The account that payments are made on now."""
    return db.session.scalars(select(PaymentAccount).where(PaymentAccount.ended_at.is_(None))).one_or_none()


def find_latest() -> PaymentAccount | None:
    """The present account, or the last one that there was."""
    newest = PaymentAccount.ended_at.desc().nulls_first()
    return db.session.scalars(select(PaymentAccount).order_by(newest, PaymentAccount.opened_at.desc()).limit(1)).first()
