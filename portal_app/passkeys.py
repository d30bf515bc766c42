"""Passkeys of portal users: signing in with one, showing one as second factor or once more, and one's own."""

from typing import Any
from uuid import UUID

from flask import Response, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from clinic import passkeys, sign_in, throttle
from clinic.passkeys import Challenge, Purpose
from clinic.sessions import Stage
from portal_app import guards
from portal_app.second_factors import changed, not_done
from portal_app.sign_in import SignInForm, code_page, confirmation_page, entered
from tenancy import known_devices
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui.doors import at_stage, fresh_page, open_page
from ui.factor_forms import CodeForm, ConfirmationForm
from ui.passkeys import NewPasskeyForm, PasskeyForm, PasskeyNameForm, ask, asked


@open_page
def sign_in_challenge() -> Response:
    offer = passkeys.offer(guards.relying_party(), Purpose.SIGN_IN)
    return ask(offer.challenge.text, offer.options)


@open_page
def enter() -> Any:
    answer = _answer()
    with throttle.counting(throttle.Purpose.SIGN_IN, sign_in.passkey_account(answer), known_devices.caller()) as tried:
        with transaction():
            tried.hold()
            outcome = sign_in.by_passkey(guards.relying_party(), _challenge(Purpose.SIGN_IN), answer)
        tried.was_right = outcome.token is not None
    if outcome.token:
        return entered(outcome.token)
    form = SignInForm(formdata=None)
    form.refuse(Refused(sign_in.WRONG_PASSKEY))
    return render_template("portal/sign_in/enter.html", form=form), 422


@at_stage(Stage.FACTOR_DUE, Stage.FULL)
def challenge() -> Response:
    """For the second step, or for the confirmation, of whoever asks."""
    purpose = Purpose.FACTOR if guards.person().stage is Stage.FACTOR_DUE else Purpose.CONFIRM
    with guards.own_sign_in() as live:
        offer = passkeys.offer(guards.relying_party(), purpose, live.holder)
    return ask(offer.challenge.text, offer.options)


@at_stage(Stage.FACTOR_DUE)
def show_factor() -> Any:
    with guards.own_secret(throttle.Purpose.FACTOR_CODE) as (live, tried):
        outcome = sign_in.show_passkey(live, guards.relying_party(), _challenge(Purpose.FACTOR), _answer())
        tried.was_right = outcome.token is not None
    if outcome.token:
        return entered(outcome.token)
    form = CodeForm(formdata=None)
    form.refuse(Refused(sign_in.WRONG_PASSKEY))
    return code_page("code", form)


def confirm() -> Any:
    with guards.own_secret(throttle.Purpose.FACTOR_CODE) as (live, tried):
        outcome = sign_in.confirm_by_passkey(live, guards.relying_party(), _challenge(Purpose.CONFIRM), _answer())
        tried.was_right = outcome.token is not None
    if outcome.token:
        return entered(outcome.token)
    form = ConfirmationForm(formdata=None)
    form.refuse(Refused(sign_in.WRONG_PASSKEY))
    return confirmation_page(form)


@at_stage(Stage.FULL, Stage.ENROLMENT_DUE)
@fresh_page
def new_challenge() -> Response:
    person = guards.person()
    with guards.own_sign_in() as live:
        offer = passkeys.offer_new(live.holder, guards.relying_party(), person.email)
    return ask(offer.challenge.text, offer.options)


@at_stage(Stage.FULL, Stage.ENROLMENT_DUE)
@fresh_page
def add() -> Any:
    form = NewPasskeyForm()
    if form.validate_on_submit():
        try:
            with guards.own_sign_in() as live:
                answer = form.answer.data or ""
                change = sign_in.add_passkey(live, guards.relying_party(), _challenge(Purpose.ADD), answer, form.name.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            return changed(change, _("Your passkey is set up"))
    is_due = guards.person().stage is Stage.ENROLMENT_DUE
    return render_template("portal/passkeys/new.html", form=form, is_due=is_due), 422 if form.errors else 200


@fresh_page
def edit(passkey_id: UUID) -> Any:
    form = PasskeyNameForm()
    if form.validate_on_submit():
        with guards.own_sign_in() as live:
            passkeys.rename(live.holder, passkey_id, form.name.data)
        flash(_("The name is saved."), "success")
        return redirect(url_for("portal.second_factor"), 303)
    with guards.own_sign_in() as live:
        passkey = passkeys.get(live.holder, passkey_id)
    if not form.is_submitted():
        form = PasskeyNameForm(formdata=None, name=passkey.name)
    return render_template("portal/passkeys/edit.html", form=form, passkey=passkey), 422 if form.errors else 200


@fresh_page
def remove(passkey_id: UUID) -> AnyResponse:
    try:
        with guards.own_sign_in() as live:
            change = sign_in.remove_passkey(live, passkey_id)
    except (Refused, Conflict) as refusal:
        return not_done(refusal)
    guards.begin_session(change.token)
    flash(_("The passkey is removed."), "success")
    return redirect(url_for("portal.second_factor"), 303)


def _challenge(purpose: Purpose) -> Challenge | None:
    return passkeys.read_challenge(asked(), purpose)


def _answer() -> str:
    return PasskeyForm().answer.data or ""
