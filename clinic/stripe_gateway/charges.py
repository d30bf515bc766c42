"""Money that came and money that goes back, as the clinic's account."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from clinic.money import Money
from clinic.stripe_gateway import line, reading
from clinic.stripe_gateway.facts import DisputeFacts, IntentFacts, RefundFacts, StripeRefused

INTENTS, REFUNDS, DISPUTES, EVENTS = "/v1/payment_intents", "/v1/refunds", "/v1/disputes", "/v1/events"
BEGINNING = "charge.dispute.created"
OF_DISPUTES = [BEGINNING, *(f"charge.dispute.{what}" for what in ("updated", "funds_withdrawn", "funds_reinstated", "closed"))]


def read_intent(account_id: str, intent_id: str) -> IntentFacts:
    return reading.intent(line.get(f"{INTENTS}/{intent_id}", {"expand": ["latest_charge"]}, of=account_id))


def intent_of_charge(account_id: str, charge_id: str) -> str | None:
    """None for a charge that was made without an intent, as old integrations do."""
    return reading.id_of(line.get(f"/v1/charges/{charge_id}", of=account_id)["payment_intent"])


def charge_saved(
    payment_id: UUID, account_id: str, amount: Money, customer_id: str, payment_method_id: str
) -> IntentFacts:
    """Charge a saved card with nobody there. One that was declined is an answer too: see its `fault`.

    Raises StripeRefused when there was not even an attempt.
    """
    asked: dict[str, Any] = {
        "amount": reading.to_minor(amount), "currency": amount.currency, "customer": customer_id,
        "payment_method": payment_method_id, "confirm": True, "off_session": True,
        "metadata": {reading.PAYMENT: str(payment_id)}, "expand": ["latest_charge"],
    }  # fmt: skip
    try:
        made = line.post(INTENTS, asked, of=account_id, key=f"payment-{payment_id}")
    except StripeRefused as refused:
        if not isinstance(refused.said.get("payment_intent"), dict):
            raise
        made = refused.said["payment_intent"]
    return reading.intent(made)


def detach_card(account_id: str, payment_method_id: str) -> None:
    """The card can never be charged again. Raises StripeRefused when it was nobody's any more."""
    line.post(f"/v1/payment_methods/{payment_method_id}/detach", of=account_id, key=f"detach-{payment_method_id}")


def refund(account_id: str, intent_id: str, amount: Money, refund_id: UUID) -> RefundFacts:
    """Give back so much of a payment. Asked again with the same `refund_id` it is the same refund."""
    asked = {
        "payment_intent": intent_id, "amount": reading.to_minor(amount), "metadata": {reading.REFUND: str(refund_id)},
    }  # fmt: skip
    return reading.refund(line.post(REFUNDS, asked, of=account_id, key=f"refund-{refund_id}"))


def refunds_of(account_id: str, intent_id: str) -> list[RefundFacts]:
    """The newest first."""
    return list(map(reading.refund, line.each(REFUNDS, {"payment_intent": intent_id}, of=account_id)))


def disputes_of(account_id: str, intent_id: str) -> list[DisputeFacts]:
    """Inquiries and disputes, the newest first."""
    return list(map(reading.dispute, line.each(DISPUTES, {"payment_intent": intent_id}, of=account_id)))


def with_past(account_id: str, dispute: DisputeFacts) -> DisputeFacts:
    """The dispute tells only where it stands. What it was before is told by Stripe's events, for thirty days."""
    asked = {"types": OF_DISPUTES} | _since(dispute.created_at)
    told = [each for each in line.each(EVENTS, asked, of=account_id) if each["data"]["object"]["id"] == dispute.id]
    statuses = tuple(each["data"]["object"]["status"] for each in reversed(told))
    return replace(dispute, past=statuses, is_past_whole=any(each["type"] == BEGINNING for each in told))


def read_refund(account_id: str, refund_id: str) -> RefundFacts:
    return reading.refund(line.get(f"{REFUNDS}/{refund_id}", of=account_id))


def read_dispute(account_id: str, dispute_id: str) -> DisputeFacts:
    return reading.dispute(line.get(f"{DISPUTES}/{dispute_id}", of=account_id))


def intents_since(account_id: str, since: datetime) -> Iterator[IntentFacts]:
    """Made at that instant or later; the newest first."""
    asked = _since(since) | {"expand": ["data.latest_charge"]}
    return map(reading.intent, line.each(INTENTS, asked, of=account_id))


def refunds_since(account_id: str, since: datetime) -> Iterator[RefundFacts]:
    return map(reading.refund, line.each(REFUNDS, _since(since), of=account_id))


def disputes_since(account_id: str, since: datetime) -> Iterator[DisputeFacts]:
    return map(reading.dispute, line.each(DISPUTES, _since(since), of=account_id))


def _since(instant: datetime) -> dict[str, Any]:
    return {"created": {"gte": int(instant.timestamp())}}
