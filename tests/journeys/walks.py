"""Every page that somebody can open, in the states it can be in: what the accessibility tests walk."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from playwright.sync_api import Page

from clinic import demo, passkeys
from tenancy.link_tokens import Purpose
from tests.inside import at_the_door, give_passkey
from tests.journeys.running import Running
from tests.journeys.stage import MADE_UP, Found, link, pay_by_link

Act = Callable[[Page], None]


@dataclass(frozen=True)
class Stop:
    """A page: where it is, what to do there first, whose page that must be, and how it must have answered."""

    path: str
    endpoint: str
    act: Act | None = None
    status: int = 200


@dataclass(frozen=True)
class Walk:
    """The pages of one face for one person; `email` is none for somebody who has not signed in."""

    address: str
    subdomain: str
    stops: list[Stop]
    email: str | None = None


def press(name: str) -> Act:
    """Press the button, with the form as it stands."""

    def act(page: Page) -> None:
        with page.expect_navigation():
            page.get_by_role("button", name=name, exact=True).first.click()

    return act


def fill(label: str, text: str, then: str) -> Act:
    """Type into one field, then press the button."""

    def act(page: Page) -> None:
        page.get_by_label(label, exact=True).fill(text)
        press(then)(page)

    return act


def follow(link: str, then: Act | None = None) -> Act:
    """Open a mailed link in this browser."""

    def act(page: Page) -> None:
        page.goto(link)
        if then:
            then(page)

    return act


def hold_still(page: Page) -> None:
    """Keep a page in progress from drawing itself again."""
    page.context.set_offline(True)


STAFF_LINKS = (Purpose.STAFF_INVITATION, Purpose.STAFF_PASSWORD_RESET, Purpose.STAFF_SIGN_IN_RESET)


def look_at_a_passkey(running: Running, email: str, address: str) -> Act:
    """A passkey's page; the passkey is taken away once the page stands, so that the next walk begins as this one did."""

    def act(page: Page) -> None:
        passkey_id = give_passkey(running.app, demo.ELM, email)
        page.goto(f"{address}/profile/passkeys/{passkey_id}")
        with at_the_door(running.app, demo.ELM, email) as holder:
            passkeys.remove(holder, passkey_id)

    return act


def warn(page: Page) -> None:
    """As if the end of the sign-in were two minutes away."""
    page.evaluate(
        """() => {
          const dialog = document.querySelector(".session-end"), part = dialog.querySelector("[data-part=idle]");
          part.hidden = false;
          part.querySelector("h2").id = "session-end-title";
          part.querySelector("p").id = "session-end-text";
          dialog.showModal();
        }"""
    )


def of_the_books(leo: str, found: Found) -> list[Stop]:
    books, bill = f"{leo}/account", f"{leo}/invoices"
    return [
        Stop("/accounts", "admin.accounts_list"),
        Stop("/accounts?q=nobody", "admin.accounts_list"),
        Stop("/billing/problems", "admin.payment_problems"),
        Stop(f"{leo}/payments", "admin.patient_payments"),
        *(Stop(f"{leo}/payments/{each}", "admin.patient_payment") for each in found.payments.values()),
        Stop(f"{leo}/payments/{found.payments['succeeded']}/refunds/new", "admin.new_refund"),
        Stop(f"{leo}/payments/{found.payments['succeeded']}/refunds/new", "admin.new_refund", fill("Amount", "", "Give it back"), 422),
        Stop(books, "admin.patient_account"),
        Stop(f"{books}/charges/new", "admin.new_charge", press("Add the charge"), 422),
        Stop(f"{books}/payments/new", "admin.new_payment"),
        Stop(f"{books}/payments/new", "admin.new_payment", press("Record the payment"), 422),
        Stop(f"{books}/reductions/new", "admin.new_reduction"),
        Stop(f"{books}/reductions/new", "admin.new_reduction", press("Take it off"), 422),
        *(Stop(f"{books}/lines/{each}", "admin.account_line") for each in found.lines.values()),
        Stop(f"{books}/lines/{found.lines['charge']}/correction", "admin.line_correction"),
        Stop(f"{books}/lines/{found.lines['charge']}/correction", "admin.line_correction", press("Correct this line"), 422),
        Stop(f"{books}/lines/{found.lines['payment']}/refund", "admin.cash_refund"),
        Stop(f"{books}/lines/{found.lines['payment']}/refund", "admin.cash_refund", press("Enter the refund"), 422),
        Stop(f"{bill}/new", "admin.new_invoice"),
        *(Stop(f"{bill}/{each}", "admin.invoice") for each in found.invoices.values()),
        Stop(f"{bill}/{found.invoices['open']}/mailing", "admin.invoice_mailing"),
        Stop(f"{bill}/{found.draft}", "admin.invoice"),
        Stop(f"{bill}/{found.draft}/issuing", "admin.invoice_issuing"),
        Stop(f"{bill}/{found.draft}/issuing", "admin.invoice_issuing", fill("Due on", "", "Issue the invoice"), 422),
        Stop(f"{bill}/{found.invoices['open']}/voiding", "admin.invoice_voiding"),
        Stop(f"{bill}/{found.invoices['open']}/voiding", "admin.invoice_voiding", press("Yes, void the invoice"), 422),
    ]


