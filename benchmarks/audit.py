"""How fast the audit log is written and proved: `.venv/bin/python -m benchmarks.audit [--events 4000] [--rows 1000000]`.

Prints events a second for one clinic with 8 writers, each event a transaction of its own (goal: at least 500), how that
compares with the same rows in the same table without the chain, and the seconds that `flask audit verify` takes to prove
a chain of a million entries (goal: under 60).
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from clinic import demo
from clinic.audit import chain
from tenancy import clinics, embedded_postgres
from tenancy.database import db, transaction, who_is_asking
from tenancy.tenant import Role, Tenant
from tests.conftest import Cluster, clinic_at, with_the_cast
from wsgi import create_app

WRITERS = 8
EVENT = """
BEGIN; {who};
INSERT INTO audit_entries (clinic_id, at, actor_kind, actor_role, actor_id, event, patient_id, subject_id, request_id, address, details)
VALUES (app.clinic_id(), now(), 'staff', 'admin', gen_random_uuid(), 'document.viewed', gen_random_uuid(), gen_random_uuid(),
        gen_random_uuid(), '192.0.2.7', '{{}}');
COMMIT
"""
# A chain of its own for an otherwise empty clinic, written by the owner of the server as the trigger would.
CHAIN = """
DO $fill$
DECLARE
    entry audit_entries;
    before bytea := '';
BEGIN
    ALTER TABLE audit_entries DISABLE TRIGGER chained;
    FOR place IN 1..{rows} LOOP
        entry := ROW('{clinic}', gen_random_uuid(), now(), 'staff', gen_random_uuid(), NULL, 'document.viewed',
                     gen_random_uuid(), gen_random_uuid(), '{{"a": 1}}', 'admin', '192.0.2.7', 'done', gen_random_uuid(),
                     place, before, NULL);
        entry.hash := app.audit_hash(entry, place, before);
        INSERT INTO audit_entries VALUES (entry.*);
        before := entry.hash;
    END LOOP;
    ALTER TABLE audit_entries ENABLE TRIGGER chained;
END
$fill$
"""


def run(events: int, rows: int) -> dict[str, float]:
    """name → value. A server and a database of its own, that go with it."""
    server = embedded_postgres.Server(Path(tempfile.mkdtemp(prefix="portico-audit-")), fast=True).start()
    try:
        cluster = with_the_cast(server.superuser_url())
        found = written(cluster, events)
        return found | {f"verifying {rows:,} entries, s": proved(cluster, rows)}
    finally:
        server.discard()


def written(cluster: Cluster, events: int) -> dict[str, float]:
    """Chained and bare in turns, since the machine's mood changes; the better of each."""
    rates: dict[str, list[float]] = {"ENABLE": [], "DISABLE": []}
    with _superuser(cluster) as administrator:
        clinic_id = _clinic_id(administrator)
        for _round in range(2):
            for trigger, found in rates.items():
                administrator.execute(f"ALTER TABLE audit_entries {trigger} TRIGGER chained".encode())
                found.append(events_a_second(cluster.settings.database_url, clinic_id, events))
    chained, bare = max(rates["ENABLE"]), max(rates["DISABLE"])
    return {"chained events a second": chained, "bare events a second": bare, "bare ÷ chained": bare / chained}


def events_a_second(database_url: str, clinic_id: UUID, events: int) -> float:
    """8 writers at one clinic, as the application's login role."""
    statement = EVENT.format(who=who_is_asking(Tenant(clinic_id, Role.STAFF))).encode()
    url = database_url.replace("postgresql+psycopg://", "postgresql://")

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for _ in range(events // WRITERS):
                connection.execute(statement)

    begun = time.perf_counter()
    with ThreadPoolExecutor(WRITERS) as pool:
        for writer in [pool.submit(write) for _ in range(WRITERS)]:
            writer.result()
    return events / (time.perf_counter() - begun)


def proved(cluster: Cluster, rows: int) -> float:
    """Seconds to prove a chain of this length."""
    with _superuser(cluster) as administrator:
        clinic_id = _clinic_id(administrator)
        administrator.execute(b"TRUNCATE audit_entries")
        administrator.execute(CHAIN.format(rows=rows, clinic=clinic_id).encode())
        administrator.execute(b"ANALYZE audit_entries")
    app = create_app(cluster.settings)
    with app.app_context():
        with clinics.open_clinic(clinic_at(demo.ELM), Role.AUDITOR), transaction():
            begun = time.perf_counter()
            fault, head = chain.verify(), chain.head()
            took = time.perf_counter() - begun
        db.engine.dispose()
    if fault or head is None or head.number != rows:
        raise RuntimeError(f"The chain of {rows} entries was not proved: {fault}, {head}")
    return took


@contextmanager
def _superuser(cluster: Cluster) -> Iterator["psycopg.Connection[Any]"]:
    url = f"{cluster.admin_url.rpartition('/')[0]}/{cluster.template}"
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def _clinic_id(administrator: "psycopg.Connection[Any]") -> UUID:
    row = administrator.execute("SELECT clinic_id FROM clinic_addresses WHERE slug = %s", [demo.ELM]).fetchone()
    found: UUID = row[0] if row else UUID(int=0)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=4_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args()
    for name, value in run(asked.events, asked.rows).items():
        print(f"{name:<34} {value:10.2f}")
