"""What admins do with staff members. Nobody sets anybody's password: the letter lets the member choose one."""

from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from clinic import addresses, audit, mailed_links, names, sessions
from clinic.staff.people import IS_ACTIVE_ADMIN, StaffMember, StaffRole
from clinic.staff.questions import find_by_email, get
from mail import letters, outbox
from tenancy import clock
from tenancy.database import db, locked
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.link_tokens import Purpose

ALREADY = _l("A staff member with this address is already there. Open their page to invite them again or change their role.")
ONLY_ADMIN = _l(
    "This is the clinic's only active admin. Make somebody else an admin first, and see that they have signed in."
)


def invite(*, email: str, role: StaffRole, name: str = "") -> StaffMember:
    """A new member, and a one-time invitation by mail. Raises Refused, also for an address that is already there."""
    address = addresses.check_email(email)
    member = StaffMember(
        name=names.check_name(name or address.partition("@")[0]),
        email=address,
        email_norm=addresses.normalised(address),
        role=role,
        invited_at=clock.now(),
    )
    try:
        with db.session.begin_nested():
            db.session.add(member)
    except IntegrityError as error:
        raise Refused(ALREADY, field="email") from error
    audit.record("staff_member.invited", subject_id=member.id, role=role)
    send_invitation(member)
    return member


def invite_again(staff_member_id: UUID) -> None:
    """Mail the invitation once more; the newest link wins. Raises NotFound, Conflict."""
    member = get(staff_member_id, lock=True)
    if member.accepted_at or member.deactivated_at:
        raise Conflict(_l("Only an invitation that was not accepted yet can be sent again."))
    last = mailed_links.find_latest(Purpose.STAFF_INVITATION, member.holder)
    if last and last.is_good and clock.now() - last.issued_at < mailed_links.RESEND_AFTER:
        raise Conflict(_l("The invitation was sent just now. Wait five minutes before sending it again."))
    send_invitation(member)
    audit.record("invitation.sent", subject_id=member.id)


def make_admin(*, email: str, name: str = "") -> StaffMember:
    """The operator's way: whoever has this address becomes an admin, invited or invited again where need be.

    Raises Refused for somebody who is an active admin already, or deactivated.
    """
    member = find_by_email(email, lock=True)
    if member is None:
        return invite(email=email, role=StaffRole.ADMIN, name=name)
    if member.deactivated_at:
        raise Refused(_l("The staff member with this address is deactivated. An admin of the clinic can reactivate them."))
    if member.may_sign_in and member.role == StaffRole.ADMIN:
        raise Refused(_l("The staff member with this address is an admin already."), field="email")
    change_role(member.id, StaffRole.ADMIN)
    if not member.accepted_at:
        send_invitation(member)
        audit.record("invitation.sent", subject_id=member.id)
    return member


def change_role(staff_member_id: UUID, role: StaffRole) -> None:
    """From the next request on, other pages are open to them: they sign in again. Raises NotFound, Conflict."""
    member, is_only_admin = _among_admins(staff_member_id)
    before = member.role
    if before == role:
        return
    if is_only_admin:
        raise Conflict(ONLY_ADMIN)
    member.role = role
    sessions.end_all_of(member.holder, "role changed")
    audit.record("staff_member.role_changed", subject_id=member.id, role=[before, role])
    if member.may_sign_in:
        outbox.post(letters.StaffRoleChanged(to=member.addressee))


def deactivate(staff_member_id: UUID) -> None:
    """No sign-in, no sessions, no open links until reactivated. Raises NotFound, Conflict."""
    member, is_only_admin = _among_admins(staff_member_id)
    if member.deactivated_at:
        raise Conflict(_l("This staff member is deactivated already."))
    if is_only_admin:
        raise Conflict(ONLY_ADMIN)
    member.deactivated_at = clock.now()
    sessions.end_all_of(member.holder, "deactivated")
    mailed_links.withdraw_all_of(member.holder)
    audit.record("staff_member.deactivated", subject_id=member.id, role=member.role, active=[True, False])
    if member.accepted_at:
        outbox.post(letters.StaffDeactivated(to=member.addressee))


def reactivate(staff_member_id: UUID) -> None:
    """They sign in as before; who never accepted can be invited again. Raises NotFound, Conflict."""
    member = get(staff_member_id, lock=True)
    if not member.deactivated_at:
        raise Conflict(_l("This staff member is not deactivated."))
    member.deactivated_at = None
    audit.record("staff_member.reactivated", subject_id=member.id, role=member.role, active=[False, True])
    if member.accepted_at:
        outbox.post(letters.StaffReactivated(to=member.addressee))


def rename_self(staff_member_id: UUID, name: str) -> None:
    """What a staff member may change on their own profile. Raises Refused."""
    member = get(staff_member_id, lock=True)
    member.name = names.check_name(name)
    audit.record("staff_member.renamed", subject_id=member.id)


def send_invitation(member: StaffMember) -> None:
    """Issue a link, end the earlier ones, and post its letter."""
    link = mailed_links.issue(Purpose.STAFF_INVITATION, member.holder, member.email_norm)
    link.letter_id = outbox.post(letters.StaffInvitation(to=member.addressee, link_id=link.id))


def _among_admins(staff_member_id: UUID) -> tuple[StaffMember, bool]:
    """The member, locked, and whether they are the only active admin. Raises NotFound.

    Every active admin is locked with them, in one order: two who demote each other at once follow one another, and
    the second is counted again.
    """
    concerned = IS_ACTIVE_ADMIN | (StaffMember.id == staff_member_id)
    found = list(db.session.scalars(locked(select(StaffMember).where(concerned).order_by(StaffMember.id))))
    member = next((each for each in found if each.id == staff_member_id), None)
    if member is None:
        raise NotFound("staff member")
    admins = [each for each in found if each.role == StaffRole.ADMIN and each.may_sign_in]
    return member, admins == [member]
