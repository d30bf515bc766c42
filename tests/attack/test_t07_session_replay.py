"""T07: what was given to a browser at one door is worth nothing at any other.

Lost if it fails: whoever signs in at their own clinic is signed in at another, or a parent walks in at the staff's door.
The cookie, the form token and every mailed secret of Elm Street are carried to Oak Hill's portal and staff pages, to
Elm Street's other door, to the front door and to hosts that are nobody's: the answer is a stranger's, no row is made
or changed, and nothing breaks. Signed anew for the other door, as if the signing key were known, the cookie is still
nobody's, because its session's row stands in one clinic only, and cannot be moved to another.
"""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.ctx import RequestContext
from flask.sessions import SecureCookieSessionInterface
from werkzeug.test import Cookie, EnvironBuilder

from clinic import demo
from tenancy.clinics import ClinicEntry
from tenancy.cookies import HostBoundSessions
from tenancy.link_tokens import ON_ADMIN_HOST, Purpose
from tenancy.middleware import CLINIC, SITE
from tenancy.sites import Admin, Apex, Portal, Site
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import Ids, ask, seen
from tests.inside import ADDRESSEES, EMAIL_CHANGES, inside, path_of, send_link
from tests.visitor import Visitor

ADMIN, APEX = "http://admin.localhost:8000", "http://localhost:8000"
ELM_PORTAL, OAK_PORTAL = (f"http://{slug}.localhost:8000" for slug in (demo.ELM, demo.OAK))
NOBODYS_HOSTS = (
    *("http://nowhere.localhost:8000", "http://elm-street.localhost.evil.example:8000", "http://127.0.0.1:8000"),
    *(
        "http://a.elm-street.localhost:8000",
        "http://elm-street.localhost:8001",
        "http://evil-elm-street.localhost:8000",
    ),
)
DECLARED = route_map.declared()


@dataclass
class World:
    app: Flask
    connection: whole_database.Connection
    maria: Visitor
    ana: Visitor
    clinics: dict[str, ClinicEntry] = field(default_factory=dict)
    ids: dict[str, Ids] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)

    def nothing_changed(self) -> None:
        after = whole_database.fingerprints(self.connection)
        assert after == self.before, [table for table in after if after[table] != self.before[table]]


@pytest.fixture
def world(cluster: Cluster, committed_app: Flask) -> Iterator[World]:
    app = committed_app
    maria = Visitor(app, ELM_PORTAL).sign_in("maria@family.example")
    ana = Visitor(app, ADMIN).sign_in("ana@elm.example", f"/{demo.ELM}")
    with whole_database.opened(cluster, app) as connection:
        found = World(app, connection, maria, ana)
        for slug, patient in ((demo.ELM, "Leo Lopez"), (demo.OAK, "Nina Lopez")):
            with inside(app, slug) as clinic:
                found.clinics[slug] = clinic
            found.ids[slug] = route_map.ids_of(app, slug, patient)
        found.before = whole_database.fingerprints(connection)
        yield found


def is_a_stranger(world: World, thief: Visitor, face: str, slug: str) -> None:
    """Everything this door has is answered as to a browser without a cookie; the form token is nobody's."""
    stranger, ids = Visitor(world.app, thief.base_url), world.ids[slug]
    for route in (route for route in DECLARED if route.face == face):
        for method in sorted(route.methods - {"POST"}):
            answer = ask(thief.at(thief.base_url), route, method, ids, slug=slug)
            expected = ask(stranger.at(thief.base_url), route, method, ids, slug=slug)
            assert seen(answer, {}) == seen(expected, {}), (method, str(route))
        if "POST" in route.methods:
            answer = ask(thief.at(thief.base_url), route, "POST", ids, slug=slug)
            refused = route.answers["POST"] if route.is_for_machines else 403  # machines have neither cookie nor token
            assert answer.status_code == refused, (str(route), answer.status_code)
    world.nothing_changed()


def site_of(face: str, slug: str) -> Site:
    return {"portal": Portal(slug), "admin": Admin()}.get(face, Apex())


def sign_in_cookie(visitor: Visitor) -> Cookie:
    """Beside it a browser keeps the mark by which the throttle knows it again; that opens nothing."""
    (cookie,) = [each for each in visitor.client._cookies.values() if "-device" not in each.key]
    return cookie


def carried(world: World, visitor: Visitor, base_url: str, face: str, slug: str, value: str | None = None) -> Visitor:
    """The cookie and the form token of this browser in another, under the name that the other door reads."""
    cookie = sign_in_cookie(visitor)
    with _request_at(world, face, slug):
        name = world.app.session_interface.get_cookie_name(world.app)
    thief = Visitor(world.app, base_url)
    thief.client.set_cookie(name, value or cookie.value, domain=base_url.split("//")[1].split(":")[0])
    thief.token = visitor.token
    return thief


