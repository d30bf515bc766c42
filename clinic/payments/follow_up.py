"""Jobs: payments are looked at again until they end, and checkouts that nobody may pay any more are ended.

Enough by itself: with every event of Stripe's lost, each payment is looked at after 2, 4, 8 … minutes, then hourly.
"""

import logging
from collections.abc import Callable
from functools import partial
from uuid import UUID

from sqlalchemy import case, select

from clinic import invoices, stripe_gateway
from clinic.invoices import PaymentInvoice
from clinic.payments import agreeing, autopay, claims, problems, refunds
from clinic.payments.beginning import UNPAID, called_off
from clinic.payments.looking import get
from clinic.payments.payers import may_pay, may_pay_by_link
from clinic.payments.problems import ProblemKind
from clinic.payments.rows import UNFINISHED, Payment, PaymentWay
from clinic.payments.waiting import next_look
from clinic.portal_users import END_CHECKOUTS
from clinic.stripe_gateway import StripeRefused, StripeUnknown
from tenancy import clock, jobs
from tenancy.database import afresh, db, transaction
from tenancy.errors import Conflict
from tenancy.tenant import Role

LOOK = "payments.look"
AT_ONCE = 50
log = logging.getLogger(__name__)


@jobs.in_clinic(LOOK, Role.STAFF, retry=jobs.PATIENT)
def look(payment_id: str) -> None:
    """Somebody knows that something happened to this payment."""
    agreeing.bring_up_to_date(UUID(payment_id))


def look_soon(payment_id: UUID) -> None:
    """Enqueue it, in the running transaction."""
    jobs.enqueue(LOOK, payment_id=str(payment_id))


@jobs.in_clinic(END_CHECKOUTS, Role.STAFF, retry=jobs.PATIENT)
def end_checkouts() -> None:
    """Of those who may not pay any more, whose autopay stops too, and for what is not owed any more. Raises StripeUnknown."""
    with transaction():
        autopay.stop_unlinked()
        needless = _needless()
    for payment_id in needless:
        end_checkout(payment_id)


@jobs.every_clinic("payments.follow_up", "* * * * *", Role.STAFF, suspended=True)
def look_again() -> None:
    """Each minute. What Stripe does not answer is asked again later, and is not failed by it."""
    for payment_id in _due():
        try_to_look(payment_id)
    with transaction():
        unsent = refunds.unsent()
    for refund_id, payment_id in unsent:
        try_to_look(payment_id)  # it may have been made although Stripe failed: the failure too is kept under the key
        _try(payment_id, partial(refunds.send, refund_id, payment_id))
    try:
        end_checkouts()
    except StripeUnknown as unknown:
        log.warning("Stripe did not answer, so checkouts wait: %s", unknown)


def try_to_look(payment_id: UUID) -> bool:
    """Whether anything was written. A payment that Stripe will not show any more is told to the clinic."""
    return _try(payment_id, partial(agreeing.bring_up_to_date, payment_id))


def _try(payment_id: UUID, asks: Callable[[], object]) -> bool:
    """Whether `asks` brought anything. What stands in the way of one payment is not in the way of the others."""
    try:
        return bool(asks())
    except (StripeUnknown, Conflict) as unknown:
        log.warning("Payment %s waits: %s", payment_id, unknown)
    except StripeRefused as refused:
        log.warning("Stripe does not show payment %s: %s", payment_id, refused.code)
        with transaction():
            return problems.report(ProblemKind.UNREADABLE, str(payment_id), payment_id)
    return False


def end_checkout(payment_id: UUID) -> bool:
    """Let nobody pay there any more; False if somebody did already. Raises NotFound, StripeUnknown."""
    with transaction():
        payment = get(payment_id)
    if payment.status not in UNPAID:
        return False
    if payment.checkout_session_id:
        try:
            stripe_gateway.end_checkout(payment.account_id, payment.checkout_session_id)
        except StripeRefused:  # it was paid, or is over by itself
            try_to_look(payment_id)
            return False
    with transaction():
        called_off(payment_id)
    return True


def end_checkouts_of(invoice_id: UUID) -> None:
    """Before an invoice is voided or paid in another way. Money that arrives all the same is credit, and told."""
    with transaction():
        held = select(PaymentInvoice.payment_id).where(
            PaymentInvoice.invoice_id == invoice_id, PaymentInvoice.released_at.is_(None)
        )
        found = list(db.session.scalars(held))
    for payment_id in found:
        end_checkout(payment_id)


def _due() -> list[UUID]:
    """Leased for the time that looking may take, so that two workers do not look at the same."""
    with transaction():
        found = db.session.scalars(
            afresh(select(Payment))
            .where(Payment.status.in_(UNFINISHED), Payment.next_look_at <= clock.now())
            .order_by(Payment.next_look_at)
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True, key_share=True)
        ).all()
        for payment in found:
            payment.next_look_at = next_look(payment)
        return [payment.id for payment in found]


def _needless() -> list[UUID]:
    may = case((Payment.way == PaymentWay.LINK, may_pay_by_link(Payment)), else_=may_pay(Payment))
    unpaid = select(Payment.id, may).where(Payment.status.in_(UNPAID), Payment.way != PaymentWay.AUTOPAY)
    return [
        payment_id
        for payment_id, may_still in db.session.execute(unpaid.order_by(Payment.started_at))
        if not may_still or _is_paid_otherwise(payment_id)
    ]


def _is_paid_otherwise(payment_id: UUID) -> bool:
    wanted = claims.of_payment(payment_id)
    due = invoices.due_of([invoice_id for invoice_id, _amount in wanted])
    return any(due[invoice_id].minor < amount.minor for invoice_id, amount in wanted)
