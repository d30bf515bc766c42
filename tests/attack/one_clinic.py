"""Elm Street, with Maria at the portal and Ana at the desk, and every way in which what Maria sees of Leo can end.

A situation is brought about as staff do it; then it is known which of Leo's pages and rows are left to her. T06 asks
both walls in each, the knock-out one wall at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask import Flask
from sqlalchemy import text

from clinic import coming_of_age, demo, document_types
from tenancy import clock, jobs, provisioning
from tenancy.database import db
from tenancy.tenant import Role
from tests.house import route_map
from tests.house.route_map import Ids, Route, ask
from tests.inside import inside
from tests.one_connection import undone
from tests.visitor import Visitor

ABOUT_A_PATIENT = [route for route in route_map.declared() if route.face == "portal" and "patient_id" in route.ids]
ALL = frozenset(
    f"{method} {route.rule.partition('patient_id>')[2]}" for route in ABOUT_A_PATIENT for method in route.answers
)
OVERVIEW = frozenset({"GET /", "POST /autopay/ending"})  # one's own wish can be ended as long as one sees anything
MONEY = ("/autopay", "/billing", "/invoices", "/payments", "/receipts", "/statements")
BILLING = frozenset(each for each in ALL if any(part in each for part in MONEY)) - OVERVIEW
RECORDS = ALL - BILLING - OVERVIEW
MESSAGES = frozenset(each for each in ALL if "/conversations" in each)
REQUESTS = frozenset(each for each in ALL if "/appointment-requests" in each)
DOCUMENT = frozenset(each for each in ALL if "document_id" in each)
INVOICE = frozenset(each for each in ALL if "/invoices" in each) | {"POST /autopay"}  # invoices are what it pays
WRITTEN = frozenset({"conversations", "messages", "message_attachments"})
BILLED = frozenset({"account_lines", "invoices", "allocations"})
RECORDED = frozenset({"documents", "document_contents", "appointments", "appointment_requests"}) | WRITTEN
TABLES = RECORDED | BILLED | {"patients"}
_OF_PATIENT = {
    "patients": "id = :patient",
    "document_contents": "document_id = ANY (:documents)",
    "messages": "conversation_id = ANY (:conversations)",
    "message_attachments": "message_id = ANY (:messages)",
}
_THINGS = {
    "documents": "SELECT id FROM documents WHERE patient_id = :patient",
    "conversations": "SELECT id FROM conversations WHERE patient_id = :patient",
    "messages": "SELECT m.id FROM messages m JOIN conversations c ON (c.clinic_id, c.id) = (m.clinic_id, m.conversation_id) "
    "WHERE c.patient_id = :patient",
}


@dataclass
class Elm:
    app: Flask
    maria: Visitor
    ana: Visitor
    leo: Ids
    mia: Ids
    zoe: Ids

    def desk(self, path: str, **form: Any) -> None:
        """Ana sends a form, and reads the page that follows."""
        answer = self.ana.post(f"/{demo.ELM}{path}", form)
        assert answer.status_code == 303, answer.text
        self.ana.get(answer.headers["Location"])

    def save_settings(
        self, *, types: tuple[object, ...] = (), without: tuple[str, ...] = (), of_age_years: int = 18
    ) -> None:
        """Everything shown and allowed, but what is named."""
        switches = ("shows_balance", "shows_invoices", "allows_messages", "allows_appointment_requests")
        self.desk(
            "/clinic-options/portal-settings",
            slug=demo.ELM,
            reply_to=f"front-desk@{demo.ELM}.example",
            document_types=[str(each) for each in types or (self.leo["type"], self.zoe["other_type"])],
            of_age_years=str(of_age_years),
            **{name: "y" for name in switches if name not in without},
        )


def stand(app: Flask) -> Elm:
    route_map.write_each_other(app, demo.ELM)
    route_map.pay(app, demo.ELM)
    leo, mia, zoe = (route_map.ids_of(app, demo.ELM, name) for name in ("Leo Lopez", "Mia Lopez", "Zoe Haddad"))
    with inside(app, demo.ELM):
        shown = [each.id for each in document_types.listed() if each.is_visible_on_portal]
        zoe["other_type"] = next(each for each in shown if each != leo["type"])
    maria = Visitor(app, f"http://{demo.ELM}.localhost:8000").sign_in("maria@family.example")
    ana = Visitor(app, "http://admin.localhost:8000").sign_in("ana@elm.example", f"/{demo.ELM}")
    return Elm(app, maria, ana, leo, mia, zoe)


def open_to(visitor: Visitor, ids: Ids) -> set[str]:
    """What of a patient's portal this person may open or send: by looking, by asking whether, by resuming a download,
    and by the buttons of a tab that was open before."""
    found = set()
    for route in ABOUT_A_PATIENT:
        for method in route.answers:
            answers = _gets(visitor, route, ids) if method == "GET" else {_post(visitor, route, ids)}
            assert answers in ({route.answers[method]}, {404}), (method, str(route), answers)
            if answers != {404}:
                found.add(f"{method} {route.rule.partition('patient_id>')[2]}")
    return found


def _gets(visitor: Visitor, route: Route, ids: Ids) -> set[int]:
    resumed = ask(visitor, route, "GET", ids, headers={"Range": "bytes=9-"}).status_code
    return {
        ask(visitor, route, "GET", ids).status_code,
        ask(visitor, route, "HEAD", ids).status_code,
        200 if resumed == 206 else resumed,
    }


def _post(visitor: Visitor, route: Route, ids: Ids) -> int:
    with undone(visitor.app):
        return ask(visitor, route, "POST", ids).status_code


def rows(elm: Elm, ids: Ids) -> set[str]:
    """The tables in which Maria reads something of a patient where no view stands between: SQL, in her requests' role."""
    whose: dict[str, Any] = {"patient": ids["patient"]}
    with inside(elm.app, demo.ELM):
        things = {name: list(db.session.scalars(text(query), whose)) for name, query in _THINGS.items()}
    found = set()
    with inside(elm.app, demo.ELM, Role.PORTAL, elm.leo["portal_user"]):
        for table in TABLES:
            query = f"SELECT count(*) FROM {table} WHERE {_OF_PATIENT.get(table, 'patient_id = :patient')}"
            if db.session.scalars(text(query), whose | things).one():
                found.add(table)
    return found


