"""Events as Stripe sent them: kept once, before anything is done about them. Only their ids; what they are about is asked
of Stripe again."""

from datetime import date, datetime, timedelta
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Base, ClinicOwned, same_clinic

FIRST_LOOK = timedelta(minutes=2)  # after which somebody else takes up what its job left


class StripeEvent(ClinicOwned, Base):
    __tablename__ = "stripe_events"
    __table_args__ = (
        same_clinic("payment_id", "payments"),
        Index("uq_stripe_events_event", "clinic_id", "event_id", unique=True),
        Index("ix_stripe_events_waiting", "clinic_id", "next_try_at", postgresql_where="applied_at IS NULL"),
    )
    event_id: Mapped[str]
    account_id: Mapped[str]
    type: Mapped[str]
    object_id: Mapped[str]
    created_at: Mapped[datetime]  # Stripe's
    received_at: Mapped[datetime]
    next_try_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=0)
    applied_at: Mapped[datetime | None]
    outcome: Mapped[str | None]  # applied, ignored, or why it was put aside
    payment_id: Mapped[UUID | None]


class PlatformWebhookRefusal(Base):
    """How many calls of the webhook were refused on a day, by reason. The one thing kept of them, and of no clinic."""

    __tablename__ = "platform_webhook_refusals"
    reason: Mapped[str] = mapped_column(primary_key=True)
    day_on: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int]
