"""Mailing an invoice to somebody who stands by the patient."""

from uuid import UUID

from flask import flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectChoice, SelectField

from admin_app.blueprint import admin, go, page
from admin_app.guards import needs
from clinic import billing_settings, contacts, invoices, mailed_invoices, patients, payments
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui.forms import PorticoForm, required
from ui.looks import shows


class MailingForm(PorticoForm):
    contact_id = SelectField(_l("To"), [required(_l("Choose whom to mail it to."))])


@admin.route("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>/mailing", methods=["GET", "POST"])
@needs(Right.BILLING)
@shows("invoice.viewed")
def invoice_mailing(patient_id: UUID, invoice_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
        found = invoices.get_of_patient(invoice_id, patient_id, drafts=True)
        pays_by_link = billing_settings.pays_by_link() and payments.find_account() is not None
        standers = [each for each in contacts.of_patient(patient_id) if each.email]
    form = MailingForm()
    form.contact_id.choices = [SelectChoice(str(each.contact_id), f"{each.name} · {each.email}") for each in standers]
    if form.validate_on_submit():
        try:
            with transaction():
                mailed_invoices.mail(invoice_id, patient_id, UUID(form.contact_id.data))
        except (Refused, Conflict) as refusal:
            form.refuse(refusal)
        else:
            flash(_("The invoice is on its way. The link in the letter works for 7 days."), "success")
            return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
    return page(
        "admin/mailed_invoices/new.html",
        **{"form": form, "patient": patient, "invoice": found.invoice},
        **{"has_standers": bool(standers), "pays_by_link": pays_by_link},
    )
