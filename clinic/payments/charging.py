"""Carrying out autopay: invoices are announced some days before, and charged on the day, in the clinic's time zone.

No card is charged for what was not announced. A payment is a row before Stripe is asked, here too: an answer that was lost is
asked for again with the same key while Stripe remembers it, and looked up in its list after that.
"""

import logging
from datetime import date, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import select

from clinic import account, audit, billing_settings, invoices, stripe_gateway
from clinic.invoices import Invoice, PaymentInvoice
from clinic.money import Money
from clinic.payments import agreeing, autopay, claims, looking, telling
from clinic.payments.agreement import Move
from clinic.payments.beginning import find_account
from clinic.payments.entering import write
from clinic.payments.follow_up import try_to_look
from clinic.payments.payers import may_pay
from clinic.payments.rows import Autopay, AutopayNotice, Payment, PaymentStatus, PaymentWay, SavedCard
from clinic.payments.waiting import SOONEST
from clinic.stripe_gateway import StripeRefused, StripeUnknown
from tenancy import clinics, clock, jobs
from tenancy.database import db, transaction
from tenancy.errors import Conflict
from tenancy.tenant import Role

FROM_HOUR = 8  # nobody is charged at night
# Stripe remembers a key for a day.
ASKED_AGAIN_WITHIN = timedelta(hours=23)
log = logging.getLogger(__name__)


@jobs.every_clinic("payments.autopay", "41 * * * *", Role.STAFF)
def pay_what_is_due() -> None:
    """Each hour: announce, and charge what was announced and is due today."""
    with transaction():
        account_id = find_account()
        if account_id is None:
            return
        autopay.stop_unlinked()
        autopay.stop_on_former_accounts(account_id)
        _announce()
        is_day = clock.now().astimezone(ZoneInfo(clinics.current().time_zone)).hour >= FROM_HOUR
        due = _due() if is_day else []
    for notice_id in due:
        with transaction():
            payment_id = _begin(notice_id, account_id)
        if payment_id:
            charge(payment_id)
    ask_again()


def ask_again() -> None:
    """For charges whose answer was lost, as long as asking again is the same charge."""
    now = clock.now()
    with transaction():
        waiting = list(
            db.session.scalars(
                select(Payment.id).where(
                    Payment.way == PaymentWay.AUTOPAY,
                    Payment.status == PaymentStatus.STARTING,
                    Payment.payment_intent_id.is_(None),
                    Payment.started_at < now - SOONEST,
                    Payment.started_at > now - ASKED_AGAIN_WITHIN,
                )
            )
        )
    for payment_id in waiting:
        charge(payment_id)


def charge(payment_id: UUID) -> None:
    """Ask Stripe, while no transaction runs, and enter what it says. Silence is no failure."""
    with transaction():
        payment = looking.get(payment_id)
        card = db.session.scalars(
            select(SavedCard)
            .join(Autopay, (Autopay.clinic_id == SavedCard.clinic_id) & (Autopay.card_id == SavedCard.id))
            .join(AutopayNotice, (AutopayNotice.clinic_id == Autopay.clinic_id) & (AutopayNotice.autopay_id == Autopay.id))
            .where(AutopayNotice.payment_id == payment_id)
        ).one()
    amount = Money(payment.amount_minor, payment.currency)
    try:
        facts = stripe_gateway.charge_saved(payment_id, card.account_id, amount, card.customer_id, card.payment_method_id)
    except StripeRefused as refused:
        with transaction():
            write(agreeing.held(payment_id), Move(PaymentStatus.FAILED, refused.code))
        return
    except StripeUnknown as unknown:
        log.warning("Stripe did not answer about charge %s: %s", payment_id, unknown)
        return
    with transaction():
        agreeing.held(payment_id).payment_intent_id = facts.id
    try_to_look(payment_id)


def _announce() -> None:
    """One letter a person and patient, however many invoices."""
    today, days = _today(), timedelta(days=billing_settings.autopay_notice_days())
    for wish in db.session.scalars(select(Autopay).where(Autopay.ended_at.is_(None)).order_by(Autopay.begun_at)).all():
        new = [each for each in _unannounced(wish.patient_id) if each.due_on and each.due_on <= today + days]
        for invoice in new:
            assert invoice.due_on
            day = max(invoice.due_on, today + days)
            db.session.add(AutopayNotice(autopay_id=wish.id, invoice_id=invoice.id, announced_at=clock.now(), charge_on=day))
        if new:
            audit.record("autopay.announced", subject_id=wish.portal_user_id, patient_id=wish.patient_id, invoices=len(new))
            telling.autopay_announced(wish.portal_user_id)


def _unannounced(patient_id: UUID) -> list[Invoice]:
    """Open invoices that nobody pays now, and that no wish that stands has announced."""
    payable = [invoice_id for invoice_id, _due in invoices.payable_of(patient_id)]
    held = select(PaymentInvoice.invoice_id).where(PaymentInvoice.released_at.is_(None))
    told = (
        select(AutopayNotice.invoice_id)
        .join(Autopay, (Autopay.clinic_id == AutopayNotice.clinic_id) & (Autopay.id == AutopayNotice.autopay_id))
        .where(Autopay.ended_at.is_(None))
    )
    found = select(Invoice).where(Invoice.id.in_(payable), Invoice.id.not_in(held), Invoice.id.not_in(told))
    return list(db.session.scalars(found.order_by(Invoice.due_on, Invoice.number)))


def _due() -> list[UUID]:
    found = (
        select(AutopayNotice.id)
        .join(Autopay, (Autopay.clinic_id == AutopayNotice.clinic_id) & (Autopay.id == AutopayNotice.autopay_id))
        .where(Autopay.ended_at.is_(None), may_pay(Autopay))
        .where(AutopayNotice.payment_id.is_(None), AutopayNotice.charge_on <= _today())
    )
    return list(db.session.scalars(found.order_by(AutopayNotice.charge_on, AutopayNotice.id)))


def _begin(notice_id: UUID, account_id: str) -> UUID | None:
    """The payment that is to be charged; None where nothing is owed any more, or somebody else pays it now."""
    notice = db.session.scalars(select(AutopayNotice).where(AutopayNotice.id == notice_id)).one()
    wish = db.session.scalars(select(Autopay).where(Autopay.id == notice.autopay_id)).one()
    account.lock(wish.patient_id)
    db.session.refresh(notice)
    db.session.refresh(wish)
    due = invoices.due_of([notice.invoice_id])[notice.invoice_id]
    if notice.payment_id or wish.ended_at or due.minor <= 0 or not due.fits_stripe:
        return None
    now = clock.now()
    payment = Payment(
        id=uuid4(),
        patient_id=wish.patient_id,
        portal_user_id=wish.portal_user_id,
        way=PaymentWay.AUTOPAY,
        status=PaymentStatus.STARTING,
        amount_minor=due.minor,
        currency=due.currency,
        account_id=account_id,
        started_at=now,
        next_look_at=now + SOONEST,
    )
    try:
        with db.session.begin_nested():  # undone alone, where somebody else is faster
            db.session.add(payment)
            if not claims.take_one(payment, notice.invoice_id, due):
                raise Conflict("Somebody pays this invoice now.")
    except Conflict:
        return None
    notice.payment_id = payment.id
    audit.record(
        "payment.begun", subject_id=payment.id, patient_id=payment.patient_id, amount_minor=due.minor, currency=due.currency
    )
    return payment.id


def _today() -> date:
    return clock.today(clinics.current().time_zone)
