"""Where mailed links lead staff: a first password, a new password, and the confirmation of the clinic's reply-to.

Following a link changes nothing: the secret moves from the address into the browser's cookie, and only a button uses
it up. A secret of another clinic and one that never was are answered alike.
"""

from collections.abc import Callable

from flask import Response, flash, redirect, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import StringField

from admin_app import guards
from admin_app.blueprint import admin, go, page
from admin_app.guards import open_page
from clinic import portal_settings, sign_in
from clinic.mailed_links import LinkState
from tenancy import known_devices
from tenancy.database import transaction
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import ON_ADMIN_HOST, Purpose
from ui import session_life
from ui.factor_forms import ResetForm
from ui.forms import PasswordField, PorticoForm, at_most, required

LONGEST_SECRET = 64
NEW_PASSWORD = _l("Choose a password.")


class StaffInvitationForm(PorticoForm):
    name = StringField(
        _l("Your name"), [required(_l("Enter your name.")), at_most(120)], render_kw={"autocomplete": "name"}
    )
    password = PasswordField(_l("Password"), [required(NEW_PASSWORD)], is_new=True)


class NewPasswordForm(PorticoForm):
    password = PasswordField(_l("New password"), [required(NEW_PASSWORD)], is_new=True)


class ConfirmationForm(PorticoForm):
    """A button."""


@admin.get("/link/<purpose>/<secret>")
@open_page
def followed_link(purpose: str, secret: str) -> AnyResponse:
    if purpose not in ON_ADMIN_HOST:
        raise NotFound("link")
    session[session_life.LINK] = {purpose: secret[:LONGEST_SECRET]}
    return redirect(url_for(f"admin.{purpose.replace('-', '_')}_link"), 303)


@admin.route("/link/staff-invitation", methods=["GET", "POST"])
@open_page
def staff_invitation_link() -> AnyResponse:
    form, secret = StaffInvitationForm(), secret_of(Purpose.STAFF_INVITATION)
    state = _state(lambda: sign_in.look(Purpose.STAFF_INVITATION, secret))
    if state == LinkState.GOOD and form.validate_on_submit():
        try:
            with transaction():
                outcome = sign_in.accept_staff_invitation(secret, name=form.name.data, password=form.password.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            if outcome.token:
                guards.enter(outcome.token)
                flash(_("Welcome. You are signed in."), "success")
                return go("home")
            state = _state(lambda: sign_in.look(Purpose.STAFF_INVITATION, secret))
    return _link_page("staff_invitation", state, form)


@admin.route("/link/staff-password-reset", methods=["GET", "POST"])
@open_page
def staff_password_reset_link() -> AnyResponse:
    form, secret = NewPasswordForm(), secret_of(Purpose.STAFF_PASSWORD_RESET)
    state = _state(lambda: sign_in.look(Purpose.STAFF_PASSWORD_RESET, secret))
    if state == LinkState.GOOD and form.validate_on_submit():
        try:
            with transaction():
                state = sign_in.reset(Purpose.STAFF_PASSWORD_RESET, secret, form.password.data)
                if state == LinkState.GOOD:
                    known_devices.know_again(sign_in.account_of(Purpose.STAFF_PASSWORD_RESET, secret))
        except Refused as refusal:
            form.refuse(refusal)
        else:
            if state == LinkState.GOOD:
                session.clear()
                flash(_("Your new password is set. Sign in with it."), "success")
                return go("sign_in_page")
    return _link_page("staff_password_reset", state, form)


@admin.route("/link/staff-sign-in-reset", methods=["GET", "POST"])
@open_page
def staff_sign_in_reset_link() -> AnyResponse:
    """With the clinic's code: a new password, then a new second factor."""
    form, secret = ResetForm(), secret_of(Purpose.STAFF_SIGN_IN_RESET)
    state = _state(lambda: sign_in.look(Purpose.STAFF_SIGN_IN_RESET, secret))
    if state == LinkState.GOOD and form.validate_on_submit():
        try:
            with transaction():
                outcome = sign_in.carry_out_reset(
                    Purpose.STAFF_SIGN_IN_RESET, secret, code=form.code.data, password=form.password.data
                )
        except Refused as refusal:
            form.refuse(refusal)
        else:
            if outcome.token:
                guards.enter(outcome.token)
                return go("authenticator")
            state = outcome.state
            form.refuse(Refused(sign_in.wrong_reset_code(outcome), field="code"))
    return _link_page("staff_sign_in_reset", state, form)


@admin.route("/link/reply-to", methods=["GET", "POST"])
@open_page
def reply_to_link() -> AnyResponse:
    form, secret = ConfirmationForm(), secret_of(Purpose.REPLY_TO)
    state = _state(lambda: portal_settings.look_at_confirmation(secret))
    if state == LinkState.GOOD and form.validate_on_submit():
        with transaction():
            state = portal_settings.confirm_reply_to(secret)
        if state == LinkState.GOOD:
            session.pop(session_life.LINK, None)
            return page("admin/mailed_links/reply_to_confirmed.html")
    return _link_page("reply_to", state, form)


def secret_of(purpose: Purpose) -> str:
    """The secret that was followed here; empty, and so nobody's, where there is none."""
    kept = session.get(session_life.LINK)
    return str(kept.get(purpose.value, "")) if isinstance(kept, dict) else ""


def _state(look: Callable[[], LinkState]) -> LinkState | None:
    """None for a link that is none of this clinic's."""
    try:
        with transaction():
            return look()
    except NotFound:
        return None


def _link_page(name: str, state: LinkState | None, form: PorticoForm) -> Response:
    if state == LinkState.GOOD:
        return page(f"admin/mailed_links/{name}.html", form=form)
    answer = page("admin/mailed_links/no_longer_good.html", name=name, state=state)
    answer.status_code = 404 if state is None else 410
    return answer
