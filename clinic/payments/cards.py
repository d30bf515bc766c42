"""Saved cards: of the portal user who saved one, on the Stripe account it was saved on. What a card is, Stripe alone knows."""

import logging
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from clinic import audit, stripe_gateway
from clinic.payments import autopay
from clinic.payments.rows import Payment, SavedCard, StripeCustomer
from clinic.stripe_gateway import ChargeFacts, StripeRefused
from tenancy import clock, jobs, tenant
from tenancy.database import db, transaction
from tenancy.errors import NotFound
from tenancy.tenant import Role

DETACH = "payments.detach_card"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CardRow:
    id: UUID
    account_id: str
    payment_method_id: str
    label: str
    expires_on: date | None

    @property
    def has_expired(self) -> bool:
        return self.expires_on is not None and self.expires_on < clock.now().date()


_ROWS = (
    select(SavedCard.id, SavedCard.account_id, SavedCard.payment_method_id, SavedCard.label, SavedCard.expires_on)
    .where(SavedCard.removed_at.is_(None))
    .order_by(SavedCard.saved_at.desc(), SavedCard.id)
)


def mine() -> list[CardRow]:
    """The signed-in portal user's, the newest first."""
    me = tenant.current().portal_user_id
    return [CardRow(*row) for row in db.session.execute(_ROWS.where(SavedCard.portal_user_id == me))]


def get_mine(card_id: UUID) -> CardRow:
    """Raises NotFound."""
    found = next((each for each in mine() if each.id == card_id), None)
    if found is None:
        raise NotFound("saved card")
    return found


def find_customer(portal_user_id: UUID, account_id: str) -> str | None:
    """Who this portal user is on that Stripe account, if they saved a card there."""
    return db.session.scalars(
        select(StripeCustomer.customer_id).where(
            StripeCustomer.portal_user_id == portal_user_id, StripeCustomer.account_id == account_id
        )
    ).one_or_none()


def keep(payment: Payment, charge: ChargeFacts) -> None:
    """The payer asked for their card to be saved, and Stripe did."""
    has_card = charge.method == "card" and charge.customer_id and charge.payment_method_id
    if not (payment.saves_card and payment.portal_user_id and has_card):
        return
    whose = {
        "portal_user_id": payment.portal_user_id,
        "account_id": payment.account_id,
        "customer_id": charge.customer_id,
    }
    db.session.execute(insert(StripeCustomer).values(**whose).on_conflict_do_nothing())
    saved = insert(SavedCard).values(
        **whose,
        payment_method_id=charge.payment_method_id,
        label=charge.label or "Card",
        expires_on=charge.expires_on,
        saved_at=clock.now(),
    )
    if db.session.scalars(saved.on_conflict_do_nothing().returning(SavedCard.id)).first():
        audit.record("saved_card.kept", subject_id=payment.portal_user_id)


def remove(card_id: UUID) -> None:
    """The signed-in portal user's card is charged no more; what was to be paid with it stops. Raises NotFound."""
    get_mine(card_id)
    card = db.session.scalars(select(SavedCard).where(SavedCard.id == card_id)).one()
    card.removed_at = clock.now()
    autopay.stop_of_card(card_id)
    jobs.enqueue(DETACH, card_id=str(card_id))
    audit.record("saved_card.removed", subject_id=card.portal_user_id)


@jobs.in_clinic(DETACH, Role.STAFF, retry=jobs.PATIENT)
def detach(card_id: str) -> None:
    """Stripe forgets it too. Raises StripeUnknown."""
    with transaction():
        card = db.session.scalars(select(SavedCard).where(SavedCard.id == UUID(card_id))).one()
    try:
        stripe_gateway.detach_card(card.account_id, card.payment_method_id)
    except StripeRefused as refused:  # it was forgotten before, or the account is ours no more
        log.warning("Stripe did not detach a card: %s", refused.code)
