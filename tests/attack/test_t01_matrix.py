"""T01: every text value of both clinics carries a canary, everybody asks everything, and no canary crosses over.

Lost if it fails: a family, or a whole clinic's staff, reads another clinic's patients in a page nobody thought of: a
list, a count, a search, an error page, a file, a header, a letter, a log.
Every route is asked by every person of both clinics with their own ids, a neighbour's, the other clinic's and ids made
up, in the address, the query, the form and in fields nobody asked for; then every link is followed. routes.yaml holds
who may what, and tests/house/test_guards.py runs it cell by cell.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from admin_app import paging
from clinic import actors, demo, demo_papers, document_types, documents, incoming_files
from clinic.documents import DocumentDetails
from tenancy import clock
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import Ids, Route, ask, made_up
from tests.inside import inside, patient, written
from tests.visitor import Visitor

DECLARED = route_map.declared()
OTHER = {demo.ELM: demo.OAK, demo.OAK: demo.ELM}
# Columns that hold words of the program. Every other text column, also one added tomorrow, gets a canary.
WORDS = {
    *("accent", "actor_kind", "actor_role", "currency", "ending", "event", "fate", "hash", "kind", "logo_version", "media_type"),
    *("account_id", "language", "method", "plan", "purpose", "relationship", "result", "role", "scan", "slug", "stage"),
    *("state", "status", "time_zone", "way"),
}
ADDRESSES = {"email", "email_norm", "reply_to", "to_address"}
# Where a person of the clinic itself must meet its canaries: else the walk went past the pages.
MET = {
    *("patients-name", "patients-nickname", "contacts-name", "contacts-email", "contacts-phone", "documents-title"),
    *("documents-held_back_reason", "document_types-name", "appointments-service", "appointments-therapist"),
    *("appointments-place", "account_lines-description", "portal_users-name", "portal_users-email", "clinics-name"),
    *("staff_members-name", "letterheads-reply_to", "document-content"),
}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
LEO, ZOE, NINA, PAUL = "Leo Lopez", "Zoe Haddad", "Nina Lopez", "Paul Peters"
# Who, where, with whose ids: one's own, a neighbour's at the same clinic, the other clinic's.
CAST = (
    ("ana@elm.example", demo.ELM, LEO, ZOE, NINA),
    ("ben@elm.example", demo.ELM, LEO, ZOE, NINA),
    ("maria@family.example", demo.ELM, LEO, ZOE, NINA),
    ("omar@family.example", demo.ELM, ZOE, LEO, PAUL),
    ("ola@oak.example", demo.OAK, NINA, PAUL, LEO),
    ("maria@family.example", demo.OAK, NINA, PAUL, LEO),
)


@dataclass
class Walk:
    """One person's way through everything, and what they met."""

    slug: str
    face: str
    visitor: Visitor
    own: Ids
    near: Ids
    far: Ids
    leaks: list[str] = field(default_factory=list)
    met: set[str] = field(default_factory=set)

    @property
    def start(self) -> str:
        return f"/{self.slug}" if self.face == "admin" else ""

    def look(self, what: str, answer: TestResponse) -> str:
        """Note the canaries of an answer's page, file and headers."""
        text = f"{answer.data.decode('utf-8', 'replace')}\n{answer.headers}"
        if canaries := found(text, OTHER[self.slug]):
            self.leaks.append(f"{self.visitor.base_url}, {what}: {sorted(canaries)}")
        self.met |= found(text, self.slug)
        return answer.text if answer.mimetype == "text/html" else ""


@dataclass
class World:
    app: Flask
    connection: whole_database.Connection
    walks: list[Walk]


def found(text: str, slug: str) -> set[str]:
    """The canaries of a clinic in a text, as table-column."""
    return {one.lower() for one in re.findall(rf"cnry-{slug}-(\w+-\w+)", text, re.IGNORECASE)}


