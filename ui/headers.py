"""What a page says of itself beside what every answer wears: which script may run in it, where its forms may
lead, and whether it may be kept.

The nonce is made anew for each answer, so that markup which somebody slipped into a page runs nothing.
"""

import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, g, request
from werkzeug.wrappers import Response

View = TypeVar("View", bound=Callable[..., Any])

# Endpoints whose good answers may be kept, because their address changes with what they hold.
CACHEABLE = {"ui.static_file", "ui.accent_stylesheet"}


def leads_to_stripe(view: View) -> View:
    """Mark a view whose page has a form that is answered by a way on to Stripe's own pages: a browser that is not told
    so stops there."""
    view.leads_to_stripe = True  # type: ignore[attr-defined]
    return view


def script_nonce() -> str:
    """The word that the scripts of this answer carry."""
    if "script_nonce" not in g:
        g.script_nonce = secrets.token_urlsafe(16)
    nonce: str = g.script_nonce
    return nonce


def dress(answer: Response) -> Response:
    """After each request."""
    if answer.mimetype == "text/html":
        answer.headers.setdefault("Content-Security-Policy", _policy(is_there=answer.status_code != 404))
    is_kept = request.endpoint in CACHEABLE and answer.status_code < 400
    if not is_kept and not answer.cache_control.no_store:
        answer.headers["Cache-Control"] = "no-store"
    return answer


def _policy(*, is_there: bool) -> str:
    # What is not there looks the same, whichever page was asked for.
    leads_on = is_there and getattr(current_app.view_functions.get(request.endpoint or ""), "leads_to_stripe", False)
    lead_to = " ".join(("'self'", *(current_app.config["STRIPE_PAGES"] if leads_on else ())))
    return (
        f"default-src 'self'; script-src 'nonce-{script_nonce()}' 'strict-dynamic'; style-src 'self'; "
        f"img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action {lead_to}"
    )
