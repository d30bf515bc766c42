"""What the demo's families and clinics wrote each other: one conversation that waits to be read, one open request."""

from datetime import timedelta

from sqlalchemy import select

from clinic import actors, appointment_requests, conversations, portal_settings
from clinic.actors import Actor, ActorKind
from clinic.conversations import Written
from clinic.patients import Patient
from clinic.portal_users import PortalUser
from tenancy import clinics, clock, tenant
from tenancy.database import db, transaction
from tenancy.tenant import Role

QUESTION = """Hello Maria,

Leo did very well with the pencil grip this week. Could you tell us how writing goes at home, and whether he would like to keep the blue grip?

Until Thursday!"""


def write(slug: str, member: Actor, email: str, patient_name: str) -> None:
    """Switch both on; a member of staff asks this portal user something, and the portal user asks for an appointment."""
    with transaction():
        clinic = clinics.find_at(slug)
    assert clinic is not None
    with clinics.open_clinic(clinic):
        with transaction(), actors.acting(member):
            settings = portal_settings.get()
            settings.allows_messages = settings.allows_appointment_requests = True
            user_id = db.session.scalars(select(PortalUser.id).where(PortalUser.email_norm == email)).one()
            patient_id = db.session.scalars(select(Patient.id).where(Patient.name == patient_name)).one()
            conversations.write_to(user_id, patient_id, "Writing at home", Written(QUESTION))
        tenant.become(Role.PORTAL, user_id)
        with transaction(), actors.acting(Actor(ActorKind.PORTAL_USER, user_id)):
            wish = "Could Leo also come on a Thursday afternoon, after three? Speech therapy with Tom, if possible."
            day = clock.today(clinic.time_zone) + timedelta(days=9)
            appointment_requests.ask(patient_id, wish, day)
