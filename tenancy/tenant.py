"""Who is asking: the open clinic, the database role to take there, and whose session it is, if anybody's."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Role(StrEnum):
    """The database roles a transaction may take; `migrations/row_security.sql` says what each may see."""

    DOOR = "portico_door"  # nobody has signed in yet
    PAYER = "portico_payer"  # whoever follows a mailed invoice: that invoice, and paying it
    STAFF = "portico_staff"
    PORTAL = "portico_portal"
    MAILER = "portico_mailer"
    OPERATOR = "portico_operator"
    AUDITOR = "portico_auditor"  # proves the audit log's chain; sees ids


class NoClinicOpen(RuntimeError):
    """Code that belongs inside a clinic ran outside one."""


@dataclass(frozen=True)
class Tenant:
    clinic_id: UUID
    role: Role
    portal_user_id: UUID | None = None
    staff_member_id: UUID | None = None
    link_hash: bytes | None = None  # of the secret of the mailed link that was followed


_tenant: ContextVar[Tenant | None] = ContextVar("tenant", default=None)


def current() -> Tenant:
    """The open clinic and who is asking. Raises NoClinicOpen."""
    tenant = _tenant.get()
    if tenant is None:
        raise NoClinicOpen("No clinic is open here.")
    return tenant


def find_current() -> Tenant | None:
    return _tenant.get()


def current_clinic_id() -> UUID:
    """Default of every `clinic_id` column: a row belongs to the clinic it was made in."""
    return current().clinic_id


@contextmanager
def opened(tenant: Tenant | None) -> Iterator[None]:
    """Set the context for a block. Use `tenancy.clinics.open_clinic`, which also guards running transactions."""
    token = _tenant.set(tenant)
    try:
        yield
    finally:
        _tenant.reset(token)


def become(role: Role, portal_user_id: UUID | None = None, *, staff_member_id: UUID | None = None) -> None:
    """From the next transaction on, act as this role inside the same open clinic, for this person if for one."""
    _tenant.set(Tenant(current().clinic_id, role, portal_user_id, staff_member_id))


@contextmanager
def acting(
    role: Role,
    *,
    portal_user_id: UUID | None = None,
    staff_member_id: UUID | None = None,
    link_hash: bytes | None = None,
) -> Iterator[None]:
    """As `become`, for a block; or as whoever followed a mailed link."""
    asking = Tenant(current().clinic_id, role, portal_user_id, staff_member_id, link_hash)
    with opened(asking):
        yield