@pytest.fixture
def world(cluster: Cluster, furnished_app: Flask) -> Iterator[World]:
    """Everybody signed in, and only then a canary in every text."""
    app = furnished_app
    for slug, name in ((demo.ELM, LEO), (demo.OAK, NINA)):
        with inside(app, slug) as clinic, actors.acting(actors.SYSTEM):
            shown = next(each.id for each in document_types.listed() if each.is_visible_on_portal)
            details = DocumentDetails("A page", shown, clock.today(clinic.time_zone))
            page = demo_papers.pdf("A page", [f"CNRY-{slug}-document-content"])
            documents.sign(documents.add(patient(name).id, details, incoming_files.take("a.pdf", page)).id)
    ids = {name: route_map.ids_of(app, slug, name) for _, slug, name, *_ in CAST} | {
        PAUL: route_map.ids_of(app, demo.OAK, PAUL)
    }
    walks = []
    for email, slug, *names in CAST:
        face = "portal" if email.endswith("family.example") else "admin"
        visitor = Visitor(app, f"http://{slug if face == 'portal' else 'admin'}.localhost:8000")
        visitor.sign_in(email, f"/{slug}" if face == "admin" else "")
        walks.append(Walk(slug, face, visitor, *(ids[name] for name in names)))
    with whole_database.opened(cluster, app) as connection:
        plant_canaries(connection)
        yield World(app, connection, walks)


def plant_canaries(connection: whole_database.Connection) -> None:
    """`CNRY-<clinic>-<table>-<column>-<row>` in every text of every clinic; triggers and references rest meanwhile."""
    columns = connection.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type IN ('text', 'jsonb') AND table_name <> 'alembic_version' "
        "AND NOT table_name ^@ 'platform_'"
    ).fetchall()
    clinics = dict(connection.execute("SELECT slug, clinic_id FROM clinic_addresses").fetchall())
    owned = {*whole_database.tables(connection), "clinics"}
    assert {table for table, _, _ in columns} <= owned, "a table that belongs to no clinic"
    connection.execute("SET session_replication_role = replica")
    for table, check in connection.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' AND conname LIKE '%\\_length'"
    ).fetchall():
        whole_database.plant(connection, f"ALTER TABLE {table} DROP CONSTRAINT {check}")  # a canary may be long
    for table, column, kind in columns:
        if column in WORDS or (table, column) == ("letters", "ids"):
            continue
        for slug, clinic_id in clinics.items():
            mark = f"'CNRY-{slug}-{table}-{column}-' || n" + (" || '@cnry.example'" if column in ADDRESSES else "")
            value = f"jsonb_build_object('note', {mark})" if kind == "jsonb" else mark
            key = "id" if table == "clinics" else "clinic_id"
            # A canary is longer than some texts may be.
            whole_database.plant(
                connection, f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS ck_{table}_{column}_length"
            )
            whole_database.plant(
                connection,
                f"UPDATE {table} t SET {column} = {value} FROM (SELECT ctid AS place, row_number() OVER () AS n "
                f"FROM {table} WHERE {key} = '{clinic_id}' AND {column} IS NOT NULL) r WHERE t.ctid = r.place",
            )
    connection.execute("RESET session_replication_role")


def everybody_walks(world: World, walks: list[Walk], links: int = 4) -> Iterator[str]:
    """Every route of each person's door, with ids of all kinds; then every search; then links. Yields leaks."""
    for walk in walks:
        for route in (route for route in DECLARED if route.face == walk.face):
            _ask_with_all_ids(walk, route)
            yield from walk.leaks
        _search(walk)
        _follow_links(walk, links)
        yield from walk.leaks


def _ask_with_all_ids(walk: Walk, route: Route) -> None:
    mine, far = walk.own, walk.far
    foreign = {
        **{"clinic_id": str(far["clinic"]), "tenant": OTHER[walk.slug], "patient_id": str(far["patient"])},
        **{"portal_user_id": str(far["portal_user"]), "type": str(far["type"])},
    }
    headers = {"X-Tenant-ID": OTHER[walk.slug], "X-User-ID": str(far["portal_user"]), "X-HTTP-Method-Override": "PUT"}
    named = {*route.ids.values(), *route.query.values()}
    asked = [mine, walk.near, far, made_up(mine)] if named else [mine, mine]
    mixed = [{**mine, kind: far[kind]} for kind in named]
    unseen = [{**mine, "document": mine[kind]} for kind in ("hidden_document", "draft_document", "held_document") if "document" in named]
    for number, ids in enumerate((*asked, *mixed, *unseen)):
        options: dict[str, Any] = {"query": foreign, "headers": headers} if number % 2 else {}
        walk.look(str(route), ask(walk.visitor, route, "GET", ids, slug=walk.slug, **options))
    for ids in (far, made_up(mine), *mixed) if route.ids else ():
        answer = ask(walk.visitor, route, "POST", ids, slug=walk.slug, data=foreign, headers=headers)
        walk.look(f"POST {route}", answer)
    for kind in (str(value)[1:] for value in route.form.values() if str(value).startswith("=")):
        if isinstance(far[kind], UUID):
            walk.look(f"POST {route}", ask(walk.visitor, route, "POST", {**mine, kind: far[kind]}, slug=walk.slug))


