"""How the demo's people sign in: one password for all, and one authenticator app for all of the staff."""

from sqlalchemy import select

from clinic import credentials
from clinic.actors import Holder
from clinic.portal_users import PortalUser
from clinic.second_factors import authenticators
from clinic.staff import StaffMember
from tenancy import clinics, tenant
from tenancy.database import db, transaction
from tenancy.tenant import Role

PASSWORD = "four calm yellow boats"
APP_SECRET = "PORTICODEMOPORTICODEMOPORTICODEM"  # base32


def let_in(slug: str) -> None:
    """Everybody who accepted: only the door may set a password, and an app for one person at a time."""
    with transaction():
        clinic = clinics.find_at(slug)
    assert clinic is not None
    with clinics.open_clinic(clinic, Role.DOOR):
        with transaction():
            staff = list(db.session.scalars(select(StaffMember).where(StaffMember.accepted_at.is_not(None))))
            users = db.session.scalars(select(PortalUser).where(PortalUser.accepted_at.is_not(None)))
            for person in (*staff, *users):
                credentials.choose(person.holder, PASSWORD)
        for member in staff:
            with tenant.acting(Role.DOOR, staff_member_id=member.id), transaction():
                authenticators.keep(Holder(staff_member_id=member.id), APP_SECRET, last_step=0)
