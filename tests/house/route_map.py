"""The declared routes (routes.yaml) beside the real ones; the people who ask, the ids they ask with, what they get."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import yaml
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from clinic import (
    access_holds,
    account,
    actors,
    appointment_requests,
    conversations,
    demo,
    demo_papers,
    documents,
    incoming_files,
    invitation_batches,
    invoices,
    mailed_invoices,
    portal_settings,
    sessions,
)
from clinic.account import LineKind, Method
from clinic.actors import Actor, ActorKind
from clinic.conversations import Written
from clinic.money import Money
from clinic.payments import Payment, PaymentProblem, Refund, SavedCard
from tenancy import clock, keys, link_tokens
from tenancy.database import db
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import at_the_door, give_app, give_passkey, inside, path_of
from tests.visitor import Visitor, compared
from ui import pages

Ids = dict[str, Any]  # kind → id, and a few values that are no ids

FACES = {
    "admin": "http://admin.localhost:8000",
    "portal": f"http://{demo.ELM}.localhost:8000",
    "front door": "http://localhost:8000",
    "every host": f"http://{demo.ELM}.localhost:8000",
}
SUBDOMAINS = {"admin": "admin", "<portal_slug:slug>": "portal", "": "front door", "<any_host>": "every host"}
CLINIC_IN_PATH = "/<portal_slug:slug>"
MADE_UP_ID = UUID("00000000-0000-4000-8000-000000000000")
PEOPLE = {
    "anonymous": None,
    "ana": ("admin", "ana@elm.example"),
    "ben": ("admin", "ben@elm.example"),
    "fay": ("admin", "fay@elm.example"),
    "tom": ("admin", "tom@elm.example"),
    "maria": ("portal", "maria@family.example"),
}
_ARGUMENT = re.compile(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>")
_SHOWN = "d.status = 'signed' AND d.held_back_at IS NULL AND t.is_visible_on_portal"
_DOCUMENT = (
    "SELECT d.id FROM documents d JOIN document_types t ON (t.clinic_id, t.id) = (d.clinic_id, d.document_type_id) "
    "JOIN patients p ON (p.clinic_id, p.id) = (d.clinic_id, d.patient_id) WHERE p.name = :name AND "
)
_OF_PATIENT = "JOIN patients p ON (p.clinic_id, p.id) = (x.clinic_id, x.patient_id) WHERE p.name = :name"
_LINE = (
    "JOIN invoice_lines l ON (l.clinic_id, l.line_id) = (x.clinic_id, x.id) "
    "JOIN invoices i ON (i.clinic_id, i.id) = (l.clinic_id, l.invoice_id)"
)
_FILE = (
    "JOIN messages m ON (m.clinic_id, m.conversation_id) = (x.clinic_id, x.id) "
    "JOIN message_attachments a ON (a.clinic_id, a.message_id) = (m.clinic_id, m.id)"
)
KINDS = {
    "patient": "SELECT id FROM patients WHERE name = :name",
    "document": _DOCUMENT + _SHOWN,
    "hidden_document": _DOCUMENT + "d.status = 'signed' AND NOT t.is_visible_on_portal",
    "draft_document": _DOCUMENT + "d.status = 'draft'",
    "held_document": _DOCUMENT + "d.held_back_at IS NOT NULL",
    "appointment": f"SELECT x.id FROM appointments x {_OF_PATIENT} AND x.starts_at > now()",
    "invoice": f"SELECT x.id FROM invoices x {_OF_PATIENT} AND x.number IS NOT NULL ORDER BY x.issued_on DESC LIMIT 1",
    "draft_invoice": f"SELECT x.id FROM invoices x {_OF_PATIENT} AND x.number IS NULL",
    "payment": f"SELECT x.id FROM payments x {_OF_PATIENT} AND x.status = 'starting' AND x.way = 'checkout'",
    "link_payment": f"SELECT x.id FROM payments x {_OF_PATIENT} AND x.way = 'link' ORDER BY x.id",
    "paid_payment": f"SELECT x.id FROM payments x {_OF_PATIENT} AND x.status = 'succeeded'",
    "refund": f"SELECT r.id FROM refunds r JOIN payments x ON (x.clinic_id, x.id) = (r.clinic_id, r.payment_id) {_OF_PATIENT}",
    "payment_problem": "SELECT q.id FROM payment_problems q JOIN payments x ON (x.clinic_id, x.id) = (q.clinic_id, q.payment_id) "
    f"{_OF_PATIENT}",
    "saved_card": f"SELECT k.id FROM saved_cards k JOIN portal_access x USING (clinic_id, portal_user_id) {_OF_PATIENT}",
    # The newest charge is not billed yet; the payment has credit left; the others stand on the newest invoice and the draft.
    "account_line": f"SELECT x.id FROM account_lines x {_OF_PATIENT} AND x.kind = 'charge' AND x.corrects_id IS NULL "
    "AND NOT EXISTS (SELECT FROM invoice_lines i WHERE (i.clinic_id, i.line_id) = (x.clinic_id, x.id))",
    "payment_line": f"SELECT x.id FROM account_lines x {_OF_PATIENT} AND x.kind = 'payment' AND x.corrects_id IS NULL "
    "AND NOT EXISTS (SELECT FROM allocations a WHERE (a.clinic_id, a.payment_line_id) = (x.clinic_id, x.id)) "
    "AND NOT EXISTS (SELECT FROM account_lines b WHERE (b.clinic_id, b.takes_back_id) = (x.clinic_id, x.id))",
    "billed_line": f"SELECT x.id FROM account_lines x {_LINE} {_OF_PATIENT} AND x.kind = 'charge' AND x.corrects_id IS NULL "
    "AND i.number IS NOT NULL ORDER BY i.number DESC",
    "drafted_line": f"SELECT x.id FROM account_lines x {_LINE} {_OF_PATIENT} AND i.number IS NULL",
    "conversation": f"SELECT x.id FROM conversations x {_FILE} {_OF_PATIENT} ORDER BY a.id",
    "attachment": f"SELECT a.id FROM conversations x {_FILE} {_OF_PATIENT} ORDER BY a.id",
    "appointment_request": f"SELECT x.id FROM appointment_requests x {_OF_PATIENT} AND x.state = 'open'",
    "portal_user": f"SELECT x.portal_user_id FROM portal_access x {_OF_PATIENT}",
    "access": f"SELECT x.id FROM portal_access x {_OF_PATIENT}",
    "hold": f"SELECT x.id FROM access_holds x {_OF_PATIENT} AND x.kind = 'hold'",
    "custody_block": f"SELECT x.id FROM access_holds x {_OF_PATIENT} AND x.kind = 'custody'",
    "relationship": f"SELECT x.id FROM relationships x {_OF_PATIENT}",
    "passkey": f"SELECT k.id FROM passkeys k JOIN portal_access x USING (clinic_id, portal_user_id) {_OF_PATIENT} "
    "ORDER BY k.id",
    "staff_passkey": "SELECT k.id FROM passkeys k JOIN staff_members m ON (m.clinic_id, m.id) = "
    "(k.clinic_id, k.staff_member_id) WHERE m.role = 'admin' ORDER BY k.id",
    "session": f"SELECT s.id FROM sessions s JOIN portal_access x USING (clinic_id, portal_user_id) {_OF_PATIENT} "
    "ORDER BY s.started_at",
    "staff_session": "SELECT s.id FROM sessions s JOIN staff_members m ON (m.clinic_id, m.id) = "
    "(s.clinic_id, s.staff_member_id) WHERE m.role = 'admin' ORDER BY s.started_at",
    "contact": f"SELECT x.contact_id FROM relationships x {_OF_PATIENT}",
    "staff_member": "SELECT id FROM staff_members ORDER BY role = 'admin', name",
    "type": "SELECT id FROM document_types WHERE is_visible_on_portal ORDER BY name",
    "hidden_type": "SELECT id FROM document_types WHERE NOT is_visible_on_portal ORDER BY name",
    "batch": "SELECT id FROM invitation_batches WHERE confirmed_at IS NOT NULL",
    "draft_batch": "SELECT id FROM invitation_batches WHERE confirmed_at IS NULL",
}


@dataclass(frozen=True)
class Route:
    """A line of routes.yaml."""

    face: str
    rule: str
    gate: dict[str, Any]  # person → "in", "sign-in" or a status
    gate_name: str
    answers: dict[str, Any]  # method → status, for those who pass
    ids: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    is_sensitive: bool = False
    leads_to_stripe: bool = False

    @property
    def is_for_machines(self) -> bool:
        return self.gate_name == "machines"

    @property
    def methods(self) -> set[str]:
        return {*self.answers, "OPTIONS"} | ({"HEAD"} if "GET" in self.answers else set())

    def __str__(self) -> str:
        return f"{self.face} {self.rule}"

    def path(self, ids: Ids, slug: str = demo.ELM) -> str:
        values = {name: ids[kind] for name, kind in self.ids.items()} | _filled(self.given, ids)
        path = _ARGUMENT.sub(lambda argument: str(values[argument[2]]), self.rule)
        return f"/{slug}{path}" if self.face == "admin" else path

    def filled_form(self, ids: Ids) -> dict[str, Any]:
        return _filled(self.form, ids)

    def expected(self, person: str, method: str) -> Any:
        """A status, "sign-in" or "out"."""
        verdict = self.gate[person]
        if verdict == 404 and method == "OPTIONS":
            return 200  # the view did not look yet
        if verdict != "in":
            return verdict
        return 200 if method == "OPTIONS" else self.answers["GET" if method == "HEAD" else method]


def _filled(values: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    full = {name: ids[value[1:]] if str(value).startswith("=") else str(value) for name, value in values.items()}
    return {name: (BytesIO(value), "a.pdf") if isinstance(value, bytes) else str(value) for name, value in full.items()}


def declared() -> list[Route]:
    read = yaml.safe_load((Path(__file__).parent / "routes.yaml").read_text())
    gates = read.pop("gates")
    found = []
    for face, lines in read.items():
        for rule, line in lines.items():
            answers = {method: line[method] for method in ("GET", "POST") if method in line}
            parts = {
                name: line.get(key, {})
                for name, key in (("ids", "ids"), ("given", "with"), ("form", "form"), ("query", "query"))
            }
            marks = {"is_sensitive": line.get("fresh", False), "leads_to_stripe": line.get("stripe", False)}
            found.append(Route(face, rule, gates[line["gate"]], line["gate"], answers, **parts, **marks))
    return found


def actual(app: Flask) -> dict[tuple[str, str], set[str]]:
    """(face, rule) → methods, of the URL map."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in app.url_map.iter_rules():
        face = SUBDOMAINS.get(rule.subdomain or "", f"subdomain {rule.subdomain}")
        path = rule.rule.removeprefix(CLINIC_IN_PATH) if face == "admin" else rule.rule
        found.setdefault((face, path), set()).update(rule.methods or ())
    return found


