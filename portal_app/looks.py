"""Who has looked at this record: the clinic's staff, and oneself, month by month."""

import re
from datetime import date, timedelta
from uuid import UUID

from flask import render_template, request
from flask_babel import lazy_gettext as _l

from clinic import audit_log, portal_home
from clinic.staff import StaffRole
from portal_app import guards, wayfinding
from tenancy import clock
from tenancy.database import transaction
from ui.looks import shows

PAGES = {
    "patient.viewed": _l("Overview"),
    "patient_details.viewed": _l("Details, such as the birth date"),
    "appointments.viewed": _l("Appointments"),
    "appointment.viewed": _l("An appointment"),
    "documents.viewed": _l("List of documents"),
    "document.viewed": _l("A document's title and date"),
    "document.opened": _l("A document"),
    "document.downloaded": _l("A document, downloaded"),
    "billing.viewed": _l("Billing"),
    "invoice.viewed": _l("An invoice"),
    "invoice.downloaded": _l("An invoice, downloaded"),
    "receipt.downloaded": _l("A receipt, downloaded"),
    "statement.downloaded": _l("A statement, downloaded"),
}
ROLES = {
    StaffRole.ADMIN: _l("Administration"),
    StaffRole.BILLING: _l("Billing"),
    StaffRole.FRONT_DESK: _l("Front desk"),
    StaffRole.THERAPIST: _l("Therapist"),
}
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@shows("looks.viewed")
def listed(patient_id: UUID) -> str:
    this_month = clock.today(guards.clinic().time_zone).replace(day=1)
    month = _asked_for(this_month)
    following = _month_after(month)
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_records(patient_id))
        found = audit_log.looks_at(patient.id, month, following)
    return render_template(
        "portal/looks/list.html",
        patient=patient,
        found=found,
        month=month,
        before=(month - timedelta(days=1)).replace(day=1),
        after=following if following <= this_month else None,
        pages=PAGES,
        roles=ROLES,
    )


def _asked_for(this_month: date) -> date:
    """`?month=2026-11`; this month for anything else, and for a month to come."""
    typed = _MONTH.fullmatch(request.args.get("month", ""))
    month = date(max(int(typed[1]), 2000), int(typed[2]), 1) if typed else this_month
    return min(month, this_month)


def _month_after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
