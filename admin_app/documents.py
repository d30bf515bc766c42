"""A patient's documents: file, correct, sign, hold back from the portal, release, open."""

from uuid import UUID

from flask import Response, flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.file import FileField, FileRequired
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectChoice, SelectField, StringField

from admin_app.blueprint import admin, clinic_here, go, page, too_late
from admin_app.guards import needs
from clinic import document_types, documents, incoming_files, patients
from clinic.documents import DocumentDetails, DocumentRow
from clinic.patients import PatientRow
from clinic.staff import Right
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui import file_answers
from ui.body_sizes import takes_files
from ui.forms import DateField, PorticoForm, at_most, required
from ui.looks import shows


class DocumentForm(PorticoForm):
    title = StringField(_l("Title"), [required(_l("Enter a title.")), at_most(documents.LONGEST_TITLE)])
    type_id = SelectField(_l("Document type"), coerce=UUID)
    dated_on = DateField(_l("Date"), [required(_l("Enter a date."))])

    def details(self) -> DocumentDetails:
        return DocumentDetails(title=self.title.data, type_id=self.type_id.data, dated_on=self.dated_on.data)


class NewDocumentForm(DocumentForm):
    file = FileField(_l("File"), [FileRequired(_l("Choose a PDF, PNG or JPEG file."))])


class HoldForm(PorticoForm):
    reason = StringField(_l("Reason"), [required(_l("Say why; only staff see it.")), at_most(200)])


@admin.get("/patients/<uuid:patient_id>/documents")
@needs(Right.RECORDS)
@shows("documents.viewed")
def patient_documents(patient_id: UUID) -> Response:
    with transaction():
        patient = patients.row_of(patient_id)
        rows = documents.of_patient(patient_id)
    return page("admin/documents/of_patient.html", patient=patient, rows=rows)


@admin.route("/patients/<uuid:patient_id>/documents/new", methods=["GET", "POST"])
@needs(Right.RECORDS)
@takes_files(incoming_files.MOST_BYTES)
@shows("documents.viewed")
def new_document(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient, types = patients.row_of(patient_id), document_types.listed()
    form = NewDocumentForm(data={"dated_on": clock.today(clinic_here().time_zone)})
    form.type_id.choices = [SelectChoice(str(each.id), each.name) for each in types]
    if form.validate_on_submit():
        try:
            file = incoming_files.take(form.file.data.filename, form.file.data.read())
            with transaction():
                added = documents.add(patient_id, form.details(), file)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The document is filed as a draft. The portal shows it once it is signed."), "success")
            return go("document", patient_id=patient_id, document_id=added.id)
    return page("admin/documents/new.html", form=form, patient=patient)


@admin.get("/patients/<uuid:patient_id>/documents/<uuid:document_id>")
@needs(Right.RECORDS)
@shows("document.viewed")
def document(patient_id: UUID, document_id: UUID) -> Response:
    with transaction():
        patient, found = _of_patient(patient_id, document_id)
    return page("admin/documents/document.html", patient=patient, document=found, form=HoldForm())


@admin.route("/patients/<uuid:patient_id>/documents/<uuid:document_id>/editing", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("document.viewed")
def document_editing(patient_id: UUID, document_id: UUID) -> AnyResponse:
    with transaction():
        patient, found = _of_patient(patient_id, document_id)
        types = document_types.listed()
    form = DocumentForm(data={"title": found.title, "type_id": str(found.type_id), "dated_on": found.dated_on})
    form.type_id.choices = [SelectChoice(str(each.id), each.name) for each in types]
    if form.validate_on_submit():
        try:
            with transaction():
                documents.change(document_id, form.details())
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The document is corrected."), "success")
            return go("document", patient_id=patient_id, document_id=document_id)
    return page("admin/documents/edit.html", form=form, patient=patient, document=found)


@admin.post("/patients/<uuid:patient_id>/documents/<uuid:document_id>/signing")
@needs(Right.RECORDS, Right.SIGNING)
def document_signing(patient_id: UUID, document_id: UUID) -> AnyResponse:
    try:
        with transaction():
            _of_patient(patient_id, document_id)
            documents.sign(document_id)
        flash(_("The document is signed."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("document", patient_id=patient_id, document_id=document_id)


@admin.post("/patients/<uuid:patient_id>/documents/<uuid:document_id>/hold")
@needs(Right.RECORDS)
@shows("document.viewed")
def document_hold(patient_id: UUID, document_id: UUID) -> AnyResponse:
    form = HoldForm()
    with transaction():
        patient, found = _of_patient(patient_id, document_id)
    if form.validate_on_submit():
        try:
            with transaction():
                documents.hold_back(document_id, form.reason.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The document is held back from the portal."), "success")
            return go("document", patient_id=patient_id, document_id=document_id)
    return page("admin/documents/document.html", patient=patient, document=found, form=form)


@admin.post("/patients/<uuid:patient_id>/documents/<uuid:document_id>/release")
@needs(Right.RECORDS)
def document_release(patient_id: UUID, document_id: UUID) -> AnyResponse:
    with transaction():
        _of_patient(patient_id, document_id)
        documents.release(document_id)
    flash(_("The document is no longer held back."), "success")
    return go("document", patient_id=patient_id, document_id=document_id)


@admin.get("/patients/<uuid:patient_id>/documents/<uuid:document_id>/file")
@needs(Right.RECORDS)
@shows("document.opened", once=True)
def document_file(patient_id: UUID, document_id: UUID) -> Response:
    return _content(patient_id, document_id, to_keep=False)


@admin.get("/patients/<uuid:patient_id>/documents/<uuid:document_id>/download")
@needs(Right.RECORDS)
@shows("document.downloaded", once=True)
def document_download(patient_id: UUID, document_id: UUID) -> Response:
    return _content(patient_id, document_id, to_keep=True)


def _content(patient_id: UUID, document_id: UUID, *, to_keep: bool) -> Response:
    with transaction():
        _patient, found = _of_patient(patient_id, document_id)
        plain = documents.content_of(found)
    return file_answers.of(plain, found.media_type, found.file_name, to_keep=to_keep)


def _of_patient(patient_id: UUID, document_id: UUID) -> tuple[PatientRow, DocumentRow]:
    """Raises NotFound, also for another patient's document."""
    patient, found = patients.row_of(patient_id), documents.get(document_id)
    if found.patient_id != patient.id:
        raise NotFound("document of this patient")
    return patient, found
