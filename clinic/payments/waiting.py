"""When Stripe is asked again about a payment that is not finished, should it stay silent."""

from datetime import datetime, timedelta

from clinic.payments.rows import Payment
from tenancy import clock

SOONEST, LATEST = timedelta(minutes=2), timedelta(hours=1)


def next_look(payment: Payment) -> datetime:
    """After 2, 4, 8 … minutes, in the end every hour: as long again as it has taken so far."""
    now = clock.now()
    return now + min(max(now - payment.started_at, SOONEST), LATEST)
