"""Payments are found by the mailing whose link they were begun by.

Safe beside running clinics: the index is of payments by a mailed link, and there are none yet.
"""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_index("ix_payments_mailing", "payments", ["clinic_id", "mailing_id"], postgresql_where="mailing_id IS NOT NULL")


def downgrade() -> None:
    op.drop_index("ix_payments_mailing", "payments")
