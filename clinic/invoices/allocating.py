"""Which invoices a payment pays: a part of its credit is allocated to an invoice, and may be released again.

An allocation never exceeds what is left of the payment, nor what is due of the invoice. Everything here holds the patient's
account first (`account.lock`), then the invoices, the one that is due first before the others.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select

from clinic import account, audit
from clinic.account import AccountLine, Allocation
from clinic.invoices.questions import being_paid, due_of, rows_of
from clinic.invoices.rows import Invoice
from clinic.money import Money
from tenancy import clock
from tenancy.database import db
from tenancy.errors import NotFound, Refused

Parts = list[tuple[UUID, Money]]  # invoice's id, and how much of it
BY_DUE_DAY = (Invoice.due_on.nulls_last(), Invoice.number, Invoice.id)


def allocate(payment_line_id: UUID, parts: Sequence[tuple[UUID, Money]], *, as_far_as_it_goes: bool = False) -> Parts:
    """Pay parts of invoices with a payment that is on the account, in this order; returns what went where.

    Raises NotFound for an invoice of another patient, Refused for more than is left of the payment or due of the invoice.
    `as_far_as_it_goes`: more than there is, or than is due (also of a void invoice), is cut instead; the rest stays credit.
    """
    line = account.get_payment(payment_line_id)
    account.lock(line.patient_id)
    lock(line.patient_id, [invoice_id for invoice_id, _amount in parts])
    due, credit = due_of([invoice_id for invoice_id, _amount in parts]), account.credit_of(payment_line_id)
    went: Parts = []
    for invoice_id, asked in parts:
        amount = min(asked, due[invoice_id], credit) if as_far_as_it_goes else asked
        if amount.minor <= 0 and as_far_as_it_goes:
            continue
        _check(amount, due[invoice_id], credit)
        due[invoice_id] -= amount
        credit -= amount
        went.append((invoice_id, amount))
    _add(line, went, "payment.allocated")
    return went


def allocate_oldest_first(payment_line_id: UUID) -> Parts:
    """Pay the patient's open invoices, the one that is due first before the others, as far as the payment goes.

    One that somebody is paying online is passed over.
    """
    line = account.get_payment(payment_line_id)
    account.lock(line.patient_id)
    payable = payable_of(line.patient_id)
    lock(line.patient_id, [invoice_id for invoice_id, _due in payable])  # nobody begins to pay one from now on
    taken = being_paid(invoice_id for invoice_id, _due in payable)
    free = [(invoice_id, due) for invoice_id, due in payable if invoice_id not in taken]
    return allocate(payment_line_id, free, as_far_as_it_goes=True)


def release(payment_line_id: UUID, amount: Money, *, of_invoice: UUID | None = None) -> Parts:
    """Take so much of a payment back from the invoices it went to, the newest allocation first; it is credit again.

    Returns what was taken from where. Raises Refused if less went to them (to `of_invoice`, if that is named).
    """
    line = account.get_payment(payment_line_id)
    account.lock(line.patient_id)
    left, back = amount, []
    for invoice_id, allocated in allocated_from(payment_line_id):
        part = min(left, allocated)
        if part.minor > 0 and of_invoice in (None, invoice_id):
            back.append((invoice_id, part))
            left -= part
    if left.minor > 0:
        raise Refused(_l("Not so much of this payment went to invoices."), field="amount")
    _add(line, [(invoice_id, -part) for invoice_id, part in back], "payment.released")
    return back


def release_excess(invoice_id: UUID) -> None:
    """Give back what was paid beyond what the invoice comes to, the newest payment first. The account is locked."""
    excess = -rows_of([invoice_id])[invoice_id].due
    for line_id in _paying(invoice_id):
        allocated = dict(allocated_from(line_id))[invoice_id]
        part = min(excess, allocated)
        if part.minor > 0:
            release(line_id, part, of_invoice=invoice_id)
            excess -= part


def allocated_from(payment_line_id: UUID) -> Parts:
    """What of a payment stands at which invoice, the newest allocation first."""
    rows = db.session.execute(
        select(Allocation.invoice_id, func.sum(Allocation.amount_minor), AccountLine.currency)
        .join(AccountLine, (AccountLine.clinic_id == Allocation.clinic_id) & (AccountLine.id == Allocation.payment_line_id))
        .where(Allocation.payment_line_id == payment_line_id)
        .group_by(Allocation.invoice_id, AccountLine.currency)
        .having(func.sum(Allocation.amount_minor) > 0)
        .order_by(func.max(Allocation.allocated_at).desc(), Allocation.invoice_id)
    )
    return [(invoice_id, Money(int(minor), currency)) for invoice_id, minor, currency in rows]


def payable_of(patient_id: UUID) -> Parts:
    """A patient's open invoices with what is due, the one that was due first before the others."""
    issued = (
        select(Invoice.id)
        .where(Invoice.patient_id == patient_id, Invoice.number.is_not(None), Invoice.voided_at.is_(None))
        .order_by(*BY_DUE_DAY)
    )
    ids = list(db.session.scalars(issued))
    due = due_of(ids)
    return [(invoice_id, due[invoice_id]) for invoice_id in ids if due[invoice_id].minor > 0]


def lock(patient_id: UUID, invoice_ids: Iterable[UUID]) -> dict[UUID, Invoice]:
    """Invoices of this patient, held until the transaction's end. Raises NotFound for one of anybody else's.

    Held more strongly than a key share: whoever begins to pay one by way of Stripe refers to it, waits for this
    transaction, and must read what is due after that. And in the order in which they take theirs: they hold no account.
    """
    wanted = set(invoice_ids)
    found = db.session.scalars(
        select(Invoice)
        .where(Invoice.id.in_(wanted), Invoice.patient_id == patient_id)
        .order_by(*BY_DUE_DAY)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    invoices = {each.id: each for each in found}
    if wanted - invoices.keys():
        raise NotFound("invoice")
    return invoices


def _check(amount: Money, due: Money, credit: Money) -> None:
    if amount.currency != due.currency or amount.currency != credit.currency:
        raise Refused(_l("This is another currency than the account's."), field="amount")
    if amount.minor <= 0:
        raise Refused(_l("Enter an amount above zero."), field="amount")
    if amount > due:
        raise Refused(_l("This is more than is due on the invoice."), field="amount")
    if amount > credit:
        raise Refused(_l("This is more than is left of the payment."), field="amount")


def _paying(invoice_id: UUID) -> list[UUID]:
    """Payments of which something stands at this invoice, the newest first."""
    return list(
        db.session.scalars(
            select(Allocation.payment_line_id)
            .where(Allocation.invoice_id == invoice_id)
            .group_by(Allocation.payment_line_id)
            .having(func.sum(Allocation.amount_minor) > 0)
            .order_by(func.max(Allocation.allocated_at).desc(), Allocation.payment_line_id)
        )
    )


def _add(line: AccountLine, parts: Parts, event: str) -> None:
    now = clock.now()
    for invoice_id, amount in parts:
        db.session.add(
            Allocation(
                patient_id=line.patient_id,
                payment_line_id=line.id,
                invoice_id=invoice_id,
                amount_minor=amount.minor,
                allocated_at=now,
            )
        )
    db.session.flush()
    if parts:
        went = {str(invoice_id): amount.minor for invoice_id, amount in parts}
        audit.record(event, subject_id=line.id, patient_id=line.patient_id, invoices=went)
