"""The buckets: a row each, in the database, so that every process counts in the same ones and a restart forgets none.

A row's id is the HMAC of what it counts, so the tables hold no address that was ever typed. Rows are locked in the order
of their ids. A clinic's buckets stand inside it; those of a network at all clinics stand outside, for the role
`portico_throttle` alone, which may touch nothing else.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from clinic.throttle.allowances import Allowance, Counted
from tenancy import clinics, clock, jobs, keys, tenant
from tenancy.database import Base, ClinicOwned, db, transaction
from tenancy.tenant import Role

ROLE = "portico_throttle"


class ClinicBucket(ClinicOwned, Base):
    __tablename__ = "throttle_buckets"

    drained_at: Mapped[datetime]
    free_at: Mapped[datetime]


class PlatformBucket(Base):
    __tablename__ = "platform_throttle_buckets"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    drained_at: Mapped[datetime]
    free_at: Mapped[datetime]


Table = type[ClinicBucket] | type[PlatformBucket]


@dataclass(frozen=True)
class Bucket:
    id: UUID
    counted: Counted
    allowance: Allowance


@dataclass(frozen=True)
class Filling:
    """How full a bucket is: empty again at `drained_at`; closed until `free_at`."""

    drained_at: datetime
    free_at: datetime


def id_of(key: bytes, *parts: str) -> UUID:
    """The id of the bucket that counts this."""
    return UUID(bytes=keys.digest(key, "\0".join(parts).encode("utf-8", "surrogatepass"))[:16])


def held(table: Table, buckets: Sequence[Bucket]) -> dict[UUID, Filling]:
    """Lock the buckets until the end of the transaction, making those that are not there."""
    now = clock.now()
    statement = insert(table).values([_row(table, each.id, Filling(now, now)) for each in _in_order(buckets)])
    statement = statement.on_conflict_do_update(index_elements=_key(table), set_={"free_at": table.free_at})
    rows = db.session.execute(statement.returning(table.id, table.drained_at, table.free_at))
    return {row.id: Filling(row.drained_at, row.free_at) for row in rows}


def write(table: Table, fillings: dict[UUID, Filling]) -> None:
    """For buckets that are held."""
    statement = insert(table).values([_row(table, id_, filling) for id_, filling in sorted(fillings.items())])
    written = {name: statement.excluded[name] for name in ("drained_at", "free_at")}
    db.session.execute(statement.on_conflict_do_update(index_elements=_key(table), set_=written))


@contextmanager
def outside() -> Iterator[Session]:
    """A transaction among the platform's own buckets, outside every clinic."""
    with clinics.nobody_asking(), transaction() as session:
        session.connection().exec_driver_sql(f"SET LOCAL ROLE {ROLE}")
        yield session


@jobs.every_clinic("throttle.forget_drained", "17 * * * *", Role.DOOR)
def forget_drained() -> None:
    """A bucket that is empty says nothing any more."""
    with transaction():
        _forget(ClinicBucket)


@jobs.periodically("throttle.forget_drained_outside", "47 * * * *")
def forget_drained_outside() -> None:
    with outside():
        _forget(PlatformBucket)


def _forget(table: Table) -> None:
    now = clock.now()
    db.session.execute(delete(table).where(table.drained_at < now, table.free_at < now))


def _in_order(buckets: Sequence[Bucket]) -> list[Bucket]:
    return sorted(buckets, key=lambda bucket: bucket.id)


def _key(table: Table) -> list[str]:
    return [column.name for column in table.__table__.primary_key]


def _row(table: Table, id_: UUID, filling: Filling) -> dict[str, object]:
    row: dict[str, object] = {"id": id_, "drained_at": filling.drained_at, "free_at": filling.free_at}
    return row | ({"clinic_id": tenant.current_clinic_id()} if table is ClinicBucket else {})
