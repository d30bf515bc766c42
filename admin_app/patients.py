"""Patients: the list, one patient's details, a new one, corrections."""

from datetime import date
from uuid import UUID

from flask import Response, flash, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import RadioField, SelectChoice, StringField

from admin_app import paging, words
from admin_app.blueprint import admin, go, page
from admin_app.guards import needs
from clinic import appointments, contacts, documents, patients, portal_users
from clinic.patients import PatientDetails, PatientStatus
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Refused
from ui.forms import DateField, PorticoForm, at_most, required
from ui.looks import shows


class PatientForm(PorticoForm):
    name = StringField(_l("Name"), [required(_l("Enter a name.")), at_most(120)])
    nickname = StringField(_l("Nickname"), [at_most(120)])
    birth_on = DateField(_l("Birth date"), [required(_l("Enter a birth date."))])
    reference = StringField(_l("Your reference"), [at_most(40)])
    status = RadioField(
        _l("Status"),
        choices=[SelectChoice(each.value, word) for each, word in words.PATIENT_STATUSES.items()],
        default="active",
    )

    def details(self) -> PatientDetails:
        born: date = self.birth_on.data
        return PatientDetails(
            name=self.name.data,
            birth_on=born,
            nickname=self.nickname.data or "",
            reference=self.reference.data or "",
            status=PatientStatus(self.status.data),
        )


@admin.get("/patients")
@needs(Right.RECORDS)
@shows("patients.listed")
def patients_list() -> Response:
    typed, place = request.args.get("q", ""), paging.place()
    with transaction():
        found = patients.search(typed, after=place, limit=paging.ROWS + 1)
    rows, following = paging.cut(found)
    return page("admin/patients/list.html", rows=rows, typed=typed, place=place, following=following)


@admin.route("/patients/new", methods=["GET", "POST"])
@needs(Right.RECORDS)
def new_patient() -> AnyResponse:
    form = PatientForm()
    if form.validate_on_submit():
        try:
            with transaction():
                added = patients.add(form.details())
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The patient is added. Next, add the people who stand by them."), "success")
            return go("patient_contacts", patient_id=added.id)
    return page("admin/patients/new.html", form=form)


@admin.get("/patients/<uuid:patient_id>")
@needs(Right.RECORDS)
@shows("patient.viewed")
def patient_overview(patient_id: UUID) -> Response:
    with transaction():
        patient = patients.row_of(patient_id)
        upcoming, _past = appointments.of_patient(patient_id)
        filed = documents.of_patient(patient_id)
        standers = contacts.of_patient(patient_id)
        access = portal_users.access_to(patient_id)
    booked = [each for each in upcoming if not each.is_cancelled]
    return page(
        "admin/patients/overview.html",
        patient=patient,
        following=booked[0] if booked else None,
        drafts=sum(not each.is_signed for each in filed),
        shown=sum(each.is_shown for each in filed),
        standers=standers,
        access=access,
    )


@admin.route("/patients/<uuid:patient_id>/editing", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("patient_details.viewed")
def patient_editing(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
    form = PatientForm(obj=patient)
    if form.validate_on_submit():
        try:
            with transaction():
                patients.change(patient_id, form.details())
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The patient's details are saved."), "success")
            return go("patient_overview", patient_id=patient_id)
    return page("admin/patients/edit.html", form=form, patient=patient)
