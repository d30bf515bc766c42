"""One patient at a glance, as this portal user may see them."""

from uuid import UUID

from flask import render_template
from flask_babel import lazy_gettext as _l

from clinic import portal_home
from clinic.contacts import RelationshipKind
from clinic.portal_home import Seen
from portal_app import wayfinding
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import NotFound
from ui.looks import shows

RELATIONSHIPS = {
    RelationshipKind.SELF: _l("This is you"),
    RelationshipKind.PARENT: _l("Parent"),
    RelationshipKind.GUARDIAN: _l("Guardian"),
    RelationshipKind.GRANDPARENT: _l("Grandparent"),
    RelationshipKind.CASEWORKER: _l("Caseworker"),
    RelationshipKind.SPOUSE: _l("Spouse or partner"),
    RelationshipKind.OTHER: _l("Other"),
}


@shows("patient.viewed")
def show(patient_id: UUID) -> str:
    with transaction():
        found = portal_home.at_home()
    one = next((each for each in found if each.patient.id == patient_id), None)
    if one is None:
        raise NotFound("patient")
    wayfinding.open_patient(Seen(one.patient, [each.patient for each in found]))
    return render_template(
        "portal/patients/overview.html",
        one=one,
        patient=one.patient,
        as_of=clock.now(),
        relationship=RELATIONSHIPS[RelationshipKind(one.patient.relationship)],
    )
