"""How long a sign-in lasts, as pages tell it; and what stays of it in the browser's cookie when it is over."""

from dataclasses import dataclass
from datetime import datetime

from flask import Response, make_response, render_template, request, session

from tenancy import clock
from tenancy.link_tokens import Purpose
from ui import languages

UNATTENDED = "Portico-Unattended"  # header: a page's own script asks, not its reader
WARN_SECONDS = 120
# Clear-Site-Data at sign-out. Not "cookies": that would take those of every host below the base.
FORGET = '"cache", "storage"'
_TOKEN, _TOKEN_BEFORE, _FORM_TOKEN = "_user_id", "before", "csrf_token"  # what the cookie holds
LINK = "link"  # in the cookie: what a mailed link is for → its secret
WAIT_FOR_SIGN_IN = (Purpose.EMAIL_CHANGE, Purpose.STAFF_EMAIL_CHANGE)  # their readers must be signed in
_SECRETS = ("password", "code")  # in a field's name


@dataclass(frozen=True)
class SessionClock:
    """How long the reader of a page stays signed in, in whole seconds: without doing anything, and at most."""

    idle_seconds: int
    most_seconds: int
    holder: str  # another one means that somebody else has signed in since
    url: str  # tells the same again, and takes "stay signed in"
    warn_seconds: int = WARN_SECONDS


def clock_of(idle_until: datetime, ends_at: datetime, holder: object, url: str) -> SessionClock:
    now = clock.now()
    idle, most = (max(0, int((end - now).total_seconds())) for end in (idle_until, ends_at))
    return SessionClock(idle, most, str(holder), url)


def is_attended() -> bool:
    """Whether a person asked for this. A page that refreshes itself keeps nobody signed in."""
    asks_by_itself = UNATTENDED in request.headers or "unattended" in request.args or "Sec-Purpose" in request.headers
    return request.method != "HEAD" and not asks_by_itself


def token_before() -> str | None:
    """The token of the sign-in that this browser has, or had before it was over."""
    return session.get(_TOKEN) or session.get(_TOKEN_BEFORE)


def begin(*, by_the_same_person: bool) -> None:
    """Before a new sign-in takes up this browser's cookie: what it held goes, but for a link that waits for it, and for
    the token of the forms that the same person left open; those can still be sent."""
    link = session.get(LINK)
    form_token = session.get(_FORM_TOKEN) if by_the_same_person else None
    languages.begin_anew()
    if isinstance(link, dict) and any(purpose in link for purpose in WAIT_FOR_SIGN_IN):
        session[LINK] = link
    if form_token:
        session[_FORM_TOKEN] = form_token


def is_over() -> bool:
    """Whether this browser's cookie names a sign-in, which then is over: the same is kept of it as by `begin`.

    A page's own script leaves the cookie alone: its answer may overtake one in which the person signs in again.
    """
    before = session.get(_TOKEN)
    if before is None or not is_attended():
        return False
    begin(by_the_same_person=True)
    session[_TOKEN_BEFORE] = before
    return True


def holds_unsent_form() -> bool:
    """Whether the request brings what somebody typed, and no secret: those are not written into a page."""
    names = set(request.form) - {_FORM_TOKEN}
    is_secret = any(secret in name for name in names for secret in _SECRETS)
    return request.method == "POST" and bool(names) and not is_secret


def unsent_form(sign_in_url: str) -> Response:
    """The page in place of one whose reader was signed out while they typed: it keeps all of it, to be sent again."""
    fields = [(name, value) for name, value in request.form.items(multi=True) if name != _FORM_TOKEN]
    has_files = any(each.filename for each in request.files.values())
    action = request.full_path.rstrip("?")
    page = render_template("ui/unsent.html", fields=fields, has_files=has_files, action=action, sign_in_url=sign_in_url)
    return make_response(page, 409)
