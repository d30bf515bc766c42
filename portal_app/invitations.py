"""Accepting an invitation: a birth date that the family knows, and a password of one's own."""

from typing import Any

from flask import flash, redirect, render_template, session, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from werkzeug.wrappers import Response

from clinic import invitations
from clinic.invitations import Acceptance, Invitation
from clinic.mailed_links import MOST_MISSES, LinkState
from portal_app import guards, mailed_links
from portal_app.mailed_links import NewPasswordForm
from tenancy.database import transaction
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from ui import languages, session_life
from ui.doors import open_page
from ui.forms import DateField, PasswordField, chosen, required


class AcceptanceForm(NewPasswordForm):
    birth_on = DateField(_l("Birth date of the patient"), [chosen(_l("Enter the birth date of the patient."))])
    password = PasswordField(_l("Choose a password"), [required(_l("Choose a password."))], is_new=True)


@open_page
def show() -> Any:
    try:
        invitation = _invitation()
    except NotFound:
        return mailed_links.incomplete(Purpose.INVITATION)
    languages.suggest(invitation.language)
    return _page(invitation, _form(invitation))


@open_page
def accept() -> Any:
    try:
        invitation = _invitation()
        languages.suggest(invitation.language)
        form = _form(invitation)
        if invitation.state != LinkState.GOOD or not form.validate_on_submit():
            return _page(invitation, form)
        with transaction():
            outcome = invitations.accept(
                mailed_links.secret_of(Purpose.INVITATION),
                birth_on=form.birth_on.data if form.birth_on else None,
                password=form.password.data,
                language=languages.current(),
            )
    except NotFound:
        return mailed_links.incomplete(Purpose.INVITATION)
    except Refused as refusal:
        form.refuse(refusal)
        return _page(invitation, form)
    return _welcome(outcome.session_token) if outcome.session_token else _missed(outcome, invitation, form)


@open_page
def renew() -> Response:
    """Mail a new link in place of an expired one. The answer is the same whatever became of the link meanwhile."""
    try:
        with transaction():
            invitations.renew(mailed_links.secret_of(Purpose.INVITATION))
    except NotFound:
        return redirect(url_for("portal.invitation"), 303)
    session.pop(session_life.LINK, None)
    return redirect(url_for("portal.link_mailed"), 303)


def _invitation() -> Invitation:
    with transaction():
        return invitations.look(mailed_links.secret_of(Purpose.INVITATION))


def _form(invitation: Invitation) -> AcceptanceForm:
    form = AcceptanceForm()
    if not invitation.asks_birth_date:
        del form.birth_on
    return form


def _page(invitation: Invitation, form: AcceptanceForm) -> tuple[str, int]:
    if invitation.state != LinkState.GOOD:
        return mailed_links.no_longer_good(Purpose.INVITATION, invitation.state)
    page = render_template(
        "portal/invitations/accept.html",
        form=form,
        invitation=invitation,
        was_missed=invitation.misses_left < MOST_MISSES,
    )
    return page, 422 if form.errors else 200


def _missed(outcome: Acceptance, invitation: Invitation, form: AcceptanceForm) -> tuple[str, int]:
    if outcome.state != LinkState.GOOD:
        return mailed_links.no_longer_good(Purpose.INVITATION, outcome.state)
    words = ngettext(
        "This is not the birth date the clinic has. One try is left.",
        "This is not the birth date the clinic has. %(num)d tries are left.",
        outcome.misses_left,
    )
    form.refuse(Refused(words, field="birth_on"))
    return _page(invitation, form)


def _welcome(token: str) -> Response:
    guards.begin_session(token)
    flash(_("Welcome! Your portal is ready. From now on, sign in with your e-mail address and password."), "success")
    return redirect(url_for("portal.home"), 303)
