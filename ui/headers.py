"""What a page says of itself beside what every answer wears: which script may run in it, and whether it may be kept.

The nonce is made anew for each answer, so that markup which somebody slipped into a page runs nothing.
"""

import secrets

from flask import g, request
from werkzeug.wrappers import Response

# Endpoints whose good answers may be kept, because their address changes with what they hold.
CACHEABLE = {"ui.static_file", "ui.accent_stylesheet"}


def script_nonce() -> str:
    """The word that the scripts of this answer carry."""
    if "script_nonce" not in g:
        g.script_nonce = secrets.token_urlsafe(16)
    nonce: str = g.script_nonce
    return nonce


def dress(answer: Response) -> Response:
    """After each request."""
    if answer.mimetype == "text/html":
        answer.headers.setdefault("Content-Security-Policy", _policy())
    is_kept = request.endpoint in CACHEABLE and answer.status_code < 400
    if not is_kept and not answer.cache_control.no_store:
        answer.headers["Cache-Control"] = "no-store"
    return answer


def _policy() -> str:
    return (
        f"default-src 'self'; script-src 'nonce-{script_nonce()}' 'strict-dynamic'; style-src 'self'; "
        "img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    )
