"""The rows: conversations, their messages, and the sealed files that came with a message."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from clinic.incoming_files import LONGEST_NAME
from clinic.virus_scanner import Scan
from tenancy.database import Base, ClinicOwned, one_of, same_clinic, text_up_to

LONGEST_SUBJECT = 35
LONGEST_TEXT = 2000
MOST_FILES = 3


class Conversation(ClinicOwned, Base):
    __tablename__ = "conversations"
    __table_args__ = (
        same_clinic("portal_user_id", "portal_users"),
        same_clinic("patient_id", "patients"),
        same_clinic("closed_by_id", "staff_members"),
        text_up_to("subject", LONGEST_SUBJECT),
        CheckConstraint("(closed_at IS NULL) = (closed_by_id IS NULL)", name="closed_by"),
        Index("ix_conversations_portal_user", "clinic_id", "portal_user_id", "patient_id"),
        Index("ix_conversations_patient", "clinic_id", "patient_id"),
    )
    portal_user_id: Mapped[UUID]
    patient_id: Mapped[UUID]
    subject: Mapped[str]
    started_at: Mapped[datetime]
    family_read_at: Mapped[datetime | None]  # when the newest message was written that this side has seen
    clinic_read_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    closed_by_id: Mapped[UUID | None]

    @property
    def is_closed(self) -> bool:
        return self.closed_at is not None


class Message(ClinicOwned, Base):
    """Written once and never changed; by the portal user where `staff_member_id` is none."""

    __tablename__ = "messages"
    __table_args__ = (
        same_clinic("conversation_id", "conversations"),
        same_clinic("staff_member_id", "staff_members"),
        text_up_to("text", LONGEST_TEXT),
        Index("ix_messages_conversation", "clinic_id", "conversation_id", "written_at"),
    )
    conversation_id: Mapped[UUID]
    staff_member_id: Mapped[UUID | None]
    written_at: Mapped[datetime]
    text: Mapped[str]


class MessageAttachment(ClinicOwned, Base):
    """A file, sealed with the clinic's key and bound to this row."""

    __tablename__ = "message_attachments"
    __table_args__ = (
        same_clinic("message_id", "messages"),
        text_up_to("file_name", LONGEST_NAME),
        CheckConstraint("size_bytes > 0", name="size_bytes"),
        one_of("scan", Scan),
        Index("ix_message_attachments_waiting", "clinic_id", "id", postgresql_where="scan = 'waiting'"),
        Index("ix_message_attachments_message", "clinic_id", "message_id"),
    )
    message_id: Mapped[UUID]
    file_name: Mapped[str]
    media_type: Mapped[str]
    size_bytes: Mapped[int]
    scan: Mapped[str] = mapped_column(server_default=Scan.NONE)
    sealed: Mapped[bytes]