def gaps(app: Flask, routes: list[Route]) -> list[str]:
    """What is declared and not there, there and not declared, or declared without its ids."""
    real, known = actual(app), {(route.face, route.rule): route for route in routes}
    found = [f"not declared: {face} {rule}" for face, rule in real.keys() - known.keys()]
    found += [f"declared and gone: {route}" for key, route in known.items() if key not in real]
    for key in real.keys() & known.keys():
        route = known[key]
        if real[key] != route.methods:
            found.append(f"methods {sorted(real[key])}, declared {sorted(route.methods)}: {route}")
        arguments = _ARGUMENT.findall(route.rule)
        if {name for kind, name in arguments if kind == "uuid"} != route.ids.keys():
            found.append(f"ids not declared: {route}")
        if {name for kind, name in arguments if kind != "uuid"} != route.given.keys():
            found.append(f"parts not declared: {route}")
        found += [f"no such kind of id, {kind}: {route}" for kind in route.ids.values() if kind not in KINDS]
    return sorted(found)


def prepare(app: Flask, slug: str) -> None:
    """What the cast lacks: a held back document for each patient, a finished and a draft batch of invitations, and
    for everybody both kinds of second factor and a browser at home in which they are signed in; for each patient a
    custody block against a stranger and a hold that is over."""
    with inside(app, slug) as clinic, actors.acting(actors.SYSTEM):
        names = "SELECT d.id FROM documents d JOIN document_types t ON (t.clinic_id, t.id) = (d.clinic_id, d.document_type_id) "
        for held in db.session.scalars(text(f"{names} WHERE t.name = 'Progress Note'")).all():
            documents.hold_back(held, "A reason for staff only")
        pairs = list(db.session.scalars(text("SELECT id FROM relationships ORDER BY id LIMIT 1")))
        invitation_batches.confirm(invitation_batches.choose(pairs).id)
        invitation_batches.choose(pairs)
        for access_id, patient_id in db.session.execute(text("SELECT id, patient_id FROM portal_access ORDER BY id")).all():
            access_holds.block(patient_id, contact_id=None, email="stranger@family.example", reason="A court said so")
            with clock.moved(timedelta(days=-3)):
                access_holds.hold(access_id, "Papers were awaited", clock.today(clinic.time_zone) + timedelta(days=1))
    write_each_other(app, slug)
    pay(app, slug)
    mail_invoices(app, slug)
    for email in _who_sign_in(app, slug):
        give_app(app, slug, email)
        give_passkey(app, slug, email)
        with at_the_door(app, slug, email) as holder:
            sessions.start(holder)


