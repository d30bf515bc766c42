"""What pages ask about conversations: plain rows. A portal user asking gets their own only, by row security too."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, bindparam, case, func, literal, select, true, tuple_

from clinic import incoming_files
from clinic.conversations.rows import Conversation, Message, MessageAttachment
from clinic.patients import Patient
from clinic.portal_users import PortalUser
from clinic.staff import StaffMember
from clinic.virus_scanner import Scan
from tenancy import keys, tenant
from tenancy.database import db
from tenancy.errors import NotFound

PURPOSE = "message_attachments"
MOST_AT_ONCE = 200


@dataclass(frozen=True)
class ConversationRow:
    """A conversation as lists show it; `unread` counts what the reader's other side wrote. `key` pages on."""

    id: UUID
    portal_user_id: UUID
    portal_user_name: str
    patient_id: UUID
    patient_name: str
    subject: str
    closed_at: datetime | None
    last_at: datetime
    last_is_from_clinic: bool
    unread: int
    key: str

    @property
    def is_closed(self) -> bool:
        return self.closed_at is not None

    @property
    def waits_for_clinic(self) -> bool:
        """Open, and the family had the last word."""
        return not self.is_closed and not self.last_is_from_clinic

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.key, self.id


@dataclass(frozen=True)
class MessageRow:
    """`staff_name` is only for staff; the family reads the clinic's name."""

    id: UUID
    written_at: datetime
    text: str
    is_from_clinic: bool
    staff_name: str | None


@dataclass(frozen=True)
class AttachmentRow:
    id: UUID
    message_id: UUID
    file_name: str
    media_type: str
    size_bytes: int
    scan: str


_newest: Any = (
    select(Message.written_at, Message.staff_member_id)
    .where(Message.clinic_id == Conversation.clinic_id, Message.conversation_id == Conversation.id)
    .order_by(Message.written_at.desc(), Message.id)
    .limit(1)
    .lateral("newest")
)
_waits = Conversation.closed_at.is_(None) & _newest.c.staff_member_id.is_(None)
# Sorts as text: what waits for the clinic first, and within that the newest.
_key = (
    case((_waits, "1"), else_="0")
    + func.to_char(func.timezone("UTC", _newest.c.written_at), "YYYY-MM-DD HH24:MI:SS.US")
).collate("C")


def _unread(by_family: bool) -> Any:
    """How many messages one side has not read."""
    mark = Conversation.family_read_at if by_family else Conversation.clinic_read_at
    other_side = Message.staff_member_id.is_not(None) if by_family else Message.staff_member_id.is_(None)
    return (
        select(func.count())
        .select_from(Message)
        .where(
            Message.clinic_id == Conversation.clinic_id,
            Message.conversation_id == Conversation.id,
            other_side,
            mark.is_(None) | (Message.written_at > mark),
        )
    )


def _listed(by_family: bool) -> Select[Any]:
    name = literal("", Text) if by_family else PortalUser.name
    found = (
        select(
            Conversation.id,
            Conversation.portal_user_id,
            name,
            Conversation.patient_id,
            Patient.name,
            Conversation.subject,
            Conversation.closed_at,
            _newest.c.written_at,
            _newest.c.staff_member_id.is_not(None),
            _unread(by_family).correlate(Conversation).scalar_subquery(),
            _key,
        )
        .join(Patient, (Patient.clinic_id == Conversation.clinic_id) & (Patient.id == Conversation.patient_id))
        .join(_newest, true())
    )
    if not by_family:
        found = found.join(
            PortalUser,
            (PortalUser.clinic_id == Conversation.clinic_id) & (PortalUser.id == Conversation.portal_user_id),
        )
    return found


_FOR_STAFF = _listed(by_family=False).order_by(_key.desc(), Conversation.id.desc())
_FOR_FAMILY = (
    _listed(by_family=True)
    .where(Conversation.portal_user_id == bindparam("portal_user_id"))
    .order_by(_newest.c.written_at.desc(), Conversation.id)
)
_UNREAD_BY_CLINIC = (
    select(func.count())
    .select_from(Conversation)
    .where(_unread(by_family=False).with_only_columns(Message.id).correlate(Conversation).exists())
)
# Of one portal user about one patient, correlated by the caller's columns: what the home page counts.
UNREAD_BY_FAMILY = _unread(by_family=True).join(
    Conversation, (Conversation.clinic_id == Message.clinic_id) & (Conversation.id == Message.conversation_id)
)
_MESSAGES = (
    select(
        Message.id, Message.written_at, Message.text, Message.staff_member_id.is_not(None), bindparam("nobody", type_=Text)
    )
    .where(Message.conversation_id == bindparam("conversation_id"))
    .order_by(Message.written_at, Message.id)
)
_MESSAGES_FOR_STAFF = (
    select(Message.id, Message.written_at, Message.text, Message.staff_member_id.is_not(None), StaffMember.name)
    .outerjoin(
        StaffMember, (StaffMember.clinic_id == Message.clinic_id) & (StaffMember.id == Message.staff_member_id)
    )
    .where(Message.conversation_id == bindparam("conversation_id"))
    .order_by(Message.written_at, Message.id)
)
_ATTACHMENTS = (
    select(
        MessageAttachment.id,
        MessageAttachment.message_id,
        MessageAttachment.file_name,
        MessageAttachment.media_type,
        MessageAttachment.size_bytes,
        MessageAttachment.scan,
    )
    .join(
        Message, (Message.clinic_id == MessageAttachment.clinic_id) & (Message.id == MessageAttachment.message_id)
    )
    .where(Message.conversation_id == bindparam("conversation_id"))
    .order_by(MessageAttachment.file_name, MessageAttachment.id)
)


