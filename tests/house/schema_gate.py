"""Reads PostgreSQL's own catalogue and names everything that would let one clinic's rows reach another."""

import psycopg

OUR_ROLES = (
    "portico",
    "portico_door",
    "portico_payer",
    "portico_staff",
    "portico_portal",
    "portico_mailer",
    "portico_operator",
    "portico_auditor",
    "portico_chain",
    "portico_queue",
    "portico_throttle",
)
OLDEST_SERVER = 150000
# Outside every clinic stand the directory and two tables of counts, which belong to `portico_throttle` alone.
# The directory is read before a clinic is open: these three tables, by the login role; an address, and a Stripe account
# (whose id nobody here chooses), are unique for all.
DIRECTORY = ("clinics", "clinic_addresses", "clinic_payment_accounts")

CHECKS = {
    "no row security": """
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
          AND NOT (c.relrowsecurity AND c.relforcerowsecurity)""",
    "no policy": """
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
          AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)""",
    "no clinic_id": """
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relname NOT IN ('alembic_version', 'clinics', 'platform_throttle_buckets', 'platform_webhook_refusals')
          AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'clinic_id' AND a.attnotnull)""",
    "policy that does not name the clinic": """
        SELECT c.relname || '.' || p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE c.relnamespace = 'public'::regnamespace
          AND NOT (c.relname IN ('clinics', 'clinic_addresses', 'clinic_payment_accounts') AND p.polname = 'directory' AND p.polcmd = 'r'
                   AND p.polroles = ARRAY['portico'::regrole::oid])
          AND NOT (c.relname IN ('platform_throttle_buckets', 'platform_webhook_refusals') AND p.polname = 'everywhere'
                   AND p.polroles = ARRAY['portico_throttle'::regrole::oid])
          AND ((p.polcmd <> 'a' AND coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') !~ '= app\\.clinic_id\\(\\)')
            OR (p.polcmd IN ('a', 'w', '*')
                AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') !~ '= app\\.clinic_id\\(\\)'))""",
    "policy for everybody": """
        SELECT c.relname || '.' || p.polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
        WHERE 0 = ANY (p.polroles)""",
    "materialized view": "SELECT relname FROM pg_class WHERE relkind = 'm' AND relnamespace = 'public'::regnamespace",
    "view that runs as its owner": """
        SELECT relname FROM pg_class
        WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
          AND NOT coalesce('security_invoker=true' = ANY (reloptions) OR 'security_invoker=on' = ANY (reloptions), false)""",
    "function that runs as its owner": """
        SELECT proname FROM pg_proc
        WHERE prosecdef AND pronamespace IN ('public'::regnamespace, 'app'::regnamespace)
          AND NOT (proname = 'chain_audit_entry' AND proowner = 'portico_chain'::regrole)""",
    "immutable function that reads a setting": """
        SELECT proname FROM pg_proc
        WHERE provolatile = 'i' AND prosrc ~ 'current_setting|app\\.clinic_id|app\\.portal_user_id|app\\.staff_member_id|app\\.link_hash'
          AND pronamespace IN ('public'::regnamespace, 'app'::regnamespace)""",
    "foreign key without the clinic": """
        SELECT k.conname FROM pg_constraint k
        WHERE k.contype = 'f' AND k.connamespace = 'public'::regnamespace AND k.confrelid <> 'clinics'::regclass
          AND NOT EXISTS (
              SELECT FROM unnest(k.conkey, k.confkey) AS pair(ours, theirs)
              JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.ours AND a.attname = 'clinic_id'
              JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.theirs AND b.attname = 'clinic_id')""",
    "unique rule that does not begin with the clinic": """
        SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'
          AND i.indexrelid NOT IN ('pk_clinics'::regclass, 'pk_clinic_addresses'::regclass, 'pk_clinic_payment_accounts'::regclass,
                                   'pk_platform_throttle_buckets'::regclass, 'pk_platform_webhook_refusals'::regclass)
          AND (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[0])
              IS DISTINCT FROM 'clinic_id'""",
    "grant that no role needs": """
        SELECT g.grantee || ' may ' || g.privilege_type || ' ' || g.table_name
        FROM information_schema.role_table_grants g
        WHERE g.table_schema = 'public' AND (g.grantee = 'PUBLIC' OR g.grantee LIKE 'portico%' AND g.grantee <> 'portico_owner')
          AND (g.grantee = 'PUBLIC' OR g.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER'))""",
    "login role reads more than the directory": """
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace IN ('public'::regnamespace, 'q'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm')
          AND (has_any_column_privilege('portico', c.oid, 'SELECT, INSERT, UPDATE') AND c.relname NOT IN ('clinics', 'clinic_addresses', 'clinic_payment_accounts')
               OR has_any_column_privilege('portico', c.oid, 'INSERT, UPDATE')
               OR has_table_privilege('portico', c.oid, 'DELETE'))""",
    "reach between a clinic and what stands outside all": """
        SELECT r.rolname || ' reaches ' || c.relname FROM pg_roles r, pg_class c
        WHERE r.rolname LIKE 'portico%' AND r.rolname <> 'portico_owner'
          AND c.relnamespace IN ('public'::regnamespace, 'q'::regnamespace) AND c.relkind IN ('r', 'p', 'v', 'm')
          AND (r.rolname = 'portico_throttle') <> (c.relname IN ('platform_throttle_buckets', 'platform_webhook_refusals'))
          AND (has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege(r.oid, c.oid, 'DELETE'))
          AND 'portico_throttle' IN (r.rolname, CASE WHEN c.relname ^@ 'platform_' THEN 'portico_throttle' END)""",
    "role that may create things": """
        SELECT r.rolname || ' in ' || n.nspname FROM pg_roles r, pg_namespace n
        WHERE r.rolname LIKE 'portico%' AND r.rolname <> 'portico_owner' AND n.nspname IN ('public', 'app', 'q')
          AND has_schema_privilege(r.rolname, n.nspname, 'CREATE')""",
    "role that stands above row security": """
        SELECT rolname FROM pg_roles
        WHERE rolname LIKE 'portico%' AND rolname <> 'portico_owner'
          AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolinherit)""",
    "role that owns a table": """
        SELECT c.relname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
        WHERE c.relnamespace IN ('public'::regnamespace, 'q'::regnamespace) AND r.rolname LIKE 'portico%'
          AND r.rolname <> 'portico_owner'""",
    "membership beyond the declared": """
        SELECT u.rolname || ' is a ' || r.rolname
        FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
        WHERE u.rolname LIKE 'portico%' AND u.rolname <> 'portico_owner'
          AND NOT (u.rolname = 'portico' AND r.rolname IN ('portico_door', 'portico_payer', 'portico_staff', 'portico_portal',
                                                           'portico_mailer', 'portico_operator', 'portico_auditor',
                                                           'portico_queue', 'portico_throttle'))""",
    "function with no fixed owner's path": """
        SELECT proname FROM pg_proc
        WHERE prosecdef AND pronamespace IN ('public'::regnamespace, 'app'::regnamespace)
          AND NOT EXISTS (SELECT FROM unnest(coalesce(proconfig, '{}')) AS setting WHERE setting LIKE 'search_path=%')""",
    "audit entry whose place can be chosen": """
        SELECT r || ' may set ' || c FROM unnest(ARRAY['portico_door', 'portico_payer', 'portico_staff', 'portico_portal', 'portico_mailer',
                                                       'portico_operator', 'portico_auditor']) AS r,
             unnest(ARRAY['number', 'previous_hash', 'hash']) AS c
        WHERE has_column_privilege(r, 'audit_entries', c, 'INSERT, UPDATE')""",
    "append-only table that can be changed": """
        SELECT r || ' may change ' || t FROM unnest(ARRAY['portico_door', 'portico_payer', 'portico_staff', 'portico_portal',
                                                          'portico_mailer', 'portico_operator', 'portico_auditor']) AS r,
             unnest(ARRAY['audit_entries', 'account_lines', 'allocations', 'invoice_mailings']) AS t
        WHERE has_any_column_privilege(r, t::regclass, 'UPDATE') OR has_table_privilege(r, t, 'DELETE')""",
}


def findings(connection: "psycopg.Connection[tuple[object, ...]]") -> list[str]:
    """`"<what>: <object>"` for each weakness in the catalogue; empty for a sound schema."""
    found = [
        f"{what}: {row[0]}" for what, query in CHECKS.items() for row in connection.execute(query.encode()).fetchall()
    ]
    if connection.info.server_version < OLDEST_SERVER:
        found.append(f"server older than 15: {connection.info.server_version}")
    return found
