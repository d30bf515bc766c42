"""One portal user's access to one patient: what of it, until when, and a hold."""

from uuid import UUID

from flask import flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import BooleanField, StringField
from wtforms.validators import Optional

from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from clinic import access_holds, contacts, patients, portal_users
from clinic.patients import PatientRow
from clinic.portal_users import AccessDetails, AccessRow
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui.forms import DateField, PorticoForm, at_most, required
from ui.looks import shows

SAY_WHY = required(_l("Say why; only staff see it."))


class AccessForm(PorticoForm):
    records = BooleanField(_l("Records: documents, appointments, messages"))
    billing = BooleanField(_l("Billing: balance and invoices"))
    ends_on = DateField(_l("Last day"), [Optional()])
    reason = StringField(_l("Reason for the change"), [SAY_WHY, at_most(portal_users.LONGEST_REASON)])

    def details(self) -> AccessDetails:
        return AccessDetails(self.records.data, self.billing.data, self.ends_on.data)


class HoldForm(PorticoForm):
    hold_reason = StringField(_l("Reason for the hold"), [SAY_WHY, at_most(portal_users.LONGEST_REASON)])
    until_on = DateField(_l("Last day of the hold"), [Optional()])


@admin.route("/patients/<uuid:patient_id>/portal-access/<uuid:access_id>", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("portal_access.viewed")
def portal_access(patient_id: UUID, access_id: UUID) -> AnyResponse:
    with transaction():
        _patient, access = _of_patient(patient_id, access_id)
        ends_on = portal_users.last_day(access.ends_at)
    form = AccessForm(data={"records": access.records, "billing": access.billing, "ends_on": ends_on})
    if form.validate_on_submit():
        try:
            with transaction():
                changed = portal_users.change_access(access_id, form.details(), form.reason.data)
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            too_late(conflict)
            return go("patient_contacts", patient_id=patient_id)
        else:
            if changed.ended_at:
                flash(_("Unlinked, since nothing was left to see. This portal user no longer sees the patient."), "success")
                return go("patient_contacts", patient_id=patient_id)
            flash(_("The access is changed. It works from the next page that this person opens."), "success")
            return go("portal_access", patient_id=patient_id, access_id=access_id)
    return _page(patient_id, access_id, form, HoldForm(formdata=None))


@admin.post("/patients/<uuid:patient_id>/portal-access/<uuid:access_id>/hold")
@needs(Right.RECORDS)
@shows("portal_access.viewed")
def portal_access_hold(patient_id: UUID, access_id: UUID) -> AnyResponse:
    with transaction():
        _patient, access = _of_patient(patient_id, access_id)
        ends_on = portal_users.last_day(access.ends_at)
    form = HoldForm()
    if form.validate_on_submit():
        try:
            with transaction():
                access_holds.hold(access_id, form.hold_reason.data, form.until_on.data)
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            too_late(conflict)
            return go("portal_access", patient_id=patient_id, access_id=access_id)
        else:
            flash(_("On hold. This portal user sees nothing of the patient until the hold is over."), "success")
            return go("portal_access", patient_id=patient_id, access_id=access_id)
    kept = AccessForm(formdata=None, records=access.records, billing=access.billing, ends_on=ends_on)
    return _page(patient_id, access_id, kept, form)


def _page(patient_id: UUID, access_id: UUID, form: AccessForm, hold_form: HoldForm) -> AnyResponse:
    with transaction():
        patient, access = _of_patient(patient_id, access_id)
        stander = contacts.find_stander(access.contact_id, patient_id) if access.contact_id else None
        holds = access_holds.of_patient(patient_id)
    answer = page(
        "admin/portal_access/access.html",
        patient=patient,
        access=access,
        stander=stander,
        hold=next((each for each in holds if not each.is_custody and each.portal_user_id == access.portal_user_id), None),
        form=form,
        hold_form=hold_form,
    )
    if hold_form.errors:
        answer.status_code = 422
    return answer


def _of_patient(patient_id: UUID, access_id: UUID) -> tuple[PatientRow, AccessRow]:
    """Raises NotFound, also for access to another patient, and for access that was taken away."""
    patient, access = patients.row_of(patient_id), portal_users.row_of_access(access_id)
    if access.patient_id != patient.id:
        raise NotFound("access to this patient")
    return patient, access
