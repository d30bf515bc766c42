"""What a clinic's letters wear: the Portal Email Reply-To, used only once confirmed by a mailed link."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from tenancy import clock, tenant
from tenancy.database import Base, db, locked


class Letterhead(Base):
    __tablename__ = "letterheads"

    clinic_id: Mapped[UUID] = mapped_column(
        ForeignKey("clinics.id"), primary_key=True, default=tenant.current_clinic_id
    )
    reply_to: Mapped[str | None]
    confirmed_at: Mapped[datetime | None]

    @property
    def reply_to_in_use(self) -> str | None:
        return self.reply_to if self.confirmed_at else None


def of_clinic(*, lock: bool = False) -> Letterhead:
    """The open clinic's letterhead; locked before its confirmation link is."""
    return db.session.scalars(locked(select(Letterhead)) if lock else select(Letterhead)).one()


def confirm() -> None:
    """From now on replies go to the address that was asked for."""
    of_clinic().confirmed_at = clock.now()
