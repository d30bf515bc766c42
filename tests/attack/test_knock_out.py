"""The two-layer knock-out: each of the portal's two walls by itself keeps everything in; without both, it is seen.

Lost if it fails: one mistake, in one view or in one policy, is enough for a family to read another family's records.
Row security is knocked out by making every policy of `portico_portal` the clinic's alone; the views, by taking away each
domain question's own check of whose it is and whether it is shown. The portal's routes are then asked for what is
somebody else's: it must be answered as what is not there, bring nothing along, and change nothing.
"""

import ast
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask, request
from sqlalchemy import select

from clinic import appointment_requests, conversations, documents, invoices, portal_home, portal_users, sessions
from clinic.conversations import Conversation, MessageAttachment, questions, verbs
from clinic.conversations.questions import AttachmentRow, ConversationRow
from clinic.invoices import Invoice
from clinic.patients import Patient
from clinic.portal_home import PatientAtHome, PatientSeen, Seen
from clinic.portal_settings import PortalSettings
from clinic.sessions import SignInSession
from portal_app import conversations as conversation_pages
from tenancy import clock
from tenancy.database import db, transaction
from tenancy.errors import NotFound
from tests.attack import one_clinic
from tests.attack.one_clinic import ALL, SITUATIONS, open_to
from tests.attack.unchecked_paying import everybody_wishes, the_payers_verbs_check_nothing
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import Ids, Route, ask, seen
from tests.house.test_neighbours import UNSEEN, Asker, House, differences
from tests.house.test_neighbours import house as house  # the fixture
from tests.one_connection import rolled_back, undone

pytestmark = pytest.mark.slow

NOW = {"month": f"{clock.now() - timedelta(days=1):%Y-%m}"}  # a statement of long ago says the same of everybody
PORTAL = [
    replace(route, given={name: NOW.get(name, value) for name, value in route.given.items()})
    for route in route_map.declared()
    if route.face == "portal" and route.gate_name == "family"
]
# What portal pages ask of the domain: with a check of its own, which is knocked out below …
CHECKING = {
    *("portal_home.patients", "portal_home.at_home", "portal_home.see", "portal_home.see_records"),
    *("portal_home.see_messages", "portal_home.see_appointment_requests", "portal_home.see_billing"),
    *("documents.get_shown", "documents.shown_of_patient", "invoices.of_patient", "invoices.get_of_patient"),
    *("conversations.get", "conversations.of_portal_user", "conversations.get_attachment", "conversations.ask"),
    *("conversations.reply", "appointment_requests.get", "appointment_requests.of_portal_user"),
    *("appointment_requests.ask", "appointment_requests.withdraw", "sessions.end_own", "sessions.of_holder"),
    *("payments.of_id", "payments.unfinished_of_patient", "payments.find_mine_live", "payments.begin", "billing_papers.receipt"),
    *("payments.patient_of_mine", "cards.mine", "cards.remove", "autopay.mine", "autopay.choose", "autopay.stop_mine"),
}
# … or about something that one of those has let pass, or about the asker alone.
AFTER_A_CHECK = {
    *("account.balance_of_patient", "account.lines_of_patient", "account.months_of_patient", "appointments.of_patient", "documents.content_of"),
    *("invoices.allocated_from", "invoices.being_paid", "invoices.payable_of"),
    *("conversations.attachments_of", "conversations.content_of", "conversations.messages_of"),
    *("conversations.read_by_family", "document_types.listed", "sessions.find_holder", "sessions.find_live"),
    *("payments.called_off", "payments.find_account", "payments.get", "payments.given_back", "payments.look_soon"),
    *("payments.may_ask_again", "payments.opened", "payments.order_of", "payments.refused"),
    *("billing_papers.invoice", "billing_papers.method_of", "billing_papers.month_of", "billing_papers.printed"),
    *("billing_papers.statement", "billing_settings.allows_partial", "billing_settings.autopay_notice_days"),
    *("sessions.sign_out_everywhere", "portal_users.change_self", "portal_users.find_signed_in", "portal_users.get"),
}
# Leads back to the same page with other words, whether there was something to stop or not: what it stopped shows in the table.
ENDING = "portal /patients/<uuid:patient_id>/autopay/ending"
MODULES = {each.partition(".")[0] for each in CHECKING | AFTER_A_CHECK}


