"""T39: every answer says who may run, frame, read and keep it; and no cache keeps what only one person may see.

Lost if it fails: markup that slipped into a page runs, a page is framed and clicked through, or a shared computer, a
proxy or a careless cache shows one family's page to the next.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from flask import Flask, Response
from werkzeug.test import TestResponse

from clinic import demo
from tenancy import headers
from tests.house import route_map
from tests.house.route_map import Ids, Route, ask, standing_at
from tests.one_connection import undone
from tests.outer_door import BASE, Door
from tests.visitor import Visitor

DECLARED = route_map.declared()
PAGE_POLICY = re.compile(
    r"default-src 'self'; script-src 'nonce-([\w-]{22})' 'strict-dynamic'; style-src 'self'; img-src 'self' data:; "
    r"object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
TO_STRIPE = " https://checkout.stripe.com https://connect.stripe.com"  # at the end of the policy
FIXED = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
CHOSEN = ("Content-Security-Policy", "Referrer-Policy", "Permissions-Policy", "Cache-Control")
TRICKS = ("/x.css", ";.js", ".css", "%0a", "%00", "%20", "/x.png", "%2f", "/..%2fx.js", "%3f.css", "\\x.js", "%0d%0aX: y")


@dataclass
class World:
    app: Flask
    ids: Ids
    at: Mapping[tuple[str, str], Visitor]
    nonces: set[str] = field(default_factory=set)


class Standing(dict[tuple[str, str], Visitor]):
    """(person, face) → their browser there, signed in when it is asked for."""

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self.app = app

    def __missing__(self, key: tuple[str, str]) -> Visitor:
        person, face = key
        self[key] = standing_at(route_map.visitor_of(self.app, person), face)
        return self[key]


@pytest.fixture
def world(app: Flask) -> World:
    return World(app, route_map.ids_of(app, demo.ELM, "Leo Lopez"), Standing(app))


@pytest.fixture
def full_world(app: Flask) -> World:
    """With something behind every address."""
    route_map.prepare(app, demo.ELM)
    return World(app, route_map.ids_of(app, demo.ELM, "Leo Lopez"), Standing(app))


def faults(
    world: World,
    answer: TestResponse,
    *,
    holds_secret: bool = False,
    may_be_kept: bool = False,
    leads_to_stripe: bool = False,
) -> Iterator[str]:
    """What an answer fails to say."""
    for name in (*FIXED, *CHOSEN):
        if len(answer.headers.getlist(name)) != 1:
            yield f"{name}: {answer.headers.getlist(name)}"
            return
    yield from (name for name, value in FIXED.items() if answer.headers[name] != value)
    if answer.headers["Referrer-Policy"] not in ({"no-referrer"} if holds_secret else {"same-origin", "no-referrer"}):
        yield "Referrer-Policy"
    if "=()" not in answer.headers["Permissions-Policy"] or "=*" in answer.headers["Permissions-Policy"]:
        yield "Permissions-Policy"
    if answer.headers["Cache-Control"] not in ("no-store", "private, no-store") and not may_be_kept:
        yield f"Cache-Control: {answer.headers['Cache-Control']}"
    if not may_be_kept and {"Last-Modified", "Expires", "Age"} & set(answer.headers.keys()):
        yield "something to ask again by"
    if answer.mimetype == "text/html" and "ETag" in answer.headers:  # a file's is told to those who may have the file
        yield "something to tell two pages by"
    if [name for name, _ in answer.headers if name.lower().startswith("access-control-")]:
        yield "an open door for other origins"
    yield from faults_of_policy(world, answer, leads_to_stripe)


def faults_of_policy(world: World, answer: TestResponse, leads_to_stripe: bool) -> Iterator[str]:
    policy = answer.headers["Content-Security-Policy"]
    if answer.mimetype != "text/html":
        if "default-src 'none'" not in policy or "frame-ancestors 'none'" not in policy or "script-src" in policy:
            yield f"Content-Security-Policy: {policy}"
        return
    if leads_to_stripe and not policy.endswith(TO_STRIPE):
        yield f"no way on to Stripe: {policy}"
    nonce = PAGE_POLICY.fullmatch(policy.removesuffix(TO_STRIPE) if leads_to_stripe else policy)
    if nonce is None or nonce[1] in world.nonces:
        yield f"Content-Security-Policy: {policy}"
        return
    world.nonces.add(nonce[1])
    if [tag for tag in re.findall(r"<script[^>]*>", answer.text) if f' nonce="{nonce[1]}"' not in tag]:
        yield "a script without the nonce"
    if re.search(r"""(?:src|action)=["']?(?:https?:)?//""", answer.text):
        yield "something from another host"


