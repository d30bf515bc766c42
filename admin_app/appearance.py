"""The clinic's look: name, accent colour and logo."""

import io

from flask import Response, flash, send_file
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.file import FileField
from werkzeug.wrappers import Response as AnyResponse
from wtforms import ColorField, StringField

from admin_app.blueprint import admin, clinic_here, go, page
from admin_app.guards import needs, open_page
from clinic import appearance
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import NotFound, Refused
from ui.body_sizes import takes_files
from ui.forms import PorticoForm, at_most, required


class LookForm(PorticoForm):
    name = StringField(_l("Clinic's name"), [required(_l("Enter the clinic's name.")), at_most(80)])
    accent = ColorField(_l("Accent colour"), [required(_l("Choose a colour like #1f6f6b."))])
    logo = FileField(_l("Logo"))


@admin.route("/clinic-options/look", methods=["GET", "POST"])
@needs(Right.ADMIN)
@takes_files(appearance.MOST_BYTES)
def look() -> AnyResponse:
    form = LookForm(obj=clinic_here())
    if form.validate_on_submit():
        picture = form.logo.data.read() if form.logo.data else None
        try:
            with transaction():
                appearance.change(name=form.name.data, accent=form.accent.data)
                if picture is not None:
                    appearance.set_logo(picture)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The look is saved."), "success")
            return go("clinic_options")
    return page("admin/appearance/look.html", form=form)


@admin.post("/clinic-options/look/logo-removal")
@needs(Right.ADMIN)
def logo_removal() -> AnyResponse:
    with transaction():
        appearance.remove_logo()
    flash(_("The logo is removed."), "success")
    return go("look")


@admin.get("/logo/<version>.png")
@open_page
def logo(version: str) -> Response:
    if version != clinic_here().logo_version:
        raise NotFound("logo")
    with transaction():
        png = appearance.logo()
    return send_file(io.BytesIO(png), "image/png", conditional=False, etag=False)
