"""Staff sign in with password and second factor, prove once more who they are, sign out, ask for a new password."""

from flask import Response, redirect, request, session
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse

from admin_app import guards
from admin_app.blueprint import admin, go, next_path, page, relying_party
from admin_app.guards import needs, open_page
from clinic import passkeys, reset_requests, second_factors, sign_in, throttle
from clinic.second_factors import FactorKind
from clinic.sessions import Stage
from tenancy import known_devices
from tenancy.database import transaction
from tenancy.errors import Refused
from ui.doors import at_stage
from ui.factor_forms import CodeForm, ConfirmationForm, RecoveryCodeForm
from ui.forms import EmailField, PasswordField, PorticoForm, required
from ui.session_life import FORGET


class SignInForm(PorticoForm):
    email = EmailField(_l("E-mail"), [required(_l("Enter your e-mail address."))])
    password = PasswordField(_l("Password"), [required(_l("Enter your password."))])


class ForgottenPasswordForm(PorticoForm):
    email = EmailField(_l("E-mail"), [required(_l("Enter your e-mail address."))])


@admin.route("/sign-in", methods=["GET", "POST"])
@open_page
def sign_in_page() -> AnyResponse:
    form = SignInForm()
    if form.validate_on_submit():
        onward = next_path()
        account = throttle.at_door(form.email.data, of_staff=True)
        with throttle.counting(throttle.Purpose.SIGN_IN, account, known_devices.caller()) as tried:
            with transaction():
                tried.hold()
                outcome = sign_in.staff_member(form.email.data, form.password.data)
            tried.was_right = outcome.token is not None
        if outcome.token:
            return entered(outcome.token, onward)
        form.refuse(Refused(sign_in.WRONG))
    return page("admin/sign_in/sign_in.html", form=form)


@admin.route("/sign-in/code", methods=["GET", "POST"])
@at_stage(Stage.FACTOR_DUE)
@needs()
def sign_in_code() -> AnyResponse:
    return _code_page("code", CodeForm(), FactorKind.AUTHENTICATOR)


@admin.route("/sign-in/recovery-code", methods=["GET", "POST"])
@at_stage(Stage.FACTOR_DUE)
@needs()
def sign_in_recovery_code() -> AnyResponse:
    return _code_page("recovery_code", RecoveryCodeForm(), FactorKind.RECOVERY_CODE)


def _code_page(name: str, form: CodeForm | RecoveryCodeForm, kind: FactorKind) -> AnyResponse:
    if form.validate_on_submit():
        with guards.own_secret(throttle.Purpose.FACTOR_CODE) as (live, tried):
            outcome = sign_in.show_code(live, form.code.data, kind)
            tried.was_right = outcome.token is not None
        if outcome.token:
            return entered(outcome.token, next_path())
        form.code.data = ""
        form.refuse(Refused(sign_in.WRONG_CODES[kind], field="code"))
    return code_page(name, form)


def code_page(name: str, form: CodeForm | RecoveryCodeForm) -> AnyResponse:
    with guards.own_sign_in() as live:
        factors = second_factors.of_holder(live.holder)
        has_passkey_here = passkeys.work_at(relying_party(), live.holder)
    return page(
        f"admin/sign_in/{name}.html",
        form=form,
        factors=factors,
        has_passkey_here=has_passkey_here,
        next=request.args.get("next"),
    )


@admin.route("/confirmation", methods=["GET", "POST"])
@at_stage(Stage.FULL, Stage.ENROLMENT_DUE)
@needs()
def confirmation() -> AnyResponse:
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
            return entered(outcome.token, next_path())
        form.refuse(Refused(sign_in.NOT_CONFIRMED))
    return confirmation_page(form)


def confirmation_page(form: ConfirmationForm) -> AnyResponse:
    with guards.own_sign_in() as live:
        has_passkey_here = sign_in.asks_code(live) and passkeys.work_at(relying_party(), live.holder)
    return page(
        "admin/sign_in/confirmation.html",
        form=form,
        email=guards.person().member.email,
        has_passkey_here=has_passkey_here,
        next=request.args.get("next"),
    )


def entered(token: str, onward: str) -> AnyResponse:
    guards.enter(token)
    return redirect(onward, 303)


@admin.post("/sign-out")
@at_stage(*Stage)
@needs()
def sign_out() -> AnyResponse:
    with transaction():
        sign_in.sign_out(guards.person().session.id)
    session.clear()
    answer = go("sign_in_page")
    answer.headers["Clear-Site-Data"] = FORGET
    return answer


@admin.route("/forgot-password", methods=["GET", "POST"])
@open_page
def forgotten_password() -> AnyResponse:
    form = ForgottenPasswordForm()
    if form.validate_on_submit():
        account = throttle.at_door(form.email.data, of_staff=True)
        if throttle.may_mail(throttle.Purpose.PASSWORD_RESET, account, known_devices.caller()):
            with transaction():
                reset_requests.ask(form.email.data, of_staff=True)
        return go("password_link_sent")
    return page("admin/sign_in/forgotten_password.html", form=form)


@admin.get("/forgot-password/sent")
@open_page
def password_link_sent() -> Response:
    return page("admin/sign_in/password_link_sent.html")
