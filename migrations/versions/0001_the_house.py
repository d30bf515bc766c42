"""The house as it first stands."""

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

# The queue is procrastinate's own schema, kept apart from ours.
QUEUE = "CREATE SCHEMA q; SET LOCAL search_path = q; {schema}; SET LOCAL search_path = public"

# Folded names and addresses, word by word, for finding people by the beginnings of words (clinic/word_search.py).
SEARCH_WORDS = """
CREATE FUNCTION keep_search_words() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM search_words w USING new_rows n JOIN old_rows o ON o.clinic_id = n.clinic_id AND o.id = n.id
        WHERE w.clinic_id = n.clinic_id AND w.owner_id = n.id AND o.search_text <> n.search_text;
    END IF;
    INSERT INTO search_words (clinic_id, word, owner_id)
    SELECT DISTINCT n.clinic_id, word, n.id
    FROM new_rows n, regexp_split_to_table(n.search_text, ' ') AS word
    WHERE word <> ''
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
"""

# What the invite list is sorted and filtered by (clinic/contacts.py says what the two columns mean).
INVITABLE = """
CREATE FUNCTION keep_invitable(changed uuid[]) RETURNS void LANGUAGE sql AS $$
    UPDATE relationships r SET list_key = found.list_key, is_invitable = found.is_invitable
    FROM (
        SELECT r.clinic_id, r.id, c.search_text || ' ' || p.search_text AS list_key,
               c.email_norm IS NOT NULL AND p.status = 'active' AND NOT EXISTS (
                   SELECT FROM portal_users u
                   JOIN portal_access a ON a.clinic_id = u.clinic_id AND a.portal_user_id = u.id
                   WHERE u.clinic_id = c.clinic_id AND u.email_norm = c.email_norm
                     AND a.patient_id = p.id AND a.ended_at IS NULL
               ) AS is_invitable
        FROM relationships r
        JOIN contacts c ON c.clinic_id = r.clinic_id AND c.id = r.contact_id
        JOIN patients p ON p.clinic_id = r.clinic_id AND p.id = r.patient_id
        WHERE r.id = ANY (changed)
    ) found
    WHERE r.clinic_id = found.clinic_id AND r.id = found.id
      AND (r.list_key, r.is_invitable) IS DISTINCT FROM (found.list_key, found.is_invitable)
$$;

CREATE FUNCTION keep_invitable_of_relationships() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_invitable(ARRAY(SELECT id FROM new_rows));
    RETURN NULL;
END $$;

CREATE FUNCTION keep_invitable_of_contacts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_invitable(ARRAY(
        SELECT r.id FROM new_rows n JOIN relationships r ON r.clinic_id = n.clinic_id AND r.contact_id = n.id));
    RETURN NULL;
END $$;

CREATE FUNCTION keep_invitable_of_patients() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_invitable(ARRAY(
        SELECT r.id FROM new_rows n JOIN relationships r ON r.clinic_id = n.clinic_id AND r.patient_id = n.id));
    RETURN NULL;
END $$;

-- Giving access is what happens to thousands at once: it only ever takes pairs off the list.
CREATE FUNCTION keep_invitable_of_given_access() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = on AS $$
BEGIN
    UPDATE relationships r SET is_invitable = false
    FROM new_rows n
    JOIN portal_users u ON u.clinic_id = n.clinic_id AND u.id = n.portal_user_id
    JOIN contacts c ON c.clinic_id = n.clinic_id AND c.email_norm = u.email_norm
    WHERE r.clinic_id = n.clinic_id AND r.contact_id = c.id AND r.patient_id = n.patient_id
      AND r.is_invitable AND n.ended_at IS NULL;
    RETURN NULL;
END $$;

CREATE FUNCTION keep_invitable_of_changed_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_invitable(ARRAY(
        SELECT r.id FROM new_rows n
        JOIN portal_users u ON u.clinic_id = n.clinic_id AND u.id = n.portal_user_id
        JOIN contacts c ON c.clinic_id = n.clinic_id AND c.email_norm = u.email_norm
        JOIN relationships r ON r.clinic_id = n.clinic_id AND r.contact_id = c.id AND r.patient_id = n.patient_id));
    RETURN NULL;
END $$;
"""

