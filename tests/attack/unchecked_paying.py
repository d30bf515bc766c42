"""The portal's payers without their checks: whose payment, card or standing wish it is, is asked by nobody but the database."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from clinic import billing_papers, payments
from clinic.account import AccountLine
from clinic.billing_papers import Paper
from clinic.invoices import PaymentInvoice
from clinic.payments import (
    Autopay,
    AutopayEnding,
    AutopayRow,
    CardRow,
    Payment,
    PaymentRow,
    Wish,
    autopay,
    beginning,
    cards,
    questions,
)
from tenancy import clock, tenant
from tenancy.database import db
from tenancy.errors import Conflict, NotFound
from tests.house import whole_database

ACCOUNT = "acct_nowhere"  # on which the cards of `route_map.pay` were saved
# Everybody who may pay for somebody has it paid with a card of theirs.
EVERYBODY_WISHES = """
    INSERT INTO autopays (clinic_id, id, portal_user_id, patient_id, card_id, begun_at, failures)
    SELECT a.clinic_id, gen_random_uuid(), a.portal_user_id, a.patient_id, k.id, now(), 0 FROM portal_access a
    CROSS JOIN LATERAL (SELECT id FROM saved_cards WHERE portal_user_id = a.portal_user_id ORDER BY id LIMIT 1) k
    WHERE a.billing"""


def everybody_wishes(connection: whole_database.Connection) -> None:
    assert connection.execute(EVERYBODY_WISHES).rowcount > 2


def the_payers_verbs_check_nothing(patched: pytest.MonkeyPatch) -> None:
    """As if the clinics took payments too."""
    for module in (payments, beginning):
        patched.setattr(module, "find_account", lambda: ACCOUNT)
    patched.setattr(questions, "_mine", lambda: True)
    patched.setattr(payments, "of_id", _payment)
    patched.setattr(payments, "patient_of_mine", lambda payment_id: _payment(payment_id).patient_id)
    patched.setattr(payments, "find_mine_live", _holder)
    patched.setattr(beginning, "_begun_before", _begun_before)
    patched.setattr(cards, "mine", _cards)
    patched.setattr(autopay, "mine", _wishes)
    patched.setattr(autopay, "choose", _choose)
    patched.setattr(autopay, "stop_mine", _stop)
    patched.setattr(billing_papers, "receipt", _receipt)


def _payment(payment_id: UUID, _patient_id: UUID | None = None) -> PaymentRow:
    found = questions._payments(questions._PAYMENTS.where(Payment.id == payment_id))
    if not found:
        raise NotFound("payment")
    return found[0]


def _holder(invoice_ids: tuple[UUID, ...]) -> UUID | None:
    held = select(PaymentInvoice.payment_id).where(PaymentInvoice.invoice_id.in_(invoice_ids), PaymentInvoice.released_at.is_(None))
    return db.session.scalars(held.limit(1)).first()


def _begun_before(wish: Wish, _me: UUID) -> Payment | None:
    return db.session.scalars(select(Payment).where(Payment.id == wish.payment_id)).one_or_none()


def _cards() -> list[CardRow]:
    return [CardRow(*row) for row in db.session.execute(cards._ROWS)]


def _wishes() -> dict[UUID, AutopayRow]:
    return {row.patient_id: AutopayRow(*row) for row in db.session.execute(autopay._ROWS)}


def _choose(patient_id: UUID, card_id: UUID, _account_id: str | None) -> None:
    me = tenant.current().portal_user_id
    db.session.add(Autopay(id=uuid4(), portal_user_id=me, patient_id=patient_id, card_id=card_id, begun_at=clock.now()))
    db.session.flush()


def _stop(patient_id: UUID) -> None:
    if not autopay._stop(autopay._LIVE.where(Autopay.patient_id == patient_id), AutopayEnding.STOPPED):
        raise Conflict("Nothing is paid automatically for this patient.")


_RECEIPT = billing_papers.receipt


def _receipt(line_id: UUID, patient_id: UUID, patient_name: str) -> Paper:
    of_whom = db.session.scalars(select(AccountLine.patient_id).where(AccountLine.id == line_id)).one_or_none()
    return _RECEIPT(line_id, of_whom or patient_id, patient_name)
