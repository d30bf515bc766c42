"""What the virus scanner said of each file that people sent.

Safe beside running clinics: a constant default adds a column without rewriting the table. It stays, so that the
release before can still file a document.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TABLES = ("documents", "message_attachments")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("scan", sa.Text(), nullable=False, server_default="none"))
        op.create_check_constraint(op.f(f"ck_{table}_scan"), table, "scan IN ('none', 'clean', 'waiting', 'infected')")
        op.create_index(
            f"ix_{table}_waiting", table, ["clinic_id", "id"], unique=False, postgresql_where="scan = 'waiting'"
        )


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "scan")
