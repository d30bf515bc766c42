"""Asking the clinic for an appointment, and taking that back. What became of it stands on the appointments page."""

from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms.validators import Optional

from clinic import appointment_requests, portal_home
from portal_app import wayfinding
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui.forms import DateField, LinesField, PorticoForm, at_most, required
from ui.looks import shows


class WishForm(PorticoForm):
    wish = LinesField(
        _l("What do you wish?"),
        [required(_l("Say what you wish, such as a day and a service.")), at_most(appointment_requests.LONGEST_WISH)],
    )
    preferred_on = DateField(_l("Preferred day"), [Optional()])


@shows("appointments.viewed")
def ask(patient_id: UUID) -> Any:
    form = WishForm()
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_appointment_requests(patient_id))
    if form.validate_on_submit():
        try:
            with transaction():
                appointment_requests.ask(patient_id, form.wish.data, form.preferred_on.data)
            flash(_("Your request is sent. You find the clinic's answer here."), "success")
            return redirect(url_for("portal.appointments", patient_id=patient_id), 303)
        except Refused as refusal:
            form.refuse(refusal)
    page = render_template("portal/appointment_requests/new.html", patient=patient, form=form)
    return page, 422 if form.errors else 200


def withdraw(patient_id: UUID, request_id: UUID) -> Any:
    try:
        with transaction():
            portal_home.see_appointment_requests(patient_id)
            if appointment_requests.get(request_id).patient_id != patient_id:
                raise NotFound("appointment request for this patient")
            appointment_requests.withdraw(request_id)
        flash(_("Your request is withdrawn."), "success")
    except Conflict as conflict:
        flash(str(conflict.message), "error")
    return redirect(url_for("portal.appointments", patient_id=patient_id), 303)
