"""What staff read for the words that the records keep."""

from datetime import date
from typing import Any
from uuid import UUID

from flask_babel import format_date
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from clinic.account import LineKind, LineRow, Method
from clinic.appointment_requests import RequestState
from clinic.contacts import RelationshipKind
from clinic.documents import DocumentRow
from clinic.invitation_batches import Fate
from clinic.invitation_warnings import WarningKind
from clinic.invoices import InvoiceRow, InvoiceStatus
from clinic.patients import PatientStatus
from clinic.portal_users import PortalUserState
from clinic.staff import StaffRole, StaffState
from clinic.virus_scanner import Scan

RELATIONSHIPS = {
    RelationshipKind.SELF: _l("Self"),
    RelationshipKind.PARENT: _l("Parent"),
    RelationshipKind.GUARDIAN: _l("Guardian"),
    RelationshipKind.GRANDPARENT: _l("Grandparent"),
    RelationshipKind.CASEWORKER: _l("Caseworker"),
    RelationshipKind.SPOUSE: _l("Spouse"),
    RelationshipKind.OTHER: _l("Other"),
}
PATIENT_STATUSES = {
    PatientStatus.ACTIVE: _l("Active"),
    PatientStatus.INACTIVE: _l("Inactive (discharged)"),
}
# state: (word, badge's tone)
PORTAL_USER_STATES = {
    PortalUserState.INVITED: (_l("Invited"), "info"),
    PortalUserState.UNDELIVERED: (_l("Undelivered"), "bad"),
    PortalUserState.EXPIRED: (_l("Expired"), "warn"),
    PortalUserState.LOCKED: (_l("Locked"), "bad"),
    PortalUserState.ACTIVE: (_l("Active"), "good"),
    PortalUserState.DEACTIVATED: (_l("Deactivated"), "neutral"),
}
# role: (word, what it may)
STAFF_ROLES = {
    StaffRole.ADMIN: (_l("Admin"), _l("Everything: also settings, staff and invitations to the portal.")),
    StaffRole.BILLING: (_l("Billing"), _l("Accounts, invoices and payments; no records of patients.")),
    StaffRole.FRONT_DESK: (
        _l("Front desk"),
        _l("Patients, contacts, appointments, messages and documents, but does not sign documents."),
    ),
    StaffRole.THERAPIST: (
        _l("Therapist"),
        _l("Patients, contacts, appointments, messages and documents, and signs documents."),
    ),
}
STAFF_MAY = {role: may for role, (_word, may) in STAFF_ROLES.items()}
STAFF_STATES = {
    StaffState.INVITED: (_l("Invited"), "info"),
    StaffState.UNDELIVERED: (_l("Undelivered"), "bad"),
    StaffState.EXPIRED: (_l("Expired"), "warn"),
    StaffState.ACTIVE: (_l("Active"), "good"),
    StaffState.DEACTIVATED: (_l("Deactivated"), "neutral"),
}
STAFF_WHAT_TO_DO = {
    StaffState.INVITED: _l("The invitation was sent and waits to be accepted."),
    StaffState.UNDELIVERED: _l(
        "The letter could not be delivered. Send it again, or deactivate this person and invite the right address."
    ),
    StaffState.EXPIRED: _l("The link is no longer good. Send the invitation again."),
    StaffState.ACTIVE: _l("Signs in with a password of their own. You can mail them a link to choose a new one."),
    StaffState.DEACTIVATED: _l("Cannot sign in until you reactivate them."),
}
REQUEST_STATES = {
    RequestState.OPEN: (_l("Open"), "info"),
    RequestState.ANSWERED: (_l("Answered"), "good"),
    RequestState.WITHDRAWN: (_l("Withdrawn"), "neutral"),
}
LINE_KINDS = {
    LineKind.CHARGE: _l("Charge"),
    LineKind.PAYMENT: _l("Payment"),
    LineKind.DISCOUNT: _l("Discount"),
    LineKind.WRITE_OFF: _l("Write-off"),
    LineKind.REFUND: _l("Refund"),
    LineKind.CHARGEBACK: _l("Taken back by the bank"),
}
METHODS = {
    Method.CASH: _l("Cash"),
    Method.CHEQUE: _l("Cheque"),
    Method.CARD: _l("Card"),
    Method.BANK_DEBIT: _l("Bank debit"),
    Method.OTHER: _l("Otherwise"),
}
# status: (word, badge's tone)
INVOICE_STATUSES = {
    InvoiceStatus.DRAFT: (_l("Draft"), "neutral"),
    InvoiceStatus.OPEN: (_l("Open"), "info"),
    InvoiceStatus.PARTLY_PAID: (_l("Partly paid"), "info"),
    InvoiceStatus.PAID: (_l("Paid"), "good"),
    InvoiceStatus.VOID: (_l("Void"), "neutral"),
}
OVERDUE = (_l("Overdue"), "bad")
WHAT_TO_DO = {
    PortalUserState.INVITED: _l("The invitation was sent and waits to be accepted."),
    PortalUserState.UNDELIVERED: _l("The letter could not be delivered. Check the address, then send it again."),
    PortalUserState.EXPIRED: _l("The link is no longer good: it was not used in time, or the portal's address changed. Send it again."),
    PortalUserState.LOCKED: _l(
        "The birth date was missed five times. Make sure that you invited the right person, then send it again."
    ),
    PortalUserState.ACTIVE: _l("Signs in with a password of their own."),
    PortalUserState.DEACTIVATED: _l("Cannot sign in. What they could see stays noted until you reactivate them."),
}
FATES = {
    Fate.INVITED: _l("Invited"),
    Fate.ACCESS_ADDED: _l("Access added; the person already uses the portal"),
    Fate.HAS_ACCESS: _l("Not invited: had access already"),
    Fate.GONE: _l("Not invited: no longer a contact of this patient"),
    Fate.NO_ADDRESS: _l("Not invited: no e-mail address"),
    Fate.ADDRESS_CHANGED: _l("Not invited: the e-mail address changed in the meantime"),
    Fate.DO_NOT_INVITE: _l("Not invited: marked “do not invite”"),
    Fate.CUSTODY_BLOCK: _l("Not invited: a custody block forbids it"),
    Fate.INACTIVE_PATIENT: _l("Not invited: the patient is inactive"),
    Fate.DEACTIVATED: _l("Not invited: this portal user is deactivated"),
}
WARNINGS = {
    WarningKind.DO_NOT_INVITE: _l("Marked “do not invite”. These contacts will not be invited."),
    WarningKind.CUSTODY_BLOCK: _l("A custody block keeps these contacts from the patient. They will not be invited."),
    WarningKind.OF_AGE: _l(
        "The patient is of age, so these contacts will see bills alone. Where a court says otherwise, mark the contact "
        "as guardian for an adult first."
    ),
    WarningKind.INACTIVE_PATIENT: _l("The patient is inactive. These contacts will not be invited."),
    WarningKind.SHARED_ADDRESS: _l(
        "Several contacts share one e-mail address. Whoever reads it sees the records of everyone invited with it."
    ),
    WarningKind.MISTYPED: _l("The e-mail address looks mistyped. Check it before you continue."),
    WarningKind.BOUNCED: _l("An earlier letter to this address could not be delivered."),
    WarningKind.OTHER_ADDRESS: _l(
        "Sees the patient already, signing in with another address. Both sign-ins would; if the other is not theirs any "
        "more, end it first on the patient's contacts page."
    ),
    WarningKind.EXISTING_USER: _l("Uses the portal already and gets access at once, without a new password."),
    WarningKind.REPLY_TO_UNSET: _l("No Portal Email Reply-To is set, so replies to these letters will not reach you."),
    WarningKind.REPLY_TO_UNCONFIRMED: _l(
        "The Portal Email Reply-To is not confirmed yet, so replies to these letters will not reach you."
    ),
}


