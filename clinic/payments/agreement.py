"""What must be written so that our rows agree with Stripe: pure, from what both say to a list of steps.

Whatever was skipped is walked through: a payment first seen with its refund is entered, then refunded; a refund first seen
when it had failed is entered, then put back; a dispute first seen when it was won after all was lost before, and an inquiry
before that; so the books do not tell in which order, or how often, we heard of it.
Nothing that is entered is ever undone by something older: what succeeded stays so.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from clinic.money import Money
from clinic.payments.facts import DISPUTES, REFUNDS, Entry, Facts, OurRefund, Ours
from clinic.payments.problems import ProblemKind
from clinic.payments.rows import NEXT, DisputeStatus, PaymentStatus, PaymentWay, RefundStatus
from clinic.stripe_gateway import ChargeFacts, DisputeFacts, RefundFacts

# A page of Stripe's that we never learned the address of can be paid by nobody; a card may have been charged all the same,
# and Stripe remembers our key for a day.
NEVER_OPENED_AFTER = timedelta(minutes=30)
NEVER_CHARGED_AFTER = timedelta(hours=24)
COURSE = (RefundStatus.PENDING, RefundStatus.SUCCEEDED, RefundStatus.FAILED)  # of a refund that Stripe has; never back
# A dispute is never an inquiry again, nor open once it was decided; what was lost may be won after all.
LATER = {
    DisputeStatus.INQUIRY: set(DisputeStatus) - {DisputeStatus.INQUIRY},
    DisputeStatus.INQUIRY_CLOSED: {DisputeStatus.OPEN, DisputeStatus.WON, DisputeStatus.LOST},
    DisputeStatus.OPEN: {DisputeStatus.WON, DisputeStatus.LOST},
    DisputeStatus.LOST: {DisputeStatus.WON},
    DisputeStatus.WON: {DisputeStatus.LOST},
}


@dataclass(frozen=True)
class Know:
    """What Stripe calls it, and where the payer goes on."""

    checkout_session_id: str | None
    checkout_url: str | None
    payment_intent_id: str | None


@dataclass(frozen=True)
class Move:
    """To a status in which no money is ours."""

    to: PaymentStatus
    fault: str | None = None


@dataclass(frozen=True)
class Receive:
    """The money came: a line on the account."""

    charge: ChargeFacts


@dataclass(frozen=True)
class NoteRefund:
    """Keep what Stripe says of a refund, in a row of ours, or a new one if it was made in Stripe's dashboard."""

    facts: RefundFacts
    status: RefundStatus
    ours: OurRefund | None


@dataclass(frozen=True)
class GiveBack:
    """Enter the line of a refund."""

    stripe_refund_id: str
    amount: Money


@dataclass(frozen=True)
class PutBack:
    """Correct the line of a refund that failed."""

    stripe_refund_id: str


@dataclass(frozen=True)
class NoteDispute:
    """Keep where a dispute stands, opened first if it was not known."""

    facts: DisputeFacts
    status: DisputeStatus
    before: DisputeStatus | None


@dataclass(frozen=True)
class TakeBack:
    """Enter the line of a lost dispute."""

    stripe_dispute_id: str
    amount: Money


@dataclass(frozen=True)
class WinBack:
    """Correct the line of a dispute that was won after all."""

    stripe_dispute_id: str


@dataclass(frozen=True)
class Report:
    """Something a person must look at; said once."""

    kind: ProblemKind
    object_id: str
    amount: Money | None = None


Step = Know | Move | Receive | NoteRefund | GiveBack | PutBack | NoteDispute | TakeBack | WinBack | Report


def steps(ours: Ours, facts: Facts) -> list[Step]:
    """In the order in which they are to be written. Where the two cannot be of one payment: reports alone."""
    differing = _differing(ours, facts)
    if differing:
        return [differing]
    taken: list[Step] = [*_names(ours, facts), *_status(ours, facts)]
    if ours.status == PaymentStatus.SUCCEEDED or any(isinstance(each, Receive) for each in taken):
        taken += _refunds(ours, facts)
        for dispute in sorted(facts.disputes, key=lambda each: (each.created_at, each.id)):
            taken += _dispute(ours, dispute)
    return taken


def _differing(ours: Ours, facts: Facts) -> Report | None:
    """Only our own row says what was to be paid, on which account; what differs is entered nowhere."""
    for found in (facts.checkout, facts.intent):
        if found and (found.amount != ours.amount or found.livemode != facts.is_live):
            return Report(ProblemKind.DIFFERS, found.id, found.amount)
    named = ours.payment_intent_id
    if facts.intent and named not in (None, facts.intent.id):
        return Report(ProblemKind.DIFFERS, facts.intent.id, facts.intent.amount)
    charge = facts.intent.charge if facts.intent else None
    if charge and facts.status == PaymentStatus.SUCCEEDED and charge.amount != ours.amount:
        return Report(ProblemKind.DIFFERS, charge.id, charge.amount)
    return None