def of_ana(running: Running, found: Found) -> Walk:
    leo, options = f"/patients/{found.leo}", "/clinic-options"
    paper, zoes = f"{leo}/documents", f"/patients/{found.zoe}"
    stops = [
        Stop("/", "admin.home"),
        Stop("/profile", "admin.profile"),
        Stop("/profile", "admin.profile", fill("Name", "", "Save"), 422),
        Stop("/profile/sessions", "admin.sessions_list"),
        Stop(options, "admin.clinic_options"),
        Stop(f"{options}/portal-settings", "admin.portal_settings_page"),
        Stop(
            f"{options}/portal-settings",
            "admin.portal_settings_page",
            fill("Custom Portal URL", "-", "Save Patient Portal Settings"),
            422,
        ),
        Stop("/payment-processing", "admin.payment_processing_page"),
        Stop("/payment-processing/replacement", "admin.payment_account_replacement"),
        Stop("/payment-processing/return", "admin.payment_sign_up_return"),
        Stop(f"{options}/look", "admin.look"),
        Stop(f"{options}/look", "admin.look", fill("Clinic's name", "", "Save the look"), 422),
        Stop(f"{options}/document-types/new", "admin.new_document_type"),
        Stop(f"{options}/document-types/new", "admin.new_document_type", press("Add"), 422),
        Stop(f"{options}/document-types/{found.kind}", "admin.document_type"),
        Stop(f"{options}/billing", "admin.billing_settings_page"),
        Stop(f"{options}/billing", "admin.billing_settings_page", fill("A second person confirms online refunds above", "x", "Save the billing settings"), 422),
        Stop("/patients", "admin.patients_list"),
        Stop("/patients?q=nobody", "admin.patients_list"),
        Stop("/patients/new", "admin.new_patient"),
        Stop("/patients/new", "admin.new_patient", press("Add the patient"), 422),
        Stop(leo, "admin.patient_overview"),
        Stop(f"{leo}/editing", "admin.patient_editing"),
        Stop(f"{leo}/contacts", "admin.patient_contacts"),
        Stop(f"{zoes}/contacts", "admin.patient_contacts"),
        Stop(f"{leo}/contacts/new", "admin.new_contact"),
        Stop(f"{leo}/contacts/new", "admin.new_contact", press("Add the contact"), 422),
        Stop(f"{leo}/contacts/existing", "admin.existing_contact"),
        Stop(f"{leo}/contacts/existing?q=omar", "admin.existing_contact"),
        Stop(f"{leo}/contacts/existing?q=omar", "admin.existing_contact", press("Add the contact"), 422),
        Stop(f"{leo}/contacts/existing?q=nobody", "admin.existing_contact"),
        Stop(f"{leo}/contacts/{found.maria}", "admin.contact_editing"),
        Stop(f"{leo}/contacts/{found.maria}", "admin.guardianship", press("Mark as guardian for an adult"), 422),
        Stop(f"{zoes}/contacts/{found.hana}", "admin.contact_editing"),
        *(
            Stop(f"{patient}/portal-access/{found.access[name]}", "admin.portal_access")
            for name, patient in (("leo", leo), ("zoe", zoes))
        ),
        Stop(f"{leo}/portal-access/{found.access['leo']}", "admin.portal_access", press("Save the access"), 422),
        Stop(f"{leo}/portal-access/{found.access['leo']}", "admin.portal_access_hold", press("Put on hold"), 422),
        Stop(f"{zoes}/holds/{found.holds['hold']}/lifting", "admin.hold_lifting"),
        Stop(f"{zoes}/holds/{found.holds['hold']}/lifting", "admin.hold_lifting", press("Lift the hold"), 422),
        Stop(f"{zoes}/custody-blocks/new", "admin.new_custody_block"),
        Stop(f"{zoes}/custody-blocks/new", "admin.new_custody_block", press("Place the block"), 422),
        Stop(f"{zoes}/custody-blocks/{found.holds['custody']}/lifting", "admin.custody_block_lifting"),
        Stop("/coming-of-age", "admin.coming_of_age_list"),
        Stop(paper, "admin.patient_documents"),
        Stop(f"{paper}/new", "admin.new_document"),
        Stop(f"{paper}/new", "admin.new_document", press("File as a draft"), 422),
        *(Stop(f"{paper}/{each}", "admin.document") for each in found.papers.values()),
        Stop(f"{paper}/{found.papers['signed']}", "admin.document_hold", press("Hold back"), 422),
        Stop(f"{paper}/{found.papers['signed']}/editing", "admin.document_editing"),
        Stop(f"{leo}/appointments", "admin.patient_appointments"),
        Stop(f"{leo}/appointments/new", "admin.new_appointment"),
        Stop(f"{leo}/appointments/new", "admin.new_appointment", press("Book"), 422),
        Stop(f"{leo}/appointments/{found.visit}", "admin.appointment"),
        Stop(f"{leo}/appointments/{found.cancelled}", "admin.appointment"),
        Stop("/conversations", "admin.conversations_list"),
        Stop(f"/conversations/{found.conversation}", "admin.conversation"),
        Stop(f"/conversations/{found.conversation}", "admin.conversation", press("Send"), 422),
        Stop(f"{leo}/conversations", "admin.patient_conversations"),
        Stop(f"{leo}/conversations/new", "admin.new_conversation"),
        Stop(f"{leo}/conversations/new", "admin.new_conversation", press("Send"), 422),
        Stop("/appointment-requests", "admin.appointment_requests_list"),
        Stop(f"/appointment-requests/{found.wish}", "admin.appointment_request"),
        Stop(f"/appointment-requests/{found.wish}", "admin.appointment_request", press("Answer"), 422),
        Stop("/audit-log", "admin.audit_log_list"),
        Stop("/audit-log?kind=looks", "admin.audit_log_list"),
        Stop("/audit-log?until=2001-01-01", "admin.audit_log_list"),
        Stop("/audit-log?since=never", "admin.audit_log_list", status=422),
        Stop("/portal-users", "admin.portal_users_list"),
        Stop("/portal-users?q=nobody", "admin.portal_users_list"),
        Stop(f"/portal-users/{found.users['maria']}/sign-in-reset", "admin.portal_user_sign_in_reset"),
        Stop(f"/staff/{found.staff['fay']}/sign-in-reset", "admin.staff_member_sign_in_reset"),
        Stop(f"/staff/{found.staff['fay']}/sign-in-reset", "admin.staff_member_sign_in_reset", press("Reset the sign-in")),
        Stop("/confirmation", "admin.confirmation"),
        Stop("/confirmation", "admin.confirmation", press("Confirm"), 422),
        Stop("/profile/password", "admin.profile_password"),
        Stop("/profile/password", "admin.profile_password", press("Change my password"), 422),
        Stop("/profile/second-factor", "admin.second_factor"),
        Stop("/profile/passkeys/new", "admin.new_passkey"),
        Stop("/profile", "admin.passkey", look_at_a_passkey(running, "ana@elm.example", running.admin(demo.ELM, ""))),
        Stop("/profile", "admin.profile", warn),
        Stop("/profile/second-factor/authenticator", "admin.authenticator"),
        Stop("/profile/second-factor/authenticator", "admin.authenticator", press("Turn it on"), 422),
        Stop("/profile/second-factor", "admin.recovery_codes_renewal", press("Make new codes")),
        *(Stop(f"/portal-users/{each}", "admin.portal_user") for each in found.users.values()),
        Stop("/invitations/new", "admin.new_invitations"),
        Stop("/invitations/new?q=nobody", "admin.new_invitations"),
        Stop("/invitations/new", "admin.invitations_choice", press("Invite Patient Contacts to Portal"), 422),
        Stop(f"/invitations/{found.batches['draft']}/confirmation", "admin.invitation_confirmation"),
        Stop(f"/invitations/{found.batches['working']}", "admin.invitation_result", hold_still),
        Stop(f"/invitations/{found.batches['with refusals']}", "admin.invitation_result"),
        Stop("/profile/email", "admin.profile_email"),
        Stop("/profile/email", "admin.profile_email", press("Mail me the link"), 422),
        Stop("/link/staff-email-change", "admin.staff_email_change_link", status=404),
        Stop("/", "admin.staff_email_change_link", follow(link(running, Purpose.STAFF_EMAIL_CHANGE))),
        Stop(f"{leo}/contacts/{found.maria}/sign-ins/{found.users['maria']}", "admin.contact_sign_in"),
        Stop(f"{zoes}/contacts/{found.hugo}/sign-ins/{found.users['omar']}", "admin.contact_sign_in"),  # shared, on hold
        Stop("/staff", "admin.staff_list"),
        Stop("/staff/new", "admin.new_staff_member"),
        Stop("/staff/new", "admin.new_staff_member", press("Invite"), 422),
        *(Stop(f"/staff/{each}", "admin.staff_member") for each in found.staff.values()),
        Stop(f"/patients/{MADE_UP}", "admin.patient_overview", status=404),
        Stop("/invitations/new", "admin.invitation_result", _invite, 200),
        *of_the_books(leo, found),
    ]
    return Walk(running.admin(demo.ELM, ""), "admin", stops, "ana@elm.example")


