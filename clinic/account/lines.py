"""Lines of a patient's billing account: signed amounts, entered once and never changed."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped

from tenancy.database import Base, ClinicOwned, one_of, same_clinic, text_up_to

LONGEST_DESCRIPTION = 160


class LineKind(StrEnum):
    CHARGE = "charge"
    PAYMENT = "payment"
    DISCOUNT = "discount"
    WRITE_OFF = "write_off"
    REFUND = "refund"
    CHARGEBACK = "chargeback"


BILLED = (LineKind.CHARGE, LineKind.DISCOUNT, LineKind.WRITE_OFF)  # what an invoice is made of
TAKEN_BACK = (LineKind.REFUND, LineKind.CHARGEBACK)  # what takes a payment back


class Method(StrEnum):
    """How a payment was made."""

    CASH = "cash"
    CHEQUE = "cheque"
    CARD = "card"
    BANK_DEBIT = "bank_debit"
    OTHER = "other"


class AccountLine(ClinicOwned, Base):
    """`amount_minor` is signed: what the family owes more (+) or less (−) by this line.

    A correction is a line of the same kind and the opposite amount that names the line it corrects.
    """

    __tablename__ = "account_lines"
    __table_args__ = (
        same_clinic("patient_id", "patients"),
        same_clinic("corrects_id", "account_lines"),
        same_clinic("takes_back_id", "account_lines"),
        one_of("kind", LineKind),
        one_of("method", Method),
        text_up_to("description", LONGEST_DESCRIPTION),
        CheckConstraint(
            "CASE WHEN (kind IN ('charge', 'refund', 'chargeback')) = (corrects_id IS NULL)"
            " THEN amount_minor > 0 ELSE amount_minor < 0 END",
            name="sign",
        ),
        CheckConstraint("(kind = 'payment') = (method IS NOT NULL)", name="method_of_payment"),
        CheckConstraint("(kind IN ('refund', 'chargeback')) = (takes_back_id IS NOT NULL)", name="taken_back"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency"),
        Index("uq_account_lines_corrects", "clinic_id", "corrects_id", unique=True),
        # What Stripe did is entered once, however often we hear of it.
        Index(
            "uq_account_lines_source", "clinic_id", "kind", "source_id", unique=True,
            postgresql_where="source_id IS NOT NULL AND corrects_id IS NULL",
        ),
        Index("ix_account_lines_patient", "clinic_id", "patient_id", "dated_on"),
        Index("ix_account_lines_takes_back", "clinic_id", "takes_back_id"),
    )  # fmt: skip
    patient_id: Mapped[UUID]
    kind: Mapped[str]
    method: Mapped[str | None]
    description: Mapped[str]
    dated_on: Mapped[date]
    amount_minor: Mapped[int]
    currency: Mapped[str]
    entered_at: Mapped[datetime]
    corrects_id: Mapped[UUID | None]
    takes_back_id: Mapped[UUID | None]  # the payment's line
    source_id: Mapped[str | None]  # Stripe's charge, refund or dispute
