"""Autopay: a person's standing wish that a patient's invoices be paid with a card of theirs when they are due.

Each charge is announced some days before. It stops when the person says so, removes the card, no longer sees the patient's
billing, when their bank disputes a payment, and after two failures in a row.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, select

from clinic import audit
from clinic.payments import telling
from clinic.payments.rows import Autopay, AutopayEnding, AutopayNotice, Payment, PaymentWay
from tenancy import clock
from tenancy.database import db

MOST_FAILURES = 2
_LIVE: Select[Any] = select(Autopay).where(Autopay.ended_at.is_(None)).order_by(Autopay.id)


def stop_of_card(card_id: UUID, ending: AutopayEnding) -> None:
    _stop(_LIVE.where(Autopay.card_id == card_id), ending)


def stop_disputed(payment: Payment) -> None:
    """Of the person whose bank disputes a payment, for that patient."""
    theirs = _LIVE.where(Autopay.portal_user_id == payment.portal_user_id, Autopay.patient_id == payment.patient_id)
    for stopped in _stop(theirs, AutopayEnding.DISPUTED):
        telling.autopay_stopped(stopped.portal_user_id)


def stop(autopay: Autopay, ending: AutopayEnding) -> None:
    autopay.ended_at, autopay.ending = clock.now(), ending
    db.session.flush()
    audit.record("autopay.ended", subject_id=autopay.portal_user_id, patient_id=autopay.patient_id, ending=ending)


def count_failure(payment: Payment) -> None:
    """A charge by autopay failed: announced once more, or the second time stopped."""
    for autopay in _charging(payment):
        autopay.failures += 1
        if autopay.failures >= MOST_FAILURES:
            stop(autopay, AutopayEnding.FAILED_TWICE)
            telling.autopay_stopped(autopay.portal_user_id)


def forget_failures(payment: Payment) -> None:
    for autopay in _charging(payment):
        autopay.failures = 0


def _charging(payment: Payment) -> list[Autopay]:
    """The standing wish that this payment carries out, if it is one and still stands."""
    if payment.way != PaymentWay.AUTOPAY:
        return []
    notices = select(AutopayNotice.autopay_id).where(AutopayNotice.payment_id == payment.id)
    return list(db.session.scalars(_LIVE.where(Autopay.id.in_(notices))))


def _stop(which: Select[Any], ending: AutopayEnding) -> list[Autopay]:
    stopped = list(db.session.scalars(which))
    for autopay in stopped:
        stop(autopay, ending)
    return stopped