def _who_sign_in(app: Flask, slug: str) -> list[str]:
    with inside(app, slug):
        accepted = "SELECT email_norm FROM {} WHERE accepted_at IS NOT NULL"
        everybody = " UNION ".join(accepted.format(table) for table in ("staff_members", "portal_users"))
        return list(db.session.scalars(text(everybody)))


def write_each_other(app: Flask, slug: str) -> None:
    """Both switched on; with each portal user about each patient a conversation with a file, and an open request."""
    with inside(app, slug):
        settings = portal_settings.get()
        settings.allows_messages = settings.allows_appointment_requests = True
        staff = Actor(ActorKind.STAFF, db.session.scalars(text("SELECT id FROM staff_members WHERE role = 'admin'")).first())
        reading = (
            "SELECT a.portal_user_id, a.patient_id FROM portal_access a JOIN portal_users u "
            "ON (u.clinic_id, u.id) = (a.clinic_id, a.portal_user_id) WHERE u.accepted_at IS NOT NULL AND a.records"
        )
        readers = db.session.execute(text(reading)).all()
        for user_id, patient_id in readers:
            with actors.acting(staff):
                page = Written("A question from the clinic", [incoming_files.take("a.pdf", demo_papers.pdf("A page", []))])
                conversations.write_to(user_id, patient_id, "From the clinic", page)
    for user_id, patient_id in readers:
        me = Actor(ActorKind.PORTAL_USER, user_id)
        with inside(app, slug, Role.PORTAL, user_id), actors.acting(me):
            conversations.ask(patient_id, "From the family", Written("A question from the family"))
            appointment_requests.ask(patient_id, "A Thursday, please")


