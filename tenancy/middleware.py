"""Host → clinic, before Flask routes anything: every request runs inside the clinic its address names, or in none.

On the admin host the clinic is the first part of the path: the session never decides it, so two tabs may hold two
clinics. A suspended clinic and one that never was give the same answer.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask

from tenancy import client_address, clinics, headers, requests, sites
from tenancy.clinics import ClinicEntry
from tenancy.database import transaction
from tenancy.settings import Settings
from tenancy.slugs import may_be_taken
from tenancy.tenant import Role

CLINIC = "portico.clinic"  # environ key: the open clinic's directory entry
SITE = "portico.site"  # environ key: which door the request came to
ORIGIN = "portico.origin"  # environ key: that door's own origin, as a browser writes it


class ClinicMiddleware:
    """Wraps the application; opens the clinic as nobody in particular (`portico_door`)."""

    def __init__(self, flask: Flask, inner: WSGIApplication, settings: Settings) -> None:
        self.flask = flask
        self.inner = inner
        self.settings = settings

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        site = sites.site_of(environ.get("HTTP_HOST", ""), self.settings)
        asked_for = environ.get("PATH_INFO", "/")
        slug, path = _slug_and_path(site, asked_for)
        start_response = headers.dressed(
            start_response, is_secure=self.settings.is_secure, holds_secret=sites.path_without_secret(path) != path
        )
        # Werkzeug reads //page as /page; a cache or a proxy would not.
        if isinstance(site, sites.Unknown) or asked_for.startswith("//"):
            return _plain(start_response, "404 Not Found", b"Not found.\n")
        environ[SITE] = site
        environ[client_address.CLIENT] = client = client_address.read(environ, self.settings)
        environ[ORIGIN] = f"{self.settings.scheme}://{sites.host_of(site, self.settings)}"
        # Known, not asked: no forwarded header decides whether cookies are secure.
        environ["wsgi.url_scheme"] = self.settings.scheme
        # Flask routes by this again: whatever spelling came, both read the same.
        environ["HTTP_HOST"] = sites.host_of(site, self.settings)
        clinic = self._find(slug) if slug else None
        if clinic and clinic.slug != slug:
            if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
                return self._moved(start_response, site, clinic, path)
            clinic = None
        environ[CLINIC] = clinic
        with requests.answering(client), clinics.open_clinic(clinic, Role.DOOR) if clinic else nullcontext():
            return self.inner(environ, start_response)

    def _find(self, slug: str) -> ClinicEntry | None:
        """The active clinic that has or had this address."""
        with self.flask.app_context(), transaction():
            return clinics.find_active_at(slug)

    def _moved(
        self, start_response: StartResponse, site: sites.Site, clinic: ClinicEntry, path: str
    ) -> Iterable[bytes]:
        """To the same page at the clinic's present address, without query or secret. Old names are kept for good."""
        url_of = sites.admin_url if isinstance(site, sites.Admin) else sites.portal_url
        location = url_of(self.settings, clinic.slug, quote(sites.path_without_secret(path).encode("latin-1"), safe="/-._~"))
        return _plain(start_response, "301 Moved Permanently", b"Moved.\n", ("Location", location))


def _slug_and_path(site: sites.Site, path: str) -> tuple[str | None, str]:
    """The slug a request names and the path below it."""
    if isinstance(site, sites.Portal):
        return site.slug, path
    if isinstance(site, sites.Admin):
        first, _, rest = path.removeprefix("/").partition("/")
        return (first, f"/{rest.lstrip('/')}") if may_be_taken(first) else (None, path)
    return None, path


def _plain(
    start_response: StartResponse, status: str, body: bytes, *headers: tuple[str, str]
) -> Iterable[bytes]:
    start_response(
        status,
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Referrer-Policy", "no-referrer"),
            *headers,
        ],
    )
    return [body]
