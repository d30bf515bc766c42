"""What Stripe tells of its own accord. An event is kept once and answered; a job then does what it asks for."""

from clinic.stripe_events.rows import (
    PlatformWebhookRefusal,
    StripeEvent,
)

__all__ = [
    "PlatformWebhookRefusal",
    "StripeEvent",
]
