"""Paying: choose what, go to Stripe's page, come back to a page that tells what is known. Amounts are the database's."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import wtforms
from flask import current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response
from wtforms.validators import Optional

from clinic import billing_settings, invoices, money, payments, portal_home, stripe_gateway
from clinic.payments import PaymentRow, PaymentStatus, Wish
from clinic.stripe_gateway import StripeFault, StripeRefused, StripeUnknown
from portal_app import guards, wayfinding
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.sites import portal_url
from ui.forms import PorticoForm, at_most
from ui.headers import leads_to_stripe
from ui.looks import shows

REFRESH_SECONDS = 4
REFRESHES_FOR = timedelta(minutes=3)
# status: (words, tone of the badge)
STATUSES = {
    PaymentStatus.STARTING: (_l("Being checked"), "info"),
    PaymentStatus.OPEN: (_l("Not paid yet"), "warn"),
    PaymentStatus.PROCESSING: (_l("On its way"), "info"),
    PaymentStatus.SUCCEEDED: (_l("Paid"), "good"),
    PaymentStatus.FAILED: (_l("Did not go through"), "bad"),
    PaymentStatus.ENDED: (_l("Not paid"), "neutral"),
}

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
        statuses=STATUSES,
        allows_partial=allows_partial,
        takes_payments=takes_payments,
    )
    return page, status if form.errors else 200


def come_back(payment_id: UUID) -> Response:
    """Where Stripe's page leads: Stripe is told of no patient, so the payment says whose page it is."""
    with transaction():
        patient_id = payments.patient_of_mine(payment_id)
        portal_home.see_billing(patient_id)
    # From now on, so that the page knows when to stop asking.
    returned = int(clock.now().timestamp()) if "returned" in request.args else None
    return redirect(url_for("portal.payment", patient_id=patient_id, payment_id=payment_id, returned=returned), 303)


@leads_to_stripe
@shows("payment.viewed")
def show(patient_id: UUID, payment_id: UUID) -> Any:
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_billing(patient_id))
        payment = payments.of_id(payment_id, patient_id)
        refunds = payments.given_back(payment_id)
        may_ask_again = payments.may_ask_again(payments.get(payment_id))
    returned_at = _returned_at()
    is_checking = returned_at is not None and payment.status in (PaymentStatus.STARTING, PaymentStatus.OPEN)
    refreshes = is_checking and returned_at is not None and clock.now() - returned_at < REFRESHES_FOR
    return render_template(
        "portal/payments/payment.html",
        patient=patient,
        payment=payment,
        refunds=refunds,
        status=STATUSES[PaymentStatus(payment.status)],
        is_checking=is_checking,
        may_ask_again=may_ask_again,
        refresh_seconds=REFRESH_SECONDS if refreshes else None,
        refresh_query=f"returned={request.args.get('returned')}&",
    )


def go_on(patient_id: UUID, payment_id: UUID) -> Response:
    """To Stripe's page of a payment that was begun, which is asked for again, with the same key, if it is not known yet."""
    with transaction():
        portal_home.see_billing(patient_id)
        payment = payments.of_id(payment_id, patient_id)
        again = payments.may_ask_again(payments.get(payment_id))
    if payment.status == PaymentStatus.OPEN and payment.checkout_url:
        return redirect(payment.checkout_url, 303)
    return _ask_stripe(payment) if again else _to_page(payment)


def call_off(patient_id: UUID, payment_id: UUID) -> Response:
    with transaction():
        portal_home.see_billing(patient_id)
        payment = payments.of_id(payment_id, patient_id)
        found = payments.get(payment_id)
        account_id, session_id = found.account_id, found.checkout_session_id
    try:
        if session_id and not payment.is_finished:
            stripe_gateway.end_checkout(account_id, session_id)
        with transaction():
            payments.called_off(payment_id)
    except StripeUnknown:
        flash(_("Stripe does not answer just now, so nothing was called off. Try again in a minute."), "error")
        return _to_page(payment)
    except StripeRefused:
        with transaction():
            payments.look_soon(payment_id)
        flash(_("It may have been paid already, so it was not called off. We are checking."), "info")
        return _to_page(payment)
    flash(_("It is called off. Nothing was paid."), "success")
    return redirect(url_for("portal.billing", patient_id=patient_id), 303)


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
    if payment.status == PaymentStatus.OPEN and payment.checkout_url:
        return redirect(payment.checkout_url, 303)
    return _ask_stripe(payment) if payment.status == PaymentStatus.STARTING else _to_page(payment)


def _ask_stripe(payment: PaymentRow) -> Response:
    """One call, while no transaction runs. Whatever is not known afterwards is not failed: the page says so."""
    address = portal_url(
        current_app.config["PORTICO"],
        guards.clinic().slug,
        url_for("portal.payment_return", payment_id=payment.id),
    )
    with transaction():
        order = payments.order_of(payments.get(payment.id), f"{address}?returned=1", address)
    try:
        facts = stripe_gateway.open_checkout(order)
    except StripeFault as fault:
        return _was_not_opened(payment, fault)
    with transaction():
        url = payments.opened(payment.id, facts)
    if url:
        return redirect(url, 303)
    with transaction():
        payments.look_soon(payment.id)
    return _to_page(payment)


def _was_not_opened(payment: PaymentRow, fault: StripeFault) -> Response:
    if isinstance(fault, StripeRefused) and fault.code != payments.KEY_IN_USE:
        with transaction():
            payments.refused(payment.id, fault.code)
    return _to_page(payment)


def _to_page(payment: PaymentRow) -> Response:
    return redirect(url_for("portal.payment", patient_id=payment.patient_id, payment_id=payment.id), 303)


def _returned_at() -> datetime | None:
    """When the payer came back from Stripe's page, as the page's own address says; None for anything else."""
    typed = request.args.get("returned", "")
    if not (typed.isdecimal() and 9 <= len(typed) <= 11):
        return None
    return datetime.fromtimestamp(int(typed), UTC)
