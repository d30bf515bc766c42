"""Passkeys: a new table; its references to living ones are from an empty one."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

HOLDERS = {"staff_member_id": "staff_members", "portal_user_id": "portal_users"}


def upgrade() -> None:
    op.create_table(
        "passkeys",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("challenged_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(column, sa.Uuid(), nullable=True) for column in HOLDERS),
        sa.CheckConstraint("num_nonnulls(staff_member_id, portal_user_id) = 1", name=op.f("ck_passkeys_one_holder")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 60", name=op.f("ck_passkeys_name_length")),
        *(
            sa.ForeignKeyConstraint(
                ["clinic_id", column],
                [f"{table}.clinic_id", f"{table}.id"],
                name=op.f(f"fk_passkeys_clinic_id_{column}"),
            )
            for column, table in HOLDERS.items()
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_passkeys_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_passkeys")),
    )
    op.create_index("uq_passkeys_credential_id", "passkeys", ["clinic_id", "credential_id"], unique=True)
    for column in HOLDERS:
        op.create_index(f"ix_passkeys_{column.removesuffix('_id')}", "passkeys", ["clinic_id", column])


def downgrade() -> None:
    op.drop_table("passkeys")
