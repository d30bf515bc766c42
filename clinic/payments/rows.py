"""A payment by way of Stripe, from the moment somebody means to pay; what takes it back; the cards that people saved.

The row is written before Stripe is asked, so that whatever happens afterwards there is something to compare with: its
id is the idempotency key, and what it pays is decided here and never read from what Stripe sends back.
"""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from clinic.account import Method
from tenancy.database import Base, ClinicOwned, one_of, same_clinic


class PaymentWay(StrEnum):
    CHECKOUT = "checkout"  # on Stripe's hosted page, by a signed-in portal user
    LINK = "link"  # the same, by whoever followed a mailed invoice
    AUTOPAY = "autopay"  # a saved card, without anybody there


class PaymentStatus(StrEnum):
    STARTING = "starting"  # written down; whether Stripe knows of it is not known yet
    OPEN = "open"  # the hosted page waits for the payer
    PROCESSING = "processing"  # a bank debit on its way, for days
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ENDED = "ended"  # given up, expired, or called off before money moved


# state: where it may go next. What succeeded stays so; refunds and disputes have states of their own.
NEXT = {
    PaymentStatus.STARTING: {PaymentStatus.OPEN, PaymentStatus.PROCESSING, PaymentStatus.SUCCEEDED, PaymentStatus.FAILED, PaymentStatus.ENDED},
    PaymentStatus.OPEN: {PaymentStatus.PROCESSING, PaymentStatus.SUCCEEDED, PaymentStatus.FAILED, PaymentStatus.ENDED},
    PaymentStatus.PROCESSING: {PaymentStatus.SUCCEEDED, PaymentStatus.FAILED},
    PaymentStatus.FAILED: {PaymentStatus.SUCCEEDED, PaymentStatus.PROCESSING},
    PaymentStatus.ENDED: {PaymentStatus.SUCCEEDED, PaymentStatus.PROCESSING},  # money that arrives after all
    PaymentStatus.SUCCEEDED: set(),
}  # fmt: skip
UNFINISHED = (PaymentStatus.STARTING, PaymentStatus.OPEN, PaymentStatus.PROCESSING)


class Payment(ClinicOwned, Base):
    __tablename__ = "payments"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        same_clinic("portal_user_id", "portal_users"),
        same_clinic("mailing_id", "invoice_mailings"),
        same_clinic("line_id", "account_lines"),
        one_of("way", PaymentWay),
        one_of("status", PaymentStatus),
        one_of("method", Method),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        CheckConstraint("(way = 'link') = (portal_user_id IS NULL)", name="payer"),
        CheckConstraint("(way = 'link') = (mailing_id IS NOT NULL)", name="by_link"),
        CheckConstraint("(status = 'succeeded') = (line_id IS NOT NULL)", name="entered"),
        Index("uq_payments_checkout_session", "clinic_id", "checkout_session_id", unique=True),
        Index("uq_payments_payment_intent", "clinic_id", "payment_intent_id", unique=True),
        Index("ix_payments_patient", "clinic_id", "patient_id", "started_at"),
        Index("ix_payments_line", "clinic_id", "line_id"),
        Index("ix_payments_mailing", "clinic_id", "mailing_id", postgresql_where="mailing_id IS NOT NULL"),
        # What is looked at again until it ends.
        Index(
            "ix_payments_unfinished", "clinic_id", "next_look_at",
            postgresql_where="status IN ('starting', 'open', 'processing')",
        ),
    )  # fmt: skip
    patient_id: Mapped[UUID]
    portal_user_id: Mapped[UUID | None]
    mailing_id: Mapped[UUID | None]
    way: Mapped[str]
    status: Mapped[str] = mapped_column(default=PaymentStatus.STARTING)
    amount_minor: Mapped[int]
    currency: Mapped[str]
    account_id: Mapped[str]  # the Stripe account it was made on, whichever the clinic has now
    saves_card: Mapped[bool] = mapped_column(default=False)
    checkout_session_id: Mapped[str | None]
    checkout_url: Mapped[str | None]  # where the payer goes on, while it is open
    payment_intent_id: Mapped[str | None]
    method: Mapped[str | None]
    card: Mapped[str | None]  # as a receipt names it: "Visa 4242"
    started_at: Mapped[datetime]
    next_look_at: Mapped[datetime]  # when Stripe is asked again, should it stay silent
    looks: Mapped[int] = mapped_column(default=0)  # how often it was brought up to date: what was read before the last is old
    ended_at: Mapped[datetime | None]
    fault: Mapped[str | None]  # Stripe's code, such as card_declined
    line_id: Mapped[UUID | None]  # the account line it became


class RefundStatus(StrEnum):
    UNCONFIRMED = "unconfirmed"  # above the clinic's limit: somebody else must agree
    ASKED = "asked"  # ours, and Stripe is being told
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # also late: the money is the clinic's again
    WITHDRAWN = "withdrawn"  # never sent


class Refund(ClinicOwned, Base):
    """Money going back. `asked_by_id` is nobody for one made in Stripe's own dashboard."""

    __tablename__ = "refunds"
    __table_args__ = (
        same_clinic("payment_id", "payments"),
        same_clinic("asked_by_id", "staff_members"),
        same_clinic("confirmed_by_id", "staff_members"),
        same_clinic("line_id", "account_lines"),
        one_of("status", RefundStatus),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("asked_by_id <> confirmed_by_id", name="second_person"),
        Index("uq_refunds_stripe", "clinic_id", "stripe_refund_id", unique=True),
        Index("ix_refunds_payment", "clinic_id", "payment_id"),
    )
    payment_id: Mapped[UUID]
    amount_minor: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str | None]
    asked_by_id: Mapped[UUID | None]
    confirmed_by_id: Mapped[UUID | None]
    stripe_refund_id: Mapped[str | None]
    asked_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    fault: Mapped[str | None]
    line_id: Mapped[UUID | None]