def _names(ours: Ours, facts: Facts) -> list[Step]:
    checkout, intent = facts.checkout, facts.intent
    session_id = ours.checkout_session_id or (checkout.id if checkout else None)
    intent_id = ours.payment_intent_id or (intent.id if intent else None)
    if (session_id, intent_id) == (ours.checkout_session_id, ours.payment_intent_id):
        return []
    return [Know(session_id, checkout.url if checkout else None, intent_id)]


def _status(ours: Ours, facts: Facts) -> list[Step]:
    status = facts.status
    if status is None:
        return _never_heard_of(ours, facts)
    if status not in NEXT[ours.status]:
        return []
    intent = facts.intent
    if status == PaymentStatus.SUCCEEDED and intent and intent.charge:
        return [Receive(intent.charge)]
    return [Move(status, (intent.fault or intent.status) if intent and status == PaymentStatus.FAILED else None)]


def _never_heard_of(ours: Ours, facts: Facts) -> list[Step]:
    age = facts.read_at - ours.started_at
    if ours.status != PaymentStatus.STARTING:
        return []
    if ours.way == PaymentWay.AUTOPAY:
        return [Move(PaymentStatus.FAILED, "never_charged")] if age > NEVER_CHARGED_AFTER else []
    return [Move(PaymentStatus.ENDED)] if age > NEVER_OPENED_AFTER else []


def _refunds(ours: Ours, facts: Facts) -> list[Step]:
    taken: list[Step] = []
    spoken_for: set[UUID] = set()  # of a row of ours there is one refund, however many carry its mark
    for refund in sorted(facts.refunds, key=lambda each: (each.created_at, each.id)):
        known = _known_refund(ours, refund, spoken_for)
        if known:
            spoken_for.add(known.id)
        taken += _refund(ours, refund, known)
    return taken


def _refund(ours: Ours, facts: RefundFacts, known: OurRefund | None) -> list[Step]:
    status = REFUNDS.get(facts.status)
    if status is None:
        return [Report(ProblemKind.REFUND_UNCLEAR, facts.id, facts.amount)]
    if facts.amount.currency != ours.amount.currency:
        return [Report(ProblemKind.DIFFERS, facts.id, facts.amount)]
    taken: list[Step] = []
    if known is None or known.stripe_refund_id is None or _is_later(status, known.status):
        taken.append(NoteRefund(facts, status, known))
    if known is None or not known.entry.is_entered:
        taken.append(GiveBack(facts.id, facts.amount))
    if status == RefundStatus.FAILED and not (known and known.entry.is_corrected):
        taken.append(PutBack(facts.id))
    return taken


def _is_later(status: RefundStatus, known: RefundStatus) -> bool:
    return COURSE.index(status) > COURSE.index(known)


def _known_refund(ours: Ours, facts: RefundFacts, spoken_for: set[UUID]) -> OurRefund | None:
    """By Stripe's id; else the row that asked for it, if it still waits for an answer and for this amount."""
    by_id = next((each for each in ours.refunds if each.stripe_refund_id == facts.id), None)
    asked = (each for each in ours.refunds if each.stripe_refund_id is None and each.amount == facts.amount)
    return by_id or next((each for each in asked if each.id == facts.our_id and each.id not in spoken_for), None)


def _dispute(ours: Ours, facts: DisputeFacts) -> list[Step]:
    """One after another, what it went through since we saw it."""
    if facts.status not in DISPUTES:
        return [Report(ProblemKind.DISPUTE_UNCLEAR, facts.id, facts.amount)]
    if facts.amount.currency != ours.amount.currency:
        return [Report(ProblemKind.DIFFERS, facts.id, facts.amount)]
    known = next((each for each in ours.disputes if each.stripe_dispute_id == facts.id), None)
    before, entry = (known.status, known.entry) if known else (None, Entry())
    taken: list[Step] = []
    for status in _went_through(before, facts):
        if before is None or status in LATER[before]:
            lines, entry = _lines_of_dispute(entry, facts, status)
            taken += [NoteDispute(facts, status, before), *lines]
            before = status
    return taken


def _went_through(known: DisputeStatus | None, facts: DisputeFacts) -> list[DisputeStatus]:
    """What is told from its beginning on, and lacks what we know already, is older than that."""
    told = [DISPUTES[each] for each in (*facts.past, facts.status) if each in DISPUTES]
    if known and known in told:
        return told[len(told) - told[::-1].index(known) :]
    return [] if known and facts.is_past_whole else told


def _lines_of_dispute(entry: Entry, facts: DisputeFacts, status: DisputeStatus) -> tuple[list[Step], Entry]:
    """And what of it is on the account then."""
    if status == DisputeStatus.LOST and not entry.is_entered:
        return [TakeBack(facts.id, facts.amount)], Entry(True)
    if status == DisputeStatus.LOST and entry.is_corrected:
        return [Report(ProblemKind.DISPUTE_UNCLEAR, facts.id, facts.amount)], entry
    if status == DisputeStatus.WON and entry.stands:
        return [WinBack(facts.id)], Entry(True, True)
    return [], entry
