"""T21: whatever is read, searched, downloaded, changed or refused leaves exactly one entry each in the audit log.

Lost if it fails: somebody looks at a neighbour's child, and the clinic cannot tell who, or the log itself gives away
what it should protect.

Every route of routes.yaml is asked by every kind of person, for their own ids and for ids made up, and leaves what
audit.yaml declares: an event with UTC time, actor, role, clinic, patient, thing, result, request and network address; no
value of a record, no password, no token. A page that shows something of a record without an event fails, and so does a
form that changes something in silence. What cannot be recorded is not shown (503).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import yaml
from flask import Flask
from sqlalchemy import func, select, text
from werkzeug.test import TestResponse

import admin_app.patients
from clinic import audit, demo
from clinic.audit import AuditEntry
from tenancy import clock
from tenancy.database import db
from tests.house import route_map
from tests.house.route_map import Ids, Route, ask, made_up, standing_at
from tests.inside import inside, member, user
from tests.one_connection import undone
from tests.visitor import Visitor

Administrator = psycopg.Connection[Any]
DECLARED = route_map.declared()
READ = yaml.safe_load((Path(route_map.__file__).parent / "audit.yaml").read_text())
EVENTS: dict[tuple[str, str], dict[str, Any]] = {
    (face, rule): line for face, lines in READ["events"].items() for rule, line in lines.items()
}
SILENT = {(face, rule) for face, rules in READ["changes nothing"].items() for rule in rules}
WHO = {
    "ana": ("staff", "admin"),
    "ben": ("staff", "billing"),
    "fay": ("staff", "front_desk"),
    "maria": ("portal_user", "portal"),
    "anonymous": ("system", "visitor"),
}
# What no entry may hold, and what no page may show without one.
RECORDED_WORDS = (
    "SELECT name FROM patients UNION SELECT nickname FROM patients WHERE nickname <> '' UNION SELECT title FROM documents "
    "UNION SELECT service FROM appointments UNION SELECT subject FROM conversations UNION SELECT text FROM messages "
    "UNION SELECT wish FROM appointment_requests UNION SELECT description FROM account_lines"
)
MADE_UP = "access.refused"
OF_NO_ONE_PATIENT = ("access.refused", "contact.changed", "contact_sign_in.kept")  # a contact may stand by several


@dataclass
class House:
    """Everybody signed in, the ids of Leo's things, and the words of all records."""

    app: Flask
    visitors: dict[tuple[str, str], Visitor]  # (person, face)
    ids: Ids
    words: set[str]
    who: dict[str, UUID | None]


@pytest.fixture
def house(app: Flask) -> House:
    route_map.prepare(app, demo.ELM)
    ids, people = route_map.ids_of(app, demo.ELM, "Leo Lopez"), route_map.people(app)
    visitors = {(who, face): standing_at(people[who], face) for who in WHO for face in route_map.FACES}
    with inside(app, demo.ELM):
        words = {str(word) for word in db.session.scalars(text(RECORDED_WORDS))}
        who = {name: member(f"{name}@elm.example").id for name in ("ana", "ben", "fay")}
        return House(app, visitors, ids, words, {**who, "maria": user("maria@family.example").id, "anonymous": None})


def asked(house: House, route: Route, person: str, method: str, ids: Ids, **more: Any) -> tuple[TestResponse, list[AuditEntry]]:
    """An answer, and the entries it left; all of it undone."""
    with undone(house.app):
        newest = _newest(house.app)
        visitor = house.visitors[person, route.face]
        answer = ask(visitor.at(visitor.base_url), route, method, ids, **more)
        return answer, _entries(house.app, newest)


def _newest(app: Flask, slug: str = demo.ELM) -> int:
    with inside(app, slug):
        return db.session.scalars(select(func.max(AuditEntry.number))).one() or 0


def _entries(app: Flask, after: int, slug: str = demo.ELM) -> list[AuditEntry]:
    with inside(app, slug):
        found = select(AuditEntry).where(AuditEntry.number > after).order_by(AuditEntry.number)
        return list(db.session.scalars(found))


