"""What pages ask about payments: plain rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select

from clinic.invoices import PaymentInvoice
from clinic.money import Money
from clinic.patients import Patient
from clinic.payments.rows import (
    UNFINISHED,
    Dispute,
    DisputeStatus,
    Payment,
    PaymentStatus,
    PaymentWay,
    Refund,
    RefundStatus,
)
from tenancy import tenant
from tenancy.database import db
from tenancy.errors import NotFound


@dataclass(frozen=True)
class PaymentRow:
    id: UUID
    patient_id: UUID
    way: str
    status: str
    amount: Money
    method: str | None
    card: str | None  # "Visa 4242"
    started_at: datetime
    ended_at: datetime | None
    fault: str | None
    checkout_url: str | None
    line_id: UUID | None
    mailing_id: UUID | None  # by whose link it was begun, if by one

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def may_be_on_stripes_page(self) -> bool:
        """Whether its payer may stand there, about to pay: then it can be ended."""
        return self.way != PaymentWay.AUTOPAY and self.status in (PaymentStatus.STARTING, PaymentStatus.OPEN)


@dataclass(frozen=True)
class RefundRow:
    id: UUID
    payment_id: UUID
    amount: Money
    status: str
    reason: str | None
    asked_by_id: UUID | None
    confirmed_by_id: UUID | None
    asked_at: datetime
    ended_at: datetime | None
    fault: str | None


@dataclass(frozen=True)
class GivenBack:
    """A refund as the payer sees it."""

    amount: Money
    status: str
    asked_at: datetime


@dataclass(frozen=True)
class DisputeRow:
    id: UUID
    payment_id: UUID
    stripe_dispute_id: str
    amount: Money
    status: str
    reason: str | None
    evidence_due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True)
class DisputeToAnswer:
    payment_id: UUID
    patient_id: UUID
    patient_name: str
    amount: Money
    status: str
    evidence_due_at: datetime | None
    opened_at: datetime


_PAYMENTS: Any = select(
    Payment.id,
    Payment.patient_id,
    Payment.way,
    Payment.status,
    Payment.amount_minor,
    Payment.currency,
    Payment.method,
    Payment.card,
    Payment.started_at,
    Payment.ended_at,
    Payment.fault,
    Payment.checkout_url,
    Payment.line_id,
    Payment.mailing_id,
).order_by(Payment.started_at.desc(), Payment.id)
_REFUNDS = (
    select(
        Refund.id,
        Refund.payment_id,
        Refund.amount_minor,
        Refund.currency,
        Refund.status,
        Refund.reason,
        Refund.asked_by_id,
        Refund.confirmed_by_id,
        Refund.asked_at,
        Refund.ended_at,
        Refund.fault,
    )
    .where(Refund.payment_id.in_(bindparam("payment_ids", expanding=True)))
    .order_by(Refund.asked_at, Refund.id)
)
_DISPUTES: Any = select(
    Dispute.id,
    Dispute.payment_id,
    Dispute.stripe_dispute_id,
    Dispute.amount_minor,
    Dispute.currency,
    Dispute.status,
    Dispute.reason,
    Dispute.evidence_due_at,
    Dispute.opened_at,
    Dispute.closed_at,
).order_by(Dispute.opened_at.desc(), Dispute.id)


def of_patient(patient_id: UUID) -> list[PaymentRow]:
    """For staff every payment online, for a portal user their own; the newest first."""
    return _payments(_PAYMENTS.where(Payment.patient_id == patient_id, _mine()))


def of_id(payment_id: UUID, patient_id: UUID) -> PaymentRow:
    """For staff any of this patient, for a portal user one of their own. Raises NotFound."""
    found = _payments(_PAYMENTS.where(Payment.id == payment_id, Payment.patient_id == patient_id, _mine()))
    if not found:
        raise NotFound("payment")
    return found[0]


def of_mailing(payment_id: UUID, mailing_id: UUID) -> PaymentRow:
    """One that was begun by the link of this mailing. Raises NotFound."""
    found = _payments(_PAYMENTS.where(Payment.id == payment_id, Payment.mailing_id == mailing_id))
    if not found:
        raise NotFound("payment")
    return found[0]


def patient_of_mine(payment_id: UUID) -> UUID:
    """Whom a payment of the signed-in portal user's own is for. Raises NotFound."""
    mine = select(Payment.patient_id).where(Payment.id == payment_id, Payment.portal_user_id == tenant.current().portal_user_id)
    patient_id = db.session.scalars(mine).one_or_none()
    if patient_id is None:
        raise NotFound("payment")
    return patient_id