def row_security_is_the_clinics_alone(connection: whole_database.Connection) -> None:
    policies = "SELECT tablename, policyname, cmd FROM pg_policies WHERE roles = '{portico_portal}'"
    for table, policy, command in connection.execute(policies).fetchall():
        using = "USING (clinic_id = app.clinic_id())" if command != "INSERT" else ""
        check = "WITH CHECK (clinic_id = app.clinic_id())" if command not in ("SELECT", "DELETE") else ""
        whole_database.plant(connection, f"ALTER POLICY {policy} ON {table} {using} {check}")


# The views without their checks --------------------------------------------------------------------------------------


def _anybody(patient_id: UUID) -> PatientSeen:
    known = {"id": patient_id, "name": "somebody", "nickname": None, "relationship": "parent"}  # and all else is true
    return PatientSeen(**{each.name: known.get(each.name, True) for each in fields(PatientSeen)})


def _everybody() -> list[PatientSeen]:
    """Every patient that the database gives."""
    return [replace(_anybody(each.id), name=each.name) for each in db.session.execute(select(Patient.id, Patient.name))]


def _at_home() -> list[PatientAtHome]:
    return [
        PatientAtHome(each, None, None, documents.of_patient(each.id), 0, None)
        for each in (*_everybody(), *_asked_for(_everybody()))
    ]


def _asked_for(listed: list[PatientSeen]) -> list[PatientSeen]:
    """The patient of the address, where nobody of the list is it: the overview looks there."""
    asked = (request.view_args or {}).get("patient_id")
    return [_anybody(asked)] if asked and asked not in {each.id for each in listed} else []


def _conversation(conversation_id: UUID) -> ConversationRow:
    row = db.session.execute(questions._listed(by_family=True).where(Conversation.id == conversation_id)).one_or_none()
    if row is None:
        raise NotFound("conversation")
    return ConversationRow(*row)


def _conversations(patient_id: UUID) -> list[ConversationRow]:
    found = db.session.execute(questions._listed(by_family=True).where(Conversation.patient_id == patient_id))
    return [ConversationRow(*row) for row in found]


def _attachment(_conversation: ConversationRow, attachment_id: UUID) -> AttachmentRow:
    columns = questions._ATTACHMENTS.selected_columns
    row = db.session.execute(select(*columns).where(MessageAttachment.id == attachment_id)).one_or_none()
    if row is None:
        raise NotFound("attachment")
    return AttachmentRow(*row)


def _lock(conversation_id: UUID) -> Conversation:
    found = db.session.scalars(select(Conversation).where(Conversation.id == conversation_id)).one_or_none()
    if found is None:
        raise NotFound("conversation")
    return found


def _invoice(invoice_id: UUID, _patient_id: UUID) -> Any:
    of_whom = db.session.scalars(select(Invoice.patient_id).where(Invoice.id == invoice_id)).one_or_none()
    return _GET_INVOICE(invoice_id, of_whom or invoice_id)


_GET_INVOICE = invoices.get_of_patient


def _request(request_id: UUID) -> Any:
    row = db.session.execute(
        appointment_requests._ROWS.where(appointment_requests.AppointmentRequest.id == request_id)
    ).one_or_none()
    if row is None:
        raise NotFound("appointment request")
    return appointment_requests.RequestRow(*row)


def _requests(patient_id: UUID) -> list[Any]:
    mine = appointment_requests._ROWS.where(appointment_requests.AppointmentRequest.patient_id == patient_id)
    return [appointment_requests.RequestRow(*row) for row in db.session.execute(mine)]


