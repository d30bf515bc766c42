"""What the walks find at the first demo clinic, and what the cast lacks for every page to show all its states."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import select

from clinic import (
    access_holds,
    account,
    appointments,
    coming_of_age,
    contacts,
    demo,
    documents,
    invitation_batches,
    invoices,
    portal_users,
    staff,
)
from clinic.account import LineKind, Method
from clinic.appointment_requests import AppointmentRequest
from clinic.appointments import Appointment
from clinic.contacts import ContactDetails, RelationshipKind
from clinic.conversations import Conversation
from clinic.document_types import DocumentType
from clinic.documents import Document
from clinic.invoices import Invoice, InvoiceMailing
from clinic.money import Money
from clinic.payment_processing import PaymentAccount
from clinic.payments import Dispute, Payment, PaymentProblem, PaymentStatus, Refund, SavedCard
from clinic.staff import StaffRole
from tenancy import clock
from tenancy.database import db
from tenancy.link_tokens import ON_ADMIN_HOST, Purpose
from tests import inside
from tests.journeys.running import Running

MADE_UP = uuid4()


@dataclass
class Found:
    """Ids of the first clinic's things."""

    leo: UUID = MADE_UP
    zoe: UUID = MADE_UP
    maria: UUID = MADE_UP
    users: dict[str, UUID] = field(default_factory=dict)
    staff: dict[str, UUID] = field(default_factory=dict)
    papers: dict[str, UUID] = field(default_factory=dict)
    visit: UUID = MADE_UP
    cancelled: UUID = MADE_UP
    kind: UUID = MADE_UP
    invoices: dict[str, UUID] = field(default_factory=dict)
    draft: UUID = MADE_UP
    lines: dict[str, UUID] = field(default_factory=dict)
    batches: dict[str, UUID] = field(default_factory=dict)
    payments: dict[str, UUID] = field(default_factory=dict)
    conversation: UUID = MADE_UP
    wish: UUID = MADE_UP
    hana: UUID = MADE_UP
    hugo: UUID = MADE_UP
    access: dict[str, UUID] = field(default_factory=dict)
    holds: dict[str, UUID] = field(default_factory=dict)


def prepare(running: Running) -> Found:
    """What the cast lacks: warnings, batches in each state, a document held back, a cancelled appointment."""
    app, found = running.app, Found()
    with inside.inside(app, demo.ELM), inside.acting("ana@elm.example"):
        leo, zoe = (inside.patient(name).id for name in ("Leo Lopez", "Zoe Haddad"))
        found.leo, found.zoe, found.maria = leo, zoe, inside.contact("Maria Lopez").id
        found.users = {name: inside.user(f"{name}@family.example").id for name in ("maria", "grace", "omar")}
        invited = staff.invite(email="nora@elm.example", role=StaffRole.THERAPIST, name="Nora New").id
        gone = staff.invite(email="lou@elm.example", role=StaffRole.BILLING, name="Lou Left").id
        staff.deactivate(gone)
        found.staff = {"ana": inside.member("ana@elm.example").id, "fay": inside.member("fay@elm.example").id}
        found.staff |= {"invited": invited, "deactivated": gone}
        found.papers = {
            "signed": _document(leo, "Plan of care, autumn"),
            "draft": _document(leo, "Plan of care, winter (draft)"),
        }
        found.papers["held"] = _document(leo, "Visit note")
        documents.hold_back(found.papers["held"], "A court asked for it.")
        visits = db.session.scalars(select(Appointment).where(Appointment.patient_id == leo)).all()
        appointments.cancel(visits[0].id)
        found.cancelled, found.visit = visits[0].id, visits[1].id
        found.kind = db.session.scalars(select(DocumentType.id).limit(1)).one()
        found.conversation = db.session.scalars(select(Conversation.id)).one()
        found.wish = db.session.scalars(select(AppointmentRequest.id)).one()
        rows = invoices.of_patient(leo, drafts=True)
        found.draft = next(each.id for each in rows if each.number is None)
        found.invoices = {str(each.status): each.id for each in rows if each.number}
        found.lines = {each.kind: each.id for each in account.lines_of_patient(leo) if not each.corrects_id}
        for name in ("Hana Haddad", "Hugo Haddad"):
            contacts.add(zoe, ContactDetails(name, "haddads@family.example"), RelationshipKind.GRANDPARENT)
        pairs = [inside.pair(name, "Zoe Haddad").id for name in ("Hana Haddad", "Hugo Haddad")]
        gus = inside.pair("Gus Grant", "Sam Grant").id
        found.batches["draft"] = invitation_batches.choose([*pairs, gus]).id
        found.batches["with refusals"] = invitation_batches.confirm(invitation_batches.choose([gus]).id).id
        working = invitation_batches.choose(pairs)
        working.confirmed_at = clock.now() + timedelta(hours=1)  # else the worker finishes it during a slow walk
        found.batches["working"] = working.id
        db.session.flush()
    _hold_up(running, found)
    _pay(running, found)
    return found


