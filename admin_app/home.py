"""The staff's home: what needs attention, and the ways on."""

from flask import Response

from admin_app.blueprint import admin, page
from admin_app.guards import needs, person
from clinic import coming_of_age, portal_users
from clinic.portal_users import PortalUserState
from clinic.staff import Right
from mail import letterhead
from tenancy.database import transaction

TROUBLED = (PortalUserState.UNDELIVERED, PortalUserState.LOCKED, PortalUserState.EXPIRED)


@admin.get("/")
@needs()
def home() -> Response:
    if not person().may(Right.ADMIN):
        return page("admin/home/home.html")
    with transaction():
        counted = portal_users.count_unaccepted()
        head = letterhead.of_clinic()
        coming = coming_of_age.coming()
    return page(
        "admin/home/home.html",
        troubles=[(state, counted[state]) for state in TROUBLED if counted.get(state)],
        waiting=counted.get(PortalUserState.INVITED, 0),
        head=head,
        coming=sum(not each.is_of_age for each in coming),
    )
