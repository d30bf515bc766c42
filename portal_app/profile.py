"""The portal user's own page: name, phone, password, and whom they may see."""

from typing import Any

import wtforms
from flask import flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from clinic import names, portal_home, portal_users, second_factors, sign_in, throttle
from portal_app import guards, wayfinding
from portal_app.patients import RELATIONSHIPS
from tenancy.database import transaction
from tenancy.errors import Refused
from tenancy.languages import Language
from ui import languages
from ui.doors import fresh_page
from ui.forms import LanguageField, PasswordField, PorticoForm, at_most, required
from ui.looks import about, shows


class ProfileForm(PorticoForm):
    name = wtforms.StringField(_l("Name"), [required(_l("Enter your name.")), at_most(names.LONGEST)])
    phone = wtforms.TelField(_l("Phone"), [at_most(40)])
    language = LanguageField(_l("Language"))


class PasswordForm(PorticoForm):
    present = PasswordField(_l("Present password"), [required(_l("Enter your present password."))])
    password = PasswordField(_l("New password"), [required(_l("Choose a new password."))], is_new=True)


@shows("profile.viewed")
def show() -> Any:
    form = ProfileForm()
    if form.validate_on_submit():
        try:
            with transaction():
                portal_users.change_self(
                    guards.person().id, form.name.data, form.phone.data or "", Language(form.language.data)
                )
            languages.choose(form.language.data)
            flash(_("Your profile is saved."), "success")
            return redirect(url_for("portal.profile"), 303)
        except Refused as refusal:
            form.refuse(refusal)
    with transaction():
        user = portal_users.get(guards.person().id)
        factors = second_factors.of_holder(user.holder)
        seen = portal_home.patients()
    if not form.is_submitted():
        form = ProfileForm(formdata=None, name=user.name, phone=user.phone, language=user.language)
    wayfinding.may_see(seen)
    about(*(each.id for each in seen))
    page = render_template(
        "portal/profile/profile.html", form=form, seen=seen, factors=factors, relationships=RELATIONSHIPS
    )
    return page, 422 if form.errors else 200


@fresh_page
def change_password() -> Any:
    form = PasswordForm()
    if form.validate_on_submit():
        try:
            with guards.own_secret(throttle.Purpose.PRESENT_PASSWORD) as (live, tried):
                token = sign_in.change_password(live.holder, present=form.present.data, new=form.password.data)
                tried.was_right = True
            guards.begin_session(token)
            flash(_("Your password is changed. Other devices were signed out."), "success")
            return redirect(url_for("portal.profile"), 303)
        except Refused as refusal:
            form.refuse(refusal)
    with guards.own_sign_in() as live:
        has_factor = second_factors.of_holder(live.holder).exist
    page = render_template("portal/profile/password.html", form=form, has_factor=has_factor)
    return page, 422 if form.errors else 200
