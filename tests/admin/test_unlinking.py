"""Ending one person's access to one patient, and why."""

from flask import Flask
from sqlalchemy import select

from clinic import demo
from clinic.portal_users import PortalAccess
from tenancy.database import db
from tests.inside import inside, user
from tests.visitor import Visitor


def test_who_ended_an_access_and_why_is_kept(app: Flask) -> None:
    """Lost if it fails: after a custody dispute the clinic cannot say why a parent was shut out."""
    with inside(app, demo.ELM):
        omar = user("omar@family.example").id
        (access,) = db.session.scalars(select(PortalAccess.id).where(PortalAccess.portal_user_id == omar))
    staff = Visitor(app, "http://admin.localhost:8000").sign_in("ana@elm.example", f"/{demo.ELM}")
    page = f"/{demo.ELM}/portal-users/{omar}"
    assert "Why?" in staff.read(page)
    assert staff.post(f"{page}/access/{access}/unlinking", {"reason": "Court order of May 3"}).status_code == 303
    with inside(app, demo.ELM):
        row = db.session.scalars(select(PortalAccess).where(PortalAccess.id == access)).one()
        assert row.ended_at and row.ended_by_id and row.ended_reason == "Court order of May 3"
