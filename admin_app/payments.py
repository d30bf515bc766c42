"""Payments online of a patient: what became of each, giving money back, disputes; and what needs a person."""

from contextlib import suppress
from uuid import UUID, uuid4

from flask import flash, redirect
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import HiddenField, StringField

from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs, person
from clinic import mailed_invoices, money, patients, payments
from clinic.payments import (
    DisputeStatus,
    PaymentRow,
    PaymentStatus,
    PaymentWay,
    ProblemKind,
    RefundStatus,
    problems,
    refunds,
)
from clinic.staff import Right
from clinic.stripe_gateway import StripeUnknown
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from ui import doors
from ui.forms import PorticoForm, at_most, required
from ui.looks import shows

# status: (word, tone of the badge)
STATUSES = {
    PaymentStatus.STARTING: (_l("Begun"), "info"),
    PaymentStatus.OPEN: (_l("Not paid yet"), "info"),
    PaymentStatus.PROCESSING: (_l("On its way"), "info"),
    PaymentStatus.SUCCEEDED: (_l("Paid"), "good"),
    PaymentStatus.FAILED: (_l("Failed"), "bad"),
    PaymentStatus.ENDED: (_l("Not paid"), "neutral"),
}
WAYS = {
    PaymentWay.CHECKOUT: _l("on the portal"),
    PaymentWay.LINK: _l("by a mailed invoice"),
    PaymentWay.AUTOPAY: _l("automatically, with a saved card"),
}
REFUNDS = {
    RefundStatus.UNCONFIRMED: (_l("To confirm"), "warn"),
    RefundStatus.ASKED: (_l("Being checked with Stripe"), "info"),
    RefundStatus.PENDING: (_l("On its way"), "info"),
    RefundStatus.SUCCEEDED: (_l("Given back"), "good"),
    RefundStatus.FAILED: (_l("Not given back"), "bad"),
    RefundStatus.WITHDRAWN: (_l("Withdrawn"), "neutral"),
}
DISPUTES = {
    DisputeStatus.INQUIRY: (_l("The bank asks"), "warn"),
    DisputeStatus.INQUIRY_CLOSED: (_l("Question closed"), "neutral"),
    DisputeStatus.OPEN: (_l("Disputed"), "bad"),
    DisputeStatus.WON: (_l("Won"), "good"),
    DisputeStatus.LOST: (_l("Lost"), "bad"),
}
# kind: (what it is, what to do)
PROBLEMS = {
    ProblemKind.DIFFERS: (
        _l("Stripe's amount differs from what was begun"),
        _l("Nothing was entered. Look at it in Stripe's dashboard; give it back there if nobody owes it."),
    ),
    ProblemKind.UNKNOWN: (
        _l("Money that belongs to no payment of ours"),
        _l("Nothing was entered. Look at it in Stripe's dashboard; give it back there if nobody owes it."),
    ),
    ProblemKind.CREDITED: (
        _l("Paid for an invoice that was not open any more"),
        _l("It is credit on the account. Use it for another invoice, or give it back."),
    ),
    ProblemKind.REFUND_FAILED: (
        _l("A refund did not arrive"),
        _l("The money is yours again and on the account. Ask the family how they want it back."),
    ),
    ProblemKind.REFUND_UNCLEAR: (
        _l("A refund in a state we do not know"),
        _l("Nothing was entered. Look at it in Stripe's dashboard."),
    ),
    ProblemKind.DISPUTE_UNCLEAR: (
        _l("A dispute in a state we do not know"),
        _l("Nothing was entered. Look at it in Stripe's dashboard."),
    ),
    ProblemKind.UNREADABLE: (
        _l("Stripe does not show us a payment any more"),
        _l("The account was perhaps disconnected. Look in Stripe's dashboard whether it was paid. Once settled, it can be paid anew."),
    ),
    ProblemKind.MISSING: (
        _l("On the account, and not at Stripe"),
        _l("Look in Stripe's dashboard, then correct the account if it was not paid."),
    ),
}
# What became of a payment whose page was to be ended: (words, tone)
ENDED = {
    PaymentStatus.ENDED: (_l("The family's payment page is ended. Nothing was paid there."), "success"),
    PaymentStatus.FAILED: (_l("The payment did not go through. Nothing was paid there."), "success"),
    PaymentStatus.SUCCEEDED: (_l("It was paid in this very moment, so the page was not ended. The invoice is paid."), "info"),
    PaymentStatus.PROCESSING: (_l("The payer's bank was asked for the money in this very moment. That takes some days."), "info"),
}
NOT_ENDED = _l("Stripe does not say just now whether it was paid. Nothing was ended. Try again in a minute.")
STILL_UNKNOWN = _l("Stripe did not answer. We do not know yet whether it was given back; we ask again by ourselves.")


class RefundForm(PorticoForm):
    refund_id = HiddenField()  # the refund that pressing twice is
    amount = StringField(_l("Amount"), [required(_l("Enter the amount to give back.")), at_most(30)])
    reason = StringField(_l("Reason"), [required(_l("Say why; only staff see it.")), at_most(refunds.LONGEST_REASON)])


