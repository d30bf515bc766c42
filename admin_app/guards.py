"""Who may open which staff page. Every view says so: `@open_page`, or the rights it `@needs`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from flask import g, session
from flask_login import UserMixin, login_user

from clinic import actors, sessions, staff
from clinic.staff import Right, SignedInStaff
from tenancy import tenant
from tenancy.database import transaction
from tenancy.tenant import Role

View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True, eq=False)
class Person(UserMixin):
    """The staff member behind a request, by the session that their cookie's token names."""

    token: str
    session_id: UUID
    member: SignedInStaff

    @property
    def id(self) -> UUID:
        return self.member.id

    @property
    def name(self) -> str:
        return self.member.name

    def get_id(self) -> str:
        return self.token

    def may(self, right: Right) -> bool:
        return self.member.may(right)


def load(token: str) -> Person | None:
    """Whoever holds this token in the open clinic; from now on the request acts as them. A portal user is nobody here."""
    with transaction():
        live = sessions.find_live(token)
        member = staff.find_signed_in(live.holder.staff_member_id) if live and live.holder.staff_member_id else None
    if live is None or member is None:
        return None
    tenant.become(Role.STAFF)
    actors.become(live.holder.actor)
    return Person(token, live.id, member)


def enter(token: str) -> None:
    """Take up a new session in this browser; whatever its cookie held before is gone."""
    session.clear()
    person = load(token)
    if person:
        login_user(person)


def person() -> Person:
    """The signed-in staff member of a page that is not open."""
    signed_in: Person = g.person
    return signed_in


def open_page(view: View) -> View:
    """Anybody may open this page. It runs as nobody in particular, even when somebody is signed in."""
    view.open_page = True  # type: ignore[attr-defined]
    return view


def needs(*rights: Right) -> Callable[[View], View]:
    """Staff with all of these rights; with none named, any staff member of the clinic."""

    def mark(view: View) -> View:
        view.needs = frozenset(rights)  # type: ignore[attr-defined]
        return view

    return mark
