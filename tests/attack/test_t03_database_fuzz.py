"""T03: thousands of random statements, as every role that the application takes, inside Oak Hill; Elm Street notices none.

Lost if it fails: a query that nobody thought of, by an injection or by a mistake, reads or changes the other clinic.
No value that comes back, no notice and no error holds one of Elm's canaries; Elm's rows are the same to the bit after
each; and without a clinic there is nothing to read and nothing can be written.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import psycopg
import pytest
from flask import Flask

from clinic import demo
from tenancy.tenant import Role
from tests.attack import statements
from tests.attack.statements import Catalogue, Writer
from tests.attack.test_t01_matrix import plant_canaries
from tests.conftest import Cluster
from tests.house import whole_database
from tests.house.whole_database import Connection, plant
from tests.inside import inside, user

# The login role reads the directory of clinics by design, and nothing else: that is asked further down.
ROLES = (*(role.value for role in Role), "portico_queue")
BUSY = ("portico_staff", "portico_portal", "portico_door")  # what nearly every request and job runs as
CANARY = re.compile(rf"cnry-{demo.ELM}", re.IGNORECASE)
DENIED = ("42501", "42P01")  # permission denied; a schema that the role may not look into
SEED = 20261125


@dataclass
class Town:
    """Both clinics in one database, each text of theirs with a canary, and its administrator's connection."""

    connection: Connection
    catalogue: Catalogue
    portal_user: Any
    notices: list[str] = field(default_factory=list)


@pytest.fixture
def town(cluster: Cluster, furnished_app: Flask) -> Iterator[Town]:
    with inside(furnished_app, demo.ELM) as clinic:
        elm = clinic.id
    with inside(furnished_app, demo.OAK) as clinic:
        oak, maria = clinic.id, user("maria@family.example").id
    with whole_database.opened(cluster, furnished_app) as connection:
        plant_canaries(connection)
        plant(connection, "ANALYZE")  # now the server's statistics hold canaries too
        standing = Town(connection, statements.read(connection, oak, elm), maria)
        connection.add_notice_handler(lambda notice: standing.notices.append(notice.message_primary or ""))
        yield standing


def fuzz(
    town: Town, number: int, *, seed: int = SEED, roles: tuple[str, ...] = (*ROLES, *BUSY, *BUSY), tables: list[str] | None = None
) -> tuple[list[str], Counter[str]]:
    """(what got out or was changed, how the statements ended)."""
    draw = Random(seed)
    writer = Writer(town.catalogue, draw, tables)
    before = whole_database.fingerprints(town.connection, town.catalogue.foreign_clinic)
    found, ended = [], Counter[str]()
    for _ in range(number):
        role = draw.choice(roles)
        statement = writer.statement(role)
        try:
            said, touched = run(town, role, statement)
            ended["ran"] += 1
            if touched and (changed := _changes(town, before)):
                found.append(f"{role} changed {changed}: {statement}")
        except psycopg.Error as error:
            said, ended[error.sqlstate or "?"] = f"{error} {error.diag.message_detail}", ended[error.sqlstate or "?"] + 1
        finally:
            town.connection.execute("ROLLBACK")
        if CANARY.search(said):
            found.append(f"{role} read Elm's: {statement}")
    assert _changes(town, before) == []
    return found, ended


def run(town: Town, role: str, statement: str, *, is_inside: bool = True) -> tuple[str, bool]:
    """(everything that came back, whether rows were written). Leaves the transaction open, as its administrator."""
    clinic, person = (town.catalogue.own_clinic, town.portal_user) if is_inside else ("", "")
    town.notices.clear()
    town.connection.execute(
        f"BEGIN; SET LOCAL statement_timeout = '5s'; SET LOCAL SESSION AUTHORIZATION portico; SET LOCAL ROLE {role}; "
        f"SET LOCAL app.clinic_id = '{clinic}'; SET LOCAL app.portal_user_id = '{person}'".encode()
    )
    cursor = town.connection.cursor()
    if statement.startswith("COPY"):
        with cursor.copy(statement.encode()) as copied:
            said = b"".join(bytes(each) for each in copied).decode("utf-8", "replace")
        return said, False
    cursor.execute(statement.encode())
    parts = [str(cursor.fetchall()) if cursor.description else ""]
    while cursor.nextset():
        parts.append(str(cursor.fetchall()) if cursor.description else "")
    writes = bool(re.match(r"INSERT|UPDATE|DELETE|MERGE|TRUNCATE|WITH changed|SELECT \* FROM (app|public)\.", statement))
    touched = writes and cursor.rowcount != 0
    if touched:
        town.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    town.connection.execute("RESET SESSION AUTHORIZATION")
    return " ".join((*parts, *town.notices)), touched


