"""Stripe's hosted pages, where a payer types what we never see."""

from collections.abc import Iterator
from typing import Any

from clinic.stripe_gateway import line, reading
from clinic.stripe_gateway.facts import CheckoutFacts, CheckoutOrder

SESSIONS = "/v1/checkout/sessions"


def open_checkout(order: CheckoutOrder) -> CheckoutFacts:
    """One call. Asked again with the same order it is the same page."""
    item = {"currency": order.amount.currency, "unit_amount": reading.to_minor(order.amount)}
    intent: dict[str, Any] = {"metadata": {reading.PAYMENT: str(order.payment_id)}}
    asked: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": str(order.payment_id),
        "line_items": [{"quantity": 1, "price_data": item | {"product_data": {"name": f"Payment to {order.payee}"}}}],
        "payment_intent_data": intent,
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
        "expires_at": int(order.expires_at.timestamp()),
    }
    if order.customer_id:
        asked["customer"] = order.customer_id
        asked["saved_payment_method_options"] = {"allow_redisplay_filters": ["always", "limited"]}
    if order.saves_card:
        intent["setup_future_usage"] = "off_session"
        if not order.customer_id:
            asked["customer_creation"] = "always"
    return reading.checkout(line.post(SESSIONS, asked, of=order.account_id, key=f"payment-{order.payment_id}"))


def read_checkout(account_id: str, session_id: str) -> CheckoutFacts:
    return reading.checkout(line.get(f"{SESSIONS}/{session_id}", of=account_id))


def find_checkout_of_intent(account_id: str, intent_id: str) -> CheckoutFacts | None:
    found = line.get(SESSIONS, {"payment_intent": intent_id, "limit": 1}, of=account_id)["data"]
    return reading.checkout(found[0]) if found else None


def open_checkouts(account_id: str) -> Iterator[CheckoutFacts]:
    """Those that can still be paid."""
    return map(reading.checkout, line.each(SESSIONS, {"status": "open"}, of=account_id))


def end_checkout(account_id: str, session_id: str) -> CheckoutFacts:
    """Nobody can pay there any more. Raises StripeRefused when somebody did."""
    ended = line.post(f"{SESSIONS}/{session_id}/expire", of=account_id, key=f"end-{session_id}")
    return reading.checkout(ended)