def _invite(page: Page) -> None:
    page.get_by_label("Hana Haddad").check()
    press("Invite Patient Contacts to Portal")(page)
    press("Yes, Continue")(page)


def of_tom(running: Running, found: Found) -> Walk:
    paper = f"/patients/{found.leo}/documents/{found.papers['draft']}"
    stops = [Stop("/", "admin.home"), Stop(paper, "admin.document"), Stop("/staff", "admin.staff_list", status=403)]
    return Walk(running.admin(demo.ELM, ""), "admin", stops, "tom@elm.example")


def of_ben(running: Running, found: Found) -> Walk:
    stops = [Stop("/", "admin.home"), Stop("/patients", "admin.patients_list", status=403)]
    return Walk(running.admin(demo.ELM, ""), "admin", stops, "ben@elm.example")


def of_maria(running: Running, found: Found) -> Walk:
    leo = f"/patients/{found.leo}"
    stops = [
        Stop("/", "portal.home"),
        Stop(f"{leo}/", "portal.patient"),
        Stop(f"{leo}/looks", "portal.looks"),
        Stop(f"{leo}/looks?month=2020-01", "portal.looks"),
        Stop(f"{leo}/appointments", "portal.appointments"),
        Stop(f"{leo}/appointment-requests/new", "portal.appointment_request"),
        Stop(f"{leo}/appointment-requests/new", "portal.appointment_request", press("Send the request"), 422),
        Stop(f"{leo}/conversations", "portal.conversations"),
        Stop(f"{leo}/conversations/new", "portal.new_conversation"),
        Stop(f"{leo}/conversations/new", "portal.new_conversation", press("Send"), 422),
        Stop(f"{leo}/conversations/{found.conversation}", "portal.conversation"),
        Stop(f"{leo}/conversations/{found.conversation}", "portal.conversation", press("Send"), 422),
        Stop(f"{leo}/billing", "portal.billing"),
        *(Stop(f"{leo}/invoices/{each}", "portal.invoice") for each in found.invoices.values()),
        Stop(f"{leo}/payments/new", "portal.new_payment"),
        *(Stop(f"{leo}/payments/{each}", "portal.payment") for each in found.payments.values()),
        Stop("/profile/cards", "portal.profile_cards"),
        Stop(f"{leo}/documents", "portal.documents"),
        Stop(f"{leo}/documents?since=2001-01-01&until=2001-01-02", "portal.documents"),
        Stop(f"{leo}/documents?since=soon", "portal.documents", status=422),
        Stop(f"{leo}/documents/{found.papers['signed']}", "portal.document"),
        Stop(f"{leo}/documents/{found.papers['held']}", "portal.document", status=404),
        Stop(f"/patients/{found.zoe}/", "portal.patient", status=404),
        Stop("/profile", "portal.profile"),
        Stop("/profile", "portal.profile", press("Save")),
        Stop("/profile", "portal.profile", fill("Name", "", "Save"), 422),
        Stop("/profile/sessions", "portal.sessions"),
        Stop("/profile/email", "portal.profile_email"),
        Stop("/profile/email", "portal.profile_email", press("Mail me the link"), 422),
        Stop("/link/email-change", "portal.email_change", status=404),
        Stop("/", "portal.email_change", follow(link(running, Purpose.EMAIL_CHANGE))),
        Stop("/confirmation", "portal.confirmation"),
        Stop("/confirmation", "portal.confirmation", press("Confirm"), 422),
        Stop("/profile/second-factor", "portal.second_factor"),
        Stop("/profile/passkeys/new", "portal.new_passkey"),
        Stop("/profile", "portal.passkey", look_at_a_passkey(running, "maria@family.example", running.portal(demo.ELM, ""))),
        Stop("/profile", "portal.profile", warn),
        Stop("/profile/second-factor/authenticator", "portal.authenticator"),
        Stop("/profile/second-factor/authenticator", "portal.authenticator", press("Turn it on"), 422),
        Stop("/profile/password", "portal.profile_password"),
        Stop("/profile/password", "portal.profile_password", press("Change my password"), 422),
    ]
    return Walk(running.portal(demo.ELM, ""), demo.ELM, stops, "maria@family.example")


