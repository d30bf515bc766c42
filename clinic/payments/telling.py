"""Letters about payments: to whoever paid, and to the staff who keep the books."""

from uuid import UUID

from clinic import portal_users, staff
from clinic.payments.rows import Payment
from clinic.staff import Right
from mail import letters, outbox
from mail.letters import Letter


def receipt_waits(payment: Payment) -> None:
    _to_payer(payment.portal_user_id, letters.ReceiptWaits)


def payment_failed(payment: Payment) -> None:
    _to_payer(payment.portal_user_id, letters.PaymentFailed)


def refund_made(payment: Payment) -> None:
    _to_payer(payment.portal_user_id, letters.RefundMade)


def autopay_announced(portal_user_id: UUID) -> None:
    _to_payer(portal_user_id, letters.AutopayAnnounced)


def autopay_stopped(portal_user_id: UUID) -> None:
    _to_payer(portal_user_id, letters.AutopayStopped)


def dispute_opened() -> None:
    for member in staff.with_right(Right.BILLING):
        outbox.post(letters.DisputeOpened(to=member.addressee))


def _to_payer(portal_user_id: UUID | None, letter: type[Letter]) -> None:
    """Nobody is told who cannot sign in any more; whoever paid by a mailed link has Stripe's own receipt."""
    user = portal_users.get(portal_user_id) if portal_user_id else None
    if user and user.may_sign_in:
        outbox.post(letter(to=user.addressee))
