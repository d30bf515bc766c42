"""T06: inside one clinic, another family's records, access that was ended, and what the clinic stopped showing.

Lost if it fails: a divorced parent, a former carer or a curious neighbour goes on reading a child's records, by an old
tab, a kept address, a download or a mailed link. Each ending works on the next request, in every channel, as if the
thing were not there; and the database refuses by itself, asked directly as `portico_portal`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import psycopg
import pytest
from flask import Flask

from clinic import demo, document_types, documents, portal_home, portal_users
from clinic.portal_home import PatientSeen, Seen
from tenancy import provisioning
from tenancy.database import db
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import Ids, ask
from tests.inside import inside, path_of, send_link
from tests.visitor import Visitor

PORTAL = [route for route in route_map.declared() if route.face == "portal" and "GET" in route.answers]
ABOUT_A_PATIENT = [route for route in PORTAL if "patient_id" in route.ids]
ALL = {route.rule.rpartition("patient_id>")[2] for route in ABOUT_A_PATIENT}
BILLING = {"/billing", "/invoices/<uuid:invoice_id>"}
DOCUMENT = {rule for rule in ALL if "document_id" in rule}
TABLES = ("documents", "appointments", "account_lines", "invoices")


@dataclass
class Elm:
    """Elm Street, with Maria at the portal, Ana at the desk, and the database's own door for portal users."""

    app: Flask
    connection: whole_database.Connection
    maria: Visitor
    ana: Visitor
    leo: Ids
    mia: Ids
    zoe: Ids

    def desk(self, path: str, **form: Any) -> None:
        answer = self.ana.post(f"/{demo.ELM}{path}", form)
        assert answer.status_code == 303, answer.text
        self.ana.get(answer.headers["Location"])

    def save_settings(self, *, types: list[object] = (), balance: bool = True, invoices: bool = True) -> None:  # type: ignore[assignment]
        shown = {"document_types": [str(each) for each in types or (self.leo["type"], self.zoe["other_type"])]}
        ticked = {name: "y" for name, on in (("shows_balance", balance), ("shows_invoices", invoices)) if on}
        ticked |= {"allows_messages": "y", "allows_appointment_requests": "y"}
        self.desk("/clinic-options/portal-settings", slug=demo.ELM, reply_to="desk@elm.example", **shown, **ticked)


@pytest.fixture
def elm_street(cluster: Cluster, committed_app: Flask) -> Iterator[Elm]:
    app = committed_app
    route_map.write_each_other(app, demo.ELM)
    leo, mia, zoe = (route_map.ids_of(app, demo.ELM, name) for name in ("Leo Lopez", "Mia Lopez", "Zoe Haddad"))
    with inside(app, demo.ELM):
        shown = [each.id for each in document_types.listed() if each.is_visible_on_portal]
        zoe["other_type"] = next(each for each in shown if each != leo["type"])
    maria = Visitor(app, f"http://{demo.ELM}.localhost:8000").sign_in("maria@family.example")
    ana = Visitor(app, "http://admin.localhost:8000").sign_in("ana@elm.example", f"/{demo.ELM}")
    with whole_database.opened(cluster, app) as connection:
        yield Elm(app, connection, maria, ana, leo, mia, zoe)


def read(visitor: Visitor, ids: Ids) -> set[str]:
    """The parts of a patient's portal that this person may open, by looking, by asking whether, by resuming a download."""
    found = set()
    for route in ABOUT_A_PATIENT:
        statuses = {
            ask(visitor, route, "GET", ids).status_code,
            ask(visitor, route, "HEAD", ids).status_code,
            ask(visitor, route, "GET", ids, headers={"Range": "bytes=9-"}).status_code,
        }
        assert statuses in ({200}, {200, 206}, {404}), (str(route), statuses)
        if 200 in statuses:
            found.add(route.rule.rpartition("patient_id>")[2])
    return found


def rows(elm: Elm, ids: Ids) -> dict[str, int]:
    """What Maria reads of a patient where no view stands between: SQL, as the role that her requests take."""
    url, whose = elm.app.config["PORTICO"].database_url.replace("+psycopg", ""), {"patient": ids["patient"]}
    with elm.connection.execute("SELECT id FROM documents WHERE patient_id = %(patient)s", whose) as kept:
        whose["documents"] = [row[0] for row in kept]
    queries = {table: f"SELECT count(*) FROM {table} WHERE patient_id = %(patient)s" for table in TABLES}
    queries["patients"] = "SELECT count(*) FROM patients WHERE id = %(patient)s"
    queries["document_contents"] = "SELECT count(*) FROM document_contents WHERE document_id = ANY (%(documents)s)"
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL ROLE portico_portal")
        connection.execute(f"SET LOCAL app.clinic_id = '{ids['clinic']}'".encode())
        connection.execute(f"SET LOCAL app.portal_user_id = '{elm.leo['portal_user']}'".encode())
        return {table: connection.execute(query.encode(), whose).fetchone()[0] for table, query in queries.items()}  # type: ignore[index]


