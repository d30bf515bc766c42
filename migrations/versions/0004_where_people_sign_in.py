"""What a person needs to know their own sign-ins again: browser and network address.

Safe beside running clinics: columns without a default are added without rewriting the table.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

COLUMNS = ("browser", "network_address")


def upgrade() -> None:
    for column in COLUMNS:
        op.add_column("sessions", sa.Column(column, sa.Text(), nullable=True))


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_column("sessions", column)
