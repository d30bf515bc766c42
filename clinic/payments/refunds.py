"""Giving money back: asked by staff, above the clinic's limit confirmed by a second person, made at Stripe, entered by what
Stripe says of it.

Its one surprise: asking changes no account. The row comes first; its id is the key under which Stripe is asked, so that
asking again is the same refund.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from clinic import account, actors, audit, billing_settings, stripe_gateway
from clinic.money import Money
from clinic.patients import Patient
from clinic.payments import agreeing, looking, questions
from clinic.payments.rows import Dispute, DisputeStatus, Payment, PaymentStatus, Refund, RefundStatus
from clinic.stripe_gateway import StripeRefused
from tenancy import clock
from tenancy.database import afresh, db, transaction
from tenancy.errors import Conflict, NotFound, Refused

LONGEST_REASON = 200
# Stripe remembers a key for a day: after that, asking again might give the money back twice.
ASKED_AGAIN_WITHIN = timedelta(hours=23)
TRIED_AGAIN_AFTER = timedelta(minutes=2)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnconfirmedRow:
    id: UUID
    payment_id: UUID
    patient_id: UUID
    patient_name: str
    amount: Money


def get(refund_id: UUID, payment_id: UUID) -> Refund:
    """Raises NotFound."""
    found = select(Refund).where(Refund.id == refund_id, Refund.payment_id == payment_id)
    refund = db.session.scalars(afresh(found)).one_or_none()
    if refund is None:
        raise NotFound("refund")
    return refund


def ask(refund_id: UUID, payment_id: UUID, amount: Money, reason: str) -> Refund:
    """Begin to give back; asked twice with one id, the one that was begun. Send it afterwards, if it may be sent.

    Raises NotFound, Refused.
    """
    payment = _held(payment_id)
    before = db.session.scalars(select(Refund).where(Refund.id == refund_id)).one_or_none()
    if before:
        return get(refund_id, payment_id)
    _check(payment, amount, reason)
    status = RefundStatus.UNCONFIRMED if _needs_second_person(payment, amount) else RefundStatus.ASKED
    refund = Refund(
        id=refund_id,
        payment_id=payment_id,
        amount_minor=amount.minor,
        currency=amount.currency,
        status=status,
        reason=reason.strip(),
        asked_by_id=actors.current().id,
        asked_at=clock.now(),
    )
    db.session.add(refund)
    _record("refund.asked", payment, refund)
    return refund


def confirm(refund_id: UUID, payment_id: UUID) -> None:
    """A second person agrees. Raises NotFound, Conflict; Refused for whoever asked for it."""
    payment = _held(payment_id)
    refund = _unconfirmed(refund_id, payment_id)
    if refund.asked_by_id == actors.current().id:
        raise Refused(_l("You asked for this refund. Somebody else must confirm it."))
    _check_dispute(payment_id)
    refund.status, refund.confirmed_by_id, refund.asked_at = RefundStatus.ASKED, actors.current().id, clock.now()
    _record("refund.confirmed", payment, refund)


def withdraw(refund_id: UUID, payment_id: UUID) -> None:
    """It is not made after all. Raises NotFound, Conflict."""
    payment = _held(payment_id)
    refund = _unconfirmed(refund_id, payment_id)
    refund.status, refund.ended_at = RefundStatus.WITHDRAWN, clock.now()
    _record("refund.withdrawn", payment, refund)


def send(refund_id: UUID, payment_id: UUID) -> RefundStatus:
    """Ask Stripe, outside any transaction, and enter what it says; returns where the refund stands then.

    Raises StripeUnknown: it may have been made or not, and will be asked again.
    """
    with transaction():
        refund, payment = get(refund_id, payment_id), looking.get(payment_id)
    if refund.status == RefundStatus.ASKED and payment.payment_intent_id:
        amount = Money(refund.amount_minor, refund.currency)
        try:
            if clock.now() - refund.asked_at < ASKED_AGAIN_WITHIN:
                stripe_gateway.refund(payment.account_id, payment.payment_intent_id, amount, refund_id)
        except StripeRefused as refused:
            _was_refused(refund_id, payment_id, refused.code)
        agreeing.bring_up_to_date(payment_id)
        _give_up_if_old(refund_id, payment_id)
    with transaction():
        return RefundStatus(get(refund_id, payment_id).status)


def unsent() -> list[tuple[UUID, UUID]]:
    """(refund, payment) of those of which Stripe has not answered yet."""
    waiting = select(Refund.id, Refund.payment_id).where(
        Refund.status == RefundStatus.ASKED, Refund.asked_at < clock.now() - TRIED_AGAIN_AFTER
    )
    return [(refund_id, payment_id) for refund_id, payment_id in db.session.execute(waiting.order_by(Refund.asked_at))]


def unconfirmed() -> list[UnconfirmedRow]:
    """Those that wait for a second person, the oldest first."""
    rows = db.session.execute(
        select(Refund.id, Refund.payment_id, Patient.id, Patient.name, Refund.amount_minor, Refund.currency)
        .join(Payment, (Payment.clinic_id == Refund.clinic_id) & (Payment.id == Refund.payment_id))
        .join(Patient, (Patient.clinic_id == Payment.clinic_id) & (Patient.id == Payment.patient_id))
        .where(Refund.status == RefundStatus.UNCONFIRMED)
        .order_by(Refund.asked_at, Refund.id)
    )
    return [
        UnconfirmedRow(id_, payment_id, patient_id, name, Money(minor, currency))
        for id_, payment_id, patient_id, name, minor, currency in rows
    ]


def _check(payment: Payment, amount: Money, reason: str) -> None:
    if payment.status != PaymentStatus.SUCCEEDED:
        raise Refused(_l("Only a payment that has arrived can be given back."))
    if not 1 <= len(reason.strip()) <= LONGEST_REASON:
        raise Refused(_l("Say why in 1 to 200 characters; only staff see it."), field="reason")
    if amount.currency != payment.currency or amount.minor <= 0:
        raise Refused(_l("Enter an amount above zero."), field="amount")
    if not amount.fits_stripe:
        raise Refused(_l("Online, only amounts whose last digit is 0 can be given back."), field="amount")
    _check_dispute(payment.id)
    if amount > questions.refundable(questions.of_id(payment.id, payment.patient_id)):
        raise Refused(_l("This is more than is left of the payment."), field="amount")


def _check_dispute(payment_id: UUID) -> None:
    is_open = select(Dispute.id).where(Dispute.payment_id == payment_id, Dispute.status == DisputeStatus.OPEN)
    if db.session.scalars(is_open).first():
        raise Refused(_l("The payer's bank disputes this payment. Until that is decided nothing can be given back."))


def _needs_second_person(payment: Payment, amount: Money) -> bool:
    """Whether what is given back of this payment, in however many parts, goes above the clinic's limit."""
    limit = billing_settings.get().refund_limit_minor
    gone = select(func.coalesce(func.sum(Refund.amount_minor), 0)).where(
        Refund.payment_id == payment.id, Refund.status.not_in((RefundStatus.FAILED, RefundStatus.WITHDRAWN))
    )
    return limit is not None and int(db.session.scalars(gone).one()) + amount.minor > limit


