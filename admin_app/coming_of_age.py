"""Which patients come of age soon, or did of late, and how many caregivers that concerns."""

from flask import Response

from admin_app.blueprint import admin, page
from admin_app.guards import needs
from clinic import coming_of_age, portal_settings
from clinic.staff import Right
from tenancy.database import transaction
from ui.looks import shows


@admin.get("/coming-of-age")
@needs(Right.RECORDS)
@shows("coming_of_age.listed")
def coming_of_age_list() -> Response:
    with transaction():
        rows, years = coming_of_age.coming(), portal_settings.get().of_age_years
    return page("admin/coming_of_age/list.html", rows=rows, years=years)