def pay(app: Flask, slug: str) -> None:
    """With each portal user for each patient: a payment that begins, and one that was made, with a refund that waits for a
    second person and a problem; and a card of theirs."""
    now = clock.now()
    with inside(app, slug):
        readers = db.session.execute(text("SELECT portal_user_id, patient_id FROM portal_access WHERE billing ORDER BY id"))
        for user_id, patient_id in readers.all():
            begun = {"patient_id": patient_id, "portal_user_id": user_id, "way": "checkout", "amount_minor": 500, "currency": "usd"}
            begun |= {"account_id": "acct_nowhere", "started_at": now, "next_look_at": now + timedelta(days=9)}
            line = account.enter(patient_id, LineKind.PAYMENT, Money(500, "usd"), "Paid online", method=Method.CARD)
            # Given back over the counter, so that the account is as it was.
            account.enter(patient_id, LineKind.REFUND, Money(500, "usd"), "Given back", takes_back_id=line)
            paid = Payment(id=uuid4(), status="succeeded", line_id=line, method="card", card="Visa 4242", ended_at=now, **begun)
            db.session.add_all([Payment(**begun), paid])
            db.session.flush()
            asked = {"payment_id": paid.id, "amount_minor": 100, "currency": "usd"}
            card = {"portal_user_id": user_id, "account_id": "acct_nowhere", "customer_id": "cus_1", "label": "Visa 4242"}
            db.session.add(Refund(status="unconfirmed", reason="A reason for staff only", asked_at=now, **asked))
            db.session.add(PaymentProblem(kind="credited", object_id=str(paid.id), found_at=now, **asked))
            db.session.add(SavedCard(payment_method_id=f"pm_{uuid4().hex}", saved_at=now, **card))


def mail_invoices(app: Flask, slug: str) -> None:
    """To each contact who is a portal user, an open invoice of each patient of theirs; and somebody begins to pay it."""
    now = clock.now()
    with inside(app, slug):
        mailed = "SELECT patient_id, contact_id FROM portal_access WHERE billing AND contact_id IS NOT NULL ORDER BY id"
        for patient_id, contact_id in db.session.execute(text(mailed)).all():
            for invoice_id, _due in invoices.payable_of(patient_id)[:1]:
                begun = {"patient_id": patient_id, "way": "link", "amount_minor": 500, "currency": "usd", "account_id": "acct_nowhere"}
                begun |= {"mailing_id": mailed_invoices.mail(invoice_id, patient_id, contact_id), "started_at": now}
                db.session.add(Payment(next_look_at=now + timedelta(days=9), **begun))


