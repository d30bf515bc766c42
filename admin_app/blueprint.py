"""The staff pages' blueprint: inside a clinic or not at all, and closed by default."""

from typing import Any
from urllib.parse import urlsplit

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    flash,
    g,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user
from werkzeug.wrappers import Response as AnyResponse

from admin_app import guards, words
from admin_app.guards import Person
from clinic import appointment_requests, audit, conversations, passkeys
from clinic.passkeys import RelyingParty
from clinic.sessions import Stage
from clinic.staff import Right
from tenancy import tenant
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tenancy.errors import Conflict, NotAllowed, NotFound
from tenancy.middleware import CLINIC
from tenancy.settings import Settings
from tenancy.sites import Admin
from tenancy.tenant import Role
from ui import doors, looks, session_life
from ui.forms import PorticoForm
from ui.pages import NavItem

admin = Blueprint("admin", __name__, subdomain="admin", url_prefix="/<portal_slug:slug>", template_folder="templates")
# The menu's entries and the parts of the address below which each is the current one.
PLACES = {
    "home": (),
    "patients_list": ("patients", "coming-of-age"),
    "accounts_list": ("accounts", "billing"),
    "conversations_list": ("conversations",),
    "appointment_requests_list": ("appointment-requests",),
    "clinic_options": ("clinic-options",),
    "payment_processing_page": ("payment-processing",),
    "portal_users_list": ("portal-users", "invitations"),
    "staff_list": ("staff",),
    "audit_log_list": ("audit-log",),
}
# Where somebody goes whose sign-in has come so far, or who must prove again who they are.
STEPS = {
    Stage.FULL: "home",
    Stage.FACTOR_DUE: "sign_in_code",
    Stage.ENROLMENT_DUE: "authenticator",
    doors.CONFIRMATION: "confirmation",
}


def install(app: Flask) -> None:
    app.register_blueprint(admin)


def clinic_here() -> ClinicEntry:
    """The clinic that the request's address names. Raises NotFound where it names none."""
    found: ClinicEntry | None = request.environ.get(CLINIC)
    if found is None:
        raise NotFound("clinic")
    return found


def settings() -> Settings:
    known: Settings = current_app.config["PORTICO"]
    return known


def relying_party() -> RelyingParty:
    """The staff's host. All clinics share it: the clinic is in a passkey's handle, and in what is found."""
    return passkeys.relying_party(Admin(), settings(), clinic_here().name)


def page(template: str, **values: Any) -> Response:
    """A page; with a form that was refused, status 422."""
    form = values.get("form")
    refused = isinstance(form, PorticoForm) and bool(form.errors)
    person = g.get("person")
    if person and person.stage is Stage.FULL and person.may(Right.RECORDS):
        with transaction():
            g.unread, g.requested = conversations.count_unread(), appointment_requests.count_open()
    return make_response(render_template(template, **values), 422 if refused else 200)


def go(endpoint: str, **values: Any) -> AnyResponse:
    """On to the page that shows what a verb did."""
    return redirect(url_for(f"admin.{endpoint}", **values), 303)


def too_late(conflict: Conflict) -> None:
    """Say on the next page why nothing was done."""
    flash(str(conflict.message), "error")