def of_maria_at_oak(running: Running, found: Found) -> Walk:
    return Walk(running.portal(demo.OAK, ""), demo.OAK, [Stop("/", "portal.home")], "maria@family.example")


def at_the_staff_door(running: Running, found: Found) -> Walk:
    links = {purpose: link(running, purpose) for purpose in STAFF_LINKS}
    anew = "admin.staff_sign_in_reset_link"
    reply_to = link(running, Purpose.REPLY_TO)
    welcome, reset, confirm = "admin.staff_invitation_link", "admin.staff_password_reset_link", "admin.reply_to_link"
    stops = [
        Stop("/sign-in", "admin.sign_in_page"),
        Stop("/sign-in", "admin.sign_in_page", press("Sign in"), 422),
        Stop("/forgot-password", "admin.forgotten_password"),
        Stop("/forgot-password", "admin.password_link_sent", fill("E-mail", "no@elm.example", "Send the link")),
        Stop("/link/staff-invitation", welcome, status=404),
        Stop("/sign-in", welcome, follow(links[Purpose.STAFF_INVITATION])),
        Stop("/sign-in", welcome, follow(links[Purpose.STAFF_INVITATION], press("Accept the invitation")), 422),
        Stop("/link/staff-password-reset", reset, status=404),
        Stop("/sign-in", reset, follow(links[Purpose.STAFF_PASSWORD_RESET])),
        Stop("/sign-in", reset, follow(links[Purpose.STAFF_PASSWORD_RESET], press("Set the new password")), 422),
        Stop("/link/staff-sign-in-reset", anew, status=404),
        Stop("/sign-in", anew, follow(links[Purpose.STAFF_SIGN_IN_RESET])),
        Stop("/sign-in", anew, follow(links[Purpose.STAFF_SIGN_IN_RESET], press("Go on to the second factor")), 422),
        Stop("/link/reply-to", confirm, status=404),
        Stop("/sign-in", confirm, follow(reply_to)),
        Stop("/sign-in", confirm, follow(reply_to, press("Confirm"))),
        Stop("/sign-in", confirm, follow(reply_to), 410),
        Stop("/sign-in", "admin.sign_in_code", _show_password("ben@elm.example")),
        Stop("/sign-in/code", "admin.sign_in_code", press("Go on"), 422),
        Stop("/sign-in/recovery-code", "admin.sign_in_recovery_code"),
        Stop("/sign-in/recovery-code", "admin.sign_in_recovery_code", press("Go on"), 422),
    ]
    return Walk(running.admin(demo.ELM, ""), "admin", stops)


