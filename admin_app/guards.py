"""Who may open which staff page. Every view says so: `@open_page`, or the rights it `@needs`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from flask import g, url_for
from flask_login import UserMixin, login_user

from clinic import actors, sessions, sign_in, staff, throttle
from clinic.sessions import LiveSession, Stage
from clinic.staff import Right, SignedInStaff
from tenancy import known_devices, tenant
from tenancy.database import transaction
from tenancy.errors import Refused
from tenancy.tenant import Role
from ui import doors, session_life

View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True, eq=False)
class Person(UserMixin):
    """The staff member behind a request, by the session that their cookie's token names."""

    token: str
    session: LiveSession
    stage: Stage
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
    """Whoever holds this token in the open clinic; from now on the request acts as them. A portal user is nobody here.

    Who is not all the way in stays at the door: the database, too, shows them nothing but their own sign-in.
    """
    tenant.become(Role.DOOR)
    with transaction():
        live = sessions.find_live(token, is_attended=session_life.is_attended())
        member = staff.find_signed_in(live.holder.staff_member_id) if live and live.holder.staff_member_id else None
        stage = sign_in.stage_of(live) if live and member else None
    if live is None or member is None or stage is None:
        return None
    if stage is Stage.FULL:
        tenant.become(Role.STAFF, staff_member_id=member.id)
    if stage is not Stage.FACTOR_DUE:
        actors.become(replace(live.holder.actor, role=member.role))
    return Person(token, live, stage, member)


def enter(token: str) -> None:
    """From now on this browser belongs to the holder of `token`, and to nobody before."""
    session_life.begin(by_the_same_person=held_before(token))
    g.person = load(token)
    if g.person:
        login_user(g.person)
    if g.person and g.person.stage is Stage.FULL:  # the password alone makes no browser a known one
        with transaction():
            known_devices.know_again(throttle.at_door(g.person.member.email, of_staff=True))


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


@contextmanager
def own_sign_in() -> Iterator[LiveSession]:
    """A transaction at the door, for the person of this request alone: for what concerns their own sign-in."""
    with tenant.acting(Role.DOOR, staff_member_id=person().id), transaction():
        yield person().session


@contextmanager
def own_secret(purpose: throttle.Purpose) -> Iterator[tuple[LiveSession, throttle.Try]]:
    """The same, where a password or a code is looked at: a miss unless `was_right` is said, or something else than the
    present password was refused. Raises TooManyTries.
    """
    with throttle.counting(purpose, throttle.of_holder(person().session.holder)) as tried, own_sign_in() as live:
        tried.hold()
        try:
            yield live, tried
        except Refused as refusal:
            tried.was_right = refusal.field != "present"
            raise


def open_page(view: View) -> View:
    """Anybody may open this page. It runs as nobody in particular, even when somebody is signed in."""
    view.open_page = True  # type: ignore[attr-defined]
    return view


def needs(*rights: Right, fresh: bool = False) -> Callable[[View], View]:
    """Staff with all of these rights; with none named, any staff member of the clinic.

    `fresh`: who has not proved minutes ago who they are is asked to, first. Mark a form's GET too, so that nobody fills in
    what is then lost.
    """

    def mark(view: View) -> View:
        view.needs = frozenset(rights)  # type: ignore[attr-defined]
        return doors.fresh_page(view) if fresh else view

    return mark
