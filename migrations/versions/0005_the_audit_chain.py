"""The audit log becomes a chain: each clinic's entries are numbered, and each holds the hash of the one before.

An entry is chained as its transaction commits, by a deferred trigger that works as `portico_chain`, the only role that
may; see clinic/audit/chain.py. Entries that are there already are chained in the order in which they were made.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Every field, in one text that no two entries share. Not IMMUTABLE: then the planner could not look inside it.
HASH = """
CREATE SCHEMA IF NOT EXISTS app;
CREATE FUNCTION app.audit_hash(entry public.audit_entries, number bigint, previous_hash bytea) RETURNS bytea
    STABLE PARALLEL SAFE LANGUAGE sql AS $$
    SELECT sha256(convert_to(jsonb_build_array(
        entry.clinic_id, number, encode(previous_hash, 'hex'), entry.id, (extract(epoch FROM entry.at) * 1000000)::bigint,
        entry.actor_kind, entry.actor_role, entry.actor_id, entry.actor_name, entry.event, entry.result,
        entry.patient_id, entry.subject_id, entry.request_id, entry.address, entry.details)::text, 'UTF8'))
$$;
"""

CHAIN = """
CREATE FUNCTION app.chain_audit_entry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    newest record;
    place bigint;
    before bytea;
BEGIN
    -- Held until the commit that is under way is over: the next one finds this entry as the newest.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.clinic_id::text, 0));
    SELECT e.number, e.hash INTO newest FROM public.audit_entries e
        WHERE e.clinic_id = NEW.clinic_id AND e.number IS NOT NULL ORDER BY e.number DESC LIMIT 1;
    place := coalesce(newest.number, 0) + 1;
    before := coalesce(newest.hash, '');
    -- An UPDATE, found by its key whatever the planner believes: of a table that it takes for empty, it would read all of
    -- a clinic's entries by another index, for each entry anew.
    INSERT INTO public.audit_entries AS e SELECT NEW.*
        ON CONFLICT (clinic_id, id) DO UPDATE
        SET number = place, previous_hash = before, hash = app.audit_hash(NEW, place, before) WHERE e.number IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'audit entry % cannot be chained', NEW.id;
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER chained AFTER INSERT ON audit_entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION app.chain_audit_entry();
"""

CHAIN_WHAT_IS_THERE = """
DO $chain$
DECLARE
    entry public.audit_entries;
    clinic uuid;
    place bigint;
    before bytea;
BEGIN
    FOR entry IN SELECT * FROM public.audit_entries ORDER BY clinic_id, at, id LOOP
        IF clinic IS DISTINCT FROM entry.clinic_id THEN
            clinic := entry.clinic_id;
            place := 0;
            before := '';
        END IF;
        place := place + 1;
        UPDATE public.audit_entries
            SET number = place, previous_hash = before, hash = app.audit_hash(entry, place, before)
            WHERE clinic_id = entry.clinic_id AND id = entry.id
            RETURNING hash INTO before;
    END LOOP;
END
$chain$
"""


def upgrade() -> None:
    for name in ("actor_role", "address"):
        op.add_column("audit_entries", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("audit_entries", sa.Column("result", sa.Text(), nullable=False, server_default="done"))
    op.add_column("audit_entries", sa.Column("request_id", sa.Uuid(), nullable=True))
    op.add_column("audit_entries", sa.Column("number", sa.BigInteger(), nullable=True))
    for name in ("previous_hash", "hash"):
        op.add_column("audit_entries", sa.Column(name, sa.LargeBinary(), nullable=True))
    op.create_check_constraint(op.f("ck_audit_entries_result"), "audit_entries", "result IN ('done', 'refused', 'failed')")
    op.create_check_constraint(
        op.f("ck_audit_entries_chained"), "audit_entries", "num_nulls(number, previous_hash, hash) IN (0, 3)"
    )
    # The owner is held to row security too, and no policy is the owner's. It is forced again after the upgrade.
    op.execute("ALTER TABLE audit_entries NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE audit_entries SET result = 'refused' WHERE event ~ '\\.(refused|missed|locked)$'")
    driver = op.get_bind().exec_driver_sql
    driver(HASH)
    driver(CHAIN_WHAT_IS_THERE)
    driver(CHAIN.replace("%", "%%"))
    op.create_index("uq_audit_entries_number", "audit_entries", ["clinic_id", "number"], unique=True)
    op.create_index("ix_audit_entries_actor", "audit_entries", ["clinic_id", "actor_id", "at"])


def downgrade() -> None:
    raise NotImplementedError("An audit log is not taken apart; restore a backup.")
