"""To Stripe's page and back: what the pages of a portal user and those of a mailed invoice share.

Who may pay, and see the payment, those pages ask first. Stripe is asked once, while no transaction runs; whatever is not known
afterwards is not failed, and the payment's page says so.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import current_app, flash, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from clinic import payments, stripe_gateway
from clinic.payments import PaymentRow, PaymentStatus
from clinic.stripe_gateway import StripeFault, StripeRefused, StripeUnknown
from portal_app import guards
from tenancy import clock
from tenancy.database import transaction
from tenancy.sites import portal_url

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


def find_page(payment: PaymentRow, *, asks_again: bool, way_back: str) -> str | None:
    """Stripe's page of a payment that was begun; asked for, with the same key each time, where it is not known yet.

    `way_back` is the path that Stripe leads back to, and names the payment alone. None: nobody can go on there now.
    """
    if payment.status == PaymentStatus.OPEN and payment.checkout_url:
        return payment.checkout_url
    if not (asks_again and payment.status == PaymentStatus.STARTING):
        return None
    address = portal_url(current_app.config["PORTICO"], guards.clinic().slug, way_back)
    with transaction():
        order = payments.order_of(payments.get(payment.id), f"{address}?returned=1", address)
    try:
        facts = stripe_gateway.open_checkout(order)
    except StripeFault as fault:
        _was_not_opened(payment.id, fault)
        return None
    with transaction():
        url = payments.opened(payment.id, facts)
        if url is None:
            payments.look_soon(payment.id)
    return url


def call_off(payment_id: UUID) -> bool:
    """Let nobody pay there any more, and say what came of it. Raises NotFound."""
    with transaction():
        payment = payments.get(payment_id)
        account_id, session_id, is_finished = payment.account_id, payment.checkout_session_id, payment.status not in payments.UNFINISHED
    try:
        if session_id and not is_finished:
            stripe_gateway.end_checkout(account_id, session_id)
        with transaction():
            payments.called_off(payment_id)
    except StripeUnknown:
        flash(_("Stripe does not answer just now, so nothing was called off. Try again in a minute."), "error")
        return False
    except StripeRefused:
        with transaction():
            payments.look_soon(payment_id)
        flash(_("It may have been paid already, so it was not called off. We are checking."), "info")
        return False
    flash(_("It is called off. Nothing was paid."), "success")
    return True


def returned_now() -> int | None:
    """For the address of the payment's page, where Stripe has just led back: the page knows by it when to stop asking."""
    return int(clock.now().timestamp()) if "returned" in request.args and _returned_at() is None else None


def checking(payment: PaymentRow) -> dict[str, Any]:
    """What the payment's page is drawn with: whether we wait for Stripe's word, and whether the page looks again by itself."""
    came_back = _returned_at()
    is_checking = came_back is not None and payment.status in (PaymentStatus.STARTING, PaymentStatus.OPEN)
    refreshes = is_checking and came_back is not None and clock.now() - came_back < REFRESHES_FOR
    return {
        "is_checking": is_checking,
        "status": STATUSES[PaymentStatus(payment.status)],
        "refresh_seconds": REFRESH_SECONDS if refreshes else None,
        "refresh_query": f"returned={request.args.get('returned')}&",
    }


def _was_not_opened(payment_id: UUID, fault: StripeFault) -> None:
    if isinstance(fault, StripeRefused) and fault.code != payments.KEY_IN_USE:
        with transaction():
            payments.refused(payment_id, fault.code)


def _returned_at() -> datetime | None:
    """When the payer came back from Stripe's page, as the page's own address says; None for anything else."""
    typed = request.args.get("returned", "")
    if not (typed.isdecimal() and 9 <= len(typed) <= 11):
        return None
    return datetime.fromtimestamp(int(typed), UTC)
