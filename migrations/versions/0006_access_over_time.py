"""Access over time: custody blocks and holds, a guardian's mark, the coming of age.

Safe beside running clinics: constant defaults add columns without rewriting a table, and are dropped at once;
references to living tables are from a new, empty one. The invite list's index is made anew: on the largest clinics
that is some tenths of a second.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

FATES = (
    "'invited', 'access_added', 'has_access', 'gone', 'no_address', 'address_changed', 'do_not_invite', "
    "{}'inactive_patient', 'deactivated'"
)

# As in 0001, and: a pair that a custody block forbids is not invitable. `is_blocked` says that it would be otherwise,
# so that the list can show it as refused.
INVITABLE = """
CREATE FUNCTION is_under_custody_block(in_clinic uuid, to_patient uuid, by_contact uuid, at_address text) RETURNS boolean
STABLE LANGUAGE sql AS $$
    SELECT EXISTS (
        SELECT FROM access_holds h
        WHERE h.clinic_id = in_clinic AND h.patient_id = to_patient AND h.kind = 'custody' AND h.lifted_at IS NULL
          AND (h.contact_id = by_contact OR h.email_norm = at_address
               OR h.portal_user_id = (SELECT u.id FROM portal_users u
                                      WHERE u.clinic_id = in_clinic AND u.email_norm = at_address)))
$$;

CREATE OR REPLACE FUNCTION keep_invitable(changed uuid[]) RETURNS void LANGUAGE sql AS $$
    UPDATE relationships r
    SET list_key = found.list_key, is_invitable = found.is_free AND NOT found.is_forbidden,
        is_blocked = found.is_free AND found.is_forbidden
    FROM (
        SELECT r.clinic_id, r.id, c.search_text || ' ' || p.search_text AS list_key,
               c.email_norm IS NOT NULL AND p.status = 'active' AND NOT EXISTS (
                   SELECT FROM portal_users u
                   JOIN portal_access a ON a.clinic_id = u.clinic_id AND a.portal_user_id = u.id
                   WHERE u.clinic_id = c.clinic_id AND u.email_norm = c.email_norm
                     AND a.patient_id = p.id AND a.ended_at IS NULL
               ) AS is_free,
               is_under_custody_block(r.clinic_id, p.id, c.id, c.email_norm) AS is_forbidden
        FROM relationships r
        JOIN contacts c ON c.clinic_id = r.clinic_id AND c.id = r.contact_id
        JOIN patients p ON p.clinic_id = r.clinic_id AND p.id = r.patient_id
        WHERE r.id = ANY (changed)
    ) found
    WHERE r.clinic_id = found.clinic_id AND r.id = found.id
      AND (r.list_key, r.is_invitable, r.is_blocked)
          IS DISTINCT FROM (found.list_key, found.is_free AND NOT found.is_forbidden, found.is_free AND found.is_forbidden)
$$;

CREATE FUNCTION keep_invitable_of_holds() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM keep_invitable(ARRAY(
        SELECT r.id FROM new_rows n
        JOIN relationships r ON r.clinic_id = n.clinic_id AND r.patient_id = n.patient_id
        WHERE n.kind = 'custody'));
    RETURN NULL;
END $$;

CREATE TRIGGER invitable_of_new AFTER INSERT ON access_holds REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_invitable_of_holds();
CREATE TRIGGER invitable_of_changed AFTER UPDATE ON access_holds REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION keep_invitable_of_holds();
"""


def upgrade() -> None:
    _add("portal_access", "guardian_for_adult", sa.Boolean(), sa.false())
    for column in ("of_age_told_at", "came_of_age_at", "changed_at"):
        op.add_column("portal_access", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.add_column("portal_access", sa.Column("changed_by_id", sa.Uuid(), nullable=True))
    op.add_column("portal_access", sa.Column("changed_reason", sa.Text(), nullable=True))
    _add("portal_settings", "of_age_years", sa.BigInteger(), "18")
    op.create_check_constraint(op.f("ck_portal_settings_of_age_years"), "portal_settings", "of_age_years BETWEEN 13 AND 21")
    _add("relationships", "is_blocked", sa.Boolean(), sa.false())
    _add("relationships", "guardian_for_adult", sa.Boolean(), sa.false())
    op.add_column("relationships", sa.Column("guardian_reason", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_relationships_guardian_why"), "relationships", "guardian_for_adult = (guardian_reason IS NOT NULL)"
    )
    op.create_index("ix_patients_birth_on", "patients", ["clinic_id", "birth_on"], unique=False)
    op.drop_index("ix_relationships_invitable", "relationships")
    op.create_index(
        "ix_relationships_listed",
        "relationships",
        ["clinic_id", "list_key", "id"],
        unique=False,
        postgresql_where="is_invitable OR is_blocked",
    )
    _fates("'custody_block', ")
    _access_holds()
    op.get_bind().exec_driver_sql(INVITABLE)


def _add(table: str, column: str, kind: sa.types.TypeEngine, default: object) -> None:
    op.add_column(table, sa.Column(column, kind, nullable=False, server_default=default))
    op.alter_column(table, column, server_default=None)


def _fates(added: str) -> None:
    name, table = op.f("ck_invitation_batch_rows_fate"), "invitation_batch_rows"
    op.drop_constraint(name, table)
    op.create_check_constraint(name, table, f"fate IN ({FATES.format(added)})")


def _access_holds() -> None:
    references = {
        "patient_id": "patients",
        "portal_user_id": "portal_users",
        "contact_id": "contacts",
        "placed_by_id": "staff_members",
        "lifted_by_id": "staff_members",
    }
    op.create_table(
        "access_holds",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Uuid(), nullable=False),
        sa.Column("portal_user_id", sa.Uuid(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("email_norm", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("placed_by_id", sa.Uuid(), nullable=True),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by_id", sa.Uuid(), nullable=True),
        sa.Column("lifted_reason", sa.Text(), nullable=True),
        *(
            sa.ForeignKeyConstraint(
                ["clinic_id", column],
                [f"{table}.clinic_id", f"{table}.id"],
                name=op.f(f"fk_access_holds_clinic_id_{column}"),
            )
            for column, table in references.items()
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_access_holds_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_access_holds")),
        sa.CheckConstraint("kind IN ('custody', 'hold')", name=op.f("ck_access_holds_kind")),
        sa.CheckConstraint("length(reason) BETWEEN 1 AND 200", name=op.f("ck_access_holds_reason_length")),
        sa.CheckConstraint("length(lifted_reason) BETWEEN 1 AND 200", name=op.f("ck_access_holds_lifted_reason_length")),
        sa.CheckConstraint("num_nonnulls(portal_user_id, contact_id, email_norm) > 0", name=op.f("ck_access_holds_somebody")),
        sa.CheckConstraint("kind = 'custody' OR portal_user_id IS NOT NULL", name=op.f("ck_access_holds_a_user")),
        sa.CheckConstraint("kind = 'hold' OR until_at IS NULL", name=op.f("ck_access_holds_until_lifted")),
        sa.CheckConstraint("(lifted_at IS NULL) = (lifted_reason IS NULL)", name=op.f("ck_access_holds_lifted_why")),
    )
    op.create_index(
        "ix_access_holds_in_force",
        "access_holds",
        ["clinic_id", "patient_id"],
        unique=False,
        postgresql_where="lifted_at IS NULL",
    )


def downgrade() -> None:
    raise NotImplementedError("Custody blocks must not be forgotten; restore a backup.")
