"""The audit log: what was done, by whom, about whom. Appended in the transaction of the thing itself, never changed.

Events are `noun.past_participle`. Details hold ids, settings and counts; never a name, a birth date or a health fact.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from clinic import actors
from clinic.actors import ActorKind
from tenancy import clock, tenant
from tenancy.database import Base, ClinicOwned, db, one_of


class AuditEntry(ClinicOwned, Base):
    __tablename__ = "audit_entries"
    __table_args__ = (
        one_of("actor_kind", ActorKind),
        Index("ix_audit_entries_at", "clinic_id", "at"),
        Index("ix_audit_entries_patient", "clinic_id", "patient_id", "at"),
    )
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    event: Mapped[str]
    patient_id: Mapped[UUID | None]  # no reference: the log outlives what it speaks of
    subject_id: Mapped[UUID | None]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)


def record(
    event: str, *, subject_id: UUID | None = None, patient_id: UUID | None = None, **details: Any
) -> None:
    """Append one entry for the present actor."""
    actor = actors.current()
    db.session.execute(
        insert(AuditEntry).values(
            clinic_id=tenant.current_clinic_id(),
            at=clock.now(),
            actor_kind=actor.kind,
            actor_id=actor.id,
            actor_name=actor.name,
            event=event,
            patient_id=patient_id,
            subject_id=subject_id,
            details=details,
        )
    )


def record_refusal(page: str, ids: dict[str, Any]) -> None:
    """Somebody signed in asked for what is not there for them: another family's, another clinic's, or nothing at all."""
    record("access.refused", page=page, ids={name: str(value) for name, value in ids.items() if isinstance(value, UUID)})
