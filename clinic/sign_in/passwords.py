"""Choosing a password: a staff member's first, a new one by mail, and another while signed in.

A new password never touches the second factor: after it, the code is asked as before.
"""

from flask_babel import lazy_gettext as _l

from clinic import (
    actors,
    audit,
    credentials,
    invitations,
    mailed_links,
    names,
    portal_users,
    second_factors,
    sessions,
    staff,
    throttle,
)
from clinic.actors import Holder
from clinic.mailed_links import LinkState
from clinic.portal_users import PortalUser
from clinic.sign_in import people
from clinic.sign_in.people import Person
from clinic.sign_in.steps import SignIn
from clinic.staff import StaffMember
from mail import letters, outbox
from tenancy import clinics, clock
from tenancy.errors import Refused
from tenancy.link_tokens import Purpose


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
    link, person = people.link_and_person(purpose, secret, lock=False)
    return people.state_of(link, person)


def reset(purpose: Purpose, secret: str, password: str) -> LinkState:
    """Choose a new password with a mailed link; ends all sessions. Returns what the link was: good means done.

    Raises NotFound; Refused for a password against the rules.
    """
    link, person = people.link_and_person(purpose, secret, lock=True)
    state = people.state_of(link, person)
    if state != LinkState.GOOD:
        return state
    check(person, password)
    mailed_links.use(link)
    with actors.acting(person.holder.actor):
        keep(person, password)
    throttle.forgive(throttle.Purpose.SIGN_IN, people.account_of(person))
    return state


def account_of(purpose: Purpose, secret: str) -> str:
    """What the throttle counts the person under whom a link is for. Raises NotFound."""
    return people.account_of(people.link_and_person(purpose, secret, lock=False)[1])


def accept_staff_invitation(secret: str, *, name: str, password: str) -> SignIn:
    """A staff member's first password. Raises NotFound, Refused; None for a link that is no longer good."""
    link, member = people.link_and_person(Purpose.STAFF_INVITATION, secret, lock=True)
    if people.state_of(link, member) != LinkState.GOOD or not isinstance(member, StaffMember):
        return SignIn(None)
    member.name = names.check_name(name)
    check(member, password)
    mailed_links.use(link)
    credentials.choose(member.holder, password)
    member.accepted_at = member.last_sign_in_at = clock.now()
    with actors.acting(member.holder.actor):
        audit.record("staff_member.accepted", subject_id=member.id)
    return SignIn(sessions.start(member.holder))


def change_password(holder: Holder, *, present: str, new: str) -> str:
    """A signed-in person's new password; returns the token of a new session, all others end.

    Raises Refused, at the field "present" if that is wrong.
    """
    person = people.locked(holder)
    if not credentials.is_right(person.holder, present):
        raise Refused(_l("This is not your present password."), field="present")
    check(person, new)
    keep(person, new)
    return sessions.start(person.holder)


def check(person: Person, password: str) -> None:
    """Raises Refused. 8 characters are enough for whoever has a second factor by now; alone it takes 15."""
    has_factor = second_factors.of_holder(person.holder).exist
    credentials.check_rules(
        password, clinic_name=clinics.current().name, email=person.email, has_factor=has_factor
    )


def keep(person: Person, password: str) -> None:
    """Set it: every session and every open link of the person ends, and they are told."""
    credentials.choose(person.holder, password)
    sessions.end_all_of(person.holder, "password changed")
    mailed_links.withdraw_all_of(person.holder)
    audit.record("password.changed", subject_id=person.id)
    changed = letters.StaffPasswordChanged if isinstance(person, StaffMember) else letters.PasswordChanged
    outbox.post(changed(to=person.addressee))