AFTER_INSERT = "CREATE TRIGGER {name}_of_new AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
AFTER_UPDATE = "CREATE TRIGGER {name}_of_changed AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
TRIGGERS = (
    (AFTER_INSERT, "search_words", "patients", "keep_search_words"),
    (AFTER_UPDATE, "search_words", "patients", "keep_search_words"),
    (AFTER_INSERT, "search_words", "contacts", "keep_search_words"),
    (AFTER_UPDATE, "search_words", "contacts", "keep_search_words"),
    (AFTER_INSERT, "invitable", "relationships", "keep_invitable_of_relationships"),
    (AFTER_UPDATE, "invitable", "contacts", "keep_invitable_of_contacts"),
    (AFTER_UPDATE, "invitable", "patients", "keep_invitable_of_patients"),
    (AFTER_INSERT, "invitable", "portal_access", "keep_invitable_of_given_access"),
    (AFTER_UPDATE, "invitable", "portal_access", "keep_invitable_of_changed_access"),
)


def upgrade() -> None:
    driver = op.get_bind().exec_driver_sql
    driver(QUEUE.format(schema=SchemaManager.get_schema()).replace("%", "%%"))
    _tables()
    driver(SEARCH_WORDS)
    driver(INVITABLE)
    for statement, name, table, function in TRIGGERS:
        driver(statement.format(name=name, table=table, function=function))


def downgrade() -> None:
    raise NotImplementedError("There is nothing before the first migration; restore a backup.")


