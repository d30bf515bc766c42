"""Sign Up for Payment Processing: the clinic's own Stripe account, opened on Stripe's pages.

Stripe's links work once and for minutes, so one is made for each press of the button and kept nowhere. Coming back from
there proves nothing: Stripe is asked.
"""

import logging

from flask import Response, flash, redirect, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from admin_app import stripe_words
from admin_app.blueprint import admin, clinic_here, go, page, settings, too_late
from admin_app.guards import needs
from clinic import payment_processing, stripe_gateway
from clinic.payment_processing import PaymentAccount
from clinic.staff import Right
from clinic.stripe_gateway import StripeRefused, StripeUnknown
from tenancy import clinics
from tenancy.clinics import Plan
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from tenancy.sites import admin_url
from ui.headers import leads_to_stripe

log = logging.getLogger(__name__)


@admin.get("/payment-processing")
@needs(Right.ADMIN)
@leads_to_stripe
def payment_processing_page() -> Response:
    with transaction():
        account, clinic = payment_processing.find_latest(), clinics.current()
    return page(
        "admin/payment_processing/payment_processing.html",
        account=account,
        is_present=account is not None and account.ended_at is None,
        is_on=clinic.payment_processing_is_on,
        has_plan=clinic.plan == Plan.BILLING,
        is_connected=stripe_gateway.is_connected(),
        due=stripe_words.due(account.due if account else ()),
        reason=stripe_words.disabled(account.disabled_reason if account else None),
        link_is_over=request.args.get("link") == "over",
    )


@admin.post("/payment-processing/sign-up")
@needs(Right.ADMIN, fresh=True)
def payment_sign_up() -> AnyResponse:
    """On to Stripe's pages, to begin there or to go on."""
    anew, back = (
        admin_url(settings(), clinic_here().slug, path)
        for path in ("/payment-processing?link=over", "/payment-processing/return")
    )
    try:
        return redirect(stripe_gateway.onboarding_url(_present_account(), anew, back), 303)
    except (Refused, Conflict) as refusal:
        flash(str(refusal.message), "error")
    except StripeUnknown as unknown:
        log.warning("Stripe did not answer somebody who signs up: %s", unknown)
        flash(_("Stripe did not answer. Nothing was lost: please try again in a minute."), "error")
    except StripeRefused as refused:
        log.error("Stripe refused somebody who signs up: %s", refused)
        flash(_("Stripe does not let this go on. Please tell whoever runs this portal for you."), "error")
    return go("payment_processing_page")


def _present_account() -> str:
    """Made at Stripe if there is none. Raises Refused, Conflict, StripeUnknown, StripeRefused."""
    with transaction():
        opening = payment_processing.begin()
    if opening.account_id:
        return opening.account_id
    made = stripe_gateway.make_account(opening.key, opening.payee)
    with transaction():
        return payment_processing.opened(made)


@admin.get("/payment-processing/return")
@needs(Right.ADMIN)
def payment_sign_up_return() -> Response:
    """Where Stripe's pages lead back to."""
    return page("admin/payment_processing/return.html")


@admin.post("/payment-processing/reading")
@needs(Right.ADMIN)
def payment_account_reading() -> AnyResponse:
    """Ask Stripe what it says now."""
    account = _find_present()
    if account is None:
        flash(_("There is no Stripe account to ask about."), "info")
        return go("payment_processing_page")
    try:
        payment_processing.read_again(account.account_id)
    except StripeUnknown as unknown:
        log.warning("Stripe did not answer about account %s: %s", account.account_id, unknown)
        flash(_("Stripe did not answer. It is asked again by itself; this page shows what it said last."), "error")
    except StripeRefused as refused:
        log.error("Stripe refused to tell of account %s: %s", account.account_id, refused)
        flash(_("Stripe does not let this go on. Please tell whoever runs this portal for you."), "error")
    return go("payment_processing_page")


@admin.route("/payment-processing/replacement", methods=["GET", "POST"])
@needs(Right.ADMIN, fresh=True)
def payment_account_replacement() -> AnyResponse:
    """Leave the present account for another, on purpose."""
    if request.method == "GET":
        account = _find_present()
        if account is None:
            return go("payment_processing_page")
        return page("admin/payment_processing/replacement.html", account=account)
    try:
        with transaction():
            payment_processing.replace()
        flash(_("That Stripe account is no longer used for new payments. Sign up again to use another."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("payment_processing_page")


def _find_present() -> PaymentAccount | None:
    with transaction():
        return payment_processing.find_present()