@admin.get("/patients/<uuid:patient_id>/payments")
@needs(Right.BILLING)
@shows("payments.viewed")
def patient_payments(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
        listed = payments.of_patient(patient_id)
    return page("admin/payments/of_patient.html", patient=patient, listed=listed, statuses=STATUSES, ways=WAYS)


@admin.get("/patients/<uuid:patient_id>/payments/<uuid:payment_id>")
@needs(Right.BILLING)
@shows("payment.viewed")
def patient_payment(patient_id: UUID, payment_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
        payment = payments.of_id(payment_id, patient_id)
        given, disputed = payments.refunds_of([payment_id]), payments.disputes_of([payment_id])
        left = payments.refundable(payment)
        mailed_to = mailed_invoices.receiver_of(payment.mailing_id).address if payment.mailing_id else None
    return page(
        "admin/payments/payment.html",
        mailed_to=mailed_to,
        **{"patient": patient, "payment": payment, "refunds": given, "disputes": disputed, "left": left},
        **{"status": STATUSES[PaymentStatus(payment.status)], "way": WAYS[PaymentWay(payment.way)], "me": person().id},
        **{"refund_words": REFUNDS, "dispute_words": DISPUTES},
    )


@admin.route("/patients/<uuid:patient_id>/payments/<uuid:payment_id>/refunds/new", methods=["GET", "POST"])
@needs(Right.BILLING, fresh=True)
@shows("payment.viewed")
def new_refund(patient_id: UUID, payment_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
        payment = payments.of_id(payment_id, patient_id)
        left = payments.refundable(payment)
    form = RefundForm()
    if not form.is_submitted():
        form.refund_id.data, form.amount.data = str(uuid4()), left.typed()
    elif form.validate():
        try:
            amount = money.read(form.amount.data, payment.amount.currency)
            with transaction():
                asked = refunds.ask(_id_of(form), payment_id, amount, form.reason.data)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            return _sent(payment, asked.id)
    return page("admin/payments/refund.html", form=form, patient=patient, payment=payment, left=left)


@admin.post("/patients/<uuid:patient_id>/payments/<uuid:payment_id>/refunds/<uuid:refund_id>/confirmation")
@needs(Right.BILLING, fresh=True)
def refund_confirmation(patient_id: UUID, payment_id: UUID, refund_id: UUID) -> AnyResponse:
    try:
        with transaction():
            payment = payments.of_id(payment_id, patient_id)
            refunds.confirm(refund_id, payment_id)
    except Conflict as conflict:
        too_late(conflict)
    except Refused as refusal:
        flash(str(refusal.message), "error")
    else:
        return _sent(payment, refund_id)
    return go("patient_payment", patient_id=patient_id, payment_id=payment_id)


@admin.post("/patients/<uuid:patient_id>/payments/<uuid:payment_id>/refunds/<uuid:refund_id>/withdrawal")
@needs(Right.BILLING)
def refund_withdrawal(patient_id: UUID, payment_id: UUID, refund_id: UUID) -> AnyResponse:
    try:
        with transaction():
            payments.of_id(payment_id, patient_id)
            refunds.withdraw(refund_id, payment_id)
        flash(_("The refund is withdrawn. Nothing was given back."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("patient_payment", patient_id=patient_id, payment_id=payment_id)


@admin.post("/patients/<uuid:patient_id>/payments/<uuid:payment_id>/checking")
@needs(Right.BILLING)
def payment_checking(patient_id: UUID, payment_id: UUID) -> AnyResponse:
    """Have Stripe asked once more, within the minute."""
    with transaction():
        payments.of_id(payment_id, patient_id)
        payments.look_soon(payment_id)
    flash(_("We ask Stripe now. Load this page again in a moment."), "info")
    return go("patient_payment", patient_id=patient_id, payment_id=payment_id)


@admin.post("/patients/<uuid:patient_id>/payments/<uuid:payment_id>/ending")
@needs(Right.BILLING)
def payment_ending(patient_id: UUID, payment_id: UUID) -> AnyResponse:
    """Before cash is taken: let nobody pay on Stripe's page any more, and say what Stripe says of it."""
    with transaction():
        payment = payments.of_id(payment_id, patient_id)
    if payment.may_be_on_stripes_page:
        with suppress(StripeUnknown):
            payments.end_checkout(payment_id)
    with transaction():
        payment = payments.of_id(payment_id, patient_id)
    words, tone = ENDED.get(PaymentStatus(payment.status), (NOT_ENDED, "error"))
    flash(str(words), tone)
    here = doors.page_before()
    return redirect(here, 303) if here else go("patient_payment", patient_id=patient_id, payment_id=payment_id)


@admin.get("/billing/problems")
@needs(Right.BILLING)
@shows("payment_problems.listed")
def payment_problems() -> AnyResponse:
    with transaction():
        found, disputed, waiting = problems.still_open(), payments.disputes_to_answer(), refunds.unconfirmed()
    return page(
        "admin/payments/problems.html",
        **{"found": found, "disputes": disputed, "waiting": waiting, "words_of": PROBLEMS, "dispute_words": DISPUTES},
    )


@admin.post("/billing/problems/<uuid:problem_id>/settling")
@needs(Right.BILLING)
def payment_problem_settling(problem_id: UUID) -> AnyResponse:
    try:
        with transaction():
            problems.settle(problem_id)
        flash(_("Settled. It is no longer on this page."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("payment_problems")


def _id_of(form: RefundForm) -> UUID:
    try:
        return UUID(form.refund_id.data)
    except (ValueError, TypeError) as error:
        raise NotFound("refund") from error


def _sent(payment: PaymentRow, refund_id: UUID) -> AnyResponse:
    """Ask Stripe for it, while no transaction runs, and say how it stands."""
    try:
        status = refunds.send(refund_id, payment.id)
    except (StripeUnknown, Conflict):
        flash(str(STILL_UNKNOWN), "info")
    else:
        said = {
            RefundStatus.UNCONFIRMED: (_("This is above the clinic's limit: a colleague must confirm it."), "info"),
            RefundStatus.FAILED: (_("Stripe did not give it back. Perhaps it was given back in Stripe's dashboard."), "error"),
        }
        flash(*said.get(status, (_("It is given back. Banks take up to ten days."), "success")))
    return go("patient_payment", patient_id=payment.patient_id, payment_id=payment.id)
