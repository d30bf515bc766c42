"""Reconciliation: a clinic's payments compared with Stripe's own lists, from Stripe to the books and back.

What is missing is written by the very verbs that an event would have called; what no rule covers is told to the clinic as a
problem. Each hour, and by hand; enough by itself with every event lost. What was put right or told once is not again, so
that a second run reports nothing.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from clinic import payments, stripe_gateway
from clinic.account import AccountLine
from clinic.payment_processing import PaymentAccount
from clinic.payments import (
    UNFINISHED,
    Dispute,
    DisputeStatus,
    Payment,
    PaymentProblem,
    PaymentStatus,
    ProblemKind,
    Refund,
    RefundStatus,
)
from clinic.payments.facts import DISPUTES, REFUNDS
from clinic.stripe_gateway import DisputeFacts, IntentFacts, RefundFacts, StripeFault, StripeRefused
from tenancy import clock, jobs
from tenancy.database import db, transaction
from tenancy.errors import Conflict
from tenancy.tenant import Role

# How far back Stripe's lists are read. A payment is decided within days, a refund may fail for months, and a bank may
# dispute for longer still; what is known to be undecided is looked at whatever its age.
INTENTS, REFUNDS_BACK, DISPUTES_BACK = timedelta(days=30), timedelta(days=100), timedelta(days=200)
JUST_BEGUN = timedelta(minutes=2)  # still being written by whoever began it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """`compared` things of Stripe's lists and ours; `corrected` payments of ours; `told` problems that are new."""

    compared: int = 0
    corrected: int = 0
    told: int = 0
    still_open: int = 0  # problems that nobody settled yet
    is_complete: bool = True  # False: Stripe did not answer about something

    def __add__(self, other: "Outcome") -> "Outcome":
        return Outcome(
            self.compared + other.compared,
            self.corrected + other.corrected,
            self.told + other.told,
            self.still_open + other.still_open,
            self.is_complete and other.is_complete,
        )


@dataclass(frozen=True)
class Known:
    """What our rows say of one Stripe account: intent → what came of it; refund, dispute → its status."""

    succeeded: dict[str, tuple[UUID, int]]  # payment, and what its refunds on the account come to, in minor units
    payments: dict[str, str]
    refunds: dict[str, str]
    disputes: dict[str, str]
    undecided: list[UUID]


@jobs.every_clinic("clinic.reconcile", "23 * * * *", Role.STAFF, suspended=True)
def reconcile_hourly() -> None:
    outcome = reconcile()
    if outcome.corrected or outcome.told or not outcome.is_complete:
        log.warning("Reconciliation: %s", outcome)


def reconcile() -> Outcome:
    """Compare all of the open clinic's Stripe accounts, the former ones too."""
    with transaction():
        account_ids = list(db.session.scalars(select(PaymentAccount.account_id).order_by(PaymentAccount.opened_at)))
        before = _problems()
    outcome = Outcome()
    for account_id in account_ids:
        outcome += _compare(account_id)
    with transaction():
        return replace(outcome, told=_problems() - before, still_open=payments.problems.count_open())


def _compare(account_id: str) -> Outcome:
    with transaction():
        known = _known(account_id)
    compared = corrected = 0
    is_complete = True
    try:
        for intent_id in _differing(account_id, known):
            compared += 1
            if intent_id:
                was_corrected = _look_at_intent(account_id, intent_id)
                corrected, is_complete = corrected + bool(was_corrected), is_complete and was_corrected is not None
    except StripeRefused as refused:  # an account that was taken from us: nothing can be compared any more
        log.warning("Stripe does not show account %s: %s", account_id, refused.code)
    except StripeFault as fault:
        log.warning("Stripe did not answer about account %s: %s", account_id, fault)
        is_complete = False
    for payment_id in known.undecided:
        compared += 1
        corrected += payments.try_to_look(payment_id)
    return Outcome(compared, corrected, is_complete=is_complete)


def _differing(account_id: str, known: Known) -> Iterator[str | None]:
    """For each thing at Stripe None, or the intent whose payment must be brought up to date. Then what Stripe lacks."""
    now, seen = clock.now(), set[str]()
    for intent in stripe_gateway.intents_since(account_id, now - INTENTS):
        seen.add(intent.id)
        yield intent.id if _is_news(intent, known) else None
    for refund in stripe_gateway.refunds_since(account_id, now - REFUNDS_BACK):
        yield refund.intent_id if _is_refund_news(refund, known) else None
    for dispute in stripe_gateway.disputes_since(account_id, now - DISPUTES_BACK):
        yield dispute.intent_id if _is_dispute_news(dispute, known) else None
    _tell_missing(account_id, seen)


def _is_news(intent: IntentFacts, known: Known) -> bool:
    """Whether a payment that Stripe has is not with us as it is there. What carries no mark of ours is none of ours."""
    if intent.id not in known.payments:
        return intent.payment_id is not None
    if intent.status == "succeeded":
        given_back = intent.charge.refunded.minor if intent.charge else 0
        return intent.id not in known.succeeded or known.succeeded[intent.id][1] != given_back
    return False  # what is undecided with us is looked at by itself


