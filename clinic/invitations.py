"""Invitations: a mailed link by which a contact becomes an active portal user.

Looking at the link changes nothing. Accepting asks for a patient's birth date unless the clinic turned that off; five
misses lock it and tell the clinic. What a link is bound to (address, live access to an active patient) is read again
when it is used.
"""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from clinic import actors, audit, credentials, mailed_links, portal_settings, portal_users, sessions, staff
from clinic.audit import Result
from clinic.mailed_links import LinkState, MailedLink
from clinic.patients import Patient, PatientStatus
from clinic.portal_users import IS_LIVE, PortalAccess, PortalUser
from mail import letters, outbox
from tenancy import clinics, clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound
from tenancy.languages import Language
from tenancy.link_tokens import Purpose


@dataclass(frozen=True)
class Invitation:
    """A mailed invitation as its page shows it."""

    state: LinkState
    email: str
    language: str
    asks_birth_date: bool
    misses_left: int


@dataclass(frozen=True)
class Acceptance:
    """What came of an attempt: a session token, or the state the link is in now."""

    state: LinkState
    session_token: str | None = None
    misses_left: int = 0


def look(secret: str) -> Invitation:
    """What a link is good for now. Writes nothing. Raises NotFound for a secret that is none of this clinic's."""
    link, user = _link_and_user(secret, lock=False)
    return Invitation(
        state=_state(link, user),
        email=user.email,
        language=user.language,
        asks_birth_date=portal_settings.get().asks_birth_date,
        misses_left=mailed_links.MOST_MISSES - link.misses,
    )


def accept(secret: str, *, birth_on: date | None, password: str, language: Language) -> Acceptance:
    """Use the link: one of twenty at once wins. `language` is the one it was read in. Raises NotFound; Refused for a password against the rules.

    A wrong birth date is counted, so it is an answer and not an error: the count must be committed.
    """
    link, user = _link_and_user(secret, lock=True)
    state = _state(link, user)
    if state != LinkState.GOOD:
        return Acceptance(state)
    if portal_settings.get().asks_birth_date and birth_on not in _birth_dates(user.id):
        return _missed(link, user)
    credentials.check_rules(password, clinic_name=clinics.current().name, email=user.email)
    mailed_links.use(link)
    credentials.choose(user.holder, password)
    user.accepted_at = user.last_sign_in_at = clock.now()
    user.language = language
    with actors.acting(user.holder.actor):
        audit.record("invitation.accepted", subject_id=user.id)
        token = sessions.start(user.holder)
    return Acceptance(LinkState.GOOD, session_token=token)


def renew(secret: str) -> None:
    """Mail a new link to the same address in place of an expired one. Anything else is left as it is."""
    link, user = _link_and_user(secret, lock=True)
    if _state(link, user) == LinkState.EXPIRED:
        send_again(user)


def resend(portal_user_id: UUID) -> None:
    """Staff mail the invitation again; the newest link wins. Raises NotFound, Conflict."""
    user = portal_users.get(portal_user_id, lock=True)
    row = portal_users.row_of(portal_user_id)
    if user.accepted_at or user.deactivated_at:
        raise Conflict(_l("Only an invitation that was not accepted yet can be sent again."))
    if not _birth_dates(user.id):
        raise Conflict(_l("This portal user has no active patient to be invited for."))
    if row.link_issued_at and clock.now() - row.link_issued_at < mailed_links.RESEND_AFTER:
        raise Conflict(_l("The invitation was sent just now. Wait five minutes before sending it again."))
    send(user)
    audit.record("invitation.sent", subject_id=user.id)


def may_be_accepted(user: PortalUser) -> bool:
    """Whether there is something left to accept: not yet active, and an active patient to see."""
    return not user.accepted_at and not user.deactivated_at and bool(_birth_dates(user.id))


def send_again(user: PortalUser) -> None:
    """Asked for by whoever reads the address. Birth dates missed so far count on; a locked invitation stays locked
    until the clinic itself sends it again; and a link that was mailed minutes ago is still good."""
    last = mailed_links.find_latest(Purpose.INVITATION, user.holder)
    if last and (last.state == LinkState.LOCKED or (last.is_good and clock.now() - last.issued_at < mailed_links.RESEND_AFTER)):
        return
    send(user, misses=last.misses if last else 0)


def send(user: PortalUser, *, misses: int = 0) -> None:
    """Issue a link, end the earlier ones, and post its letter."""
    link = mailed_links.issue(Purpose.INVITATION, user.holder, user.email_norm, misses=misses)
    link.letter_id = outbox.post(letters.PortalInvitation(to=user.addressee, link_id=link.id))


def _link_and_user(secret: str, *, lock: bool) -> tuple[MailedLink, PortalUser]:
    """The person is locked before the link, as everywhere."""
    link = mailed_links.find(Purpose.INVITATION, secret)
    if link is None or link.portal_user_id is None:
        raise NotFound("link")
    user = portal_users.get(link.portal_user_id, lock=lock)
    return (mailed_links.lock(link) if lock else link), user


def _state(link: MailedLink, user: PortalUser) -> LinkState:
    if link.state not in (LinkState.GOOD, LinkState.EXPIRED):
        return link.state
    if user.accepted_at:
        return LinkState.USED
    if user.deactivated_at or user.email_norm != link.email_norm or not _birth_dates(user.id):
        return LinkState.WITHDRAWN
    return link.state


_BIRTH_DATES = (
    select(Patient.birth_on)
    .join(PortalAccess, (PortalAccess.clinic_id == Patient.clinic_id) & (PortalAccess.patient_id == Patient.id))
    .where(IS_LIVE, Patient.status == PatientStatus.ACTIVE)
)


def _birth_dates(portal_user_id: UUID) -> list[date]:
    """Of the active patients the user is invited for; empty when there is nothing left to accept."""
    return list(db.session.scalars(_BIRTH_DATES.where(PortalAccess.portal_user_id == portal_user_id)))


def _missed(link: MailedLink, user: PortalUser) -> Acceptance:
    if mailed_links.miss(link):
        audit.record("invitation.locked", subject_id=user.id, result=Result.REFUSED)
        for admin in staff.admins():
            outbox.post(letters.InvitationLocked(to=admin.addressee, portal_user_id=user.id))
        return Acceptance(LinkState.LOCKED)
    audit.record("invitation.missed", subject_id=user.id, result=Result.REFUSED, misses=link.misses)
    return Acceptance(LinkState.GOOD, misses_left=mailed_links.MOST_MISSES - link.misses)
