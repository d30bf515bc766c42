"""A patient's billing account: the list of accounts, what is on one, and everything the desk enters."""

from datetime import date
from uuid import UUID

from flask import Response, flash, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import RadioField, SelectChoice, SelectField, StringField
from wtforms.validators import Optional

from admin_app import paging, words
from admin_app.blueprint import admin, clinic_here, go, page, too_late
from admin_app.guards import needs
from clinic import account, billing, invoices, money, patients
from clinic.account import LONGEST_DESCRIPTION, LineKind, LineRow
from clinic.billing import LONGEST_REFERENCE, OVER_THE_COUNTER, DeskPayment, Showing, Towards
from clinic.staff import Right
from tenancy import clock
from tenancy.database import transaction
from tenancy.errors import Conflict, Refused
from ui.forms import DateField, PorticoForm, at_most, chosen, required
from ui.looks import shows

MONTHS_AT_ONCE = 12
ENTER_AMOUNT = _l("Enter an amount.")
SAY_WHAT = _l("Say what it is for.")
SAY_WHY = _l("Say why.")


class ChargeForm(PorticoForm):
    description = StringField(_l("What for"), [required(SAY_WHAT), at_most(LONGEST_DESCRIPTION)])
    amount = StringField(_l("Amount"), [required(ENTER_AMOUNT)])
    dated_on = DateField(_l("Day"), [required(_l("Enter the day it happened."))])


class PaymentForm(PorticoForm):
    method = RadioField(
        _l("Paid by"),
        [chosen(_l("Choose how it was paid."))],
        choices=[SelectChoice(each.value, words.METHODS[each]) for each in OVER_THE_COUNTER],
    )
    amount = StringField(_l("Amount"), [required(ENTER_AMOUNT)])
    dated_on = DateField(_l("Received on"), [required(_l("Enter the day it was received."))])
    reference = StringField(_l("Reference"), [at_most(LONGEST_REFERENCE)])
    towards = SelectField(_l("Pays"))

    def payment(self) -> DeskPayment:
        fixed = self.towards.data in (Towards.OLDEST, Towards.CREDIT)
        return DeskPayment(
            method=account.Method(self.method.data),
            amount=money.read(self.amount.data, clinic_here().currency),
            dated_on=self.dated_on.data,
            reference=self.reference.data or "",
            towards=Towards(self.towards.data) if fixed else Towards.INVOICE,
            invoice_id=None if fixed else UUID(self.towards.data),
        )


class ReductionForm(PorticoForm):
    kind = RadioField(
        _l("Kind"),
        [chosen(_l("Choose one."))],
        choices=[
            SelectChoice(LineKind.DISCOUNT.value, _l("Discount")),
            SelectChoice(LineKind.WRITE_OFF.value, _l("Write-off")),
        ],
    )
    charge_id = SelectField(_l("Off which charge"), [required(_l("Choose a charge."))])
    amount = StringField(_l("Amount"), [required(ENTER_AMOUNT)])
    description = StringField(_l("Reason"), [required(SAY_WHY), at_most(LONGEST_DESCRIPTION)])


class CorrectionForm(PorticoForm):
    reason = StringField(_l("Reason"), [required(SAY_WHY), at_most(LONGEST_DESCRIPTION)])


class CashRefundForm(PorticoForm):
    amount = StringField(_l("Amount"), [required(ENTER_AMOUNT)])
    dated_on = DateField(_l("Given back on"), [required(_l("Enter the day it was given back."))])
    description = StringField(_l("Reason"), [required(SAY_WHY), at_most(LONGEST_DESCRIPTION)])


class DayForm(PorticoForm):
    """Read from the address of the page, so that an account as of a day can be gone back to."""

    class Meta(PorticoForm.Meta):
        csrf = False

    as_of = DateField(_l("As of"), [Optional()])


@admin.get("/accounts")
@needs(Right.BILLING)
@shows("accounts.listed")
def accounts_list() -> Response:
    typed, place, asked = request.args.get("q", ""), paging.place(), request.args.get("show", "")
    showing = Showing(asked) if asked in set(Showing) else Showing.ALL if typed.strip() else Showing.OWING
    with transaction():
        found = billing.accounts(typed, showing, after=place, limit=paging.ROWS + 1)
    rows, following = paging.cut(found)
    return page("admin/account/list.html", rows=rows, typed=typed, place=place, following=following, showing=showing)


