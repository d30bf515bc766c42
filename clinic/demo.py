"""`flask demo …`: two clinics to click through, with a small cast and a crowd of believable patients.

Elm Street takes payments, Oak Hill does not. Maria is a contact at both under one address. Everything is made by the
same verbs that the pages use, except what has no page yet (billing lines, invoices, accepted sign-ins).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import select

from clinic import (
    actors,
    addresses,
    appearance,
    appointments,
    contacts,
    demo_accounts,
    demo_messages,
    demo_papers,
    demo_processing,
    demo_sign_ins,
    document_types,
    documents,
    invitation_batches,
    patients,
    portal_settings,
)
from clinic.actors import Actor, ActorKind
from clinic.appointments import AppointmentDetails
from clinic.contacts import ContactDetails, Relationship, RelationshipKind
from clinic.demo_sign_ins import APP_SECRET, PASSWORD
from clinic.documents import DocumentDetails
from clinic.patients import Patient, PatientDetails
from clinic.portal_settings import SettingsDetails
from clinic.portal_users import PortalAccess, PortalUser
from clinic.staff import StaffMember, StaffRole
from mail import letterhead
from tenancy import clinics, clock, provisioning
from tenancy.clinics import Plan
from tenancy.database import db, transaction
from tenancy.settings import Settings
from tenancy.sites import admin_url, portal_url
from tenancy.tenant import Role

ELM, OAK = "elm-street", "oak-hill"
SIGN_INS = (
    (ELM, "staff", "ana@elm.example", "Ana, Admin"),
    (ELM, "staff", "ben@elm.example", "Ben, Billing"),
    (ELM, "staff", "fay@elm.example", "Fay, Front desk"),
    (ELM, "staff", "tom@elm.example", "Tom, Therapist"),
    (ELM, "portal", "maria@family.example", "Maria, mother of Leo and Mia"),
    (ELM, "portal", "omar@family.example", "Omar, father of Zoe"),
    (OAK, "staff", "ola@oak.example", "Ola, Admin"),
    (OAK, "portal", "maria@family.example", "Maria, the same address: mother of Nina"),
)
group = AppGroup("demo", help="The demo's clinics.")


@group.command("fill")
@click.option("--crowd", default=240, show_default=True, help="How many more patients the first clinic has.")
def fill_command(crowd: int) -> None:
    """Make the demo's clinics if they are not there yet."""
    fill(crowd)


@group.command("sign-ins")
def sign_ins_command() -> None:
    """Where to click, and who can sign in there."""
    settings: Settings = current_app.config["PORTICO"]
    for slug, door, email, who in SIGN_INS:
        url = admin_url(settings, slug) if door == "staff" else portal_url(settings, slug)
        click.echo(f"  {url:<42} {email:<24} {who}")
    click.echo(f"  Password of all of them: {PASSWORD}")
    click.echo("  Staff are asked for a code, too: see “Sign-in code” on the page of letters.")
    click.echo(f"  (Or add this key to an authenticator app: {APP_SECRET})")


@group.command("app-secret")
def app_secret_command() -> None:
    """The secret of the demo staff's authenticator app."""
    click.echo(APP_SECRET)


@group.command("sign-up")
def sign_up_command() -> None:
    """Elm Street signs up for payment processing at the stand-in for Stripe, if it has not yet, and mails an invoice."""
    with transaction():
        elm = clinics.find_at(ELM)
    assert elm
    demo_processing.sign_up(elm, "omar@family.example")


def fill(crowd: int = 0) -> None:
    """Both clinics with their cast, and `crowd` more patients at Elm Street. Does nothing the second time."""
    with transaction():
        is_there = clinics.find_at(OAK) is not None
    if is_there:
        return
    _found(ELM, "Elm Street Therapy", Plan.BILLING, "#1f6f6b", takes_payments=True)
    with _at(ELM):
        ana = _staff("Ana Alvarez", "ana@elm.example", StaffRole.ADMIN)
        _staff("Ben Brandt", "ben@elm.example", StaffRole.BILLING)
        _staff("Fay Fischer", "fay@elm.example", StaffRole.FRONT_DESK)
        _staff("Tom Tanaka", "tom@elm.example", StaffRole.THERAPIST)
        with actors.acting(Actor(ActorKind.STAFF, ana)):
            _elm_families()
            _crowd(crowd)
    demo_sign_ins.let_in(ELM)
    demo_messages.write(ELM, Actor(ActorKind.STAFF, ana), "maria@family.example", "Leo Lopez")
    _found(OAK, "Oak Hill Pediatrics", Plan.CORE, "#7a4b8f", takes_payments=False)
    with _at(OAK):
        ola = _staff("Ola Okafor", "ola@oak.example", StaffRole.ADMIN)
        with actors.acting(Actor(ActorKind.STAFF, ola)):
            _oak_families()
    demo_sign_ins.let_in(OAK)


def _found(slug: str, name: str, plan: Plan, accent: str, *, takes_payments: bool) -> None:
    clinic_id = provisioning.new_clinic_id()
    with clinics.open_clinic(clinic_id, Role.OPERATOR), transaction():
        provisioning.create(name=name, slug=slug, plan=plan)
        provisioning.set_payment_processing(takes_payments)
        portal_settings.stock()
    with _at(slug):
        shown = {row.id for row in document_types.listed() if row.name in ("Plan of Care", "Progress Note")}
        portal_settings.save(
            SettingsDetails(slug, f"front-desk@{slug}.example", shown, takes_payments, takes_payments)
        )
        letterhead.confirm()
        appearance.change(name=name, accent=accent)
        appearance.set_logo(demo_papers.logo(name[0], accent))


