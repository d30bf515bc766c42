"""How fast a large clinic invites: `.venv/bin/python -m benchmarks.inviting [--contacts 100000] [--invited 10000]`.

Prints the invite list's first, middle and nearly exhausted page in milliseconds (flat is the goal: keyset paging over
an index of the invitable pairs alone), and inviting as a ratio to the bare INSERT … SELECT of the same rows into the
same tables, without checks, tokens, fates or audit (goal: at most 2.5 ×). Ours counts what the commit does besides: the
audit log's chain. Both are taken in one run, alternating.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import create_engine, text

from clinic import demo, invitation_batches, invitation_list
from tenancy import clinics, embedded_postgres
from tenancy.database import db, transaction
from tests.conftest import clinic_at, with_the_cast
from wsgi import create_app

CROWD = """
INSERT INTO patients (clinic_id, id, name, birth_on, status, search_text, created_at)
SELECT app.clinic_id(), md5('patient' || n)::uuid, 'Patient ' || n, date '2018-01-01', 'active', 'patient ' || n, now()
FROM generate_series(1, :contacts) n;
INSERT INTO contacts (clinic_id, id, name, email, email_norm, do_not_invite, search_text, created_at)
SELECT app.clinic_id(), md5('contact' || n)::uuid, 'Contact ' || n, 'contact' || n || '@family.example',
       'contact' || n || '@family.example', false, 'contact ' || lpad(n::text, 7, '0'), now()
