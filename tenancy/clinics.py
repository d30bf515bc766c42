"""The directory: which clinics there are, at which addresses now and ever before.

Readable by the login role, so that a host can be resolved before a clinic is open. Its one surprise: an address,
once a clinic's, is that clinic's for good; old ones redirect and nobody else can ever take them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, bindparam, func, select
from sqlalchemy.orm import Mapped, aliased, mapped_column

from tenancy import database, tenant
from tenancy.database import Base, db, one_of, text_up_to
from tenancy.errors import NotFound
from tenancy.tenant import Role, Tenant


class Plan(StrEnum):
    CORE = "core"
    BILLING = "billing"


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


DEFAULT_ACCENT = "#1f6f6b"


class Clinic(Base):
    __tablename__ = "clinics"
    __table_args__ = (
        one_of("plan", Plan),
        one_of("status", Status),
        text_up_to("name", 80),
        CheckConstraint("accent ~ '^#[0-9a-f]{6}$'", name="accent"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    plan: Mapped[str] = mapped_column(default=Plan.CORE)
    status: Mapped[str] = mapped_column(default=Status.ACTIVE)
    time_zone: Mapped[str]
    currency: Mapped[str] = mapped_column(default="usd")
    accent: Mapped[str] = mapped_column(default=DEFAULT_ACCENT)
    logo_version: Mapped[str | None]  # hash of the logo's bytes, part of its address
    payment_processing_since_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class ClinicAddress(Base):
    __tablename__ = "clinic_addresses"
    __table_args__ = (
        CheckConstraint(
            "slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) BETWEEN 3 AND 40", name="grammar"
        ),
        Index(
            "uq_clinic_addresses_current",
            "clinic_id",
            unique=True,
            postgresql_where="retired_at IS NULL",
        ),
    )
    slug: Mapped[str] = mapped_column(primary_key=True)
    clinic_id: Mapped[UUID] = mapped_column(ForeignKey("clinics.id"))
    taken_at: Mapped[datetime]
    retired_at: Mapped[datetime | None]


class ClinicPaymentAccount(Base):
    """Which clinic a Stripe account is of, or was: a webhook names the account only. An account is one clinic's for good."""

    __tablename__ = "clinic_payment_accounts"
    __table_args__ = (CheckConstraint("account_id ~ '^acct_[A-Za-z0-9]+$'", name="account_id"),)
    account_id: Mapped[str] = mapped_column(primary_key=True)
    clinic_id: Mapped[UUID] = mapped_column(ForeignKey("clinics.id"))


@dataclass(frozen=True)
class ClinicEntry:
    """A clinic as the directory lists it; what every page and letter may know of it."""

    id: UUID
    slug: str  # the current one
    name: str
    plan: str
    status: str
    time_zone: str
    currency: str
    accent: str
    logo_version: str | None
    payment_processing_since_at: datetime | None

    @property
    def is_active(self) -> bool:
        return self.status == Status.ACTIVE

    @property
    def has_logo(self) -> bool:
        return self.logo_version is not None

    @property
    def payment_processing_is_on(self) -> bool:
        return self.payment_processing_since_at is not None


_current = aliased(ClinicAddress)
_ENTRY: Any = (
    select(
        Clinic.id,
        _current.slug,
        Clinic.name,
        Clinic.plan,
        Clinic.status,
        Clinic.time_zone,
        Clinic.currency,
        Clinic.accent,
        Clinic.logo_version,
        Clinic.payment_processing_since_at,
    )
    .join(_current, (_current.clinic_id == Clinic.id) & _current.retired_at.is_(None))
    .order_by(Clinic.name, Clinic.id)
)
_HAD_SLUG = select(ClinicAddress.clinic_id).where(ClinicAddress.slug == bindparam("slug")).scalar_subquery()
_BY_SLUG = _ENTRY.where(Clinic.id == _HAD_SLUG)
# For the door, where a suspended clinic must take as long as none: it is not fetched, and for none one is looked up too.
_ACTIVE_BY_SLUG = _ENTRY.where(
    Clinic.id == func.coalesce(_HAD_SLUG, UUID(int=0)), Clinic.status == Status.ACTIVE
)
_BY_PAYMENT_ACCOUNT = _ENTRY.join(ClinicPaymentAccount, ClinicPaymentAccount.clinic_id == Clinic.id).where(
    ClinicPaymentAccount.account_id == bindparam("account_id")
)
_BY_ID = _ENTRY.where(Clinic.id == bindparam("id"))


def find_at(slug: str) -> ClinicEntry | None:
    """The clinic that has or ever had this address; compare `.slug` to see whether it is the current one."""
    return _found(_BY_SLUG, slug)


def find_active_at(slug: str) -> ClinicEntry | None:
    """The same, of active clinics alone."""
    return _found(_ACTIVE_BY_SLUG, slug)


def find_by_payment_account(account_id: str) -> ClinicEntry | None:
    """The clinic that has or had this Stripe account."""
    row = db.session.execute(_BY_PAYMENT_ACCOUNT, {"account_id": account_id}).one_or_none()
    return ClinicEntry(*row) if row else None


def get(clinic_id: UUID) -> ClinicEntry:
    """Raises NotFound."""
    row = db.session.execute(_BY_ID, {"id": clinic_id}).one_or_none()
    if row is None:
        raise NotFound(f"clinic {clinic_id}")
    return ClinicEntry(*row)


def in_directory() -> list[ClinicEntry]:
    """Every clinic, by name."""
    return [ClinicEntry(*row) for row in db.session.execute(_ENTRY)]


def current() -> ClinicEntry:
    """The open clinic as the directory lists it. Needs a running transaction."""
    return get(tenant.current_clinic_id())


@contextmanager
def open_clinic(clinic: ClinicEntry | UUID, role: Role = Role.STAFF) -> Iterator[None]:
    """Be inside a clinic, as `role`, for a block. Refuses while a transaction runs."""
    if database.is_running():
        raise RuntimeError("A clinic cannot be opened while a transaction runs.")
    clinic_id = clinic if isinstance(clinic, UUID) else clinic.id
    with tenant.opened(Tenant(clinic_id, role)):
        yield


@contextmanager
def nobody_asking() -> Iterator[None]:
    """Be outside every clinic for a block: only the directory can be read."""
    if database.is_running():
        raise RuntimeError("A clinic cannot be left while a transaction runs.")
    with tenant.opened(None):
        yield


def _found(statement: Any, slug: str) -> ClinicEntry | None:
    row = db.session.execute(statement, {"slug": slug}).one_or_none()
    return ClinicEntry(*row) if row else None
