"""An application on one connection: what it commits are savepoints, and all of it is undone after the test.

Two round trips in three would then be savepoints, released and rolled back. So they wait for the statement that
follows, and go to the server in one message with it. They are sent below psycopg, which forgets its prepared statements
at every rollback, lest one undid DDL; at the end of the test it forgets them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from flask import Flask
from psycopg import pq
from sqlalchemy import event

from tenancy.database import db

WAITING = ("SAVEPOINT ", "RELEASE SAVEPOINT ")
BACK = "ROLLBACK TO SAVEPOINT "
BEGINNING = "SET LOCAL ROLE "  # how each transaction of ours begins, without values


@contextmanager
def rolled_back(app: Flask) -> Iterator[None]:
    """Whatever the application commits in this block is undone after it."""
    with app.app_context():
        engines = db._app_engines[app]
        engine = db.engine
    savepoints = _Savepoints()
    event.listen(engine, "do_execute", savepoints.before)
    with engine.connect() as connection:
        outer = connection.begin()
        # What waits for a commit in production is done at once here, where none ever comes: audit entries are chained.
        connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        engines[None] = connection  # type: ignore[assignment]
        try:
            yield
        finally:
            engines[None] = engine
            event.remove(engine, "do_execute", savepoints.before)
            outer.rollback()


@contextmanager
def undone(app: Flask) -> Iterator[None]:
    """Whatever a request changes in this block is as before after it."""
    savepoint = db._app_engines[app][None].begin_nested()  # type: ignore[union-attr]
    try:
        yield
    finally:
        savepoint.rollback()


class _Savepoints:
    """Those that wait."""

    def __init__(self) -> None:
        self.waiting: list[str] = []

    def before(self, cursor: Any, statement: str, _parameters: Any, _context: Any) -> bool:
        """Before each statement; whether it needs no sending any more."""
        if statement.startswith(WAITING):
            self.waiting.append(statement)
            return True
        if statement.startswith(BACK) and (made := "SAVEPOINT " + statement.removeprefix(BACK)) in self.waiting:
            del self.waiting[self.waiting.index(made) :]  # nothing was done since
            return True
        goes_along = statement.startswith((BACK, BEGINNING))
        if goes_along:
            self.waiting.append(statement)
        together, self.waiting = self.waiting, []
        if together:
            _send(cursor.connection, "; ".join(together))
        return goes_along


def _send(connection: psycopg.Connection[Any], statements: str) -> None:
    result = connection.pgconn.exec_(statements.encode())
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise psycopg.errors.lookup(result.error_field(pq.DiagnosticField.SQLSTATE).decode())(result.error_message.decode())
