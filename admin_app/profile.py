"""A staff member's own page: who they are here, and how they sign in."""

from flask import Response

from admin_app.blueprint import admin, page
from admin_app.guards import needs


@admin.get("/profile")
@needs()
def profile() -> Response:
    return page("admin/profile/profile.html")