def signed_anew(world: World, visitor: Visitor, home: str, base_url: str, face: str, slug: str) -> Visitor:
    """What this browser holds from its home at Elm Street, under a signature that is good at another door."""
    cookie = sign_in_cookie(visitor)
    with _request_at(world, home, demo.ELM):
        held = _serializer(world).loads(cookie.value)
    with _request_at(world, face, slug):
        value = _serializer(world).dumps(held)
    return carried(world, visitor, base_url, face, slug, value)


def _request_at(world: World, face: str, slug: str) -> RequestContext:
    clinic = None if face == "front door" else world.clinics[slug]
    environ = EnvironBuilder(base_url=APEX).get_environ() | {SITE: site_of(face, slug), CLINIC: clinic}
    return world.app.request_context(environ)


def _serializer(world: World) -> Any:
    return world.app.session_interface.get_signing_serializer(world.app)  # type: ignore[attr-defined]


def is_let_in_nowhere(world: World, forged: Visitor, face: str, slug: str) -> None:
    """Every closed page sends to the sign-in page, also a POST whose form token fits."""
    for route in (route for route in DECLARED if route.face == face and route.gate_name != "open"):
        for method in sorted(route.answers):
            answer = ask(forged.at(forged.base_url), route, method, world.ids[slug], slug=slug)
            where = answer.headers.get("Location", "").partition("?")[0]
            assert answer.status_code == 303 and where.endswith("/sign-in"), (method, str(route), answer.status_code)
    world.nothing_changed()


HOMES = {"maria": "portal", "ana": "admin"}
ELSEWHERE = {
    "Maria at Oak Hill's portal": ("maria", OAK_PORTAL, "portal", demo.OAK),
    "Maria at her clinic's staff pages": ("maria", ADMIN, "admin", demo.ELM),
    "Maria at Oak Hill's staff pages": ("maria", ADMIN, "admin", demo.OAK),
    "Maria at the front door": ("maria", APEX, "front door", demo.ELM),
    "Ana at Oak Hill's staff pages": ("ana", ADMIN, "admin", demo.OAK),
    "Ana at her clinic's portal": ("ana", ELM_PORTAL, "portal", demo.ELM),
    "Ana at Oak Hill's portal": ("ana", OAK_PORTAL, "portal", demo.OAK),
    "Ana at the front door": ("ana", APEX, "front door", demo.ELM),
}


@pytest.mark.parametrize("which", ELSEWHERE)
def test_a_cookie_and_its_form_token_are_a_strangers_elsewhere(world: World, which: str) -> None:
    who, base_url, face, slug = ELSEWHERE[which]
    is_a_stranger(world, carried(world, getattr(world, who), base_url, face, slug), face, slug)


def test_hosts_that_are_nobodys_serve_nobody(world: World) -> None:
    for base_url in NOBODYS_HOSTS:
        for path in (
            "/",
            "/profile",
            f"/patients/{world.ids[demo.ELM]['patient']}/",
            f"/{demo.ELM}/patients",
            "/sign-in",
        ):
            for visitor in (world.maria, world.ana):
                answer = visitor.at(base_url).get(path)
                assert answer.status_code == 404, (base_url, path)
                assert "Leo" not in answer.text and "Set-Cookie" not in answer.headers
    world.nothing_changed()


DOORS = [which for which, (*_, face, _slug) in ELSEWHERE.items() if face != "front door"]


def forged(world: World, which: str) -> tuple[Visitor, str, str]:
    who, base_url, face, slug = ELSEWHERE[which]
    return signed_anew(world, getattr(world, who), HOMES[who], base_url, face, slug), face, slug


@pytest.mark.parametrize("which", DOORS)
def test_signed_anew_for_another_door_the_token_is_still_nobodys(world: World, which: str) -> None:
    is_let_in_nowhere(world, *forged(world, which))


def test_signed_anew_for_its_own_door_it_is_good_or_this_proves_nothing(world: World) -> None:
    assert "Leo" in signed_anew(world, world.maria, "portal", ELM_PORTAL, "portal", demo.ELM).read("/")
    ana = signed_anew(world, world.ana, "admin", ADMIN, "admin", demo.ELM)
    assert "Leo" in ana.read(f"/{demo.ELM}/patients")


def test_a_sessions_row_cannot_be_moved_to_another_clinic(world: World) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        world.connection.execute("UPDATE sessions SET clinic_id = %s", (world.clinics[demo.OAK].id,))


