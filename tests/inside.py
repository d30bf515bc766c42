"""Standing inside a clinic, below HTTP: its people, its mailed links, its letters."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import select, text, update

from clinic import (
    actors,
    billing,
    demo,
    email_changes,
    invitations,
    invoices,
    mailed_invoices,
    portal_settings,
    reset_requests,
    second_factors,
    sign_in,
    staff,
)
from clinic.actors import Actor, ActorKind, Holder
from clinic.contacts import Contact, Relationship
from clinic.mailed_links import MailedLink
from clinic.money import Money
from clinic.passkeys import Passkey
from clinic.patients import Patient
from clinic.portal_users import PortalUser
from clinic.second_factors import AuthenticatorSecret, authenticators
from clinic.staff import StaffMember, StaffRole
from mail import letterhead, rendering
from mail.outbox import OutgoingLetter
from mail.rendering import Page
from tenancy import clinics, clock, keys, link_tokens, tenant
from tenancy.clinics import ClinicEntry
from tenancy.database import db, transaction
from tenancy.jobs import QUEUE_ROLE
from tenancy.link_tokens import ON_ADMIN_HOST, Purpose
from tenancy.tenant import Role

ADDRESSEES = {
    Purpose.INVITATION: "grace@family.example",
    Purpose.PASSWORD_RESET: "maria@family.example",
    Purpose.STAFF_INVITATION: "nora@elm.example",
    Purpose.STAFF_PASSWORD_RESET: "ana@elm.example",
    Purpose.EMAIL_CHANGE: "maria@family.example",
    Purpose.STAFF_EMAIL_CHANGE: "ana@elm.example",
    Purpose.SIGN_IN_RESET: "omar@family.example",
    Purpose.STAFF_SIGN_IN_RESET: "ana@elm.example",
    Purpose.REPLY_TO: "desk@elm.example",
    Purpose.INVOICE: "maria@family.example",
}
EMAIL_CHANGES = (Purpose.EMAIL_CHANGE, Purpose.STAFF_EMAIL_CHANGE)


@contextmanager
def inside(app: Flask, slug: str, role: Role = Role.STAFF, portal_user_id: UUID | None = None) -> Iterator[ClinicEntry]:
    """One transaction inside a clinic, in an application context of its own."""
    with app.app_context():
        with transaction():
            clinic = clinics.find_at(slug)
        assert clinic is not None, slug
        with clinics.open_clinic(clinic, role):
            if portal_user_id:
                tenant.become(role, portal_user_id)
            with transaction():
                yield clinic


@contextmanager
def at_the_door(app: Flask, slug: str, email: str) -> Iterator[Holder]:
    """At the door, for this staff member or portal user alone, as in a session of theirs."""
    with inside(app, slug):
        members = select(StaffMember).where(StaffMember.email_norm == email)
        users = select(PortalUser).where(PortalUser.email_norm == email)
        person = db.session.scalars(members).one_or_none() or db.session.scalars(users).one()
        holder = person.holder
    with app.app_context():
        with transaction():
            clinic = clinics.find_at(slug)
        assert clinic is not None
        own = {"staff_member_id": holder.staff_member_id, "portal_user_id": holder.portal_user_id}
        with clinics.open_clinic(clinic, Role.DOOR), tenant.acting(Role.DOOR, **own), transaction():
            yield holder


def give_app(app: Flask, slug: str, email: str) -> None:
    """As if this person had set up the demo's authenticator app, if they have none."""
    with at_the_door(app, slug, email) as holder:
        if not second_factors.of_holder(holder).exist:
            authenticators.keep(holder, demo.APP_SECRET, last_step=0)


def give_passkey(app: Flask, slug: str, email: str) -> UUID:
    """As if this person had set up a passkey, on a device that is not at hand."""
    with at_the_door(app, slug, email) as holder:
        made = {"credential_id": secrets.token_bytes(32), "public_key": b"", "sign_count": 0, "host": "nowhere.localhost"}
        times = {"created_at": clock.now(), "challenged_at": clock.now()}
        own = {"staff_member_id": holder.staff_member_id, "portal_user_id": holder.portal_user_id}
        passkey = Passkey(id=uuid4(), name="A phone", **made, **times, **own)
        db.session.add(passkey)
        return passkey.id


def forget_spent_codes(app: Flask, slug: str, email: str) -> None:
    """As if this staff member's last code were long ago: a code is good once, and tests do not wait for the next."""
    with at_the_door(app, slug, email):
        db.session.execute(update(AuthenticatorSecret).values(last_step=0))


@contextmanager
def acting(email: str) -> Iterator[None]:
    """As this staff member of the open clinic."""
    with actors.acting(Actor(ActorKind.STAFF, member(email).id)):
        yield


def patient(name: str) -> Patient:
    return db.session.scalars(select(Patient).where(Patient.name == name)).one()


def contact(name: str) -> Contact:
    return db.session.scalars(select(Contact).where(Contact.name == name)).one()


def user(email: str) -> PortalUser:
    return db.session.scalars(select(PortalUser).where(PortalUser.email_norm == email)).one()


