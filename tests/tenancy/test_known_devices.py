"""Lost if it fails: a parent is kept out while strangers guess at their password, or a stranger passes for a parent's browser."""

from datetime import UTC, datetime, timedelta
from http.cookies import Morsel, SimpleCookie
from ipaddress import ip_address

import pytest
from flask import Flask

from clinic import demo
from tenancy import clock, known_devices
from tenancy.client_address import CLIENT
from tenancy.tenant import Role
from tests.inside import inside

NAME = "portico-device"
MARIA = "maria@family.example"


def cookie_after(app: Flask, account: str, sent: str = "") -> "Morsel[str] | None":
    """What a browser that sends this is given when somebody has signed in with it."""
    inside_request = {CLIENT: ip_address("198.51.100.7"), "HTTP_COOKIE": f"{NAME}={sent}"}
    with inside(app, demo.ELM, Role.DOOR), app.test_request_context(environ_overrides=inside_request):
        known_devices.know_again(account)
        answer = app.process_response(app.response_class())
    return SimpleCookie("\n".join(answer.headers.getlist("Set-Cookie"))).get(NAME)


def is_known(app: Flask, account: str, sent: str) -> bool:
    inside_request = {CLIENT: ip_address("198.51.100.7"), "HTTP_COOKIE": f"{NAME}={sent}"}
    with inside(app, demo.ELM, Role.DOOR), app.test_request_context(environ_overrides=inside_request):
        return known_devices.find_mark(account, known_devices.caller()) is not None


def test_a_mark_is_kept_half_a_year_out_of_reach_of_scripts(app: Flask) -> None:
    given = cookie_after(app, MARIA)
    assert given and (given["httponly"], given["samesite"], given["path"]) == (True, "Lax", "/")
    assert (given["max-age"], given["domain"]) == (str(180 * 24 * 3600), "")
    assert is_known(app, MARIA, given.value) and not is_known(app, "omar@family.example", given.value)


def test_half_a_year_is_over_when_it_is_over(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    given = cookie_after(app, MARIA)
    assert given
    begun = datetime.fromtimestamp(int(given.value.partition(".")[0]), UTC)
    for over, is_good in ((timedelta(microseconds=-1), True), (timedelta(0), False)):
        monkeypatch.setattr(clock, "now", lambda over=over: begun + timedelta(days=180) + over)
        assert is_known(app, MARIA, given.value) is is_good


def test_who_is_known_keeps_the_mark_they_have(app: Flask) -> None:
    given = cookie_after(app, MARIA)
    assert given and cookie_after(app, MARIA, given.value) is None


def test_a_browser_keeps_the_marks_of_the_last_four_who_signed_in_with_it(app: Flask) -> None:
    """A family on one tablet; and no cookie that grows until the server refuses it."""
    accounts = [f"{number}@family.example" for number in range(5)]
    kept = ""
    for account in accounts:
        given = cookie_after(app, account, kept)
        assert given
        kept = given.value
    assert [is_known(app, account, kept) for account in accounts] == [False, True, True, True, True]


@pytest.mark.parametrize("sent", ["", "~", "x", "..", "1.2.3", "é~é"])
def test_what_is_no_mark_makes_nobody_known(app: Flask, sent: str) -> None:
    assert not is_known(app, MARIA, sent)
