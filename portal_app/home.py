"""The first page after signing in: for each patient what comes next, what is new and what is owed. And the logo."""

from flask import Response, render_template

from clinic import appearance, portal_home
from portal_app import guards, wayfinding
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import NotFound
from ui.doors import open_page
from ui.looks import about, shows


@shows("home.viewed")
def show() -> str:
    with transaction():
        found = portal_home.at_home()
    wayfinding.may_see([each.patient for each in found])
    about(*(each.patient.id for each in found))
    return render_template("portal/home/home.html", found=found, as_of=clock.now())


@open_page
def logo(version: str) -> Response:
    if version != guards.clinic().logo_version:
        raise NotFound("logo")
    with transaction():
        png = appearance.logo()
    answer = Response(png, mimetype="image/png")
    answer.cache_control.public = answer.cache_control.immutable = True
    answer.cache_control.max_age = 31_536_000
    return answer
