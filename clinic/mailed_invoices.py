"""Mailing an invoice: a letter to a contact with a link that opens its amount for a week.

Behind the link stand the clinic and the amount, nothing about the patient; the rest is on the portal, after signing in. Where
the clinic allows it, it can be paid there (`clinic/payments/by_link.py`). Its one surprise: the link may be opened as often as
one likes, for looking at it changes nothing; and it is good only while staff could still mail the invoice to that person.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import Select, bindparam, exists, func, or_, select

from clinic import account, audit, contacts, invoices, mailed_links
from clinic.actors import Holder
from clinic.contacts import Contact, Relationship
from clinic.invoices import PAID, TOTAL, Invoice, InvoiceMailing
from clinic.mailed_links import RESEND_AFTER, LinkState, MailedLink
from clinic.money import Money
from clinic.portal_users import HOLD_IS_IN_FORCE, AccessHold, PortalAccess, PortalUser
from mail import letters, outbox
from mail.letters import Addressee
from mail.outbox import OutgoingLetter
from tenancy import clock, link_tokens, tenant
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role


@dataclass(frozen=True)
class MailedInvoice:
    """What whoever follows the link may know: amount and day. The ids are for us to go on with, and mean nothing to anybody."""

    mailing_id: UUID
    invoice_id: UUID
    patient_id: UUID
    due: Money
    due_on: date | None
    is_void: bool


@dataclass(frozen=True)
class Mailing:
    """Where an invoice was sent, as staff see it."""

    name: str | None
    address: str
    mailed_at: datetime
    letter_state: str | None


def _holds(patient_id: Any, contact_id: Any, email_norm: Any) -> Select[UUID]:
    """What keeps a contact with this address from a patient now; each is a value, or a column of the row that asks."""
    by_address = select(PortalUser.id).where(PortalUser.clinic_id == AccessHold.clinic_id, PortalUser.email_norm == email_norm)
    by_access = select(PortalAccess.portal_user_id).where(
        PortalAccess.clinic_id == AccessHold.clinic_id,
        PortalAccess.contact_id == contact_id,
        PortalAccess.patient_id == patient_id,
    )
    return select(AccessHold.id).where(
        AccessHold.patient_id == patient_id,
        HOLD_IS_IN_FORCE,
        or_(
            AccessHold.contact_id == contact_id,
            AccessHold.email_norm == email_norm,
            AccessHold.portal_user_id.in_(by_address),
            AccessHold.portal_user_id.in_(by_access),
        ),
    )


# Of a mailing: its link is open, and its receiver has that address still, stands by the patient and is not kept from them.
# The same rule stands in migrations/row_security.sql; each holds by itself.
IS_GOOD = exists(MailedLink.id).where(
    MailedLink.clinic_id == InvoiceMailing.clinic_id,
    MailedLink.id == InvoiceMailing.link_id,
    MailedLink.ended_at.is_(None),
    MailedLink.expires_at > func.app.now(),
    Contact.clinic_id == InvoiceMailing.clinic_id,
    Contact.id == InvoiceMailing.contact_id,
    Contact.email_norm == MailedLink.email_norm,
    Invoice.clinic_id == InvoiceMailing.clinic_id,
    Invoice.id == InvoiceMailing.invoice_id,
    Relationship.clinic_id == InvoiceMailing.clinic_id,
    Relationship.contact_id == Contact.id,
    Relationship.patient_id == Invoice.patient_id,
    ~exists(_holds(Invoice.patient_id, Contact.id, MailedLink.email_norm)),
)
_MAILED: Any = (
    select(
        InvoiceMailing.id, Invoice.id, Invoice.patient_id, Invoice.currency, Invoice.due_on, Invoice.voided_at, TOTAL, PAID
    )
    .join(Invoice, (Invoice.clinic_id == InvoiceMailing.clinic_id) & (Invoice.id == InvoiceMailing.invoice_id))
    .where(InvoiceMailing.link_id == bindparam("link_id"), IS_GOOD)
)


def mail(invoice_id: UUID, patient_id: UUID, contact_id: UUID) -> UUID:
    """Send an open invoice to somebody who stands by the patient; returns the mailing's id. Their newest link wins.

    Raises NotFound, Refused where it cannot be sent, Conflict if it was sent there minutes ago.
    """
    account.lock(patient_id)
    invoices.lock(patient_id, [invoice_id])
    if not invoices.rows_of([invoice_id])[invoice_id].is_payable:
        raise Refused(_l("Only an invoice on which something is due can be mailed."))
    contact = _receiver(contact_id, patient_id)
    if _mailed_just_now(invoice_id, contact_id):
        raise Conflict(_l("It was mailed to this person a few minutes ago."))
    _supersede(invoice_id, contact_id)
    link = mailed_links.issue(Purpose.INVOICE, Holder(), contact.email_norm or "", beside_others=True)
    mailing = InvoiceMailing(invoice_id=invoice_id, link_id=link.id, contact_id=contact_id, mailed_at=clock.now())
    db.session.add(mailing)
    to = Addressee(contact.email or "", contact.language)
    link.letter_id = outbox.post(letters.InvoiceMailed(to=to, link_id=link.id))
    db.session.flush()
    audit.record("invoice.mailed", subject_id=invoice_id, patient_id=patient_id, contact=str(contact_id))
    return mailing.id


@contextmanager
def following(secret: str) -> Iterator[None]:
    """For a block, be whoever follows this link: to the database nobody but the one who knows the secret."""
    with tenant.acting(Role.PAYER, link_hash=link_tokens.token_hash(secret)):
        yield


def look(secret: str) -> tuple[LinkState, MailedInvoice | None]:
    """What became of the link that is followed, and while it is good what it opens. Raises NotFound for a secret of nobody's."""
    link = mailed_links.find(Purpose.INVOICE, secret)
    if link is None:
        raise NotFound("link")
    found = db.session.execute(_MAILED, {"link_id": link.id}).one_or_none()
    if found is None:
        return (LinkState.WITHDRAWN if link.is_good else link.state), None
    mailing_id, invoice_id, patient_id, currency, due_on, voided_at, total, paid = found
    due = Money(int(total - paid), currency)
    return LinkState.GOOD, MailedInvoice(mailing_id, invoice_id, patient_id, due, due_on, voided_at is not None)