@contextmanager
def _at(slug: str) -> Iterator[None]:
    """Inside a demo clinic, in one transaction."""
    with transaction():
        clinic = clinics.find_at(slug)
    assert clinic is not None
    with clinics.open_clinic(clinic, Role.STAFF), transaction():
        yield


def _staff(name: str, email: str, role: StaffRole) -> UUID:
    now = clock.now()
    member = StaffMember(name=name, email=email, email_norm=email, role=role, invited_at=now, accepted_at=now)
    db.session.add(member)
    db.session.flush()
    return member.id


def _elm_families() -> None:
    leo = _patient("Leo Lopez", "Leo", date(2018, 3, 14))
    mia = _patient("Mia Lopez", "", date(2020, 9, 2))
    zoe = _patient("Zoe Haddad", "", date(2017, 6, 21))
    sam = _patient("Sam Grant", "Sammy", date(2019, 11, 5))
    maria = _contact(leo, "Maria Lopez", "maria@family.example")
    contacts.stand_by(maria, mia.id, RelationshipKind.PARENT)
    omar = _contact(zoe, "Omar Haddad", "omar@family.example")
    grace = _contact(sam, "Grace Grant", "grace@family.example", RelationshipKind.GRANDPARENT)
    _contact(sam, "Gus Grant", "gus@family.example", RelationshipKind.OTHER, do_not_invite=True)
    _user("Maria Lopez", "maria@family.example", maria, (leo, mia))
    _user("Omar Haddad", "omar@family.example", omar, (zoe,))
    for patient in (leo, mia, zoe):
        _papers(patient)
        _visits(patient)
        demo_accounts.fill(patient)
    pairs = [row.id for row in db.session.scalars(select(Relationship).where(Relationship.contact_id == grace))]
    invitation_batches.confirm(invitation_batches.choose(pairs).id)


def _oak_families() -> None:
    nina = _patient("Nina Lopez", "", date(2015, 1, 30))
    paul = _patient("Paul Peters", "", date(2016, 8, 8))
    maria = _contact(nina, "Maria Lopez", "maria@family.example")
    _contact(paul, "Petra Peters", "petra@family.example")
    _user("Maria Lopez", "maria@family.example", maria, (nina,))
    for patient in (nina, paul):
        _papers(patient)
        _visits(patient)
        demo_accounts.fill(patient)


def _patient(name: str, nickname: str, birth_on: date) -> Patient:
    return patients.add(PatientDetails(name=name, nickname=nickname, birth_on=birth_on))


def _contact(
    patient: Patient,
    name: str,
    email: str,
    kind: RelationshipKind = RelationshipKind.PARENT,
    *,
    do_not_invite: bool = False,
) -> UUID:
    details = ContactDetails(name, email, phone="555-0134", do_not_invite=do_not_invite)
    return contacts.add(patient.id, details, kind).id


def _user(name: str, email: str, contact_id: UUID, seen: tuple[Patient, ...]) -> None:
    """A portal user who accepted long ago."""
    now = clock.now()
    user = PortalUser(
        name=name, email=email, email_norm=addresses.normalised(email), invited_at=now, accepted_at=now
    )
    db.session.add(user)
    db.session.flush()
    for patient in seen:
        db.session.add(
            PortalAccess(
                portal_user_id=user.id,
                patient_id=patient.id,
                contact_id=contact_id,
                relationship=RelationshipKind.PARENT,
                starts_at=now,
            )
        )
    db.session.flush()


def _today() -> date:
    return clock.today(clinics.current().time_zone)


def _papers(patient: Patient) -> None:
    """A signed plan of care and progress note, a daily note (a hidden type), and a draft."""
    types = {row.name: row.id for row in document_types.listed()}
    for name, title, days_ago, is_signed in (
        ("Plan of Care", "Plan of care, autumn", 12, True),
        ("Progress Note", "Progress after ten visits", 40, True),
        ("Daily Note", "Visit note", 3, True),
        ("Plan of Care", "Plan of care, winter (draft)", 1, False),
    ):
        details = DocumentDetails(title, types[name], _today() - timedelta(days=days_ago))
        page = demo_papers.taken(title, [name, patient.name, details.dated_on.isoformat(), demo_papers.TEXT])
        document = documents.add(patient.id, details, page)
        if is_signed:
            documents.sign(document.id)


def _visits(patient: Patient) -> None:
    zone = ZoneInfo(clinics.current().time_zone)
    for days, hour, service in ((-14, 10, "Occupational therapy"), (3, 15, "Occupational therapy"), (10, 9, "Speech therapy")):
        day = _today() + timedelta(days=days)
        starts_at = datetime(day.year, day.month, day.day, hour, 30, tzinfo=zone)
        appointments.book(patient.id, AppointmentDetails(starts_at, 45, service, "Tom Tanaka", "Room 2"))


def _crowd(number: int) -> None:
    """Families drawn by a fixed seed: one or two patients, one or two contacts, now and then no address."""
    draw = Random(7)
    today = _today()
    for family in range(number):
        surname = draw.choice(demo_papers.SURNAMES)
        child = f"{draw.choice(demo_papers.FIRST_NAMES)} {surname}"
        patient = _patient(child, "", today - timedelta(days=draw.randint(2 * 365, 16 * 365)))
        for _each in range(draw.choice((1, 1, 2))):
            first = draw.choice(demo_papers.FIRST_NAMES)
            email = f"{first}.{surname}{family}@family.example".lower() if draw.random() < 0.93 else ""
            kind = draw.choice((RelationshipKind.PARENT, RelationshipKind.PARENT, RelationshipKind.GUARDIAN))
            _contact(patient, f"{first} {surname}", email, kind)
