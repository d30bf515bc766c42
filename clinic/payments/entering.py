"""Writing the steps of an agreement: the payment's row, the account, the invoices it pays, letters and the audit log.

Everything here runs in one transaction that holds the patient's account and the payment.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import select

from clinic import account, audit, invoices
from clinic.account import LineKind, Method
from clinic.money import Money
from clinic.payments import autopay, cards, claims, problems, telling
from clinic.payments.agreement import (
    GiveBack,
    Know,
    Move,
    NoteDispute,
    NoteRefund,
    PutBack,
    Receive,
    Report,
    Step,
    TakeBack,
    WinBack,
)
from clinic.payments.problems import ProblemKind
from clinic.payments.rows import (
    UNFINISHED,
    Dispute,
    DisputeStatus,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from tenancy import clock
from tenancy.database import afresh, db

METHODS = {"card": Method.CARD, "us_bank_account": Method.BANK_DEBIT, "sepa_debit": Method.BANK_DEBIT}
CLOSED = (DisputeStatus.INQUIRY_CLOSED, DisputeStatus.WON, DisputeStatus.LOST)


def write(payment: Payment, step: Step) -> bool:
    """Whether there was something to write: a problem is told once."""
    if isinstance(step, Report):
        return problems.report(step.kind, step.object_id, payment.id, step.amount)
    WRITING[type(step)](payment, step)
    return True


def _know(payment: Payment, step: Know) -> None:
    payment.checkout_session_id, payment.payment_intent_id = step.checkout_session_id, step.payment_intent_id
    payment.checkout_url = step.checkout_url or payment.checkout_url


def _move(payment: Payment, step: Move) -> None:
    payment.status, payment.fault = step.to, step.fault
    if step.to in UNFINISHED:
        return
    payment.ended_at = clock.now()
    claims.release(payment)
    audit.record(f"payment.{step.to}", subject_id=payment.id, patient_id=payment.patient_id, fault=step.fault)
    if step.to == PaymentStatus.FAILED:
        telling.payment_failed(payment)
        autopay.count_failure(payment)


def _receive(payment: Payment, step: Receive) -> None:
    charge = step.charge
    payment.method, payment.card = METHODS.get(charge.method, Method.OTHER), charge.label
    payment.line_id = account.enter(
        payment.patient_id,
        LineKind.PAYMENT,
        Money(payment.amount_minor, payment.currency),
        "Paid online",
        method=Method(payment.method),
        source_id=charge.id,
    )
    payment.status, payment.fault, payment.ended_at, payment.checkout_url = PaymentStatus.SUCCEEDED, None, clock.now(), None
    left_over = claims.pay(payment)
    claims.release(payment)
    audit.record("payment.succeeded", subject_id=payment.id, patient_id=payment.patient_id)
    if left_over.minor:
        problems.report(ProblemKind.CREDITED, str(payment.id), payment.id, left_over)
    cards.keep(payment, charge)
    autopay.forget_failures(payment)
    telling.receipt_waits(payment)


def _note_refund(payment: Payment, step: NoteRefund) -> None:
    facts, refund = step.facts, _refund_row(step.ours.id) if step.ours else None
    if refund is None:
        refund = Refund(
            payment_id=payment.id,
            amount_minor=facts.amount.minor,
            currency=facts.amount.currency,
            status=step.status,
            asked_at=facts.created_at,
        )
        db.session.add(refund)
    refund.stripe_refund_id, refund.status, refund.fault = facts.id, step.status, facts.fault
    if step.status in (RefundStatus.SUCCEEDED, RefundStatus.FAILED):
        refund.ended_at = clock.now()


def _give_back(payment: Payment, step: GiveBack) -> None:
    refund = _refund_at_stripe(step.stripe_refund_id)
    refund.line_id = _enter_taken_back(payment, LineKind.REFUND, step.amount, "Refunded", step.stripe_refund_id)
    telling.refund_made(payment)


def _put_back(payment: Payment, step: PutBack) -> None:
    refund = _refund_at_stripe(step.stripe_refund_id)
    assert refund.line_id
    account.reverse(refund.line_id, payment.patient_id, "The refund did not arrive")
    claims.pay(payment)
    amount = Money(refund.amount_minor, refund.currency)
    problems.report(ProblemKind.REFUND_FAILED, step.stripe_refund_id, payment.id, amount)


def _note_dispute(payment: Payment, step: NoteDispute) -> None:
    facts = step.facts
    dispute = db.session.scalars(afresh(select(Dispute).where(Dispute.stripe_dispute_id == facts.id))).one_or_none()
    if dispute is None:
        dispute = Dispute(
            payment_id=payment.id,
            stripe_dispute_id=facts.id,
            amount_minor=facts.amount.minor,
            currency=facts.amount.currency,
            status=step.status,
            opened_at=facts.created_at,
        )
        db.session.add(dispute)
    dispute.status, dispute.reason, dispute.evidence_due_at = step.status, facts.reason, facts.evidence_due_at
    dispute.closed_at = clock.now() if step.status in CLOSED else None
    is_real = step.status not in (DisputeStatus.INQUIRY, DisputeStatus.INQUIRY_CLOSED)
    was_real = step.before not in (None, DisputeStatus.INQUIRY, DisputeStatus.INQUIRY_CLOSED)
    if step.before is None or (is_real and not was_real):
        audit.record("dispute.opened", subject_id=payment.id, patient_id=payment.patient_id, is_inquiry=not is_real)
        telling.dispute_opened()
    if step.status in CLOSED:
        audit.record("dispute.closed", subject_id=payment.id, patient_id=payment.patient_id, status=step.status)
    if is_real and not was_real:
        autopay.stop_disputed(payment)


def _take_back(payment: Payment, step: TakeBack) -> None:
    dispute = _dispute_at_stripe(step.stripe_dispute_id)
    dispute.line_id = _enter_taken_back(
        payment, LineKind.CHARGEBACK, step.amount, "Taken back by the bank", step.stripe_dispute_id
    )


def _win_back(payment: Payment, step: WinBack) -> None:
    dispute = _dispute_at_stripe(step.stripe_dispute_id)
    assert dispute.line_id
    account.reverse(dispute.line_id, payment.patient_id, "The bank gave it back")
    claims.pay(payment)


def _enter_taken_back(payment: Payment, kind: LineKind, amount: Money, description: str, source_id: str) -> UUID:
    """Credit goes first; what of it paid an invoice makes that invoice owed again."""
    assert payment.line_id
    line_id = account.enter(
        payment.patient_id, kind, amount, description, takes_back_id=payment.line_id, source_id=source_id
    )
    short = -account.credit_of(payment.line_id)
    allocated = sum(amount.minor for _invoice, amount in invoices.allocated_from(payment.line_id))
    back = max(min(short.minor, allocated), 0)  # a bank may take back what was refunded already
    invoices.release(payment.line_id, Money(back, payment.currency))
    return line_id


def _refund_row(refund_id: UUID) -> Refund:
    return db.session.scalars(afresh(select(Refund).where(Refund.id == refund_id))).one()


def _refund_at_stripe(stripe_refund_id: str) -> Refund:
    return db.session.scalars(afresh(select(Refund).where(Refund.stripe_refund_id == stripe_refund_id))).one()


def _dispute_at_stripe(stripe_dispute_id: str) -> Dispute:
    return db.session.scalars(afresh(select(Dispute).where(Dispute.stripe_dispute_id == stripe_dispute_id))).one()


WRITING: dict[type[Step], Callable[[Payment, Any], None]] = {
    Know: _know,
    Move: _move,
    Receive: _receive,
    NoteRefund: _note_refund,
    GiveBack: _give_back,
    PutBack: _put_back,
    NoteDispute: _note_dispute,
    TakeBack: _take_back,
    WinBack: _win_back,
}
