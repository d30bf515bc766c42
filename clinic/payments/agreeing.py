"""Bringing the books to agree with Stripe: one function, whoever calls it, however often and in whatever order."""

from uuid import UUID

from sqlalchemy import ColumnElement, select

from clinic import account, actors, stripe_gateway
from clinic.payments import agreement, entering, looking, problems
from clinic.payments.facts import Facts
from clinic.payments.looking import get
from clinic.payments.problems import ProblemKind
from clinic.payments.rows import UNFINISHED, Payment
from clinic.payments.waiting import next_look
from clinic.stripe_gateway import CheckoutFacts, IntentFacts
from tenancy.database import db, transaction
from tenancy.errors import Conflict

TRIES = 5


def bring_up_to_date(payment_id: UUID) -> bool:
    """Read a payment from Stripe and write what is missing; whether anything was.

    Opens its own transactions, as staff; what it does is recorded as the system's. Whatever was written after our rows
    were read makes what Stripe said meanwhile old: then both are read again. Raises NotFound, StripeUnknown,
    StripeRefused; Conflict if others were faster each time.
    """
    with actors.acting(actors.SYSTEM):
        for _ in range(TRIES):
            with transaction():
                known = looking.ours(get(payment_id))
            facts = looking.look(known)
            with transaction():
                payment = held(payment_id)
                if payment.looks == known.looks:
                    return _agree(payment, facts)
    raise Conflict("Others brought this payment up to date meanwhile.")


def look_at_intent(account_id: str, intent_id: str) -> UUID | None:
    """Bring the payment that Stripe knows by this intent up to date; None when it is none of ours.

    Also one whose answer was lost: then what the intent is marked with names a candidate, and our own row decides. Raises
    StripeUnknown, StripeRefused.
    """
    payment_id = _find(account_id, Payment.payment_intent_id == intent_id)
    if payment_id is None:
        payment_id = _adopt(account_id, stripe_gateway.read_intent(account_id, intent_id))
    if payment_id:
        bring_up_to_date(payment_id)
    return payment_id


def look_at_checkout(account_id: str, session_id: str) -> UUID | None:
    """The same, by the page on which it was to be paid."""
    payment_id = _find(account_id, Payment.checkout_session_id == session_id)
    if payment_id is None:
        checkout = stripe_gateway.read_checkout(account_id, session_id)
        payment_id = _adopt_as(account_id, checkout.payment_id, checkout, None)
    if payment_id:
        bring_up_to_date(payment_id)
    return payment_id


def _find(account_id: str, known_by: ColumnElement[bool]) -> UUID | None:
    with transaction():
        return db.session.scalars(select(Payment.id).where(Payment.account_id == account_id, known_by)).one_or_none()


def _adopt(account_id: str, intent: IntentFacts) -> UUID | None:
    """The page on which it was paid may be known already: then no mark is asked."""
    checkout = stripe_gateway.find_checkout_of_intent(account_id, intent.id)
    if checkout and (payment_id := _find(account_id, Payment.checkout_session_id == checkout.id)):
        return payment_id
    named = checkout.payment_id if checkout else intent.payment_id
    return _adopt_as(account_id, named, checkout, intent)


def _adopt_as(
    account_id: str, named: UUID | None, checkout: CheckoutFacts | None, intent: IntentFacts | None
) -> UUID | None:
    """What carries no mark of ours was made by the clinic without us. What carries one and does not fit is a problem."""
    found = intent or checkout
    if named is None or found is None:
        return None
    with actors.acting(actors.SYSTEM), transaction():
        payment = db.session.scalars(select(Payment).where(Payment.id == named)).one_or_none()
        payment = held(named) if payment else None
        if payment is None or not _fits(payment, account_id, checkout, intent):
            problems.report(ProblemKind.UNKNOWN, found.id, payment.id if payment else None, found.amount)
            return None
        payment.checkout_session_id = checkout.id if checkout else payment.checkout_session_id
        payment.payment_intent_id = intent.id if intent else payment.payment_intent_id
        payment.looks += 1
    return named


def _fits(payment: Payment, account_id: str, checkout: CheckoutFacts | None, intent: IntentFacts | None) -> bool:
    found = intent or checkout
    assert found
    has_other_page = checkout and payment.checkout_session_id not in (None, checkout.id)
    has_other_intent = intent and payment.payment_intent_id not in (None, intent.id)
    is_same = (payment.amount_minor, payment.currency, payment.account_id)
    return is_same == (found.amount.minor, found.amount.currency, account_id) and not (has_other_page or has_other_intent)


def held(payment_id: UUID) -> Payment:
    """The payment, with its patient's account held first."""
    account.lock(get(payment_id).patient_id)
    return get(payment_id, lock=True)


def _agree(payment: Payment, facts: Facts) -> bool:
    written = [entering.write(payment, step) for step in agreement.steps(looking.ours(payment), facts)]
    if any(written):
        payment.looks += 1
    if payment.status in UNFINISHED:
        payment.next_look_at = next_look(payment)
    return any(written)
