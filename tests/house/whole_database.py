"""Every row of every clinic, as the server's administrator sees them: what only a test may do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from flask import Flask

from tests.conftest import Cluster

Connection = psycopg.Connection[tuple[Any, ...]]
# What a look at a page may write: when it was, that it was, and how far a conversation was read.
OF_LOOKING = ("sessions", "audit_entries")
READ_UNTIL = ("family_read_at", "clinic_read_at")


@contextmanager
def opened(cluster: Cluster, app: Flask) -> Iterator[Connection]:
    """The committed database of this application."""
    with psycopg.connect(cluster.url_of(app.config["PORTICO"]), autocommit=True) as connection:
        yield connection


def tables(connection: Connection) -> list[str]:
    """The tables whose rows belong to a clinic."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'clinic_id' "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1"
    )
    return [row[0] for row in rows]


def fingerprints(
    connection: Connection,
    clinic_id: UUID | None = None,
    *,
    but: tuple[str, ...] = (),
    but_columns: tuple[str, ...] = (),
) -> dict[str, str]:
    """Table → a hash of its rows, of one clinic or of all."""
    which = f"WHERE clinic_id = '{clinic_id}'" if clinic_id else ""
    row = f"(to_jsonb(t) - '{{{','.join(but_columns)}}}'::text[])::text" if but_columns else "t::text"
    found = {}
    for table in tables(connection):
        if table not in but:
            query = f"SELECT md5(coalesce(string_agg({row}, '|' ORDER BY {row}), '')) FROM {table} t {which}"
            found[table] = connection.execute(query.encode()).fetchone()[0]  # type: ignore[index]
    return found


def plant(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(statement.encode())