@admin.get("/patients/<uuid:patient_id>/account")
@needs(Right.BILLING)
@shows("billing.viewed")
def patient_account(patient_id: UUID) -> Response:
    form = DayForm(request.args)
    form.validate()
    until = None if form.errors else form.as_of.data
    days = {"until": until} if until else {}
    with transaction():
        patient, lines = patients.row_of(patient_id), account.lines_of_patient(patient_id, **days)
        found = {
            "balance": account.balance_of_patient(patient_id, clinic_here().currency, **days),
            "credit": money.total(account.credits_of_patient(patient_id).values(), clinic_here().currency),
            "issued": invoices.of_patient(patient_id, drafts=True),
            "numbers": invoices.numbers_of_lines(patient_id),
            "unbilled": invoices.unbilled_of(patient_id),
            "months": account.months_of_patient(patient_id)[:MONTHS_AT_ONCE],
        }
    corrected = {each.corrects_id for each in lines}
    return page(
        "admin/account/account.html",
        **{"patient": patient, "form": form, "until": until, "lines": lines, "corrected": corrected, "today": today()},
        **found,
    )


@admin.get("/patients/<uuid:patient_id>/account/lines/<uuid:line_id>")
@needs(Right.BILLING)
@shows("billing.viewed")
def account_line(patient_id: UUID, line_id: UUID) -> Response:
    with transaction():
        patient, line = patients.row_of(patient_id), account.row_of(line_id, patient_id)
        found = {
            "correction": account.find_correction(line_id),
            "number": invoices.numbers_of_lines(patient_id).get(line_id),
            "went": invoices.allocated_from(line_id) if line.is_payment else [],
            "left": account.left_of(line_id) if line.is_payment else None,
            "credit": account.credit_of(line_id) if line.is_payment else None,
        }
        rows = invoices.rows_of(invoice_id for invoice_id, _amount in found["went"])
    return page("admin/account/line.html", patient=patient, line=line, rows=rows, **found)


