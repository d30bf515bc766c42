"""What every page wears, tried on an application that has nothing else."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest
from flask import Flask, render_template_string
from flask.testing import FlaskClient
from werkzeug.exceptions import TooManyRequests

from tenancy.errors import Conflict, NotAllowed, NotFound, PorticoError, Refused
from tests.visitor import compared
from ui import pages


@dataclass(frozen=True)
class Clinic:
    name: str = "Elm Street"
    accent: str = "#336699"
    has_logo: bool = False
    time_zone: str = "America/Chicago"


@dataclass(frozen=True)
class Amount:
    plain: str

    def written(self, locale: object) -> str:
        return f"{self.plain} in {locale}"


REFUSALS: dict[str, PorticoError] = {
    "missing": NotFound("Leo's record"),
    "right": NotAllowed("Ask Ana."),
    "rule": Refused("Choose another."),
    "late": Conflict("Ben was first."),
}


def dressed_app(**options: bool) -> Flask:
    app = Flask("dressed", static_folder=None, **options)
    app.config["SECRET_KEY"] = "only for these tests, thirty-two and more"
    pages.install(app)
    host = {"host": "<any_host>"} if app.url_map.host_matching else {}

    @app.route("/refusals/<name>", methods=["GET", "POST"], **host)
    def refusal(name: str, any_host: str = "") -> str:
        raise REFUSALS[name]

    @app.route("/wait", **host)
    def wait(any_host: str = "") -> str:
        raise TooManyRequests(retry_after=60)

    @app.route("/page", **host)
    def page(any_host: str = "") -> str:
        entries = [pages.NavItem("Home", "/page", True), pages.NavItem("Documents", "/documents")]
        source = '{% extends "ui/shell.html" %}{% block title %}A <page>{% endblock %}'
        return render_template_string(source, clinic=Clinic(), navigation=entries)

    return app


@pytest.fixture
def browser() -> FlaskClient:
    return dressed_app(host_matching=True).test_client()


@pytest.mark.parametrize(("name", "status"), [("missing", 404), ("right", 403), ("rule", 422), ("late", 409)])
def test_each_kind_of_refusal_has_its_status(browser: FlaskClient, name: str, status: int) -> None:
    answer = browser.get(f"/refusals/{name}")
    assert answer.status_code == status
    assert (str(REFUSALS[name].message) in answer.text) is (status != 404)


def test_all_kinds_of_missing_are_one_answer(browser: FlaskClient) -> None:
    answers = [browser.get(path) for path in ("/refusals/missing", "/nowhere", "/static/000/portico.css")]
    assert len({compared(answer.text) for answer in answers}) == 1
    assert len({compared(str(answer.headers)) for answer in answers}) == 1


@pytest.mark.parametrize(
    ("headers", "reason"), [({"Sec-Fetch-Site": "same-origin"}, "open for too long"), ({}, "from a page of this address")]
)
def test_a_stray_form_is_explained(browser: FlaskClient, headers: dict[str, str], reason: str) -> None:
    """Without this session's token, or sent by another origin's page."""
    answer = browser.post("/refusals/rule", headers=headers)
    assert answer.status_code == 403
    assert "That did not work" in answer.text and reason in answer.text


def test_an_http_error_keeps_its_retry_after(browser: FlaskClient) -> None:
    answer = browser.get("/wait")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")


@pytest.mark.parametrize("path", ["/page", "/nowhere", "/refusals/right", pages.static_url("portico.css")])
def test_what_may_be_kept_and_what_may_run(browser: FlaskClient, path: str) -> None:
    answer, again = browser.get(path), browser.get(path)
    is_file = path.startswith("/static/")
    assert (answer.headers["Cache-Control"] == "no-store") is not is_file
    if not is_file:
        nonce = re.search(r"script-src 'nonce-([\w-]{22})' 'strict-dynamic';", answer.headers["Content-Security-Policy"])
        assert nonce and f'nonce="{nonce[1]}"' in answer.text and nonce[1] not in again.text


@pytest.mark.parametrize("options", [{"host_matching": True}, {}])
@pytest.mark.parametrize("host", ["localhost", "elm-street.localhost:8000"])
def test_static_files_are_kept_for_good_on_every_host(options: dict[str, bool], host: str) -> None:
    answer = dressed_app(**options).test_client().get(pages.static_url("portico.css"), headers={"Host": host})
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]


def test_an_accent_has_a_stylesheet(browser: FlaskClient) -> None:
    answer = browser.get(pages.accent_url("#FFCC00"))
    assert answer.mimetype == "text/css"
    assert "--brand:#ffcc00" in answer.text
    assert browser.get("/static/accent/zzzzzz.css").status_code == 404
    assert pages.accent_url("red;}") == pages.accent_url(None)


def test_the_shell_names_the_clinic_and_the_page(browser: FlaskClient) -> None:
    text = browser.get("/page").text
    assert "<title>A <page> · Elm Street</title>" in text
    assert 'href="/page" aria-current="page"' in text
    assert not re.search(r"<style|<script(?! src)| style=| on\w+=", text)


def rendered(source: str, **values: object) -> str:
    with dressed_app().test_request_context():
        return render_template_string(source, clinic=Clinic(), **values).replace("\u202f", " ")


def test_instants_are_shown_on_the_clinics_clock() -> None:
    instant = datetime(2026, 4, 1, 2, 30, tzinfo=UTC)
    assert rendered("{{ at|day }}", at=instant) == "Mar 31, 2026"
    assert rendered("{{ at|day_time }}", at=instant) == "Mar 31, 2026, 9:30 PM"
    assert rendered("{{ on|long_day }}", on=date(2026, 3, 31)) == "Tuesday, March 31, 2026"
    assert rendered("{{ none|day_time }}", none=None) == ""


def test_money_is_written_in_the_pages_language() -> None:
    assert rendered("{{ sum|money }}", sum=Amount("12.50")) == "12.50 in en"
