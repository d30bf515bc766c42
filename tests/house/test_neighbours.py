"""The neighbour test, made from the URL map: another's thing and a thing that is not there have the same answer.

Lost if it fails: a family reads, changes or merely learns of another family's records, or of another clinic's.
Every route with an id is asked by every method, for the other clinic's thing, another family's, one that the clinic
does not show, a mixture with one's own, and one made up: byte for byte the same, and no row of anybody's changed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

import admin_app.documents
from clinic import demo, documents
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import Ids, Route, ask, made_up, seen
from tests.visitor import Visitor
from wsgi import create_app

DECLARED = route_map.declared()
UNSEEN = {"document": ("hidden_document", "draft_document", "held_document"), "invoice": ("draft_invoice",)}
NOT_FOUND = {"OPTIONS": 200}
WITHOUT_A_BODY = ("HEAD", "OPTIONS")


@dataclass(frozen=True)
class Asker:
    """Somebody signed in: what is theirs, what is a neighbour's at their own clinic, and what is the other clinic's."""

    name: str  # as routes.yaml has it
    face: str
    slug: str
    visitor: Visitor
    own: Ids
    neighbours: list[Ids]
    foreign: list[Ids]


@dataclass
class House:
    app: Flask
    connection: whole_database.Connection
    askers: list[Asker]


@pytest.fixture
def house(cluster: Cluster, furnished_app: Flask) -> Iterator[House]:
    leo, mia, zoe = (
        route_map.ids_of(furnished_app, demo.ELM, name) for name in ("Leo Lopez", "Mia Lopez", "Zoe Haddad")
    )
    nina, paul = (route_map.ids_of(furnished_app, demo.OAK, name) for name in ("Nina Lopez", "Paul Peters"))

    def asker(name: str, face: str, slug: str, email: str, own: Ids, *others: list[Ids]) -> Asker:
        base = f"http://{'admin' if face == 'admin' else slug}.localhost:8000"
        visitor = Visitor(furnished_app, base).sign_in(email, f"/{slug}" if face == "admin" else "")
        if face == "portal":  # and by the link of their mailed invoice their browser may pay it
            visitor.get(route_map.link_of(furnished_app, slug, own["link_payment"]))
        return Asker(name, face, slug, visitor, own, *others)

    with whole_database.opened(cluster, furnished_app) as connection:
        yield House(
            furnished_app,
            connection,
            [
                asker("ana", "admin", demo.ELM, "ana@elm.example", leo, [zoe], [nina]),
                asker("ana", "admin", demo.OAK, "ola@oak.example", nina, [paul], [leo]),
                asker("maria", "portal", demo.ELM, "maria@family.example", leo, [zoe, mia], [nina]),
                asker("maria", "portal", demo.ELM, "omar@family.example", zoe, [leo], [nina, paul]),
                asker("maria", "portal", demo.OAK, "maria@family.example", nina, [paul], [leo, zoe]),
            ],
        )


def theirs(route: Route, asker: Asker) -> Iterator[tuple[str, Ids]]:
    """(what, ids) that this person may not have here, and must not learn of."""
    for other in asker.foreign:
        yield "the other clinic's", other
        yield from _mixed("the other clinic's", route, asker.own, other)
        yield (
            "the other clinic's, in capitals",
            {kind: str(value).upper() if isinstance(value, UUID) else value for kind, value in other.items()},
        )
    for other in asker.neighbours:
        if asker.face == "portal" and other["portal_user"] != asker.own["portal_user"]:
            yield "another family's", other
        if len(route.ids) > 1:
            yield from _mixed("another patient's", route, asker.own, other)
    if asker.face == "portal":
        for kind in set(route.ids.values()) & UNSEEN.keys():
            for unseen in UNSEEN[kind]:
                yield f"own {unseen}", {**asker.own, kind: asker.own[unseen]}
    yield from _mixed("one made up", route, asker.own, made_up(asker.own))
    for broken in ("x%00", f"{uuid4()}x"):
        yield "no id at all", {kind: broken if isinstance(value, UUID) else value for kind, value in asker.own.items()}


def _mixed(what: str, route: Route, own: Ids, other: Ids) -> Iterator[tuple[str, Ids]]:
    """One id of the address somebody else's, the others one's own."""
    for kind in route.ids.values():
        yield f"{what} {kind} beside one's own", {**own, kind: other[kind]}


def differences(house: House, routes: Iterable[Route], people: Iterable[Asker] = ()) -> list[str]:
    """Answers that tell somebody else's thing from none, and tables that were changed by asking."""
    before = whole_database.fingerprints(house.connection, but=whole_database.OF_LOOKING)
    found = []
    for route in routes:
        for asker in people or house.askers:
            if asker.face == route.face and route.gate[asker.name] == "in":
                found += _in_the_address(route, asker) + _in_form_and_query(route, asker)
    after = whole_database.fingerprints(house.connection, but=whole_database.OF_LOOKING)
    return found + [f"changed: {table}" for table in before if before[table] != after[table]]