def faults_everywhere(world: World, routes: list[Route]) -> list[str]:
    """Every route, by every method, asked by one person of each verdict; looked at also where nothing is."""
    found = []
    strangers = route_map.made_up(world.ids)
    for route in routes:
        for person in {verdict: person for person, verdict in route.gate.items()}.values():
            for method in sorted(route.methods):
                for ids in (world.ids, strangers) if route.ids and method == "GET" else (world.ids,):
                    visitor = world.at[person, route.face]
                    with undone(world.app):
                        answer = ask(visitor.at(visitor.base_url), route, method, ids)
                    found += [
                        f"{method} {route}, {person}, {answer.status_code}: {fault}"
                        for fault in faults(world, answer, **expected_of(route, method, answer.status_code))
                    ]
    return found


def expected_of(route: Route, method: str, status: int) -> dict[str, bool]:
    """What an answer says of itself beside what all say. What is not there looks the same, whichever page was asked for."""
    return {
        "holds_secret": "<secret>" in route.rule,
        "may_be_kept": is_file(route) and status == 200 and method in ("GET", "HEAD"),
        "leads_to_stripe": route.leads_to_stripe and status != 404,
    }


def is_download(route: Route) -> bool:
    """A patient's file or paper; whoever may have it may also go on with an interrupted download."""
    return route.rule.endswith(("/file", "/download", "/receipt")) or any(
        folder in route.rule for folder in ("/attachments/", "/receipts/", "/statements/")
    )


def is_file(route: Route) -> bool:
    """Style sheets, scripts and logos, which belong to nobody and whose address changes with them."""
    return "/static/" in route.rule or route.rule.endswith(".png")


@pytest.mark.slow
def test_every_answer_to_everybody_wears_every_header(full_world: World) -> None:
    assert not (found := faults_everywhere(full_world, DECLARED)), "\n".join(found)


@pytest.mark.parametrize(
    ("base_url", "path", "status"),
    [
        ("http://nowhere.localhost:8000", "/", 404),
        ("http://evil.example", "/", 404),
        ("http://elm-street.localhost:8000", "/nowhere", 404),
        ("http://admin.localhost:8000", "/", 404),
        ("http://admin.localhost:8000", "/nowhere/patients", 404),
        ("http://localhost:8000", "/static/000/portico.css", 404),
        ("http://evil.example", "/link/invitation/secret", 404),
        ("http://elm-street.localhost:8000", "/link/nothing/secret", 404),
        ("http://elm-street.localhost:8000", "/link/invitation/secret/and/more", 404),
        ("http://admin.localhost:8000", "/elm-street/link/nothing/secret", 404),
    ],
)
def test_so_does_what_is_answered_before_any_page(world: World, base_url: str, path: str, status: int) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "DELETE"):
        answer = Visitor(world.app, base_url).client.open(path, method=method, base_url=base_url)
        assert answer.status_code == status or method != "GET"
        assert not list(faults(world, answer, holds_secret="/link/" in path)), (method, answer.headers)


def test_so_does_an_error_of_ours(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_values: Any) -> None:
        raise ZeroDivisionError("Leo Lopez")

    monkeypatch.setitem(world.app.view_functions, "portal.profile", broken)
    monkeypatch.setitem(world.app.config, "PROPAGATE_EXCEPTIONS", False)
    answer = world.at["maria", "portal"].get("/profile")
    assert answer.status_code == 500 and "Leo" not in answer.text
    assert not list(faults(world, answer))


