"""Clinic Options → Billing: what families may pay, and how."""

from flask import flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import BooleanField, SelectChoice, SelectField, StringField

from admin_app.blueprint import admin, clinic_here, go, page
from admin_app.guards import needs
from clinic import billing_settings, money
from clinic.billing_settings import NOTICE_DAYS, BillingDetails, BillingSettings
from clinic.money import Money
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Refused
from ui.forms import PorticoForm


class BillingSettingsForm(PorticoForm):
    allows_partial = BooleanField(_l("Families may pay a part of an invoice"))
    pays_by_link = BooleanField(_l("A mailed invoice can be paid without signing in"))
    refund_limit = StringField(_l("A second person confirms online refunds above"))
    autopay_notice_days = SelectField(
        _l("Automatic payments are announced"),
        coerce=int,
        choices=[SelectChoice(each, _l("%(num)d days before", num=each)) for each in NOTICE_DAYS],
    )

    def details(self) -> BillingDetails:
        typed = (self.refund_limit.data or "").strip()
        limit = money.read(typed, clinic_here().currency, field="refund_limit") if typed else None
        return BillingDetails(
            allows_partial=self.allows_partial.data,
            pays_by_link=self.pays_by_link.data,
            refund_limit_minor=limit.minor if limit else None,
            autopay_notice_days=self.autopay_notice_days.data,
        )


@admin.route("/clinic-options/billing", methods=["GET", "POST"])
@needs(Right.ADMIN, fresh=True)
def billing_settings_page() -> AnyResponse:
    with transaction():
        kept = billing_settings.get()
    limit = refund_limit(kept)
    form = BillingSettingsForm(obj=kept, data={"refund_limit": limit.typed() if limit else ""})
    if form.validate_on_submit():
        try:
            with transaction():
                billing_settings.save(form.details())
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The billing settings are saved."), "success")
            return go("clinic_options")
    return page("admin/billing_settings/billing_settings.html", form=form)


def refund_limit(kept: BillingSettings) -> Money | None:
    """Above this two people are needed; none where one is enough."""
    return None if kept.refund_limit_minor is None else Money(kept.refund_limit_minor, clinic_here().currency)
