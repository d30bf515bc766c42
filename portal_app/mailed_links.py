"""Arriving by a mailed link. The secret leaves the address at once and waits in this browser's cookie.

Looking never uses a link up; only the button on its page does.
"""

from typing import Any

from flask import flash, redirect, render_template, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from clinic import sign_in
from clinic.mailed_links import LinkState
from portal_app import guards
from portal_app.sign_in import NewLinkForm
from tenancy import known_devices
from tenancy.database import transaction
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from ui import languages, session_life
from ui.doors import open_page
from ui.factor_forms import ResetForm
from ui.forms import PasswordField, PorticoForm, required

LONGEST_SECRET = 200
PAGES = {
    Purpose.INVITATION: "portal.invitation",
    Purpose.PASSWORD_RESET: "portal.password_reset",
    Purpose.SIGN_IN_RESET: "portal.sign_in_reset",
    Purpose.EMAIL_CHANGE: "portal.email_change",
    Purpose.INVOICE: "portal.mailed_invoice",
}


class NewPasswordForm(PorticoForm):
    password = PasswordField(_l("New password"), [required(_l("Choose a password."))], is_new=True)


@open_page
def arrive(purpose: str, secret: str) -> Response:
    session[session_life.LINK] = {purpose: secret[:LONGEST_SECRET]}
    return redirect(url_for(PAGES[Purpose(purpose)]), 303)


@open_page
def reset_password() -> Any:
    form = NewPasswordForm()
    secret = secret_of(Purpose.PASSWORD_RESET)
    try:
        if form.validate_on_submit():
            with transaction():
                state = sign_in.reset(Purpose.PASSWORD_RESET, secret, form.password.data)
                if state == LinkState.GOOD:
                    known_devices.know_again(sign_in.account_of(Purpose.PASSWORD_RESET, secret))
            return _password_set() if state == LinkState.GOOD else no_longer_good(Purpose.PASSWORD_RESET, state)
        with transaction():
            state = sign_in.look(Purpose.PASSWORD_RESET, secret)
    except Refused as refusal:
        form.refuse(refusal)
        state = LinkState.GOOD
    except NotFound:
        return incomplete(Purpose.PASSWORD_RESET)
    if state != LinkState.GOOD:
        return no_longer_good(Purpose.PASSWORD_RESET, state)
    return render_template("portal/mailed_links/password_reset.html", form=form), 422 if form.errors else 200


@open_page
def reset_sign_in() -> Any:
    """With the clinic's code: a new password, then a new second factor."""
    form, secret = ResetForm(), secret_of(Purpose.SIGN_IN_RESET)
    try:
        with transaction():
            state = sign_in.look(Purpose.SIGN_IN_RESET, secret)
        if state == LinkState.GOOD and form.validate_on_submit():
            with transaction():
                outcome = sign_in.carry_out_reset(
                    Purpose.SIGN_IN_RESET, secret, code=form.code.data, password=form.password.data
                )
            if outcome.token:
                guards.begin_session(outcome.token)
                return redirect(url_for("portal.authenticator"), 303)
            state = outcome.state
            form.refuse(Refused(sign_in.wrong_reset_code(outcome), field="code"))
    except Refused as refusal:
        form.refuse(refusal)
    except NotFound:
        return incomplete(Purpose.SIGN_IN_RESET)
    if state != LinkState.GOOD:
        return no_longer_good(Purpose.SIGN_IN_RESET, state)
    return render_template("portal/mailed_links/sign_in_reset.html", form=form), 422 if form.errors else 200


def secret_of(purpose: Purpose) -> str:
    """What a link of this purpose brought along; empty, hence nobody's, where none did."""
    kept = session.get(session_life.LINK)
    return str(kept.get(purpose, "")) if isinstance(kept, dict) else ""


def no_longer_good(purpose: Purpose, state: LinkState) -> tuple[str, int]:
    """What became of a link, and the way on."""
    return render_template("portal/mailed_links/no_longer_good.html", purpose=purpose.value, state=state.value), 410


def incomplete(purpose: Purpose) -> tuple[str, int]:
    """For a link cut off by a mail program, or one that was made for an address the clinic has since given up."""
    form = NewLinkForm(formdata=None)
    return render_template("portal/mailed_links/incomplete.html", purpose=purpose.value, form=form), 404


def _password_set() -> Response:
    languages.begin_anew()
    flash(_("Your new password is set. Sign in with it now."), "success")
    return redirect(url_for("portal.sign_in"), 303)
