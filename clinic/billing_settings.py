"""How the clinic bills: whether part of an invoice may be paid, whether a mailed link may pay, who must agree to a refund.

Its one surprise: the next invoice number is kept here, so that numbers have no gaps: whoever issues holds this row
until the transaction ends, and a number that was not used is given to the next.
"""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import CheckConstraint, ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from clinic import audit
from tenancy import tenant
from tenancy.database import Base, db, locked
from tenancy.errors import Refused

FIRST_NUMBER = 1001
NOTICE_DAYS = range(1, 15)


class BillingSettings(Base):
    __tablename__ = "billing_settings"
    __table_args__ = (
        CheckConstraint("next_invoice_number > 0", name="next_invoice_number"),
        CheckConstraint("refund_limit_minor >= 0", name="refund_limit"),
        CheckConstraint("autopay_notice_days BETWEEN 1 AND 14", name="autopay_notice_days"),
    )

    clinic_id: Mapped[UUID] = mapped_column(
        ForeignKey("clinics.id"), primary_key=True, default=tenant.current_clinic_id
    )
    next_invoice_number: Mapped[int] = mapped_column(default=FIRST_NUMBER)
    allows_partial: Mapped[bool] = mapped_column(default=False)  # families may pay a part of an invoice
    pays_by_link: Mapped[bool] = mapped_column(default=False)  # whoever opens a mailed invoice may pay without signing in
    refund_limit_minor: Mapped[int | None]  # above this a second person confirms; None: nobody has to
    autopay_notice_days: Mapped[int] = mapped_column(default=3)  # from the letter until the card is charged


@dataclass(frozen=True)
class BillingDetails:
    """What an administrator sets."""

    allows_partial: bool
    pays_by_link: bool
    refund_limit_minor: int | None
    autopay_notice_days: int


def get() -> BillingSettings:
    """The open clinic's."""
    return db.session.scalars(select(BillingSettings)).one()


def allows_partial() -> bool:
    """Whether families may pay a part of what is due."""
    return db.session.scalars(select(BillingSettings.allows_partial)).one()


def pays_by_link() -> bool:
    """Whether whoever follows a mailed invoice may pay it without signing in."""
    return db.session.scalars(select(BillingSettings.pays_by_link)).one()


def autopay_notice_days() -> int:
    return db.session.scalars(select(BillingSettings.autopay_notice_days)).one()


def save(details: BillingDetails) -> None:
    """Change how the open clinic bills; from the next request on. Recorded with what was before. Raises Refused."""
    if details.autopay_notice_days not in NOTICE_DAYS:
        raise Refused(_l("Choose from 1 to 14 days."), field="autopay_notice_days")
    settings = db.session.scalars(locked(select(BillingSettings))).one()
    changed: dict[str, Any] = {
        name: [getattr(settings, name), value]
        for name, value in asdict(details).items()
        if getattr(settings, name) != value
    }
    for name, (_before, value) in changed.items():
        setattr(settings, name, value)
    db.session.flush()
    if changed:
        audit.record("billing_settings.saved", **changed)


def stock() -> None:
    """Give a new clinic its own."""
    db.session.add(BillingSettings())
    db.session.flush()


def take_invoice_number() -> int:
    """The next number of the open clinic; whoever issues next waits for this transaction's end."""
    settings = db.session.scalars(
        # Stronger than a key share: two who issue at once must not read the same number.
        select(BillingSettings).with_for_update().execution_options(populate_existing=True)
    ).one()
    number = settings.next_invoice_number
    settings.next_invoice_number = number + 1
    db.session.flush()
    return number
