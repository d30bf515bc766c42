"""After a contact's address was corrected: what becomes of the sign-in that has the one before?"""

from uuid import UUID

from flask import Response, flash
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from admin_app import guards
from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from clinic import contacts, corrected_contacts, invitation_batches, patients
from clinic.invitation_batches import InvitationBatch
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound
from ui.looks import shows

CONTACT = "/patients/<uuid:patient_id>/contacts/<uuid:contact_id>"


@admin.get(f"{CONTACT}/sign-ins/<uuid:portal_user_id>")
@needs(Right.RECORDS)
@shows("contact.viewed")
def contact_sign_in(patient_id: UUID, contact_id: UUID, portal_user_id: UUID) -> Response:
    with transaction():
        patient = patients.row_of(patient_id)
        _stands_by(contact_id, patient_id)
        left = corrected_contacts.get(contact_id, portal_user_id)
    return page("admin/corrected_contacts/sign_in.html", patient=patient, contact_id=contact_id, left=left)


@admin.post(f"{CONTACT}/sign-ins/<uuid:portal_user_id>/keeping")
@needs(Right.RECORDS)
def contact_sign_in_keeping(patient_id: UUID, contact_id: UUID, portal_user_id: UUID) -> AnyResponse:
    with transaction():
        _stands_by(contact_id, patient_id)
        corrected_contacts.keep(contact_id, portal_user_id)
    flash(_("The sign-in stays as it is."), "success")
    return go("patient_contacts", patient_id=patient_id)


@admin.post(f"{CONTACT}/sign-ins/<uuid:portal_user_id>/ending")
@needs(Right.RECORDS)
def contact_sign_in_ending(patient_id: UUID, contact_id: UUID, portal_user_id: UUID) -> AnyResponse:
    """Whoever may see the patient may end access; inviting the new address is for admins."""
    batch: InvitationBatch | None = None
    try:
        with transaction():
            _stands_by(contact_id, patient_id)
            to_invite = corrected_contacts.end(contact_id, portal_user_id)
            if to_invite and guards.person().may(Right.ADMIN):
                batch = invitation_batches.choose(to_invite)
    except Conflict as conflict:
        too_late(conflict)
        return go("patient_contacts", patient_id=patient_id)
    if batch:
        flash(_("Ended. Now confirm the invitation of the new address."), "success")
        return go("invitation_confirmation", batch_id=batch.id)
    if to_invite:
        flash(_("Ended. Ask an admin of your clinic to invite the new address."), "success")
    else:
        flash(_("Ended."), "success")
    return go("patient_contacts", patient_id=patient_id)


def _stands_by(contact_id: UUID, patient_id: UUID) -> None:
    if patient_id not in {each_id for each_id, _name, _kind in contacts.patients_of(contact_id)}:
        raise NotFound("contact of this patient")
