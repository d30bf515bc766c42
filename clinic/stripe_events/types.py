"""What each type of event asks for: look at the thing it names, as the account it names. Nothing else in it is believed.

What does not stand in the table is none of our concern. Every function may run any number of times and in any order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from clinic import payment_processing, payments, stripe_gateway

APPLIED, NOT_OURS = "applied", "not ours"


@dataclass(frozen=True)
class Told:
    """A kept event: which thing of which account to look at."""

    event_id: str
    type: str
    account_id: str
    object_id: str


@dataclass(frozen=True)
class Outcome:
    word: str
    payment_id: UUID | None = None


def _checkout(told: Told) -> Outcome:
    return _of_payment(payments.look_at_checkout(told.account_id, told.object_id))


def _intent(told: Told) -> Outcome:
    return _of_payment(payments.look_at_intent(told.account_id, told.object_id))


def _charge(told: Told) -> Outcome:
    return _of_intent(told, stripe_gateway.intent_of_charge(told.account_id, told.object_id))


def _refund(told: Told) -> Outcome:
    return _of_intent(told, stripe_gateway.read_refund(told.account_id, told.object_id).intent_id)


def _dispute(told: Told) -> Outcome:
    return _of_intent(told, stripe_gateway.read_dispute(told.account_id, told.object_id).intent_id)


def _account(told: Told) -> Outcome:
    payment_processing.read_again(told.account_id)
    return Outcome(APPLIED)


def _left(told: Told) -> Outcome:
    payment_processing.read_again(told.account_id, is_said_to_have_left=True)
    return Outcome(APPLIED)


def _of_intent(told: Told, intent_id: str | None) -> Outcome:
    return _of_payment(payments.look_at_intent(told.account_id, intent_id) if intent_id else None)


def _of_payment(payment_id: UUID | None) -> Outcome:
    """A clinic's account may take payments that have nothing to do with us."""
    return Outcome(APPLIED, payment_id) if payment_id else Outcome(NOT_OURS)


TYPES: dict[str, Callable[[Told], Outcome]] = {
    "checkout.session.completed": _checkout,
    "checkout.session.expired": _checkout,
    "checkout.session.async_payment_succeeded": _checkout,
    "checkout.session.async_payment_failed": _checkout,
    "payment_intent.processing": _intent,
    "payment_intent.succeeded": _intent,
    "payment_intent.payment_failed": _intent,
    "payment_intent.canceled": _intent,
    "charge.succeeded": _charge,
    "charge.failed": _charge,
    "charge.refunded": _charge,
    "charge.refund.updated": _refund,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.closed": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "account.updated": _account,
    "account.application.deauthorized": _left,
}
