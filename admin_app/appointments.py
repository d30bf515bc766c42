"""A patient's appointments, typed and read on the wall clock of the clinic's time zone."""

import datetime as dt
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Response, flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import IntegerField, RadioField, SelectChoice, StringField, TimeField

from admin_app.blueprint import admin, clinic_here, go, page, too_late
from admin_app.guards import needs
from clinic import appointments, patients
from clinic.appointments import AppointmentDetails, AppointmentRow
from clinic.patients import PatientRow
from clinic.staff import Right
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui.forms import DateField, PorticoForm, at_most, chosen, required
from ui.looks import shows

MOST_YEARS = 10  # ahead or back: anything else is a typing mistake
FIRST, SECOND = "first", "second"
SKIPPED = _l("This time does not exist on that day, because the clocks go forward. Choose another.")
TWICE = _l("This time comes twice on that day, because the clocks go back. Say which one you mean.")
FAR_AWAY = _l("This day is more than ten years away. Check the date.")


class WallClockField(TimeField):
    """A time of day, sent as HH:MM."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError as error:
            raise ValueError(_l("Enter a time such as 14:30.")) from error


class MinutesField(IntegerField):
    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError as error:
            raise ValueError(_l("Enter a number of minutes, such as 45.")) from error


class AppointmentForm(PorticoForm):
    day = DateField(_l("Day"), [required(_l("Enter a day."))])
    time = WallClockField(_l("Time"), [chosen(_l("Enter a time."))])
    occurrence = RadioField(
        _l("Which of the two?"),
        choices=[
            SelectChoice(FIRST, _l("The first, before the clocks go back")),
            SelectChoice(SECOND, _l("The second, after")),
        ],
        validate_choice=False,
    )
    duration_minutes = MinutesField(_l("Length in minutes"), [chosen(_l("Enter a number of minutes, such as 45."))])
    service = StringField(_l("Service"), [required(_l("Name the service, such as Speech therapy.")), at_most(80)])
    therapist = StringField(_l("Therapist"), [at_most(80)])
    place = StringField(_l("Place"), [at_most(80)])

    def details(self, zone: ZoneInfo) -> AppointmentDetails:
        """Raises Refused for a time that does not exist, or not only once."""
        return AppointmentDetails(
            starts_at=instant(self.day.data, self.time.data, zone, self.occurrence.data),
            duration_minutes=self.duration_minutes.data,
            service=self.service.data,
            therapist=self.therapist.data or "",
            place=self.place.data or "",
        )


def instant(day: dt.date, time: dt.time, zone: ZoneInfo, occurrence: str | None) -> dt.datetime:
    """When a wall clock shows this, in UTC. Raises Refused where it never does, or does twice and none is chosen."""
    if abs(day.year - clock.now().year) > MOST_YEARS:
        raise Refused(FAR_AWAY, field="day")
    first = dt.datetime.combine(day, time, zone)
    second = first.replace(fold=1)
    if first.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != first.replace(tzinfo=None):
        raise Refused(SKIPPED, field="time")
    if first.utcoffset() != second.utcoffset() and occurrence not in (FIRST, SECOND):
        raise Refused(TWICE, field="occurrence")
    return (second if occurrence == SECOND else first).astimezone(dt.UTC)


def as_typed(row: AppointmentRow, zone: ZoneInfo) -> dict[str, Any]:
    """The form's values for an appointment."""
    local = row.starts_at.astimezone(zone)
    is_twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    return {
        "day": local.date(),
        "time": local.time().replace(fold=0),
        "occurrence": (SECOND if local.fold else FIRST) if is_twice else None,
        "duration_minutes": row.duration_minutes,
        "service": row.service,
        "therapist": row.therapist,
        "place": row.place,
    }


@admin.get("/patients/<uuid:patient_id>/appointments")
@needs(Right.RECORDS)
@shows("appointments.viewed")
def patient_appointments(patient_id: UUID) -> Response:
    with transaction():
        patient = patients.row_of(patient_id)
        upcoming, past = appointments.of_patient(patient_id)
    return page("admin/appointments/of_patient.html", patient=patient, upcoming=upcoming, past=past)


@admin.route("/patients/<uuid:patient_id>/appointments/new", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("appointments.viewed")
def new_appointment(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
    form = AppointmentForm()
    if form.validate_on_submit():
        try:
            details = form.details(_zone())
            with transaction():
                appointments.book(patient_id, details)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The appointment is booked."), "success")
            return go("patient_appointments", patient_id=patient_id)
    return page("admin/appointments/new.html", form=form, patient=patient)


@admin.route("/patients/<uuid:patient_id>/appointments/<uuid:appointment_id>", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("appointment.viewed")
def appointment(patient_id: UUID, appointment_id: UUID) -> AnyResponse:
    with transaction():
        patient, found = _of_patient(patient_id, appointment_id)
    form = AppointmentForm(data=as_typed(found, _zone()))
    if form.validate_on_submit():
        try:
            details = form.details(_zone())
            with transaction():
                appointments.change(appointment_id, details)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The appointment is corrected."), "success")
            return go("patient_appointments", patient_id=patient_id)
    return page("admin/appointments/appointment.html", form=form, patient=patient, appointment=found)


@admin.post("/patients/<uuid:patient_id>/appointments/<uuid:appointment_id>/cancellation")
@needs(Right.RECORDS)
def appointment_cancellation(patient_id: UUID, appointment_id: UUID) -> AnyResponse:
    try:
        with transaction():
            _of_patient(patient_id, appointment_id)
            appointments.cancel(appointment_id)
        flash(_("The appointment is cancelled."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("patient_appointments", patient_id=patient_id)


def _zone() -> ZoneInfo:
    return ZoneInfo(clinic_here().time_zone)


def _of_patient(patient_id: UUID, appointment_id: UUID) -> tuple[PatientRow, AppointmentRow]:
    """Raises NotFound, also for another patient's appointment."""
    patient, found = patients.row_of(patient_id), appointments.get(appointment_id)
    if found.patient_id != patient.id:
        raise NotFound("appointment of this patient")
    return patient, found