def expected(route: Route, person: str, method: str) -> list[str]:
    verdict, line = route.expected(person, method), EVENTS.get((route.face, route.rule), {})
    if verdict == "sign-in":
        return []
    if verdict in (403, 404) and route.gate_name != "open":
        return ["access.refused"]
    if method == "OPTIONS":
        return []
    declared = line.get("GET" if method == "HEAD" else method, [])
    return [declared] if isinstance(declared, str) else list(declared)


def gaps(
    house: House, routes: Iterable[Route], people: Iterable[str], methods: frozenset[str] = frozenset({"GET", "POST"})
) -> list[str]:
    """What is not recorded as declared, or recorded with too little or too much, or shown without being recorded."""
    found = []
    for route in routes:
        for person in people:
            for method in sorted(route.methods & methods):
                what = f"{method} {route}, {person}"
                answer, entries = asked(house, route, person, method, house.ids)
                found += _compared(what, entries, expected(route, person, method))
                found += [f"{what}: {fault}" for each in entries for fault in _faults(house, each, person, route)]
                found += [f"{what}: {fault}" for fault in _unrecorded(house, answer, route) if not entries]
                if route.ids and method in ("GET", "POST") and route.gate[person] == "in":
                    _answer, refused = asked(house, route, person, method, made_up(house.ids))
                    # An open page knows nobody, whoever is signed in.
                    found += _compared(f"{what}, ids made up", refused, [] if route.gate_name == "open" else [MADE_UP])
    return found


def _compared(what: str, entries: list[AuditEntry], wanted: list[str]) -> list[str]:
    got = [each.event for each in entries]
    return [] if got == wanted else [f"{what}: recorded {got}, declared {wanted}"]


def _unrecorded(house: House, answer: TestResponse, route: Route) -> list[str]:
    """What an answer that left no entry should not have been."""
    found = [f"shows “{shown}” and is not recorded"] if (shown := _shown(house, answer)) else []
    was_taken = answer.request.method == "POST" and answer.status_code == 303
    if was_taken and "/sign-in" not in answer.headers["Location"] and (route.face, route.rule) not in SILENT:
        found.append("may change something, and is not recorded")
    return found


def _shown(house: House, answer: TestResponse) -> str:
    if answer.mimetype in ("application/pdf", "image/jpeg") or answer.headers.get("Content-Disposition"):
        return "a file"
    body = answer.get_data(as_text=True) if answer.mimetype in ("text/html", "text/csv", "application/json") else ""
    return next((word for word in sorted(house.words) if re.search(rf"\b{re.escape(word)}\b", body)), "")


def _faults(house: House, entry: AuditEntry, person: str, route: Route) -> list[str]:
    kind, role = WHO[person]
    is_theirs = (entry.actor_kind, entry.actor_id) == (kind, house.who[person])
    found = [] if is_theirs or route.gate_name == "open" else [f"the actor of {entry.event} is {entry.actor_kind}"]
    if is_theirs and entry.actor_role != role:
        found.append(f"the role in {entry.event} is {entry.actor_role}")
    if entry.request_id is None or entry.address != "127.0.0.1":
        found.append(f"{entry.event} does not say from where")
    if abs(entry.at - clock.now()) > timedelta(minutes=5) or entry.at.utcoffset() != timedelta(0):
        found.append(f"{entry.event} does not say when")
    if entry.result != ("refused" if entry.event.endswith(".refused") else "done"):
        found.append(f"{entry.event} is {entry.result}")
    is_about_one = "patient_id" in route.ids and entry.event not in OF_NO_ONE_PATIENT
    if is_about_one and entry.patient_id != house.ids["patient"]:
        found.append(f"{entry.event} does not say about whom")
    return found + [f"{entry.event} holds “{word}”" for word in told(house, entry)]


def told(house: House, entry: AuditEntry) -> list[str]:
    """Words of records, passwords and tokens in an entry."""
    secrets = {demo.PASSWORD, "six calm yellow boats", "not a password of anybody", "family.example"}
    held = " ".join(str(value) for value in entry.details.values()) + f" {entry.event} {entry.actor_name}"
    return [word for word in sorted(house.words | secrets) if word in held]


