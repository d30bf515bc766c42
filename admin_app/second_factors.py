"""A staff member's own second factor. Everybody on the staff has one: it can be replaced, never removed."""

from flask import Response, flash
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from admin_app import guards
from admin_app.blueprint import admin, go, next_path, page, relying_party, too_late
from admin_app.guards import needs
from clinic import passkeys, second_factors, sign_in
from clinic.second_factors import recovery_codes
from clinic.sessions import Stage
from clinic.sign_in import FactorChange
from tenancy.errors import Conflict, Refused
from ui import qr
from ui.doors import at_stage
from ui.factor_forms import CodeForm


@admin.get("/profile/second-factor")
@needs(fresh=True)
def second_factor() -> Response:
    with guards.own_sign_in() as live:
        factors, codes_left = second_factors.of_holder(live.holder), recovery_codes.left(live.holder)
        own = passkeys.of_holder(live.holder, relying_party())
    return page("admin/second_factors/second_factor.html", factors=factors, codes_left=codes_left, passkeys=own)


@admin.route("/profile/second-factor/authenticator", methods=["GET", "POST"])
@at_stage(Stage.FULL, Stage.ENROLMENT_DUE)
@needs(fresh=True)
def authenticator() -> AnyResponse:
    person, form = guards.person(), CodeForm()
    if form.validate_on_submit():
        try:
            with guards.own_sign_in() as live:
                change = sign_in.add_authenticator(live, person.token, form.code.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            return changed(change, _("Your authenticator app is set up"))
    with guards.own_sign_in() as live:
        factors = second_factors.of_holder(live.holder)
        offer = sign_in.offer_authenticator(person.token, person.member.email)
    return page(
        "admin/second_factors/authenticator.html",
        form=form,
        factors=factors,
        offer=offer,
        picture=qr.picture(offer.address),
        is_due=person.stage is Stage.ENROLMENT_DUE,
    )


@admin.post("/profile/second-factor/recovery-codes")
@needs(fresh=True)
def recovery_codes_renewal() -> AnyResponse:
    try:
        with guards.own_sign_in() as live:
            change = sign_in.renew_codes(live)
    except Conflict as conflict:
        too_late(conflict)
        return go("second_factor")
    return changed(change, _("You have new recovery codes"))


def changed(change: FactorChange, title: str) -> AnyResponse:
    """In a new session: the codes if there are any to show, this once; or on."""
    onward = next_path()
    guards.enter(change.token)
    if not change.codes:
        flash(title, "success")
        return go("second_factor")
    return page("admin/second_factors/codes.html", title=title, codes=change.codes, onward=onward)
