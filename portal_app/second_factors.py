"""A portal user's own second factor: offered to everybody, required where the clinic says so."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from clinic import passkeys, second_factors, sign_in
from clinic.second_factors import recovery_codes
from clinic.sessions import Stage
from clinic.sign_in import FactorChange
from portal_app import guards
from portal_app.sign_in import onward
from tenancy.errors import Conflict, Refused
from ui import qr
from ui.doors import at_stage, fresh_page
from ui.factor_forms import CodeForm


@fresh_page
def show() -> str:
    with guards.own_sign_in() as live:
        factors, codes_left = second_factors.of_holder(live.holder), recovery_codes.left(live.holder)
        own = passkeys.of_holder(live.holder, guards.relying_party())
    return render_template("portal/second_factors/second_factor.html", factors=factors, codes_left=codes_left, passkeys=own)


@at_stage(Stage.FULL, Stage.ENROLMENT_DUE)
@fresh_page
def set_up() -> Any:
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
        offer = sign_in.offer_authenticator(person.token, person.email)
    page = render_template(
        "portal/second_factors/authenticator.html",
        form=form,
        factors=factors,
        offer=offer,
        picture=qr.picture(offer.address),
        is_due=person.stage is Stage.ENROLMENT_DUE,
    )
    return page, 422 if form.errors else 200


@fresh_page
def remove() -> Response:
    try:
        with guards.own_sign_in() as live:
            change = sign_in.remove_authenticator(live)
    except (Refused, Conflict) as refusal:
        return not_done(refusal)
    guards.begin_session(change.token)
    flash(_("Your second factor is turned off. Signing in takes your password alone."), "success")
    return redirect(url_for("portal.second_factor"), 303)


@fresh_page
def renew_codes() -> Any:
    try:
        with guards.own_sign_in() as live:
            change = sign_in.renew_codes(live)
    except Conflict as conflict:
        return not_done(conflict)
    return changed(change, _("You have new recovery codes"))


def not_done(refusal: Refused | Conflict) -> Response:
    flash(str(refusal.message), "error")
    return redirect(url_for("portal.second_factor"), 303)


def changed(change: FactorChange, title: str) -> Any:
    """In a new session: the codes if there are any to show, this once; or on."""
    guards.begin_session(change.token)
    if not change.codes:
        flash(title, "success")
        return redirect(url_for("portal.second_factor"), 303)
    return render_template("portal/second_factors/codes.html", title=title, codes=change.codes, onward=onward())