def _unconfirmed(refund_id: UUID, payment_id: UUID) -> Refund:
    refund = get(refund_id, payment_id)
    if refund.status != RefundStatus.UNCONFIRMED:
        raise Conflict(_l("This refund was decided already."))
    return refund


def _was_refused(refund_id: UUID, payment_id: UUID, code: str) -> None:
    """Certainly not made: perhaps it was given back in Stripe's own dashboard meanwhile."""
    log.warning("Stripe refused refund %s: %s", refund_id, code)
    _fail(refund_id, payment_id, code)


def _give_up_if_old(refund_id: UUID, payment_id: UUID) -> None:
    """Stripe was asked a day ago, does not know the refund, and has forgotten the key."""
    with transaction():
        is_old = clock.now() - get(refund_id, payment_id).asked_at > ASKED_AGAIN_WITHIN + timedelta(hours=1)
    if is_old:
        _fail(refund_id, payment_id, "never_made")


def _fail(refund_id: UUID, payment_id: UUID, fault: str) -> None:
    with transaction():
        payment = _held(payment_id)
        refund = get(refund_id, payment_id)
        if refund.status == RefundStatus.ASKED:
            refund.status, refund.fault, refund.ended_at = RefundStatus.FAILED, fault, clock.now()
            _record("refund.failed", payment, refund)


def _held(payment_id: UUID) -> Payment:
    """With its patient's account held first. Raises NotFound."""
    account.lock(looking.get(payment_id).patient_id)
    return looking.get(payment_id, lock=True)


def _record(event: str, payment: Payment, refund: Refund) -> None:
    audit.record(
        event,
        subject_id=payment.id,
        patient_id=payment.patient_id,
        refund=str(refund.id),
        amount_minor=refund.amount_minor,
        currency=refund.currency,
    )