def at_the_families_door(running: Running, found: Found) -> Walk:
    older, newer = link(running, Purpose.INVITATION), link(running, Purpose.INVITATION)
    reset, sign_in_reset = link(running, Purpose.PASSWORD_RESET), link(running, Purpose.SIGN_IN_RESET)
    anew = "portal.sign_in_reset"
    invited, incomplete = "portal.invitation", running.portal(demo.ELM, "/link/invitation/cut-off")
    unpaid, begun = link(running, Purpose.INVOICE), link(running, Purpose.INVOICE)
    stops = [
        Stop("/link/invoice", "portal.mailed_invoice", status=404),
        Stop(f"/mailed-invoice/payments/{MADE_UP}", "portal.link_payment", status=404),
        Stop("/sign-in", "portal.mailed_invoice", follow(unpaid)),
        *(Stop("/sign-in", "portal.link_payment", _come_back(running, begun, each)) for each in pay_by_link(running).values()),
        Stop("/sign-in", "portal.mailed_invoice", follow(begun)),
        Stop("/sign-in", "portal.sign_in"),
        Stop("/sign-in", "portal.sign_in", press("Sign in"), 422),
        Stop("/new-link", "portal.new_link"),
        Stop("/new-link", "portal.new_link", press("Mail me a new link"), 422),
        Stop("/new-link", "portal.link_mailed", fill("E-mail address", "no@family.example", "Mail me a new link")),
        Stop("/sign-in", "portal.password_reset", follow(reset)),
        Stop("/sign-in", "portal.password_reset", follow(reset, press("Set my new password")), 422),
        Stop("/sign-in", invited, follow(incomplete), 404),
        Stop("/sign-in", invited, follow(older), 410),
        Stop("/sign-in", invited, follow(newer)),
        Stop("/sign-in", "portal.invitation", follow(newer, press("Set up my portal")), 422),
        Stop("/sign-in", "portal.invitation", follow(newer, _five_wrong_birth_dates), 410),
        Stop("/sign-in", anew, follow(running.portal(demo.ELM, "/link/sign-in-reset/cut-off")), 404),
        Stop("/sign-in", anew, follow(sign_in_reset)),
        Stop("/sign-in", anew, follow(sign_in_reset, press("Go on to the second factor")), 422),
        Stop("/nowhere", "", status=404),
        Stop("/sign-in", "portal.sign_in_code", _show_password("omar@family.example")),
        Stop("/sign-in/code", "portal.sign_in_code", press("Go on"), 422),
        Stop("/sign-in/recovery-code", "portal.sign_in_recovery_code"),
        Stop("/sign-in/recovery-code", "portal.sign_in_recovery_code", press("Go on"), 422),
    ]
    return Walk(running.portal(demo.ELM, ""), demo.ELM, stops)