def nothing_of(elm: Elm, ids: Ids) -> None:
    assert read(elm.maria, ids) == set()
    assert str(ids["patient"]) not in elm.maria.read("/")
    assert not any(rows(elm, ids).values()), rows(elm, ids)


def all_of(elm: Elm, ids: Ids) -> None:
    assert read(elm.maria, ids) == ALL
    assert str(ids["patient"]) in elm.maria.read("/")
    assert all(rows(elm, ids).values())


def _update(columns: str) -> Callable[[Elm], None]:
    return lambda elm: whole_database.plant(
        elm.connection, f"UPDATE portal_access SET {columns} WHERE id = '{elm.leo['access']}'"
    )


def test_another_familys_child(elm_street: Elm) -> None:
    nothing_of(elm_street, elm_street.zoe)


ENDINGS: dict[str, Callable[[Elm], None]] = {
    "unlinked at the patient": lambda elm: elm.desk(
        f"/patients/{elm.leo['patient']}/portal-access/{elm.leo['access']}/unlinking"
    ),
    "unlinked at the portal user": lambda elm: elm.desk(
        f"/portal-users/{elm.leo['portal_user']}/access/{elm.leo['access']}/unlinking"
    ),
    "agreed end is over": _update("ends_at = now() - interval '1 second'"),
    "agreed beginning is to come": _update("starts_at = now() + interval '1 hour'"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_access_that_ended_is_gone_on_the_next_request(elm_street: Elm, ending: str) -> None:
    all_of(elm_street, elm_street.leo)
    ENDINGS[ending](elm_street)
    nothing_of(elm_street, elm_street.leo)
    all_of(elm_street, elm_street.mia)


def test_access_to_records_or_to_billing_alone(elm_street: Elm) -> None:
    _update("billing = false")(elm_street)
    assert read(elm_street.maria, elm_street.leo) == ALL - BILLING
    assert {table for table, seen in rows(elm_street, elm_street.leo).items() if not seen} == {
        "account_lines",
        "invoices",
    }
    _update("billing = true, records = false")(elm_street)
    assert read(elm_street.maria, elm_street.leo) == {"/"} | BILLING
    seen = {table for table, count in rows(elm_street, elm_street.leo).items() if count}
    assert seen == {"patients", "account_lines", "invoices"}


def test_a_deactivated_persons_open_tab_posts_nothing(elm_street: Elm) -> None:
    """And the letter with a new password that they asked for just before is worth nothing either."""
    secret = send_link(elm_street.app, demo.ELM, Purpose.PASSWORD_RESET)
    elm_street.desk(f"/portal-users/{elm_street.leo['portal_user']}/deactivation")
    before, tab = whole_database.fingerprints(elm_street.connection), elm_street.maria
    for path, form in (("/profile", {"name": "Mallory", "phone": ""}), ("/profile/password", {"password": "x" * 20})):
        answer = tab.at(tab.base_url).post(path, form)
        assert answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in")
    for route in ABOUT_A_PATIENT:
        assert ask(tab.at(tab.base_url), route, "GET", elm_street.leo).status_code == 303
    mailed = Visitor(elm_street.app, tab.base_url)
    mailed.get(path_of(demo.ELM, Purpose.PASSWORD_RESET, secret))
    assert mailed.get("/link/password-reset").status_code == 410
    assert mailed.post("/link/password-reset", {"password": "six calm yellow boats"}).status_code in (400, 410)
    assert whole_database.fingerprints(elm_street.connection) == before


def test_an_invitation_is_worth_nothing_once_access_is_unlinked(elm_street: Elm) -> None:
    sam = route_map.ids_of(elm_street.app, demo.ELM, "Sam Grant")
    secret = send_link(elm_street.app, demo.ELM, Purpose.INVITATION)
    grace = Visitor(elm_street.app, elm_street.maria.base_url)
    grace.get(path_of(demo.ELM, Purpose.INVITATION, secret))
    assert grace.get("/link/invitation").status_code == 200
    elm_street.desk(f"/patients/{sam['patient']}/portal-access/{sam['access']}/unlinking")
    chosen = {"birth_on": "2019-11-05", "password": "six calm yellow boats"}
    assert grace.post("/link/invitation", chosen).status_code == 410
    assert grace.get("/").headers["Location"].startswith("/sign-in")


def a_hidden_type_is_gone(elm: Elm) -> None:
    title, page = "Plan of care, autumn", f"/patients/{elm.leo['patient']}/documents"
    assert title in elm.maria.read(page) and title in elm.maria.read("/")
    plan, document = elm.connection.execute(
        "SELECT document_type_id, id FROM documents WHERE title = %s AND patient_id = %s", (title, elm.leo["patient"])
    ).fetchall()[0]
    (remaining,) = {elm.leo["type"], elm.zoe["other_type"]} - {plan}
    ids, before = {**elm.leo, "document": document, "type": remaining}, rows(elm, elm.leo)
    assert read(elm.maria, ids) == ALL
    elm.save_settings(types=[remaining])
    assert read(elm.maria, ids) == ALL - DOCUMENT
    assert title not in elm.maria.read(page) and title not in elm.maria.read("/")
    assert elm.maria.get(page, query_string={"type": str(plan)}).status_code == 422
    after = rows(elm, elm.leo)
    assert (after["documents"], after["document_contents"]) == (before["documents"] - 1,) * 2


def test_a_type_that_the_clinic_hides_is_gone(elm_street: Elm) -> None:
    a_hidden_type_is_gone(elm_street)


def test_a_document_held_back_is_gone_until_released(elm_street: Elm) -> None:
    here = f"/patients/{elm_street.leo['patient']}/documents/{elm_street.leo['document']}"
    elm_street.desk(f"{here}/hold", reason="The parents asked us to talk first")
    assert read(elm_street.maria, elm_street.leo) == ALL - DOCUMENT
    elm_street.desk(f"{here}/release")
    all_of(elm_street, elm_street.leo)


def test_balance_and_invoices_go_when_the_clinic_hides_them(elm_street: Elm) -> None:
    elm, billing = elm_street, f"/patients/{elm_street.leo['patient']}/billing"
    assert "Workbook" in elm.maria.read(billing)  # a charge on no invoice
    elm.save_settings(invoices=False)
    assert read(elm.maria, elm.leo) == ALL - {"/invoices/<uuid:invoice_id>"}
    assert (rows(elm, elm.leo)["invoices"], str(elm.leo["invoice"]) in elm.maria.read(billing)) == (0, False)
    elm.save_settings(balance=False)
    page = elm.maria.read(billing)
    assert "Workbook" not in page and str(elm.leo["invoice"]) in page
    elm.save_settings(balance=False, invoices=False)
    nothing_owed(elm)


def test_without_payment_processing_nothing_is_owed(elm_street: Elm) -> None:
    with inside(elm_street.app, demo.ELM, Role.OPERATOR):
        provisioning.set_payment_processing(False)
    nothing_owed(elm_street)


def nothing_owed(elm: Elm) -> None:
    assert read(elm.maria, elm.leo) == ALL - BILLING
    assert "$" not in elm.maria.read("/") and "/billing" not in elm.maria.read(f"/patients/{elm.leo['patient']}/")
    seen = rows(elm, elm.leo)
    assert (seen["account_lines"], seen["invoices"]) == (0, 0)


def test_a_discharged_patient_keeps_what_was_shown(elm_street: Elm) -> None:
    details = {"name": "Leo Lopez", "birth_on": "2018-03-14", "status": "inactive"}
    elm_street.desk(f"/patients/{elm_street.leo['patient']}/editing", **details)
    all_of(elm_street, elm_street.leo)


def _row_security_down(elm: Elm) -> None:
    policies = "SELECT tablename, policyname FROM pg_policies WHERE roles = '{portico_portal}' AND cmd = 'SELECT'"
    for table, policy in elm.connection.execute(policies).fetchall():
        if table in (*TABLES, "patients", "document_contents"):
            whole_database.plant(
                elm.connection, f"ALTER POLICY {policy} ON {table} USING (clinic_id = app.clinic_id())"
            )


def _views_down(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"name": "somebody", "nickname": None, "relationship": "parent"}  # and everything else is true

    def anybody(patient_id: Any) -> Seen:
        values = {each.name: known.get(each.name, True) for each in fields(PatientSeen)}
        return Seen(PatientSeen(**values | {"id": patient_id}), [])

    monkeypatch.setattr(portal_home, "see", anybody)


def test_planted_row_security_is_down(elm_street: Elm) -> None:
    """Seen in SQL at once, while the views hold by themselves."""
    _row_security_down(elm_street)
    with pytest.raises(AssertionError):
        nothing_of(elm_street, elm_street.zoe)
    assert read(elm_street.maria, elm_street.zoe) == set()


def test_planted_the_views_are_down(elm_street: Elm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen at the pages, while row security keeps everything out of them by itself."""
    _views_down(monkeypatch)
    with pytest.raises(AssertionError):
        nothing_of(elm_street, elm_street.zoe)
    assert not read(elm_street.maria, elm_street.zoe) & {*DOCUMENT, "/invoices/<uuid:invoice_id>"}
    assert not any(rows(elm_street, elm_street.zoe).values())


def test_planted_unlinking_is_forgotten(elm_street: Elm, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(access_id: Any, reason: str = "") -> Any:
        return db.session.get(portal_users.PortalAccess, (elm_street.leo["clinic"], access_id))

    monkeypatch.setattr(portal_users, "unlink", forgetful)
    with pytest.raises(AssertionError, match=r"== set\(\)"):
        test_access_that_ended_is_gone_on_the_next_request(elm_street, "unlinked at the patient")


def test_planted_hidden_types_are_not_asked_about(elm_street: Elm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting is saved, and neither wall reads it."""
    whole_database.plant(elm_street.connection, "ALTER POLICY shown ON document_types USING (true)")
    monkeypatch.setattr(documents, "get_shown", lambda document_id, _patient_id: documents.get(document_id))
    with pytest.raises(AssertionError, match="/file"):
        a_hidden_type_is_gone(elm_street)
