"""The clinic's document types: add one, rename one."""

from uuid import UUID

from flask import flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import StringField

from admin_app.blueprint import admin, go, page
from admin_app.guards import needs
from clinic import document_types
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Refused
from ui.forms import PorticoForm, at_most, required


class DocumentTypeForm(PorticoForm):
    name = StringField(_l("Name"), [required(_l("Enter a name.")), at_most(document_types.LONGEST)])


@admin.route("/clinic-options/document-types/new", methods=["GET", "POST"])
@needs(Right.ADMIN)
def new_document_type() -> AnyResponse:
    form = DocumentTypeForm()
    if form.validate_on_submit():
        try:
            with transaction():
                document_types.add(form.name.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The document type is added. The portal hides it until you make it visible."), "success")
            return go("clinic_options")
    return page("admin/document_types/new.html", form=form)


@admin.route("/clinic-options/document-types/<uuid:type_id>", methods=["GET", "POST"])
@needs(Right.ADMIN)
def document_type(type_id: UUID) -> AnyResponse:
    with transaction():
        kept = document_types.get(type_id)
    form = DocumentTypeForm(obj=kept)
    if form.validate_on_submit():
        try:
            with transaction():
                document_types.rename(type_id, form.name.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The document type is renamed."), "success")
            return go("clinic_options")
    return page("admin/document_types/edit.html", form=form)