def _come_back(running: Running, link: str, payment_id: UUID) -> Act:
    """To a payment by a mailed link, in the browser in which that was followed."""

    def act(page: Page) -> None:
        page.goto(link)
        page.goto(running.portal(demo.ELM, f"/mailed-invoice/payments/{payment_id}"))

    return act


def _show_password(email: str) -> Act:
    """The first step of signing in, where a code is asked for next."""

    def act(page: Page) -> None:
        page.get_by_label("E-mail").fill(email)
        fill("Password", demo.PASSWORD, "Sign in")(page)

    return act


def _five_wrong_birth_dates(page: Page) -> None:
    while page.get_by_role("button", name="Set up my portal").count():
        page.get_by_label("Birth date of the patient").fill("2001-01-01")
        fill("Choose a password", "six calm yellow boats", "Set up my portal")(page)


def at_the_front_door(running: Running, found: Found) -> Walk:
    find = "Mail me the address"
    stops = [
        Stop("/", "front_door.find"),
        Stop("/", "front_door.find", press(find), 422),
        Stop("/", "front_door.asked", fill("E-mail address", "maria@family.example", find)),
        Stop("/nowhere", "", status=404),
    ]
    return Walk(running.front_door(""), "", stops)


WALKS: dict[str, Callable[[Running, Found], Walk]] = {
    "ana": of_ana,
    "ben": of_ben,
    "tom": of_tom,
    "maria": of_maria,
    "maria at oak": of_maria_at_oak,
    "staff door": at_the_staff_door,
    "families' door": at_the_families_door,
    "front door": at_the_front_door,
}
