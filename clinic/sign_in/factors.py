"""Setting up, replacing and removing one's own second factor, and recovery codes.

Each of it ends all of the person's sessions, starts a new one here, is recorded, and is told by letter. A factor can be
replaced by whoever still has it, or after a reset; staff can never be without one.
"""

from dataclasses import dataclass, field

from flask_babel import lazy_gettext as _l

from clinic import audit, credentials, second_factors, sessions
from clinic.actors import Holder
from clinic.second_factors import FactorKind, authenticators, recovery_codes
from clinic.sessions import LiveSession, Stage
from clinic.sign_in import people, steps
from clinic.sign_in.people import Person
from mail import letters, outbox
from mail.letters import Letter
from tenancy import clinics
from tenancy.errors import Conflict, Refused

GONE = _l("This sign-in has ended. Please sign in again.")


@dataclass(frozen=True)
class Offer:
    """An authenticator app's secret, base32, and the address that a QR code hands to the app."""

    secret: str
    address: str


@dataclass(frozen=True)
class FactorChange:
    """The token of the new session, and recovery codes to show this once, if new ones were made."""

    token: str
    codes: list[str] = field(default_factory=list)


def offer_authenticator(token: str, email: str) -> Offer:
    """What the session of this token may set up. Nothing is kept until its first code is shown."""
    secret = authenticators.offered_secret(token)
    return Offer(secret, authenticators.address(secret, clinic_name=clinics.current().name, email=email))


def add_authenticator(live: LiveSession, token: str, code: str) -> FactorChange:
    """Set up the app that was offered to the session of this token, or put it in place of the one before.

    After a reset every older factor and recovery code goes. Raises Refused for a wrong code, Conflict.
    """
    person, before = person_of(live), second_factors.of_holder(live.holder)
    if live.stage is Stage.ENROLMENT_DUE:
        second_factors.remove_all(live.holder)
    if not authenticators.add(live.holder, authenticators.offered_secret(token), code):
        raise Refused(steps.WRONG_CODES[FactorKind.AUTHENTICATOR], field="code")
    return factor_added(live, person, FactorKind.AUTHENTICATOR, is_first=not before.exist)


def factor_added(live: LiveSession, person: Person, kind: FactorKind, *, is_first: bool) -> FactorChange:
    """What follows when a factor of any kind was added: with the first, and after a reset, new recovery codes."""
    codes = recovery_codes.renew(live.holder) if is_first or live.stage == Stage.ENROLMENT_DUE else []
    audit.record("second_factor.added", subject_id=person.id, kind=kind)
    return _changed(person, letters.SecondFactorAdded(to=person.addressee), codes)


def remove_authenticator(live: LiveSession) -> FactorChange:
    """Back to passkeys, or to the password alone where that is allowed. Raises Refused, Conflict."""
    person = person_of(live)
    if not second_factors.of_holder(live.holder).passkeys:
        check_may_do_without(live.holder)
    if not authenticators.remove(live.holder):
        raise Conflict(_l("There is no second factor to remove."))
    return factor_removed(person, FactorKind.AUTHENTICATOR)


def check_may_do_without(holder: Holder) -> None:
    """Raises Refused if the password alone would not be enough for this person."""
    if steps.is_required(holder):
        raise Refused(_l("Here, everybody needs a second factor. Set up another one first."))
    if credentials.needs_factor(holder):
        raise Refused(
            _l("Your password is too short to stand alone. Choose one of at least 15 characters first, then remove this.")
        )


def factor_removed(person: Person, kind: FactorKind) -> FactorChange:
    """What follows when a factor of any kind was removed: recovery codes go with the last."""
    if not second_factors.of_holder(person.holder).exist:
        recovery_codes.remove(person.holder)
    audit.record("second_factor.removed", subject_id=person.id, kind=kind)
    return _changed(person, letters.SecondFactorRemoved(to=person.addressee))


def renew_codes(live: LiveSession) -> FactorChange:
    """Ten new recovery codes; the old ones stop working. Raises Conflict."""
    person = person_of(live)
    if not second_factors.of_holder(live.holder).exist:
        raise Conflict(_l("Recovery codes come with a second factor. Set that up first."))
    codes = recovery_codes.renew(live.holder)
    audit.record("recovery_codes.renewed", subject_id=person.id)
    return _changed(person, letters.RecoveryCodesRenewed(to=person.addressee), codes)


def person_of(live: LiveSession) -> Person:
    """Locked; of two requests with one session, the second finds it ended."""
    person = people.locked(live.holder)
    if sessions.has_ended(live.id):
        raise Conflict(GONE)
    return person


def _changed(person: Person, letter: Letter, codes: list[str] | None = None) -> FactorChange:
    outbox.post(letter)
    sessions.end_all_of(person.holder, "second factor changed")
    return FactorChange(sessions.start(person.holder), codes or [])
