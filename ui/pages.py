"""What every page wears: language, template globals and filters, static files, and the answers to errors.

`install(app)` sets it all up. Each face adds, by a context processor, the values that `ui/shell.html` draws:
`clinic`, `person`, `navigation`, `home_url`, `sign_out_url`, `logo_url`.
"""

import hashlib
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_skeleton, format_time, get_datetime_format
from flask import Blueprint, Flask, Response, current_app, request
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from flask_wtf.csrf import CSRFError, CSRFProtect
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as NoSuchPage
from werkzeug.wrappers import Response as AnyResponse

from tenancy.errors import Busy, Conflict, NotAllowed, NotFound, NotNow, PorticoError, Refused, TooManyTries
from tenancy.middleware import CLINIC, SITE
from tenancy.sites import Admin, front_door_url
from ui import accent, headers, languages, machines, origins
from ui.origins import SentFromElsewhere

HERE = Path(__file__).parent
STATIC = HERE / "static"
A_YEAR, A_DAY = 31_536_000, 86_400

STATUSES: dict[type[PorticoError], int] = {
    NotFound: 404,
    NotAllowed: 403,
    Refused: 422,
    Conflict: 409,
    TooManyTries: 429,
    Busy: 503,
}

# status: (title, what to do). A domain error brings its own sentence, except "not found", which is always this one.
ANSWERS = {
    400: (
        _l("That did not work"),
        _l("The page was sent incompletely. Go back, load the page again and repeat the step."),
    ),
    403: (_l("This page is not open to you"), _l("If you think it should be, ask an administrator of your clinic.")),
    404: (_l("We could not find this page"), _l("Check the address, or go to the start page and look from there.")),
    405: (_l("That did not work"), _l("Go back, load the page again and repeat the step.")),
    409: (
        _l("Something changed in the meantime"),
        _l("Go back, load the page again and look before you repeat the step."),
    ),
    413: (_l("That is too large"), _l("Choose a smaller file, or send less at once.")),
    416: (_l("That part is not there"), _l("Go back and open the file again.")),
    422: (_l("That could not be done"), _l("Go back, check what you entered and try again.")),
    429: (_l("Too many tries"), _l("Wait a few minutes, then try again.")),
    500: (_l("Something went wrong on our side"), _l("Nothing was lost. Please try again in a few minutes.")),
    503: (
        _l("Please come back in a moment"),
        _l("The service is busy or being looked after. Try again in a few minutes."),
    ),
}
EXPIRED_FORM = _l("This page was open for too long. Go back, load it again and repeat the step.")


class FormTokens(CSRFProtect):
    """Flask-WTF's, asked of whoever has a page to take one from."""

    def protect(self, apply_exemptions: bool = False) -> None:
        if not machines.are_sending():
            super().protect(apply_exemptions)


csrf = FormTokens()


@dataclass(frozen=True)
class NavItem:
    """One entry of the main navigation; a heading if `href` is none."""

    label: Any
    href: str | None
    is_current: bool = False
    children: tuple["NavItem", ...] = ()
    badge: Any = None


def install(app: Flask) -> None:
    """Dress the application. Build it with `static_folder=None`: static files are served here."""
    # A form's token lives as long as its session, so that a page left open can still be sent.
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)
    # Stricter than Flask-WTF's look at the Referer, which pages that hold a secret do not send.
    app.config.setdefault("WTF_CSRF_SSL_STRICT", False)
    # Where the pages of Stripe's lie that a form may lead to; who takes payments says it.
    app.config.setdefault("STRIPE_PAGES", ())
    machines.install(app)
    app.before_request(origins.refuse_others)
    csrf.init_app(app)
    languages.install(app, str(HERE / "translations"))
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(static_url=static_url, accent_url=accent_url)
    app.jinja_env.globals["script_nonce"] = headers.script_nonce
    app.jinja_env.filters.update(day=day, last_day=last_day, long_day=long_day, month_year=month_year, day_time=day_time, time_of_day=time_of_day, money=money)
    app.jinja_env.filters["at_sign"] = at_sign

    rooms = Blueprint("ui", __name__, template_folder="templates")
    _on_every_host(app, rooms, "/static/accent/<colour>.css", accent_stylesheet)
    _on_every_host(app, rooms, "/static/<version>/<path:filename>", static_file)
    _on_every_host(app, rooms, languages.PATH, languages.change, ("POST",))
    app.register_blueprint(rooms)
    app.register_error_handler(PorticoError, _answer_refusal)
    app.register_error_handler(HTTPException, _answer_http_error)
    for stray in (CSRFError, SentFromElsewhere):
        app.register_error_handler(stray, _answer_stray_form)
    app.after_request(headers.dress)


def _on_every_host(
    app: Flask, rooms: Blueprint, rule: str, view: Callable[..., AnyResponse], methods: tuple[str, ...] = ("GET",)
) -> None:
    if app.url_map.host_matching:
        rooms.add_url_rule(rule, view_func=view, methods=methods, host="<any_host>")
    else:
        rooms.add_url_rule(rule, view_func=view, methods=methods)
        if app.subdomain_matching:
            rooms.add_url_rule(rule, view_func=view, methods=methods, subdomain="<any_host>")


