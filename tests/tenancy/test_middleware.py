"""Lost if it fails: a request runs in another clinic than its address names, or its address tells a secret."""

from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from flask import Flask
from werkzeug.test import Client

from clinic import demo
from tenancy import link_tokens, provisioning, tenant
from tenancy.link_tokens import Purpose
from tenancy.middleware import CLINIC, ORIGIN, SITE, ClinicMiddleware
from tenancy.sites import Portal
from tenancy.tenant import Role, Tenant
from tests.conftest import _settings
from tests.inside import inside
from tests.visitor import Visitor


@pytest.mark.parametrize("purpose", Purpose)
def test_a_mailed_link_leads_to_the_door_it_is_for(purpose: Purpose) -> None:
    settings = _settings("postgresql://x", "postgresql://x")
    address = link_tokens.address(settings, demo.ELM, purpose, "token")
    if purpose.startswith("staff-") or purpose is Purpose.REPLY_TO:
        assert address == f"http://admin.localhost:8000/elm-street/link/{purpose}/token"
    else:
        assert address == f"http://elm-street.localhost:8000/link/{purpose}/token"


def test_a_link_s_secret_is_told_to_no_other_page(portal: Visitor, admin: Visitor) -> None:
    """A browser sends the address it comes from along, unless it is told not to."""
    for visitor, path in ((portal, "/link/invitation/secret"), (admin, f"/{demo.ELM}/link/reply-to/secret")):
        assert visitor.get(path).headers["Referrer-Policy"] == "no-referrer"
    assert portal.get("/sign-in").headers["Referrer-Policy"] == "same-origin"


def test_who_stands_behind_it_is_told_the_clinic_the_door_and_that_nobody_has_signed_in(app: Flask) -> None:
    """And once the answer is given, no clinic is open."""
    seen: dict[str, object] = {}

    def inner(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        seen.update(environ, asking=tenant.find_current())
        start_response("200 OK", [])
        return [b"inside"]

    standing = ClinicMiddleware(app, inner, app.config["PORTICO"])
    answer = Client(standing).get("/bills", base_url="http://ELM-street.localhost:8000")
    with inside(app, demo.ELM) as elm:
        assert answer.text == "inside" and seen["asking"] == Tenant(elm.id, Role.DOOR)
        assert (seen[CLINIC], seen[SITE], seen[ORIGIN]) == (elm, Portal(demo.ELM), "http://elm-street.localhost:8000")
    assert tenant.find_current() is None


def test_an_old_address_leads_to_the_same_page_at_the_present_one(app: Flask) -> None:
    """Letters in drawers still lead home. What is sent to the old address changes nothing."""
    with inside(app, demo.ELM, Role.OPERATOR):
        provisioning.rename("elm-lane")
    moved = {
        ("http://elm-street.localhost:8000", "/link/invitation/secret"): "http://elm-lane.localhost:8000/link/invitation",
        ("http://admin.localhost:8000", "/elm-street/sign-in"): "http://admin.localhost:8000/elm-lane/sign-in",
    }
    for (base_url, path), location in moved.items():
        answer = app.test_client().get(path, base_url=base_url, query_string={"token": "secret"})
        assert (answer.status_code, answer.headers["Location"]) == (301, location)
        assert app.test_client().head(path, base_url=base_url).status_code == 301
        assert app.test_client().post(path, base_url=base_url).status_code == 403


@pytest.mark.parametrize("path", ["//sign-in", "//evil.example/", "//"])
def test_an_address_that_others_read_differently_is_not_found(app: Flask, path: str) -> None:
    answer = app.test_client().get("/", base_url="http://elm-street.localhost:8000", environ_overrides={"PATH_INFO": path})
    assert answer.status_code == 404 and answer.headers["Content-Type"] == "text/plain; charset=utf-8"
