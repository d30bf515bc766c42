"""Issued invoices with what they come to and what was paid."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import aliased

from clinic.account import BILLED, LINE_COLUMNS, AccountLine, Allocation, LineRow, line_row
from clinic.invoices.rows import Invoice, InvoiceLine, PaymentInvoice
from clinic.money import Money
from tenancy.database import db
from tenancy.errors import NotFound


class InvoiceStatus(StrEnum):
    DRAFT = "draft"
    OPEN = "open"
    PARTLY_PAID = "partly_paid"
    PAID = "paid"
    VOID = "void"


@dataclass(frozen=True)
class InvoiceRow:
    id: UUID
    patient_id: UUID
    number: int | None  # None: a draft
    issued_on: date | None
    due_on: date | None
    voided_at: datetime | None
    total: Money  # charges less discounts and write-offs
    paid: Money

    @property
    def status(self) -> InvoiceStatus:
        if self.number is None:
            return InvoiceStatus.DRAFT
        if self.voided_at:
            return InvoiceStatus.VOID
        if self.due.minor <= 0:
            return InvoiceStatus.PAID
        return InvoiceStatus.PARTLY_PAID if self.paid.minor else InvoiceStatus.OPEN

    @property
    def due(self) -> Money:
        return self.total - self.paid

    @property
    def is_payable(self) -> bool:
        return self.status in (InvoiceStatus.OPEN, InvoiceStatus.PARTLY_PAID)

    def is_overdue(self, today: date) -> bool:
        return self.is_payable and self.due_on is not None and self.due_on < today


@dataclass(frozen=True)
class InvoicePage:
    """An invoice with what stands on it and what paid it, each oldest first."""

    invoice: InvoiceRow
    lines: list[LineRow]
    payments: list[LineRow]  # `amount` is the part that went to this invoice, negative
    voided_reason: str | None


TOTAL = (
    select(func.coalesce(func.sum(AccountLine.amount_minor), 0))
    .select_from(InvoiceLine)
    .join(AccountLine, (AccountLine.clinic_id == InvoiceLine.clinic_id) & (AccountLine.id == InvoiceLine.line_id))
    .where(InvoiceLine.clinic_id == Invoice.clinic_id, InvoiceLine.invoice_id == Invoice.id)
    .correlate(Invoice)
    .scalar_subquery()
)
PAID = (
    select(func.coalesce(func.sum(Allocation.amount_minor), 0))
    .where(Allocation.clinic_id == Invoice.clinic_id, Allocation.invoice_id == Invoice.id)
    .correlate(Invoice)
    .scalar_subquery()
)
ROWS = select(
    Invoice.id,
    Invoice.patient_id,
    Invoice.number,
    Invoice.issued_on,
    Invoice.due_on,
    Invoice.voided_at,
    Invoice.currency,
    TOTAL,
    PAID,
)
_OF_PATIENT = ROWS.where(Invoice.patient_id == bindparam("patient_id")).order_by(
    Invoice.issued_on.desc().nulls_first(), Invoice.number.desc(), Invoice.id
)
_ISSUED_OF_PATIENT = _OF_PATIENT.where(Invoice.number.is_not(None))
_ONE = _OF_PATIENT.add_columns(Invoice.voided_reason).where(Invoice.id == bindparam("id"))
_ONE_ISSUED = _ONE.where(Invoice.number.is_not(None))
_LINES: Any = (
    select(*LINE_COLUMNS)
    .join(InvoiceLine, (InvoiceLine.clinic_id == AccountLine.clinic_id) & (InvoiceLine.line_id == AccountLine.id))
    .where(InvoiceLine.invoice_id == bindparam("invoice_id"))
    .order_by(AccountLine.dated_on, AccountLine.entered_at, AccountLine.id)
)
_part: Any = -func.sum(Allocation.amount_minor)
_PAYMENTS = (
    select(*[_part if each is AccountLine.amount_minor else each for each in LINE_COLUMNS])
    .join(
        Allocation, (Allocation.clinic_id == AccountLine.clinic_id) & (Allocation.payment_line_id == AccountLine.id)
    )
    .where(Allocation.invoice_id == bindparam("invoice_id"))
    .group_by(AccountLine.clinic_id, AccountLine.id)
    .having(func.sum(Allocation.amount_minor) != 0)
    .order_by(AccountLine.dated_on, AccountLine.entered_at, AccountLine.id)
)
_Correction = aliased(AccountLine)
_UNBILLED: Any = (
    select(*LINE_COLUMNS)
    .outerjoin(InvoiceLine, (InvoiceLine.clinic_id == AccountLine.clinic_id) & (InvoiceLine.line_id == AccountLine.id))
    .outerjoin(
        _Correction, (_Correction.clinic_id == AccountLine.clinic_id) & (_Correction.corrects_id == AccountLine.id)
    )
    .where(AccountLine.patient_id == bindparam("patient_id"), AccountLine.kind.in_(BILLED))
    .where(AccountLine.corrects_id.is_(None), InvoiceLine.id.is_(None), _Correction.id.is_(None))
    .order_by(AccountLine.dated_on, AccountLine.entered_at, AccountLine.id)
)
_NUMBERS = (
    select(InvoiceLine.line_id, Invoice.id, Invoice.number)
    .join(Invoice, (Invoice.clinic_id == InvoiceLine.clinic_id) & (Invoice.id == InvoiceLine.invoice_id))
    .where(Invoice.patient_id == bindparam("patient_id"))
)
_BY_IDS = ROWS.where(Invoice.id.in_(bindparam("ids", expanding=True))).order_by(Invoice.id)


def rows_of(invoice_ids: Iterable[UUID]) -> dict[UUID, InvoiceRow]:
    """Drafts too. Ids of no invoice are left out."""
    rows = [row_of(*row) for row in db.session.execute(_BY_IDS, {"ids": list(invoice_ids)})]
    return {row.id: row for row in rows}


def due_of(invoice_ids: Iterable[UUID]) -> dict[UUID, Money]:
    """What is still to be paid of each; nothing of a draft and of a void one. Ids of no invoice are left out."""
    rows = rows_of(invoice_ids).values()
    return {row.id: row.due if row.is_payable else Money(0, row.total.currency) for row in rows}


def being_paid(invoice_ids: Iterable[UUID]) -> set[UUID]:
    """Those of them that somebody is paying by way of Stripe now."""
    ids = list(invoice_ids)
    live = select(PaymentInvoice.invoice_id).where(
        PaymentInvoice.invoice_id.in_(ids), PaymentInvoice.released_at.is_(None)
    )
    return set(db.session.scalars(live))


def of_patient(patient_id: UUID, *, drafts: bool = False) -> list[InvoiceRow]:
    """Issued invoices, newest first; after the drafts, if those are asked for too."""
    statement = _OF_PATIENT if drafts else _ISSUED_OF_PATIENT
    return [row_of(*row) for row in db.session.execute(statement, {"patient_id": patient_id})]


def get_of_patient(invoice_id: UUID, patient_id: UUID, *, drafts: bool = False) -> InvoicePage:
    """An invoice of this patient, issued if drafts are not asked for too. Raises NotFound."""
    statement = _ONE if drafts else _ONE_ISSUED
    found = db.session.execute(statement, {"id": invoice_id, "patient_id": patient_id}).one_or_none()
    if found is None:
        raise NotFound("invoice")
    *row, reason = found
    lines = [line_row(*line) for line in db.session.execute(_LINES, {"invoice_id": invoice_id})]
    payments = [line_row(*line) for line in db.session.execute(_PAYMENTS, {"invoice_id": invoice_id})]
    return InvoicePage(row_of(*row), lines, payments, reason)


def unbilled_of(patient_id: UUID) -> list[LineRow]:
    """What could stand on an invoice and stands on none, oldest first; without what was corrected."""
    return [line_row(*row) for row in db.session.execute(_UNBILLED, {"patient_id": patient_id})]


def numbers_of_lines(patient_id: UUID) -> dict[UUID, tuple[UUID, int | None]]:
    """Line's id → id and number of the invoice that it stands on; a draft has no number."""
    rows = db.session.execute(_NUMBERS, {"patient_id": patient_id})
    return {line_id: (invoice_id, number) for line_id, invoice_id, number in rows}


def row_of(
    id_: UUID,
    patient_id: UUID,
    number: int | None,
    issued_on: date | None,
    due_on: date | None,
    voided_at: datetime | None,
    currency: str,
    total: int,
    paid: int,
) -> InvoiceRow:
    """Of `ROWS`."""
    return InvoiceRow(
        id_, patient_id, number, issued_on, due_on, voided_at, Money(int(total), currency), Money(int(paid), currency)
    )
