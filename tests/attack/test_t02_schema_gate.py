"""T02: a freshly migrated schema has no way round row security, and the gate that says so sees every known one.

Lost if it fails: one clinic's families could be read by another, and nobody would be told.
"""

from collections.abc import Iterator

import psycopg
import pytest
from flask import Flask
from sqlalchemy import text

from tenancy.database import transaction
from tests.conftest import Cluster
from tests.house.schema_gate import findings

MUTATIONS = {
    "row security switched off": ("ALTER TABLE documents DISABLE ROW LEVEL SECURITY", "documents"),
    "not forced on the owner": ("ALTER TABLE documents NO FORCE ROW LEVEL SECURITY", "documents"),
    "policies dropped": ("DROP POLICY mailer ON letterheads; DROP POLICY door ON letterheads; DROP POLICY operator ON letterheads; DROP POLICY clinic ON letterheads", "letterheads"),
    "policy without a check": ("DROP POLICY clinic ON patients; CREATE POLICY clinic ON patients TO portico_staff USING (clinic_id = app.clinic_id()) WITH CHECK (true)", "patients.clinic"),
    "policy that is always true": ("ALTER POLICY family ON appointments USING (true)", "appointments.family"),
    "policy for everybody": ("CREATE POLICY leak ON patients TO PUBLIC USING (clinic_id = app.clinic_id())", "patients.leak"),
    "materialized view": ("CREATE MATERIALIZED VIEW everyone AS SELECT * FROM patients", "everyone"),
    "view without security_invoker": ("CREATE VIEW everyone AS SELECT * FROM patients", "everyone"),
    "function as its owner": ("CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public AS 'SELECT count(*) FROM patients'", "peek"),
    "function as its owner, path open": ("CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM patients'", "peek"),
    "immutable reader of a setting": ("CREATE OR REPLACE FUNCTION app.clinic_id() RETURNS uuid IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$ SELECT nullif(current_setting('app.clinic_id', true), '')::uuid $$", "clinic_id"),
    "plain foreign key": ("ALTER TABLE patients ADD UNIQUE (id); ALTER TABLE documents ADD CONSTRAINT plain FOREIGN KEY (patient_id) REFERENCES patients (id)", "plain"),
    "unique across clinics": ("CREATE UNIQUE INDEX everywhere ON clinic_keys (wrapped)", "everywhere"),
    "grant truncate": ("GRANT TRUNCATE ON patients TO portico_staff", "TRUNCATE patients"),
    "grant references": ("GRANT REFERENCES ON patients TO portico_portal", "REFERENCES patients"),
    "grant trigger": ("GRANT TRIGGER ON patients TO portico_staff", "TRIGGER patients"),
    "grant create": ("GRANT CREATE ON SCHEMA public TO portico_staff", "portico_staff in public"),
    "login reads a record": ("GRANT SELECT (name) ON patients TO portico", "patients"),
    "role made owner": ("ALTER TABLE documents OWNER TO portico_staff", "documents"),
    "table without a clinic": ("CREATE TABLE notes (id uuid PRIMARY KEY)", "notes"),
    "role bypasses row security": ("ALTER ROLE portico_staff BYPASSRLS", "portico_staff"),
    "role inherits": ("ALTER ROLE portico INHERIT", "portico"),
    "role is a member of the owner": ("GRANT portico_owner TO portico", "portico is a portico_owner"),
    "door reaches outside": ("GRANT SELECT ON platform_throttle_buckets TO portico_door", "portico_door reaches platform_throttle_buckets"),
    "throttle reaches inside": ("GRANT SELECT ON sessions TO portico_throttle", "portico_throttle reaches sessions"),
    "audit can be changed": ("GRANT UPDATE ON audit_entries TO portico_staff", "portico_staff may change audit_entries"),
    "audit entry with a chosen number": ("GRANT INSERT ON audit_entries TO portico_staff", "portico_staff may set number"),
    "chain's function as the owner's": ("ALTER FUNCTION app.chain_audit_entry() OWNER TO portico_owner", "chain_audit_entry"),
    "chain's role can be taken": ("GRANT portico_chain TO portico", "portico is a portico_chain"),
}  # fmt: skip


@pytest.fixture
def administrator(cluster: Cluster) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """The server's administrator in a migrated database, in a transaction that is never committed."""
    url = cluster.admin_url.rpartition("/")[0] + "/" + cluster.template
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


def test_a_migrated_schema_has_no_way_round(administrator: "psycopg.Connection[tuple[object, ...]]") -> None:
    assert findings(administrator) == []


@pytest.mark.parametrize("planted", MUTATIONS)
def test_planted_weaknesses_are_each_named(
    administrator: "psycopg.Connection[tuple[object, ...]]", planted: str
) -> None:
    statement, named = MUTATIONS[planted]
    administrator.execute(statement.encode())
    found = findings(administrator)
    assert any(line.endswith(named) for line in found), (planted, found)


def test_the_application_is_nobody_special(app: Flask) -> None:
    """Web, worker and command line log in as a role that owns nothing and stands above nothing."""
    with app.app_context(), transaction() as session:
        row = session.execute(
            text(
                "SELECT session_user, rolsuper OR rolbypassrls OR rolcreaterole, "
                "pg_has_role(session_user, 'portico_owner', 'MEMBER') FROM pg_roles WHERE rolname = session_user"
            )
        ).one()
        assert tuple(row) == ("portico", False, False)