@dataclass(frozen=True)
class Situation:
    """How it comes about, and what of Leo is lost to Maria by it."""

    come_about: Callable[[Elm], None]
    pages: frozenset[str] = field(default=ALL)
    tables: frozenset[str] = field(default=TABLES)


def _update(columns: str) -> Callable[[Elm], None]:
    def change(elm: Elm) -> None:
        with inside(elm.app, demo.ELM):
            db.session.execute(text(f"UPDATE portal_access SET {columns} WHERE id = :id"), {"id": elm.leo["access"]})

    return change


def _access(**form: str) -> Callable[[Elm], None]:
    return lambda elm: elm.desk(
        f"/patients/{elm.leo['patient']}/portal-access/{elm.leo['access']}", reason="A court said so", **form
    )


def _hold(elm: Elm) -> None:
    elm.desk(
        f"/patients/{elm.leo['patient']}/portal-access/{elm.leo['access']}/hold",
        hold_reason="Papers awaited",
        until_on=str(elm.leo["tomorrow"]),
    )


def _block(**form: str) -> Callable[[Elm], None]:
    return lambda elm: elm.desk(
        f"/patients/{elm.leo['patient']}/custody-blocks/new",
        reason="A court said so",
        **{name: str(elm.leo["contact"]) if value == "=contact" else value for name, value in form.items()},
    )


def _blocked_and_lifted(elm: Elm) -> None:
    _block(contact_id="=contact")(elm)
    with inside(elm.app, demo.ELM):
        placed = db.session.scalars(text("SELECT id FROM access_holds")).one()
    elm.desk(f"/patients/{elm.leo['patient']}/custody-blocks/{placed}/lifting", reason="It said otherwise")


def _patient(birth_on: str = "2018-03-14", status: str = "active") -> Callable[[Elm], None]:
    return lambda elm: elm.desk(
        f"/patients/{elm.leo['patient']}/editing", name="Leo Lopez", birth_on=birth_on, status=status
    )


