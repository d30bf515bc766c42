"""Second factors, sessions that stop on the way in, and passwords that may be shorter beside a factor.

Safe beside running clinics: constant defaults add columns without rewriting a table, and are dropped at once; the wider
check on links is added unvalidated and then validated, which blocks nobody who writes; references to living tables are
from new, empty ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

PURPOSES = (
    *("invitation", "password-reset", "email-change", "reply-to"),
    *("staff-invitation", "staff-password-reset", "staff-email-change"),
)
RESETS = ("sign-in-reset", "staff-sign-in-reset")


def upgrade() -> None:
    for table, column, kind, default in (
        ("sessions", "stage", sa.Text(), "full"),
        ("passwords", "needs_factor", sa.Boolean(), sa.false()),
        ("portal_settings", "requires_second_factor", sa.Boolean(), sa.false()),
    ):
        op.add_column(table, sa.Column(column, kind, nullable=False, server_default=default))
        op.alter_column(table, column, server_default=None)
    _check("sessions", "stage", ("full", "factor_due", "enrolment_due"))
    op.drop_constraint(op.f("ck_mailed_links_purpose"), "mailed_links")
    _check("mailed_links", "purpose", (*PURPOSES, *RESETS))
    _authenticators()
    _authenticator_secrets()
    _recovery_codes()


def downgrade() -> None:
    for table in ("recovery_codes", "authenticator_secrets", "authenticators"):
        op.drop_table(table)
    op.drop_constraint(op.f("ck_mailed_links_purpose"), "mailed_links")
    op.execute("DELETE FROM mailed_links WHERE purpose IN ('sign-in-reset', 'staff-sign-in-reset')")
    _check("mailed_links", "purpose", PURPOSES)
    op.drop_column("portal_settings", "requires_second_factor")
    op.drop_column("passwords", "needs_factor")
    op.drop_column("sessions", "stage")


def _check(table: str, column: str, words: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{word}'" for word in words)
    name = f"ck_{table}_{column}"
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IN ({listed})) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def _held(table: str, *columns: sa.Column) -> list[sa.Column | sa.Constraint]:
    """The key that begins with the clinic, the holder, the columns, and references that stay inside the clinic."""
    return [
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        *columns,
        sa.Column("staff_member_id", sa.Uuid(), nullable=True),
        sa.Column("portal_user_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("num_nonnulls(staff_member_id, portal_user_id) = 1", name=op.f(f"ck_{table}_one_holder")),
        *(
            sa.ForeignKeyConstraint(
                ["clinic_id", column],
                [f"{other}.clinic_id", f"{other}.id"],
                name=op.f(f"fk_{table}_clinic_id_{column}"),
            )
            for column, other in (("staff_member_id", "staff_members"), ("portal_user_id", "portal_users"))
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f(f"fk_{table}_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f(f"pk_{table}")),
    ]


def _authenticators() -> None:
    op.create_table(
        "authenticators", *_held("authenticators", sa.Column("added_at", sa.DateTime(timezone=True), nullable=False))
    )
    for holder in ("staff_member", "portal_user"):
        op.create_index(f"uq_authenticators_{holder}", "authenticators", ["clinic_id", f"{holder}_id"], unique=True)


def _authenticator_secrets() -> None:
    table = "authenticator_secrets"
    op.create_table(
        table,
        *_held(
            table,
            sa.Column("authenticator_id", sa.Uuid(), nullable=False),
            sa.Column("sealed", sa.LargeBinary(), nullable=False),
            sa.Column("last_step", sa.BigInteger(), nullable=False),
        ),
        sa.ForeignKeyConstraint(
            ["clinic_id", "authenticator_id"],
            ["authenticators.clinic_id", "authenticators.id"],
            name=op.f(f"fk_{table}_clinic_id_authenticator_id"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(f"uq_{table}_authenticator", table, ["clinic_id", "authenticator_id"], unique=True)
    _by_holder(table)


def _recovery_codes() -> None:
    op.create_table(
        "recovery_codes",
        *_held(
            "recovery_codes",
            sa.Column("code_hash", sa.LargeBinary(), nullable=False),
            sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        ),
    )
    op.create_index("uq_recovery_codes_code_hash", "recovery_codes", ["clinic_id", "code_hash"], unique=True)
    _by_holder("recovery_codes")


def _by_holder(table: str) -> None:
    for holder in ("staff_member", "portal_user"):
        op.create_index(f"ix_{table}_{holder}", table, ["clinic_id", f"{holder}_id"])