def test_every_route_records_exactly_what_is_declared(house: House) -> None:
    found = gaps(house, DECLARED, ["ana", "maria"])
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_every_route_records_what_is_declared_for_everybody_by_every_method(house: House) -> None:
    found = gaps(house, DECLARED, WHO, frozenset({"GET", "HEAD", "OPTIONS", "POST"}))
    assert not found, "\n".join(found)


def test_what_is_declared_is_a_route(app: Flask) -> None:
    known = {(route.face, route.rule): route for route in DECLARED}
    assert not EVENTS.keys() - known.keys() and not SILENT - known.keys()
    for key, line in EVENTS.items():
        assert line.keys() <= known[key].answers.keys(), key
        for events in line.values():
            for event in [events] if isinstance(events, str) else events:
                assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event), event


def test_a_search_is_recorded_without_its_words(house: House) -> None:
    route = next(each for each in DECLARED if each.rule == "/patients")
    _answer, (entry,) = asked(house, route, "ana", "GET", house.ids, query={"q": "Leo Lopez"})
    assert entry.event == "patients.searched" and "Leo" not in str(entry.details)


@pytest.mark.parametrize("part", ["file", "download"])
def test_a_file_is_recorded_once_in_a_session_however_it_is_fetched(house: House, part: str) -> None:
    """A browser's reader asks for one document in many pieces; twenty entries would hide the others."""
    path = f"/patients/{house.ids['patient']}/documents/{house.ids['document']}/{part}"
    newest = _newest(house.app)
    maria = house.visitors["maria", "portal"]
    for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=10-19"}):
        assert maria.get(path, headers=headers).status_code in (200, 206)
        assert maria.head(path).status_code == 200
    event = {"file": "document.opened", "download": "document.downloaded"}[part]
    assert [each.event for each in _entries(house.app, newest)] == [event]
    again = Visitor(house.app, route_map.FACES["portal"]).sign_in("maria@family.example")
    again.get(path)
    assert [each.event for each in _entries(house.app, newest)].count(event) == 2


def test_signing_in_and_out_and_failing_to_is_recorded(app: Flask) -> None:
    newest = _newest(app)
    stranger = Visitor(app, route_map.FACES["portal"])
    stranger.get("/sign-in")
    stranger.post("/sign-in", {"email": "maria@family.example", "password": "not hers"})
    stranger.post("/sign-in", {"email": "nobody@family.example", "password": "not theirs"})
    maria = Visitor(app, route_map.FACES["portal"]).sign_in("maria@family.example")
    maria.post("/sign-out")
    entries = [each for each in _entries(app, newest) if each.event != "home.viewed"]
    assert [(each.event, each.result) for each in entries] == [
        ("sign_in.refused", "refused"), ("sign_in.refused", "refused"), ("sign_in.succeeded", "done"), ("session.ended", "done")
    ]  # fmt: skip
    with inside(app, demo.ELM):
        mother = user("maria@family.example").id
    assert [each.subject_id for each in entries[:3]] == [mother, None, mother]
    assert len({each.request_id for each in entries}) == 4


def test_a_page_that_breaks_is_recorded_as_failed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = Visitor(app, route_map.FACES["admin"]).sign_in("ana@elm.example", f"/{demo.ELM}")
    monkeypatch.setattr(admin_app.patients.patients, "search", lambda *_, **__: 1 / 0)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    newest = _newest(app)
    assert ana.get(f"/{demo.ELM}/patients").status_code == 500
    (entry,) = _entries(app, newest)
    assert (entry.event, entry.result, entry.details["page"]) == ("access.failed", "failed", "admin.patients_list")


