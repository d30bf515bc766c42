"""Patient messaging and appointment requests, each with its switch.

Safe beside running clinics: a constant default adds a column without rewriting the table, and is dropped at once;
references to living tables are to new, empty ones.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SWITCHES = ("allows_messages", "allows_appointment_requests")


def upgrade() -> None:
    for switch in SWITCHES:
        op.add_column("portal_settings", sa.Column(switch, sa.Boolean(), nullable=False, server_default=sa.false()))
        op.alter_column("portal_settings", switch, server_default=None)
    _conversations()
    _messages()
    _message_attachments()
    _appointment_requests()


def downgrade() -> None:
    for table in ("appointment_requests", "message_attachments", "messages", "conversations"):
        op.drop_table(table)
    for switch in SWITCHES:
        op.drop_column("portal_settings", switch)


def _owned(table: str, *columns: sa.Column, **references: str) -> list[sa.Column | sa.Constraint]:
    """The key that begins with the clinic, the columns, and references that stay inside the clinic."""
    return [
        sa.Column("clinic_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        *columns,
        *(
            sa.ForeignKeyConstraint(
                ["clinic_id", column],
                [f"{other}.clinic_id", f"{other}.id"],
                name=op.f(f"fk_{table}_clinic_id_{column}"),
            )
            for column, other in references.items()
        ),
        sa.ForeignKeyConstraint(["clinic_id"], ["clinics.id"], name=op.f(f"fk_{table}_clinic_id")),
        sa.PrimaryKeyConstraint("clinic_id", "id", name=op.f(f"pk_{table}")),
    ]


def _conversations() -> None:
    op.create_table(
        "conversations",
        *_owned(
            "conversations",
            sa.Column("portal_user_id", sa.Uuid(), nullable=False),
            sa.Column("patient_id", sa.Uuid(), nullable=False),
            sa.Column("subject", sa.Text(), nullable=False),
            sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("family_read_at", sa.DateTime(timezone=True), nullable=True),
            sa.Column("clinic_read_at", sa.DateTime(timezone=True), nullable=True),
            sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
            sa.Column("closed_by_id", sa.Uuid(), nullable=True),
            portal_user_id="portal_users",
            patient_id="patients",
            closed_by_id="staff_members",
        ),
        sa.CheckConstraint("length(subject) BETWEEN 1 AND 35", name=op.f("ck_conversations_subject_length")),
        sa.CheckConstraint(
            "(closed_at IS NULL) = (closed_by_id IS NULL)", name=op.f("ck_conversations_closed_by")
        ),
    )
    op.create_index(
        "ix_conversations_portal_user", "conversations", ["clinic_id", "portal_user_id", "patient_id"], unique=False
    )
    op.create_index("ix_conversations_patient", "conversations", ["clinic_id", "patient_id"], unique=False)


def _messages() -> None:
    op.create_table(
        "messages",
        *_owned(
            "messages",
            sa.Column("conversation_id", sa.Uuid(), nullable=False),
            sa.Column("staff_member_id", sa.Uuid(), nullable=True),
            sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("text", sa.Text(), nullable=False),
            conversation_id="conversations",
            staff_member_id="staff_members",
        ),
        sa.CheckConstraint("length(text) BETWEEN 1 AND 2000", name=op.f("ck_messages_text_length")),
    )
    op.create_index(
        "ix_messages_conversation", "messages", ["clinic_id", "conversation_id", "written_at"], unique=False
    )


def _message_attachments() -> None:
    op.create_table(
        "message_attachments",
        *_owned(
            "message_attachments",
            sa.Column("message_id", sa.Uuid(), nullable=False),
            sa.Column("file_name", sa.Text(), nullable=False),
            sa.Column("media_type", sa.Text(), nullable=False),
            sa.Column("size_bytes", sa.BigInteger(), nullable=False),
            sa.Column("sealed", sa.LargeBinary(), nullable=False),
            message_id="messages",
        ),
        sa.CheckConstraint(
            "length(file_name) BETWEEN 1 AND 100", name=op.f("ck_message_attachments_file_name_length")
        ),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_message_attachments_size_bytes")),
    )
    op.create_index("ix_message_attachments_message", "message_attachments", ["clinic_id", "message_id"], unique=False)


def _appointment_requests() -> None:
    op.create_table(
        "appointment_requests",
        *_owned(
            "appointment_requests",
            sa.Column("portal_user_id", sa.Uuid(), nullable=False),
            sa.Column("patient_id", sa.Uuid(), nullable=False),
            sa.Column("wish", sa.Text(), nullable=False),
            sa.Column("preferred_on", sa.Date(), nullable=True),
            sa.Column("state", sa.Text(), nullable=False),
            sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
            sa.Column("answer", sa.Text(), nullable=True),
            sa.Column("answered_by_id", sa.Uuid(), nullable=True),
            portal_user_id="portal_users",
            patient_id="patients",
            answered_by_id="staff_members",
        ),
        sa.CheckConstraint(
            "state IN ('open', 'answered', 'withdrawn')", name=op.f("ck_appointment_requests_state")
        ),
        sa.CheckConstraint("length(wish) BETWEEN 1 AND 500", name=op.f("ck_appointment_requests_wish_length")),
        sa.CheckConstraint("length(answer) BETWEEN 1 AND 500", name=op.f("ck_appointment_requests_answer_length")),
        sa.CheckConstraint(
            "(state = 'open') = (ended_at IS NULL)", name=op.f("ck_appointment_requests_ended_when")
        ),
        sa.CheckConstraint(
            "(state = 'answered') = (answer IS NOT NULL)", name=op.f("ck_appointment_requests_answered_what")
        ),
    )
    op.create_index(
        "ix_appointment_requests_patient",
        "appointment_requests",
        ["clinic_id", "patient_id", "portal_user_id"],
        unique=False,
    )
    op.create_index(
        "ix_appointment_requests_open",
        "appointment_requests",
        ["clinic_id", "asked_at"],
        unique=False,
        postgresql_where="state = 'open'",
    )