def _tables() -> None:
    op.create_table(
        "clinics",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("accent", sa.Text(), nullable=False),
        sa.Column("logo_version", sa.Text(), nullable=True),
        sa.Column("payment_processing_since_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("accent ~ '^#[0-9a-f]{6}$'", name=op.f("ck_clinics_accent")),
        sa.CheckConstraint("currency ~ '^[a-z]{3}$'", name=op.f("ck_clinics_currency")),
        sa.CheckConstraint("plan IN ('core', 'billing')", name=op.f("ck_clinics_plan")),
        sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f("ck_clinics_status")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 80", name=op.f("ck_clinics_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clinics")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_name", sa.Text(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(
            "actor_kind IN ('staff', 'portal_user', 'operator', 'system')", name=op.f("ck_audit_entries_actor_kind")
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_audit_entries_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_at", "audit_entries", ["clinic_id", "at"], unique=False)
    op.create_index("ix_audit_entries_patient", "audit_entries", ["clinic_id", "patient_id", "at"], unique=False)
    op.create_table(
        "clinic_addresses",
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(slug) BETWEEN 3 AND 40",
            name=op.f("ck_clinic_addresses_grammar"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_clinic_addresses_clinic_id")),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_clinic_addresses")),
    )
    op.create_index(
        "uq_clinic_addresses_current",
        "clinic_addresses",
        ["clinic_id"],
        unique=True,
        postgresql_where="retired_at IS NULL",
    )
    op.create_table(
        "clinic_keys",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_clinic_keys_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", name=op.f("pk_clinic_keys")),
    )
    op.create_table(
        "clinic_logos",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_clinic_logos_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", name=op.f("pk_clinic_logos")),
    )
    op.create_table(
        "contacts",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_norm", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("do_not_invite", sa.Boolean(), nullable=False),
        sa.Column("search_text", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 120", name=op.f("ck_contacts_name_length")),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_contacts_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_contacts")),
    )
    op.create_index("ix_contacts_email_norm", "contacts", ["clinic_id", "email_norm"], unique=False)
    op.create_index("ix_contacts_search_text", "contacts", ["clinic_id", "search_text", "id"], unique=False)
    op.create_table(
        "document_types",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("is_visible_on_portal", sa.Boolean(), nullable=False),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 60", name=op.f("ck_document_types_name_length")),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_document_types_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_document_types")),
    )
    op.create_index("uq_document_types_name", "document_types", ["clinic_id", "name"], unique=True)
    op.create_table(
        "letterheads",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_letterheads_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", name=op.f("pk_letterheads")),
    )
    op.create_table(
        "letters",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("to_address", sa.Text(), nullable=False),
        sa.Column("ids", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'undelivered')", name=op.f("ck_letters_state")),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_letters_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_letters")),
    )
    op.create_index(
        "ix_letters_waiting",
        "letters",
        ["clinic_id", "next_try_at"],
        unique=False,
        postgresql_where="state = 'waiting'",
    )
    op.create_table(
        "patients",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("nickname", sa.Text(), nullable=True),
        sa.Column("birth_on", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("search_text", sa.Text(collation="C"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('active', 'inactive')", name=op.f("ck_patients_status")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 120", name=op.f("ck_patients_name_length")),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_patients_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_patients")),
    )
    op.create_index("ix_patients_search_text", "patients", ["clinic_id", "search_text", "id"], unique=False)
    op.create_table(
        "portal_settings",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("shows_balance", sa.Boolean(), nullable=False),
        sa.Column("shows_invoices", sa.Boolean(), nullable=False),
        sa.Column("asks_birth_date", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_portal_settings_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", name=op.f("pk_portal_settings")),
    )
    op.create_table(
        "portal_users",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_norm", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deactivated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 120", name=op.f("ck_portal_users_name_length")),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_portal_users_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_portal_users")),
    )
    op.create_index("ix_portal_users_name", "portal_users", ["clinic_id", "name", "id"], unique=False)
    op.create_index("uq_portal_users_email_norm", "portal_users", ["clinic_id", "email_norm"], unique=True)
    op.create_table(
        "search_words",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("word", sa.Text(collation="C"), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_search_words_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "word", "owner_id", name=op.f("pk_search_words")),
    )
    op.create_table(
        "staff_members",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_norm", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deactivated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('admin', 'billing', 'front_desk', 'therapist')", name=op.f("ck_staff_members_role")
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 120", name=op.f("ck_staff_members_name_length")),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_staff_members_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_staff_members")),
    )
    op.create_index("uq_staff_members_email_norm", "staff_members", ["clinic_id", "email_norm"], unique=True)
    op.create_table(
        "appointments",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_minutes", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("therapist", sa.Text(), nullable=True),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('booked', 'cancelled')", name=op.f("ck_appointments_status")),
        sa.CheckConstraint("duration_minutes BETWEEN 5 AND 480", name=op.f("ck_appointments_duration")),
        sa.CheckConstraint("length(service) BETWEEN 1 AND 80", name=op.f("ck_appointments_service_length")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_appointments_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_appointments_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_appointments")),
    )
    op.create_index("ix_appointments_patient", "appointments", ["clinic_id", "patient_id", "starts_at"], unique=False)
    op.create_table(
        "documents",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("document_type_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("dated_on", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signed_by_id", sa.Uuid(), nullable=True),
        sa.Column("held_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("held_back_reason", sa.Text(), nullable=True),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(status = 'signed') = (signed_at IS NOT NULL)", name=op.f("ck_documents_signed_when")),
        sa.CheckConstraint("status IN ('draft', 'signed')", name=op.f("ck_documents_status")),
        sa.CheckConstraint(
            "(held_back_at IS NULL) = (held_back_reason IS NULL)", name=op.f("ck_documents_held_back_why")
        ),
        sa.CheckConstraint("length(title) BETWEEN 1 AND 120", name=op.f("ck_documents_title_length")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "document_type_id"],
            ["document_types.clinic_id", "document_types.id"],
            name=op.f("fk_documents_clinic_id_document_type_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_documents_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "signed_by_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_documents_clinic_id_signed_by_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_documents_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_documents")),
    )
    op.create_index("ix_documents_patient", "documents", ["clinic_id", "patient_id", "dated_on"], unique=False)
    op.create_index("ix_documents_type", "documents", ["clinic_id", "document_type_id"], unique=False)
    op.create_table(
        "invitation_batches",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("made_by_id", sa.Uuid(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["clinic_id", "made_by_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_invitation_batches_clinic_id_made_by_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_invitation_batches_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_invitation_batches")),
    )
    op.create_table(
        "invoices",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.CheckConstraint("(status = 'draft') = (issued_on IS NULL)", name=op.f("ck_invoices_issued")),
        sa.CheckConstraint("(status = 'draft') = (number IS NULL)", name=op.f("ck_invoices_numbered")),
        sa.CheckConstraint("currency ~ '^[a-z]{3}$'", name=op.f("ck_invoices_currency")),
        sa.CheckConstraint(
            "status IN ('draft', 'open', 'partly_paid', 'paid', 'void')", name=op.f("ck_invoices_status")
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_invoices_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_invoices_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_invoices")),
    )
    op.create_index("ix_invoices_patient", "invoices", ["clinic_id", "patient_id", "issued_on"], unique=False)
    op.create_index("uq_invoices_number", "invoices", ["clinic_id", "number"], unique=True)
    op.create_table(
        "mailed_links",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email_norm", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("misses", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("letter_id", sa.Uuid(), nullable=True),
        sa.Column("staff_member_id", sa.Uuid(), nullable=True),
        sa.Column("portal_user_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "ending IN ('good', 'expired', 'used', 'superseded', 'withdrawn', 'locked')",
            name=op.f("ck_mailed_links_ending"),
        ),
        sa.CheckConstraint(
            "purpose IN ('invitation', 'password-reset', 'staff-invitation', 'staff-password-reset', 'reply-to')",
            name=op.f("ck_mailed_links_purpose"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(staff_member_id, portal_user_id) <= 1", name=op.f("ck_mailed_links_one_holder")
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "portal_user_id"],
            ["portal_users.clinic_id", "portal_users.id"],
            name=op.f("fk_mailed_links_clinic_id_portal_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "staff_member_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_mailed_links_clinic_id_staff_member_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_mailed_links_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_mailed_links")),
    )
    for name, holder in (("portal", "portal_user_id"), ("staff", "staff_member_id")):
        op.create_index(
            f"uq_mailed_links_open_{name}",
            "mailed_links",
            ["clinic_id", "purpose", holder],
            unique=True,
            postgresql_where=sa.text(f"ended_at IS NULL AND {holder} IS NOT NULL"),
        )
    op.create_index(
        "ix_mailed_links_portal_user", "mailed_links", ["clinic_id", "portal_user_id", "issued_at"], unique=False
    )
    op.create_index(
        "ix_mailed_links_staff_member", "mailed_links", ["clinic_id", "staff_member_id", "issued_at"], unique=False
    )
    op.create_index("uq_mailed_links_token_hash", "mailed_links", ["clinic_id", "token_hash"], unique=True)
    op.create_table(
        "passwords",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("staff_member_id", sa.Uuid(), nullable=True),
        sa.Column("portal_user_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("num_nonnulls(staff_member_id, portal_user_id) = 1", name=op.f("ck_passwords_one_holder")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "portal_user_id"],
            ["portal_users.clinic_id", "portal_users.id"],
            name=op.f("fk_passwords_clinic_id_portal_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "staff_member_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_passwords_clinic_id_staff_member_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_passwords_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_passwords")),
    )
    op.create_index("uq_passwords_portal_user", "passwords", ["clinic_id", "portal_user_id"], unique=True)
    op.create_index("uq_passwords_staff_member", "passwords", ["clinic_id", "staff_member_id"], unique=True)
    op.create_table(
        "portal_access",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("portal_user_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("relationship", sa.Text(), nullable=False),
        sa.Column("records", sa.Boolean(), nullable=False),
        sa.Column("billing", sa.Boolean(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_by_id", sa.Uuid(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by_id", sa.Uuid(), nullable=True),
        sa.Column("ended_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "relationship IN ('self', 'parent', 'guardian', 'grandparent', 'caseworker', 'spouse', 'other')",
            name=op.f("ck_portal_access_relationship"),
        ),
        sa.CheckConstraint("records OR billing", name=op.f("ck_portal_access_to_something")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_portal_access_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "portal_user_id"],
            ["portal_users.clinic_id", "portal_users.id"],
            name=op.f("fk_portal_access_clinic_id_portal_user_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_portal_access_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_portal_access")),
    )
    op.create_index("ix_portal_access_patient", "portal_access", ["clinic_id", "patient_id"], unique=False)
    op.create_index(
        "uq_portal_access_live",
        "portal_access",
        ["clinic_id", "portal_user_id", "patient_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "relationships",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("list_key", sa.Text(collation="C"), nullable=False),
        sa.Column("is_invitable", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('self', 'parent', 'guardian', 'grandparent', 'caseworker', 'spouse', 'other')",
            name=op.f("ck_relationships_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "contact_id"],
            ["contacts.clinic_id", "contacts.id"],
            name=op.f("fk_relationships_clinic_id_contact_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_relationships_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_relationships_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_relationships")),
    )
    op.create_index(
        "ix_relationships_invitable",
        "relationships",
        ["clinic_id", "list_key", "id"],
        unique=False,
        postgresql_where="is_invitable",
    )
    op.create_index("ix_relationships_patient", "relationships", ["clinic_id", "patient_id"], unique=False)
    op.create_index("uq_relationships_pair", "relationships", ["clinic_id", "contact_id", "patient_id"], unique=True)
    op.create_table(
        "sessions",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_reason", sa.Text(), nullable=True),
        sa.Column("staff_member_id", sa.Uuid(), nullable=True),
        sa.Column("portal_user_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("num_nonnulls(staff_member_id, portal_user_id) = 1", name=op.f("ck_sessions_one_holder")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "portal_user_id"],
            ["portal_users.clinic_id", "portal_users.id"],
            name=op.f("fk_sessions_clinic_id_portal_user_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "staff_member_id"],
            ["staff_members.clinic_id", "staff_members.id"],
            name=op.f("fk_sessions_clinic_id_staff_member_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_sessions_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_sessions")),
    )
    op.create_index(
        "ix_sessions_live_portal",
        "sessions",
        ["clinic_id", "portal_user_id"],
        unique=False,
        postgresql_where="ended_at IS NULL",
    )
    op.create_index(
        "ix_sessions_live_staff",
        "sessions",
        ["clinic_id", "staff_member_id"],
        unique=False,
        postgresql_where="ended_at IS NULL",
    )
    op.create_index("uq_sessions_token_hash", "sessions", ["clinic_id", "token_hash"], unique=True)
    op.create_table(
        "account_lines",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("invoice_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("dated_on", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "CASE WHEN kind IN ('charge', 'refund', 'chargeback') THEN amount_minor > 0 ELSE amount_minor < 0 END",
            name=op.f("ck_account_lines_sign"),
        ),
        sa.CheckConstraint("currency ~ '^[a-z]{3}$'", name=op.f("ck_account_lines_currency")),
        sa.CheckConstraint(
            "kind IN ('charge', 'payment', 'discount', 'write_off', 'refund', 'chargeback')",
            name=op.f("ck_account_lines_kind"),
        ),
        sa.CheckConstraint("length(description) BETWEEN 1 AND 160", name=op.f("ck_account_lines_description_length")),
        sa.ForeignKeyConstraint(
            ["clinic_id", "invoice_id"],
            ["invoices.clinic_id", "invoices.id"],
            name=op.f("fk_account_lines_clinic_id_invoice_id"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "patient_id"],
            ["patients.clinic_id", "patients.id"],
            name=op.f("fk_account_lines_clinic_id_patient_id"),
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_account_lines_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_account_lines")),
    )
    op.create_index("ix_account_lines_invoice", "account_lines", ["clinic_id", "invoice_id"], unique=False)
    op.create_index("ix_account_lines_patient", "account_lines", ["clinic_id", "patient_id", "dated_on"], unique=False)
    op.create_table(
        "document_contents",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clinic_id", "document_id"],
            ["documents.clinic_id", "documents.id"],
            name=op.f("fk_document_contents_clinic_id_document_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_document_contents_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "document_id", name=op.f("pk_document_contents")),
    )
    op.create_table(
        "invitation_batch_rows",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("relationship_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("email_norm", sa.Text(), nullable=False),
        sa.Column("fate", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "fate IN ('invited', 'access_added', 'has_access', 'gone', 'no_address', 'address_changed', 'do_not_invite', 'inactive_patient', 'deactivated')",
            name=op.f("ck_invitation_batch_rows_fate"),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "batch_id"],
            ["invitation_batches.clinic_id", "invitation_batches.id"],
            name=op.f("fk_invitation_batch_rows_clinic_id_batch_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_invitation_batch_rows_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "batch_id", "position", name=op.f("pk_invitation_batch_rows")),
    )
    op.create_index(
        "ix_invitation_batch_rows_open",
        "invitation_batch_rows",
        ["clinic_id", "batch_id", "position"],
        unique=False,
        postgresql_where="fate IS NULL",
    )
