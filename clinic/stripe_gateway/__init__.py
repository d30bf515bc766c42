"""Stripe: everything the house asks of it and hears from it. Takes and gives frozen facts, never Stripe's own objects.

What is refused is certainly not done (StripeRefused); what was not answered may have happened (StripeUnknown) unless
the request never arrived (StripeDown). No call is made while a transaction runs, and nothing about a patient or a
service is ever sent: a payment is its id, an amount and the clinic's name.
"""

from clinic.stripe_gateway.accounts import make_account, onboarding_url, read_account
from clinic.stripe_gateway.charges import (
    charge_saved,
    detach_card,
    disputes_of,
    disputes_since,
    intent_of_charge,
    intents_since,
    read_dispute,
    read_intent,
    read_refund,
    refund,
    refunds_of,
    refunds_since,
    with_past,
)
from clinic.stripe_gateway.checkouts import (
    end_checkout,
    find_checkout_of_intent,
    open_checkout,
    open_checkouts,
    read_checkout,
)
from clinic.stripe_gateway.facts import (
    NO_SUCH_ACCOUNT,
    AccountFacts,
    BadSignature,
    ChargeFacts,
    CheckoutFacts,
    CheckoutOrder,
    DisputeFacts,
    EventFacts,
    IntentFacts,
    RefundFacts,
    StripeDown,
    StripeFault,
    StripeRefused,
    StripeUnknown,
)
from clinic.stripe_gateway.line import VERSION, install, is_connected
from clinic.stripe_gateway.signatures import verified

__all__ = [
    "NO_SUCH_ACCOUNT",
    "VERSION",
    "AccountFacts",
    "BadSignature",
    "ChargeFacts",
    "CheckoutFacts",
    "CheckoutOrder",
    "DisputeFacts",
    "EventFacts",
    "IntentFacts",
    "RefundFacts",
    "StripeDown",
    "StripeFault",
    "StripeRefused",
    "StripeUnknown",
    "charge_saved",
    "detach_card",
    "disputes_of",
    "disputes_since",
    "end_checkout",
    "find_checkout_of_intent",
    "install",
    "intent_of_charge",
    "intents_since",
    "is_connected",
    "make_account",
    "onboarding_url",
    "open_checkout",
    "open_checkouts",
    "read_account",
    "read_checkout",
    "read_dispute",
    "read_intent",
    "read_refund",
    "refund",
    "refunds_of",
    "refunds_since",
    "verified",
    "with_past",
]
