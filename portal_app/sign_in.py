"""Signing in and out, and asking for a link to choose a new password."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from clinic import reset_requests, sign_in, throttle
from portal_app import guards
from tenancy import known_devices
from tenancy.database import transaction
from tenancy.errors import Refused
from ui import languages
from ui.doors import open_page, safe_next
from ui.forms import EmailField, PasswordField, PorticoForm, required
from ui.session_life import FORGET


class SignInForm(PorticoForm):
    email = EmailField(_l("E-mail address"), [required(_l("Enter your e-mail address."))])
    password = PasswordField(_l("Password"), [required(_l("Enter your password."))])


class NewLinkForm(PorticoForm):
    email = EmailField(_l("E-mail address"), [required(_l("Enter your e-mail address."))])


@open_page
def enter() -> Any:
    form = SignInForm()
    if form.validate_on_submit():
        account = throttle.at_door(form.email.data, of_staff=False)
        with throttle.counting(throttle.Purpose.SIGN_IN, account, known_devices.caller()) as tried:
            with transaction():
                tried.hold()
                outcome = sign_in.portal_user(form.email.data, form.password.data)
            tried.was_right = outcome.token is not None
        if outcome.token:
            guards.begin_session(outcome.token)
            return redirect(safe_next(request.args.get("next")) or url_for("portal.home"), 303)
        form.refuse(Refused(sign_in.WRONG))
    return render_template("portal/sign_in/enter.html", form=form), 422 if form.errors else 200


def leave() -> Response:
    with transaction():
        sign_in.sign_out(guards.person().session.id)
    languages.begin_anew()
    flash(_("You are signed out."), "success")
    answer = redirect(url_for("portal.sign_in"), 303)
    answer.headers["Clear-Site-Data"] = FORGET
    return answer


@open_page
def ask_for_link() -> Any:
    """For a forgotten password, and for an invitation whose link is gone: the answer is the same for every address."""
    form = NewLinkForm()
    if form.validate_on_submit():
        account = throttle.at_door(form.email.data, of_staff=False)
        if throttle.may_mail(throttle.Purpose.PASSWORD_RESET, account, known_devices.caller()):
            with transaction():
                reset_requests.ask(form.email.data, of_staff=False)
        return redirect(url_for("portal.link_mailed"), 303)
    return render_template("portal/sign_in/ask_for_link.html", form=form), 422 if form.errors else 200


@open_page
def link_mailed() -> str:
    return render_template("portal/sign_in/link_mailed.html")
