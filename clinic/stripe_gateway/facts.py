"""What Stripe is asked and what it answers, in our own words. Amounts are signed nowhere: Stripe's are never negative."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from clinic.money import Money


class StripeFault(Exception):
    """Stripe did not do what was asked, or may not have."""


class StripeUnknown(StripeFault):
    """No answer that can be read: it may have happened or not. Ask again, with the same key, or look what became of it."""


class StripeDown(StripeUnknown):
    """It certainly did not happen: the request never reached Stripe, or Stripe said to come back later."""


class StripeRefused(StripeFault):
    """Stripe understood and said no: certainly not done. `code` is Stripe's own (`account_invalid`, `insufficient_funds` …).

    `said` is all that Stripe said of it.
    """

    def __init__(self, code: str, message: str = "", said: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.said = said or {}


class BadSignature(Exception):
    """A call of the webhook that is not Stripe's, or not of now; `reason` is one word to count it under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


NO_SUCH_ACCOUNT = "account_invalid"  # it never was, or its owner took our access away


@dataclass(frozen=True)
class AccountFacts:
    account_id: str
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool
    due: tuple[str, ...]  # what Stripe still asks for, in its own words: "external_account"
    disabled_reason: str | None


@dataclass(frozen=True)
class CheckoutOrder:
    """What a payer is to be asked for. Asked twice for one payment it must be the same to the letter."""

    payment_id: UUID
    account_id: str
    amount: Money
    payee: str  # the clinic's name, and nothing else
    success_url: str
    cancel_url: str
    customer_id: str | None
    saves_card: bool
    expires_at: datetime  # 30 minutes to 24 hours ahead


@dataclass(frozen=True)
class CheckoutFacts:
    id: str
    url: str | None  # only while it is open
    status: str  # open, complete, expired
    payment_status: str  # paid, unpaid
    payment_intent_id: str | None
    payment_id: UUID | None  # as we named it; names a candidate and proves nothing
    amount: Money
    customer_id: str | None
    livemode: bool


@dataclass(frozen=True)
class ChargeFacts:
    id: str
    amount: Money
    refunded: Money
    status: str  # succeeded, pending, failed
    method: str  # Stripe's word: card, us_bank_account, sepa_debit …
    label: str | None  # "Visa 4242"
    expires_on: date | None  # the last day the card works
    payment_method_id: str | None
    customer_id: str | None


@dataclass(frozen=True)
class IntentFacts:
    id: str
    status: str  # requires_payment_method, requires_action, processing, succeeded, canceled …
    amount: Money
    charge: ChargeFacts | None  # the latest
    fault: str | None  # why the last attempt failed: insufficient_funds …
    payment_id: UUID | None  # as we named it; proves nothing
    created_at: datetime
    livemode: bool


@dataclass(frozen=True)
class RefundFacts:
    id: str
    status: str  # pending, requires_action, succeeded, failed, canceled
    amount: Money
    our_id: UUID | None  # None: made in Stripe's own dashboard
    fault: str | None
    created_at: datetime
    intent_id: str | None
    charge_id: str | None


@dataclass(frozen=True)
class DisputeFacts:
    id: str
    status: str  # warning_…: an inquiry, no money is held; needs_response, under_review, won, lost …
    amount: Money
    reason: str
    evidence_due_at: datetime | None
    created_at: datetime
    intent_id: str | None
    charge_id: str
    livemode: bool
    past: tuple[str, ...] = ()  # its statuses before, the oldest first, as far back as Stripe remembers
    is_past_whole: bool = False  # from its beginning on


@dataclass(frozen=True)
class EventFacts:
    """What a webhook says of itself: enough to look the thing up, and nothing to believe."""

    id: str
    type: str
    account_id: str | None  # None: an event of the platform's own
    object_id: str
    created_at: datetime
    livemode: bool
