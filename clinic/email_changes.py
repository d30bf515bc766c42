"""Signing in with another e-mail address, for portal users and staff members alike.

Asked for with the present password, announced at the old address, confirmed by a letter to the new one; whoever reads
that letter must also be signed in as the person, so that a mistyped address gives a stranger nothing. An address that
is somebody else's here gets the same page, and its owner a letter in place of the link.

The contact that staff keep is not touched: an address to write to and an address to sign in with are two things.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from clinic import addresses, audit, credentials, mailed_links, portal_users, sessions, staff
from clinic.actors import Holder
from clinic.mailed_links import LinkState, MailedLink
from clinic.portal_users import PortalUser
from clinic.portal_users.people import HOLD_IS_IN_FORCE, AccessHold
from clinic.staff import StaffMember
from mail import letters, outbox
from mail.letters import Addressee
from tenancy import clock
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose

MOST_A_DAY = 5  # letters to addresses that nobody has confirmed


@dataclass(frozen=True)
class EmailChange:
    """What a mailed link asks its reader to confirm. `token`: of the new session, once that is done."""

    state: LinkState
    email: str
    token: str | None = None


def ask(holder: Holder, *, email: str, password: str) -> None:
    """Mail a link to the new address and tell the old one. Raises Refused; never says whether the address is taken."""
    person = _locked(holder)
    if not credentials.is_right(holder, password):
        raise Refused(_l("This is not your present password."), field="present")
    wanted = addresses.normalised(addresses.check_email(email))
    if wanted == person.email_norm:
        raise Refused(_l("You sign in with this address already."), field="email")
    if _is_held_by_address(person):
        raise Refused(_l("This address cannot be changed here. Please ask the clinic."), field="email")
    purpose, kinds = _purpose(holder), _kinds(holder)
    if mailed_links.count_issued(purpose, holder, since=clock.now() - timedelta(days=1)) >= MOST_A_DAY:
        raise Refused(_l("You asked for this five times since yesterday. Please try again tomorrow."), field="email")
    owner = _find(holder, wanted)
    # Also when it is taken, so that both ways do the same work; then nobody is mailed its secret.
    link = mailed_links.issue(purpose, holder, wanted)
    to_new = Addressee(wanted, person.addressee.language)
    link.letter_id = outbox.post(
        kinds.in_use(to=owner.addressee) if owner else kinds.confirmation(to=to_new, link_id=link.id)
    )
    outbox.post(kinds.asked(to=person.addressee))
    audit.record("email_change.asked", subject_id=person.id)


def look(holder: Holder, secret: str) -> EmailChange:
    """What a link is good for now. Writes nothing. Raises NotFound, also for a link of somebody else."""
    return _seen(_own_link(holder, secret), _get(holder))


def confirm(holder: Holder, secret: str) -> EmailChange:
    """Use the link: the new address signs in, every session but a new one ends, the old address is told.

    Raises NotFound.
    """
    person = _locked(holder)
    link = mailed_links.lock(_own_link(holder, secret))
    found = _seen(link, person)
    if found.state != LinkState.GOOD:
        return found
    before = person.addressee
    mailed_links.use(link)
    try:
        with db.session.begin_nested():
            # Before the address moves: the door writes to people at the address that they have.
            outbox.post(_kinds(holder).changed(to=before))
            person.email = person.email_norm = link.email_norm
    except IntegrityError:  # somebody else confirmed it at the same moment
        return EmailChange(LinkState.WITHDRAWN, found.email)
    sessions.end_all_of(holder, "e-mail changed")
    mailed_links.withdraw_all_of(holder)
    audit.record("email_change.confirmed", subject_id=person.id)
    return EmailChange(LinkState.GOOD, found.email, sessions.start(holder))


@dataclass(frozen=True)
class _Kinds:
    confirmation: type[letters.EmailConfirmation] | type[letters.StaffEmailConfirmation]
    asked: type[letters.EmailChangeAsked] | type[letters.StaffEmailChangeAsked]
    changed: type[letters.EmailChanged] | type[letters.StaffEmailChanged]
    in_use: type[letters.EmailInUse] | type[letters.StaffEmailInUse]


_PORTAL = _Kinds(letters.EmailConfirmation, letters.EmailChangeAsked, letters.EmailChanged, letters.EmailInUse)
_STAFF = _Kinds(
    letters.StaffEmailConfirmation, letters.StaffEmailChangeAsked, letters.StaffEmailChanged, letters.StaffEmailInUse
)


def _kinds(holder: Holder) -> _Kinds:
    return _STAFF if holder.staff_member_id else _PORTAL


def _purpose(holder: Holder) -> Purpose:
    return Purpose.STAFF_EMAIL_CHANGE if holder.staff_member_id else Purpose.EMAIL_CHANGE


def _get(holder: Holder, *, lock: bool = False) -> PortalUser | StaffMember:
    if holder.staff_member_id:
        return staff.get(holder.staff_member_id, lock=lock)
    return portal_users.get(holder.portal_user_id or UUID(int=0), lock=lock)


def _locked(holder: Holder) -> PortalUser | StaffMember:
    """The person is locked before their links, as everywhere."""
    return _get(holder, lock=True)


def _find(holder: Holder, email: str) -> PortalUser | StaffMember | None:
    return staff.find_by_email(email) if holder.staff_member_id else portal_users.find_by_email(email)


def _is_held_by_address(person: PortalUser | StaffMember) -> bool:
    """A custody block that knows this person by their address alone must not be left behind with it."""
    named = select(AccessHold.id).where(
        AccessHold.email_norm == person.email_norm, AccessHold.portal_user_id.is_(None), HOLD_IS_IN_FORCE
    )
    return isinstance(person, PortalUser) and db.session.scalars(named).first() is not None


def _own_link(holder: Holder, secret: str) -> MailedLink:
    link = mailed_links.find(_purpose(holder), secret)
    if link is None or link.holder != holder:
        raise NotFound("link")
    return link


def _seen(link: MailedLink, person: PortalUser | StaffMember) -> EmailChange:
    is_gone = link.is_good and (
        not person.may_sign_in
        or _find(person.holder, link.email_norm) is not None
        or _is_held_by_address(person)
    )
    return EmailChange(LinkState.WITHDRAWN if is_gone else link.state, link.email_norm)
