"""Doing what a kept event asks for, once it is known what. An event that was not settled is taken up again."""

import logging
from datetime import timedelta

from sqlalchemy import select

from clinic.payments import ProblemKind, problems
from clinic.stripe_events.rows import FIRST_LOOK, StripeEvent
from clinic.stripe_events.types import TYPES, Outcome, Told
from clinic.stripe_gateway import NO_SUCH_ACCOUNT, StripeRefused, StripeUnknown
from tenancy import clock, jobs
from tenancy.database import db, locked, transaction
from tenancy.errors import Conflict
from tenancy.tenant import Role

APPLY = "clinic.apply_stripe_event"
LONGEST_PAUSE = timedelta(hours=1)
AT_ONCE = 100
IGNORED, PUT_ASIDE = "ignored", "put aside"
FOR_GOOD = ("resource_missing", NO_SUCH_ACCOUNT)
log = logging.getLogger(__name__)


@jobs.in_clinic(APPLY, Role.STAFF)
def apply_soon(event_id: str) -> None:
    look_into(event_id)


@jobs.every_clinic("clinic.apply_waiting_stripe_events", "* * * * *", Role.STAFF, suspended=True)
def apply_waiting() -> None:
    """What a job left: it was killed, or Stripe did not answer."""
    for event_id in _waiting():
        look_into(event_id)


def look_into(event_id: str) -> None:
    """Do what a kept event asks for, unless that was done. What Stripe does not answer about waits for another time."""
    with transaction():
        told = _take(event_id)
    if told is None:
        return
    outcome = _outcome(told)
    if outcome:
        with transaction():
            _note(told, outcome)


def _outcome(told: Told) -> Outcome | None:
    """None where it is not known yet. No transaction runs: Stripe is asked."""
    if told.type not in TYPES:
        return Outcome(IGNORED)
    try:
        return TYPES[told.type](told)
    except StripeRefused as refused:
        log.error("Stripe refused to tell about event %s: %s", told.event_id, refused)
        # Somebody else's thing under this account's name. Any other refusal is about us, and passes.
        return Outcome(f"{PUT_ASIDE}: {refused.code}") if refused.code in FOR_GOOD else None
    except (StripeUnknown, Conflict) as unknown:
        log.warning("Event %s waits: %s", told.event_id, unknown)
        return None


def _note(told: Told, outcome: Outcome) -> None:
    event = _held(told.event_id)
    if event and event.applied_at is None:
        event.applied_at, event.outcome, event.payment_id = clock.now(), outcome.word, outcome.payment_id
        if outcome.word.startswith(PUT_ASIDE):
            problems.report(ProblemKind.UNREADABLE, told.object_id)


def _take(event_id: str) -> Told | None:
    """The event, if it waits; looked at again later should this try fail."""
    event = _held(event_id)
    if event is None or event.applied_at:
        return None
    event.tries += 1
    event.next_try_at = clock.now() + min(FIRST_LOOK * 2 ** min(event.tries - 1, 10), LONGEST_PAUSE)
    return Told(event.event_id, event.type, event.account_id, event.object_id)


def _held(event_id: str) -> StripeEvent | None:
    return db.session.scalars(locked(select(StripeEvent).where(StripeEvent.event_id == event_id))).one_or_none()


def _waiting() -> list[str]:
    with transaction():
        due = select(StripeEvent.event_id).where(StripeEvent.applied_at.is_(None), StripeEvent.next_try_at <= clock.now())
        return list(db.session.scalars(due.order_by(StripeEvent.next_try_at).limit(AT_ONCE)))
