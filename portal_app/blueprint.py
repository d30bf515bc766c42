"""The map of the portal: every address, the page behind it, and what all of its pages wear."""

from collections.abc import Callable
from typing import Any

import flask_login
from flask import Blueprint, Flask, current_app, request, url_for

from clinic.sessions import Stage
from portal_app import (
    appointment_requests,
    appointments,
    billing,
    billing_papers,
    conversations,
    documents,
    email_changes,
    guards,
    home,
    invitations,
    looks,
    mailed_invoices,
    mailed_links,
    passkeys,
    patients,
    payments,
    profile,
    saved_cards,
    second_factors,
    sessions,
    sign_in,
    wayfinding,
)
from tenancy.middleware import CLINIC
from ui import headers
from ui.doors import is_open

GET, POST, BOTH = ("GET",), ("POST",), ("GET", "POST")
LINK = '/link/<any("invitation","password-reset","sign-in-reset","email-change","invoice"):purpose>/<secret>'
PATIENT = "/patients/<uuid:patient_id>"
CONVERSATION = f"{PATIENT}/conversations/<uuid:conversation_id>"
PAYMENT = f"{PATIENT}/payments/<uuid:payment_id>"
LINK_PAYMENT = "/mailed-invoice/payments/<uuid:payment_id>"
DOCUMENT = f"{PATIENT}/documents/<uuid:document_id>"

PAGES: tuple[tuple[str, str, Callable[..., Any], tuple[str, ...]], ...] = (
    ("/sign-in", "sign_in", sign_in.enter, BOTH),
    ("/sign-in/code", "sign_in_code", sign_in.show_code, BOTH),
    ("/sign-in/recovery-code", "sign_in_recovery_code", sign_in.show_recovery_code, BOTH),
    ("/sign-in/passkey-challenge", "sign_in_passkey_challenge", passkeys.sign_in_challenge, POST),
    ("/sign-in/passkey", "sign_in_passkey", passkeys.enter, POST),
    ("/sign-in/code/passkey", "sign_in_code_passkey", passkeys.show_factor, POST),
    ("/passkey-challenge", "passkey_challenge", passkeys.challenge, POST),
    ("/confirmation/passkey", "confirmation_passkey", passkeys.confirm, POST),
    ("/confirmation", "confirmation", sign_in.confirm, BOTH),
    ("/sign-out", "sign_out", sign_in.leave, POST),
    ("/new-link", "new_link", sign_in.ask_for_link, BOTH),
    ("/new-link/mailed", "link_mailed", sign_in.link_mailed, GET),
    (LINK, "link", mailed_links.arrive, GET),
    ("/link/invoice", "mailed_invoice", mailed_invoices.show, BOTH),
    (LINK_PAYMENT, "link_payment", mailed_invoices.show_payment, GET),
    (f"{LINK_PAYMENT}/checkout", "link_payment_checkout", mailed_invoices.go_on, POST),
    (f"{LINK_PAYMENT}/calling-off", "link_payment_calling_off", mailed_invoices.call_off, POST),
    ("/link/password-reset", "password_reset", mailed_links.reset_password, BOTH),
    ("/link/sign-in-reset", "sign_in_reset", mailed_links.reset_sign_in, BOTH),
    ("/link/invitation", "invitation", invitations.show, GET),
    ("/link/invitation", "invitation_acceptance", invitations.accept, POST),
    ("/link/invitation/renewal", "invitation_renewal", invitations.renew, POST),
    ("/link/email-change", "email_change", email_changes.confirm, BOTH),
    ("/logo/<version>.png", "logo", home.logo, GET),
    ("/", "home", home.show, GET),
    ("/profile", "profile", profile.show, BOTH),
    ("/profile/password", "profile_password", profile.change_password, BOTH),
    ("/profile/passkeys/challenge", "new_passkey_challenge", passkeys.new_challenge, POST),
    ("/profile/passkeys/new", "new_passkey", passkeys.add, BOTH),
    ("/profile/passkeys/<uuid:passkey_id>", "passkey", passkeys.edit, BOTH),
    ("/profile/passkeys/<uuid:passkey_id>/removal", "passkey_removal", passkeys.remove, POST),
    ("/profile/sessions", "sessions", sessions.listed, GET),
    ("/profile/sessions/ending", "sessions_ending", sessions.sign_out_everywhere, POST),
    ("/profile/sessions/<uuid:session_id>/ending", "session_ending", sessions.end, POST),
    ("/profile/cards", "profile_cards", saved_cards.listed, GET),
    ("/profile/cards/<uuid:card_id>/removal", "profile_card_removal", saved_cards.remove, POST),
    (f"{PATIENT}/autopay", "autopay", saved_cards.begin_autopay, POST),
    (f"{PATIENT}/autopay/ending", "autopay_ending", saved_cards.end_autopay, POST),
    ("/session", "session_clock", sessions.clock, BOTH),
    ("/profile/email", "profile_email", email_changes.ask, BOTH),
    ("/profile/second-factor", "second_factor", second_factors.show, GET),
    ("/profile/second-factor/authenticator", "authenticator", second_factors.set_up, BOTH),
    ("/profile/second-factor/authenticator/removal", "authenticator_removal", second_factors.remove, POST),
    ("/profile/second-factor/recovery-codes", "recovery_codes_renewal", second_factors.renew_codes, POST),
    (f"{PATIENT}/", "patient", patients.show, GET),
    (f"{PATIENT}/looks", "looks", looks.listed, GET),
    (f"{PATIENT}/documents", "documents", documents.listed, GET),
    (DOCUMENT, "document", documents.show, GET),
    (f"{DOCUMENT}/file", "document_file", documents.read, GET),
    (f"{DOCUMENT}/download", "document_download", documents.download, GET),
    (f"{PATIENT}/appointments", "appointments", appointments.listed, GET),
    (f"{PATIENT}/appointment-requests/new", "appointment_request", appointment_requests.ask, BOTH),
    (
        f"{PATIENT}/appointment-requests/<uuid:request_id>/withdrawal",
        "appointment_request_withdrawal",
        appointment_requests.withdraw,
        POST,
    ),
    (f"{PATIENT}/conversations", "conversations", conversations.listed, GET),
    (f"{PATIENT}/conversations/new", "new_conversation", conversations.begin, BOTH),
    (CONVERSATION, "conversation", conversations.show, BOTH),
    (f"{CONVERSATION}/attachments/<uuid:attachment_id>", "message_attachment", conversations.attachment, GET),
    (f"{PATIENT}/billing", "billing", billing.show, GET),
    (f"{PATIENT}/invoices/<uuid:invoice_id>", "invoice", billing.invoice, GET),
    (f"{PATIENT}/invoices/<uuid:invoice_id>/download", "invoice_download", billing_papers.invoice, GET),
    (f"{PATIENT}/receipts/<uuid:line_id>", "receipt", billing_papers.receipt, GET),
    (f"{PATIENT}/statements/<month>", "statement", billing_papers.statement, GET),
    (f"{PATIENT}/payments/new", "new_payment", payments.new, BOTH),
    ("/payments/<uuid:payment_id>", "payment_return", payments.come_back, GET),
    (PAYMENT, "payment", payments.show, GET),
    (f"{PAYMENT}/checkout", "payment_checkout", payments.go_on, POST),
    (f"{PAYMENT}/calling-off", "payment_calling_off", payments.call_off, POST),
)


