"""Reading a payment from Stripe, and from our own rows. No transaction runs while Stripe is asked."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.orm import aliased

from clinic import stripe_gateway
from clinic.account import AccountLine
from clinic.money import Money
from clinic.payments.facts import DISPUTES, Entry, Facts, OurDispute, OurRefund, Ours
from clinic.payments.rows import Dispute, DisputeStatus, Payment, PaymentStatus, PaymentWay, Refund, RefundStatus
from clinic.stripe_gateway import CheckoutFacts, DisputeFacts, IntentFacts, RefundFacts
from tenancy import clock
from tenancy.database import afresh, db, locked
from tenancy.errors import NotFound

EARLIER = timedelta(minutes=1)  # Stripe's clock is not ours

_correction = aliased(AccountLine)


def get(payment_id: UUID, *, lock: bool = False) -> Payment:
    """Raises NotFound. Who locks it holds the patient's account already."""
    statement = select(Payment).where(Payment.id == payment_id)
    payment = db.session.scalars(locked(statement) if lock else afresh(statement)).one_or_none()
    if payment is None:
        raise NotFound("payment")
    return payment


def ours(payment: Payment) -> Ours:
    """The payment with its refunds and disputes, as our rows have them now."""
    return Ours(
        id=payment.id,
        way=PaymentWay(payment.way),
        status=PaymentStatus(payment.status),
        amount=Money(payment.amount_minor, payment.currency),
        account_id=payment.account_id,
        started_at=payment.started_at,
        checkout_session_id=payment.checkout_session_id,
        payment_intent_id=payment.payment_intent_id,
        refunds=tuple(
            OurRefund(row.id, Money(row.amount_minor, row.currency), RefundStatus(row.status), row.stripe_refund_id, entry)
            for row, entry in _with_entries(Refund, payment.id)
        ),
        disputes=tuple(
            OurDispute(row.stripe_dispute_id, DisputeStatus(row.status), entry)
            for row, entry in _with_entries(Dispute, payment.id)
        ),
        looks=payment.looks,
    )


def _with_entries(kind: type[Refund] | type[Dispute], payment_id: UUID) -> list[tuple[Any, Entry]]:
    corrected = (
        select(func.count())
        .select_from(_correction)
        .where(_correction.clinic_id == kind.clinic_id, _correction.corrects_id == kind.line_id)
        .correlate(kind)
        .scalar_subquery()
    )
    rows = select(kind, corrected).where(kind.payment_id == payment_id).order_by(kind.id)
    return [(row, Entry(row.line_id is not None, count > 0)) for row, count in db.session.execute(afresh(rows))]


def look(known: Ours) -> Facts:
    """What Stripe says of it now. Raises StripeUnknown, StripeRefused."""
    began = clock.now()
    checkout = _checkout(known)
    intent = _intent(known, checkout)
    refunds: tuple[RefundFacts, ...] = ()
    disputes: tuple[DisputeFacts, ...] = ()
    if intent and intent.status == "succeeded":
        refunds = tuple(stripe_gateway.refunds_of(known.account_id, intent.id))
        disputes = tuple(_dispute(known, each) for each in stripe_gateway.disputes_of(known.account_id, intent.id))
    return Facts(began, current_app.config["PORTICO"].is_live, checkout, intent, refunds, disputes)


def _dispute(known: Ours, found: DisputeFacts) -> DisputeFacts:
    """One that is not as we know it may have been lost meanwhile: that it was is not told by the dispute itself."""
    as_known = any((each.stripe_dispute_id, each.status) == (found.id, DISPUTES.get(found.status)) for each in known.disputes)
    return found if as_known else stripe_gateway.with_past(known.account_id, found)


def _checkout(known: Ours) -> CheckoutFacts | None:
    if known.way == PaymentWay.AUTOPAY:
        return None
    if known.checkout_session_id:
        return stripe_gateway.read_checkout(known.account_id, known.checkout_session_id)
    if known.payment_intent_id:
        return stripe_gateway.find_checkout_of_intent(known.account_id, known.payment_intent_id)
    waiting = stripe_gateway.open_checkouts(known.account_id)
    return next((each for each in waiting if each.payment_id == known.id), None)


def _intent(known: Ours, checkout: CheckoutFacts | None) -> IntentFacts | None:
    intent_id = known.payment_intent_id or (checkout.payment_intent_id if checkout else None)
    if intent_id:
        return stripe_gateway.read_intent(known.account_id, intent_id)
    if known.way == PaymentWay.AUTOPAY:
        return _charged(known.account_id, known.id, known.started_at)
    return None


def _charged(account_id: str, payment_id: UUID, since: datetime) -> IntentFacts | None:
    """A charge whose answer was lost: among those that were made since."""
    made = stripe_gateway.intents_since(account_id, since - EARLIER)
    return next((each for each in made if each.payment_id == payment_id), None)
