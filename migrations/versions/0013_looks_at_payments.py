"""How often a payment was brought up to date, so that nothing read from Stripe before the last time is written after it.

Safe beside running clinics: one column with a constant default, which rewrites nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("payments", sa.Column("looks", sa.BigInteger(), nullable=False, server_default="0"))
    op.alter_column("payments", "looks", server_default=None)