def mailing_of(secret: str) -> UUID:
    """The mailing of the link that is followed, good or not. Raises NotFound."""
    link = mailed_links.find(Purpose.INVOICE, secret)
    found = select(InvoiceMailing.id).where(InvoiceMailing.link_id == link.id) if link else None
    mailing_id = db.session.scalars(found).one_or_none() if found is not None else None
    if mailing_id is None:
        raise NotFound("link")
    return mailing_id


def receiver_of(mailing_id: UUID) -> Addressee:
    """Where it was mailed, whatever the contact's address is now, in the contact's language."""
    address, language = db.session.execute(
        select(MailedLink.email_norm, Contact.language)
        .join(InvoiceMailing, (InvoiceMailing.clinic_id == MailedLink.clinic_id) & (InvoiceMailing.link_id == MailedLink.id))
        .outerjoin(Contact, (Contact.clinic_id == InvoiceMailing.clinic_id) & (Contact.id == InvoiceMailing.contact_id))
        .where(InvoiceMailing.id == mailing_id)
    ).one()
    return Addressee(address, language or Language.ENGLISH)


def of_invoice(invoice_id: UUID) -> list[Mailing]:
    """Newest first."""
    rows = db.session.execute(
        select(Contact.name, MailedLink.email_norm, InvoiceMailing.mailed_at, OutgoingLetter.state)
        .join(MailedLink, (MailedLink.clinic_id == InvoiceMailing.clinic_id) & (MailedLink.id == InvoiceMailing.link_id))
        .outerjoin(Contact, (Contact.clinic_id == InvoiceMailing.clinic_id) & (Contact.id == InvoiceMailing.contact_id))
        .outerjoin(
            OutgoingLetter,
            (OutgoingLetter.clinic_id == MailedLink.clinic_id) & (OutgoingLetter.id == MailedLink.letter_id),
        )
        .where(InvoiceMailing.invoice_id == invoice_id)
        .order_by(InvoiceMailing.mailed_at.desc(), InvoiceMailing.id)
    )
    return [Mailing(*row) for row in rows]


def _receiver(contact_id: UUID, patient_id: UUID) -> Contact:
    """Somebody who stands by the patient, has an address, and is not kept from the patient."""
    if contacts.find_stander(contact_id, patient_id) is None:
        raise NotFound("contact")
    contact = contacts.get(contact_id)
    if not contact.email_norm:
        raise Refused(_l("This contact has no e-mail address."), field="contact_id")
    if db.session.scalars(_holds(patient_id, contact_id, contact.email_norm)).first():
        raise Refused(_l("A custody block or a hold keeps this contact from the patient."), field="contact_id")
    return contact


def _mailed_just_now(invoice_id: UUID, contact_id: UUID) -> bool:
    just_now = select(InvoiceMailing.id).where(
        InvoiceMailing.invoice_id == invoice_id,
        InvoiceMailing.contact_id == contact_id,
        InvoiceMailing.mailed_at > clock.now() - RESEND_AFTER,
    )
    return db.session.scalars(just_now).first() is not None


def _supersede(invoice_id: UUID, contact_id: UUID) -> None:
    """The links that the same person was mailed to the same invoice before."""
    before = select(InvoiceMailing.link_id).where(
        InvoiceMailing.invoice_id == invoice_id, InvoiceMailing.contact_id == contact_id
    )
    mailed_links.supersede_these(before)
