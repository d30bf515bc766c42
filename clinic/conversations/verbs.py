"""What is done in conversations: a family asks and replies, staff write and answer, each side reads, staff close."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from flask_babel import lazy_gettext as _l
from sqlalchemy import select, update
from sqlalchemy.orm import InstrumentedAttribute

from clinic import actors, audit, patients, plain_text, portal_settings, portal_users
from clinic.actors import ActorKind
from clinic.conversations.questions import PURPOSE, ConversationRow, MessageRow
from clinic.conversations.rows import (
    LONGEST_SUBJECT,
    LONGEST_TEXT,
    MOST_FILES,
    Conversation,
    Message,
    MessageAttachment,
)
from clinic.incoming_files import TakenFile
from clinic.virus_scanner import Scan
from mail import letters, outbox
from tenancy import clock, keys, tenant
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused

SWITCHED_OFF = _l("Patient messaging is switched off, so this person could not read it.")
NO_ACCESS = _l("This person cannot see the patient's records on the portal at the moment, so they could not read it.")
CLOSED = _l("This conversation is closed.")


@dataclass(frozen=True)
class Written:
    """A message as it was typed, with the files that came with it."""

    text: str
    files: Sequence[TakenFile] = field(default=())


def ask(patient_id: UUID, subject: str, written: Written) -> Conversation:
    """The signed-in portal user begins a conversation. Raises NotFound, Refused."""
    me = _me()
    _check_family_may_write(me, patient_id)
    return _start(me, patient_id, subject, written)


def reply(conversation_id: UUID, written: Written) -> Message:
    """The signed-in portal user writes on. Raises NotFound, Refused, Conflict."""
    conversation = _locked(conversation_id)
    _check_family_may_write(_me(), conversation.patient_id)
    return _write(conversation, written)


def write_to(portal_user_id: UUID, patient_id: UUID, subject: str, written: Written) -> Conversation:
    """Staff begin a conversation with a portal user about a patient. Raises NotFound, Refused, Conflict."""
    patients.get(patient_id)
    _check_can_be_read(portal_user_id, patient_id)
    conversation = _start(portal_user_id, patient_id, subject, written)
    _post_letter(portal_user_id)
    return conversation


def answer(conversation_id: UUID, written: Written) -> Message:
    """Staff write on. Raises NotFound, Refused, Conflict."""
    conversation = _locked(conversation_id)
    _check_can_be_read(conversation.portal_user_id, conversation.patient_id)
    has_unread = _has_unread_by_family(conversation)
    message = _write(conversation, written)
    if not has_unread:
        _post_letter(conversation.portal_user_id)
    return message


def close(conversation_id: UUID) -> None:
    """From now on nobody writes here. Raises NotFound, Conflict."""
    conversation = _locked(conversation_id)
    if conversation.is_closed:
        raise Conflict(_l("This conversation is closed already."))
    conversation.closed_at, conversation.closed_by_id = clock.now(), actors.current().id
    audit.record("conversation.closed", subject_id=conversation.id, patient_id=conversation.patient_id)


def reopen(conversation_id: UUID) -> None:
    """Raises NotFound, Conflict."""
    conversation = _locked(conversation_id)
    if not conversation.is_closed:
        raise Conflict(_l("This conversation is open already."))
    conversation.closed_at = conversation.closed_by_id = None
    audit.record("conversation.reopened", subject_id=conversation.id, patient_id=conversation.patient_id)


def read_by_family(conversation: ConversationRow, messages: Sequence[MessageRow]) -> None:
    """Note up to where the portal user has read."""
    _read(Conversation.family_read_at, conversation, messages)


def read_by_clinic(conversation: ConversationRow, messages: Sequence[MessageRow]) -> None:
    """Note up to where somebody at the clinic has read."""
    _read(Conversation.clinic_read_at, conversation, messages)


def note_scan(attachment_id: UUID, found: Scan) -> None:
    """What the virus scanner said of an attachment that waited for it."""
    message_id = db.session.scalars(
        update(MessageAttachment)
        .where(MessageAttachment.id == attachment_id)
        .values(scan=found)
        .returning(MessageAttachment.message_id)
    ).one()
    about = select(Conversation.patient_id).join(Message, Message.conversation_id == Conversation.id)
    patient_id = db.session.scalars(about.where(Message.id == message_id)).one()
    audit.record("message_attachment.scanned", subject_id=attachment_id, patient_id=patient_id, found=found)


def _read(
    mark: InstrumentedAttribute[object], conversation: ConversationRow, messages: Sequence[MessageRow]
) -> None:
    """The mark is the newest message that was shown: one that arrives meanwhile stays unread."""
    newest = messages[-1].written_at
    db.session.execute(
        update(Conversation)
        .where(Conversation.id == conversation.id, mark.is_(None) | (mark < newest))
        .values({mark: newest})
        .execution_options(synchronize_session=False)
    )


def _start(portal_user_id: UUID, patient_id: UUID, subject: str, written: Written) -> Conversation:
    title = plain_text.one_line(subject)
    if not 1 <= len(title) <= LONGEST_SUBJECT:
        raise Refused(_l("A subject must have 1 to 35 characters."), field="subject")
    conversation = Conversation(
        id=uuid4(), portal_user_id=portal_user_id, patient_id=patient_id, subject=title, started_at=clock.now()
    )
    text = _checked(written)
    db.session.add(conversation)
    db.session.flush()
    audit.record("conversation.started", subject_id=conversation.id, patient_id=patient_id)
    _add(conversation, text, written.files)
    return conversation


def _write(conversation: Conversation, written: Written) -> Message:
    if conversation.is_closed:
        raise Conflict(CLOSED)
    return _add(conversation, _checked(written), written.files)


def _checked(written: Written) -> str:
    """The text as it is kept. Raises Refused."""
    text = plain_text.lines(written.text)
    if not 1 <= len(text) <= LONGEST_TEXT:
        raise Refused(_l("A message must have 1 to 2,000 characters."), field="text")
    if len(written.files) > MOST_FILES:
        raise Refused(_l("A message can have at most 3 files."), field="file")
    return text


def _add(conversation: Conversation, text: str, files: Sequence[TakenFile]) -> Message:
    actor = actors.current()
    message = Message(
        id=uuid4(),
        conversation_id=conversation.id,
        staff_member_id=actor.id if actor.kind == ActorKind.STAFF else None,
        written_at=clock.now(),
        text=text,
    )
    db.session.add(message)
    db.session.flush()
    for file in files:
        row_id = uuid4()
        sealed = keys.seal(file.content, purpose=PURPOSE, row_id=row_id)
        db.session.add(
            MessageAttachment(
                id=row_id,
                message_id=message.id,
                file_name=file.name,
                media_type=file.media_type,
                size_bytes=len(file.content),
                scan=file.scan,
                sealed=sealed,
            )
        )
    db.session.flush()
    audit.record(
        "message.written", subject_id=message.id, patient_id=conversation.patient_id, attachments=len(files)
    )
    return message


def _check_family_may_write(portal_user_id: UUID, patient_id: UUID) -> None:
    """Raises NotFound: to a family that may not write, there are no messages."""
    allowed = portal_settings.get().allows_messages and portal_users.sees_records(portal_user_id, patient_id)
    if not allowed:
        raise NotFound("messages")


def _check_can_be_read(portal_user_id: UUID, patient_id: UUID) -> None:
    """Raises Conflict: staff write nothing that would lie unread."""
    if actors.current().kind != ActorKind.STAFF:
        raise NotFound("conversation")
    if not portal_settings.get().allows_messages:
        raise Conflict(SWITCHED_OFF)
    user = portal_users.get(portal_user_id)
    if not user.may_sign_in or not portal_users.sees_records(portal_user_id, patient_id):
        raise Conflict(NO_ACCESS)


def _has_unread_by_family(conversation: Conversation) -> bool:
    """Whether the family was told already: a letter waits for them as long as a message does."""
    read_until = conversation.family_read_at
    newer = select(Message.id).where(
        Message.conversation_id == conversation.id, Message.staff_member_id.is_not(None)
    )
    if read_until:
        newer = newer.where(Message.written_at > read_until)
    return db.session.scalars(newer.limit(1)).first() is not None


def _post_letter(portal_user_id: UUID) -> None:
    outbox.post(letters.MessageWaiting(to=portal_users.get(portal_user_id).addressee))


def _locked(conversation_id: UUID) -> Conversation:
    """Writers wait for each other, so that no message is older than one that was read. Raises NotFound."""
    statement = select(Conversation).where(Conversation.id == conversation_id).with_for_update(key_share=True)
    if me := tenant.current().portal_user_id:
        statement = statement.where(Conversation.portal_user_id == me)
    conversation = db.session.scalars(statement).one_or_none()
    if conversation is None:
        raise NotFound("conversation")
    return conversation


def _me() -> UUID:
    """Raises NotFound for anybody but a signed-in portal user."""
    me = tenant.current().portal_user_id
    if me is None:
        raise NotFound("portal user")
    return me