def _changes(town: Town, before: dict[str, str]) -> list[str]:
    now = whole_database.fingerprints(town.connection, town.catalogue.foreign_clinic)
    return sorted(table for table in before if before[table] != now[table])


def check(town: Town, number: int) -> None:
    found, ended = fuzz(town, number)
    assert not found, "\n".join(found)
    assert ended["ran"] > number / 5, ended  # or the statements are all refused, and prove nothing


def test_five_hundred_random_statements(town: Town) -> None:
    check(town, 500)


@pytest.mark.slow
def test_ten_thousand_random_statements(town: Town) -> None:
    check(town, 10_000)


def test_the_statements_are_of_every_kind_and_reach_every_table(town: Town) -> None:
    """Read by the administrator, whom nothing stops, they do find Elm's canaries."""
    writer = Writer(town.catalogue, Random(SEED))
    written = [writer.statement() for _ in range(3000)]
    for word in ("MERGE", "ON CONFLICT", "FOR UPDATE", "COPY", "LATERAL", "TRUNCATE", "RAISE", "app.live_access", "pg_stats"):
        assert any(word in each for each in written), word
    assert all(any(re.search(rf"\b{table}\b", each) for each in written) for table in town.catalogue.tables)
    reading = [each for each in written if each.startswith("SELECT t.")][:60]
    met = 0
    for statement in reading:
        try:
            met += bool(CANARY.search(str(town.connection.execute(statement.encode()).fetchall())))
        except psycopg.Error:
            continue
    assert met > 5


def test_without_a_clinic_there_is_nothing_to_read_and_nothing_can_be_written(town: Town) -> None:
    for role in (*ROLES, "portico"):
        writer = Writer(town.catalogue, Random(SEED))
        for table in sorted(town.catalogue.tables):
            writer.tables = [table]
            if (role, table) not in {("portico", "clinics"), ("portico", "clinic_addresses")}:  # the directory
                assert _outcome(town, role, f"SELECT * FROM {table}") in ("", *DENIED), (role, table)
            for write in (writer.insert(), f"DELETE FROM {table}", f"UPDATE {table} SET {writer.assignment(table)}"):
                assert _outcome(town, role, write) != "written", (role, write)


def _outcome(town: Town, role: str, statement: str) -> str:
    """"" for no row, "rows", "written", or the error's code."""
    try:
        said, touched = run(town, role, statement, is_inside=False)
    except psycopg.Error as error:
        return error.sqlstate or "?"
    finally:
        town.connection.execute("ROLLBACK")
    return "written" if touched else "" if said.strip() in ("", "[]") else "rows"


PLANTED = {
    "a policy that shows everybody's": ("ALTER POLICY clinic ON contacts USING (true)", "contacts"),
    "a policy that takes what is somebody else's": ("ALTER POLICY clinic ON invitation_batches WITH CHECK (true)", "invitation_batches"),
    "a view that runs as its owner": (
        "CREATE VIEW all_contacts AS SELECT * FROM contacts; GRANT SELECT ON all_contacts TO portico_staff",
        "all_contacts",
    ),
    "row security that was taken off": ("ALTER TABLE contacts DISABLE ROW LEVEL SECURITY", "contacts"),
    "a right to empty the table": ("GRANT TRUNCATE ON message_attachments TO portico_staff", "message_attachments"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted(town: Town, name: str) -> None:
    statement, table = PLANTED[name]
    plant(town.connection, statement)
    town.catalogue = statements.read(town.connection, town.catalogue.own_clinic, town.catalogue.foreign_clinic)
    found, _ended = fuzz(town, 600, roles=("portico_staff",), tables=[table])
    assert found


def test_planted_a_function_that_runs_as_its_owner(town: Town) -> None:
    plant(
        town.connection,
        "CREATE FUNCTION app.every_contact() RETURNS SETOF contacts LANGUAGE sql STABLE SECURITY DEFINER "
        "AS $$ SELECT * FROM contacts $$",
    )
    town.catalogue = replace(town.catalogue, functions=[("app.every_contact", [])])
    found, _ended = fuzz(town, 150, roles=("portico_portal",))
    assert any("app.every_contact" in each for each in found)
