"""An invoice, the account lines on it, who is paying it, and where it was mailed."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from tenancy.database import Base, ClinicOwned, same_clinic


class Invoice(ClinicOwned, Base):
    """A draft has no number. Whether it is open, partly paid or paid is what its lines and allocations add up to."""

    __tablename__ = "invoices"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        CheckConstraint("(number IS NULL) = (issued_on IS NULL)", name="issued"),
        CheckConstraint("voided_at IS NULL OR number IS NOT NULL", name="voided"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        Index("uq_invoices_number", "clinic_id", "number", unique=True),
        Index("ix_invoices_patient", "clinic_id", "patient_id", "issued_on"),
    )
    patient_id: Mapped[UUID]
    number: Mapped[int | None]
    issued_on: Mapped[date | None]
    due_on: Mapped[date | None]
    currency: Mapped[str]
    voided_at: Mapped[datetime | None]
    voided_reason: Mapped[str | None]


class InvoiceLine(ClinicOwned, Base):
    """An account line on an invoice. A line stands on one at most; only a draft gives one up."""

    __tablename__ = "invoice_lines"
    __table_args__ = (
        same_clinic("invoice_id", "invoices"),
        same_clinic("line_id", "account_lines"),
        Index("uq_invoice_lines_line", "clinic_id", "line_id", unique=True),
        Index("ix_invoice_lines_invoice", "clinic_id", "invoice_id"),
    )
    invoice_id: Mapped[UUID]
    line_id: Mapped[UUID]


class InvoiceMailing(ClinicOwned, Base):
    """An invoice sent to an address, with a mailed link that opens its amount for a week."""

    __tablename__ = "invoice_mailings"
    __table_args__ = (
        same_clinic("invoice_id", "invoices"),
        same_clinic("link_id", "mailed_links"),
        same_clinic("contact_id", "contacts"),
        Index("uq_invoice_mailings_link", "clinic_id", "link_id", unique=True),
        Index("ix_invoice_mailings_invoice", "clinic_id", "invoice_id", "mailed_at"),
    )
    invoice_id: Mapped[UUID]
    link_id: Mapped[UUID]
    contact_id: Mapped[UUID | None]
    mailed_at: Mapped[datetime] = mapped_column()


class PaymentInvoice(ClinicOwned, Base):
    """What a payment by way of Stripe is for. While it is not released nobody else can begin to pay the invoice."""

    __tablename__ = "payment_invoices"
    __table_args__ = (
        same_clinic("payment_id", "payments"),
        same_clinic("invoice_id", "invoices"),
        CheckConstraint("amount_minor > 0", name="amount"),
        Index("uq_payment_invoices_payment", "clinic_id", "payment_id", "invoice_id", unique=True),
        Index("uq_payment_invoices_live", "clinic_id", "invoice_id", unique=True, postgresql_where="released_at IS NULL"),
    )
    payment_id: Mapped[UUID]
    invoice_id: Mapped[UUID]
    amount_minor: Mapped[int]
    released_at: Mapped[datetime | None]
