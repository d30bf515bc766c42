"""Who sees what of a patient on the portal: asked as they ask, and given as staff give."""

from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import select, text

from clinic import demo, portal_home, portal_users
from clinic.audit import AuditEntry
from clinic.portal_users import AccessDetails, PortalAccess
from tenancy.database import db
from tenancy.tenant import Role
from tests.inside import acting, inside, patient, user

MARIA, ANA = "maria@family.example", "ana@elm.example"
BOTH, NOTHING = (True, True), (False, False)


def access_of(email: str, name: str) -> PortalAccess:
    """The access that was not taken away."""
    return db.session.scalars(
        select(PortalAccess).where(
            PortalAccess.portal_user_id == user(email).id,
            PortalAccess.patient_id == patient(name).id,
            PortalAccess.ended_at.is_(None),
        )
    ).one()


def seen_by(app: Flask, email: str = MARIA) -> dict[str, tuple[bool, bool]]:
    """Patient → (records, billing), as this person's pages have it. Row security says the same, or this fails."""
    with inside(app, demo.ELM):
        me = user(email).id
    with inside(app, demo.ELM, Role.PORTAL, me):
        listed = {each.id: each for each in portal_home.patients()}
        at_home = {each.patient.id for each in portal_home.at_home()}
        assert at_home == set(listed)
        assert _by_row_security("records") == {each.id for each in listed.values() if each.records}
        assert _by_row_security("billing") == {each.id for each in listed.values() if each.billing}
        assert set(db.session.scalars(text("SELECT id FROM patients"))) == set(listed)
        assert set(db.session.scalars(text("SELECT patient_id FROM documents"))) <= _by_row_security("records")
        return {each.name: (each.records, each.billing) for each in listed.values()}


def _by_row_security(part: str) -> set[UUID]:
    return set(db.session.scalars(text(f"SELECT app.patients_with_{part}()")))


def change(
    app: Flask, details: AccessDetails, reason: str = "A court said so", *, email: str = MARIA, name: str = "Leo Lopez"
) -> None:
    with inside(app, demo.ELM), acting(ANA):
        portal_users.change_access(access_of(email, name).id, details, reason)


def recorded(app: Flask, event: str) -> list[dict[str, Any]]:
    """The details of each audit entry of an event, the oldest first."""
    with inside(app, demo.ELM):
        found = select(AuditEntry.details).where(AuditEntry.event == event).order_by(AuditEntry.at)
        return list(db.session.scalars(found))
