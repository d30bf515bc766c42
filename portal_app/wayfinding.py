"""Menu, parts and patient switcher: drawn from what the page's own question already found, without asking again."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import g, request, url_for
from flask_babel import gettext as _

from clinic.portal_home import PatientSeen, Seen
from ui.pages import NavItem

MOST_IN_MENU = 4  # with more patients, home is the list
PART_OF = {
    "portal.looks": "portal.patient",
    "portal.document": "portal.documents",
    "portal.invoice": "portal.billing",
    "portal.new_payment": "portal.billing",
    "portal.payment": "portal.billing",
    "portal.appointment_request": "portal.appointments",
    "portal.new_conversation": "portal.conversations",
    "portal.conversation": "portal.conversations",
}


@dataclass(frozen=True)
class Part:
    """One part of the portal, for one patient."""

    label: str
    picture: str
    href: str
    is_current: bool


@dataclass(frozen=True)
class Switch:
    """A patient one can change to, staying in the same part of the portal where that patient has it."""

    name: str
    href: str
    is_current: bool


def may_see(patients: list[PatientSeen]) -> None:
    """Note the patients that the menu lists on this page."""
    g.patients = patients


def open_patient(seen: Seen) -> PatientSeen:
    """Note whom this page is about."""
    may_see(seen.patients)
    g.patient = seen.patient
    return seen.patient


def menu() -> list[NavItem]:
    """Home, each patient, profile."""
    listed: list[PatientSeen] = g.get("patients", [])
    entries = [_entry(_("Home"), "portal.home")]
    if len(listed) <= MOST_IN_MENU:
        entries += [_patient_entry(each) for each in listed]
    return [*entries, _entry(_("My profile"), "portal.profile")]


def parts(patient: PatientSeen) -> list[Part]:
    """The parts of the portal that this patient has for this reader."""
    listed = [(_("Overview"), "person", "portal.patient")]
    if patient.records:
        listed += [(_("Appointments"), "calendar", "portal.appointments"), (_("Documents"), "document", "portal.documents")]
    if patient.allows_messages:
        listed.append((_("Messages"), "mail", "portal.conversations"))
    if patient.shows_billing:
        listed.append((_("Billing"), "money", "portal.billing"))
    here = PART_OF.get(request.endpoint or "", request.endpoint)
    return [Part(label, picture, _address(end, patient.id), end == here) for label, picture, end in listed]


def switches() -> list[Switch]:
    """All patients; nothing where there is only one."""
    listed: list[PatientSeen] = g.get("patients", [])
    if len(listed) < 2:
        return []
    return [Switch(each.name, _same_part(each), each.id == g.patient.id) for each in listed]


def context() -> dict[str, Any]:
    """What pages about a patient wear besides."""
    patient: PatientSeen | None = g.get("patient")
    return {"parts": parts(patient), "switches": switches()} if patient else {}


def _same_part(patient: PatientSeen) -> str:
    same = (part.href for part in parts(patient) if part.is_current)
    return next(same, _address("portal.patient", patient.id))


def _address(endpoint: str, patient_id: UUID) -> str:
    return url_for(endpoint, patient_id=patient_id)


def _entry(label: str, endpoint: str) -> NavItem:
    here = request.endpoint == endpoint or (request.endpoint or "").startswith(f"{endpoint}_")
    return NavItem(label, url_for(endpoint), here)


def _patient_entry(patient: PatientSeen) -> NavItem:
    opened: PatientSeen | None = g.get("patient")
    here = opened is not None and opened.id == patient.id
    return NavItem(patient.called, _address("portal.patient", patient.id), here)
