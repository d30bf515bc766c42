"""Where a staff member is signed in, ending it, and how long this sign-in lasts."""

from uuid import UUID

from flask import Response, flash, jsonify, session
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from admin_app import guards
from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from clinic import sessions
from clinic.actors import Holder
from tenancy.database import transaction
from tenancy.errors import Conflict
from ui.session_life import FORGET


@admin.get("/profile/sessions")
@needs()
def sessions_list() -> Response:
    with transaction():
        live = sessions.of_holder(_holder())
    return page("admin/sessions/list.html", sessions=live, this_one=guards.person().session.id)


@admin.post("/profile/sessions/<uuid:session_id>/ending")
@needs()
def session_ending(session_id: UUID) -> AnyResponse:
    try:
        with transaction():
            sessions.end_own(_holder(), session_id)
        flash(_("That sign-in is ended."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("sessions_list")


@admin.post("/profile/sessions/ending")
@needs()
def sessions_ending() -> AnyResponse:
    with transaction():
        sessions.sign_out_everywhere(_holder())
    session.clear()
    flash(_("You are signed out everywhere."), "success")
    answer = go("sign_in_page")
    answer.headers["Clear-Site-Data"] = FORGET
    return answer


@admin.route("/session", methods=["GET", "POST"])
@needs()
def session_clock() -> Response:
    """How long this sign-in lasts. Asking does not prolong it, a POST does."""
    left = guards.session_clock()
    return jsonify(idle=left.idle_seconds, most=left.most_seconds, holder=left.holder)


def _holder() -> Holder:
    return guards.person().session.holder
