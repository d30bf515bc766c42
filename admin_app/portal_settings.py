"""Edit Patient Portal Settings → Save Patient Portal Settings."""

from uuid import UUID

from flask import flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import BooleanField, SelectChoice, SelectField, SelectMultipleField, StringField
from wtforms.validators import Optional

from admin_app.blueprint import admin, clinic_here, go, page, settings
from admin_app.guards import needs
from clinic import document_types, portal_settings
from clinic.portal_settings import SettingsDetails
from clinic.staff import Right
from mail import letterhead
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui.forms import EmailField, PorticoForm, required


class PortalSettingsForm(PorticoForm):
    slug = StringField(
        _l("Custom Portal URL"),
        [required(_l("Enter an address, such as mytherapyclinic."))],
        filters=[lambda typed: typed.lower() if typed else typed],
        render_kw={"autocapitalize": "none", "autocomplete": "off", "spellcheck": "false"},
    )
    reply_to = EmailField(_l("Portal Email Reply-To"), [Optional()])
    document_types = SelectMultipleField(_l("Documents Visible on Portal"), coerce=UUID)
    shows_balance = BooleanField(_l("Show the account balance"))
    shows_invoices = BooleanField(_l("Show invoices"))
    asks_birth_date = BooleanField(_l("Ask for the patient's birth date when an invitation is accepted"))
    requires_second_factor = BooleanField(_l("Require a second factor to sign in to the portal"))
    allows_messages = BooleanField(_l("Patient messaging"))
    allows_appointment_requests = BooleanField(_l("Appointment requests"))
    of_age_years = SelectField(
        _l("Patients are of age at"),
        coerce=int,
        choices=[SelectChoice(each, str(each)) for each in portal_settings.OF_AGE_YEARS],
    )

    def details(self) -> SettingsDetails:
        return SettingsDetails(
            slug=self.slug.data,
            reply_to=self.reply_to.data or "",
            visible_type_ids=set(self.document_types.data or ()),
            shows_balance=self.shows_balance.data,
            shows_invoices=self.shows_invoices.data,
            asks_birth_date=self.asks_birth_date.data,
            requires_second_factor=self.requires_second_factor.data,
            allows_messages=self.allows_messages.data,
            allows_appointment_requests=self.allows_appointment_requests.data,
            of_age_years=self.of_age_years.data,
        )


@admin.route("/clinic-options/portal-settings", methods=["GET", "POST"])
@needs(Right.ADMIN, fresh=True)
def portal_settings_page() -> AnyResponse:
    form = _form()
    if form.validate_on_submit():
        try:
            with transaction():
                portal_settings.save(form.details())
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The Patient Portal Settings are saved."), "success")
            return go("clinic_options", slug=form.slug.data)
    return page(
        "admin/portal_settings/portal_settings.html",
        form=form,
        before=f"{settings().scheme}://",
        after=f".{settings().authority}",
    )


@admin.post("/clinic-options/portal-settings/reply-to-confirmation")
@needs(Right.ADMIN, fresh=True)
def reply_to_confirmation() -> AnyResponse:
    try:
        with transaction():
            portal_settings.ask_to_confirm_reply_to()
        flash(_("The confirmation was sent again. The link in it works for 7 days."), "success")
    except (NotFound, Conflict):
        flash(_("There is no reply-to address that waits to be confirmed."), "info")
    return go("clinic_options")


def _form() -> PortalSettingsForm:
    with transaction():
        kept, head, types = portal_settings.get(), letterhead.of_clinic(), document_types.listed()
    form = PortalSettingsForm(
        data={
            "slug": clinic_here().slug,
            "reply_to": head.reply_to,
            "document_types": [str(each.id) for each in types if each.is_visible_on_portal],
            "shows_balance": kept.shows_balance,
            "shows_invoices": kept.shows_invoices,
            "asks_birth_date": kept.asks_birth_date,
            "requires_second_factor": kept.requires_second_factor,
            "allows_messages": kept.allows_messages,
            "allows_appointment_requests": kept.allows_appointment_requests,
            "of_age_years": kept.of_age_years,
        }
    )
    form.document_types.choices = [SelectChoice(str(each.id), each.name) for each in types]
    return form
