"""Messages: what families wrote to the clinic, answers, and conversations that staff begin."""

from typing import Any
from uuid import UUID

from flask import Response, flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.file import MultipleFileField
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectChoice, SelectField, StringField

from admin_app import paging
from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from clinic import conversations, incoming_files, patients, portal_settings, portal_users
from clinic.conversations import Written
from clinic.portal_users import PortalUserState
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui import file_answers
from ui.body_sizes import takes_files
from ui.forms import LinesField, PorticoForm, at_most, required
from ui.looks import about, shows


class MessageForm(PorticoForm):
    text = LinesField(_l("Message"), [required(_l("Write a message.")), at_most(conversations.LONGEST_TEXT)])
    file = MultipleFileField(_l("Files"))

    def written(self) -> Written:
        """Raises Refused. Reads files: outside of a transaction."""
        files = [incoming_files.take(each.filename or "", each.read()) for each in self.file.data or ()]
        return Written(self.text.data, files)


class NewConversationForm(MessageForm):
    reader_id = SelectField(_l("To"), coerce=UUID)
    subject = StringField(_l("Subject"), [required(_l("Enter a subject.")), at_most(conversations.LONGEST_SUBJECT)])


@admin.get("/conversations")
@needs(Right.RECORDS)
@shows("conversations.listed")
def conversations_list() -> Response:
    place = paging.place()
    with transaction():
        found = conversations.search(after=place, limit=paging.ROWS + 1)
        allowed = portal_settings.get().allows_messages
    rows, following = paging.cut(found)
    return page("admin/conversations/list.html", rows=rows, place=place, following=following, allowed=allowed)


@admin.get("/patients/<uuid:patient_id>/conversations")
@needs(Right.RECORDS)
@shows("conversations.viewed")
def patient_conversations(patient_id: UUID) -> Response:
    with transaction():
        patient = patients.row_of(patient_id)
        rows = conversations.of_patient(patient_id)
        allowed = portal_settings.get().allows_messages
    return page("admin/conversations/of_patient.html", patient=patient, rows=rows, allowed=allowed)


@admin.route("/patients/<uuid:patient_id>/conversations/new", methods=["GET", "POST"])
@needs(Right.RECORDS)
@takes_files(incoming_files.MOST_BYTES)
@shows("conversations.viewed")
def new_conversation(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
        readers = [each for each in portal_users.access_to(patient_id) if _can_read(each)]
        allowed = portal_settings.get().allows_messages
    form = NewConversationForm()
    form.reader_id.choices = [SelectChoice(str(each.portal_user_id), each.portal_user_name) for each in readers]
    if form.validate_on_submit():
        try:
            written = form.written()
            with transaction():
                begun = conversations.write_to(
                    form.reader_id.data, patient_id, form.subject.data, written
                )
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            too_late(conflict)
            return go("patient_conversations", patient_id=patient_id)
        else:
            flash(_("The message is sent. A letter tells the portal user that it waits."), "success")
            return go("conversation", conversation_id=begun.id)
    return page("admin/conversations/new.html", form=form, patient=patient, readers=readers, allowed=allowed)


@admin.route("/conversations/<uuid:conversation_id>", methods=["GET", "POST"])
@needs(Right.RECORDS)
@takes_files(incoming_files.MOST_BYTES)
@shows("conversation.opened")
def conversation(conversation_id: UUID) -> AnyResponse:
    form = MessageForm()
    if form.validate_on_submit():
        try:
            written = form.written()
            with transaction():
                conversations.answer(conversation_id, written)
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            too_late(conflict)
            return go("conversation", conversation_id=conversation_id)
        else:
            flash(_("Your answer is sent."), "success")
            return go("conversation", conversation_id=conversation_id)
    with transaction():
        found = conversations.get(conversation_id)
        patient = patients.row_of(found.patient_id)
        about(patient.id)
        messages, attachments = conversations.messages_of(found), conversations.attachments_of(found)
        conversations.read_by_clinic(found, messages)
        reaches = portal_settings.get().allows_messages and portal_users.sees_records(
            found.portal_user_id, found.patient_id
        )
    return page(
        "admin/conversations/conversation.html",
        form=form,
        patient=patient,
        conversation=found,
        messages=messages,
        attachments=attachments,
        reaches=reaches,
    )


@admin.post("/conversations/<uuid:conversation_id>/closing")
@needs(Right.RECORDS)
def conversation_closing(conversation_id: UUID) -> AnyResponse:
    try:
        with transaction():
            conversations.close(conversation_id)
        flash(_("The conversation is closed."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("conversation", conversation_id=conversation_id)


@admin.post("/conversations/<uuid:conversation_id>/reopening")
@needs(Right.RECORDS)
def conversation_reopening(conversation_id: UUID) -> AnyResponse:
    try:
        with transaction():
            conversations.reopen(conversation_id)
        flash(_("The conversation is open again."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("conversation", conversation_id=conversation_id)


@admin.get("/conversations/<uuid:conversation_id>/attachments/<uuid:attachment_id>")
@needs(Right.RECORDS)
@shows("message_attachment.opened", once=True)
def message_attachment(conversation_id: UUID, attachment_id: UUID) -> Response:
    with transaction():
        found = conversations.get(conversation_id)
        attachment = conversations.get_attachment(found, attachment_id)
        plain = conversations.content_of(attachment)
    about(found.patient_id)
    return file_answers.of(plain, attachment.media_type, attachment.file_name, to_keep=True)


def _can_read(access: Any) -> bool:
    return bool(access.records and access.portal_user_state == PortalUserState.ACTIVE)