def search(*, after: tuple[str, UUID] | None = None, limit: int = 50) -> list[ConversationRow]:
    """Every conversation of the clinic, for staff: those that wait for the clinic first, then the newest."""
    statement = _FOR_STAFF.limit(limit)
    if after:
        place = tuple_(bindparam("key", after[0]), bindparam("id", after[1]))
        statement = statement.where(tuple_(_key, Conversation.id) < place)
    return [ConversationRow(*row) for row in db.session.execute(statement)]


def of_patient(patient_id: UUID) -> list[ConversationRow]:
    """Every conversation about a patient, for staff."""
    return [
        ConversationRow(*row) for row in db.session.execute(_FOR_STAFF.where(Conversation.patient_id == patient_id))
    ]


def of_portal_user(patient_id: UUID) -> list[ConversationRow]:
    """What the signed-in portal user and the clinic wrote each other about a patient, newest first."""
    found = db.session.execute(
        _FOR_FAMILY.where(Conversation.patient_id == patient_id), {"portal_user_id": tenant.current().portal_user_id}
    )
    return [ConversationRow(*row) for row in found]


def get(conversation_id: UUID) -> ConversationRow:
    """For the signed-in portal user their own, for staff any of the clinic. Raises NotFound."""
    me = tenant.current().portal_user_id
    statement = _FOR_FAMILY if me else _FOR_STAFF
    row = db.session.execute(
        statement.where(Conversation.id == conversation_id), {"portal_user_id": me} if me else {}
    ).one_or_none()
    if row is None:
        raise NotFound("conversation")
    return ConversationRow(*row)


def messages_of(conversation: ConversationRow) -> list[MessageRow]:
    """Oldest first."""
    asking = {"conversation_id": conversation.id}
    if tenant.current().portal_user_id:
        return [MessageRow(*row) for row in db.session.execute(_MESSAGES, asking | {"nobody": None})]
    return [MessageRow(*row) for row in db.session.execute(_MESSAGES_FOR_STAFF, asking)]


def attachments_of(conversation: ConversationRow) -> dict[UUID, list[AttachmentRow]]:
    """By message."""
    found: dict[UUID, list[AttachmentRow]] = {}
    for row in db.session.execute(_ATTACHMENTS, {"conversation_id": conversation.id}):
        found.setdefault(row.message_id, []).append(AttachmentRow(*row))
    return found


def get_attachment(conversation: ConversationRow, attachment_id: UUID) -> AttachmentRow:
    """Raises NotFound, also for an attachment of another conversation."""
    row = db.session.execute(
        _ATTACHMENTS.where(MessageAttachment.id == attachment_id), {"conversation_id": conversation.id}
    ).one_or_none()
    if row is None:
        raise NotFound("attachment")
    return AttachmentRow(*row)


def content_of(attachment: AttachmentRow) -> bytes:
    """The file, opened for someone who may read the conversation; whoever shows it records the look. Raises Conflict."""
    incoming_files.check_may_be_opened(attachment.scan)
    return fetch_attachment(attachment.id)


def fetch_attachment(attachment_id: UUID) -> bytes:
    """Raises keys.Unreadable where the bytes were tampered with."""
    sealed = db.session.scalars(select(MessageAttachment.sealed).where(MessageAttachment.id == attachment_id)).one()
    return keys.unseal(sealed, purpose=PURPOSE, row_id=attachment_id)


def waiting_for_scan() -> list[UUID]:
    """Attachments that the virus scanner has not seen; some of them, if they are many."""
    waiting = select(MessageAttachment.id).where(MessageAttachment.scan == Scan.WAITING)
    return list(db.session.scalars(waiting.limit(MOST_AT_ONCE)))


def count_unread() -> int:
    """In how many conversations a family wrote something that nobody at the clinic has read."""
    return db.session.scalars(_UNREAD_BY_CLINIC).one()
