"""Autopay: a person's standing wish that a patient's invoices be paid with a card of theirs when they are due.

Each charge is announced some days before. It stops when the person says so, removes the card, no longer sees the patient's
billing, when their bank disputes a payment, and after two failures in a row. `charging` carries it out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from flask_babel import lazy_gettext as _l
from sqlalchemy import Select, select

from clinic import audit, billing_settings
from clinic.payments import telling
from clinic.payments.payers import may_pay
from clinic.payments.rows import Autopay, AutopayEnding, AutopayNotice, Payment, PaymentWay, SavedCard
from tenancy import clinics, clock, tenant
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused

MOST_FAILURES = 2
_LIVE: Select[Any] = select(Autopay).where(Autopay.ended_at.is_(None)).order_by(Autopay.id)


@dataclass(frozen=True)
class AutopayRow:
    id: UUID
    patient_id: UUID
    card_id: UUID
    label: str  # the card's
    begun_at: datetime
    ended_at: datetime | None
    ending: str | None


_ROWS = (
    select(
        Autopay.id, Autopay.patient_id, Autopay.card_id, SavedCard.label, Autopay.begun_at, Autopay.ended_at, Autopay.ending
    )
    .join(SavedCard, (SavedCard.clinic_id == Autopay.clinic_id) & (SavedCard.id == Autopay.card_id))
    .order_by(Autopay.begun_at.desc(), Autopay.id)
)  # fmt: skip


def mine() -> dict[UUID, AutopayRow]:
    """By patient, the signed-in portal user's newest wish, also one that ended."""
    me = tenant.current().portal_user_id
    newest: dict[UUID, AutopayRow] = {}
    for row in db.session.execute(_ROWS.where(Autopay.portal_user_id == me)):
        newest.setdefault(row.patient_id, AutopayRow(*row))
    return newest


def choose(patient_id: UUID, card_id: UUID, account_id: str | None) -> None:
    """The signed-in portal user has this patient's invoices paid with a card of theirs, from now on.

    `account_id` is the one that payments are made on now. Raises NotFound, Refused.
    """
    me = tenant.current().portal_user_id
    assert me
    card = db.session.scalars(
        select(SavedCard).where(SavedCard.id == card_id, SavedCard.portal_user_id == me, SavedCard.removed_at.is_(None))
    ).one_or_none()
    if card is None:
        raise NotFound("saved card")
    if card.account_id != account_id:
        raise Refused(_l("The clinic takes no payments with this card at the moment."), field="card_id")
    _stop(_LIVE.where(Autopay.portal_user_id == me, Autopay.patient_id == patient_id), AutopayEnding.STOPPED)
    begun = Autopay(id=uuid4(), portal_user_id=me, patient_id=patient_id, card_id=card_id, begun_at=clock.now())
    db.session.add(begun)
    audit.record("autopay.begun", subject_id=me, patient_id=patient_id)


def stop_mine(patient_id: UUID) -> None:
    """Raises Conflict where there is nothing to stop."""
    me = tenant.current().portal_user_id
    if not _stop(_LIVE.where(Autopay.portal_user_id == me, Autopay.patient_id == patient_id), AutopayEnding.STOPPED):
        raise Conflict(_l("Nothing is paid automatically for this patient."))


def stop_of_card(card_id: UUID) -> None:
    _stop(_LIVE.where(Autopay.card_id == card_id), AutopayEnding.CARD_REMOVED)


def stop_unlinked() -> None:
    """Of everybody who no longer sees the patient's billing."""
    for stopped in _stop(_LIVE.where(~may_pay(Autopay)), AutopayEnding.UNLINKED):
        telling.autopay_stopped(stopped.portal_user_id)


def stop_on_former_accounts(account_id: str) -> None:
    """A card that was saved on another Stripe account cannot be charged on this one."""
    former = select(SavedCard.id).where(SavedCard.account_id != account_id)
    for stopped in _stop(_LIVE.where(Autopay.card_id.in_(former)), AutopayEnding.CARD_REMOVED):
        telling.autopay_stopped(stopped.portal_user_id)


def stop_disputed(payment: Payment) -> None:
    """Of the person whose bank disputes a payment, for that patient."""
    theirs = _LIVE.where(Autopay.portal_user_id == payment.portal_user_id, Autopay.patient_id == payment.patient_id)
    for stopped in _stop(theirs, AutopayEnding.DISPUTED):
        telling.autopay_stopped(stopped.portal_user_id)


def count_failure(payment: Payment) -> None:
    """A charge by autopay failed: announced once more, or the second time stopped."""
    for autopay, notice in _charging(payment):
        autopay.failures += 1
        if autopay.failures >= MOST_FAILURES:
            _end(autopay, AutopayEnding.FAILED_TWICE)
            telling.autopay_stopped(autopay.portal_user_id)
        else:
            notice.payment_id, notice.charge_on = None, _today() + timedelta(days=billing_settings.autopay_notice_days())
            telling.autopay_announced(autopay.portal_user_id)


def forget_failures(payment: Payment) -> None:
    for autopay, _notice in _charging(payment):
        autopay.failures = 0


def _charging(payment: Payment) -> list[tuple[Autopay, AutopayNotice]]:
    """The standing wish that this payment carries out, if it is one and still stands."""
    if payment.way != PaymentWay.AUTOPAY:
        return []
    found = (
        select(Autopay, AutopayNotice)
        .join(AutopayNotice, (AutopayNotice.clinic_id == Autopay.clinic_id) & (AutopayNotice.autopay_id == Autopay.id))
        .where(AutopayNotice.payment_id == payment.id, Autopay.ended_at.is_(None))
    )
    return [(autopay, notice) for autopay, notice in db.session.execute(found)]


def _stop(which: Select[Any], ending: AutopayEnding) -> list[Autopay]:
    stopped = list(db.session.scalars(which))
    for autopay in stopped:
        _end(autopay, ending)
    return stopped


def _end(autopay: Autopay, ending: AutopayEnding) -> None:
    autopay.ended_at, autopay.ending = clock.now(), ending
    db.session.flush()
    audit.record("autopay.ended", subject_id=autopay.portal_user_id, patient_id=autopay.patient_id, ending=ending)


def _today() -> Any:
    return clock.today(clinics.current().time_zone)
