"""Who may open which staff page. Every view says so: `@open_page`, or the rights it `@needs`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from flask import g, url_for
from flask_login import UserMixin, login_user

from clinic import actors, sessions, staff, throttle
from clinic.sessions import LiveSession
from clinic.staff import Right, SignedInStaff
from tenancy import known_devices, tenant
from tenancy.database import transaction
from tenancy.tenant import Role
from ui import session_life

View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True, eq=False)
class Person(UserMixin):
    """The staff member behind a request, by the session that their cookie's token names."""

    token: str
    session: LiveSession
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
    tenant.become(Role.DOOR)
    with transaction():
        live = sessions.find_live(token, is_attended=session_life.is_attended())
        member = staff.find_signed_in(live.holder.staff_member_id) if live and live.holder.staff_member_id else None
    if live is None or member is None:
        return None
    tenant.become(Role.STAFF)
    actors.become(replace(live.holder.actor, role=member.role))
    return Person(token, live, member)


def enter(token: str) -> None:
    """From now on this browser belongs to the holder of `token`, and to nobody before."""
    session_life.begin(by_the_same_person=held_before(token))
    person = load(token)
    if person:
        login_user(person)
        with transaction():
            known_devices.know_again(throttle.at_door(person.member.email, of_staff=True))


@contextmanager
def own_sign_in() -> Iterator[LiveSession]:
    """A transaction at the door, for the person of this request alone: for what concerns their own sign-in."""
    tenant.become(Role.DOOR)
    try:
        with transaction():
            yield person().session
    finally:
        tenant.become(Role.STAFF)


def person() -> Person:
    """The signed-in staff member of a page that is not open."""
    signed_in: Person = g.person
    return signed_in


def session_clock() -> session_life.SessionClock:
    signed_in = person()
    until, end = signed_in.session.idle_until, signed_in.session.ends_at
    return session_life.clock_of(until, end, signed_in.id, url_for("admin.session_clock"))


def held_before(token: str | None = None) -> bool:
    """Whether a member of this clinic's staff was signed in with this browser before; the holder of `token`, if given."""
    before = session_life.token_before()
    if before is None:
        return False
    tenant.become(Role.DOOR)
    with transaction():
        holder = sessions.find_holder(before)
        return bool(holder and holder.staff_member_id) and (token is None or sessions.find_holder(token) == holder)


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