def _is_refund_news(refund: RefundFacts, known: Known) -> bool:
    return refund.intent_id in known.payments and known.refunds.get(refund.id) != REFUNDS.get(refund.status)


def _is_dispute_news(dispute: DisputeFacts, known: Known) -> bool:
    return dispute.intent_id in known.payments and known.disputes.get(dispute.id) != DISPUTES.get(dispute.status)


def _look_at_intent(account_id: str, intent_id: str) -> bool | None:
    """Whether our rows were changed by it; None if others were at it all the while: the other payments go on."""
    with transaction():
        before = _looks(intent_id)
    try:
        payments.look_at_intent(account_id, intent_id)
    except Conflict as conflict:
        log.warning("The payment of %s waits: %s", intent_id, conflict)
        return None
    except StripeRefused as refused:
        if refused.code != "resource_missing":
            raise
        log.warning("Our payment of %s names what Stripe does not have", intent_id)  # told below; the others go on
    with transaction():
        return _looks(intent_id) != before


def _looks(intent_id: str) -> int | None:
    return db.session.scalars(select(Payment.looks).where(Payment.payment_intent_id == intent_id)).one_or_none()


def _tell_missing(account_id: str, seen: set[str]) -> None:
    """What is on our account, and not at Stripe."""
    since = clock.now() - INTENTS + timedelta(days=1)
    ours = select(Payment).where(
        Payment.account_id == account_id, Payment.status == PaymentStatus.SUCCEEDED, Payment.started_at > since
    )
    with transaction():
        for payment in db.session.scalars(ours):
            if payment.payment_intent_id not in seen and payment.started_at < clock.now() - JUST_BEGUN:
                payments.problems.report(ProblemKind.MISSING, str(payment.id), payment.id)


def _known(account_id: str) -> Known:
    of_account = (
        select(Payment.payment_intent_id, Payment.id, Payment.status)
        .where(Payment.account_id == account_id, Payment.payment_intent_id.is_not(None))
    )  # fmt: skip
    rows = [(str(intent_id), payment_id, status) for intent_id, payment_id, status in db.session.execute(of_account)]
    given_back = _given_back(account_id)
    return Known(
        {
            intent_id: (payment_id, given_back.get(payment_id, 0))
            for intent_id, payment_id, status in rows
            if status == PaymentStatus.SUCCEEDED
        },
        {intent_id: status for intent_id, _id, status in rows},
        _statuses(Refund, account_id),
        _statuses(Dispute, account_id),
        _undecided(account_id),
    )


def _given_back(account_id: str) -> dict[UUID, int]:
    """By payment, the lines of its refunds with what corrects them."""
    line = select(Refund.payment_id, Refund.line_id).join(
        Payment, (Payment.clinic_id == Refund.clinic_id) & (Payment.id == Refund.payment_id)
    )
    refunded = line.where(Payment.account_id == account_id, Refund.line_id.is_not(None)).subquery()
    rows = db.session.execute(
        select(refunded.c.payment_id, func.sum(AccountLine.amount_minor))
        .join(AccountLine, (AccountLine.id == refunded.c.line_id) | (AccountLine.corrects_id == refunded.c.line_id))
        .group_by(refunded.c.payment_id)
    )
    return {payment_id: int(minor) for payment_id, minor in rows}


def _statuses(kind: type[Refund] | type[Dispute], account_id: str) -> dict[str, str]:
    """By Stripe's id."""
    stripe_id = Refund.stripe_refund_id if kind is Refund else Dispute.stripe_dispute_id
    rows = db.session.execute(
        select(stripe_id, kind.status)
        .join(Payment, (Payment.clinic_id == kind.clinic_id) & (Payment.id == kind.payment_id))
        .where(Payment.account_id == account_id, stripe_id.is_not(None))
    )
    return {str(id_): str(status) for id_, status in rows}


def _undecided(account_id: str) -> list[UUID]:
    """Payments, refunds and disputes on which somebody is still to decide."""
    old_enough = Payment.started_at < clock.now() - JUST_BEGUN
    refunds = select(Refund.payment_id).where(Refund.status.in_((RefundStatus.ASKED, RefundStatus.PENDING)))
    disputes = select(Dispute.payment_id).where(Dispute.status.in_((DisputeStatus.INQUIRY, DisputeStatus.OPEN)))
    undecided = Payment.status.in_(UNFINISHED) | Payment.id.in_(refunds) | Payment.id.in_(disputes)
    found = select(Payment.id).where(Payment.account_id == account_id, old_enough, undecided)
    return list(db.session.scalars(found.order_by(Payment.started_at)))


def _problems() -> int:
    """However many there ever were."""
    return db.session.scalars(select(func.count()).select_from(PaymentProblem)).one()
