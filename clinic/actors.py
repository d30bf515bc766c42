"""Who is doing this: the person or program that the audit log names."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import same_clinic


class ActorKind(StrEnum):
    STAFF = "staff"
    PORTAL_USER = "portal_user"
    OPERATOR = "operator"
    SYSTEM = "system"  # nobody has signed in, or a job


@dataclass(frozen=True)
class Actor:
    kind: ActorKind
    id: UUID | None = None
    name: str | None = None  # operators only: they have no row
    role: str | None = field(default=None, compare=False)  # a staff member's, as it is now


SYSTEM = Actor(ActorKind.SYSTEM)
_actor: ContextVar[Actor] = ContextVar("actor", default=SYSTEM)


def current() -> Actor:
    return _actor.get()


def become(actor: Actor) -> None:
    """From now on this actor acts; every request begins with SYSTEM and becomes the one signed in."""
    _actor.set(actor)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Name who acts for a block."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


@dataclass(frozen=True)
class Holder:
    """Who holds a password, a session or a mailed link: a staff member or a portal user, never both."""

    staff_member_id: UUID | None = None
    portal_user_id: UUID | None = None
    role: str | None = field(default=None, compare=False)  # a staff member's, where it is known

    @property
    def actor(self) -> Actor:
        if self.staff_member_id:
            return Actor(ActorKind.STAFF, self.staff_member_id, role=self.role)
        return Actor(ActorKind.PORTAL_USER, self.portal_user_id)


class Held:
    """Columns of a row that a Holder holds."""

    staff_member_id: Mapped[UUID | None] = mapped_column()
    portal_user_id: Mapped[UUID | None] = mapped_column()

    @property
    def holder(self) -> Holder:
        return Holder(self.staff_member_id, self.portal_user_id)


def held_by_one(*, or_nobody: bool = False) -> tuple[CheckConstraint | object, ...]:
    """Constraints for a table with `Held` columns."""
    comparison = "<=" if or_nobody else "="
    return (
        same_clinic("staff_member_id", "staff_members"),
        same_clinic("portal_user_id", "portal_users"),
        CheckConstraint(f"num_nonnulls(staff_member_id, portal_user_id) {comparison} 1", name="one_holder"),
    )
