"""Lost if it fails: a cookie that leaked from one clinic's portal is somebody at another's, or a script on a page reads it."""

from dataclasses import replace

import pytest
from flask import Flask

from clinic import demo
from tenancy import cookies
from tenancy.cookies import HostBoundSessions
from tests.conftest import _settings

ELM, OAK, ADMIN, APEX = (f"http://{label}localhost:8000" for label in ("elm-street.", "oak-hill.", "admin.", ""))
DOORS = {
    "elm": (ELM, "/sign-in"),
    "oak": (OAK, "/sign-in"),
    "elm's staff": (ADMIN, f"/{demo.ELM}/sign-in"),
    "oak's staff": (ADMIN, f"/{demo.OAK}/sign-in"),
    "front door": (APEX, "/"),
}


def answered(app: Flask, door: str, sent: str = "") -> str:
    """`name=value` of the cookie that is set for somebody who sends this one; empty where none is."""
    base_url, path = DOORS[door]
    answer = app.test_client(use_cookies=False).get(path, base_url=base_url, headers={"Cookie": sent} if sent else {})
    assert answer.status_code == 200
    return answer.headers.get("Set-Cookie", "").partition(";")[0]


@pytest.mark.parametrize("home", DOORS)
def test_a_cookie_is_good_at_its_own_door_and_nobodys_at_any_other(
    app: Flask, caplog: pytest.LogCaptureFixture, home: str
) -> None:
    _, _, value = answered(app, home).partition("=")
    assert value
    for door in DOORS:
        name = answered(app, door).partition("=")[0]
        caplog.clear()
        answered(app, door, f"{name}={value}")
        told = [record.getMessage() for record in caplog.records if "session." in record.getMessage()]
        expected = [] if door == home else ["session.host_mismatch: a cookie that was not made for this host, or an old one"]
        assert told == expected, door


@pytest.mark.parametrize(
    ("header", "values"),
    [("", []), ("ours=1", ["1"]), ("theirs=2; ours=1", ["1"]), ("ours=1;\tours=", ["1", ""]), ("ours; xours=2", []), ("ours=a=b", ["a=b"]), ("\xa0ours=3; \"ours\"=4; Ours=5; =ours", [])],
)  # fmt: skip
def test_a_cookie_has_exactly_its_name(header: str, values: list[str]) -> None:
    """A sibling's host can plant one whose name some programs take for ours."""
    assert cookies.values_of("ours", header) == values


def test_of_two_cookies_of_one_name_none_is_believed_both_go_and_somebody_is_told(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    sent = answered(app, "elm")
    answer = app.test_client(use_cookies=False).get("/", base_url=ELM, headers={"Cookie": f"{sent}; {sent}"})
    assert answer.headers["Set-Cookie"].startswith("portico=; ") and "Max-Age=0; " in answer.headers["Set-Cookie"]
    assert [each.getMessage() for each in caplog.records] == [
        "session.cookie_doubled: one of them was planted, and nothing tells which"
    ]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_cookie_is_out_of_reach_of_scripts_and_of_other_hosts(scheme: str) -> None:
    application = Flask("new")
    settings = replace(_settings("postgresql://x", "postgresql://x"), scheme=scheme)
    cookies.install(application, settings)
    is_secure = scheme == "https"
    asked = {name: application.config[f"SESSION_COOKIE_{name}"] for name in ("NAME", "SECURE", "HTTPONLY", "SAMESITE", "DOMAIN")}
    assert asked == {
        "NAME": "__Host-portico" if is_secure else "portico", "SECURE": is_secure, "HTTPONLY": True, "SAMESITE": "Lax", "DOMAIN": None,
    }  # fmt: skip
    assert application.config["SESSION_REFRESH_EACH_REQUEST"] is False  # a page that changes nothing sets nothing
    assert application.secret_key == settings.secret_key and isinstance(application.session_interface, HostBoundSessions)