# Static files


# A handful of small files: read once, served from memory.
FILES = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in STATIC.rglob("*") if path.is_file()}
VERSIONS = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in FILES.items()}


def static_url(filename: str) -> str:
    """Host-relative address of a file in ui/static; changes with its content, so browsers may keep it for good."""
    return f"/static/{VERSIONS[filename]}/{filename}"


def accent_url(colour: str | None) -> str:
    """Address of the stylesheet that sets a clinic's accent; the product's own accent for none."""
    known = (colour or "").lower()
    return f"/static/accent/{(known if accent.is_colour(known) else accent.DEFAULT)[1:]}.css"


def static_file(version: str, filename: str, any_host: str = "") -> AnyResponse:
    if VERSIONS.get(filename) != version:
        raise NoSuchPage()
    answer = Response(FILES[filename], mimetype=mimetypes.guess_type(filename)[0])
    answer.cache_control.public = answer.cache_control.immutable = True
    answer.cache_control.max_age = A_YEAR
    return answer


def accent_stylesheet(colour: str, any_host: str = "") -> AnyResponse:
    if not accent.is_colour(f"#{colour}"):
        raise NoSuchPage()
    answer = Response(accent.stylesheet(f"#{colour}"), mimetype="text/css")
    answer.cache_control.public, answer.cache_control.max_age = True, A_DAY
    return answer


# Days and money


def _local(context: Context, instant: datetime) -> datetime:
    """The instant on the wall clock of the page's clinic; in UTC where a page stands outside any clinic."""
    clinic = context["clinic"]
    return instant.astimezone(ZoneInfo(clinic.time_zone if clinic else "UTC"))


def _local_day(context: Context, value: date) -> date:
    return _local(context, value).date() if isinstance(value, datetime) else value


@pass_context
def day(context: Context, value: date | None) -> str:
    """Mar 31, 2026"""
    return "" if value is None else format_date(_local_day(context, value), "medium", locale=get_locale())


@pass_context
def last_day(context: Context, value: datetime | None) -> str:
    """Of something that is over at this instant: the day before, where it is over at midnight."""
    return "" if value is None else day(context, value - timedelta(microseconds=1))


def month_year(value: date) -> str:
    """March 2026"""
    return str(format_skeleton("yMMMM", value, locale=get_locale()))


@pass_context
def long_day(context: Context, value: date | None) -> str:
    """Tuesday, March 31, 2026"""
    return "" if value is None else format_date(_local_day(context, value), "full", locale=get_locale())


@pass_context
def day_time(context: Context, value: datetime | None) -> str:
    """Mar 31, 2026, 9:30 AM"""
    if value is None:
        return ""
    pattern = str(get_datetime_format("medium", locale=get_locale())).replace("'", "")
    return pattern.replace("{0}", time_of_day(context, value)).replace("{1}", day(context, value))


@pass_context
def time_of_day(context: Context, value: datetime | None) -> str:
    """9:30 AM"""
    return "" if value is None else format_time(_local(context, value).time(), "short", locale=get_locale())


def money(value: Any) -> str:
    """$1,234.50, of what knows how to write itself in a language: `clinic.money.Money`."""
    return str(value.written(get_locale()))


def at_sign(address: str | None) -> str:
    """An e-mail address that breaks before its @, and not in the middle of a word, where a phone has no room for it."""
    return Markup("<wbr>@").join((address or "").split("@"))


# Errors


def _start_page() -> str:
    """Where an error page leads back to: on the admin host the clinic stands in the path."""
    clinic = request.environ.get(CLINIC)
    at_admin = isinstance(request.environ.get(SITE), Admin)
    return f"/{clinic.slug}/" if at_admin and clinic else "/"


def _answer(status: int, message: Any = None, title: Any = None) -> Response:
    usual, advice = ANSWERS.get(status) or ANSWERS[500 if status >= 500 else 400]
    # Rendered without the faces' context: an error page reads no session and no database.
    page = current_app.jinja_env.get_template("errors/error.html")
    settings = current_app.config.get("PORTICO")
    front_door = front_door_url(settings) if settings and status == 404 else None
    text = page.render(title=title or usual, message=message or advice, front_door=front_door, home_url=_start_page())
    return Response(text, status, mimetype="text/html")


def _answer_refusal(error: PorticoError) -> AnyResponse:
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    answer = _answer(status, None if status == 404 else error.message)
    if isinstance(error, NotNow):
        answer.headers["Retry-After"] = str(ceil(error.wait.total_seconds()))
    return answer


def _answer_stray_form(error: CSRFError | SentFromElsewhere) -> AnyResponse:
    """Of another origin's page, or without this session's own token: the person may do it, from the page itself."""
    message = error.message if isinstance(error, SentFromElsewhere) else EXPIRED_FORM
    return _answer(403, message, ANSWERS[400][0])


def _answer_http_error(error: HTTPException) -> AnyResponse:
    if error.response is not None or error.code is None or error.code < 400:  # a view's own answer, or a redirect
        return error.get_response()
    answer = _answer(error.code)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "Content-Range"):
            answer.headers[name] = value
    return answer