@admin.route("/patients/<uuid:patient_id>/account/charges/new", methods=["GET", "POST"])
@needs(Right.BILLING)
@shows("billing.viewed")
def new_charge(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
    form = ChargeForm(data={"dated_on": today()})
    if form.validate_on_submit():
        try:
            with transaction():
                amount = money.read(form.amount.data, clinic_here().currency)
                billing.charge(patient_id, amount, form.description.data, form.dated_on.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The charge is on the account. It stands on no invoice yet."), "success")
            return go("patient_account", patient_id=patient_id)
    return page("admin/account/charge.html", form=form, patient=patient)


@admin.route("/patients/<uuid:patient_id>/account/payments/new", methods=["GET", "POST"])
@needs(Right.BILLING)
@shows("billing.viewed")
def new_payment(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient, payable = patients.row_of(patient_id), invoices.payable_of(patient_id)
        rows = invoices.rows_of(invoice_id for invoice_id, _due in payable)
    chosen_id = request.args.get("invoice", "")
    form = PaymentForm(
        data={
            "dated_on": today(),
            "towards": chosen_id or Towards.OLDEST.value,
            "amount": next((due.typed() for invoice_id, due in payable if str(invoice_id) == chosen_id), ""),
        }
    )
    form.towards.choices = [
        SelectChoice(Towards.OLDEST.value, _l("The invoices that were due first")),
        *(SelectChoice(str(invoice_id), words.invoice_due(rows[invoice_id])) for invoice_id, _due in payable),
        SelectChoice(Towards.CREDIT.value, _l("None for now: leave it as credit")),
    ]
    if form.validate_on_submit():
        try:
            with transaction():
                line_id = billing.record_payment(patient_id, form.payment())
                credit = account.credit_of(line_id)
        except (Refused, Conflict) as refusal:
            form.refuse(refusal)
        else:
            kept = _(" %(amount)s of it is credit.", amount=credit.written()) if credit.minor else ""
            flash(_("The payment is on the account.") + kept, "success")
            return go("patient_account", patient_id=patient_id)
    return page("admin/account/payment.html", form=form, patient=patient)


@admin.route("/patients/<uuid:patient_id>/account/reductions/new", methods=["GET", "POST"])
@needs(Right.BILLING)
@shows("billing.viewed")
def new_reduction(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient, charges = patients.row_of(patient_id), _open_charges(patient_id)
        numbers = invoices.numbers_of_lines(patient_id)
    form = ReductionForm(data={"charge_id": request.args.get("charge", ""), "kind": LineKind.DISCOUNT.value})
    form.charge_id.choices = [
        SelectChoice("", _l("Choose a charge")),
        *(SelectChoice(str(each.id), words.charge(each, numbers.get(each.id))) for each in charges),
    ]
    if form.validate_on_submit():
        reduce = billing.discount if form.kind.data == LineKind.DISCOUNT else billing.write_off
        try:
            with transaction():
                amount = money.read(form.amount.data, clinic_here().currency)
                reduce(UUID(form.charge_id.data), patient_id, amount, form.description.data)
        except (Refused, Conflict) as refusal:
            form.refuse(refusal)
        else:
            flash(_("It is taken off the account."), "success")
            return go("patient_account", patient_id=patient_id)
    return page("admin/account/reduction.html", form=form, patient=patient, has_charges=bool(charges))


@admin.route("/patients/<uuid:patient_id>/account/lines/<uuid:line_id>/correction", methods=["GET", "POST"])
@needs(Right.BILLING)
@shows("billing.viewed")
def line_correction(patient_id: UUID, line_id: UUID) -> AnyResponse:
    with transaction():
        patient, line = patients.row_of(patient_id), account.row_of(line_id, patient_id)
    form = CorrectionForm()
    if form.validate_on_submit():
        try:
            with transaction():
                billing.correct(line_id, patient_id, form.reason.data)
        except Refused as refusal:
            form.refuse(refusal)
        except Conflict as conflict:
            too_late(conflict)
            return go("account_line", patient_id=patient_id, line_id=line_id)
        else:
            flash(_("Corrected. Enter what is right, if there is something to enter."), "success")
            return go("patient_account", patient_id=patient_id)
    return page("admin/account/correction.html", form=form, patient=patient, line=line)


@admin.route("/patients/<uuid:patient_id>/account/lines/<uuid:line_id>/refund", methods=["GET", "POST"])
@needs(Right.BILLING, fresh=True)
@shows("billing.viewed")
def cash_refund(patient_id: UUID, line_id: UUID) -> AnyResponse:
    with transaction():
        patient, line, left = patients.row_of(patient_id), account.row_of(line_id, patient_id), account.left_of(line_id)
    form = CashRefundForm(data={"dated_on": today(), "amount": left.typed()})
    if form.validate_on_submit():
        try:
            with transaction():
                amount = money.read(form.amount.data, clinic_here().currency)
                billing.refund_cash(line_id, patient_id, amount, form.description.data, form.dated_on.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The refund is on the account. What it had paid is due again."), "success")
            return go("patient_account", patient_id=patient_id)
    return page("admin/account/refund.html", form=form, patient=patient, line=line, left=left)


@admin.post("/patients/<uuid:patient_id>/account/credit")
@needs(Right.BILLING)
def credit_application(patient_id: UUID) -> AnyResponse:
    """Credit goes to the invoices that were due first."""
    try:
        with transaction():
            went = billing.apply_credit(patient_id)
        flash(_("%(amount)s of credit paid the invoices that were due first.", amount=went.written()), "success")
    except Refused as refusal:
        flash(str(refusal.message), "info")
    return go("patient_account", patient_id=patient_id)


def today() -> date:
    return clock.today(clinic_here().time_zone)


def _open_charges(patient_id: UUID) -> list[LineRow]:
    """What something can be taken off: charges that were not corrected, newest first."""
    lines = account.lines_of_patient(patient_id)
    corrected = {each.corrects_id for each in lines}
    return [each for each in lines if each.kind == LineKind.CHARGE and not each.corrects_id and each.id not in corrected]
