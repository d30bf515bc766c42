"""The doors: every page is open on purpose or closed, and every cell of routes.yaml is as declared.

Lost if it fails: a page that anybody on the internet, or every employee, can open; or a page that nobody knows of.
"""

from collections.abc import Iterable

import pytest
from flask import Flask, request
from werkzeug.test import TestResponse

from admin_app.guards import Person as StaffPerson
from clinic import demo
from clinic.staff import Right
from portal_app import guards as portal_guards
from tests.conftest import Cluster
from tests.house import route_map
from tests.house.route_map import PEOPLE, Ids, Route, ask, seen, standing_at
from tests.one_connection import undone
from tests.visitor import Visitor
from ui.doors import is_open
from ui.machines import is_for_machines
from wsgi import create_app

RIGHTS = {
    **{"staff": set(), "staff halfway": set(), "own": set(), "records": {Right.RECORDS}, "admin": {Right.ADMIN}},
    **{"signing": {Right.RECORDS, Right.SIGNING}, "books": {Right.BILLING}},
}
DECLARED = route_map.declared()


def unguarded(app: Flask, routes: list[Route]) -> list[str]:
    """Views whose marks are missing, contradict each other, or are not what routes.yaml declares."""
    gates = {(route.face, route.rule): route.gate_name for route in routes}
    sensitive = {(route.face, route.rule) for route in routes if route.is_sensitive}
    to_stripe = {(route.face, route.rule) for route in routes if route.leads_to_stripe}
    found = []
    for rule in app.url_map.iter_rules():
        face = route_map.SUBDOMAINS.get(rule.subdomain or "", "")
        path = rule.rule.removeprefix(route_map.CLINIC_IN_PATH) if face == "admin" else rule.rule
        view, gate = app.view_functions[rule.endpoint], gates.get((face, path))
        if is_for_machines(view) != (gate == "machines"):
            found.append(f"for machines or not: {face} {path}")
        if is_for_machines(view) and face != "front door":
            found.append(f"machines inside a clinic: {face} {path}")
        if is_for_machines(view) and rule.methods != {"POST", "OPTIONS"}:
            found.append(f"machines do more than send: {face} {path}")
        if getattr(view, "leads_to_stripe", False) != ((face, path) in to_stripe):
            found.append(f"leads to Stripe or not: {face} {path}")
        if face not in ("admin", "portal"):
            continue
        needs = getattr(view, "needs", None)
        if is_open(view) != (gate == "open"):
            found.append(f"open or not: {face} {path}")
        if face == "admin" and is_open(view) == (needs is not None):
            found.append(f"neither or both of @open_page and @needs: {face} {path}")
        if face == "admin" and gate != "open" and set(needs or ()) != RIGHTS.get(gate or ""):
            found.append(f"needs {set(needs or ())}, declared {gate}: {face} {path}")
        if getattr(view, "is_sensitive", False) != ((face, path) in sensitive):
            found.append(f"sensitive or not: {face} {path}")
        if not rule.endpoint.startswith(f"{face}."):
            found.append(f"outside the closed blueprint: {face} {path}")
    if portal_guards.close_by_default not in app.before_request_funcs.get("portal", ()):
        found.append("the portal is not closed by default")
    if not app.before_request_funcs.get("admin"):
        found.append("the staff pages are not closed by default")
    return found


def wrong_cells(app: Flask, routes: Iterable[Route], extras: Iterable[dict[str, object]] = ()) -> list[str]:
    """Every person asks every route by every method; what is not as declared, or changes with additions to a request."""
    route_map.prepare(app, demo.ELM)
    ids = route_map.ids_of(app, demo.ELM, "Leo Lopez")
    visitors = route_map.people(app)
    at = {(person, face): standing_at(visitors[person], face) for person in PEOPLE for face in route_map.FACES}
    wrong = []
    for route in routes:
        for person in PEOPLE:
            visitor = at[person, route.face]
            for method in sorted(route.methods):
                plain = _answer(app, visitor, route, method, ids, {})
                if not _is_as_declared(plain, route, person, method):
                    wrong.append(
                        f"{method} {route}, {person}: {plain.status}, declared {route.expected(person, method)}"
                    )
                for extra in extras if method in ("GET", "POST") else ():  # the others are answered without a view, or as GET is
                    more = _answer(app, visitor, route, method, ids, extra)
                    if _outcome(more) != _outcome(plain):
                        wrong.append(f"{method} {route}, {person}: another answer with {sorted(extra)}")
    return wrong


def _answer(
    app: Flask, visitor: Visitor, route: Route, method: str, ids: Ids, extra: dict[str, object]
) -> TestResponse:
    """Asked from a copy of the browser, and undone, so that no cell depends on another."""
    with undone(app):
        sent = {key: value for key, value in extra.items() if key != "data"}
        if method == "POST":  # what the page's own form sends is no addition
            sent["data"] = {
                name: value for name, value in dict(extra.get("data", {})).items() if name not in route.form
            }
        return ask(visitor.at(visitor.base_url), route, method, ids, **sent)


def _is_as_declared(answer: TestResponse, route: Route, person: str, method: str) -> bool:
    expected = route.expected(person, method)
    leads_out = answer.headers.get("Location", "").partition("?")[0].endswith("/sign-in")
    if method == "OPTIONS" and route.gate[person] == "in":
        allowed = {each.strip() for each in answer.headers.get("Allow", "").split(",")}
        return answer.status_code == 200 and not answer.data and allowed >= route.methods
    if method == "HEAD" and answer.data:
        return False
    if expected in ("sign-in", "out"):
        return answer.status_code == 303 and leads_out
    return answer.status_code == expected and not leads_out


