"""Where a mailed invoice leads: to the clinic's name and the amount, and where the clinic allows it to paying that.

Everything else is behind the door. The link's secret stays in this browser's cookie: no address, and hence nothing that Stripe
is told, has it.
"""

from typing import Any
from uuid import UUID, uuid4

import wtforms
from flask import flash, redirect, render_template, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from clinic import mailed_invoices, payments
from clinic.mailed_invoices import MailedInvoice
from clinic.payments import PaymentRow, by_link
from portal_app import checkouts, mailed_links
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.link_tokens import Purpose
from ui.doors import open_page
from ui.forms import PorticoForm
from ui.headers import leads_to_stripe


class PayForm(PorticoForm):
    payment_id = wtforms.HiddenField()  # the payment that pressing twice is
    mailing_id = wtforms.HiddenField()  # what was shown: another link may be opened in another tab meanwhile


@leads_to_stripe
@open_page
def show() -> Any:
    secret, form, status = _secret(), PayForm(), 422
    with mailed_invoices.following(secret):
        try:
            with transaction():
                state, found = mailed_invoices.look(secret)
                begun = by_link.find_live(found.mailing_id) if found else None
                may_pay = found is not None and by_link.may_be_paid(found)
        except NotFound:
            return mailed_links.incomplete(Purpose.INVOICE)
        if found is None:
            return mailed_links.no_longer_good(Purpose.INVOICE, state)
        if form.validate_on_submit():
            try:
                return _begin(secret, form)
            except Refused as refusal:
                form.refuse(refusal)
            except Conflict as conflict:
                form.refuse(conflict)
                status = 409
    return _page(found, form, begun, may_pay=may_pay), status if form.errors else 200


@leads_to_stripe
@open_page
def show_payment(payment_id: UUID) -> Any:
    """The way back from Stripe's page, which is told of the payment alone."""
    try:
        with mailed_invoices.following(_secret()), transaction():
            payment = by_link.get(_secret(), payment_id)
            may_ask_again = payments.may_ask_again(payments.get(payment_id))
    except NotFound:
        return _not_here()
    if returned := checkouts.returned_now():
        return redirect(url_for("portal.link_payment", payment_id=payment_id, returned=returned), 303)
    return render_template(
        "portal/mailed_invoices/payment.html", payment=payment, may_ask_again=may_ask_again, **checkouts.checking(payment)
    )


@open_page
def go_on(payment_id: UUID) -> Any:
    secret = _secret()
    with mailed_invoices.following(secret):
        try:
            with transaction():
                payment = by_link.get(secret, payment_id)
                again = payments.may_ask_again(payments.get(payment_id))
                _state, found = mailed_invoices.look(secret)
                may_pay = found is not None and by_link.may_be_paid(found)
        except NotFound:
            return _not_here()
        return _on(payment, asks_again=again) if may_pay else _to_page(payment)


@open_page
def call_off(payment_id: UUID) -> Any:
    secret = _secret()
    with mailed_invoices.following(secret):
        try:
            with transaction():
                payment = by_link.get(secret, payment_id)
        except NotFound:
            return _not_here()
        was_called_off = checkouts.call_off(payment_id)
    return redirect(url_for("portal.mailed_invoice"), 303) if was_called_off else _to_page(payment)


def _secret() -> str:
    return mailed_links.secret_of(Purpose.INVOICE)


def _page(found: MailedInvoice, form: PayForm, begun: UUID | None, *, may_pay: bool) -> str:
    form.payment_id.data, form.mailing_id.data = str(uuid4()), str(found.mailing_id)
    return render_template("portal/mailed_invoices/invoice.html", found=found, form=form, begun=begun, may_pay=may_pay)


def _begin(secret: str, form: PayForm) -> Response:
    """Raises Refused, Conflict."""
    try:
        payment_id, mailing_id = UUID(form.payment_id.data), UUID(form.mailing_id.data)
        with transaction():
            by_link.begin(secret, payment_id, mailing_id)
            payment = by_link.get(secret, payment_id)
    except (TypeError, ValueError, NotFound):  # somebody made the form up, or the link ended meanwhile
        return redirect(url_for("portal.mailed_invoice"), 303)
    except Conflict:
        with transaction():
            own = by_link.find_live(mailing_id)
        if own is None:
            raise
        flash(_("You began to pay this before. Go on here, or call it off."), "info")
        return redirect(url_for("portal.link_payment", payment_id=own), 303)
    return _on(payment, asks_again=True)


def _on(payment: PaymentRow, *, asks_again: bool) -> Response:
    """To Stripe's page, or where there is none to the payment's own, which says why."""
    way_back = url_for("portal.link_payment", payment_id=payment.id)
    url = checkouts.find_page(payment, asks_again=asks_again, way_back=way_back)
    return redirect(url, 303) if url else _to_page(payment)


def _to_page(payment: PaymentRow) -> Response:
    return redirect(url_for("portal.link_payment", payment_id=payment.id), 303)


def _not_here() -> tuple[str, int]:
    """In a browser that followed no link, such as another than the payer left from: what to do. Otherwise, raises NotFound."""
    if _secret():
        raise NotFound("payment")
    return render_template("portal/mailed_invoices/not_here.html"), 404