def _pay(running: Running, found: Found) -> None:
    """Maria's payments for Leo, in each state, one with a refund that waits and one that is disputed; a card of hers."""
    now = clock.now()
    with inside.inside(running.app, demo.ELM):
        begun = {"patient_id": found.leo, "portal_user_id": found.users["maria"], "way": "checkout", "amount_minor": 500, "currency": "usd"}
        begun |= {"account_id": "acct_nowhere", "started_at": now, "next_look_at": now + timedelta(days=9)}
        kept = {"charges_enabled": True, "payouts_enabled": True, "details_submitted": True}
        db.session.add(PaymentAccount(account_id="acct_nowhere", opened_at=now, read_at=now, **kept))
        line = account.enter(found.leo, LineKind.PAYMENT, Money(500, "usd"), "Paid online", method=Method.CARD)
        made = {"line_id": line, "method": "card", "card": "Visa 4242"}
        for status in PaymentStatus:
            payment = Payment(id=uuid4(), status=status, **begun, **(made if status == PaymentStatus.SUCCEEDED else {}))
            db.session.add(payment)
            found.payments[str(status)] = payment.id
        db.session.flush()
        paid, asked = found.payments["succeeded"], {"amount_minor": 100, "currency": "usd"}
        card = {"portal_user_id": found.users["maria"], "account_id": "acct_nowhere", "customer_id": "cus_1", "label": "Visa 4242"}
        db.session.add_all([
            Refund(payment_id=paid, status="unconfirmed", reason="Billed twice", asked_at=now, **asked),
            Dispute(payment_id=paid, stripe_dispute_id="dp_1", status="inquiry", reason="fraudulent", opened_at=now, **asked),
            PaymentProblem(kind="credited", object_id=str(paid), payment_id=paid, found_at=now, **asked),
            SavedCard(payment_method_id="pm_1", saved_at=now, **card),
        ])  # fmt: skip


def pay_by_link(running: Running) -> dict[str, UUID]:
    """With the invoice that was mailed last: a payment by its link in each state."""
    now, found = clock.now(), {}
    with inside.inside(running.app, demo.ELM):
        newest = select(InvoiceMailing.id, Invoice.patient_id).join(
            Invoice, (Invoice.clinic_id == InvoiceMailing.clinic_id) & (Invoice.id == InvoiceMailing.invoice_id)
        )
        mailing_id, leo = db.session.execute(newest.order_by(InvoiceMailing.mailed_at.desc()).limit(1)).one()
        begun = {"patient_id": leo, "mailing_id": mailing_id, "way": "link", "amount_minor": 500, "currency": "usd"}
        begun |= {"account_id": "acct_nowhere", "started_at": now, "next_look_at": now + timedelta(days=9)}
        line = account.enter(leo, LineKind.PAYMENT, Money(500, "usd"), "Paid online", method=Method.CARD)
        for status in PaymentStatus:
            payment = Payment(id=uuid4(), status=status, **begun, **({"line_id": line} if status == PaymentStatus.SUCCEEDED else {}))
            db.session.add(payment)
            found[str(status)] = payment.id
    return found


def _hold_up(running: Running, found: Found) -> None:
    """At Zoe: a custody block, a hold, a guardian for an adult, and a day on which she comes of age."""
    with inside.inside(running.app, demo.ELM) as clinic, inside.acting("ana@elm.example"):
        for name, patient_id in (("leo", found.leo), ("zoe", found.zoe)):
            found.access[name] = portal_users.access_to(patient_id)[0].id
        hana = inside.contact("Hana Haddad").id
        today = clock.today(clinic.time_zone)
        nora = contacts.add(found.zoe, ContactDetails("Nora Novak", "nora@novak.example"), RelationshipKind.OTHER).id
        block = access_holds.block(found.zoe, contact_id=nora, email="", reason="A court said so on May 3.")
        hold = access_holds.hold(found.access["zoe"], "Court papers are awaited.", today + timedelta(days=9))
        found.holds = {"custody": block.id, "hold": hold.id}
        portal_users.mark_guardian(hana, found.zoe, True, "A court said so on May 4.")
        found.hana, found.hugo = hana, inside.contact("Hugo Haddad").id
        zoe = inside.patient("Zoe Haddad")
        zoe.birth_on = coming_of_age.born_until(today + timedelta(days=12), 18)


def _document(patient_id: UUID, title: str) -> UUID:
    return db.session.scalars(
        select(Document.id).where(Document.patient_id == patient_id, Document.title == title)
    ).one()


def link(running: Running, purpose: Purpose) -> str:
    """The address in a letter of this purpose, just mailed."""
    secret = inside.send_link(running.app, demo.ELM, purpose)
    host = "admin" if purpose in ON_ADMIN_HOST else demo.ELM
    return running.portal(host, inside.path_of(demo.ELM, purpose, secret))
