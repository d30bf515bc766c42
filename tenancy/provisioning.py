"""Bringing a clinic into being, renaming it, setting its plan and status. Runs inside the clinic it is about."""

from uuid import UUID, uuid4
from zoneinfo import available_timezones

from flask_babel import lazy_gettext as _l
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from tenancy import clock, keys, tenant
from tenancy.clinics import Clinic, ClinicAddress, Plan, Status
from tenancy.database import db, locked
from tenancy.errors import Refused
from tenancy.slugs import has_grammar, is_reserved

NOT_AN_ADDRESS = _l(
    "Use 3 to 40 characters: a–z, 0–9 and single hyphens, not at the edges. For example: mytherapyclinic."
)
RESERVED = _l("This address is reserved. Please choose another.")
TAKEN = _l("This address is not available. Please choose another.")


def new_clinic_id() -> UUID:
    """An id to open the clinic under before its row exists: everything about it is written from the inside."""
    return uuid4()


def check_slug(slug: str) -> None:
    """Raises Refused with a sentence for the field."""
    if not has_grammar(slug):
        raise Refused(NOT_AN_ADDRESS, field="slug")
    if is_reserved(slug):
        raise Refused(RESERVED, field="slug")


def create(*, name: str, slug: str, plan: Plan = Plan.CORE, time_zone: str = "America/New_York") -> Clinic:
    """The clinic's row, its first address and its key, under the id that is open. Raises Refused."""
    if not 1 <= len(name.strip()) <= 80:
        raise Refused(_l("The clinic's name must have 1 to 80 characters."), field="name")
    if time_zone not in available_timezones():
        raise Refused(_l("This is not a time zone. For example: America/New_York."), field="time_zone")
    check_slug(slug)
    clinic = Clinic(
        id=tenant.current_clinic_id(),
        name=name.strip(),
        plan=plan,
        status=Status.ACTIVE,
        time_zone=time_zone,
        created_at=clock.now(),
    )
    db.session.add(clinic)
    db.session.flush()
    _take(slug)
    keys.make()
    return clinic


def rename(slug: str) -> str:
    """Give the open clinic another address; returns the old one. Its own earlier addresses may be taken up again."""
    check_slug(slug)
    _locked()  # the clinic, so that two renames follow one another
    current = db.session.scalars(
        select(ClinicAddress).where(
            ClinicAddress.clinic_id == tenant.current_clinic_id(), ClinicAddress.retired_at.is_(None)
        )
    ).one()
    if current.slug == slug:
        return slug
    current.retired_at = clock.now()
    again = db.session.execute(
        update(ClinicAddress).where(ClinicAddress.slug == slug).values(retired_at=None).returning(ClinicAddress.slug)
    ).scalar_one_or_none()
    if again is None:
        _take(slug)
    return current.slug


def set_plan(plan: Plan) -> Plan:
    """Returns the plan before."""
    clinic = _locked()
    before, clinic.plan = Plan(clinic.plan), plan
    return before


def set_status(status: Status) -> Status:
    """Suspend or resume the open clinic; returns the status before."""
    clinic = _locked()
    before, clinic.status = Status(clinic.status), status
    return before


def set_payment_processing(is_on: bool) -> None:
    """Whether the clinic can take payments now; balance and invoices show on the portal only while it can."""
    _locked().payment_processing_since_at = clock.now() if is_on else None


def _take(slug: str) -> None:
    try:
        with db.session.begin_nested():
            db.session.add(ClinicAddress(slug=slug, clinic_id=tenant.current_clinic_id(), taken_at=clock.now()))
    except IntegrityError as error:
        raise Refused(TAKEN, field="slug") from error


def _locked() -> Clinic:
    return db.session.scalars(locked(select(Clinic).where(Clinic.id == tenant.current_clinic_id()))).one()
