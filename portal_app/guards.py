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

from clinic import actors, audit, passkeys, portal_users, sessions, sign_in, throttle
from clinic.passkeys import RelyingParty
from clinic.sessions import LiveSession, Stage
from tenancy import known_devices, tenant
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tenancy.errors import NotFound, Refused
from tenancy.middleware import CLINIC
from tenancy.sites import Portal
from tenancy.tenant import Role
from ui import doors, languages, looks, session_life
from ui.doors import is_open

# Where somebody goes whose sign-in has come so far, or who must prove again who they are.
STEPS = {
    Stage.FULL: "portal.home",
    Stage.FACTOR_DUE: "portal.sign_in_code",
    Stage.ENROLMENT_DUE: "portal.authenticator",
    doors.CONFIRMATION: "portal.confirmation",
}


@dataclass(frozen=True, eq=False)
class Person(UserMixin):
    """The signed-in portal user. The token finds the session again; it is what the cookie holds."""

    id: UUID
    name: str
    email: str
    language: str
    session: LiveSession
    stage: Stage
    token: str

    def get_id(self) -> str:
        return self.token


def clinic() -> ClinicEntry:
    """The clinic whose portal this is. Raises NotFound where there is none."""
    found: ClinicEntry | None = request.environ.get(CLINIC)
    if found is None:
        raise NotFound("clinic")
    return found


def relying_party() -> RelyingParty:
    """This clinic's portal, by its present address and no other."""
    return passkeys.relying_party(Portal(clinic().slug), current_app.config["PORTICO"], clinic().name)


def person() -> Person:
    """The portal user behind this request; only for views that are not open."""
    return cast(Person, flask_login.current_user)


def load(token: str) -> Person | None:
    """Who holds this token; from the next transaction on, the request acts as that portal user.

    Who is not all the way in stays at the door: the database, too, shows them nothing but their own sign-in.
    """
    tenant.become(Role.DOOR)
    with transaction():
        live = sessions.find_live(token, is_attended=session_life.is_attended())
        user_id = live.holder.portal_user_id if live else None
        user = portal_users.find_signed_in(user_id) if user_id else None
        stage = sign_in.stage_of(live) if live and user else None
    if live is None or user is None or stage is None:
        return None
    if stage is Stage.FULL:
        tenant.become(Role.PORTAL, user.id)
    if stage is not Stage.FACTOR_DUE:
        actors.become(live.holder.actor)
    languages.speak(user.language)
    return Person(user.id, user.name, user.email, user.language, live, stage, token)


@contextmanager
def own_sign_in() -> Iterator[LiveSession]:
    """A transaction at the door, for the person of this request alone: for what concerns their own sign-in."""
    with tenant.acting(Role.DOOR, portal_user_id=person().id), transaction():
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


def begin_session(token: str) -> None:
    """From now on this browser belongs to the holder of `token`, and to nobody before."""
    session_life.begin(by_the_same_person=_held_before(token))
    holder = load(token)
    if holder:
        flask_login.login_user(holder)
        languages.choose(holder.language)
    if holder and holder.stage is Stage.FULL:  # the password alone makes no browser a known one
        with transaction():
            known_devices.know_again(throttle.at_door(holder.email, of_staff=False))


def record_answer(answer: Response) -> Response:
    """After each request: what somebody signed in was shown or refused is recorded, or not sent."""
    is_closed = request.environ.get(CLINIC) and not is_open(current_app.view_functions[request.endpoint or ""])
    if is_closed and flask_login.current_user.is_authenticated:
        return looks.recorded(answer, audit, person().session.id)
    return answer


def close_by_default() -> Response | None:
    """Before each request: no clinic, no page; nobody signed in, only open pages; not all the way in, the step due."""
    clinic()
    view = current_app.view_functions[request.endpoint or ""]
    if is_open(view):
        return None
    if flask_login.current_user.is_authenticated:
        step = doors.held_back(view, stage=person().stage, is_fresh=person().session.is_fresh)
        return _step(step) if step else None
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


def _step(step: str) -> Response:
    """To the step that is due, and then on to the page that was asked for, or back to the one a form stood on."""
    if request.method in ("GET", "HEAD"):
        asked_for = None if step == Stage.FULL else request.full_path.rstrip("?")
        return redirect(url_for(STEPS[step], next=asked_for), 303)
    if step == doors.CONFIRMATION:
        flash(_("Nothing was changed yet. Confirm that it is you, then do it once more."), "info")
    return redirect(url_for(STEPS[step], next=doors.page_before()), 303)
