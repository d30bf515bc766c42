"""Where a portal user is signed in, ending it, and how long this sign-in lasts."""

from typing import Any
from uuid import UUID

from flask import flash, jsonify, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from clinic import sessions
from clinic.actors import Holder
from portal_app import guards
from tenancy.database import transaction
from tenancy.errors import Conflict
from ui import languages
from ui.session_life import FORGET


def listed() -> str:
    with transaction():
        live = sessions.of_holder(_holder())
    return render_template("portal/sessions/list.html", sessions=live, this_one=guards.person().session.id)


def end(session_id: UUID) -> Response:
    try:
        with transaction():
            sessions.end_own(_holder(), session_id)
        flash(_("That sign-in is ended."), "success")
    except Conflict as conflict:
        flash(str(conflict.message), "info")
    return redirect(url_for("portal.sessions"), 303)


def sign_out_everywhere() -> Response:
    with transaction():
        sessions.sign_out_everywhere(_holder())
    languages.begin_anew()
    flash(_("You are signed out everywhere."), "success")
    answer = redirect(url_for("portal.sign_in"), 303)
    answer.headers["Clear-Site-Data"] = FORGET
    return answer


def clock() -> Any:
    """How long this sign-in lasts. Asking does not prolong it, a POST does."""
    left = guards.session_clock()
    return jsonify(idle=left.idle_seconds, most=left.most_seconds, holder=left.holder)


def _holder() -> Holder:
    return guards.person().session.holder
