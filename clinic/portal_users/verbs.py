"""What is done with portal users and their access."""

from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import (
    select,
)

from clinic import actors, audit, mailed_links, names, sessions
from clinic.portal_users.people import PortalAccess
from clinic.portal_users.questions import access_of, get
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.languages import Language


def unlink(access_id: UUID, reason: str = "") -> PortalAccess:
    """End one portal user's access to one patient. Raises NotFound, Conflict."""
    access = db.session.scalars(
        select(PortalAccess).where(PortalAccess.id == access_id).with_for_update(key_share=True)
    ).one_or_none()
    if access is None:
        raise NotFound("portal access")
    if access.ended_at:
        raise Conflict(_l("This access was ended already."))
    access.ended_at, access.ended_by_id = clock.now(), actors.current().id
    access.ended_reason = reason.strip()[:200] or None
    db.session.flush()
    user = get(access.portal_user_id, lock=True)
    if not user.accepted_at and not access_of(user.id):
        mailed_links.withdraw_all_of(user.holder)
    audit.record("portal_access.ended", subject_id=user.id, patient_id=access.patient_id)
    return access


def deactivate(portal_user_id: UUID) -> None:
    """No sign-in, no sessions, no open links until reactivated; access rows stay. Raises NotFound, Conflict."""
    user = get(portal_user_id, lock=True)
    if user.deactivated_at:
        raise Conflict(_l("This portal user is deactivated already."))
    user.deactivated_at = clock.now()
    sessions.end_all_of(user.holder, "deactivated")
    mailed_links.withdraw_all_of(user.holder)
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
