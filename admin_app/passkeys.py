"""Passkeys of staff: signing in with one, showing one as second factor or once more, and one's own."""

from uuid import UUID

from flask import Response, flash
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from admin_app import guards
from admin_app.blueprint import admin, go, next_path, page, relying_party, too_late
from admin_app.guards import needs, open_page
from admin_app.second_factors import changed
from admin_app.sign_in import SignInForm, code_page, confirmation_page, entered
from clinic import passkeys, sign_in, throttle
from clinic.passkeys import Challenge, Purpose
from clinic.sessions import Stage
from tenancy import known_devices
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui.doors import at_stage
from ui.factor_forms import CodeForm, ConfirmationForm
from ui.passkeys import NewPasskeyForm, PasskeyForm, PasskeyNameForm, ask, asked


@admin.post("/sign-in/passkey-challenge")
@open_page
def sign_in_passkey_challenge() -> Response:
    offer = passkeys.offer(relying_party(), Purpose.SIGN_IN)
    return ask(offer.challenge.text, offer.options)


@admin.post("/sign-in/passkey")
@open_page
def sign_in_passkey() -> AnyResponse:
    onward = next_path()
    answer = _answer()
    with throttle.counting(throttle.Purpose.SIGN_IN, sign_in.passkey_account(answer), known_devices.caller()) as tried:
        with transaction():
            tried.hold()
            outcome = sign_in.by_passkey(relying_party(), _challenge(Purpose.SIGN_IN), answer)
        tried.was_right = outcome.token is not None
    if outcome.token:
        return entered(outcome.token, onward)
    form = SignInForm(formdata=None)
    form.refuse(Refused(sign_in.WRONG_PASSKEY))
    return page("admin/sign_in/sign_in.html", form=form)


@admin.post("/passkey-challenge")
@at_stage(Stage.FACTOR_DUE, Stage.FULL)
@needs()
def passkey_challenge() -> Response:
    """For the second step, or for the confirmation, of whoever asks."""
    purpose = Purpose.FACTOR if guards.person().stage is Stage.FACTOR_DUE else Purpose.CONFIRM
    with guards.own_sign_in() as live:
        offer = passkeys.offer(relying_party(), purpose, live.holder)
    return ask(offer.challenge.text, offer.options)


@admin.post("/sign-in/code/passkey")
@at_stage(Stage.FACTOR_DUE)
@needs()
def sign_in_code_passkey() -> AnyResponse:
    with guards.own_secret(throttle.Purpose.FACTOR_CODE) as (live, tried):
        outcome = sign_in.show_passkey(live, relying_party(), _challenge(Purpose.FACTOR), _answer())
        tried.was_right = outcome.token is not None
    if outcome.token:
        return entered(outcome.token, next_path())
    form = CodeForm(formdata=None)
    form.refuse(Refused(sign_in.WRONG_PASSKEY))
    return code_page("code", form)


@admin.post("/confirmation/passkey")
@needs()
def confirmation_passkey() -> AnyResponse:
    with guards.own_secret(throttle.Purpose.FACTOR_CODE) as (live, tried):
        outcome = sign_in.confirm_by_passkey(live, relying_party(), _challenge(Purpose.CONFIRM), _answer())
        tried.was_right = outcome.token is not None
    if outcome.token:
        return entered(outcome.token, next_path())
    form = ConfirmationForm(formdata=None)
    form.refuse(Refused(sign_in.WRONG_PASSKEY))
    return confirmation_page(form)


@admin.post("/profile/passkeys/challenge")
@at_stage(Stage.FULL, Stage.ENROLMENT_DUE)
@needs(fresh=True)
def new_passkey_challenge() -> Response:
    person = guards.person()
    with guards.own_sign_in() as live:
        offer = passkeys.offer_new(live.holder, relying_party(), person.member.email)
    return ask(offer.challenge.text, offer.options)


@admin.route("/profile/passkeys/new", methods=["GET", "POST"])
@at_stage(Stage.FULL, Stage.ENROLMENT_DUE)
@needs(fresh=True)
def new_passkey() -> AnyResponse:
    form = NewPasskeyForm()
    if form.validate_on_submit():
        try:
            with guards.own_sign_in() as live:
                answer = form.answer.data or ""
                change = sign_in.add_passkey(live, relying_party(), _challenge(Purpose.ADD), answer, form.name.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            return changed(change, _("Your passkey is set up"))
    return page("admin/passkeys/new.html", form=form, is_due=guards.person().stage is Stage.ENROLMENT_DUE)


@admin.route("/profile/passkeys/<uuid:passkey_id>", methods=["GET", "POST"])
@needs(fresh=True)
def passkey(passkey_id: UUID) -> AnyResponse:
    form = PasskeyNameForm()
    if form.validate_on_submit():
        with guards.own_sign_in() as live:
            passkeys.rename(live.holder, passkey_id, form.name.data)
        flash(_("The name is saved."), "success")
        return go("second_factor")
    with guards.own_sign_in() as live:
        found = passkeys.get(live.holder, passkey_id)
    if not form.is_submitted():
        form = PasskeyNameForm(formdata=None, name=found.name)
    return page("admin/passkeys/edit.html", form=form, passkey=found)


@admin.post("/profile/passkeys/<uuid:passkey_id>/removal")
@needs(fresh=True)
def passkey_removal(passkey_id: UUID) -> AnyResponse:
    try:
        with guards.own_sign_in() as live:
            change = sign_in.remove_passkey(live, passkey_id)
    except (Refused, Conflict) as refusal:
        too_late(refusal)
        return go("second_factor")
    guards.enter(change.token)
    flash(_("The passkey is removed."), "success")
    return go("second_factor")


def _challenge(purpose: Purpose) -> Challenge | None:
    return passkeys.read_challenge(asked(), purpose)


def _answer() -> str:
    return PasskeyForm().answer.data or ""