def install(app: Flask) -> None:
    portal = Blueprint("portal", __name__, subdomain="<portal_slug:slug>", template_folder="templates")
    for rule, name, view, methods in PAGES:
        portal.add_url_rule(rule, name, view, methods=methods)
    portal.url_value_preprocessor(_take_slug)
    portal.url_defaults(_give_slug)
    portal.before_request(guards.close_by_default)
    portal.after_request(guards.record_answer)
    portal.context_processor(worn)
    app.register_blueprint(portal)
    headers.CACHEABLE.add("portal.logo")  # its address changes with it


def worn() -> dict[str, Any]:
    """Values for `ui/shell.html` and `ui/door.html`. Open pages know nobody, whoever is signed in."""
    clinic = guards.clinic()
    common = {
        "clinic": clinic,
        "home_url": url_for("portal.home"),
        "logo_url": url_for("portal.logo", version=clinic.logo_version) if clinic.has_logo else None,
    }
    if is_open(current_app.view_functions[request.endpoint or ""]) or not flask_login.current_user.is_authenticated:
        return common | {"person": None, "navigation": []}
    if guards.person().stage is not Stage.FULL:
        return common | {"person": guards.person(), "navigation": [], "sign_out_url": url_for("portal.sign_out")}
    return common | wayfinding.context() | {
        "person": guards.person(),
        "session_clock": guards.session_clock(),
        "navigation": wayfinding.menu(),
        "sign_out_url": url_for("portal.sign_out"),
        "sign_in_url": url_for("portal.sign_in"),
    }


def _take_slug(endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Views never see the slug: the clinic is open already."""
    if values:
        values.pop("slug", None)


def _give_slug(endpoint: str, values: dict[str, Any]) -> None:
    clinic = request.environ.get(CLINIC)
    if clinic:
        values.setdefault("slug", clinic.slug)
