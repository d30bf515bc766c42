"""What is done with portal users. What is done with their access: clinic/portal_users/access.py."""

from uuid import UUID

from flask_babel import lazy_gettext as _l

from clinic import audit, mailed_links, names, sessions
from clinic.portal_users.access import END_CHECKOUTS
from clinic.portal_users.questions import get
from tenancy import clock, jobs
from tenancy.errors import Conflict, Refused
from tenancy.languages import Language


def deactivate(portal_user_id: UUID) -> None:
    """No sign-in, no sessions, no open links until reactivated; access rows stay. Raises NotFound, Conflict."""
    user = get(portal_user_id, lock=True)
    if user.deactivated_at:
        raise Conflict(_l("This portal user is deactivated already."))
    user.deactivated_at = clock.now()
    sessions.end_all_of(user.holder, "deactivated")
    mailed_links.withdraw_all_of(user.holder)
    jobs.enqueue(END_CHECKOUTS)
    audit.record("portal_user.deactivated", subject_id=user.id)


def reactivate(portal_user_id: UUID) -> None:
    """Raises NotFound, Conflict."""
    user = get(portal_user_id, lock=True)
    if not user.deactivated_at:
        raise Conflict(_l("This portal user is not deactivated."))
    user.deactivated_at = None
    audit.record("portal_user.reactivated", subject_id=user.id)


def change_self(portal_user_id: UUID, name: str, phone: str, language: Language) -> None:
    """What a portal user may change on their own profile. Raises Refused."""
    user = get(portal_user_id, lock=True)
    user.name = names.check_name(name)
    if len(phone.strip()) > 40:
        raise Refused(_l("A phone number can have at most 40 characters."), field="phone")
    user.phone = phone.strip() or None
    user.language = language
    audit.record("portal_user.changed", subject_id=user.id)
