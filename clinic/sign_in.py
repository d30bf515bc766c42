"""Signing in with a password, choosing a new one by mail, and a staff member's first.

Every refusal to sign in has the same words, whoever the address belongs to.
"""

from dataclasses import dataclass
from uuid import UUID

from flask_babel import lazy_gettext as _l

from clinic import (
    actors,
    audit,
    credentials,
    invitations,
    mailed_links,
    names,
    portal_users,
    sessions,
    staff,
    throttle,
)
from clinic.audit import Result
from clinic.mailed_links import LinkState, MailedLink
from clinic.portal_users import PortalUser
from clinic.staff import StaffMember
from mail import letters, outbox
from tenancy import clinics, clock
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose

WRONG = _l("This e-mail address and password do not belong together here. Try again, or choose a new password.")
RESET_PURPOSES = (Purpose.PASSWORD_RESET, Purpose.STAFF_PASSWORD_RESET)


@dataclass(frozen=True)
class SignIn:
    """The outcome of a sign-in: a session token, or None for every kind of no."""

    token: str | None


def portal_user(email: str, password: str) -> SignIn:
    """Sign a portal user in. A refusal is recorded, so it is an answer and not an error."""
    return _sign_in(portal_users.find_by_email(email, lock=True), password)


def staff_member(email: str, password: str) -> SignIn:
    return _sign_in(staff.find_by_email(email, lock=True), password)


def ask_for_reset(email: str, *, of_staff: bool) -> None:
    """Mail a link to choose a new password. For an unknown address nothing happens; the page says the same."""
    if of_staff:
        member = staff.find_by_email(email, lock=True)
        if member and member.may_sign_in:
            mail_staff_reset(member)
        return
    user = portal_users.find_by_email(email, lock=True)
    if user and user.may_sign_in:
        mail_reset(user)
    elif user and invitations.may_be_accepted(user):
        invitations.send_again(user)  # invited, never accepted: the invitation is what they need


def mail_reset(user: PortalUser) -> None:
    link = mailed_links.issue(Purpose.PASSWORD_RESET, user.holder, user.email_norm)
    link.letter_id = outbox.post(letters.PasswordReset(to=user.addressee, link_id=link.id))
    audit.record("password_reset.mailed", subject_id=user.id)


def mail_staff_reset(member: StaffMember) -> None:
    link = mailed_links.issue(Purpose.STAFF_PASSWORD_RESET, member.holder, member.email_norm)
    link.letter_id = outbox.post(letters.StaffPasswordReset(to=member.addressee, link_id=link.id))
    audit.record("password_reset.mailed", subject_id=member.id)


def look(purpose: Purpose, secret: str) -> LinkState:
    """The state of a reset or staff-invitation link. Writes nothing. Raises NotFound."""
    link, person = _link_and_person(purpose, secret, lock=False)
    return _state(link, person)


def reset(purpose: Purpose, secret: str, password: str) -> LinkState:
    """Choose a new password with a mailed link; ends all sessions. Returns what the link was: good means done.

    Raises NotFound; Refused for a password against the rules.
    """
    link, person = _link_and_person(purpose, secret, lock=True)
    state = _state(link, person)
    if state != LinkState.GOOD:
        return state
    credentials.check_rules(password, clinic_name=clinics.current().name, email=person.email)
    mailed_links.use(link)
    with actors.acting(person.holder.actor):
        _set_password(person, password)
    throttle.forgive(throttle.Purpose.SIGN_IN, _account(person))
    return state


def account_of(purpose: Purpose, secret: str) -> str:
    """What the throttle counts the person under whom a link is for. Raises NotFound."""
    return _account(_link_and_person(purpose, secret, lock=False)[1])


def accept_staff_invitation(secret: str, *, name: str, password: str) -> SignIn:
    """A staff member's first password. Raises NotFound, Refused; None for a link that is no longer good."""
    link, member = _link_and_person(Purpose.STAFF_INVITATION, secret, lock=True)
    if _state(link, member) != LinkState.GOOD or not isinstance(member, StaffMember):
        return SignIn(None)
    member.name = names.check_name(name)
    credentials.check_rules(password, clinic_name=clinics.current().name, email=member.email)
    mailed_links.use(link)
    credentials.choose(member.holder, password)
    member.accepted_at = member.last_sign_in_at = clock.now()
    with actors.acting(member.holder.actor):
        audit.record("staff_member.accepted", subject_id=member.id)
    return SignIn(sessions.start(member.holder))


def change_password(portal_user_id: UUID, *, present: str, new: str) -> str:
    """A signed-in portal user's new password; returns the token of a new session, all others end. Raises Refused."""
    user = portal_users.get(portal_user_id, lock=True)
    if not credentials.is_right(user.holder, present):
        raise Refused(_l("This is not your present password."), field="present")
    credentials.check_rules(new, clinic_name=clinics.current().name, email=user.email)
    _set_password(user, new)
    return sessions.start(user.holder)


def sign_out(session_id: UUID) -> None:
    sessions.end(session_id, "signed out")
    audit.record("session.ended", subject_id=session_id)


def _sign_in(person: PortalUser | StaffMember | None, password: str) -> SignIn:
    holder = person.holder if person else None
    if not credentials.is_right(holder, password) or person is None or not person.may_sign_in:
        audit.record("sign_in.refused", subject_id=person.id if person else None, result=Result.REFUSED)
        return SignIn(None)
    person.last_sign_in_at = clock.now()
    with actors.acting(person.holder.actor):
        audit.record("sign_in.succeeded", subject_id=person.id)
    return SignIn(sessions.start(person.holder))


def _set_password(person: PortalUser | StaffMember, password: str) -> None:
    credentials.choose(person.holder, password)
    sessions.end_all_of(person.holder, "password changed")
    mailed_links.withdraw_all_of(person.holder)
    audit.record("password.changed", subject_id=person.id)
    changed = letters.StaffPasswordChanged if isinstance(person, StaffMember) else letters.PasswordChanged
    outbox.post(changed(to=person.addressee))


def _account(person: PortalUser | StaffMember) -> str:
    return throttle.at_door(person.email, of_staff=isinstance(person, StaffMember))


def _link_and_person(purpose: Purpose, secret: str, *, lock: bool) -> tuple[MailedLink, PortalUser | StaffMember]:
    """The person is locked before the link, here and wherever both are: two orders would be a deadlock."""
    link = mailed_links.find(purpose, secret)
    if link is None:
        raise NotFound("link")
    if link.staff_member_id:
        person: PortalUser | StaffMember = staff.get(link.staff_member_id, lock=lock)
    elif link.portal_user_id:
        person = portal_users.get(link.portal_user_id, lock=lock)
    else:
        raise NotFound("link")
    return (mailed_links.lock(link) if lock else link), person


def _state(link: MailedLink, person: PortalUser | StaffMember) -> LinkState:
    if not link.is_good:
        return link.state
    expects_accepted = link.purpose in RESET_PURPOSES
    if person.deactivated_at or person.email_norm != link.email_norm:
        return LinkState.WITHDRAWN
    if expects_accepted != (person.accepted_at is not None):
        return LinkState.USED
    return LinkState.GOOD
