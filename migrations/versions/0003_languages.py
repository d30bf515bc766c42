"""The language that a contact, a portal user and a letter speak.

Safe beside running clinics: a constant default adds a column without rewriting the table. It stays on letters, so that
the release before can still post one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = ("contacts", "portal_users", "letters")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("language", sa.Text(), nullable=False, server_default="en"))
        op.create_check_constraint(op.f(f"ck_{table}_language"), table, "language IN ('en', 'es')")


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "language")
