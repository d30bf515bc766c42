"""Appointment requests: what families wish, the way to book it, and the answer they read."""

from uuid import UUID

from flask import Response, flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse

from admin_app import paging
from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from clinic import appointment_requests, patients, portal_settings
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui.forms import LinesField, PorticoForm, at_most, required
from ui.looks import about, shows


class AnswerForm(PorticoForm):
    answer = LinesField(
        _l("Answer"), [required(_l("Write an answer.")), at_most(appointment_requests.LONGEST_ANSWER)]
    )


@admin.get("/appointment-requests")
@needs(Right.RECORDS)
@shows("appointment_requests.listed")
def appointment_requests_list() -> Response:
    place = paging.place()
    with transaction():
        found = appointment_requests.search(after=place, limit=paging.ROWS + 1)
        allowed = portal_settings.get().allows_appointment_requests
    rows, following = paging.cut(found)
    return page("admin/appointment_requests/list.html", rows=rows, place=place, following=following, allowed=allowed)


@admin.route("/appointment-requests/<uuid:request_id>", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("appointment_request.viewed")
def appointment_request(request_id: UUID) -> AnyResponse:
    form = AnswerForm()
    if form.validate_on_submit():
        try:
            with transaction():
                appointment_requests.answer(request_id, form.answer.data)
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            too_late(conflict)
            return go("appointment_request", request_id=request_id)
        else:
            flash(_("The request is answered."), "success")
            return go("appointment_requests_list")
    with transaction():
        found = appointment_requests.get(request_id)
        patient = patients.row_of(found.patient_id)
        about(patient.id)
        allowed = portal_settings.get().allows_appointment_requests
    return page(
        "admin/appointment_requests/appointment_request.html",
        form=form,
        patient=patient,
        wish=found,
        allowed=allowed,
    )
