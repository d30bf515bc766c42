"""Conversations: one portal user and the clinic, about one patient. Two parents never see each other's.

The clinic is one side, whoever of its staff writes. Each side has a mark up to which it has read; unread is what the
other side wrote after it. Open until staff close it, and again once they reopen it. A family reads and writes while
the clinic allows messages and their access to the patient's records lives; row security holds both by itself.
"""

from clinic.conversations.questions import (
    UNREAD_BY_FAMILY,
    AttachmentRow,
    ConversationRow,
    MessageRow,
    attachments_of,
    content_of,
    count_unread,
    fetch_attachment,
    get,
    get_attachment,
    messages_of,
    of_patient,
    of_portal_user,
    search,
    waiting_for_scan,
)
from clinic.conversations.rows import (
    LONGEST_SUBJECT,
    LONGEST_TEXT,
    MOST_FILES,
    Conversation,
    Message,
    MessageAttachment,
)
from clinic.conversations.verbs import (
    Written,
    answer,
    ask,
    close,
    note_scan,
    read_by_clinic,
    read_by_family,
    reopen,
    reply,
    write_to,
)

__all__ = [
    "LONGEST_SUBJECT",
    "LONGEST_TEXT",
    "MOST_FILES",
    "UNREAD_BY_FAMILY",
    "AttachmentRow",
    "Conversation",
    "ConversationRow",
    "Message",
    "MessageAttachment",
    "MessageRow",
    "Written",
    "answer",
    "ask",
    "attachments_of",
    "close",
    "content_of",
    "count_unread",
    "fetch_attachment",
    "get",
    "get_attachment",
    "messages_of",
    "note_scan",
    "of_patient",
    "of_portal_user",
    "read_by_clinic",
    "read_by_family",
    "reopen",
    "reply",
    "search",
    "waiting_for_scan",
    "write_to",
]
