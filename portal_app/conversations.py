"""Messages: what the signed-in portal user and the clinic write each other about one patient."""

from typing import Any
from uuid import UUID

import wtforms
from flask import Response, flash, redirect, render_template, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.file import MultipleFileField

from clinic import conversations, incoming_files, portal_home
from clinic.conversations import ConversationRow, Written
from portal_app import wayfinding
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui import file_answers
from ui.body_sizes import takes_files
from ui.forms import LinesField, PorticoForm, at_most, required
from ui.looks import shows


class MessageForm(PorticoForm):
    text = LinesField(_l("Message"), [required(_l("Write a message.")), at_most(conversations.LONGEST_TEXT)])
    file = MultipleFileField(_l("Files"))

    def written(self) -> Written:
        """Raises Refused. Reads files: outside of a transaction."""
        files = [incoming_files.take(each.filename or "", each.read()) for each in self.file.data or ()]
        return Written(self.text.data, files)


class NewConversationForm(MessageForm):
    subject = wtforms.StringField(
        _l("Subject"), [required(_l("Enter a subject.")), at_most(conversations.LONGEST_SUBJECT)]
    )


@shows("conversations.viewed")
def listed(patient_id: UUID) -> str:
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_messages(patient_id))
        found = conversations.of_portal_user(patient.id)
    return render_template("portal/conversations/list.html", patient=patient, found=found)


@takes_files(incoming_files.MOST_BYTES)
@shows("conversations.viewed")
def begin(patient_id: UUID) -> Any:
    form = NewConversationForm()
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_messages(patient_id))
    if form.validate_on_submit():
        try:
            written = form.written()
            with transaction():
                begun = conversations.ask(patient_id, form.subject.data, written)
            flash(_("Your message is sent. You find the answer here."), "success")
            return redirect(url_for("portal.conversation", patient_id=patient_id, conversation_id=begun.id), 303)
        except Refused as refusal:
            form.refuse(refusal)
    page = render_template("portal/conversations/new.html", patient=patient, form=form)
    return page, 422 if form.errors else 200


@takes_files(incoming_files.MOST_BYTES)
@shows("conversation.opened")
def show(patient_id: UUID, conversation_id: UUID) -> Any:
    """The conversation; reading it notes up to where. And, by POST, writing on."""
    form = MessageForm()
    if form.validate_on_submit():
        try:
            written = form.written()
            with transaction():
                _of_patient(patient_id, conversation_id)
                conversations.reply(conversation_id, written)
            flash(_("Your message is sent."), "success")
            return _back_to(patient_id, conversation_id)
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            flash(str(conflict.message), "error")
            return _back_to(patient_id, conversation_id)
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_messages(patient_id))
        found = _of_patient(patient_id, conversation_id)
        messages, attachments = conversations.messages_of(found), conversations.attachments_of(found)
        conversations.read_by_family(found, messages)
    page = render_template(
        "portal/conversations/conversation.html",
        patient=patient,
        conversation=found,
        messages=messages,
        attachments=attachments,
        form=form,
    )
    return page, 422 if form.errors else 200


@shows("message_attachment.opened", once=True)
def attachment(patient_id: UUID, conversation_id: UUID, attachment_id: UUID) -> Response:
    with transaction():
        portal_home.see_messages(patient_id)
        found = _of_patient(patient_id, conversation_id)
        one = conversations.get_attachment(found, attachment_id)
        content = conversations.content_of(one)
    return file_answers.of(content, one.media_type, one.file_name, to_keep=True)


def _of_patient(patient_id: UUID, conversation_id: UUID) -> ConversationRow:
    """Raises NotFound, also for a conversation about another patient."""
    found = conversations.get(conversation_id)
    if found.patient_id != patient_id:
        raise NotFound("conversation about this patient")
    return found


def _back_to(patient_id: UUID, conversation_id: UUID) -> Any:
    return redirect(url_for("portal.conversation", patient_id=patient_id, conversation_id=conversation_id), 303)
