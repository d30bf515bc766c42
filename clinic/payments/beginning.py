"""Beginning to pay: a row first, then one call to Stripe without a transaction, then what Stripe calls it.

How much is owed is read here, whatever a form says. The row's id comes with the form, so that pressing twice pays once.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from clinic import audit, billing_settings, invoices, portal_home, stripe_gateway
from clinic.invoices import PaymentInvoice
from clinic.money import Money
from clinic.payment_processing import PaymentAccount
from clinic.payments import cards, claims
from clinic.payments.looking import get
from clinic.payments.rows import Payment, PaymentStatus, PaymentWay
from clinic.payments.waiting import SOONEST
from clinic.stripe_gateway import CheckoutFacts, CheckoutOrder
from tenancy import clinics, clock, tenant
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused

# Stripe's answer where a page was asked for before, in other words: it may be there.
KEY_IN_USE = "idempotency_error"
UNPAID = (PaymentStatus.STARTING, PaymentStatus.OPEN)
PAGE_LASTS = timedelta(hours=1)
# After this a page could not be open long enough any more for Stripe to make it, had it not been made before.
ASKED_AGAIN_WITHIN = timedelta(minutes=20)
BEING_PAID = _l(
    "This is already being paid. A payment from a bank account takes some days; look again later, or ask the clinic."
)
CHANGED = _l("What is owed changed just now. Look at the amount and try again.")


@dataclass(frozen=True)
class Wish:
    """What a person means to pay for a patient: these invoices, whole unless an amount is named; else onto the account."""

    payment_id: UUID
    patient_id: UUID
    invoice_ids: tuple[UUID, ...] = ()
    amount: Money | None = None
    saves_card: bool = False


@dataclass(frozen=True)
class Payer:
    """A portal user, or whoever follows the link of a mailing."""

    way: PaymentWay
    portal_user_id: UUID | None = None
    mailing_id: UUID | None = None


def find_account() -> str | None:
    """The Stripe account on which can be paid at this moment."""
    if not (clinics.current().payment_processing_is_on and stripe_gateway.is_connected()):
        return None
    present = select(PaymentAccount.account_id).where(PaymentAccount.ended_at.is_(None), PaymentAccount.charges_enabled)
    return db.session.scalars(present).one_or_none()


def begin(wish: Wish) -> Payment:
    """The signed-in portal user begins to pay; asked twice, the one that was begun.

    Raises NotFound, Refused with the field, Conflict where an invoice is being paid already.
    """
    portal_home.see_billing(wish.patient_id)
    return begin_as(Payer(PaymentWay.CHECKOUT, portal_user_id=tenant.current().portal_user_id), wish)


def begin_as(payer: Payer, wish: Wish) -> Payment:
    """Somebody who may begins to pay. Raises as `begin`."""
    if before := _begun_before(wish, payer):
        return before
    account_id = find_account()
    if account_id is None:
        raise Refused(_l("This clinic takes no payments online at the moment. Please ask the clinic how to pay."))
    owed = _owed(wish)
    amount = _amount(wish, owed)
    payment = _add(wish, payer, account_id, amount)
    if payment is None:  # another press of the same button was faster
        before = _begun_before(wish, payer)
        if before is None:
            raise Conflict(BEING_PAID)
        return before
    _take(payment, wish, owed)
    if _owed(wish) != owed:  # whoever changed an invoice was waited for
        raise Conflict(CHANGED)
    by_link: dict[str, Any] = {"mailing": str(payer.mailing_id)} if payer.mailing_id else {}
    audit.record(
        "payment.begun",
        subject_id=payment.id,
        patient_id=wish.patient_id,
        amount_minor=amount.minor,
        currency=amount.currency,
        **by_link,
    )
    return payment


def find_mine_live(invoice_ids: tuple[UUID, ...]) -> UUID | None:
    """The signed-in portal user's own payment that holds one of these invoices."""
    held = select(PaymentInvoice.payment_id).where(
        PaymentInvoice.invoice_id.in_(invoice_ids), PaymentInvoice.released_at.is_(None)
    )
    mine = select(Payment.id).where(Payment.id.in_(held), Payment.portal_user_id == tenant.current().portal_user_id)
    return db.session.scalars(mine).first()


def order_of(payment: Payment, success_url: str, cancel_url: str) -> CheckoutOrder:
    """What Stripe is asked for. The same each time it is asked."""
    return CheckoutOrder(
        payment_id=payment.id,
        account_id=payment.account_id,
        amount=Money(payment.amount_minor, payment.currency),
        payee=clinics.current().name,
        success_url=success_url,
        cancel_url=cancel_url,
        customer_id=cards.find_customer(payment.portal_user_id, payment.account_id) if payment.portal_user_id else None,
        saves_card=payment.saves_card,
        expires_at=payment.started_at + PAGE_LASTS,
    )


