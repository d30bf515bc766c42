"""What a payment is for: invoices that nobody else can begin to pay meanwhile. One live claim an invoice, by the database."""

from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from clinic import invoices
from clinic.invoices import Invoice, PaymentInvoice
from clinic.money import Money
from clinic.payments.rows import Payment
from tenancy import clock
from tenancy.database import db


def take_one(payment: Payment, invoice_id: UUID, amount: Money) -> bool:
    """For this payment alone from now on; False where another payment has it.

    Whoever changes what is due of the invoice holds it, so this waits for them. Whoever takes several takes them in the
    order of `invoices.payable_of`.
    """
    claim = insert(PaymentInvoice).values(
        payment_id=payment.id, invoice_id=invoice_id, amount_minor=amount.minor, released_at=None
    )
    return db.session.scalars(claim.on_conflict_do_nothing().returning(PaymentInvoice.id)).first() is not None


def release(payment: Payment) -> None:
    """Somebody else may begin to pay."""
    db.session.execute(
        update(PaymentInvoice)
        .where(PaymentInvoice.payment_id == payment.id, PaymentInvoice.released_at.is_(None))
        .values(released_at=clock.now())
        .execution_options(synchronize_session=False)
    )


def of_payment(payment_id: UUID) -> list[tuple[UUID, Money]]:
    """Invoice and amount, the invoice that is due first before the others."""
    rows = db.session.execute(
        select(PaymentInvoice.invoice_id, PaymentInvoice.amount_minor, Invoice.currency)
        .join(Invoice, (Invoice.clinic_id == PaymentInvoice.clinic_id) & (Invoice.id == PaymentInvoice.invoice_id))
        .where(PaymentInvoice.payment_id == payment_id)
        .order_by(Invoice.due_on.nulls_last(), Invoice.number)
    )
    return [(invoice_id, Money(minor, currency)) for invoice_id, minor, currency in rows]


def pay(payment: Payment) -> Money:
    """Allocate the money to what it was for, as far as that is still due; returns what of it found no invoice."""
    assert payment.line_id
    went = dict(invoices.allocated_from(payment.line_id))
    nothing = Money(0, payment.currency)
    wanted = [(each, amount - went.get(each, nothing)) for each, amount in of_payment(payment.id)]
    paid = invoices.allocate(payment.line_id, wanted, as_far_as_it_goes=True)
    left_over = sum(amount.minor for _id, amount in wanted) - sum(amount.minor for _id, amount in paid)
    return Money(left_over, payment.currency)
