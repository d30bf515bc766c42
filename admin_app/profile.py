"""A staff member's own page: who they are here, and how they sign in."""

from flask import flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import StringField

from admin_app import guards
from admin_app.blueprint import admin, go, page
from admin_app.guards import needs
from clinic import names, second_factors, sign_in, staff, throttle
from tenancy.database import transaction
from tenancy.errors import Refused
from ui.forms import PasswordField, PorticoForm, at_most, required


class ProfileForm(PorticoForm):
    name = StringField(
        _l("Name"),
        [required(_l("Enter your name.")), at_most(names.LONGEST)],
        render_kw={"autocomplete": "name"},
    )


class PasswordForm(PorticoForm):
    present = PasswordField(_l("Present password"), [required(_l("Enter your present password."))])
    password = PasswordField(_l("New password"), [required(_l("Choose a new password."))], is_new=True)


@admin.route("/profile", methods=["GET", "POST"])
@needs()
def profile() -> AnyResponse:
    form = ProfileForm(name=guards.person().name)
    if form.validate_on_submit():
        try:
            with transaction():
                staff.rename_self(guards.person().id, form.name.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("Your profile is saved."), "success")
            return go("profile")
    return page("admin/profile/profile.html", form=form)


@admin.route("/profile/password", methods=["GET", "POST"])
@needs(fresh=True)
def profile_password() -> AnyResponse:
    form = PasswordForm()
    if form.validate_on_submit():
        try:
            with guards.own_secret(throttle.Purpose.PRESENT_PASSWORD) as (live, tried):
                token = sign_in.change_password(live.holder, present=form.present.data, new=form.password.data)
                tried.was_right = True
        except Refused as refusal:
            form.refuse(refusal)
        else:
            guards.enter(token)
            flash(_("Your password is changed. Other devices were signed out."), "success")
            return go("profile")
    with guards.own_sign_in() as live:
        has_factor = second_factors.of_holder(live.holder).exist
    return page("admin/profile/password.html", form=form, has_factor=has_factor)