def is_worth_nothing(
    world: World, purpose: Purpose, carried: str, base_url: str, slug: str, steps: Iterable[Purpose] = Purpose
) -> None:
    """A mailed secret that is followed as one for `purpose` is answered, looked at and used at these links' pages, as one
    made up; rows stay as they were."""
    before = whole_database.fingerprints(world.connection)
    answers = []
    for secret in (carried, secrets.token_urlsafe(32)):
        visitor = Visitor(world.app, base_url)
        start = f"/{slug}" if base_url == ADMIN else ""
        visitor.get(f"{start}/sign-in")
        followed = visitor.get(path_of(slug, purpose, secret) if base_url != APEX else f"/link/{purpose}/{secret}")
        form = {"name": "Eve", "birth_on": "2019-11-05", "password": "six calm yellow boats"}
        pages = [visitor.get(f"{start}/link/{each}") for each in steps]
        sent = [visitor.post(f"{start}/link/{each}", form) for each in steps]
        home = visitor.get(f"{start}/")
        answers.append([seen(answer, {}) for answer in (followed, *pages, *sent, home)])
        assert home.status_code == (200 if base_url == APEX else 303)
    assert answers[0] == answers[1]
    assert whole_database.fingerprints(world.connection) == before


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_mailed_secret_is_good_at_its_own_door_only(world: World, purpose: Purpose) -> None:
    secret = send_link(world.app, demo.ELM, purpose)
    for slug, base_url in ((demo.OAK, OAK_PORTAL), (demo.OAK, ADMIN), (demo.ELM, APEX)):
        is_worth_nothing(world, purpose, secret, base_url, slug)
    is_worth_nothing(world, purpose, secret, ELM_PORTAL if purpose in ON_ADMIN_HOST else ADMIN, demo.ELM)
    at_home = Visitor(world.app, ADMIN if purpose in ON_ADMIN_HOST else ELM_PORTAL)
    onward = at_home.get(path_of(demo.ELM, purpose, secret)).headers["Location"]
    if purpose in EMAIL_CHANGES:
        at_home.sign_in(ADDRESSEES[purpose], f"/{demo.ELM}" if purpose in ON_ADMIN_HOST else "")
    assert at_home.get(onward).status_code == 200  # and it was not used up elsewhere


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_mailed_secret_is_good_for_its_own_purpose_only(world: World, purpose: Purpose) -> None:
    secret = send_link(world.app, demo.ELM, purpose)
    for other in set(Purpose) - {purpose}:
        door = ADMIN if other in ON_ADMIN_HOST else ELM_PORTAL
        is_worth_nothing(world, other, secret, door, demo.ELM, steps=(other, purpose))


def _unsalted(self: HostBoundSessions, app: Flask):  # type: ignore[no-untyped-def]
    return SecureCookieSessionInterface.get_signing_serializer(self, app)


@pytest.mark.parametrize(
    "which", ["Maria at Oak Hill's portal", "Ana at Oak Hill's staff pages", "Ana at her clinic's portal"]
)
def test_planted_one_signature_for_every_door(world: World, monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    for who in ("maria", "ana"):
        monkeypatch.setattr(HostBoundSessions, "get_signing_serializer", _unsalted)
        visitor = getattr(world, who)
        signed = Visitor(world.app, visitor.base_url)
        signed.sign_in(*{"maria": ("maria@family.example",), "ana": ("ana@elm.example", f"/{demo.ELM}")}[who])
        setattr(world, who, signed)
    world.before = whole_database.fingerprints(world.connection)
    with pytest.raises(AssertionError):
        test_a_cookie_and_its_form_token_are_a_strangers_elsewhere(world, which)


@pytest.mark.parametrize("which", ["Maria at Oak Hill's portal", "Ana at Oak Hill's staff pages"])
def test_planted_sessions_are_looked_up_in_every_clinic(world: World, which: str) -> None:
    for table in ("sessions", "portal_users", "staff_members"):
        whole_database.plant(world.connection, f"ALTER POLICY door ON {table} USING (true)")
    with pytest.raises(AssertionError):
        is_let_in_nowhere(world, *forged(world, which))


def test_planted_mailed_links_are_looked_up_in_every_clinic(world: World) -> None:
    for table in ("mailed_links", "portal_users", "patients", "portal_access"):
        whole_database.plant(world.connection, f"ALTER POLICY door ON {table} USING (true)")
    world.app.config["PROPAGATE_EXCEPTIONS"] = False
    with pytest.raises(AssertionError):
        is_worth_nothing(
            world, Purpose.INVITATION, send_link(world.app, demo.ELM, Purpose.INVITATION), OAK_PORTAL, demo.OAK
        )
