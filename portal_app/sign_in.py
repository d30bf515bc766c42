"""Signing in with password and second factor, proving once more who one is, signing out, asking for a new password."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from clinic import passkeys, reset_requests, second_factors, sign_in, throttle
from clinic.second_factors import FactorKind
from clinic.sessions import Stage
from portal_app import guards
from tenancy import known_devices
from tenancy.database import transaction
from tenancy.errors import Refused
from ui import languages
from ui.doors import at_stage, open_page, safe_next
from ui.factor_forms import CodeForm, ConfirmationForm, RecoveryCodeForm
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
            return entered(outcome.token)
        form.refuse(Refused(sign_in.WRONG))
    return render_template("portal/sign_in/enter.html", form=form), 422 if form.errors else 200


@at_stage(Stage.FACTOR_DUE)
def show_code() -> Any:
    return _code_page("code", CodeForm(), FactorKind.AUTHENTICATOR)


@at_stage(Stage.FACTOR_DUE)
def show_recovery_code() -> Any:
    return _code_page("recovery_code", RecoveryCodeForm(), FactorKind.RECOVERY_CODE)


def _code_page(name: str, form: CodeForm | RecoveryCodeForm, kind: FactorKind) -> Any:
    if form.validate_on_submit():
        with guards.own_secret(throttle.Purpose.FACTOR_CODE) as (live, tried):
            outcome = sign_in.show_code(live, form.code.data, kind)
            tried.was_right = outcome.token is not None
        if outcome.token:
            return entered(outcome.token)
        form.code.data = ""
        form.refuse(Refused(sign_in.WRONG_CODES[kind], field="code"))
    return code_page(name, form)


def code_page(name: str, form: CodeForm | RecoveryCodeForm) -> Any:
    with guards.own_sign_in() as live:
        factors = second_factors.of_holder(live.holder)
        has_passkey_here = passkeys.work_at(guards.relying_party(), live.holder)
    page = render_template(
        f"portal/sign_in/{name}.html",
        form=form,
        factors=factors,
        has_passkey_here=has_passkey_here,
        next=request.args.get("next"),
    )
    return page, 422 if form.errors else 200


@at_stage(Stage.FULL, Stage.ENROLMENT_DUE)
def confirm() -> Any:
    """Please confirm it is you; then on to where you were."""
    form = ConfirmationForm()
    with guards.own_sign_in() as live:
        if not sign_in.asks_code(live):
            del form.code
    if form.validate_on_submit():
        with guards.own_secret(throttle.Purpose.PRESENT_PASSWORD) as (live, tried):
            outcome = sign_in.confirm(live, form.password.data, form.code.data if form.code else "")
            tried.was_right = outcome.token is not None
        if outcome.token:
            return entered(outcome.token)
        form.refuse(Refused(sign_in.NOT_CONFIRMED))
    return confirmation_page(form)


def confirmation_page(form: ConfirmationForm) -> Any:
    with guards.own_sign_in() as live:
        has_passkey_here = sign_in.asks_code(live) and passkeys.work_at(guards.relying_party(), live.holder)
    page = render_template(
        "portal/sign_in/confirmation.html",
        form=form,
        email=guards.person().email,
        has_passkey_here=has_passkey_here,
        next=request.args.get("next"),
    )
    return page, 422 if form.errors else 200


def entered(token: str) -> Response:
    guards.begin_session(token)
    return redirect(onward(), 303)


def onward() -> str:
    """Where to go after signing in: the page that was asked for, or home."""
    return safe_next(request.args.get("next")) or url_for("portal.home")


@at_stage(*Stage)
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
