"""Saved cards, and whose invoices are paid with one when they are due."""

from typing import Any
from uuid import UUID

import wtforms
from flask import flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from clinic import billing_settings, payments, portal_home
from clinic.payments import AutopayEnding, autopay, cards
from portal_app import wayfinding
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui.forms import PorticoForm
from ui.looks import about, shows

# Why it stopped, to whoever had asked for it.
ENDINGS = {
    AutopayEnding.STOPPED: _l("You stopped it."),
    AutopayEnding.CARD_REMOVED: _l("It stopped because the card is no longer here."),
    AutopayEnding.UNLINKED: _l(
        "It stopped because you could not see the bills at the time. It does not begin again by itself: choose a card here to switch it on again."
    ),
    AutopayEnding.DISPUTED: _l("It stopped because your bank disputes a payment."),
    AutopayEnding.FAILED_TWICE: _l("It stopped because the card was declined twice."),
}


class AutopayForm(PorticoForm):
    card_id = wtforms.SelectField(_l("Card"), coerce=UUID, validate_choice=False, choices=[])


@shows("profile.viewed")
def listed() -> str:
    with transaction():
        seen = portal_home.patients()
        saved = cards.mine()
        wishes = autopay.mine()
        account_id = payments.find_account()
        notice_days = billing_settings.autopay_notice_days()
    wayfinding.may_see(seen)
    about(*(each.id for each in seen))
    return render_template(
        "portal/saved_cards/list.html",
        saved=saved,
        usable=[each for each in saved if each.account_id == account_id and not each.has_expired],
        patients=[each for each in seen if each.shows_invoices],
        wishes=wishes,
        endings=ENDINGS,
        notice_days=notice_days,
    )


def remove(card_id: UUID) -> Response:
    with transaction():
        cards.remove(card_id)
    flash(_("The card is removed. Nothing is paid with it any more."), "success")
    return _back()


def begin_autopay(patient_id: UUID) -> Any:
    form = AutopayForm()
    with transaction():
        patient = portal_home.see_billing(patient_id).patient
        if not patient.shows_invoices:
            raise NotFound("invoices")
    if not form.validate():
        raise NotFound("saved card")
    try:
        with transaction():
            autopay.choose(patient_id, form.card_id.data, payments.find_account())
        flash(_("From now on invoices for %(name)s are paid with this card when they are due.", name=patient.called), "success")
    except Refused as refusal:
        flash(str(refusal.message), "error")
    return _back()


def end_autopay(patient_id: UUID) -> Response:
    try:
        with transaction():
            portal_home.see(patient_id)
            autopay.stop_mine(patient_id)
        flash(_("Nothing is paid automatically any more."), "success")
    except Conflict as conflict:
        flash(str(conflict.message), "error")
    return _back()


def _back() -> Response:
    return redirect(url_for("portal.profile_cards"), 303)
