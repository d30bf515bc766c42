"""Letters about payments: to whoever paid, and to the staff who keep the books."""

from uuid import UUID

from clinic import mailed_invoices, portal_users, staff
from clinic.payments.rows import Payment
from clinic.staff import Right
from mail import letters, outbox
from mail.letters import Letter


def receipt_waits(payment: Payment) -> None:
    _to_payer(payment, letters.ReceiptWaits)


def payment_failed(payment: Payment) -> None:
    _to_payer(payment, letters.PaymentFailed)


def refund_made(payment: Payment) -> None:
    _to_payer(payment, letters.RefundMade)


def autopay_announced(portal_user_id: UUID) -> None:
    _to_user(portal_user_id, letters.AutopayAnnounced)


def autopay_stopped(portal_user_id: UUID) -> None:
    _to_user(portal_user_id, letters.AutopayStopped)


def dispute_opened() -> None:
    for member in staff.with_right(Right.BILLING):
        outbox.post(letters.DisputeOpened(to=member.addressee))


def _to_payer(payment: Payment, letter: type[Letter]) -> None:
    """Who paid by a mailed link is written to where the invoice was mailed."""
    if payment.mailing_id:
        outbox.post(letter(to=mailed_invoices.receiver_of(payment.mailing_id)))
    else:
        assert payment.portal_user_id
        _to_user(payment.portal_user_id, letter)


def _to_user(portal_user_id: UUID, letter: type[Letter]) -> None:
    """Nobody is told who cannot sign in any more."""
    user = portal_users.get(portal_user_id)
    if user.may_sign_in:
        outbox.post(letter(to=user.addressee))
