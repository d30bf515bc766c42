"""A lost second factor: the clinic lets somebody set up their sign-in anew.

It takes two things from two hands. The link goes to the person's mailbox; the code is told by the clinic, in person or
by telephone, to somebody it knows. Whoever reads the mailbox alone can ask for a new password as often as they like: the
old factor is still asked for, and the link here is worth nothing without the code. The admin or operator who starts a
reset knows the code but not the link, and never chooses the password.

Until the new factor is set up the old one stays: who gives up half way is asked for it as before, so a reset never
leaves anybody with less than they had. The code follows from the link's id under a key of the clinic and is stored
nowhere; five wrong codes lock the link.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime

from flask_babel import lazy_gettext as _l
from flask_babel import ngettext

from clinic import actors, audit, mailed_links, second_factors, sessions
from clinic.actors import Holder
from clinic.audit import Result
from clinic.mailed_links import LinkState, MailedLink
from clinic.sessions import Stage
from clinic.sign_in import passwords, people
from mail import letters, outbox
from tenancy import keys
from tenancy.errors import Conflict
from tenancy.link_tokens import Purpose

DIGITS = 8
KEY_PURPOSE = "sign-in-reset-codes"


@dataclass(frozen=True)
class OpenReset:
    """A reset that waits for its person, as the clinic sees it. `code` is to be told, not mailed."""

    code: str
    expires_at: datetime


@dataclass(frozen=True)
class Reset:
    """What came of an attempt: the token of a session that may set up a factor, or what the link is now."""

    state: LinkState
    token: str | None = None
    misses_left: int = 0


def start(holder: Holder) -> OpenReset:
    """Mail the link, sign the person out everywhere, and return the code to tell them. Raises NotFound, Conflict."""
    person = people.locked(holder)
    if not person.may_sign_in:
        raise Conflict(_l("Only somebody who can sign in has a sign-in to reset."))
    if not second_factors.of_holder(holder).exist:
        raise Conflict(_l("There is no second factor here. A link to choose a new password is enough."))
    link = mailed_links.issue(_purpose(holder), holder, person.email_norm)
    letter = letters.StaffSignInReset if holder.staff_member_id else letters.SignInReset
    link.letter_id = outbox.post(letter(to=person.addressee, link_id=link.id))
    sessions.end_all_of(holder, "sign-in reset")
    audit.record("sign_in_reset.started", subject_id=person.id)
    return OpenReset(_code(link), link.expires_at)


def find_open(holder: Holder) -> OpenReset | None:
    """The reset that waits for this person, if one does."""
    link = mailed_links.find_latest(_purpose(holder), holder)
    return OpenReset(_code(link), link.expires_at) if link and link.is_good else None


def carry_out(purpose: Purpose, secret: str, *, code: str, password: str) -> Reset:
    """By the person: link and code together give a new password and a session that leads to a new factor only.

    A wrong code is counted, so it is an answer and not an error. Raises NotFound; Refused for a password against the
    rules.
    """
    link, person = people.link_and_person(purpose, secret, lock=True)
    state = people.state_of(link, person)
    if state != LinkState.GOOD:
        return Reset(state)
    if not hmac.compare_digest("".join(code.split()).encode("utf-8", "surrogatepass"), _code(link).encode()):
        is_locked = mailed_links.miss(link)
        audit.record("sign_in_reset.missed", subject_id=person.id, misses=link.misses, result=Result.REFUSED)
        return Reset(LinkState.LOCKED if is_locked else state, misses_left=mailed_links.MOST_MISSES - link.misses)
    passwords.check(person, password)
    mailed_links.use(link)
    with actors.acting(person.holder.actor):
        passwords.keep(person, password)
        audit.record("sign_in_reset.used", subject_id=person.id)
    return Reset(state, sessions.start(person.holder, Stage.ENROLMENT_DUE))


def wrong_code(outcome: Reset) -> str:
    """What to say of an attempt with a wrong code."""
    words: str = ngettext(
        "This is not the code of this letter. One try is left.",
        "This is not the code of this letter. %(num)d tries are left.",
        outcome.misses_left,
    )
    return words


def _purpose(holder: Holder) -> Purpose:
    return Purpose.STAFF_SIGN_IN_RESET if holder.staff_member_id else Purpose.SIGN_IN_RESET


def _code(link: MailedLink) -> str:
    number = int.from_bytes(keys.digest(keys.signing_key(KEY_PURPOSE), link.id.bytes), "big")
    return f"{number % 10**DIGITS:0{DIGITS}}"