FROM generate_series(1, :contacts) n;
INSERT INTO relationships (clinic_id, contact_id, patient_id, kind, list_key, is_invitable, is_blocked, guardian_for_adult)
SELECT app.clinic_id(), md5('contact' || n)::uuid, md5('patient' || n)::uuid, 'parent', '', false, false, false
FROM generate_series(1, :contacts) n;
"""
# The same rows as one chunk writes, of contacts that nobody has invited yet.
BARE = """
WITH chosen AS MATERIALIZED (
    SELECT c.id AS contact_id, c.name, c.email, c.email_norm, r.patient_id, r.kind,
           gen_random_uuid() AS user_id, gen_random_uuid() AS link_id, gen_random_uuid() AS letter_id
    FROM relationships r JOIN contacts c ON c.clinic_id = r.clinic_id AND c.id = r.contact_id
    WHERE r.clinic_id = app.clinic_id() AND r.is_invitable AND r.list_key > :after
    ORDER BY r.list_key, r.id LIMIT :invited
), users AS (
    INSERT INTO portal_users (clinic_id, id, email, email_norm, name, invited_at)
    SELECT app.clinic_id(), user_id, email, email_norm, name, now() FROM chosen
), access AS (
    INSERT INTO portal_access (clinic_id, portal_user_id, patient_id, contact_id, relationship, guardian_for_adult, records, billing, starts_at)
    SELECT app.clinic_id(), user_id, patient_id, contact_id, kind, false, true, true, now() FROM chosen
), links AS (
    INSERT INTO mailed_links (clinic_id, id, purpose, portal_user_id, email_norm, token_hash, issued_at, expires_at, misses, letter_id)
    SELECT app.clinic_id(), link_id, 'invitation', user_id, email_norm, uuid_send(link_id), now(), now(), 0, letter_id FROM chosen
)
INSERT INTO letters (clinic_id, id, kind, to_address, ids, state, posted_at, next_try_at, tries)
SELECT app.clinic_id(), letter_id, 'portal_invitation', email_norm, '{}', 'waiting', now(), now(), 0 FROM chosen
"""


class RolledBack(Exception):
    """Ends a measured piece of work that leaves nothing behind."""


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _in_a_rolled_back_transaction(work: Callable[[], Any]) -> float:
    """Seconds `work` takes inside a transaction; its rows are thrown away so that every run is the same."""
    try:
        with transaction():
            taken = _seconds(work)
            raise RolledBack
    except RolledBack:
        return taken


def page_milliseconds(after: tuple[str, UUID] | None) -> float:
    """Median of nine reads of a page of the invite list."""
    times = []
    for _ in range(9):
        with transaction():
            times.append(_seconds(lambda: invitation_list.page(after=after)))
    return statistics.median(times) * 1000


def invite(number: int) -> None:
    """Choose and carry out, as the pages do."""
    pairs = [row.relationship_id for row in invitation_list.page("", limit=number)]
    batch = invitation_batches.choose(pairs)
    while not batch.is_finished:
        invitation_batches.carry_out_chunk(batch)


def carry_out_seconds(number: int) -> float:
    """Seconds to carry out a batch that was chosen before."""
    try:
        with transaction():
            pairs = [row.relationship_id for row in invitation_list.page("", limit=number)]
            batch = invitation_batches.choose(pairs)

            def carried_out() -> None:
                while not batch.is_finished:
                    invitation_batches.carry_out_chunk(batch)
                db.session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # the commit's own work: chaining the audit log

            taken = _seconds(carried_out)
            raise RolledBack
    except RolledBack:
        return taken


def measure(contacts: int, invited: int, owner_url: str) -> dict[str, float]:
    """Everything the benchmark prints; expects to stand inside a clinic with the crowd in it."""
    with transaction():
        middle = db.session.execute(
            text("SELECT list_key, id FROM relationships WHERE is_invitable ORDER BY list_key, id OFFSET :half LIMIT 1"),
            {"half": contacts // 2},
        ).one()
    found = {"first page ms": page_milliseconds(None), "middle page ms": page_milliseconds((middle[0], middle[1]))}
    ours, bare = [], []
    for _ in range(5):
        bare.append(
            _in_a_rolled_back_transaction(
                lambda: db.session.execute(text(BARE), {"after": "", "invited": invited})
            )
        )
        ours.append(carry_out_seconds(invited))
        _as_owner(owner_url, "VACUUM audit_entries")  # what was thrown away would lie in the next round's way
    found["bare insert ms"] = statistics.median(bare) * 1000
    found["inviting ms"] = statistics.median(ours) * 1000
    found["inviting ÷ bare"] = found["inviting ms"] / found["bare insert ms"]
    with transaction():
        db.session.execute(text(BARE), {"after": "", "invited": contacts - 60})
    found["nearly exhausted page ms"] = page_milliseconds(None)
    return found


def run(contacts: int, invited: int) -> dict[str, float]:
    """Stand up a server of our own, fill it, measure, and tear it down."""
    server = embedded_postgres.Server(Path(tempfile.mkdtemp(prefix="portico-bench-")), fast=True).start()
    try:
        # Tidied here where it should be: autovacuum would come upon what was rolled back, and take full tables for empty.
        with psycopg.connect(server.superuser_url(), autocommit=True) as administrator:
            administrator.execute("ALTER SYSTEM SET autovacuum = off")
            administrator.execute("SELECT pg_reload_conf()")
        standing = with_the_cast(server.superuser_url())
        app = create_app(standing.copy())
        with app.app_context():
            with clinics.open_clinic(clinic_at(demo.OAK)):
                filled = _seconds(lambda: _fill(contacts))
                owner_url = app.config["PORTICO"].database_owner_url
                _as_owner(owner_url, "ANALYZE")  # what autovacuum does a minute after such an import
                found = measure(contacts, invited, owner_url)
            db.engine.dispose()
        return {"filling s": filled, **found}
    finally:
        server.discard()


def _fill(contacts: int) -> None:
    with transaction():
        for statement in CROWD.split(";\n"):
            if statement.strip():
                db.session.execute(text(statement), {"contacts": contacts})


def _as_owner(owner_url: str, statement: str) -> None:
    engine = create_engine(owner_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--invited", type=int, default=10_000)
    asked = parser.parse_args()
    for name, value in run(asked.contacts, asked.invited).items():
        print(f"{name:<28} {value:10.2f}")


if __name__ == "__main__":
    main()