def _search(walk: Walk) -> None:
    cursor = paging.written(("cnry", walk.far["patient"]))
    for place in ("/patients", "/portal-users", "/invitations/new", "/documents", "/no-such-page", "/patients/7"):
        for query in ({"q": "cnry"}, {"q": f"CNRY-{OTHER[walk.slug]}"}, {"after": cursor}, {"q": "c", "after": cursor}):
            path = walk.start + place
            walk.look(f"{path} {query}", walk.visitor.get(path, query_string=query))


def _follow_links(walk: Walk, most: int) -> None:
    """To the end; so many of those that differ in an id or a query only, for a list that grows by being looked at has none."""
    known, waiting, kinds = {f"{walk.start}/"}, deque([f"{walk.start}/"]), Counter[str]()
    while waiting:
        path = waiting.popleft()
        page = walk.look(path, walk.visitor.get(path))
        for link in (unescape(each) for each in re.findall(r'(?:href|src|action)="(/[^"#]*)', page)):
            place, has_query, _ = _ID.sub("ID", link).partition("?")
            if link not in known and kinds[place + has_query] < most:
                known.add(link)
                waiting.append(link)
                kinds[place + has_query] += 1


def written_into(connection: whole_database.Connection) -> list[str]:
    """Rows of a clinic that hold a canary of the other one."""
    clinics = dict(connection.execute("SELECT slug, clinic_id FROM clinic_addresses").fetchall())
    wrong = []
    for table in whole_database.tables(connection):
        for slug, clinic_id in clinics.items():
            rows = connection.execute(f"SELECT t::text FROM {table} t WHERE clinic_id = %s".encode(), (clinic_id,))
            wrong += [f"{slug}: {table}" for row in rows if found(row[0], OTHER[slug])]
    return wrong


@pytest.mark.long
@pytest.mark.parametrize(
    ("who", "links"),
    [
        pytest.param((0, 2, 4), 4, id="one of each kind"),
        pytest.param(range(len(CAST)), 100, id="everybody", marks=pytest.mark.slow),
    ],
)
def test_no_canary_crosses_over(world: World, caplog: pytest.LogCaptureFixture, who: Iterable[int], links: int) -> None:
    leaks = sorted(set(everybody_walks(world, [world.walks[each] for each in who], links)))
    assert not leaks, "\n".join(leaks)
    assert not found(caplog.text, demo.ELM) and not found(caplog.text, demo.OAK)
    assert written_into(world.connection) == []
    for slug in OTHER:
        letters = "".join(str(page) for page in written(world.app, slug))
        assert not found(letters, OTHER[slug])
    met = {slug: set().union(*(walk.met for walk in world.walks if walk.slug == slug)) for slug in OTHER}
    assert met[demo.ELM] >= MET, MET - met[demo.ELM]
    assert met[demo.OAK] >= {"patients-name", "documents-title", "contacts-email", "document-content"}


@pytest.mark.parametrize(
    ("weakness", "who"),
    [
        ("ALTER POLICY clinic ON patients USING (true)", 0),
        ("ALTER POLICY clinic ON portal_users USING (true)", 0),
        ("ALTER POLICY clinic ON document_types USING (true)", 4),
        ("ALTER POLICY shown ON document_types USING (is_visible_on_portal)", 2),
    ],
)
def test_planted_one_policy_forgets_the_clinic(world: World, weakness: str, who: int) -> None:
    whole_database.plant(world.connection, weakness)
    world.app.config["PROPAGATE_EXCEPTIONS"] = False  # the other walls may stand in the way, with an error
    assert next(everybody_walks(world, [world.walks[who]]), None)


def test_planted_a_page_kept_for_everybody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that forgets whose page it keeps."""
    view, kept = world.app.view_functions["portal.home"], {}
    monkeypatch.setitem(world.app.view_functions, "portal.home", lambda: kept.setdefault("page", view()))
    assert next(everybody_walks(world, [world.walks[2], world.walks[5]]), None)


def test_planted_a_row_filed_at_the_other_clinic(world: World) -> None:
    world.connection.execute(
        b"UPDATE letters SET fault = 'CNRY-oak-hill-patients-name-1' WHERE id = "
        b"(SELECT l.id FROM letters l JOIN clinic_addresses a USING (clinic_id) WHERE a.slug = 'elm-street' LIMIT 1)"
    )
    assert written_into(world.connection) == ["elm-street: letters"]