def the_views_check_nothing(app: Flask, patched: pytest.MonkeyPatch) -> None:
    for name in ("see", "see_records", "see_messages", "see_appointment_requests", "see_billing"):
        patched.setattr(portal_home, name, lambda patient_id: Seen(_anybody(patient_id), _everybody()))
    patched.setattr(portal_home, "patients", _everybody)
    patched.setattr(portal_home, "at_home", _at_home)
    patched.setattr(documents, "get_shown", lambda document_id, _patient_id: documents.get(document_id))
    patched.setattr(documents, "shown_of_patient", lambda patient_id, **_: documents.of_patient(patient_id))
    patched.setattr(invoices, "get_of_patient", _invoice)
    patched.setattr(conversations, "get", _conversation)
    patched.setattr(conversations, "of_portal_user", _conversations)
    patched.setattr(conversations, "get_attachment", _attachment)
    patched.setattr(conversation_pages, "_of_patient", lambda _patient_id, each: _conversation(each))
    patched.setattr(verbs, "_check_family_may_write", lambda *_: None)
    patched.setattr(verbs, "_locked", _lock)
    patched.setattr(appointment_requests, "get", _request)
    patched.setattr(appointment_requests, "of_portal_user", _requests)
    patched.setattr(portal_users, "sees_records", lambda *_: True)
    patched.setattr(appointment_requests.portal_settings, "get", lambda: PortalSettings(allows_appointment_requests=True))
    the_payers_verbs_check_nothing(patched)
    patched.setattr(sessions, "of_holder", lambda _holder: [])
    patched.setattr(sessions, "end_own", _end_any)
    patched.setitem(app.view_functions, "portal.appointment_request_withdrawal", _withdraw)
    patched.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)  # what the database refuses is a 500 here,
    patched.setattr(app.logger, "disabled", True)  # and no news


def _end_any(_holder: Any, session_id: UUID) -> None:
    if db.session.scalars(select(SignInSession.id).where(SignInSession.id == session_id)).first() is None:
        raise NotFound("session")
    sessions.end(session_id, "by a stranger")


def _withdraw(patient_id: UUID, request_id: UUID) -> str:
    with transaction():
        appointment_requests.withdraw(request_id)
    return str(patient_id)


# What gets out -------------------------------------------------------------------------------------------------------


def leaks(house: House) -> Iterator[str]:
    """Somebody else's thing answered otherwise than one made up, brought along by a page, or changed."""
    portal = [each for each in house.askers if each.face == "portal"]
    for asker in portal:  # first: reading one's own messages notes that they are read
        yield from _brought_along(asker)
    before = whole_database.fingerprints(house.connection, but=whole_database.OF_LOOKING)
    for asker in portal:
        for route in PORTAL:
            yield from _leaks_of(asker, route)
    after = whole_database.fingerprints(house.connection, but=whole_database.OF_LOOKING)
    yield from (f"changed: {table}" for table in before if before[table] != after[table])


def _leaks_of(asker: Asker, route: Route) -> Iterator[str]:
    for method in sorted({"GET", "POST"} & route.methods) if route.ids else ():
        for kinds, ids in _asked(route, asker.own, _strangers(asker)):
            nothing = {**ids, **{kind: uuid4() for kind in kinds}}
            answer, expected = _answer(asker, route, method, ids), _answer(asker, route, method, nothing)
            if answer != expected:
                yield f"{method} | {route} | {asker.slug} | {sorted(kinds)}"


def _strangers(asker: Asker) -> list[Ids]:
    """Patients whom this person may see nothing of."""
    listed = (*asker.neighbours, *asker.foreign)
    return [each for each in listed if each["portal_user"] != asker.own["portal_user"]]


