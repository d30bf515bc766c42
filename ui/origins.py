"""A change is taken from a page of the very same origin only; this stands beside the form token, which it does not replace.

A portal of another clinic is the same *site* for a browser, so neither SameSite nor a wildcard will do: the origin that
the browser names must be, letter for letter, the one it asks. Every browser in use says one of the two headers with a
POST; a request that says neither comes from no page of ours. Routes for machines (`ui/machines.py`) expect none.
"""

from flask import request
from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import Headers

from tenancy.errors import NotAllowed
from tenancy.middleware import ORIGIN
from ui import machines

CHANGES_NOTHING = frozenset(["GET", "HEAD", "OPTIONS"])
FROM_ELSEWHERE = _l("This was not sent from a page of this address. Open the page here and repeat the step.")


class SentFromElsewhere(NotAllowed):
    """A form, or a script's request, of another origin's page."""


def is_of(own: str | None, headers: Headers) -> bool:
    """Whether a browser says that a request was made by a page of this origin."""
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if origin is None and site is None:
        return False
    return origin in (None, own) and site in (None, "same-origin")


def refuse_others() -> None:
    """Before each request, ahead of the form token's check. Raises SentFromElsewhere."""
    if request.method in CHANGES_NOTHING or machines.are_sending():
        return
    if not is_of(request.environ.get(ORIGIN), request.headers):
        raise SentFromElsewhere(FROM_ELSEWHERE)