class DisputeStatus(StrEnum):
    INQUIRY = "inquiry"  # a question; no money is held
    INQUIRY_CLOSED = "inquiry_closed"
    OPEN = "open"
    WON = "won"
    LOST = "lost"


class Dispute(ClinicOwned, Base):
    """The payer's bank asks for the money back. Only a lost one changes the account."""

    __tablename__ = "disputes"
    __table_args__ = (
        same_clinic("payment_id", "payments"),
        same_clinic("line_id", "account_lines"),
        one_of("status", DisputeStatus),
        CheckConstraint("amount_minor > 0", name="amount"),
        Index("uq_disputes_stripe", "clinic_id", "stripe_dispute_id", unique=True),
        Index("ix_disputes_payment", "clinic_id", "payment_id"),
    )
    payment_id: Mapped[UUID]
    stripe_dispute_id: Mapped[str]
    amount_minor: Mapped[int]
    currency: Mapped[str]
    status: Mapped[str]
    reason: Mapped[str | None]  # Stripe's word, such as fraudulent
    evidence_due_at: Mapped[datetime | None]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    line_id: Mapped[UUID | None]


class StripeCustomer(ClinicOwned, Base):
    """Who a portal user is on one Stripe account of the clinic; holds their cards there and nothing about them."""

    __tablename__ = "stripe_customers"
    __table_args__ = (
        same_clinic("portal_user_id", "portal_users"),
        Index("uq_stripe_customers_portal_user", "clinic_id", "portal_user_id", "account_id", unique=True),
    )
    portal_user_id: Mapped[UUID]
    account_id: Mapped[str]
    customer_id: Mapped[str]


class SavedCard(ClinicOwned, Base):
    """Belongs to the portal user who saved it, on the Stripe account it was saved on."""

    __tablename__ = "saved_cards"
    __table_args__ = (
        same_clinic("portal_user_id", "portal_users"),
        Index("uq_saved_cards_payment_method", "clinic_id", "payment_method_id", unique=True),
        Index("ix_saved_cards_portal_user", "clinic_id", "portal_user_id"),
    )
    portal_user_id: Mapped[UUID]
    account_id: Mapped[str]
    customer_id: Mapped[str]
    payment_method_id: Mapped[str]
    label: Mapped[str]  # "Visa 4242"
    expires_on: Mapped[date | None]  # the last day it works
    saved_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class AutopayEnding(StrEnum):
    STOPPED = "stopped"  # by the person
    CARD_REMOVED = "card_removed"
    UNLINKED = "unlinked"  # no longer sees the patient's billing
    DISPUTED = "disputed"
    FAILED_TWICE = "failed_twice"


class Autopay(ClinicOwned, Base):
    """A person's standing wish that invoices of a patient be paid by a card of theirs when they are due."""

    __tablename__ = "autopays"
    __table_args__ = (
        same_clinic("portal_user_id", "portal_users"),
        same_clinic("patient_id", "patients"),
        same_clinic("card_id", "saved_cards"),
        one_of("ending", AutopayEnding),
        CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name="ended"),
        Index("uq_autopays_live", "clinic_id", "portal_user_id", "patient_id", unique=True, postgresql_where="ended_at IS NULL"),
    )
    portal_user_id: Mapped[UUID]
    patient_id: Mapped[UUID]
    card_id: Mapped[UUID]
    begun_at: Mapped[datetime]
    failures: Mapped[int] = mapped_column(default=0)  # in a row
    ended_at: Mapped[datetime | None]
    ending: Mapped[str | None]


class AutopayNotice(ClinicOwned, Base):
    """An invoice that was announced: no card is charged for one that was not."""

    __tablename__ = "autopay_notices"
    __table_args__ = (
        same_clinic("autopay_id", "autopays"),
        same_clinic("invoice_id", "invoices"),
        same_clinic("payment_id", "payments"),
        Index("uq_autopay_notices_invoice", "clinic_id", "autopay_id", "invoice_id", unique=True),
    )
    autopay_id: Mapped[UUID]
    invoice_id: Mapped[UUID]
    announced_at: Mapped[datetime]
    charge_on: Mapped[date]
    payment_id: Mapped[UUID | None]  # the charge it became


class PaymentProblem(ClinicOwned, Base):
    """Something about money that a person must look at; on the billing page until it is settled."""

    __tablename__ = "payment_problems"
    __table_args__ = (
        same_clinic("payment_id", "payments"),
        same_clinic("settled_by_id", "staff_members"),
        Index(
            "uq_payment_problems_open", "clinic_id", "kind", "object_id", unique=True,
            postgresql_where="settled_at IS NULL",
        ),
    )  # fmt: skip
    kind: Mapped[str]  # clinic/payments/problems.py names them
    object_id: Mapped[str]  # Stripe's object, or our payment's id
    payment_id: Mapped[UUID | None]
    amount_minor: Mapped[int | None]
    currency: Mapped[str | None]
    found_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settled_by_id: Mapped[UUID | None]
