"""Appointments of a patient: those to come, then those that were."""

from uuid import UUID

from flask import render_template

from clinic import appointment_requests, appointments, portal_home
from portal_app import wayfinding
from tenancy.database import transaction
from ui.looks import shows


@shows("appointments.viewed")
def listed(patient_id: UUID) -> str:
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_records(patient_id))
        upcoming, past = appointments.of_patient(patient.id)
        requests = appointment_requests.of_portal_user(patient.id) if patient.allows_appointment_requests else []
    return render_template("portal/appointments/list.html", patient=patient, upcoming=upcoming, past=past, requests=requests)
