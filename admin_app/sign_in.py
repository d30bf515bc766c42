"""Staff sign in with a password, sign out, and ask for a new password by mail."""

from flask import Response, redirect, session
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse

from admin_app import guards
from admin_app.blueprint import admin, go, next_path, page
from admin_app.guards import needs, open_page
from clinic import reset_requests, sign_in, throttle
from tenancy import known_devices
from tenancy.database import transaction
from tenancy.errors import Refused
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
            guards.enter(outcome.token)
            return redirect(onward, 303)
        form.refuse(Refused(sign_in.WRONG))
    return page("admin/sign_in/sign_in.html", form=form)


@admin.post("/sign-out")
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
