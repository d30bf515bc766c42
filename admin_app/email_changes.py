"""Signing in with another e-mail address: asked for by a staff member for themselves, confirmed by a mailed link."""

from flask import flash, session
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse

from admin_app import guards, mailed_links
from admin_app.blueprint import admin, go, page
from admin_app.guards import needs
from clinic import email_changes, throttle
from clinic.mailed_links import LinkState
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from ui import session_life
from ui.forms import EmailField, PasswordField, PorticoForm, required


class EmailChangeForm(PorticoForm):
    email = EmailField(_l("New e-mail address"), [required(_l("Enter the new e-mail address."))])
    present = PasswordField(_l("Present password"), [required(_l("Enter your present password."))])


@admin.route("/profile/email", methods=["GET", "POST"])
@needs(fresh=True)
def profile_email() -> AnyResponse:
    """The answer is the same whether the address is free or a colleague's."""
    form = EmailChangeForm()
    if form.validate_on_submit():
        try:
            with guards.own_secret(throttle.Purpose.PRESENT_PASSWORD) as (live, tried):
                email_changes.ask(live.holder, email=form.email.data, password=form.present.data)
                tried.was_right = True
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(
                _("Look into the new mailbox: if this address can be used here, a letter with a link is on its way there."),
                "success",
            )
            return go("profile")
    return page("admin/email_changes/ask.html", form=form)


@admin.route("/link/staff-email-change", methods=["GET", "POST"])
@needs()
def staff_email_change_link() -> AnyResponse:
    """Only for the member who asked, signed in: whoever else reads the letter can do nothing with it."""
    form, secret = mailed_links.ConfirmationForm(), mailed_links.secret_of(Purpose.STAFF_EMAIL_CHANGE)
    try:
        with guards.own_sign_in() as live:
            if form.validate_on_submit():
                change = email_changes.confirm(live.holder, secret)
            else:
                change = email_changes.look(live.holder, secret)
    except NotFound:
        answer = page("admin/email_changes/confirm.html", state=None)
        answer.status_code = 404
        return answer
    if change.token:
        session.pop(session_life.LINK, None)
        guards.enter(change.token)
        flash(_("From now on you sign in with %(email)s. Other devices were signed out.", email=change.email), "success")
        return go("profile")
    answer = page("admin/email_changes/confirm.html", form=form, state=change.state, email=change.email)
    answer.status_code = 200 if change.state == LinkState.GOOD else 410
    return answer
