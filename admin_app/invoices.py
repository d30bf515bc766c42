"""A patient's invoices: what stands on a draft, issuing, discarding, voiding, and paying one with credit."""

from collections.abc import Callable
from uuid import UUID

from flask import flash
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectChoice, SelectMultipleField, StringField

from admin_app import words
from admin_app.account import SAY_WHY, today
from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from clinic import account, billing, invoices, mailed_invoices, money, patients, payments
from clinic.account import LONGEST_DESCRIPTION, LineRow
from clinic.staff import Right
from clinic.stripe_gateway import StripeUnknown
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui.forms import DateField, PorticoForm, at_most, required
from ui.looks import shows


class LinesForm(PorticoForm):
    line_ids = SelectMultipleField(_l("What to bill"), coerce=UUID)

    def offer(self, lines: list[LineRow]) -> None:
        self.line_ids.choices = [SelectChoice(str(each.id), words.charge(each, None)) for each in lines]


class IssuingForm(PorticoForm):
    due_on = DateField(_l("Due on"), [required(_l("Enter the day it is due."))])


class VoidingForm(PorticoForm):
    reason = StringField(_l("Reason"), [required(SAY_WHY), at_most(LONGEST_DESCRIPTION)])


@admin.route("/patients/<uuid:patient_id>/invoices/new", methods=["GET", "POST"])
@needs(Right.BILLING)
@shows("billing.viewed")
def new_invoice(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient, unbilled = patients.row_of(patient_id), invoices.unbilled_of(patient_id)
    form = LinesForm(data={"line_ids": [str(each.id) for each in unbilled]})
    form.offer(unbilled)
    if form.validate_on_submit():
        try:
            with transaction():
                invoice_id = invoices.draft(patient_id, form.line_ids.data)
        except (Refused, Conflict) as refusal:
            form.refuse(refusal)
        else:
            flash(_("The draft is made. Look it over, then issue it."), "success")
            return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
    return page("admin/invoices/new.html", form=form, patient=patient, unbilled=unbilled)


@admin.get("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>")
@needs(Right.BILLING)
@shows("invoice.viewed")
def invoice(patient_id: UUID, invoice_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
        found = invoices.get_of_patient(invoice_id, patient_id, drafts=True)
        unbilled = invoices.unbilled_of(patient_id) if found.invoice.number is None else []
        mailings = mailed_invoices.of_invoice(invoice_id)
        paying = payments.find_paying(invoice_id)
        credit = money.total(account.credits_of_patient(patient_id).values(), found.invoice.total.currency)
    form = LinesForm()
    form.offer(unbilled)
    return page(
        "admin/invoices/invoice.html",
        **{"patient": patient, "found": found, "invoice": found.invoice, "form": form, "unbilled": unbilled},
        **{"mailings": mailings, "paying": paying, "credit": credit, "today": today()},
    )


@admin.post("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>/lines")
@needs(Right.BILLING)
def invoice_lines(patient_id: UUID, invoice_id: UUID) -> AnyResponse:
    """More lines for a draft."""
    with transaction():
        unbilled = invoices.unbilled_of(patient_id)
    form = LinesForm()
    form.offer(unbilled)
    chosen = form.line_ids.data if form.validate_on_submit() else []
    return _done(patient_id, invoice_id, lambda: invoices.add_lines(invoice_id, patient_id, chosen), _("Added to the draft."))


@admin.post("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>/lines/<uuid:line_id>/removal")
@needs(Right.BILLING)
def invoice_line_removal(patient_id: UUID, invoice_id: UUID, line_id: UUID) -> AnyResponse:
    said = _("Taken off the draft. It stays on the account.")
    return _done(patient_id, invoice_id, lambda: invoices.remove_line(invoice_id, patient_id, line_id), said)


@admin.post("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>/credit")
@needs(Right.BILLING)
def invoice_credit(patient_id: UUID, invoice_id: UUID) -> AnyResponse:
    """Pay it with the credit there is."""
    said = _("Paid with credit, as far as that goes.")
    return _done(patient_id, invoice_id, lambda: billing.apply_credit(patient_id, invoice_id), said)


@admin.post("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>/discarding")
@needs(Right.BILLING)
def invoice_discarding(patient_id: UUID, invoice_id: UUID) -> AnyResponse:
    try:
        with transaction():
            invoices.discard(invoice_id, patient_id)
    except Conflict as conflict:
        too_late(conflict)
        return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
    flash(_("The draft is discarded. What stood on it stays on the account."), "success")
    return go("patient_account", patient_id=patient_id)


@admin.route("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>/issuing", methods=["GET", "POST"])
@needs(Right.BILLING)
@shows("invoice.viewed")
def invoice_issuing(patient_id: UUID, invoice_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
        found = invoices.get_of_patient(invoice_id, patient_id, drafts=True)
        due_on = invoices.usual_due_day()
    form = IssuingForm(data={"due_on": due_on})
    if form.validate_on_submit():
        try:
            with transaction():
                number = invoices.issue(invoice_id, patient_id, form.due_on.data)
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            too_late(conflict)
            return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
        else:
            flash(_("Issued as invoice %(number)s.", number=number), "success")
            return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
    return page("admin/invoices/issuing.html", form=form, patient=patient, invoice=found.invoice)


@admin.route("/patients/<uuid:patient_id>/invoices/<uuid:invoice_id>/voiding", methods=["GET", "POST"])
@needs(Right.BILLING)
@shows("invoice.viewed")
def invoice_voiding(patient_id: UUID, invoice_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
        found = invoices.get_of_patient(invoice_id, patient_id, drafts=True)
    form = VoidingForm()
    if form.validate_on_submit():
        try:
            payments.end_checkouts_of(invoice_id)
            with transaction():
                invoices.void(invoice_id, patient_id, form.reason.data)
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            too_late(conflict)
            return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
        except StripeUnknown:
            flash(_("Somebody is about to pay it, and Stripe does not answer just now. Try again in a minute."), "error")
            return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
        else:
            flash(_("The invoice is void. What was paid is credit."), "success")
            return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
    return page("admin/invoices/voiding.html", form=form, patient=patient, invoice=found.invoice)


def _done(patient_id: UUID, invoice_id: UUID, work: Callable[[], object], said: str) -> AnyResponse:
    """One press of a button on the invoice's page, and back to it."""
    try:
        with transaction():
            work()
        flash(said, "success")
    except (Refused, Conflict) as refusal:
        flash(str(refusal.message), "error")
    return go("invoice", patient_id=patient_id, invoice_id=invoice_id)
