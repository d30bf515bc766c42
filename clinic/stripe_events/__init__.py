"""What Stripe tells of its own accord. An event is kept once and answered; a job then does what it asks for."""

from clinic.stripe_events.applying import look_into
from clinic.stripe_events.receiving import receive, refuse
from clinic.stripe_events.rows import PlatformWebhookRefusal, StripeEvent
from clinic.stripe_events.types import TYPES

__all__ = [
    "TYPES",
    "PlatformWebhookRefusal",
    "StripeEvent",
    "look_into",
    "receive",
    "refuse",
]
