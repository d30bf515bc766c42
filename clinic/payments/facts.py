"""What is known of one payment, on both sides: what Stripe says now, and what our own rows said before it was asked."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from clinic.money import Money
from clinic.payments.rows import DisputeStatus, PaymentStatus, PaymentWay, RefundStatus
from clinic.stripe_gateway import CheckoutFacts, DisputeFacts, IntentFacts, RefundFacts

# Stripe's words for a dispute. What is not among them is left to a person.
DISPUTES = {
    "warning_needs_response": DisputeStatus.INQUIRY,
    "warning_under_review": DisputeStatus.INQUIRY,
    "warning_closed": DisputeStatus.INQUIRY_CLOSED,
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}
REFUNDS = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}


@dataclass(frozen=True)
class Facts:
    """Read from Stripe as the payment's own account, in this order, after our rows were read."""

    read_at: datetime
    is_live: bool  # whether our own key moves real money
    checkout: CheckoutFacts | None = None
    intent: IntentFacts | None = None
    refunds: tuple[RefundFacts, ...] = ()
    disputes: tuple[DisputeFacts, ...] = ()

    @property
    def status(self) -> PaymentStatus | None:
        """Where the payment stands; None where Stripe has nothing of it."""
        if self.intent:
            if self.intent.status == "succeeded" and self.intent.charge:
                return PaymentStatus.SUCCEEDED
            if self.intent.status in ("processing", "requires_capture"):
                return PaymentStatus.PROCESSING
        if self.checkout:
            return self._status_of_checkout(self.checkout)
        return PaymentStatus.FAILED if self.intent else None

    def _status_of_checkout(self, checkout: CheckoutFacts) -> PaymentStatus:
        if checkout.status == "expired":
            return PaymentStatus.ENDED
        if checkout.status != "complete":  # open, where a card that was declined may be followed by another; or a new word
            return PaymentStatus.OPEN
        if self.intent and self.intent.status in ("requires_payment_method", "canceled"):
            return PaymentStatus.FAILED
        return PaymentStatus.PROCESSING  # the payer has done their part; a bank has not yet


@dataclass(frozen=True)
class Entry:
    """What of something is on the account: a line of ours, and whether it was corrected since."""

    is_entered: bool = False
    is_corrected: bool = False

    @property
    def stands(self) -> bool:
        return self.is_entered and not self.is_corrected


@dataclass(frozen=True)
class OurRefund:
    id: UUID
    amount: Money
    status: RefundStatus
    stripe_refund_id: str | None = None
    entry: Entry = field(default_factory=Entry)


@dataclass(frozen=True)
class OurDispute:
    stripe_dispute_id: str
    status: DisputeStatus
    entry: Entry = field(default_factory=Entry)


@dataclass(frozen=True)
class Ours:
    """A payment as our rows have it."""

    id: UUID
    way: PaymentWay
    status: PaymentStatus
    amount: Money
    account_id: str
    started_at: datetime
    checkout_session_id: str | None = None
    payment_intent_id: str | None = None
    refunds: tuple[OurRefund, ...] = ()
    disputes: tuple[OurDispute, ...] = ()
    looks: int = 0  # how often it was brought up to date