def may_ask_again(payment: Payment) -> bool:
    """Whether Stripe can still be asked for the same page with the same key."""
    is_young = clock.now() - payment.started_at < ASKED_AGAIN_WITHIN
    return payment.status == PaymentStatus.STARTING and is_young


def opened(payment_id: UUID, facts: CheckoutFacts) -> str | None:
    """Stripe's page is there; returns where the payer goes on. None: it must not be paid any more, so end it.

    A payment that was called off meanwhile stays so. Raises NotFound.
    """
    payment = get(payment_id, lock=True)
    if payment.status not in UNPAID:
        return None
    payment.checkout_session_id = facts.id
    if facts.status == "open":
        payment.status, payment.checkout_url = PaymentStatus.OPEN, facts.url
    return facts.url


def called_off(payment_id: UUID) -> None:
    """Nobody can pay there any more, by Stripe's own word, and nothing was paid."""
    payment = get(payment_id, lock=True)
    if payment.status not in UNPAID:
        return
    payment.status, payment.ended_at = PaymentStatus.ENDED, clock.now()
    claims.release(payment)
    audit.record("payment.ended", subject_id=payment.id, patient_id=payment.patient_id, fault=None)


def refused(payment_id: UUID, code: str) -> None:
    """Stripe would not make the page: certainly nothing can be paid there."""
    payment = get(payment_id, lock=True)
    if payment.status != PaymentStatus.STARTING:
        return
    payment.status, payment.ended_at, payment.fault = PaymentStatus.FAILED, clock.now(), code
    claims.release(payment)
    audit.record("payment.failed", subject_id=payment.id, patient_id=payment.patient_id, fault=code)


def _begun_before(wish: Wish, payer: Payer) -> Payment | None:
    before = db.session.scalars(select(Payment).where(Payment.id == wish.payment_id)).one_or_none()
    whose = (payer.portal_user_id, payer.mailing_id, wish.patient_id)
    if before and (before.portal_user_id, before.mailing_id, before.patient_id) != whose:
        raise NotFound("payment")
    return before


def _owed(wish: Wish) -> list[tuple[UUID, Money]]:
    """Of the chosen invoices; of all, for an amount on the account. The one that is due first before the others."""
    payable = invoices.payable_of(wish.patient_id)
    return [each for each in payable if each[0] in wish.invoice_ids] if wish.invoice_ids else payable


def _amount(wish: Wish, owed: list[tuple[UUID, Money]]) -> Money:
    currency = clinics.current().currency
    if wish.invoice_ids and {each for each, _due in owed} != set(wish.invoice_ids):
        raise Conflict(_l("What you chose to pay is not open any more. Look again at what is due."))
    whole = Money(sum(due.minor for _each, due in owed), currency)
    amount = wish.amount or whole
    if amount.currency != currency:
        raise Refused(_l("Enter an amount in the clinic's currency."), field="amount")
    if wish.invoice_ids and amount.minor > whole.minor:
        raise Refused(_l("This is more than is due."), field="amount")
    if amount.minor < whole.minor and not billing_settings.allows_partial():
        raise Refused(_l("The clinic asks you to pay the whole amount."), field="amount")
    _check_amount(amount)
    return amount


def _take(payment: Payment, wish: Wish, owed: list[tuple[UUID, Money]]) -> None:
    """Share the amount out, the invoice that is due first before the others; what no invoice takes is credit.

    An amount on the account passes over what is being paid already. Raises Conflict.
    """
    left = payment.amount_minor
    for invoice_id, due in owed:
        part = min(left, due.minor)
        if part <= 0:
            break
        if claims.take_one(payment, invoice_id, Money(part, payment.currency)):
            left -= part
        elif wish.invoice_ids:
            raise Conflict(BEING_PAID)


def _check_amount(amount: Money) -> None:
    if amount.minor <= 0:
        raise Refused(_l("Enter an amount above zero."), field="amount")
    if not amount.fits_stripe:
        raise Refused(_l("Online, only amounts whose last digit is 0 can be paid."), field="amount")


def _add(wish: Wish, payer: Payer, account_id: str, amount: Money) -> Payment | None:
    now = clock.now()
    values: dict[str, Any] = {
        "id": wish.payment_id,
        "patient_id": wish.patient_id,
        "portal_user_id": payer.portal_user_id,
        "mailing_id": payer.mailing_id,
        "way": payer.way,
        "status": PaymentStatus.STARTING,
        "amount_minor": amount.minor,
        "currency": amount.currency,
        "account_id": account_id,
        "saves_card": wish.saves_card,
        "started_at": now,
        "next_look_at": now + SOONEST,
    }
    made = insert(Payment).values(**values).on_conflict_do_nothing().returning(Payment)
    return db.session.scalars(made).one_or_none()
