"""What staff read for the events of the audit log: what the person whose name stands before it did."""

from typing import Any

from flask_babel import lazy_gettext as _l

from admin_app.words import STAFF_ROLES
from clinic.actors import ActorKind
from clinic.audit import Result
from clinic.audit_log import EventKind, LogRow
from clinic.staff import StaffRole

KINDS = {
    EventKind.LOOKS: _l("Looks at records"),
    EventKind.RECORDS: _l("Changes of records"),
    EventKind.PEOPLE: _l("Portal access and staff"),
    EventKind.SIGN_INS: _l("Signing in"),
    EventKind.SETTINGS: _l("Settings"),
}
# result: (word, badge's tone)
RESULTS = {
    Result.DONE: (_l("Done"), "good"),
    Result.REFUSED: (_l("Refused"), "warn"),
    Result.FAILED: (_l("Failed"), "bad"),
}
EVENTS = {
    "access.failed": _l("opened a page that broke"),
    "access.refused": _l("asked for a page that is not theirs, or not there"),
    "access_hold.lifted": _l("lifted a hold on portal access"),
    "access_hold.placed": _l("put portal access on hold"),
    "appointment.booked": _l("booked an appointment"),
    "appointment.cancelled": _l("cancelled an appointment"),
    "appointment.changed": _l("corrected an appointment"),
    "appointment.viewed": _l("opened an appointment"),
    "appointment_request.answered": _l("answered an appointment request"),
    "appointment_request.asked": _l("asked for an appointment"),
    "appointment_request.viewed": _l("opened an appointment request"),
    "appointment_request.withdrawn": _l("withdrew an appointment request"),
    "appointment_requests.listed": _l("opened the list of appointment requests"),
    "appointments.viewed": _l("opened the appointments"),
    "audit_log.exported": _l("exported the audit log"),
    "audit_log.verified": _l("checked that the audit log is whole"),
    "audit_log.viewed": _l("opened the audit log"),
    "autopay.announced": _l("announced a charge of a saved card"),
    "autopay.begun": _l("asked for invoices to be paid with a saved card when they are due"),
    "autopay.ended": _l("ended paying with a saved card"),
    "billing.viewed": _l("opened the billing page"),
    "clinic.changed": _l("changed the clinic's look"),
    "clinic.created": _l("created the clinic"),
    "clinic.shown": _l("looked up the clinic's address and plan"),
    "coming_of_age.listed": _l("opened the list of patients who come of age"),
    "coming_of_age.told": _l("told the clinic that a patient comes of age"),
    "contact.added": _l("added a contact"),
    "contact.changed": _l("corrected a contact"),
    "contact.viewed": _l("opened a contact"),
    "contact_sign_in.ended": _l("ended access because the contact's address was corrected"),
    "contact_sign_in.kept": _l("kept a sign-in although the contact's address was corrected"),
    "contacts.listed": _l("opened the list of contacts to invite"),
    "contacts.searched": _l("searched the contacts to invite"),
    "contacts.viewed": _l("opened the contacts"),
    "conversation.closed": _l("closed a conversation"),
    "conversation.opened": _l("read a conversation"),
    "conversation.reopened": _l("reopened a conversation"),
    "conversation.started": _l("began a conversation"),
    "conversations.listed": _l("opened the list of messages"),
    "conversations.viewed": _l("opened the messages"),
    "custody_block.lifted": _l("lifted a custody block"),
    "custody_block.placed": _l("placed a custody block"),
    "dispute.closed": _l("noted how a bank decided about a payment"),
    "dispute.opened": _l("noted that a bank asks about a payment"),
    "disputes.viewed": _l("opened the disputes"),
    "document.added": _l("filed a document"),
    "document.changed": _l("corrected a document"),
    "document.downloaded": _l("downloaded a document"),
    "document.held_back": _l("held a document back from the portal"),
    "document.opened": _l("read a document"),
    "document.released": _l("released a document that was held back"),
    "document.scanned": _l("scanned a document for viruses"),
    "document.signed": _l("signed a document"),
    "document.viewed": _l("opened a document's page"),
    "document_type.added": _l("added a document type"),
    "document_type.renamed": _l("renamed a document type"),
    "documents.viewed": _l("opened the documents"),
    "email_change.asked": _l("asked to sign in with another address"),
    "email_change.confirmed": _l("confirmed another address to sign in with"),
    "email_change.slowed": _l("was slowed down when asking to change an address"),
    "factor_code.slowed": _l("was slowed down when entering a code"),
    "home.viewed": _l("opened the portal's start page"),
    "identity.confirmed": _l("confirmed who they are"),
    "identity.refused": _l("was refused when confirming who they are"),
    "invitation.accepted": _l("accepted an invitation"),
    "invitation.locked": _l("missed the birth date too often; the invitation is locked"),
    "invitation.missed": _l("missed the birth date of an invitation"),
    "invitation.sent": _l("sent an invitation"),
    "invitation_batch.confirmed": _l("confirmed invitations"),
    "invitation_batch.viewed": _l("opened a list of invitations"),
    "invoice.viewed": _l("opened an invoice"),
    "logo.changed": _l("changed the logo"),
    "logo.removed": _l("removed the logo"),
    "looks.viewed": _l("opened who has looked at the record"),
    "message.written": _l("wrote a message"),
    "message_attachment.opened": _l("opened a file of a message"),
    "message_attachment.scanned": _l("scanned a file of a message for viruses"),
    "passkey.copy_suspected": _l("used a passkey that may have been copied"),
    "passkey.renamed": _l("renamed a passkey"),
    "password.changed": _l("changed a password"),
    "password_reset.mailed": _l("had a link for a new password mailed"),
    "password_reset.slowed": _l("was slowed down when asking for a new password"),
    "patient.added": _l("added a patient"),
    "patient.changed": _l("changed a patient's details"),
    "patient.viewed": _l("opened the overview"),
    "patient_details.viewed": _l("opened the details"),
    "patients.listed": _l("opened the list of patients"),
    "patients.searched": _l("searched the patients"),
    "payment.begun": _l("began a payment online"),
    "payment.ended": _l("ended a payment online before it was made"),
    "payment.failed": _l("noted that a payment online failed"),
    "payment.succeeded": _l("noted that a payment online arrived"),
    "payment.viewed": _l("opened a payment"),
    "payment_problem.found": _l("found a payment that needs attention"),
    "payment_problem.settled": _l("settled what was open about a payment"),
    "payment_problems.viewed": _l("opened the payments that need attention"),
    "payments.reconciled": _l("had the payments compared with Stripe"),
    "payments.viewed": _l("opened the payments online"),
    "plan.changed": _l("changed the clinic's plan"),
    "payment_account.begun": _l("opened a Stripe account for the clinic"),
    "payment_account.deauthorised": _l("saw that the Stripe account was disconnected"),
    "payment_account.enabled": _l("saw that Stripe lets families pay online"),
    "payment_account.replaced": _l("left the Stripe account for another"),
    "payment_account.restricted": _l("saw that Stripe paused payments"),
    "portal.renamed": _l("changed the portal's address"),
    "portal_access.came_of_age": _l("ended access because the patient came of age"),
    "portal_access.changed": _l("changed portal access"),
    "portal_access.ended": _l("ended portal access"),
    "portal_access.given": _l("gave portal access"),
    "portal_access.viewed": _l("opened portal access"),
    "portal_search.slowed": _l("was slowed down when looking for a portal"),
    "portal_settings.saved": _l("changed the portal's settings"),
    "portal_user.changed": _l("changed their own profile"),
    "portal_user.deactivated": _l("deactivated a portal user"),
    "portal_user.reactivated": _l("reactivated a portal user"),
    "portal_user.viewed": _l("opened a portal user"),
    "portal_users.listed": _l("opened the list of portal users"),
    "portal_users.searched": _l("searched the portal users"),
    "present_password.slowed": _l("was slowed down when confirming a password"),
    "profile.viewed": _l("opened their own profile"),
    "recovery_code.used": _l("used a recovery code"),
    "recovery_codes.renewed": _l("made new recovery codes"),
    "refund.asked": _l("asked for a refund"),
    "refund.confirmed": _l("confirmed a refund"),
    "refund.failed": _l("noted that a refund was not made"),
    "refund.withdrawn": _l("withdrew a refund"),
    "relationship.added": _l("noted who stands by a patient"),
    "relationship.changed": _l("corrected how somebody stands by a patient"),
    "relationship.removed": _l("noted that somebody no longer stands by a patient"),
    "reply_to.confirmed": _l("confirmed the reply-to address"),
    "saved_card.kept": _l("saved a card with Stripe"),
    "saved_card.removed": _l("removed a saved card"),
    "second_factor.added": _l("added a second factor"),
    "second_factor.refused": _l("was refused at the second factor"),
    "second_factor.removed": _l("removed a second factor"),
    "session.ended": _l("signed out"),
    "sessions.ended": _l("signed out everywhere"),
    "sign_in.begun": _l("gave the right password; the second factor was still due"),
    "sign_in.refused": _l("was refused at sign-in"),
    "sign_in.slowed": _l("was slowed down at sign-in"),
    "sign_in.succeeded": _l("signed in"),
    "sign_in_reset.missed": _l("missed the birth date when signing in anew"),
    "sign_in_reset.started": _l("let somebody set up their sign-in anew"),
    "sign_in_reset.used": _l("set up their sign-in anew"),
    "staff_member.accepted": _l("accepted the invitation to the staff"),
    "staff_member.deactivated": _l("deactivated a staff member"),
    "staff_member.invited": _l("invited a staff member"),
    "staff_member.reactivated": _l("reactivated a staff member"),
    "staff_member.renamed": _l("changed their own name"),
    "staff_member.role_changed": _l("changed a staff member's role"),
    "status.changed": _l("suspended or resumed the clinic"),
}
_ROLES = {
    "portal": _l("portal user"),
    "operator": _l("operator"),
    "visitor": _l("not signed in"),
    "job": _l("in the background"),
    "staff": _l("staff"),
}


def event(row: LogRow) -> Any:
    return EVENTS.get(row.event, row.event)


def who(row: LogRow) -> Any:
    if row.actor_name:
        return row.actor_name
    return _l("Portico") if row.actor_role == "job" else _l("Somebody")


def role(row: LogRow) -> Any:
    """What the person was then."""
    if row.actor_kind == ActorKind.STAFF and row.actor_role in list(StaffRole):
        return STAFF_ROLES[StaffRole(row.actor_role)][0]
    return _ROLES.get(row.actor_role or "", "")


def result(row: LogRow) -> tuple[Any, str]:
    return RESULTS[Result(row.result)]
