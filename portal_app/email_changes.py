"""Signing in with another e-mail address: asked for on the profile, confirmed by the link that is mailed there."""

from typing import Any

from flask import flash, redirect, render_template, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from clinic import email_changes, throttle
from clinic.mailed_links import LinkState
from portal_app import guards, mailed_links
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from ui import session_life
from ui.doors import fresh_page
from ui.forms import EmailField, PasswordField, PorticoForm, required


class EmailChangeForm(PorticoForm):
    email = EmailField(_l("New e-mail address"), [required(_l("Enter the new e-mail address."))])
    present = PasswordField(_l("Present password"), [required(_l("Enter your present password."))])


class ConfirmationForm(PorticoForm):
    """A button."""


@fresh_page
def ask() -> Any:
    """The answer is the same whether the address is free or somebody else's."""
    form = EmailChangeForm()
    if form.validate_on_submit():
        try:
            with guards.own_secret(throttle.Purpose.PRESENT_PASSWORD) as (live, tried):
                email_changes.ask(live.holder, email=form.email.data, password=form.present.data)
                tried.was_right = True
            flash(
                _("Look into the new mailbox: if this address can be used here, a letter with a link is on its way there."),
                "success",
            )
            return redirect(url_for("portal.profile"), 303)
        except Refused as refusal:
            form.refuse(refusal)
    return render_template("portal/email_changes/ask.html", form=form), 422 if form.errors else 200


def confirm() -> Any:
    """Only for the person who asked, signed in: whoever else reads the letter can do nothing with it."""
    form, secret = ConfirmationForm(), mailed_links.secret_of(Purpose.EMAIL_CHANGE)
    try:
        with guards.own_sign_in() as live:
            if form.validate_on_submit():
                change = email_changes.confirm(live.holder, secret)
            else:
                change = email_changes.look(live.holder, secret)
    except NotFound:
        return render_template("portal/email_changes/confirm.html", state=None), 404
    if change.token:
        session.pop(session_life.LINK, None)
        guards.begin_session(change.token)
        flash(_("From now on you sign in with %(email)s. Other devices were signed out.", email=change.email), "success")
        return redirect(url_for("portal.profile"), 303)
    page = render_template("portal/email_changes/confirm.html", form=form, state=change.state.value, email=change.email)
    return page, 200 if change.state == LinkState.GOOD else 410