def link_of(app: Flask, slug: str, payment_id: UUID) -> str:
    """The path of the mailed link by which this payment was begun."""
    with inside(app, slug):
        linked = "SELECT m.link_id FROM payments x JOIN invoice_mailings m ON (m.clinic_id, m.id) = (x.clinic_id, x.mailing_id) WHERE x.id = :id"
        link_id = db.session.scalars(text(linked), {"id": payment_id}).one()
        secret = link_tokens.token(keys.signing_key(link_tokens.KEY_PURPOSE), Purpose.INVOICE, link_id)
    return path_of(slug, Purpose.INVOICE, secret)


def ids_of(app: Flask, slug: str, patient: str) -> Ids:
    """One id of each kind: the patient's, their family's or the clinic's."""
    with inside(app, slug) as clinic:
        found = {kind: db.session.scalars(text(query), {"name": patient}).first() for kind, query in KINDS.items()}
        tomorrow = clock.today(clinic.time_zone) + timedelta(days=1)
    return {
        **{kind: each or uuid4() for kind, each in found.items()},
        **{"clinic": clinic.id, "slug": slug, "logo": clinic.logo_version, "static": pages.VERSIONS["portico.css"]},
        **{"tomorrow": tomorrow, "pdf": demo_papers.pdf("A page", [])},
    }


def made_up(ids: Ids) -> Ids:
    """The same, of ids that nothing has."""
    return {kind: uuid4() if isinstance(value, UUID) else value for kind, value in ids.items()}


def people(app: Flask) -> dict[str, Visitor]:
    """Everybody of PEOPLE, signed in where they belong."""
    return {person: visitor_of(app, person) for person in PEOPLE}


def visitor_of(app: Flask, person: str) -> Visitor:
    """One of PEOPLE, signed in where they belong."""
    home = PEOPLE[person]
    visitor = Visitor(app, FACES[home[0] if home else "portal"])
    return visitor.sign_in(home[1], f"/{demo.ELM}" if home[0] == "admin" else "") if home else visitor


def standing_at(visitor: Visitor, face: str) -> Visitor:
    """This person at another face, or afresh at their own: the same cookies, and a form token good there."""
    moved = visitor.at(FACES[face])
    if moved.base_url != visitor.base_url or not visitor.token:
        moved.get({"admin": f"/{demo.ELM}/sign-in", "portal": "/sign-in", "every host": "/sign-in"}.get(face, "/"))
    return moved


def ask(visitor: Visitor, route: Route, method: str, ids: Ids, **options: Any) -> TestResponse:
    """One request as a page of the product would send it."""
    query = {**{name: str(ids[kind]) for name, kind in route.query.items()}, **options.pop("query", {})}
    if method == "POST":
        options["data"] = {"csrf_token": visitor.token, **route.filled_form(ids), **options.get("data", {})}
    path = route.path(ids, options.pop("slug", demo.ELM))
    return visitor.client.open(
        path, method=method, base_url=visitor.base_url, query_string=query, buffered=True, **options
    )


def seen(answer: TestResponse, asked: Ids) -> tuple[Any, ...]:
    """An answer as somebody sees it who compares two: without what is random in each, when it was, the seconds left, the
    ids asked."""
    body = compared(answer.data.decode("latin-1")).encode("latin-1")
    body = re.sub(rb"<code>[a-z2-9-]{14}</code>", b"<code></code>", body)  # recovery codes are new each time
    body = re.sub(rb'(data-(?:idle|most)-seconds="|"(?:idle|most)": ?)\d+', rb"\1", body)
    body = re.sub(rb'("challenge": ")[^"]*', rb"\1", body)
    headers = [
        (name, value.partition("=")[0] if name == "Set-Cookie" else compared(value))
        for name, value in answer.headers
        if name != "Date"  # of a file, in seconds
    ]
    for value in asked.values():
        if isinstance(value, UUID):
            body = body.replace(str(value).encode(), b"ID")
            headers = [(name, each.replace(str(value), "ID")) for name, each in headers]
    return answer.status_code, sorted(headers), body
