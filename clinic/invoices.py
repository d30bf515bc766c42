"""Invoices: a numbered set of account lines with a due date. Looked up here; issued and paid by what is built on it."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, bindparam, case, func, select
from sqlalchemy.orm import Mapped

from clinic.account import AccountLine, LineKind, LineRow
from clinic.money import Money
from tenancy.database import Base, ClinicOwned, db, one_of, same_clinic
from tenancy.errors import NotFound


class InvoiceStatus(StrEnum):
    DRAFT = "draft"
    OPEN = "open"
    PARTLY_PAID = "partly_paid"
    PAID = "paid"
    VOID = "void"


class Invoice(ClinicOwned, Base):
    __tablename__ = "invoices"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        one_of("status", InvoiceStatus),
        CheckConstraint("(status = 'draft') = (number IS NULL)", name="numbered"),
        CheckConstraint("(status = 'draft') = (issued_on IS NULL)", name="issued"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        Index("uq_invoices_number", "clinic_id", "number", unique=True),
        Index("ix_invoices_patient", "clinic_id", "patient_id", "issued_on"),
    )
    patient_id: Mapped[UUID]
    number: Mapped[int | None]
    status: Mapped[str]
    issued_on: Mapped[date | None]
    due_on: Mapped[date | None]
    currency: Mapped[str]


@dataclass(frozen=True)
class InvoiceRow:
    id: UUID
    patient_id: UUID
    number: int
    status: str
    issued_on: date
    due_on: date | None
    total: Money  # charges less discounts and write-offs
    paid: Money

    @property
    def due(self) -> Money:
        return self.total + -self.paid

    @property
    def is_payable(self) -> bool:
        return self.status in (InvoiceStatus.OPEN, InvoiceStatus.PARTLY_PAID)


_BILLED = (LineKind.CHARGE, LineKind.DISCOUNT, LineKind.WRITE_OFF)
_ROWS = (
    select(
        Invoice.id,
        Invoice.patient_id,
        Invoice.number,
        Invoice.status,
        Invoice.issued_on,
        Invoice.due_on,
        Invoice.currency,
        func.coalesce(func.sum(case((AccountLine.kind.in_(_BILLED), AccountLine.amount_minor), else_=0)), 0),
        func.coalesce(func.sum(case((AccountLine.kind.in_(_BILLED), 0), else_=AccountLine.amount_minor)), 0),
    )
    .outerjoin(
        AccountLine, (AccountLine.clinic_id == Invoice.clinic_id) & (AccountLine.invoice_id == Invoice.id)
    )
    .where(Invoice.status != InvoiceStatus.DRAFT)
    .group_by(Invoice.clinic_id, Invoice.id)
    .order_by(Invoice.issued_on.desc(), Invoice.number.desc())
)
_OF_PATIENT = _ROWS.where(Invoice.patient_id == bindparam("patient_id"))
_ONE = _OF_PATIENT.where(Invoice.id == bindparam("id"))
_LINES = (
    select(
        AccountLine.id,
        AccountLine.kind,
        AccountLine.description,
        AccountLine.dated_on,
        AccountLine.amount_minor,
        AccountLine.currency,
    )
    .where(AccountLine.invoice_id == bindparam("invoice_id"))
    .order_by(AccountLine.dated_on, AccountLine.entered_at, AccountLine.id)
)


def of_patient(patient_id: UUID) -> list[InvoiceRow]:
    """Issued invoices, newest first."""
    return [_row(row) for row in db.session.execute(_OF_PATIENT, {"patient_id": patient_id})]


def get_of_patient(invoice_id: UUID, patient_id: UUID) -> tuple[InvoiceRow, list[LineRow]]:
    """An issued invoice of this patient with its lines, oldest first. Raises NotFound."""
    found = db.session.execute(_ONE, {"id": invoice_id, "patient_id": patient_id}).one_or_none()
    if found is None:
        raise NotFound("invoice")
    lines = db.session.execute(_LINES, {"invoice_id": invoice_id})
    return _row(found), [LineRow(row[0], row[1], row[2], row[3], Money(row[4], row[5])) for row in lines]


def _row(row: tuple[object, ...]) -> InvoiceRow:
    id_, patient_id, number, status, issued_on, due_on, currency, total, paid = row
    return InvoiceRow(
        id_, patient_id, number, status, issued_on, due_on, Money(int(total), currency), Money(-int(paid), currency)  # type: ignore[arg-type, call-overload]
    )
