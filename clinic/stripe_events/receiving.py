"""What the webhook does with a call: count what is not ours, keep what is, once, and answer."""

from typing import cast

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import insert

from clinic import throttle
from clinic.stripe_events.applying import APPLY
from clinic.stripe_events.rows import FIRST_LOOK, PlatformWebhookRefusal, StripeEvent
from clinic.stripe_gateway import EventFacts
from tenancy import clinics, clock, jobs
from tenancy.database import db, transaction
from tenancy.tenant import Role

# The bare table: a row is written, and nothing has to be readable.
_KEEP = insert(cast(Table, StripeEvent.__table__)).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
_COUNT = insert(PlatformWebhookRefusal)


def receive(event: EventFacts, *, is_live: bool) -> None:
    """Keep a verified event for its clinic and have a job look into it; a second time nothing happens.

    What is of the other mode, of the platform's own account, or of an account that is no clinic's is counted and
    forgotten: Stripe would only send it again.
    """
    if event.livemode != is_live:
        return refuse("other_mode")
    if event.account_id is None:
        return refuse("no_account")
    with clinics.nobody_asking(), transaction():
        clinic = clinics.find_by_payment_account(event.account_id)
    if clinic is None:
        return refuse("unknown_account")
    with clinics.open_clinic(clinic, Role.DOOR), transaction():
        if _keep(event, event.account_id):
            jobs.enqueue(APPLY, event_id=event.id)


def refuse(reason: str) -> None:
    """Count a call that is not kept."""
    with throttle.outside() as session:
        counted = _COUNT.values(reason=reason, day_on=clock.now().date(), count=1)
        one_more = {"count": PlatformWebhookRefusal.count + 1}
        session.execute(counted.on_conflict_do_update(index_elements=["reason", "day_on"], set_=one_more))


def _keep(event: EventFacts, account_id: str) -> bool:
    """Whether it is new."""
    now = clock.now()
    kept = db.session.execute(
        _KEEP,
        {
            "event_id": event.id,
            "account_id": account_id,
            "type": event.type,
            "object_id": event.object_id,
            "created_at": event.created_at,
            "received_at": now,
            "next_try_at": now + FIRST_LOOK,
        },
    )
    return bool(kept.rowcount == 1)  # type: ignore[attr-defined]
