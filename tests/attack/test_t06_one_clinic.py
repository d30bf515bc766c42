"""T06: inside one clinic, another family's records, access that was ended, and what the clinic stopped showing.

Lost if it fails: a divorced parent, a former carer or a curious neighbour goes on reading a child's records, by an old
tab, a kept address, a download or a mailed link. Each ending works on the next request, in every channel, as if the
thing were not there; and the database refuses by itself, asked directly as `portico_portal`.
"""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import access_holds, actors, conversations, demo, documents, portal_users
from clinic.actors import Actor, ActorKind
from clinic.audit import AuditEntry
from clinic.conversations import Written
from tenancy.database import db
from tenancy.errors import Conflict
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.attack.one_clinic import (
    ABOUT_A_PATIENT,
    ALL,
    DOCUMENT,
    SITUATIONS,
    TABLES,
    Elm,
    Situation,
    open_to,
    rows,
    stand,
)
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import ask
from tests.inside import acting, inside, path_of, send_link
from tests.one_connection import undone
from tests.visitor import Visitor

SIGN_IN_FIRST = (303, 409)  # 409: the form that was not sent is kept for after


@pytest.fixture
def elm(app: Flask) -> Elm:
    return stand(app)


@pytest.fixture
def committed_elm(committed_app: Flask) -> Elm:
    return stand(committed_app)


def both_walls(elm: Elm, situation: Situation) -> None:
    """In a situation: Leo's pages and rows that are left, Mia's as before; afterwards nothing of it remains."""
    with undone(elm.app):
        situation.come_about(elm)
        assert open_to(elm.maria, elm.leo) == ALL - situation.pages
        assert rows(elm, elm.leo) == TABLES - situation.tables
        home = elm.maria.read("/")
        assert (str(elm.leo["patient"]) in home) is (situation.pages != ALL) and str(elm.mia["patient"]) in home


def test_another_familys_child(elm: Elm) -> None:
    assert open_to(elm.maria, elm.zoe) == set() and rows(elm, elm.zoe) == set()
    assert str(elm.zoe["patient"]) not in elm.maria.read("/")
    assert open_to(elm.maria, elm.mia) == ALL and rows(elm, elm.mia) == TABLES


def test_each_ending_and_each_switch_works_on_the_next_request(elm: Elm, subtests: pytest.Subtests) -> None:
    for name, situation in SITUATIONS.items():
        with subtests.test(name):
            both_walls(elm, situation)


def test_a_deactivated_persons_open_tab_posts_nothing(cluster: Cluster, committed_elm: Elm) -> None:
    """And the letter with a new password that they asked for just before is worth nothing either."""
    elm = committed_elm
    secret = send_link(elm.app, demo.ELM, Purpose.PASSWORD_RESET)
    elm.desk(f"/portal-users/{elm.leo['portal_user']}/deactivation")
    with whole_database.opened(cluster, elm.app) as connection:
        before, tab = whole_database.fingerprints(connection), elm.maria
        for path, form in (("/profile", {"name": "Mallory", "phone": ""}), ("/profile/password", {"password": "x" * 20})):
            assert tab.at(tab.base_url).post(path, form).status_code in SIGN_IN_FIRST
        for route in ABOUT_A_PATIENT:
            for method in route.answers:
                answer = ask(tab.at(tab.base_url), route, method, elm.leo)
                assert answer.status_code in SIGN_IN_FIRST and "Lopez" not in answer.text
        mailed = Visitor(elm.app, tab.base_url)
        mailed.get(path_of(demo.ELM, Purpose.PASSWORD_RESET, secret))
        assert mailed.get("/link/password-reset").status_code == 410
        assert mailed.post("/link/password-reset", {"password": "six calm yellow boats"}).status_code in (400, 410)
        assert whole_database.fingerprints(connection) == before


def _unlink(elm: Elm, sam: route_map.Ids) -> None:
    elm.desk(f"/patients/{sam['patient']}/portal-access/{sam['access']}/unlinking")


def _block(elm: Elm, sam: route_map.Ids) -> None:
    elm.desk(f"/patients/{sam['patient']}/custody-blocks/new", email="grace@family.example", reason="A court said so")


def _hold(elm: Elm, sam: route_map.Ids) -> None:
    elm.desk(f"/patients/{sam['patient']}/portal-access/{sam['access']}/hold", hold_reason="Papers awaited")


def _over(elm: Elm, sam: route_map.Ids) -> None:
    with inside(elm.app, demo.ELM):
        ended = text("UPDATE portal_access SET ends_at = app.now() - interval '1 second' WHERE id = :id")
        db.session.execute(ended, {"id": sam["access"]})


@pytest.mark.parametrize("end", [_unlink, _block, _hold, _over])
def test_an_invitation_is_worth_nothing_once_access_is_gone(elm: Elm, end: Any) -> None:
    sam = route_map.ids_of(elm.app, demo.ELM, "Sam Grant")
    secret = send_link(elm.app, demo.ELM, Purpose.INVITATION)
    grace = Visitor(elm.app, elm.maria.base_url)
    grace.get(path_of(demo.ELM, Purpose.INVITATION, secret))
    assert grace.get("/link/invitation").status_code == 200
    end(elm, sam)
    chosen = {"birth_on": "2019-11-05", "password": "six calm yellow boats"}
    assert grace.post("/link/invitation", chosen).status_code == 410
    assert grace.get("/").headers["Location"].startswith("/sign-in")


def test_nothing_is_mailed_or_written_to_somebody_who_is_kept_out(elm: Elm) -> None:
    """Staff are told that it could not be read, in place of leaving it lie where a lifted hold would show it."""
    with inside(elm.app, demo.ELM), acting("ana@elm.example"):
        access_holds.hold(elm.leo["access"], "Papers awaited")
        with pytest.raises(Conflict):
            conversations.answer(elm.leo["conversation"], Written("For you alone"))
        with pytest.raises(Conflict):
            conversations.write_to(elm.leo["portal_user"], elm.leo["patient"], "News", Written("For you alone"))