def _in_the_address(route: Route, asker: Asker) -> list[str]:
    found = []
    for method in sorted(route.methods) if route.ids else ():
        nothing = made_up(asker.own)
        expected = _answer(route, asker, method, nothing)
        if expected[0] != NOT_FOUND.get(method, 404):
            found.append(f"{method} {route}: {expected[0]} for ids made up")
        for what, ids in theirs(route, asker):
            if method in WITHOUT_A_BODY and what not in ("the other clinic's", "another family's"):
                continue  # a GET is asked for these, and one view answers both
            if _answer(route, asker, method, ids) != expected:
                found.append(f"{method} {route}: {what} is answered otherwise than none")
    return found


def _in_form_and_query(route: Route, asker: Asker) -> list[str]:
    """The address is one's own; an id in the form or after the question mark is not."""
    named = [("POST", value[1:]) for value in route.form.values() if str(value).startswith("=")]
    named += [("GET", kind) for kind in route.query.values()]
    found = []
    for method, kind in named:
        if not isinstance(asker.own[kind], UUID) or kind in route.ids.values():
            continue
        expected = _answer(route, asker, method, {**asker.own, kind: uuid4()})
        others = [*asker.foreign, {**asker.own, kind: asker.own["hidden_type"]}] if method == "GET" else asker.foreign
        for other in others:
            if _answer(route, asker, method, {**asker.own, kind: other[kind]}) != expected:
                found.append(f"{method} {route}: somebody else's {kind} in it is answered otherwise than none")
    return found


def _answer(route: Route, asker: Asker, method: str, ids: Ids) -> tuple[Any, ...]:
    visitor = asker.visitor.at(asker.visitor.base_url)
    return seen(ask(visitor, route, method, ids, slug=asker.slug), ids)


def _only(*endings: str) -> list[Route]:
    return [route for route in DECLARED if route.ids and route.rule.endswith(endings)]


@pytest.mark.long
@pytest.mark.parametrize(
    "who",
    [pytest.param((0, 2), id="staff and a family"), pytest.param((1, 3, 4), id="the others", marks=pytest.mark.slow)],
)
def test_a_neighbours_thing_and_none_have_the_same_answer(house: House, who: tuple[int, ...]) -> None:
    found = differences(house, DECLARED, [house.askers[each] for each in who])
    assert not found, "\n".join(found)


def test_one_s_own_is_answered_otherwise_or_this_file_proves_nothing(house: House) -> None:
    for route in (route for route in DECLARED if route.ids and "GET" in route.answers):
        asker = next(each for each in house.askers if each.face == route.face)
        assert _answer(route, asker, "GET", asker.own)[0] in (200, 303), str(route)  # or leads to the page itself


def test_every_route_with_an_id_is_declared(app: Flask) -> None:
    declared = {(route.face, route.rule) for route in DECLARED if route.ids}
    assert {key for key in route_map.actual(app) if "<uuid:" in key[1]} == declared


@pytest.mark.parametrize("face", ["admin", "<portal_slug:slug>"])
def test_planted_a_route_with_an_id_that_nobody_declared(cluster: Cluster, face: str) -> None:
    app = create_app(cluster.settings)
    app.add_url_rule("/x/notes/<uuid:note_id>", "note", lambda **_: "", subdomain=face)
    with pytest.raises(AssertionError):
        test_every_route_with_an_id_is_declared(app)


@pytest.mark.parametrize(
    ("policy", "ending"), [("clinic ON patients", "<uuid:patient_id>"), ("clinic ON portal_users", "/deactivation")]
)
def test_planted_the_wall_between_clinics_is_gone(house: House, policy: str, ending: str) -> None:
    """Staff see, or deactivate, people of the other clinic."""
    whole_database.plant(house.connection, f"ALTER POLICY {policy} USING (true) WITH CHECK (true)")
    assert differences(house, _only(ending), house.askers[:1])


def test_planted_a_view_that_forgets_whose_document_it_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another patient's document under this patient's address."""
    monkeypatch.setattr(
        admin_app.documents,
        "_of_patient",
        lambda patient, each: (admin_app.documents.patients.row_of(patient), documents.get(each)),
    )
    found = differences(house, _only("/hold"), house.askers[:1])
    assert "changed: documents" in found


def test_planted_a_hidden_type_is_shown_to_the_family(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both walls down: the view asks for any document, and row security shows any of the family's."""
    whole_database.plant(
        house.connection,
        "ALTER POLICY shown ON document_types USING (clinic_id = app.clinic_id())",
        "ALTER POLICY family ON documents USING (clinic_id = app.clinic_id())",
    )
    maria = house.askers[2:3]
    assert not differences(house, _only("/<uuid:document_id>"), maria)  # the view holds by itself
    monkeypatch.setattr(documents, "get_shown", lambda document_id, _patient_id: documents.get(document_id))
    found = differences(house, _only("/<uuid:document_id>"), maria)
    assert any("own hidden_document" in line for line in found), found