def test_every_run_of_an_operator_is_recorded_under_their_name(app: Flask) -> None:
    newest = _newest(app)
    for run in (["plan", demo.ELM, "core"], ["suspend", demo.ELM], ["resume", demo.ELM], ["show", demo.ELM]):
        assert app.test_cli_runner().invoke(args=["clinics", *run]).exit_code == 0
    assert app.test_cli_runner().invoke(args=["audit", "verify", demo.ELM]).exit_code == 0
    entries = _entries(app, newest)
    assert [each.event for each in entries] == [
        "plan.changed", "status.changed", "status.changed", "clinic.shown", "audit_log.verified"
    ]  # fmt: skip
    assert {(each.actor_kind, each.actor_role, each.actor_name) for each in entries} == {
        ("operator", "operator", "Olga Operator")
    }


@pytest.fixture
def mute(committed_app: Flask, administrator: Administrator) -> Iterator[Flask]:
    """The audit log takes no more entries of people who are signed in already."""
    committed_app.config["PROPAGATE_EXCEPTIONS"] = False
    yield committed_app


def check_nothing_is_shown(app: Flask, administrator: Administrator) -> None:
    ids = route_map.ids_of(app, demo.ELM, "Leo Lopez")
    maria = Visitor(app, route_map.FACES["portal"]).sign_in("maria@family.example")
    ana = Visitor(app, route_map.FACES["admin"]).sign_in("ana@elm.example", f"/{demo.ELM}")
    pages = [(maria, f"/patients/{ids['patient']}/documents"), (ana, f"/{demo.ELM}/patients/{ids['patient']}")]
    pages += [(maria, f"/patients/{ids['patient']}/documents/{ids['document']}/file")]
    for visitor, path in pages:
        assert visitor.get(path).status_code == 200
    administrator.execute("ALTER TABLE audit_entries ADD CONSTRAINT full_up CHECK (false) NOT VALID")
    for visitor, path in pages[:2]:
        answer = visitor.get(path)
        assert answer.status_code == 503 and "Leo" not in answer.text and "Plan of care" not in answer.text, path
    again = Visitor(app, route_map.FACES["portal"])
    again.client = maria.client
    administrator.execute("DELETE FROM audit_entries WHERE event = 'document.opened'")
    answer = again.get(pages[2][1])
    assert answer.status_code == 503 and b"%PDF" not in answer.data


def test_what_cannot_be_recorded_is_not_shown(mute: Flask, administrator: Administrator) -> None:
    check_nothing_is_shown(mute, administrator)


# The same checks with their own weakness planted: each must see it.


def _only(*rules: str) -> list[Route]:
    return [route for route in DECLARED if route.rule in rules]


def test_planted_a_page_of_a_record_without_a_mark(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(house.app.view_functions["admin.patient_documents"], "shows")
    found = gaps(house, _only("/patients/<uuid:patient_id>/documents"), ["ana"])
    assert any("shows “" in line and "is not recorded" in line for line in found), found


def test_planted_a_mark_that_says_something_else(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    view = house.app.view_functions["portal.billing"]
    monkeypatch.setattr(view, "shows", house.app.view_functions["portal.documents"].shows)  # type: ignore[attr-defined]
    assert gaps(house, _only("/patients/<uuid:patient_id>/billing"), ["maria"])


def test_planted_an_entry_that_holds_a_name(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    record = audit.record
    monkeypatch.setattr(
        "clinic.patients.audit.record", lambda event, **details: record(event, **details, name="Leo Lopez")
    )
    found = gaps(house, _only("/patients/<uuid:patient_id>/editing"), ["ana"])
    assert any("holds “Leo Lopez”" in line for line in found), found


def test_planted_a_change_in_silence(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinic.patients.audit.record", lambda *_, **__: None)
    found = gaps(house, _only("/patients/<uuid:patient_id>/editing"), ["ana"])
    assert any("may change something, and is not recorded" in line for line in found), found


def test_planted_a_refusal_that_nobody_notes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.looks.REFUSED", ())
    found = gaps(house, _only("/patients/<uuid:patient_id>"), ["ana", "ben"])
    assert any("ids made up" in line for line in found) and any("ben" in line for line in found), found


def test_planted_a_page_is_shown_all_the_same(
    mute: Flask, administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.looks._record", lambda *_: None)
    with pytest.raises(AssertionError):
        check_nothing_is_shown(mute, administrator)
