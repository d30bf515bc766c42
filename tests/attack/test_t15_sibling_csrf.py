"""T15: a page of a sibling clinic, or of anybody else, changes nothing in the name of somebody who is signed in here.

Lost if it fails: a clinic of the platform puts a form on its page, a family of another clinic opens it, and their password
is changed, their access given away or they are signed in as somebody else. A browser takes all portals for one site, so
SameSite counts for nothing: the browser's word about the very origin and the form token of this very session both decide.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flask_login
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from clinic import demo
from portal_app import guards
from portal_app import profile as profile_page
from tenancy.database import transaction
from tenancy.link_tokens import ON_ADMIN_HOST, Purpose
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import FACES, Ids, Route, ask
from tests.inside import path_of, send_link
from tests.visitor import Visitor
from ui import origins

DECLARED = route_map.declared()
MARIAS = ("maria@family.example", "")
ANAS = ("ana@elm.example", f"/{demo.ELM}")


def told(own: str) -> list[dict[str, str]]:
    """What a browser says of a request that no page of this origin made; the last says nothing at all."""
    scheme, _, place = own.partition("://")
    elsewhere = (
        *("http://evil-clinic.localhost:8000", f"http://{demo.OAK}.localhost:8000", "http://localhost.evil.example:8000"),
        *("null", "", "https://evil.example", f"{own}.evil.example", f"{own}@evil.example", f"{own}/", f" {own},{own}"),
        *(f"https://{place}", own.replace("8000", "8001"), own.removesuffix(":8000"), own.upper(), f"{own}, null"),
    )
    return [
        *({"Origin": each} for each in elsewhere),
        {"Origin": elsewhere[0], "Sec-Fetch-Site": "same-origin"},
        *({"Origin": own, "Sec-Fetch-Site": each} for each in ("same-site", "cross-site", "none", "SAME-ORIGIN", "")),
        *({"Sec-Fetch-Site": each} for each in ("same-site", "cross-site", "none")),
        {"Origin": "null", "Sec-Fetch-Site": "cross-site", "Referer": f"{own}/"},
        {},
    ]


@dataclass
class World:
    app: Flask
    connection: whole_database.Connection
    people: dict[str, Visitor]
    ids: Ids
    before: dict[str, str]

    def at(self, face: str) -> Visitor:
        """The browser of whoever is signed in at this face, with its form token."""
        return self.people["portal" if face == "every host" else face].at(FACES[face])

    def nothing_changed(self) -> None:
        after = as_it_is(self.connection)
        assert after == self.before, [table for table in after if after[table] != self.before[table]]


@pytest.fixture
def world(cluster: Cluster, furnished_app: Flask) -> Iterator[World]:
    app = furnished_app
    people = {
        "portal": Visitor(app, FACES["portal"]).sign_in(*MARIAS),
        "admin": Visitor(app, FACES["admin"]).sign_in(*ANAS),
        "front door": Visitor(app, FACES["front door"]),
    }
    people["front door"].get("/")
    assert all(visitor.token for visitor in people.values())
    ids = route_map.ids_of(app, demo.ELM, "Leo Lopez")
    with whole_database.opened(cluster, app) as connection:
        yield World(app, connection, people, ids, as_it_is(connection))


def as_it_is(connection: whole_database.Connection) -> dict[str, str]:
    return whole_database.fingerprints(
        connection, but=whole_database.OF_LOOKING, but_columns=whole_database.READ_UNTIL
    )


def changing() -> list[Route]:
    return [route for route in DECLARED if "POST" in route.methods and not route.is_for_machines]


def saying(visitor: Visitor, headers: dict[str, str]) -> FlaskClient:
    """This browser, when it says of a request no more than these headers."""
    visitor.client.environ_base.pop("HTTP_ORIGIN", None)
    for name, value in headers.items():
        visitor.client.environ_base[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return visitor.client


def is_refused(answer: TestResponse, what: object) -> None:
    assert answer.status_code == 403, (what, answer.status_code)
    assert "That did not work" in answer.text, what
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")], what
    assert "Location" not in answer.headers, what


def no_stranger_changes_anything(world: World) -> None:
    """Every way to be a stranger at three routes of each face, three of the ways at all the others."""
    thorough = {face: 3 for face in FACES}
    for route in changing():
        ways = told(FACES[route.face])
        thorough[route.face] -= 1
        for headers in ways if thorough[route.face] >= 0 else (ways[0], ways[-2], ways[-1]):
            visitor = world.at(route.face)
            saying(visitor, headers)
            is_refused(ask(visitor, route, "POST", world.ids), (str(route), headers))
    world.nothing_changed()


def test_a_form_of_another_origins_page_changes_nothing_even_with_the_right_token(world: World) -> None:
    no_stranger_changes_anything(world)


def test_a_browser_that_names_one_of_the_two_is_believed(world: World) -> None:
    own = FACES["portal"]
    for headers in ({"Origin": own}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": own, "Sec-Fetch-Site": "same-origin"}):
        visitor = world.at("portal")
        saying(visitor, headers)
        (profile,) = (route for route in changing() if str(route) == "portal /profile")
        assert ask(visitor, profile, "POST", world.ids).status_code == 303


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "application/json"]
)
def test_no_kind_of_body_is_a_way_round(world: World, kind: str) -> None:
    """From elsewhere, and from the own origin with a body whose token is none that we would read."""
    for route in changing():
        for headers in (told(FACES[route.face])[0], {"Origin": FACES[route.face]}):
            visitor = world.at(route.face)
            token = visitor.token if "evil" in headers["Origin"] else f"{visitor.token}x"
            body: Any = {
                "application/json": json.dumps({"csrf_token": token, "name": "Eve"}),
                "text/plain": f"csrf_token={token}&name=Eve",
            }.get(kind, {"csrf_token": token, "name": "Eve"})
            client = saying(visitor, headers)
            answer = client.post(route.path(world.ids), data=body, content_type=kind, base_url=visitor.base_url)
            is_refused(answer, (str(route), headers))
    world.nothing_changed()


def tokens_of_others(world: World, face: str) -> dict[str, str]:
    """Form tokens that are good somewhere, for somebody, or were."""
    who, prefix = MARIAS if face == "portal" else ANAS
    before = Visitor(world.app, FACES[face])
    before.get(f"{prefix}/sign-in")
    pre_login = before.token
    other = Visitor(world.app, FACES[face]).sign_in(who, prefix)
    oaks = Visitor(world.app, f"http://{demo.OAK}.localhost:8000").sign_in("maria@family.example")
    return {
        **{"none": "", "of before signing in": pre_login, "of another session of the same person": other.token},
        **{"of another clinic": oaks.token, "of the other face": world.people["admin" if face == "portal" else "portal"].token},
        **{"cut": world.people[face].token[:-2], "made up": "x" * 40},
    }


@pytest.mark.parametrize("face", ["portal", "admin"])
def test_a_form_token_is_good_in_its_own_session_only(world: World, face: str) -> None:
    tokens = tokens_of_others(world, face)
    for route in (route for route in changing() if route.face == face):
        for which, token in tokens.items():
            visitor = world.at(face)
            visitor.token = token
            is_refused(ask(visitor, route, "POST", world.ids), (str(route), which))


@pytest.mark.parametrize(("face", "who"), [("portal", MARIAS), ("admin", ANAS)])
def test_the_token_of_before_signing_in_ends_with_it(world: World, face: str, who: tuple[str, str]) -> None:
    """In the same browser, where a page planted before the sign-in may still know it."""
    the_old_token_is_refused(world, face, who)


def the_old_token_is_refused(world: World, face: str, who: tuple[str, str]) -> None:
    visitor = Visitor(world.app, FACES[face])
    visitor.get(f"{who[1]}/sign-in")
    old = visitor.token
    visitor.sign_in(*who)
    visitor.token = old
    is_refused(visitor.post(f"{who[1]}/sign-out"), "signing out with the token of before")


@pytest.mark.parametrize(("face", "who"), [("portal", MARIAS), ("admin", ANAS)])
def test_nobody_is_signed_in_or_out_by_another_page(world: World, face: str, who: tuple[str, str]) -> None:
    """Signed in as the attacker, a victim would write to the attacker; signed out, they would type a password anew."""
    form = {"email": who[0], "password": demo.PASSWORD}
    for headers in told(FACES[face]):
        visitor = Visitor(world.app, FACES[face])
        visitor.get(f"{who[1]}/sign-in")
        saying(visitor, headers)
        is_refused(visitor.post(f"{who[1]}/sign-in", form), headers)
    unknown = Visitor(world.app, FACES[face])
    is_refused(unknown.post(f"{who[1]}/sign-in", form), "no token")
    victim = world.at(face)
    saying(victim, told(FACES[face])[0])
    is_refused(victim.post(f"{who[1]}/sign-out"), "signing out")
    assert world.at(face).get(f"{who[1]}/").status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_no_other_method_is_a_way_in(world: World, method: str) -> None:
    for face, path in (("portal", "/profile"), ("admin", f"/{demo.ELM}/patients"), ("front door", "/")):
        visitor = world.at(face)
        saying(visitor, {"Origin": "http://evil-clinic.localhost:8000"})
        answer = visitor.client.open(path, method=method, base_url=visitor.base_url)
        assert answer.status_code in (403, 405), (face, method)


def test_a_siblings_preflight_gets_no_leave(world: World) -> None:
    sibling = {"Origin": "http://evil-clinic.localhost:8000", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-csrftoken"}
    for route in DECLARED:
        for method in ("OPTIONS", "GET") if route.rule in ("/", "/profile", "/sign-in") else ("OPTIONS",):
            visitor = world.at(route.face)
            saying(visitor, sibling)
            answer = ask(visitor, route, method, world.ids, headers=asks)
            assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")], str(route)


def looking_changes_nothing(world: World) -> None:
    """Every address is looked at, by GET and HEAD, by everybody who may; mailed links are followed too."""
    followed = {purpose: send_link(world.app, demo.ELM, purpose) for purpose in Purpose}
    world.before = as_it_is(world.connection)
    for route in DECLARED:
        for method in sorted(route.methods & {"GET", "HEAD"}):
            visitor = world.at(route.face)
            ask(visitor, route, method, world.ids, query={"_method": "POST", "q": "a", "email": "grace@family.example"})
    for purpose, secret in followed.items():
        visitor = Visitor(world.app, FACES["admin" if purpose in ON_ADMIN_HOST else "portal"])
        for look in (visitor.head, visitor.get):
            look(path_of(demo.ELM, purpose, secret), follow_redirects=True)
    world.nothing_changed()


def test_looking_at_everything_changes_nothing(world: World) -> None:
    looking_changes_nothing(world)


def test_planted_no_look_at_the_origin(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "is_of", lambda own, headers: True)
    with pytest.raises(AssertionError):
        no_stranger_changes_anything(world)
    with pytest.raises(AssertionError):
        test_nobody_is_signed_in_or_out_by_another_page(world, "portal", MARIAS)


@pytest.mark.parametrize("weakness", ["any origin of the site", "an origin that begins like ours", "silence is consent"])
def test_planted_a_lenient_look_at_the_origin(world: World, monkeypatch: pytest.MonkeyPatch, weakness: str) -> None:
    strict = origins.is_of

    def lenient(own: str, headers: Any) -> bool:
        origin = headers.get("Origin")
        return {
            "any origin of the site": strict(own, headers) or (origin or "").endswith(".localhost:8000"),
            "an origin that begins like ours": strict(own, headers) or (origin or "").startswith(own),
            "silence is consent": strict(own, headers) or (origin is None and "Sec-Fetch-Site" not in headers),
        }[weakness]

    monkeypatch.setattr(origins, "is_of", lenient)
    with pytest.raises(AssertionError):
        no_stranger_changes_anything(world)


def test_planted_a_session_that_keeps_what_was_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def keeping(token: str) -> None:
        flask_login.login_user(guards.load(token))

    monkeypatch.setattr(guards, "begin_session", keeping)
    with pytest.raises(AssertionError):
        the_old_token_is_refused(world, "portal", MARIAS)


def test_planted_a_page_that_changes_by_being_looked_at(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening one's profile forgets one's telephone number."""
    view = profile_page.show

    def forgetful() -> Any:
        with transaction():
            world.connection.execute("UPDATE portal_users SET phone = NULL, name = name || '.'")
        return view()

    monkeypatch.setitem(world.app.view_functions, "portal.profile", forgetful)
    with pytest.raises(AssertionError):
        looking_changes_nothing(world)