def test_a_denied_page_is_recorded_with_who_asked_for_what(elm: Elm) -> None:
    elm.desk(f"/patients/{elm.leo['patient']}/portal-access/{elm.leo['access']}/hold", hold_reason="Papers awaited")
    assert elm.maria.get(f"/patients/{elm.leo['patient']}/documents").status_code == 404
    with inside(elm.app, demo.ELM):
        denied = select(AuditEntry).where(AuditEntry.event == "access.refused", AuditEntry.actor_id == elm.leo["portal_user"])
        assert str(elm.leo["patient"]) in str(db.session.scalars(denied).one().details)


def a_hidden_type_is_gone(elm: Elm) -> None:
    title, page = "Plan of care, autumn", f"/patients/{elm.leo['patient']}/documents"
    assert title in elm.maria.read(page) and title in elm.maria.read("/")
    with inside(elm.app, demo.ELM):
        found = text("SELECT document_type_id, id FROM documents WHERE title = :title AND patient_id = :patient")
        plan, document = db.session.execute(found, {"title": title, "patient": elm.leo["patient"]}).one()
    (remaining,) = {elm.leo["type"], elm.zoe["other_type"]} - {plan}
    ids = {**elm.leo, "document": document, "type": remaining}
    assert open_to(elm.maria, ids) == ALL
    elm.save_settings(types=(remaining,))
    assert open_to(elm.maria, ids) == ALL - DOCUMENT
    assert title not in elm.maria.read(page) and title not in elm.maria.read("/")
    assert elm.maria.get(page, query_string={"type": str(plan)}).status_code == 422
    me = Actor(ActorKind.PORTAL_USER, elm.leo["portal_user"])
    with inside(elm.app, demo.ELM, Role.PORTAL, me.id), actors.acting(me):
        for table, column in (("documents", "id"), ("document_contents", "document_id")):
            count = text(f"SELECT count(*) FROM {table} WHERE {column} = :id")
            assert db.session.scalars(count, {"id": document}).one() == 0


def test_a_type_that_the_clinic_hides_is_gone(elm: Elm) -> None:
    a_hidden_type_is_gone(elm)


def test_a_document_held_back_is_gone_until_released(elm: Elm) -> None:
    here = f"/patients/{elm.leo['patient']}/documents/{elm.leo['document']}"
    elm.desk(f"{here}/hold", reason="The parents asked us to talk first")
    assert open_to(elm.maria, elm.leo) == ALL - DOCUMENT
    elm.desk(f"{here}/release")
    assert open_to(elm.maria, elm.leo) == ALL


def test_balance_and_invoices_go_when_the_clinic_hides_them(elm: Elm) -> None:
    billing = f"/patients/{elm.leo['patient']}/billing"
    assert "Workbook" in elm.maria.read(billing)  # a charge on no invoice
    elm.save_settings(without=("shows_invoices",))
    assert str(elm.leo["invoice"]) not in elm.maria.read(billing)
    elm.save_settings(without=("shows_balance",))
    page = elm.maria.read(billing)
    assert "Workbook" not in page and str(elm.leo["invoice"]) in page
    elm.save_settings(without=("shows_balance", "shows_invoices"))
    assert "$" not in elm.maria.read("/") and "/billing" not in elm.maria.read(f"/patients/{elm.leo['patient']}/")


def test_planted_unlinking_is_forgotten(elm: Elm, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(access_id: Any, reason: str = "") -> Any:
        return db.session.get(portal_users.PortalAccess, (elm.leo["clinic"], access_id))

    monkeypatch.setattr(portal_users, "unlink", forgetful)
    with pytest.raises(AssertionError):
        both_walls(elm, SITUATIONS["unlinked at the patient"])


@pytest.mark.parametrize("name", ["on hold", "a custody block against the contact", "of age"])
def test_planted_a_rule_that_only_the_pages_know(cluster: Cluster, committed_elm: Elm, name: str) -> None:
    """Row security without holds and ages: seen in SQL, while the pages hold by themselves."""
    with whole_database.opened(cluster, committed_elm.app) as connection:
        whole_database.plant(
            connection,
            "CREATE OR REPLACE FUNCTION app.live_access() "
            "RETURNS TABLE (patient_id uuid, records boolean, billing boolean, at_any_age boolean) STABLE LANGUAGE sql "
            "AS $$ SELECT patient_id, records, billing, true FROM public.portal_access "
            "WHERE clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id() AND ended_at IS NULL $$",
        )
    SITUATIONS[name].come_about(committed_elm)
    assert rows(committed_elm, committed_elm.leo) == TABLES
    assert str(committed_elm.leo["patient"]) not in committed_elm.maria.read("/") or name == "of age"
    assert committed_elm.maria.get(f"/patients/{committed_elm.leo['patient']}/documents").status_code == 404


def test_planted_hidden_types_are_not_asked_about(
    cluster: Cluster, committed_elm: Elm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is saved, and neither wall reads it."""
    with whole_database.opened(cluster, committed_elm.app) as connection:
        whole_database.plant(connection, "ALTER POLICY shown ON document_types USING (true)")
    monkeypatch.setattr(documents, "get_shown", lambda document_id, _patient_id: documents.get(document_id))
    answer = committed_elm.maria.get
    here = f"/patients/{committed_elm.leo['patient']}/documents/{committed_elm.leo['document']}/file"
    committed_elm.save_settings(types=(committed_elm.zoe["other_type"],))
    assert answer(here).status_code == 200
