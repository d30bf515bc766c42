"""One cookie a host, signed for that host's clinic and door: carried to any other host it is nobody's.

It holds the sign-in token (whose row decides), the form token and messages to show once; nothing of a record.
"""

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer

from tenancy.middleware import CLINIC, SITE
from tenancy.settings import Settings


class HostBoundSessions(SecureCookieSessionInterface):
    """Flask's signed cookie with the clinic and the door in its salt."""

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            clinic = request.environ.get(CLINIC)
            door = type(request.environ.get(SITE)).__name__
            serializer.salt = f"{self.salt}:{door}:{clinic.id if clinic else 'none'}".encode()
        return serializer

    def get_cookie_path(self, app: Flask) -> str:
        return "/"


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