@admin.url_value_preprocessor
def _take_slug(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values:
        values.pop("slug", None)


@admin.url_defaults
def _give_slug(_endpoint: str, values: dict[str, Any]) -> None:
    values.setdefault("slug", clinic_here().slug)


@admin.after_request
def _record_answer(answer: AnyResponse) -> AnyResponse:
    """What somebody signed in was shown or refused is recorded, or not sent."""
    person: Person | None = g.get("person")
    return looks.recorded(answer, audit, person.session.id) if person else answer


@admin.before_request
def _closed_by_default() -> AnyResponse | None:
    clinic_here()
    g.person = None
    view = current_app.view_functions[request.endpoint or ""]
    if getattr(view, "open_page", False):
        tenant.become(Role.DOOR)
        return None
    rights: frozenset[Right] = view.needs  # type: ignore[attr-defined]
    if not isinstance(current_user._get_current_object(), Person):
        is_over = session_life.is_over()
        if session_life.holds_unsent_form() and guards.held_before():
            return session_life.unsent_form(url_for("admin.sign_in_page"))
        if is_over:
            flash(_("You were signed out after a while without activity. Please sign in again."), "info")
        asked_for = request.path if request.method in ("GET", "HEAD") else None
        return go("sign_in_page", next=asked_for)
    g.person = current_user._get_current_object()
    step = doors.held_back(view, stage=g.person.stage, is_fresh=g.person.session.is_fresh)
    if step:
        return _step(step)
    if not all(g.person.may(right) for right in rights):
        raise NotAllowed(_("Your role does not include this. Ask an administrator of your clinic."))
    return None


def _step(step: str) -> AnyResponse:
    """To the step that is due, and then on to the page that was asked for, or back to the one a form stood on."""
    if request.method in ("GET", "HEAD"):
        return go(STEPS[step], next=None if step == Stage.FULL else request.path)
    if step == doors.CONFIRMATION:
        flash(_("Nothing was changed yet. Confirm that it is you, then do it once more."), "info")
    return go(STEPS[step], next=doors.page_before())


def next_path() -> str:
    """Where to go after signing in: the page of this clinic that was asked for, or home."""
    asked_for = request.args.get("next", "")
    home = url_for("admin.home")
    parts = urlsplit(asked_for) if asked_for.isprintable() else urlsplit("")
    is_ours = not parts.scheme and not parts.netloc and asked_for.startswith(home) and "\\" not in asked_for
    return asked_for if is_ours and "//" not in asked_for else home


@admin.context_processor
def _shell() -> dict[str, Any]:
    clinic, person = clinic_here(), g.get("person")
    return {
        "clinic": clinic,
        "person": person,
        "profile_url": url_for("admin.profile"),
        "session_clock": guards.session_clock() if person and person.stage is Stage.FULL else None,
        "is_admin": bool(person and person.may(Right.ADMIN)),
        "may_sign": bool(person and person.may(Right.SIGNING)),
        "keeps_records": bool(person and person.may(Right.RECORDS)),
        "keeps_books": bool(person and person.may(Right.BILLING)),
        "navigation": _navigation(person) if person and person.stage is Stage.FULL else [],
        "home_url": url_for("admin.home"),
        "sign_out_url": url_for("admin.sign_out"),
        "sign_in_url": url_for("admin.sign_in_page"),
        "logo_url": url_for("admin.logo", version=clinic.logo_version) if clinic.has_logo else None,
        "words": words,
    }


def _navigation(person: Person) -> list[NavItem]:
    entries = [_entry(_("Home"), "home")]
    if person.may(Right.RECORDS):
        unread, requested = g.get("unread", 0), g.get("requested", 0)
        entries += [
            _entry(_("Patients"), "patients_list"),
            _entry(_("Messages"), "conversations_list", ngettext("%(num)s new", "%(num)s new", unread) if unread else None),
            _entry(
                _("Appointment requests"),
                "appointment_requests_list",
                ngettext("%(num)s open", "%(num)s open", requested) if requested else None,
            ),
        ]
    if person.may(Right.BILLING):
        entries.append(_entry(_("Billing"), "accounts_list"))
    if person.may(Right.ADMIN):
        options = (_entry(_("Clinic Options"), "clinic_options"), _entry(_("Payment Processing"), "payment_processing_page"))
        basic = NavItem(_("Basic Setup"), None, children=options)
        people = (_entry(_("Portal Users"), "portal_users_list"), _entry(_("Staff"), "staff_list"))
        advanced = NavItem(_("Advanced Setup"), None, children=people)
        entries.append(NavItem(_("Admin"), None, children=(basic, advanced, _entry(_("Audit log"), "audit_log_list"))))
    return entries


def _entry(label: str, endpoint: str, badge: str | None = None) -> NavItem:
    place = request.path.split("/")[2]
    is_current = place in PLACES[endpoint] if PLACES[endpoint] else not place
    return NavItem(label, url_for(f"admin.{endpoint}"), is_current, badge=badge)