def test_over_tls_browsers_are_told_to_come_back_over_tls_only() -> None:
    said: list[tuple[str, str]] = []
    start = headers.dressed(lambda status, all_said, *fault: said.extend(all_said), is_secure=True)  # type: ignore[arg-type, return-value]
    start("200 OK", [("content-security-policy", "default-src 'self'")])
    assert ("Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload") in said
    assert [value for name, value in said if name.lower() == "content-security-policy"] == ["default-src 'self'"]


def kept_under_another_name(world: World, routes: list[Route]) -> list[str]:
    """Pages that answer under an address which a careless cache takes for a file's."""
    found = []
    for route in routes:
        person = next((each for each in ("maria", "ana") if route.gate[each] == "in"), "anonymous")
        visitor = world.at[person, route.face]
        if "GET" not in route.methods or set(route.given) - {"version"} or "/link/" in route.rule:  # any word is a secret
            continue
        path = route.path(world.ids)
        for asked in (*(path + trick for trick in TRICKS), f"/{path}", f"/{path[1:].replace('/', '//')}", f"{path}/.", f"{path}/../x.css"):
            if asked != path:
                raw = unquote_to_bytes(asked).decode("latin-1")
                answer = visitor.client.get("/", base_url=visitor.base_url, environ_overrides={"PATH_INFO": raw})
                if answer.status_code != 404:
                    found.append(f"{visitor.base_url}{asked!r}: {answer.status_code}")
    return found


@pytest.mark.slow
def test_no_page_answers_under_the_name_of_a_file(full_world: World) -> None:
    assert not (found := kept_under_another_name(full_world, DECLARED)), "\n".join(found)


def test_nobody_is_told_that_nothing_has_changed(full_world: World) -> None:
    """A 304 would show a browser's kept page to whoever sits there now."""
    later = {"If-None-Match": "*", "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT", "Range": "bytes=0-3"}
    for route in (route for route in DECLARED if "GET" in route.methods and not is_file(route)):
        person = next((each for each in ("maria", "ana") if route.gate[each] == "in"), "anonymous")
        if is_download(route):
            person = next(each for each in ("ben", "fay") if route.gate[each] != "in")  # who may not have the file
        visitor = full_world.at[person, route.face]
        plain, again = (ask(visitor, route, "GET", full_world.ids, headers=extra) for extra in ({}, later))
        assert again.status_code == plain.status_code and bool(again.data) == bool(plain.data), str(route)


WEAK = [route for route in DECLARED if route.rule in ("/profile", "/patients/<uuid:patient_id>/documents/<uuid:document_id>/file")]