def member(email: str) -> StaffMember:
    return db.session.scalars(select(StaffMember).where(StaffMember.email_norm == email)).one()


def pair(contact_name: str, patient_name: str) -> Relationship:
    return db.session.scalars(
        select(Relationship).where(
            Relationship.contact_id == contact(contact_name).id, Relationship.patient_id == patient(patient_name).id
        )
    ).one()


def send_link(app: Flask, slug: str, purpose: Purpose) -> str:
    """Mail a link of this purpose to its addressee at the first demo clinic; returns the secret."""
    email = ADDRESSEES[purpose]
    if purpose is Purpose.SIGN_IN_RESET:
        give_app(app, slug, email)
    role = {Purpose.STAFF_INVITATION: Role.OPERATOR, **dict.fromkeys(EMAIL_CHANGES, Role.DOOR)}.get(purpose, Role.STAFF)
    with inside(app, slug, role):
        if purpose is Purpose.INVITATION:
            invitations.send(user(email))
        elif purpose is Purpose.PASSWORD_RESET:
            sign_in.mail_reset(user(email))
        elif purpose is Purpose.STAFF_INVITATION:
            known = staff.find_by_email(email)
            staff.send_invitation(known) if known else staff.invite(email=email, role=StaffRole.ADMIN, name="Nora New")
        elif purpose in EMAIL_CHANGES:
            person = member(email) if purpose in ON_ADMIN_HOST else user(email)
            email_changes.ask(person.holder, email=f"new-{email}", password=demo.PASSWORD)
        elif purpose is Purpose.INVOICE:
            leo = patient("Leo Lopez").id
            sent = invoices.draft(leo, [billing.charge(leo, Money(5000, "usd"), "A visit")])
            invoices.issue(sent, leo)
            mailed_invoices.mail(sent, leo, contact("Maria Lopez").id)
        elif purpose is Purpose.STAFF_PASSWORD_RESET:
            sign_in.mail_staff_reset(member(email))
        elif purpose in (Purpose.SIGN_IN_RESET, Purpose.STAFF_SIGN_IN_RESET):
            sign_in.start_reset((member if purpose in ON_ADMIN_HOST else user)(email).holder)
        else:
            head = letterhead.of_clinic()
            head.reply_to, head.confirmed_at = email, None
            db.session.flush()
            portal_settings.ask_to_confirm_reply_to()
    return secret(app, slug, purpose)


def newest_link(purpose: Purpose) -> MailedLink:
    return db.session.scalars(
        select(MailedLink).where(MailedLink.purpose == purpose).order_by(MailedLink.issued_at.desc()).limit(1)
    ).one()


def secret(app: Flask, slug: str, purpose: Purpose) -> str:
    """What the newest link of this purpose has in its address."""
    with inside(app, slug, Role.DOOR):
        return link_tokens.token(keys.signing_key(link_tokens.KEY_PURPOSE), purpose, newest_link(purpose).id)


def path_of(slug: str, purpose: Purpose, secret: str) -> str:
    """A mailed link's path on its host."""
    prefix = f"/{slug}" if purpose in ON_ADMIN_HOST else ""
    return f"{prefix}/link/{purpose}/{secret}"


def waiting_jobs(app: Flask, name: str) -> list[dict[str, Any]]:
    """What the jobs of this name are told, the oldest first."""
    with app.app_context(), clinics.nobody_asking(), transaction():
        db.session.execute(text(f"SET LOCAL ROLE {QUEUE_ROLE}"))
        found = text("SELECT args FROM q.procrastinate_jobs WHERE task_name = :name ORDER BY id")
        return list(db.session.scalars(found, {"name": name}))


def mail_resets(app: Flask) -> None:
    """What the worker does about the links that were asked for, in all clinics."""
    for job in waiting_jobs(app, reset_requests.MAIL):
        with app.app_context(), clinics.open_clinic(UUID(job.pop("clinic_id")), Role.DOOR):
            reset_requests.mail(**job)
    with app.app_context(), clinics.nobody_asking(), transaction():
        db.session.execute(text(f"SET LOCAL ROLE {QUEUE_ROLE}"))
        db.session.execute(text("DELETE FROM q.procrastinate_jobs WHERE task_name = :name"), {"name": reset_requests.MAIL})


def letters(app: Flask, slug: str) -> list[OutgoingLetter]:
    """The clinic's outbox, oldest first."""
    with inside(app, slug):
        return list(db.session.scalars(select(OutgoingLetter).order_by(OutgoingLetter.posted_at, OutgoingLetter.id)))


def written(app: Flask, slug: str) -> list[Page]:
    """Every letter of the outbox, as the worker would write it now."""
    with inside(app, slug, Role.MAILER) as clinic:
        head, key = letterhead.of_clinic(), rendering.signing_key()
        rows = db.session.scalars(select(OutgoingLetter).order_by(OutgoingLetter.posted_at, OutgoingLetter.id)).all()
        return [rendering.written(row.letter, clinic, head, key) for row in rows]
