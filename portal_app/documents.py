"""Documents that the clinic shows: a list, a page for each, and the file itself to read or to keep."""

from typing import Any
from uuid import UUID

import wtforms
from flask import Response, render_template, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms.validators import Optional

from clinic import document_types, documents, portal_home
from clinic.documents import DocumentRow
from portal_app import wayfinding
from tenancy.database import transaction
from ui import file_answers
from ui.forms import DateField, PorticoForm
from ui.looks import shows


class FilterForm(PorticoForm):
    """Read from the address of the page, so that a filtered list can be kept and gone back to."""

    class Meta(PorticoForm.Meta):
        csrf = False

    type_id = wtforms.SelectField(_l("Kind of document"), [Optional()], name="type")
    since = DateField(_l("From"), [Optional()])
    until = DateField(_l("To"), [Optional()])

    def validate(self, extra_validators: Any = None) -> bool:
        if not super().validate(extra_validators):
            return False
        if self.since.data and self.until.data and self.since.data > self.until.data:
            self.until.errors = [_("The last day must not be before the first.")]
            return False
        return True


@shows("documents.viewed")
def listed(patient_id: UUID) -> Any:
    form = FilterForm(request.args)
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_records(patient_id))
        types = [each for each in document_types.listed() if each.is_visible_on_portal]
        form.type_id.choices = [
            wtforms.SelectChoice("", _("All kinds")),
            *(wtforms.SelectChoice(str(each.id), each.name) for each in types),
        ]
        found: list[DocumentRow] = []
        if form.validate():
            type_id = UUID(form.type_id.data) if form.type_id.data else None
            found = documents.shown_of_patient(
                patient.id, type_id=type_id, since=form.since.data, until=form.until.data
            )
    is_filtered = any((form.type_id.data, form.since.data, form.until.data)) or bool(form.errors)
    page = render_template(
        "portal/documents/list.html", patient=patient, found=found, form=form, is_filtered=is_filtered
    )
    return page, 422 if form.errors else 200


@shows("document.viewed")
def show(patient_id: UUID, document_id: UUID) -> str:
    with transaction():
        patient = wayfinding.open_patient(portal_home.see_records(patient_id))
        document = documents.get_shown(document_id, patient.id)
    return render_template("portal/documents/document.html", patient=patient, document=document)


@shows("document.opened", once=True)
def read(patient_id: UUID, document_id: UUID) -> Response:
    return _sent(patient_id, document_id, to_keep=False)


@shows("document.downloaded", once=True)
def download(patient_id: UUID, document_id: UUID) -> Response:
    return _sent(patient_id, document_id, to_keep=True)


def _sent(patient_id: UUID, document_id: UUID, *, to_keep: bool) -> Response:
    with transaction():
        portal_home.see_records(patient_id)
        document = documents.get_shown(document_id, patient_id)
        content = documents.content_of(document)
    return file_answers.of(content, document.media_type, document.file_name, to_keep=to_keep)
