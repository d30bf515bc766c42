"""Custody blocks: placed by whoever keeps records, lifted by an administrator. Lifting a hold is here too."""

from uuid import UUID

from flask import flash, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectChoice, SelectField, StringField
from wtforms.validators import Optional

from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from admin_app.portal_access import SAY_WHY
from clinic import access_holds, contacts, patients, portal_users
from clinic.portal_users import HoldKind
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui.forms import EmailField, PorticoForm, at_most
from ui.looks import shows


class BlockForm(PorticoForm):
    contact_id = SelectField(_l("Contact"))
    email = EmailField(_l("E-mail"), [Optional()])
    reason = StringField(_l("Reason"), [SAY_WHY, at_most(portal_users.LONGEST_REASON)])


class LiftForm(PorticoForm):
    reason = StringField(_l("Reason"), [SAY_WHY, at_most(portal_users.LONGEST_REASON)])


@admin.route("/patients/<uuid:patient_id>/custody-blocks/new", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("portal_access.viewed")
def new_custody_block(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient, standers = patients.row_of(patient_id), contacts.of_patient(patient_id)
    form = BlockForm(data={"contact_id": request.args.get("contact", "")})
    form.contact_id.choices = [
        SelectChoice("", _l("Nobody of these")),
        *(SelectChoice(str(each.contact_id), each.name) for each in standers),
    ]
    if form.validate_on_submit():
        try:
            with transaction():
                contact_id = UUID(form.contact_id.data) if form.contact_id.data else None
                access_holds.block(
                    patient_id, contact_id=contact_id, email=form.email.data or "", reason=form.reason.data
                )
        except (Refused, Conflict) as refusal:
            form.refuse(refusal)
        else:
            flash(_("Blocked. This person cannot be invited for the patient, and sees nothing of them."), "success")
            return go("patient_contacts", patient_id=patient_id)
    return page("admin/access_holds/new.html", form=form, patient=patient)


@admin.route("/patients/<uuid:patient_id>/custody-blocks/<uuid:hold_id>/lifting", methods=["GET", "POST"])
@needs(Right.ADMIN)
@shows("portal_access.viewed")
def custody_block_lifting(patient_id: UUID, hold_id: UUID) -> AnyResponse:
    return _lifting(patient_id, hold_id, HoldKind.CUSTODY)


@admin.route("/patients/<uuid:patient_id>/holds/<uuid:hold_id>/lifting", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("portal_access.viewed")
def hold_lifting(patient_id: UUID, hold_id: UUID) -> AnyResponse:
    return _lifting(patient_id, hold_id, HoldKind.HOLD)


def _lifting(patient_id: UUID, hold_id: UUID, kind: HoldKind) -> AnyResponse:
    with transaction():
        patient, hold = patients.row_of(patient_id), access_holds.get(hold_id, patient_id, kind)
    form = LiftForm()
    if form.validate_on_submit():
        try:
            with transaction():
                access_holds.lift(hold_id, patient_id, kind, form.reason.data)
            flash(_("Lifted. What this person could see before, they see again."), "success")
        except Conflict as conflict:
            too_late(conflict)
        return go("patient_contacts", patient_id=patient_id)
    return page("admin/access_holds/lifting.html", form=form, patient=patient, hold=hold)