def _of_age_and_written_down(elm: Elm) -> None:
    _patient("2001-01-01")(elm)
    with elm.app.app_context():
        jobs.walk_clinics(coming_of_age.come_of_age, Role.STAFF)


def _guardian_for_an_adult(elm: Elm) -> None:
    elm.desk(
        f"/patients/{elm.leo['patient']}/contacts/{elm.leo['contact']}/guardianship",
        is_guardian="y",
        reason="A court said so",
    )
    _of_age_and_written_down(elm)


def _of_age_by_the_clinics_own_rule(elm: Elm) -> None:
    with inside(elm.app, demo.ELM) as clinic:
        fourteen = coming_of_age.born_until(clock.today(clinic.time_zone) - timedelta(days=9), 14)
    _patient(fourteen.isoformat())(elm)
    elm.save_settings(of_age_years=13)


def _no_payment_processing(elm: Elm) -> None:
    with inside(elm.app, demo.ELM, Role.OPERATOR):
        provisioning.set_payment_processing(False)


NOTHING: tuple[frozenset[str], frozenset[str]] = (ALL, TABLES)
SITUATIONS: dict[str, Situation] = {
    "nothing happened": Situation(lambda elm: None, frozenset(), frozenset()),
    "the patient is discharged": Situation(_patient(status="inactive"), frozenset(), frozenset()),
    "unlinked at the patient": Situation(
        lambda elm: elm.desk(f"/patients/{elm.leo['patient']}/portal-access/{elm.leo['access']}/unlinking")
    ),
    "unlinked at the portal user": Situation(
        lambda elm: elm.desk(f"/portal-users/{elm.leo['portal_user']}/access/{elm.leo['access']}/unlinking")
    ),
    "nothing is left to see": Situation(_access()),
    "the agreed end is over": Situation(_update("ends_at = app.now() - interval '1 second'")),
    "the agreed beginning is to come": Situation(_update("starts_at = app.now() + interval '1 hour'")),
    "the agreed end is to come": Situation(
        lambda elm: _access(records="y", billing="y", ends_on=str(elm.leo["tomorrow"]))(elm), frozenset(), frozenset()
    ),
    "records alone": Situation(_access(records="y"), BILLING, BILLED),
    "billing alone": Situation(_access(billing="y"), RECORDS, RECORDED),
    "on hold": Situation(_hold),
    "a custody block against the contact": Situation(_block(contact_id="=contact")),
    "a custody block against the address": Situation(_block(email="Maria@Family.example")),
    "a custody block that was lifted": Situation(_blocked_and_lifted, frozenset(), frozenset()),
    "a custody block against somebody else": Situation(_block(email="other@family.example"), frozenset(), frozenset()),
    "of age": Situation(_patient("2001-01-01"), RECORDS, RECORDED),
    "of age, and written down": Situation(_of_age_and_written_down, RECORDS, RECORDED),
    "of age by the clinic's own rule": Situation(_of_age_by_the_clinics_own_rule, RECORDS, RECORDED),
    "of age, with a guardian": Situation(_guardian_for_an_adult, frozenset(), frozenset()),
    "messages are switched off": Situation(lambda elm: elm.save_settings(without=("allows_messages",)), MESSAGES, WRITTEN),
    "requests are switched off": Situation(
        lambda elm: elm.save_settings(without=("allows_appointment_requests",)),
        REQUESTS,
        frozenset({"appointment_requests"}),
    ),
    "invoices are hidden": Situation(
        lambda elm: elm.save_settings(without=("shows_invoices",)), INVOICE, frozenset({"allocations", "invoices"})
    ),
    "balance and invoices are hidden": Situation(
        lambda elm: elm.save_settings(without=("shows_balance", "shows_invoices")), BILLING, BILLED
    ),
    "payment processing is off": Situation(_no_payment_processing, BILLING, BILLED),
    "the document is held back": Situation(
        lambda elm: elm.desk(f"/patients/{elm.leo['patient']}/documents/{elm.leo['document']}/hold", reason="Talk first"),
        DOCUMENT,
        frozenset(),
    ),
}
