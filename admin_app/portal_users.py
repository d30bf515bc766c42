"""Admin → Advanced Setup → Portal Users: who uses the portal, in which state, for which patients."""

from uuid import UUID

from flask import Response, flash, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from admin_app import paging
from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from clinic import invitations, portal_users, second_factors, sign_in
from clinic.actors import Holder
from clinic.portal_users import PortalUserState
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound
from ui.forms import tidy
from ui.looks import shows


@admin.get("/portal-users")
@needs(Right.ADMIN)
@shows("portal_users.listed")
def portal_users_list() -> Response:
    typed, place, asked_for = request.args.get("q", ""), paging.place(), request.args.get("state", "")
    state = PortalUserState(asked_for) if asked_for in list(PortalUserState) else None
    with transaction():
        found = portal_users.search(typed, state=state, after=place, limit=paging.ROWS + 1)
    rows, following = paging.cut(found)
    return page("admin/portal_users/list.html", rows=rows, typed=typed, state=state, place=place, following=following)


@admin.get("/portal-users/<uuid:portal_user_id>")
@needs(Right.ADMIN)
@shows("portal_user.viewed")
def portal_user(portal_user_id: UUID) -> Response:
    with transaction():
        row = portal_users.row_of(portal_user_id)
        access = portal_users.access_of(portal_user_id)
        factors = second_factors.of_holder(Holder(portal_user_id=portal_user_id))
    return page("admin/portal_users/portal_user.html", row=row, access=access, factors=factors)


@admin.post("/portal-users/<uuid:portal_user_id>/resending")
@needs(Right.ADMIN)
def portal_user_resending(portal_user_id: UUID) -> AnyResponse:
    try:
        with transaction():
            invitations.resend(portal_user_id)
        flash(_("The invitation was sent again. Only the newest link works."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("portal_user", portal_user_id=portal_user_id)


@admin.post("/portal-users/<uuid:portal_user_id>/password-reset")
@needs(Right.ADMIN, fresh=True)
def portal_user_password_reset(portal_user_id: UUID) -> AnyResponse:
    with transaction():
        user = portal_users.get(portal_user_id)
        if user.may_sign_in:
            sign_in.mail_reset(user)
    if user.may_sign_in:
        flash(_("A link to choose a new password was sent. It works for 30 minutes."), "success")
    else:
        flash(_("Only an active portal user has a password to reset."), "error")
    return go("portal_user", portal_user_id=portal_user_id)


@admin.post("/portal-users/<uuid:portal_user_id>/deactivation")
@needs(Right.ADMIN, fresh=True)
def portal_user_deactivation(portal_user_id: UUID) -> AnyResponse:
    try:
        with transaction():
            portal_users.deactivate(portal_user_id)
        flash(_("Deactivated. This person is signed out and cannot sign in."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("portal_user", portal_user_id=portal_user_id)


@admin.post("/portal-users/<uuid:portal_user_id>/reactivation")
@needs(Right.ADMIN, fresh=True)
def portal_user_reactivation(portal_user_id: UUID) -> AnyResponse:
    try:
        with transaction():
            portal_users.reactivate(portal_user_id)
        flash(_("Reactivated. What this person could see before, they see again."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("portal_user", portal_user_id=portal_user_id)


@admin.post("/portal-users/<uuid:portal_user_id>/access/<uuid:access_id>/unlinking")
@needs(Right.ADMIN)
def portal_user_unlinking(portal_user_id: UUID, access_id: UUID) -> AnyResponse:
    try:
        with transaction():
            if portal_users.unlink(access_id, tidy(request.form.get("reason", ""))).portal_user_id != portal_user_id:
                raise NotFound("access of this portal user")
        flash(_("Unlinked. This portal user no longer sees the patient."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("portal_user", portal_user_id=portal_user_id)