@pytest.mark.parametrize("name", [*FIXED, *CHOSEN])
def test_planted_one_header_is_forgotten(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delitem(headers.ALWAYS, name)
    monkeypatch.setitem(world.app.after_request_funcs, None, [])
    assert faults_everywhere(world, WEAK)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cache-Control", "private, max-age=60"),
        ("ETag", '"1"'),
        ("Access-Control-Allow-Origin", "*"),
        ("Content-Security-Policy", PAGE_POLICY.pattern.replace(r"([\w-]{22})", "x" * 22).replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")),
        ("Content-Security-Policy", PAGE_POLICY.pattern.replace(r"([\w-]{22})", "x" * 22)),
    ],
)  # fmt: skip
def test_planted_a_lax_word(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The last is right but for its nonce, which is the same in two answers."""

    def lax(answer: Response) -> Response:
        answer.headers[name] = value
        return answer

    funcs = world.app.after_request_funcs
    monkeypatch.setitem(funcs, None, [lax, *funcs[None]])  # the first is asked last
    assert faults_everywhere(world, WEAK)


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_form_leads_to_stripe_where_that_is_declared_only(
    world: World, monkeypatch: pytest.MonkeyPatch, is_declared: bool
) -> None:
    """Declared and not marked, marked and not declared: both are found; declared and marked is as it should be."""
    profile = [replace(WEAK[0], leads_to_stripe=is_declared)]
    assert WEAK[0].rule == "/profile" and bool(faults_everywhere(world, profile)) is is_declared
    monkeypatch.setattr(world.app.view_functions[f"{WEAK[0].face}.profile"], "leads_to_stripe", True, raising=False)
    assert bool(faults_everywhere(world, profile)) is not is_declared


def test_planted_slashes_are_forgiven(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.app.url_map, "merge_slashes", True)
    for rule in world.app.url_map.iter_rules():
        monkeypatch.setattr(rule, "merge_slashes", True)
    monkeypatch.setattr(world.app.url_map._matcher, "merge_slashes", True)
    assert kept_under_another_name(world, WEAK)


# Through the outer door, and through one that somebody made faster without thinking.

CARELESS = (
    "http {\n",
    "http {{\n    proxy_cache_path {folder} keys_zone=careless:1m;\n    proxy_cache careless;\n    proxy_cache_key $uri;\n"
    "    proxy_cache_valid any 10m;\n    proxy_cache_methods GET HEAD;\n    add_header X-Cache $upstream_cache_status always;\n",
)


@contextmanager
def cached(door: Door, *more: str) -> Iterator[Door]:
    folder = door.folder / f"cache-{'-'.join(more)[:40].replace(' ', '')}"
    old, new = CARELESS
    with door.rebuilt((old, new.format(folder=folder) + "".join(f"    {each}\n" for each in more))) as careless:
        yield careless


def tells_of_leo(answer: TestResponse) -> bool:
    """In a file the words are packed; every one that is asked for is his."""
    return answer.mimetype == "application/pdf" or b"Leo Lopez" in answer.data


def nothing_private_is_kept(door: Door) -> None:
    """Everybody asks for everything, one after the other: the key does not even hold the host. Static files may be kept."""
    ids = route_map.ids_of(door.app, demo.ELM, "Leo Lopez")
    faces = {face: base.replace("http:", "https:").replace("localhost:8000", BASE) for face, base in route_map.FACES.items()}
    people = {
        "maria": Visitor(door.app, faces["portal"]).sign_in("maria@family.example"),
        "omar": Visitor(door.app, faces["portal"]).sign_in("omar@family.example"),
        "anonymous": Visitor(door.app, faces["portal"]),
        "ana": Visitor(door.app, faces["admin"]).sign_in("ana@elm.example", f"/{demo.ELM}"),
    }
    kept = 0
    for route in (route for route in DECLARED if "GET" in route.methods and route.face != "front door"):
        for who in ("ana", "anonymous") if route.face == "admin" else ("maria", "omar", "anonymous", "anonymous"):
            answer = ask(people[who].at(faces[route.face]), route, "GET", ids)
            if is_file(route):
                kept += answer.headers["X-Cache"] == "HIT"
            else:
                assert answer.headers.get("X-Cache") != "HIT", (str(route), who)
                assert who in ("maria", "ana") or not tells_of_leo(answer), (str(route), who)
    assert kept, "the cache never worked"


@pytest.mark.slow
def test_a_careless_cache_keeps_nothing_of_anybody(door: Door) -> None:
    with cached(door) as careless:
        nothing_private_is_kept(careless)
        for trick in ("/profile/x.css", "/profile;.js", "/profile%0a.css", "//profile", "/profile%00.png", "/static/../profile"):
            for headers in ("", "X-Forwarded-Host: evil.example\n", "Accept: text/css\n", "X-Original-URL: /profile\n"):
                answer = careless.get(f"{demo.ELM}.{BASE}", trick, headers)
                assert answer.status in (303, 400, 404) and answer.header("X-Cache") != "HIT", trick


@pytest.mark.slow
def test_planted_a_cache_that_does_not_listen(door: Door) -> None:
    with cached(door, "proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;") as deaf, pytest.raises(AssertionError):
        nothing_private_is_kept(deaf)


@pytest.mark.slow
def test_the_headers_survive_the_outer_door(door: Door) -> None:
    """As the application says them, each once, with the transport's own."""
    maria = Visitor(door.app, f"https://{demo.ELM}.{BASE}").sign_in("maria@family.example")
    ids = route_map.ids_of(door.app, demo.ELM, "Leo Lopez")
    world = World(door.app, ids, {})
    for route in (route for route in DECLARED if route.face == "portal" and "GET" in route.methods):
        answer = ask(maria, route, "GET", ids)
        assert not list(faults(world, answer, **expected_of(route, "GET", answer.status_code))), str(route)
        assert answer.headers.getlist("Strict-Transport-Security") == ["max-age=63072000; includeSubDomains; preload"]
