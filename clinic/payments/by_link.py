"""Paying a mailed invoice without signing in, where the clinic allows it: the whole of it, by whoever follows its link.

Everything here runs inside `mailed_invoices.following(secret)`, which shows the database the one link; whoever has it learns
what became of payments that were begun by it, and of no others.
"""

from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from clinic import billing_settings, mailed_invoices
from clinic.mailed_invoices import MailedInvoice
from clinic.payments.beginning import CHANGED, Payer, Wish, begin_as, find_account
from clinic.payments.questions import PaymentRow, of_mailing
from clinic.payments.rows import UNFINISHED, Payment, PaymentWay
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused


def may_be_paid(found: MailedInvoice) -> bool:
    """Whether the page offers to pay it."""
    is_open = not found.is_void and found.due.minor > 0 and found.due.fits_stripe
    return is_open and billing_settings.pays_by_link() and find_account() is not None


def begin(secret: str, payment_id: UUID, mailing_id: UUID) -> Payment:
    """Asked twice, the one that was begun. `mailing_id` is what the page showed: another link may be followed meanwhile.

    Raises NotFound, Refused, Conflict where it is being paid already or something else than that is followed now.
    """
    _state, found = mailed_invoices.look(secret)
    if found is None:
        raise NotFound("link")
    if found.mailing_id != mailing_id:
        raise Conflict(CHANGED)
    if not billing_settings.pays_by_link():
        raise Refused(_l("The clinic asks you to sign in to pay."))
    payer = Payer(PaymentWay.LINK, mailing_id=mailing_id)
    return begin_as(payer, Wish(payment_id, found.patient_id, (found.invoice_id,)))


def get(secret: str, payment_id: UUID) -> PaymentRow:
    """A payment that was begun by this link, good or not. Raises NotFound."""
    return of_mailing(payment_id, mailed_invoices.mailing_of(secret))


def find_live(mailing_id: UUID) -> UUID | None:
    """The payment that was begun by this link and has not ended."""
    live = select(Payment.id).where(Payment.mailing_id == mailing_id, Payment.status.in_(UNFINISHED))
    return db.session.scalars(live).first()