def unfinished_of_patient(patient_id: UUID) -> list[PaymentRow]:
    """What is being paid now; of the signed-in portal user, or for staff of anybody."""
    return _payments(_PAYMENTS.where(Payment.patient_id == patient_id, _mine(), Payment.status.in_(UNFINISHED)))


def find_paying(invoice_id: UUID) -> PaymentRow | None:
    """The payment online that holds this invoice now, whoever's it is; for staff."""
    held = select(PaymentInvoice.payment_id).where(
        PaymentInvoice.invoice_id == invoice_id, PaymentInvoice.released_at.is_(None)
    )
    return next(iter(_payments(_PAYMENTS.where(Payment.id.in_(held)))), None)


def refunds_of(payment_ids: list[UUID]) -> list[RefundRow]:
    """The oldest first."""
    rows = db.session.execute(_REFUNDS, {"payment_ids": payment_ids})
    return [
        RefundRow(id_, payment_id, Money(minor, currency), *rest) for id_, payment_id, minor, currency, *rest in rows
    ]


def given_back(payment_id: UUID) -> list[GivenBack]:
    """Of a payment of the signed-in portal user's: what was sent back, the first one first."""
    never_made = (RefundStatus.UNCONFIRMED, RefundStatus.WITHDRAWN)
    rows = db.session.execute(
        select(Refund.amount_minor, Refund.currency, Refund.status, Refund.asked_at)
        .where(Refund.payment_id == payment_id, Refund.status.not_in(never_made))
        .order_by(Refund.asked_at, Refund.id)
    )
    return [GivenBack(Money(minor, currency), status, asked_at) for minor, currency, status, asked_at in rows]


def disputes_of(payment_ids: list[UUID]) -> list[DisputeRow]:
    return _disputes(_DISPUTES.where(Dispute.payment_id.in_(payment_ids)))


def disputes_to_answer() -> list[DisputeToAnswer]:
    """Inquiries too; what is to be answered first comes first."""
    is_open = Dispute.status.in_((DisputeStatus.INQUIRY, DisputeStatus.OPEN))
    rows = db.session.execute(
        select(
            Dispute.payment_id, Patient.id, Patient.name, Dispute.amount_minor, Dispute.currency, Dispute.status,
            Dispute.evidence_due_at, Dispute.opened_at,
        )
        .join(Payment, (Payment.clinic_id == Dispute.clinic_id) & (Payment.id == Dispute.payment_id))
        .join(Patient, (Patient.clinic_id == Payment.clinic_id) & (Patient.id == Payment.patient_id))
        .where(is_open)
        .order_by(Dispute.evidence_due_at.nulls_last(), Dispute.id)
    )  # fmt: skip
    return [
        DisputeToAnswer(payment_id, patient_id, name, Money(minor, currency), status, evidence_due_at, opened_at)
        for payment_id, patient_id, name, minor, currency, status, evidence_due_at, opened_at in rows
    ]


def refundable(payment: PaymentRow) -> Money:
    """What of a payment can still be given back: not what was, or is being, and not what a bank took back."""
    if payment.status != PaymentStatus.SUCCEEDED:
        return Money(0, payment.amount.currency)
    given = select(func.coalesce(func.sum(Refund.amount_minor), 0)).where(
        Refund.payment_id == payment.id, Refund.status.not_in((RefundStatus.FAILED, RefundStatus.WITHDRAWN))
    )
    taken = select(func.coalesce(func.sum(Dispute.amount_minor), 0)).where(
        Dispute.payment_id == payment.id, Dispute.status.in_((DisputeStatus.OPEN, DisputeStatus.LOST))
    )
    gone = int(db.session.scalars(given).one()) + int(db.session.scalars(taken).one())
    return Money(max(payment.amount.minor - gone, 0), payment.amount.currency)


def _mine() -> Any:
    me = tenant.current().portal_user_id
    return Payment.portal_user_id == me if me else True


def _payments(statement: Any) -> list[PaymentRow]:
    return [
        PaymentRow(id_, patient_id, way, status, Money(minor, currency), *rest)
        for id_, patient_id, way, status, minor, currency, *rest in db.session.execute(statement)
    ]


def _disputes(statement: Any) -> list[DisputeRow]:
    return [
        DisputeRow(id_, payment_id, stripe_id, Money(minor, currency), *rest)
        for id_, payment_id, stripe_id, minor, currency, *rest in db.session.execute(statement)
    ]
