"""Paying: choose what, go to Stripe's page, come back to a page that tells what is known. Amounts are the database's."""

from typing import Any
from uuid import UUID, uuid4

import wtforms
from flask import flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response
from wtforms.validators import Optional

from clinic import billing_settings, invoices, money, payments, portal_home
from clinic.payments import PaymentRow, Wish
from portal_app import checkouts, guards, wayfinding
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui.forms import PorticoForm, at_most
from ui.headers import leads_to_stripe
from ui.looks import shows


class PayForm(PorticoForm):
    payment_id = wtforms.HiddenField()  # the payment that pressing twice is
    # Whether an invoice is open, and this patient's, the verb says.
    invoices = wtforms.SelectMultipleField(_l("What do you want to pay?"), coerce=UUID, choices=[], validate_choice=False)
    amount = wtforms.StringField(_l("Amount"), [Optional(), at_most(30)])
    saves_card = wtforms.BooleanField(_l("Save my card for the next time"))

    def wish(self, patient_id: UUID) -> Wish:
        """Raises Refused."""
        currency = guards.clinic().currency
        amount = money.read(self.amount.data, currency) if self.amount.data else None
        if not self.invoices.data and amount is None:
            raise Refused(_l("Choose an invoice, or enter an amount."), field="amount")
        try:
            payment_id = UUID(self.payment_id.data)
        except ValueError as error:
            raise NotFound("payment") from error
        return Wish(payment_id, patient_id, tuple(self.invoices.data), amount, self.saves_card.data)


@leads_to_stripe
@shows("billing.viewed")
def new(patient_id: UUID) -> Any:
    form = PayForm()
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_billing(patient_id))
        issued = {each.id: each for each in invoices.of_patient(patient_id)}
        open_ones = invoices.payable_of(patient_id)
        own_held = invoices.being_paid(each for each, _due in open_ones)
        payable = [(issued[each], due) for each, due in open_ones if each not in own_held]
        allows_partial = billing_settings.allows_partial()
        takes_payments = payments.find_account() is not None
        own = payments.unfinished_of_patient(patient_id)
    status = 422
    if form.validate_on_submit():
        try:
            return _begin(form.wish(patient_id))
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            form.refuse(conflict)
            status = 409
    if not form.is_submitted():
        form.payment_id.data = str(uuid4())
        form.invoices.data = [each.id for each, _due in payable if request.args.get("invoice") in (None, str(each.id))]
    page = render_template(
        "portal/payments/new.html",
        patient=patient,
        form=form,
        payable=payable,
        own=own,
        statuses=checkouts.STATUSES,
        allows_partial=allows_partial,
        takes_payments=takes_payments,
    )
    return page, status if form.errors else 200


def come_back(payment_id: UUID) -> Response:
    """Where Stripe's page leads: Stripe is told of no patient, so the payment says whose page it is."""
    with transaction():
        patient_id = payments.patient_of_mine(payment_id)
        portal_home.see_billing(patient_id)
    here = url_for("portal.payment", patient_id=patient_id, payment_id=payment_id, returned=checkouts.returned_now())
    return redirect(here, 303)


@leads_to_stripe
@shows("payment.viewed")
def show(patient_id: UUID, payment_id: UUID) -> Any:
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_billing(patient_id))
        payment = payments.of_id(payment_id, patient_id)
        refunds = payments.given_back(payment_id)
        may_ask_again = payments.may_ask_again(payments.get(payment_id))
    return render_template(
        "portal/payments/payment.html",
        patient=patient,
        payment=payment,
        refunds=refunds,
        may_ask_again=may_ask_again,
        **checkouts.checking(payment),
    )


def go_on(patient_id: UUID, payment_id: UUID) -> Response:
    """To Stripe's page of a payment that was begun."""
    with transaction():
        portal_home.see_billing(patient_id)
        payment = payments.of_id(payment_id, patient_id)
        again = payments.may_ask_again(payments.get(payment_id))
    return _on(payment, asks_again=again)


def call_off(patient_id: UUID, payment_id: UUID) -> Response:
    with transaction():
        portal_home.see_billing(patient_id)
        payment = payments.of_id(payment_id, patient_id)
    if checkouts.call_off(payment_id):
        return redirect(url_for("portal.billing", patient_id=patient_id), 303)
    return _to_page(payment)


def _begin(wish: Wish) -> Response:
    """Raises Refused, Conflict."""
    try:
        with transaction():
            payment_id = payments.begin(wish).id
            payment = payments.of_id(payment_id, wish.patient_id)
    except Conflict:
        with transaction():
            own = payments.find_mine_live(wish.invoice_ids)
        if own is None:
            raise
        flash(_("You began to pay this before. Go on here, or call it off."), "info")
        return redirect(url_for("portal.payment", patient_id=wish.patient_id, payment_id=own), 303)
    return _on(payment, asks_again=True)


def _on(payment: PaymentRow, *, asks_again: bool) -> Response:
    """To Stripe's page, or where there is none to the payment's own, which says why."""
    way_back = url_for("portal.payment_return", payment_id=payment.id)
    url = checkouts.find_page(payment, asks_again=asks_again, way_back=way_back)
    return redirect(url, 303) if url else _to_page(payment)


def _to_page(payment: PaymentRow) -> Response:
    return redirect(url_for("portal.payment", patient_id=payment.patient_id, payment_id=payment.id), 303)
