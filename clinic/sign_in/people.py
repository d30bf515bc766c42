"""Who signs in, staff members and portal users alike, and the links that were mailed to them."""

from clinic import mailed_links, portal_users, staff, throttle
from clinic.actors import Holder
from clinic.mailed_links import LinkState, MailedLink
from clinic.portal_users import PortalUser
from clinic.staff import StaffMember
from tenancy.errors import NotFound
from tenancy.link_tokens import Purpose

Person = PortalUser | StaffMember


def locked(holder: Holder) -> Person:
    """The person, held until the end of the transaction: what concerns one sign-in follows one another. Raises NotFound."""
    return _get(holder, lock=True)


def account_of(person: Person) -> str:
    """What the throttle counts this person's sign-ins under."""
    return throttle.at_door(person.email, of_staff=isinstance(person, StaffMember))


def link_and_person(purpose: Purpose, secret: str, *, lock: bool) -> tuple[MailedLink, Person]:
    """The person is locked before the link, here and wherever both are: two orders would be a deadlock.

    Raises NotFound.
    """
    link = mailed_links.find(purpose, secret)
    if link is None:
        raise NotFound("link")
    person = _get(link.holder, lock=lock)
    return (mailed_links.lock(link) if lock else link), person


def state_of(link: MailedLink, person: Person) -> LinkState:
    """What a link is good for now, seen together with the person it was mailed to."""
    if not link.is_good:
        return link.state
    expects_accepted = link.purpose != Purpose.STAFF_INVITATION
    if person.deactivated_at or person.email_norm != link.email_norm:
        return LinkState.WITHDRAWN
    if expects_accepted != (person.accepted_at is not None):
        return LinkState.USED
    return LinkState.GOOD


def _get(holder: Holder, *, lock: bool) -> Person:
    if holder.staff_member_id:
        return staff.get(holder.staff_member_id, lock=lock)
    if holder.portal_user_id:
        return portal_users.get(holder.portal_user_id, lock=lock)
    raise NotFound("person")
