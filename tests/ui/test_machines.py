"""Lost if it fails: Stripe's words are refused for want of a form token, and a payment is never booked; or a page of
somebody else's can send in a person's name what only a machine may."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, request, session
from flask.testing import FlaskClient

from clinic import demo
from tests.conftest import BASE, PORT, Cluster, one_more_app
from tests.house import route_map, test_guards
from tests.house.route_map import Route
from ui import machines
from ui.machines import machine_route

APEX = f"http://{BASE}:{PORT}"
HEARD: dict[str, Any] = {}


@machine_route
def listen() -> Response:
    """Tries all that no such view should."""
    HEARD.update(cookies=dict(request.cookies), sent=request.headers.get("Cookie"), session=dict(session), body=request.get_data())
    session["_user_id"] = "planted"
    answer = Response("heard")
    answer.set_cookie("planted", "by a view")
    return answer


def talk() -> Response:
    """The same, without the mark."""
    return listen()


@pytest.fixture(scope="module")
def _listening(cluster: Cluster) -> Iterator[Flask]:
    with one_more_app(cluster.settings) as app:
        app.add_url_rule("/webhooks/planted", "planted", listen, methods=("POST",))
        app.add_url_rule("/talk", "talk", talk, methods=("POST",))
        yield app


@pytest.fixture
def listening(_listening: Flask) -> Flask:
    HEARD.clear()
    return _listening


def browser(app: Flask) -> FlaskClient:
    """With a session of the front door's, and a cookie that our own parsers read."""
    client = app.test_client()
    client.post("/language", base_url=APEX, data={"csrf_token": _token(client), "language": "es"}, headers={"Origin": APEX})
    client.set_cookie("another", "1", domain=BASE)
    return client


def _token(client: FlaskClient) -> str:
    with client:
        page = client.get("/", base_url=APEX).text
    return page.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, {"Origin": APEX}])
def test_a_machine_is_heard_without_origin_token_and_cookie(listening: Flask, headers: dict[str, str]) -> None:
    client = browser(listening)
    answer = client.post("/webhooks/planted", base_url=APEX, json={"id": "evt_1"}, headers=headers)
    assert (answer.status_code, answer.text) == (200, "heard")
    assert HEARD == {"cookies": {}, "sent": None, "session": {}, "body": b'{"id": "evt_1"}'}
    assert "Set-Cookie" not in answer.headers


def test_the_browser_it_came_through_keeps_its_session(listening: Flask) -> None:
    client = browser(listening)
    before = {cookie.key: cookie.value for cookie in client._cookies.values()}
    client.post("/webhooks/planted", base_url=APEX)
    assert {cookie.key: cookie.value for cookie in client._cookies.values()} == before
    assert 'lang="es"' in client.get("/", base_url=APEX).text


@pytest.mark.parametrize("base", [f"http://{demo.ELM}.{BASE}:{PORT}", f"http://admin.{BASE}:{PORT}", "http://evil.example"])
def test_machines_are_heard_at_the_front_door_only(listening: Flask, base: str) -> None:
    assert listening.test_client().post("/webhooks/planted", base_url=base).status_code in (403, 404)
    assert not HEARD


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example"}, {"Origin": APEX}])
def test_every_other_route_asks_as_before(listening: Flask, headers: dict[str, str]) -> None:
    assert browser(listening).post("/talk", base_url=APEX, headers=headers).status_code == 403
    assert not HEARD


def test_what_machines_are_told_of_an_error_is_no_cookie_either(listening: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(listening.config, "PROPAGATE_EXCEPTIONS", False)
    monkeypatch.setitem(listening.view_functions, "planted", machine_route(lambda: 1 / 0))
    answer = browser(listening).post("/webhooks/planted", base_url=APEX)
    assert answer.status_code == 500 and "Set-Cookie" not in answer.headers


# Declared ------------------------------------------------------------------------------------------------------------


def lines(app: Flask, **declared: str) -> list[str]:
    gate = dict.fromkeys(route_map.PEOPLE, "in")
    routes = [Route("front door", path, gate, name, {"POST": 200}) for path, name in declared.items()]
    return [line for line in test_guards.unguarded(app, [*test_guards.DECLARED, *routes]) if "machine" in line]


def test_a_route_for_machines_is_declared_as_one(listening: Flask) -> None:
    assert lines(listening, **{"/webhooks/planted": "machines", "/talk": "open"}) == []


def test_planted_one_that_is_declared_open(listening: Flask) -> None:
    assert lines(listening, **{"/webhooks/planted": "open"}) == ["for machines or not: front door /webhooks/planted"]


def test_planted_a_page_that_is_declared_as_one(listening: Flask) -> None:
    assert "for machines or not: front door /talk" in lines(listening, **{"/webhooks/planted": "machines", "/talk": "machines"})


@pytest.mark.parametrize("subdomain", ["admin", "<portal_slug:slug>"])
def test_planted_one_inside_a_clinic(cluster: Cluster, subdomain: str) -> None:
    with one_more_app(cluster.settings) as app:
        app.add_url_rule("/webhooks/planted", "planted", machine_route(lambda **_: ""), methods=("POST",), subdomain=subdomain)
        assert [line for line in lines(app) if line.startswith("machines inside a clinic")]


def test_planted_one_that_can_be_looked_at(cluster: Cluster) -> None:
    with one_more_app(cluster.settings) as app:
        app.add_url_rule("/webhooks/planted", "planted", machine_route(lambda: ""), methods=("GET", "POST"))
        assert lines(app, **{"/webhooks/planted": "machines"}) == ["machines do more than send: front door /webhooks/planted"]


def test_planted_cookies_are_read(listening: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "are_sending", lambda: False)
    monkeypatch.setitem(listening.config, "WTF_CSRF_ENABLED", False)
    with pytest.raises(AssertionError):
        test_a_machine_is_heard_without_origin_token_and_cookie(listening, {"Origin": APEX})
    assert HEARD["cookies"]
