"""Writing the audit log.

Events are `noun.past_participle`. Details hold ids, settings and counts; never a name, a birth date or a health fact.
A look at a record is an event too: `shown` marks (ui/recording.py) have the faces write one for each page.
"""

from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CheckConstraint, FetchedValue, Index, Table
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column

from clinic import actors
from clinic.actors import ActorKind
from tenancy import clock, requests, tenant
from tenancy.database import Base, ClinicOwned, db, one_of


class Result(StrEnum):
    DONE = "done"
    REFUSED = "refused"  # somebody was told no
    FAILED = "failed"  # an error of ours


class AuditEntry(ClinicOwned, Base):
    __tablename__ = "audit_entries"
    __table_args__ = (
        one_of("actor_kind", ActorKind),
        one_of("result", Result),
        CheckConstraint("num_nulls(number, previous_hash, hash) IN (0, 3)", name="chained"),
        Index("uq_audit_entries_number", "clinic_id", "number", unique=True),
        Index("ix_audit_entries_at", "clinic_id", "at"),
        Index("ix_audit_entries_patient", "clinic_id", "patient_id", "at"),
        Index("ix_audit_entries_actor", "clinic_id", "actor_id", "at"),
    )
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_role: Mapped[str | None]  # a staff member's role then; portal, operator, visitor or job for the others
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    event: Mapped[str]
    result: Mapped[str] = mapped_column(server_default=Result.DONE)
    patient_id: Mapped[UUID | None]  # no reference: the log outlives what it speaks of
    subject_id: Mapped[UUID | None]
    request_id: Mapped[UUID | None]
    address: Mapped[str | None]  # where on the network the request came from
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    # Written by the database alone, as the transaction commits: clinic/audit/chain.py.
    number: Mapped[int | None] = mapped_column(server_default=FetchedValue())
    previous_hash: Mapped[bytes | None] = mapped_column(server_default=FetchedValue())
    hash: Mapped[bytes | None] = mapped_column(server_default=FetchedValue())


_APPEND = insert(cast(Table, AuditEntry.__table__))  # the bare table: no entity is made, only a row
# Without a target, so that it needs no right to read: what is there already is passed over.
_APPEND_ONCE = _APPEND.on_conflict_do_nothing()


def record(
    event: str,
    *,
    subject_id: UUID | None = None,
    patient_id: UUID | None = None,
    result: Result = Result.DONE,
    **details: Any,
) -> None:
    """Append one entry for the present actor."""
    db.session.execute(_APPEND, _entry(event, subject_id, patient_id, result, details))


def record_view(
    event: str, *, subject_id: UUID | None, patient_ids: tuple[UUID, ...] = (), once_in: UUID | None = None
) -> None:
    """The present actor was shown something of these patients' records; a file only once in a session (`once_in`)."""
    one = patient_ids[0] if len(patient_ids) == 1 else None
    details = {"patients": [str(each) for each in patient_ids]} if len(patient_ids) > 1 else {}
    entry = _entry(event, subject_id, one, Result.DONE, details)
    if once_in:
        db.session.execute(_APPEND_ONCE, {**entry, "id": _only_id(once_in, event, subject_id)})
    else:
        db.session.execute(_APPEND, entry)


def record_refusal(page: str, ids: dict[str, Any]) -> None:
    """Somebody signed in asked for what is not there for them: another family's, another clinic's, or nothing at all."""
    record("access.refused", result=Result.REFUSED, page=page, ids=_ids_of(ids))


def record_failure(page: str, ids: dict[str, Any]) -> None:
    """Somebody signed in asked for a page that broke."""
    record("access.failed", result=Result.FAILED, page=page, ids=_ids_of(ids))


def stamp() -> dict[str, Any]:
    """Who acts, and in which request: the columns that every entry of this moment shares."""
    actor, request = actors.current(), requests.find_current()
    return {
        "clinic_id": tenant.current_clinic_id(),
        "at": clock.now(),
        "actor_kind": actor.kind,
        "actor_role": actor.role or _role_without_name(actor.kind, in_request=request is not None),
        "actor_id": actor.id,
        "actor_name": actor.name,
        "request_id": request.id if request else None,
        "address": request.address if request else None,
    }


def _entry(
    event: str, subject_id: UUID | None, patient_id: UUID | None, result: Result, details: dict[str, Any]
) -> dict[str, Any]:
    entry = {"event": event, "result": result, "patient_id": patient_id, "subject_id": subject_id, "details": details}
    return {**stamp(), **entry}


def _only_id(session_id: UUID, event: str, subject_id: UUID | None) -> UUID:
    """The same for the same look in the same session, and as hard to guess as any other id."""
    return UUID(bytes=sha256(f"{session_id} {event} {subject_id}".encode()).digest()[:16])


def _role_without_name(kind: str, *, in_request: bool) -> str:
    if kind == ActorKind.PORTAL_USER:
        return "portal"
    if kind == ActorKind.SYSTEM:
        return "visitor" if in_request else "job"
    return str(kind)


def _ids_of(values: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if isinstance(value, UUID)}