def _outcome(answer: TestResponse) -> tuple[object, ...]:
    """Status, page and where it leads; without a new row's id, and the query that sign-in leads back to."""
    status, _headers, body = seen(answer, {})
    if "Location" not in answer.headers:
        return status, body
    parts = answer.headers["Location"].partition("?")[0].split("/")
    return status, [part for part in parts if len(part) != 36]


def _extras(app: Flask) -> list[dict[str, object]]:
    """What somebody adds to a request who wants to be elsewhere or someone else."""
    oak, elm = route_map.ids_of(app, demo.OAK, "Nina Lopez"), route_map.ids_of(app, demo.ELM, "Zoe Haddad")
    fields = {
        **{"clinic_id": oak["clinic"], "clinic": demo.OAK, "tenant": demo.OAK, "tenant_id": oak["clinic"]},
        **{"patient_id": oak["patient"], "portal_user_id": oak["portal_user"], "user_id": elm["portal_user"]},
        **{"role": "admin", "is_admin": "1", "open_page": "1", "_method": "DELETE"},
    }
    headers = {
        **{"X-Tenant-ID": demo.OAK, "X-Clinic-ID": str(oak["clinic"]), "X-User-ID": str(elm["portal_user"])},
        **{"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "PUT", "X-Method-Override": "POST"},
        **{"X-Forwarded-Host": f"{demo.OAK}.localhost:8000", "X-Forwarded-User": "ana@elm.example"},
        **{"X-Original-URL": f"/{demo.OAK}/patients", "X-Rewrite-URL": "/", "X-Remote-User": "ana@elm.example"},
        **{"Forwarded": f"host={demo.OAK}.localhost:8000", "X-Forwarded-Prefix": f"/{demo.OAK}"},
    }
    sent = {name: str(value) for name, value in fields.items()}
    return [{"query": sent, "data": sent, "headers": headers}]


def test_every_route_is_declared_and_every_declared_route_is_there(app: Flask) -> None:
    assert route_map.gaps(app, DECLARED) == []


def test_every_page_is_open_on_purpose_or_closed(app: Flask) -> None:
    assert unguarded(app, DECLARED) == []


@pytest.mark.long
def test_every_cell_is_as_declared_and_additions_to_a_request_change_none(app: Flask) -> None:
    """A clinic or a patient named in a form, a query or a header moves nobody; a role named there raises nobody."""
    assert not (wrong := wrong_cells(app, DECLARED, _extras(app))), "\n".join(wrong)


def test_json_is_no_form(app: Flask) -> None:
    """Values of any kind in place of text end in the form's own refusal, never in an error of ours."""
    route_map.prepare(app, demo.ELM)
    ids, visitors = route_map.ids_of(app, demo.ELM, "Leo Lopez"), route_map.people(app)
    for route in (route for route in DECLARED if route.form):
        visitor = standing_at(visitors["maria" if route.face == "portal" else "ana"], route.face)
        token = {"X-CSRFToken": visitor.token}
        with undone(app):
            empty = visitor.at(visitor.base_url).post(route.path(ids), {})
        for value in ("text", 7, None, {"a": 1}, [1, None]):
            for body in ({name: value for name in route.form}, [value]):
                with undone(app):
                    visitor_now = visitor.at(visitor.base_url)
                    answer = visitor_now.client.post(
                        route.path(ids), base_url=visitor.base_url, json=body, headers=token
                    )
                    assert _outcome(answer) == _outcome(empty), (str(route), body)


@pytest.mark.parametrize(
    ("face", "rule"), [("admin", "/<portal_slug:slug>/secrets"), ("<portal_slug:slug>", "/secrets")]
)
def test_planted_a_page_nobody_declared(cluster: Cluster, face: str, rule: str) -> None:
    app = create_app(cluster.settings)
    app.add_url_rule(rule, "secrets", lambda slug: "", subdomain=face)
    with pytest.raises(AssertionError):
        test_every_route_is_declared_and_every_declared_route_is_there(app)
    with pytest.raises(AssertionError):
        test_every_page_is_open_on_purpose_or_closed(app)


def test_planted_a_declared_page_is_gone(app: Flask) -> None:
    gone = Route("portal", "/gone", DECLARED[0].gate, "family", {"GET": 200})
    assert route_map.gaps(app, [*DECLARED, gone]) == ["declared and gone: portal /gone"]


def test_planted_a_page_without_its_right(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clinic Options opened to everybody on the staff."""
    monkeypatch.setattr(app.view_functions["admin.clinic_options"], "needs", frozenset())
    with pytest.raises(AssertionError):
        test_every_page_is_open_on_purpose_or_closed(app)
    options = [route for route in DECLARED if route.rule == "/clinic-options"]
    assert len(wrong_cells(app, options)) == 9  # Ben, Fay and Tom, by three methods


def test_planted_a_family_page_marked_open(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.view_functions["portal.profile"], "open_page", True, raising=False)
    with pytest.raises(AssertionError):
        test_every_page_is_open_on_purpose_or_closed(app)


def test_planted_a_guard_that_believes_a_header(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says that they are Ana, is: seen, because Ben's answer changes with the header."""
    may = StaffPerson.may

    def believing(person: StaffPerson, right: Right) -> bool:
        return "X-Remote-User" in request.headers or may(person, right)

    monkeypatch.setattr(StaffPerson, "may", believing)
    options = [route for route in DECLARED if route.rule == "/clinic-options"]
    found = wrong_cells(app, options, _extras(app))
    assert {line.partition(":")[0] for line in found} >= {
        "GET admin /clinic-options, ben",
        "GET admin /clinic-options, fay",
        "GET admin /clinic-options, tom",
    }
