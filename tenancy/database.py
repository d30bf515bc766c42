"""The database: typed models, one transaction per piece of work, and the statement that says who is asking.

Every transaction begins with one round trip of literal SET LOCALs: the role to take, the open clinic, the person and
the time.
Outside a clinic the login role remains, which may read the directory of clinics and nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID, uuid4

from flask import has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    MetaData,
    Select,
    Text,
    event,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, SessionTransaction, mapped_column, registry

from tenancy import clock, tenant

QUEUE_SCHEMA = "q"
# Sorted and compared byte by byte on every server: for folded text that is paged or searched by its beginning.
Folded = Text(collation="C")
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every model's parent. Text has no length of its own; lengths are rules and stand as checks."""

    registry = registry(
        metadata=MetaData(naming_convention=NAMING),
        type_annotation_map={
            str: Text(),
            int: BigInteger(),
            datetime: DateTime(timezone=True),
        },
    )


db = SQLAlchemy(
    model_class=Base,
    disable_autonaming=True,
    session_options={
        "autobegin": False,  # a query outside transaction() is an error, not a silent transaction
        "expire_on_commit": False,
        # Lets tests wrap a transaction around everything; without an outer one it changes nothing.
        "join_transaction_mode": "create_savepoint",
    },
)


class ClinicOwned:
    """A row that belongs to the clinic it was made in. Its key begins with the clinic."""

    clinic_id: Mapped[UUID] = mapped_column(
        ForeignKey("clinics.id"), primary_key=True, default=tenant.current_clinic_id, sort_order=-2
    )
    id: Mapped[UUID] = mapped_column(
        primary_key=True, default=uuid4, server_default=text("gen_random_uuid()"), sort_order=-1
    )


def same_clinic(column: str, table: str, *, on_delete: str | None = None) -> ForeignKeyConstraint:
    """A reference that can only point inside the same clinic: foreign-key checks ignore row security."""
    return ForeignKeyConstraint(
        ["clinic_id", column], [f"{table}.clinic_id", f"{table}.id"], ondelete=on_delete
    )


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """A check that a text column holds one of an enum's words."""
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def text_up_to(column: str, longest: int) -> CheckConstraint:
    """A check that a text column is neither blank nor longer than `longest` characters."""
    return CheckConstraint(f"length({column}) BETWEEN 1 AND {longest}", name=f"{column}_length")


Entities = TypeVar("Entities", bound=Select[Any])


@contextmanager
def transaction() -> Iterator[Session]:
    """One unit of work for the outermost layer: a view, a job, a command. Commits at the end, or nothing stays."""
    session = db.session()
    if session.in_transaction():
        raise RuntimeError("A transaction is already running; only the outermost layer opens one.")
    with session.begin():
        yield session


def locked(statement: Entities) -> Entities:
    """The same rows, locked until the end of the transaction and read afresh once the lock is held."""
    return statement.with_for_update(key_share=True).execution_options(populate_existing=True)


def afresh(statement: Entities) -> Entities:
    """The same rows as they stand now, also where an earlier transaction of this session read them."""
    return statement.execution_options(populate_existing=True)


def is_running() -> bool:
    """Whether a transaction is running in this application context; outside one, none can be."""
    return has_app_context() and db.session().in_transaction()


def who_is_asking(asking: tenant.Tenant | None) -> str:
    """The literal statement sent at the start of a transaction. Ids are UUID objects and a hash is bytes, so nothing can be
    smuggled in.

    The time goes along (`app.now()` in SQL): what ends when is judged by one clock, ours.
    """
    role, clinic_id, portal_user_id, staff_member_id, link_hash = "NONE", "", "", "", ""
    if asking is not None:
        role = tenant.Role(asking.role).value
        clinic_id = str(UUID(str(asking.clinic_id)))
        portal_user_id = str(UUID(str(asking.portal_user_id))) if asking.portal_user_id else ""
        staff_member_id = str(UUID(str(asking.staff_member_id))) if asking.staff_member_id else ""
        link_hash = bytes(asking.link_hash).hex() if asking.link_hash else ""
    return (
        f"SET LOCAL ROLE {role}; SET LOCAL app.clinic_id = '{clinic_id}'; "
        f"SET LOCAL app.portal_user_id = '{portal_user_id}'; SET LOCAL app.staff_member_id = '{staff_member_id}'; "
        f"SET LOCAL app.link_hash = '{link_hash}'; SET LOCAL app.now = '{clock.now().isoformat()}'; "
        f"SET LOCAL search_path = public, {QUEUE_SCHEMA}"
    )


@event.listens_for(Session, "after_begin")
def _tell_who_is_asking(session: Session, begun: SessionTransaction, connection: Connection) -> None:
    if not begun.nested:
        connection.exec_driver_sql(who_is_asking(tenant.find_current()))