def document_state(row: DocumentRow) -> tuple[Any, str]:
    """(word, badge's tone): where a document stands between the desk and the portal."""
    if row.scan == Scan.INFECTED:
        return _l("Virus found"), "bad"
    if row.scan == Scan.WAITING:
        return _l("Being checked for viruses"), "warn"
    if not row.is_signed:
        return _l("Draft"), "warn"
    if row.held_back_reason:
        return _l("Held back"), "bad"
    if row.is_shown:
        return _l("On the portal"), "good"
    return _l("Signed, hidden"), "neutral"


def invoice_state(row: InvoiceRow, today: date) -> tuple[Any, str]:
    """(word, badge's tone)"""
    return OVERDUE if row.is_overdue(today) else INVOICE_STATUSES[row.status]


def invoice_due(row: InvoiceRow) -> str:
    """One that is to be chosen for a payment."""
    return _("Invoice %(number)s: %(amount)s due", number=row.number, amount=row.due.written())


def charge(row: LineRow, invoice: tuple[UUID, int | None] | None) -> str:
    """One that is to be chosen for a discount."""
    text = " · ".join((row.description, format_date(row.dated_on, "medium"), row.amount.written()))
    if invoice is None:
        return text
    number = invoice[1]
    return f"{text} · " + (_("invoice %(number)s", number=number) if number else _("on a draft"))
