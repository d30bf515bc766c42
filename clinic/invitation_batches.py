"""Inviting patients' contacts: choose pairs, read the warnings, confirm once, and see each row's fate.

A batch is a draft until confirmed, then carried out in chunks of one statement (carrying_out.sql): one contact or ten
thousand are the same action. Rows are judged again then; a bad one holds up no other. Confirming twice carries out once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib.resources import files
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import Boolean, ForeignKey, Index, Select, func, insert, literal, select
from sqlalchemy.orm import Mapped, mapped_column

from clinic import actors, audit, mailed_links
from clinic.actors import Actor, ActorKind
from clinic.contacts import Contact, Relationship
from clinic.invitation_list import matching
from clinic.patients import Patient
from mail import outbox
from tenancy import clock, jobs, keys, link_tokens, tenant
from tenancy.database import Base, ClinicOwned, db, locked, one_of, same_clinic, transaction
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role

CHUNK = 2000
AT_ONCE = 200  # up to so many are carried out while the person waits
TAKEN_UP_AFTER = timedelta(minutes=2)
CARRY_OUT = "clinic.carry_out_invitations"
_HMAC_BLOCK_BYTES = 64
_STATEMENT = files("clinic").joinpath("carrying_out.sql").read_text()


class Fate(StrEnum):
    INVITED = "invited"
    ACCESS_ADDED = "access_added"  # an active portal user; no new password
    HAS_ACCESS = "has_access"
    GONE = "gone"
    NO_ADDRESS = "no_address"
    ADDRESS_CHANGED = "address_changed"  # since the confirmation was read
    DO_NOT_INVITE = "do_not_invite"
    CUSTODY_BLOCK = "custody_block"
    INACTIVE_PATIENT = "inactive_patient"
    DEACTIVATED = "deactivated"


GOOD_FATES = (Fate.INVITED, Fate.ACCESS_ADDED)


class InvitationBatch(ClinicOwned, Base):
    __tablename__ = "invitation_batches"
    __table_args__ = (same_clinic("made_by_id", "staff_members"),)

    made_by_id: Mapped[UUID | None]
    made_at: Mapped[datetime]
    total: Mapped[int]
    done: Mapped[int] = mapped_column(default=0)
    confirmed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    @property
    def is_draft(self) -> bool:
        return self.confirmed_at is None

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None


class BatchRow(Base):
    """A chosen pair. Plain ids: the row outlives the relationship it names."""

    __tablename__ = "invitation_batch_rows"
    __table_args__ = (
        same_clinic("batch_id", "invitation_batches", on_delete="CASCADE"),
        one_of("fate", Fate),
        Index("ix_invitation_batch_rows_open", "clinic_id", "batch_id", "position", postgresql_where="fate IS NULL"),
    )
    clinic_id: Mapped[UUID] = mapped_column(
        ForeignKey("clinics.id"), primary_key=True, default=tenant.current_clinic_id
    )
    batch_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    relationship_id: Mapped[UUID]
    contact_id: Mapped[UUID]
    patient_id: Mapped[UUID]
    email_norm: Mapped[str]  # as confirmed: another address is not invited
    fate: Mapped[str | None]


# A custody block keeps this contact from this patient, whether or not there is access already.
IS_BLOCKED = func.is_under_custody_block(
    BatchRow.clinic_id, BatchRow.patient_id, BatchRow.contact_id, BatchRow.email_norm, type_=Boolean
)


@dataclass(frozen=True)
class ChosenRow:
    """A row as the confirmation and the result list it."""

    position: int
    contact_name: str
    patient_name: str
    email: str
    do_not_invite: bool
    is_blocked: bool
    fate: str | None


def get(batch_id: UUID) -> InvitationBatch:
    """Raises NotFound."""
    batch = db.session.scalars(select(InvitationBatch).where(InvitationBatch.id == batch_id)).one_or_none()
    if batch is None:
        raise NotFound("invitation batch")
    return batch


def rows(batch_id: UUID, *, after: int = 0, limit: int = 200, bad_only: bool = False) -> list[ChosenRow]:
    """Rows of a batch in order; `bad_only` leaves out those that were invited."""
    statement = (
        select(
            BatchRow.position,
            func.coalesce(Contact.name, ""),
            func.coalesce(Patient.name, ""),
            BatchRow.email_norm,
            func.coalesce(Contact.do_not_invite, False),
            IS_BLOCKED,
            BatchRow.fate,
        )
        .outerjoin(Contact, (Contact.clinic_id == BatchRow.clinic_id) & (Contact.id == BatchRow.contact_id))
        .outerjoin(Patient, (Patient.clinic_id == BatchRow.clinic_id) & (Patient.id == BatchRow.patient_id))
        .where(BatchRow.batch_id == batch_id, BatchRow.position > after)
        .order_by(BatchRow.position)
        .limit(limit)
    )
    if bad_only:
        statement = statement.where(BatchRow.fate.not_in(GOOD_FATES))
    return [ChosenRow(*row) for row in db.session.execute(statement)]


def fates(batch_id: UUID) -> dict[Fate, int]:
    """How many rows met which fate so far."""
    counted = db.session.execute(
        select(BatchRow.fate, func.count())
        .where(BatchRow.batch_id == batch_id, BatchRow.fate.is_not(None))
        .group_by(BatchRow.fate)
    )
    return {Fate(fate): count for fate, count in counted if fate}


def choose(relationship_ids: list[UUID]) -> InvitationBatch:
    """A draft of the pairs ticked; also of such as cannot be invited any more, so that the result says so.

    Raises Refused when none of them is this clinic's.
    """
    return _draft(_pairs().where(Relationship.id.in_(relationship_ids)))


def choose_matching(typed: str) -> InvitationBatch:
    """A draft of every invitable pair that the search matches, however many. Raises Refused when there is none."""
    return _draft(matching(_pairs().where(Relationship.is_invitable), typed))


def confirm(batch_id: UUID) -> InvitationBatch:
    """"Yes, Continue". The first press carries out (many: in the background); a second changes nothing."""
    batch = _locked(batch_id)
    if batch.is_draft:
        batch.confirmed_at = clock.now()
        audit.record("invitation_batch.confirmed", subject_id=batch.id, rows=batch.total)
        db.session.flush()
        if batch.total <= AT_ONCE:
            while not batch.is_finished:
                carry_out_chunk(batch)
        else:
            jobs.enqueue(CARRY_OUT, batch_id=str(batch.id))
    return batch


@jobs.in_clinic(CARRY_OUT, Role.STAFF, retry=jobs.PATIENT)
def carry_out(batch_id: str) -> None:
    """Chunk by chunk, each in a transaction of its own, so that the page sees it grow and a kill loses one chunk.

    Raises NotFound for a batch that is not this clinic's, or that nobody confirmed.
    """
    finished = False
    while not finished:
        with transaction():
            batch = _locked(UUID(batch_id))
            if batch.is_draft:
                raise NotFound("confirmed invitation batch")
            carry_out_chunk(batch)
            finished = batch.is_finished


@jobs.every_clinic("clinic.finish_invitations", "* * * * *", Role.STAFF)
def finish() -> None:
    """Take up batches whose job died: rows that have their fate keep it."""
    with transaction():
        left = db.session.scalars(
            select(InvitationBatch.id).where(
                InvitationBatch.confirmed_at < clock.now() - TAKEN_UP_AFTER, InvitationBatch.finished_at.is_(None)
            )
        ).all()
    for batch_id in left:
        carry_out(str(batch_id))


def carry_out_chunk(batch: InvitationBatch, chunk: int = CHUNK) -> None:
    """Judge and invite the next rows, post their letters, record their fates."""
    if batch.is_finished:
        return
    given_by = batch.made_by_id
    with actors.acting(Actor(ActorKind.STAFF, given_by) if given_by else actors.SYSTEM):
        stamp = audit.stamp()
    now = clock.now()
    inner, outer = _hmac_pads(keys.signing_key(link_tokens.KEY_PURPOSE))
    decided, given = _execute(
        batch.total > AT_ONCE,
        {
            **stamp,
            "batch_id": batch.id,
            "chunk": chunk,
            "now": now,
            "expires_at": now + mailed_links.LASTS[Purpose.INVITATION],
            "given_by": given_by,
            "inner": inner,
            "outer": outer,
        },
    )
    if given:
        outbox.announce()
    batch.done += decided
    # Without a decision it goes on only if a row is left to decide: one that lost a race for a new portal user.
    if batch.done >= batch.total or not (decided or _is_left(batch.id)):
        batch.finished_at = now
    db.session.flush()


def _is_left(batch_id: UUID) -> bool:
    """Whether a row has no fate yet."""
    undecided = select(BatchRow.position).where(BatchRow.batch_id == batch_id, BatchRow.fate.is_(None)).limit(1)
    return db.session.scalars(undecided).first() is not None


def _locked(batch_id: UUID) -> InvitationBatch:
    """Raises NotFound."""
    batch = db.session.scalars(locked(select(InvitationBatch).where(InvitationBatch.id == batch_id))).one_or_none()
    if batch is None:
        raise NotFound("invitation batch")
    return batch


def _execute(is_large: bool, values: dict[str, Any]) -> tuple[int, int]:
    connection = db.session.connection()
    if is_large:
        connection.exec_driver_sql("SET LOCAL enable_nestloop = off")
    result = connection.exec_driver_sql(_STATEMENT, values).one()
    if is_large:
        connection.exec_driver_sql("SET LOCAL enable_nestloop = on")
    return int(result[0]), int(result[1])


def _hmac_pads(key: bytes) -> tuple[bytes, bytes]:
    """RFC 2104's inner and outer key blocks, so that SQL can finish the HMAC of each link id."""
    block = key.ljust(_HMAC_BLOCK_BYTES, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def _pairs() -> Select[Any]:
    return (
        select(
            # Same addresses side by side, so that one person's pairs share a chunk and a letter.
            func.row_number().over(order_by=(Contact.email_norm, Relationship.list_key, Relationship.id)),
            Relationship.id,
            Contact.id,
            Relationship.patient_id,
            func.coalesce(Contact.email_norm, ""),
        )
        .select_from(Relationship)
        .join(Contact, (Contact.clinic_id == Relationship.clinic_id) & (Contact.id == Relationship.contact_id))
    )


def _draft(pairs: Select[Any]) -> InvitationBatch:
    batch = InvitationBatch(made_by_id=actors.current().id, made_at=clock.now(), total=0)
    db.session.add(batch)
    db.session.flush()
    chosen = pairs.add_columns(literal(tenant.current_clinic_id()), literal(batch.id))
    columns = ["position", "relationship_id", "contact_id", "patient_id", "email_norm", "clinic_id", "batch_id"]
    # Without the option SQLAlchemy answers -1 for an INSERT.
    filled = insert(BatchRow).from_select(columns, chosen).execution_options(preserve_rowcount=True)
    batch.total = db.session.execute(filled).rowcount  # type: ignore[attr-defined]
    if not batch.total:
        raise Refused(_l("Choose at least one contact to invite."))
    db.session.flush()
    return batch
