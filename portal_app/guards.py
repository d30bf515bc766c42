"""Who is at the portal. Every page asks for a signed-in portal user, except those marked `@open_page`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import flask_login
from flask import current_app, flash, redirect, request, url_for
from flask_babel import gettext as _
from flask_login import UserMixin
from werkzeug.wrappers import Response

from clinic import actors, audit, portal_users, sessions, throttle
from clinic.sessions import LiveSession
from tenancy import known_devices, tenant
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tenancy.errors import NotFound
from tenancy.middleware import CLINIC
from tenancy.tenant import Role
from ui import languages, looks, session_life
from ui.doors import is_open


@dataclass(frozen=True, eq=False)
class Person(UserMixin):
    """The signed-in portal user. The token finds the session again; it is what the cookie holds."""

    id: UUID
    name: str
    email: str
    language: str
    session: LiveSession
    token: str

    def get_id(self) -> str:
        return self.token


def clinic() -> ClinicEntry:
    """The clinic whose portal this is. Raises NotFound where there is none."""
    found: ClinicEntry | None = request.environ.get(CLINIC)
    if found is None:
        raise NotFound("clinic")
    return found


def person() -> Person:
    """The portal user behind this request; only for views that are not open."""
    return cast(Person, flask_login.current_user)


def load(token: str) -> Person | None:
    """Who holds this token; from the next transaction on, the request acts as that portal user."""
    tenant.become(Role.DOOR)
    with transaction():
        live = sessions.find_live(token, is_attended=session_life.is_attended())
        user_id = live.holder.portal_user_id if live else None
        user = portal_users.find_signed_in(user_id) if user_id else None
    if live is None or user is None:
        return None
    tenant.become(Role.PORTAL, user.id)
    actors.become(live.holder.actor)
    languages.speak(user.language)
    return Person(user.id, user.name, user.email, user.language, live, token)


@contextmanager
def own_sign_in() -> Iterator[LiveSession]:
    """A transaction at the door, for the person of this request alone: for what concerns their own sign-in."""
    me = person()
    tenant.become(Role.DOOR)
    try:
        with transaction():
            yield me.session
    finally:
        tenant.become(Role.PORTAL, me.id)


def begin_session(token: str) -> None:
    """From now on this browser belongs to the holder of `token`, and to nobody before."""
    session_life.begin(by_the_same_person=_held_before(token))
    holder = load(token)
    if holder:
        flask_login.login_user(holder)
        languages.choose(holder.language)
        with transaction():
            known_devices.know_again(throttle.at_door(holder.email, of_staff=False))


def record_answer(answer: Response) -> Response:
    """After each request: what somebody signed in was shown or refused is recorded, or not sent."""
    is_closed = request.environ.get(CLINIC) and not is_open(current_app.view_functions[request.endpoint or ""])
    if is_closed and flask_login.current_user.is_authenticated:
        return looks.recorded(answer, audit, person().session.id)
    return answer


def close_by_default() -> Response | None:
    """Before each request: no clinic, no page; nobody signed in, only open pages."""
    clinic()
    if is_open(current_app.view_functions[request.endpoint or ""]):
        return None
    if flask_login.current_user.is_authenticated:
        return None
    is_over = session_life.is_over()
    if session_life.holds_unsent_form() and _held_before():
        return session_life.unsent_form(url_for("portal.sign_in"))
    if is_over:
        flash(_("You were signed out after a while without activity. Please sign in again."), "info")
    goes_on = request.method in ("GET", "HEAD") and request.path != "/"
    return redirect(url_for("portal.sign_in", next=request.full_path.rstrip("?") if goes_on else None), 303)


def session_clock() -> session_life.SessionClock:
    signed_in = person()
    until, end = signed_in.session.idle_until, signed_in.session.ends_at
    return session_life.clock_of(until, end, signed_in.id, url_for("portal.session_clock"))


def _held_before(token: str | None = None) -> bool:
    """Whether a portal user of this clinic was signed in with this browser before; the holder of `token`, if given."""
    before = session_life.token_before()
    if before is None:
        return False
    tenant.become(Role.DOOR)
    with transaction():
        holder = sessions.find_holder(before)
        return bool(holder and holder.portal_user_id) and (token is None or sessions.find_holder(token) == holder)
