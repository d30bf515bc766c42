"""Passkeys on the way in, beside and in place of the password; adding one's own, and taking one away.

Alone, a passkey is both factors: the device was there, and recognised its owner. Changing one does what changing any
second factor does: every session ends, one starts here, it is recorded, and told by letter.
"""

from uuid import UUID

from flask_babel import lazy_gettext as _l

from clinic import actors, audit, passkeys, second_factors, sessions
from clinic.audit import Result
from clinic.passkeys import Challenge, RelyingParty
from clinic.second_factors import FactorKind
from clinic.sessions import LiveSession, Stage
from clinic.sign_in import factors, people, steps
from clinic.sign_in.factors import FactorChange
from clinic.sign_in.steps import SignIn
from tenancy import clock

WRONG_PASSKEY = _l("This passkey does not open this door. Try once more, or sign in another way.")


def passkey_account(answer: str) -> str:
    """What the throttle counts an answer under: the passkey that it names, known here or not."""
    return f"passkey:{passkeys.named_in(answer).hex()}"


def by_passkey(party: RelyingParty, challenge: Challenge | None, answer: str) -> SignIn:
    """Sign in without a password. Every refusal has the same words, whether the passkey is known here or not."""
    holder = passkeys.find_holder(answer)
    person = people.locked(holder) if holder else None
    is_good = holder is not None and passkeys.show(holder, party, challenge, answer)
    if person is None or not is_good or not person.may_sign_in:
        refused = person.id if person else None
        audit.record("sign_in.refused", subject_id=refused, factor=FactorKind.PASSKEY, result=Result.REFUSED)
        return SignIn(None)
    person.last_sign_in_at = clock.now()
    with actors.acting(person.holder.actor):
        audit.record("sign_in.succeeded", subject_id=person.id, factor=FactorKind.PASSKEY)
    return SignIn(sessions.start(person.holder))


def show_passkey(live: LiveSession, party: RelyingParty, challenge: Challenge | None, answer: str) -> SignIn:
    """The second step, in a session where a factor is due."""
    person = people.locked(live.holder)
    if sessions.has_ended(live.id):
        return SignIn(None)
    if not passkeys.show(live.holder, party, challenge, answer):
        audit.record("second_factor.refused", subject_id=person.id, kind=FactorKind.PASSKEY, result=Result.REFUSED)
        return SignIn(None)
    return steps.factor_shown(live, FactorKind.PASSKEY)


def confirm_by_passkey(live: LiveSession, party: RelyingParty, challenge: Challenge | None, answer: str) -> SignIn:
    """Prove once more who one is, in place of password and code."""
    person = people.locked(live.holder)
    if sessions.has_ended(live.id):
        return SignIn(None)
    if not passkeys.show(live.holder, party, challenge, answer):
        audit.record("identity.refused", subject_id=person.id, result=Result.REFUSED)
        return SignIn(None)
    return steps.confirmed(live)


def add_passkey(live: LiveSession, party: RelyingParty, challenge: Challenge | None, answer: str, name: str) -> FactorChange:
    """Set up a passkey. After a reset every older factor and recovery code goes. Raises Refused, Conflict."""
    person = factors.person_of(live)
    before = second_factors.of_holder(live.holder)
    if live.stage is Stage.ENROLMENT_DUE:
        second_factors.remove_all(live.holder)
    passkeys.add(live.holder, party, challenge, answer, name)
    return factors.factor_added(live, person, FactorKind.PASSKEY, is_first=not before.exist)


def remove_passkey(live: LiveSession, passkey_id: UUID) -> FactorChange:
    """The last factor goes only where the password alone is enough. Raises NotFound, Refused, Conflict."""
    person = factors.person_of(live)
    passkey = passkeys.get(live.holder, passkey_id)
    has = second_factors.of_holder(live.holder)
    if has.passkeys == 1 and not has.authenticator_since:
        factors.check_may_do_without(live.holder)
    passkeys.remove(live.holder, passkey.id)
    return factors.factor_removed(person, FactorKind.PASSKEY)
