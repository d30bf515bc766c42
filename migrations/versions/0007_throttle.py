"""What the throttle counts, at each clinic and outside them all.

Safe beside running clinics: two new tables that nothing refers to.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "throttle_buckets",
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        *_filling(),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f("fk_throttle_buckets_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f("pk_throttle_buckets")),
    )
    op.create_table(
        "platform_throttle_buckets",
        sa.Column("id", sa.Uuid(), nullable=False),
        *_filling(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_throttle_buckets")),
    )


def downgrade() -> None:
    op.drop_table("platform_throttle_buckets")
    op.drop_table("throttle_buckets")


def _filling() -> tuple[sa.Column, sa.Column]:
    return (
        sa.Column("drained_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
    )