def _asked(route: Route, own: Ids, strangers: list[Ids]) -> Iterator[tuple[set[str], Ids]]:
    """All of a stranger's; a stranger's thing under one's own patient; one's own that the clinic does not show."""
    all_kinds = set(route.ids.values())
    for other in strangers:
        yield all_kinds, {**own, **{kind: other[kind] for kind in all_kinds}}
        for kind in all_kinds - {"patient"}:
            yield {kind}, {**own, kind: other[kind]}
    for kind in all_kinds & UNSEEN.keys():
        for unseen in UNSEEN[kind]:
            yield {kind}, {**own, kind: own[unseen]}


def _brought_along(asker: Asker) -> Iterator[str]:
    """What pages of one's own have in them of strangers."""
    kinds = ("patient", "document", "conversation", "appointment_request", "invoice", "payment", "saved_card", "portal_user")
    for route in (route for route in PORTAL if "GET" in route.answers):
        text = ask(asker.visitor, route, "GET", asker.own, slug=asker.slug).data.decode("latin-1")
        for kind in {kind for other in _strangers(asker) for kind in kinds if str(other[kind]) in text}:
            yield f"brought along | {route} | {kind}"


def _answer(asker: Asker, route: Route, method: str, ids: Ids) -> tuple[Any, ...]:
    return seen(ask(asker.visitor.at(asker.visitor.base_url), route, method, ids, slug=asker.slug), ids)


# Tests ---------------------------------------------------------------------------------------------------------------


def test_everything_that_portal_pages_ask_of_the_domain_is_known_here() -> None:
    """A new question must say whether it has a check of its own, or the knock-out would pass it by."""
    asked = set()
    for path in sorted((Path(route_map.__file__).parents[2] / "portal_app").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                asked.add(f"{node.func.value.id}.{node.func.attr}")
    ours = {each for each in asked if each.partition(".")[0] in MODULES}
    assert ours - CHECKING - AFTER_A_CHECK == set()


def test_the_views_by_themselves_leak_nothing(house: House) -> None:
    everybody_wishes(house.connection)
    row_security_is_the_clinics_alone(house.connection)
    portal = [each for each in house.askers if each.face == "portal"]
    assert not (found := differences(house, PORTAL, portal)), "\n".join(found)
    assert not (found := list(leaks(house))), "\n".join(found)


def test_the_views_by_themselves_know_every_ending_and_every_switch(
    cluster: Cluster, committed_app: Flask, subtests: pytest.Subtests
) -> None:
    with whole_database.opened(cluster, committed_app) as connection:
        row_security_is_the_clinics_alone(connection)
    with rolled_back(committed_app):
        elm = one_clinic.stand(committed_app)
        for name, situation in SITUATIONS.items():
            with subtests.test(name), undone(committed_app):
                situation.come_about(elm)
                assert open_to(elm.maria, elm.leo) == ALL - situation.pages
                assert (str(elm.leo["patient"]) in elm.maria.read("/")) is (situation.pages != ALL)


def test_row_security_by_itself_leaks_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody_wishes(house.connection)
    the_views_check_nothing(house.app, monkeypatch)
    assert not (found := list(leaks(house))), "\n".join(found)


def test_planted_both_walls_are_down(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then everything is seen: every page with an id, from every family, and every list."""
    everybody_wishes(house.connection)
    row_security_is_the_clinics_alone(house.connection)
    the_views_check_nothing(house.app, monkeypatch)
    found = list(leaks(house))
    seen_through = {line.split(" | ")[1] for line in found if line.startswith(("GET", "POST"))}
    # A passkey is asked for at the door, whose policies are not the portal's and stand.
    asked = {str(route) for route in PORTAL if route.ids and "passkey" not in route.ids.values()}
    assert asked - seen_through == {ENDING}
    assert house.connection.execute("SELECT 1 FROM autopays WHERE ending = 'stopped'").fetchone()
    assert {"brought along | portal / | patient", "brought along | portal /profile/cards | saved_card"} <= set(found)
    changed = {line.removeprefix("changed: ") for line in found if line.startswith("changed")}
    assert changed >= {"messages", "appointment_requests", "payments", "saved_cards", "autopays"}
