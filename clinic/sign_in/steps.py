"""The way in, step by step: password, then a code where there is a second factor; and "please confirm it is you".

Every refusal to sign in has the same words, whoever the address belongs to. A wrong answer is recorded, so it is an
outcome and not an error; the faces count it (`clinic/throttle`). Each step ends the session before and starts another: an id that was known, or planted,
before a step is worth nothing after it.
"""

from dataclasses import dataclass
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from clinic import actors, audit, credentials, portal_users, second_factors, sessions, staff
from clinic.actors import Holder
from clinic.audit import Result
from clinic.portal_settings import PortalSettings
from clinic.second_factors import FactorKind, authenticators, recovery_codes
from clinic.sessions import LiveSession, Stage
from clinic.sign_in import people
from clinic.sign_in.people import Person
from mail import letters, outbox
from tenancy import clock
from tenancy.database import db

WRONG = _l("This e-mail address and password do not belong together here. Try again, or choose a new password.")
WRONG_CODES = {
    FactorKind.AUTHENTICATOR: _l("This code is not right, or was used already. Wait for the next one and try again."),
    FactorKind.RECOVERY_CODE: _l("This recovery code is not right, or was used already."),
}
NOT_CONFIRMED = _l("That was not right. Enter your password and, if you are asked for one, a new code.")


@dataclass(frozen=True)
class SignIn:
    """The outcome of a step: the token of a new session, or None for every kind of no."""

    token: str | None


def portal_user(email: str, password: str) -> SignIn:
    return _begin(portal_users.find_by_email(email, lock=True), password)


def staff_member(email: str, password: str) -> SignIn:
    return _begin(staff.find_by_email(email, lock=True), password)


def show_code(live: LiveSession, code: str, kind: FactorKind) -> SignIn:
    """The second step: a code of the app, or a recovery code, in a session where one is due."""
    person = people.locked(live.holder)
    if sessions.has_ended(live.id):
        return SignIn(None)
    if not _is_right(person, code, kind):
        audit.record("second_factor.refused", subject_id=person.id, kind=kind, result=Result.REFUSED)
        return SignIn(None)
    return factor_shown(live, kind)


def factor_shown(live: LiveSession, kind: FactorKind) -> SignIn:
    """On through the door, for whoever has just shown a second factor of any kind to be right."""
    person = people.locked(live.holder)
    sessions.end(live.id, "second factor shown")
    person.last_sign_in_at = clock.now()
    with actors.acting(live.holder.actor):
        audit.record("sign_in.succeeded", subject_id=person.id, factor=kind)
    return SignIn(sessions.start(live.holder))


def confirm(live: LiveSession, password: str, code: str) -> SignIn:
    """Prove once more who one is, before something sensitive: password, and a code (of the app, or a recovery code) where
    there is a second factor. Not in a session that a reset began: there the factor is what is lost.
    """
    person = people.locked(live.holder)
    if sessions.has_ended(live.id):
        return SignIn(None)
    # Both are looked at, so that an answer does not tell which was wrong.
    knows = credentials.is_right(live.holder, password)
    kind = FactorKind.AUTHENTICATOR if len("".join(code.split())) <= authenticators.DIGITS else FactorKind.RECOVERY_CODE
    has = not asks_code(live) or _is_right(person, code, kind)
    if not (knows and has):
        audit.record("identity.refused", subject_id=person.id, result=Result.REFUSED)
        return SignIn(None)
    return confirmed(live)


def confirmed(live: LiveSession) -> SignIn:
    """On in a new session, for whoever has just proved once more who they are."""
    person = people.locked(live.holder)
    sessions.end(live.id, "confirmed anew")
    audit.record("identity.confirmed", subject_id=person.id)
    return SignIn(sessions.start(live.holder, live.stage))


def asks_code(live: LiveSession) -> bool:
    """Whether confirming who one is takes a code."""
    return live.stage == Stage.FULL and second_factors.of_holder(live.holder).exist


def stage_of(live: LiveSession) -> Stage:
    """How far this session has come, by what is required now: a clinic may have begun to ask for a second factor."""
    if live.stage == Stage.FULL and is_required(live.holder) and not second_factors.of_holder(live.holder).exist:
        return Stage.ENROLMENT_DUE
    return live.stage


_REQUIRED = select(PortalSettings.requires_second_factor)


def is_required(holder: Holder) -> bool:
    """Whether this person must have a second factor: staff always, portal users where their clinic says so."""
    return holder.staff_member_id is not None or db.session.scalars(_REQUIRED).one()


def sign_out(session_id: UUID) -> None:
    sessions.end(session_id, "signed out")
    audit.record("session.ended", subject_id=session_id)


def _begin(person: Person | None, password: str) -> SignIn:
    holder = person.holder if person else None
    if not credentials.is_right(holder, password) or person is None or not person.may_sign_in:
        audit.record("sign_in.refused", subject_id=person.id if person else None, result=Result.REFUSED)
        return SignIn(None)
    if second_factors.of_holder(person.holder).exist:
        audit.record("sign_in.begun", subject_id=person.id)
        return SignIn(sessions.start(person.holder, Stage.FACTOR_DUE))
    person.last_sign_in_at = clock.now()
    with actors.acting(person.holder.actor):
        audit.record("sign_in.succeeded", subject_id=person.id)
    return SignIn(sessions.start(person.holder))


def _is_right(person: Person, code: str, kind: FactorKind) -> bool:
    """A recovery code that was used is told by letter: who has no app at hand may not be who they say."""
    if kind == FactorKind.AUTHENTICATOR:
        return authenticators.use(person.holder, code)
    if not recovery_codes.use(person.holder, code):
        return False
    outbox.post(letters.RecoveryCodeUsed(to=person.addressee))
    audit.record("recovery_code.used", subject_id=person.id)
    return True

