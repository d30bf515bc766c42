"""One cookie a clinic and door, signed for them: carried to any other host it is nobody's.

It holds the sign-in token (whose row decides), the form token and messages to show once; nothing of a record.
"""

import logging
from typing import cast

from flask import Flask, Request, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from itsdangerous import BadSignature, URLSafeTimedSerializer

from tenancy.middleware import CLINIC, SITE
from tenancy.settings import Settings
from tenancy.sites import Admin

log = logging.getLogger(__name__)


class HostBoundSessions(SecureCookieSessionInterface):
    """Flask's signed cookie with the clinic and the door in its salt.

    The admin host serves every clinic, so there the clinic is part of the cookie's name: two tabs may hold two clinics.
    """

    def get_cookie_name(self, app: Flask) -> str:
        return name_here(super().get_cookie_name(app))

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer:
        # None only without a secret key, and without one the settings are not read to their end.
        serializer = cast(URLSafeTimedSerializer, super().get_signing_serializer(app))
        clinic = request.environ.get(CLINIC)
        door = type(request.environ.get(SITE)).__name__
        serializer.salt = f"{self.salt}:{door}:{clinic.id if clinic else 'none'}".encode()
        return serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        serializer = self.get_signing_serializer(app)
        sent = values_of(self.get_cookie_name(app), request.environ.get("HTTP_COOKIE", ""))
        opened = self.session_class()
        if len(sent) > 1:
            log.warning("session.cookie_doubled: one of them was planted, and nothing tells which")
            opened.modified = True  # and empty: the answer clears it
        elif sent:
            try:
                lifetime = int(app.permanent_session_lifetime.total_seconds())
                return self.session_class(serializer.loads(sent[0], max_age=lifetime))
            except BadSignature:
                log.warning("session.host_mismatch: a cookie that was not made for this host, or an old one")
        return opened

    def get_cookie_path(self, app: Flask) -> str:
        return "/"


def values_of(name: str, header: str) -> list[str]:
    """What a Cookie header holds under exactly this name. Nothing is unquoted, decoded or stripped but plain blanks.

    A sibling's host can plant a cookie whose name some parsers take for ours (a no-break space before it, quotes).
    """
    pairs = (piece.strip(" \t").partition("=") for piece in header.split(";"))
    return [value for key, equals, value in pairs if key == name and equals]


def name_here(name: str) -> str:
    """A cookie's name at this door: on the admin host one for each clinic."""
    clinic = request.environ.get(CLINIC)
    at_admin = isinstance(request.environ.get(SITE), Admin)
    return f"{name}-{clinic.id.hex}" if at_admin and clinic else name


def install(app: Flask, settings: Settings) -> None:
    app.secret_key = settings.secret_key
    app.config.update(
        SESSION_COOKIE_NAME="__Host-portico" if settings.is_secure else "portico",
        SESSION_COOKIE_SECURE=settings.is_secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_DOMAIN=None,
        SESSION_REFRESH_EACH_REQUEST=False,
    )
    app.session_interface = HostBoundSessions()
