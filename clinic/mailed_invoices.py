"""Mailing an invoice: a letter to a contact with a link that opens its amount for a week.

Behind the link stand the clinic and the amount, nothing about the patient; the rest is on the portal, after signing in. Its
one surprise: the link may be opened as often as one likes, for looking at it changes nothing.
"""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from flask_babel import lazy_gettext as _l
from sqlalchemy import or_, select

from clinic import account, audit, contacts, invoices, mailed_links
from clinic.actors import Holder
from clinic.contacts import Contact
from clinic.invoices import PAID, TOTAL, Invoice, InvoiceMailing
from clinic.mailed_links import RESEND_AFTER, LinkState, MailedLink
from clinic.money import Money
from clinic.portal_users import HOLD_IS_IN_FORCE, AccessHold, PortalUser
from mail import letters, outbox
from mail.letters import Addressee
from mail.outbox import OutgoingLetter
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.link_tokens import Purpose


@dataclass(frozen=True)
class MailedInvoice:
    """What whoever follows the link may know."""

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


def mail(invoice_id: UUID, patient_id: UUID, contact_id: UUID) -> UUID:
    """Send an open invoice to somebody who stands by the patient; returns the mailing's id.

    Raises NotFound, Refused where it cannot be sent, Conflict if it was sent there minutes ago.
    """
    account.lock(patient_id)
    invoices.lock(patient_id, [invoice_id])
    if not invoices.rows_of([invoice_id])[invoice_id].is_payable:
        raise Refused(_l("Only an invoice on which something is due can be mailed."))
    contact = _receiver(contact_id, patient_id)
    if _mailed_just_now(invoice_id, contact_id):
        raise Conflict(_l("It was mailed to this person a few minutes ago."))
    link = mailed_links.issue(Purpose.INVOICE, Holder(), contact.email_norm or "", beside_others=True)
    mailing = InvoiceMailing(invoice_id=invoice_id, link_id=link.id, contact_id=contact_id, mailed_at=clock.now())
    db.session.add(mailing)
    to = Addressee(contact.email or "", contact.language)
    link.letter_id = outbox.post(letters.InvoiceMailed(to=to, link_id=link.id))
    db.session.flush()
    audit.record("invoice.mailed", subject_id=invoice_id, patient_id=patient_id, contact=str(contact_id))
    return mailing.id


def look(secret: str) -> tuple[LinkState, MailedInvoice | None]:
    """What became of the link, and while it is good what it opens. Raises NotFound for a secret of nobody's."""
    link = mailed_links.find(Purpose.INVOICE, secret)
    if link is None:
        raise NotFound("link")
    if not link.is_good:
        return link.state, None
    found = db.session.execute(
        select(Invoice.currency, Invoice.due_on, Invoice.voided_at, TOTAL, PAID)
        .join(InvoiceMailing, (InvoiceMailing.clinic_id == Invoice.clinic_id) & (InvoiceMailing.invoice_id == Invoice.id))
        .where(InvoiceMailing.link_id == link.id)
    ).one()
    currency, due_on, voided_at, total, paid = found
    return link.state, MailedInvoice(Money(int(total - paid), currency), due_on, voided_at is not None)


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
    same_address = select(PortalUser.id).where(PortalUser.email_norm == contact.email_norm)
    kept_away = select(AccessHold.id).where(
        AccessHold.patient_id == patient_id,
        HOLD_IS_IN_FORCE,
        or_(
            AccessHold.contact_id == contact_id,
            AccessHold.email_norm == contact.email_norm,
            AccessHold.portal_user_id.in_(same_address),
        ),
    )
    if db.session.scalars(kept_away).first():
        raise Refused(_l("A custody block or a hold keeps this contact from the patient."), field="contact_id")
    return contact


def _mailed_just_now(invoice_id: UUID, contact_id: UUID) -> bool:
    just_now = select(InvoiceMailing.id).where(
        InvoiceMailing.invoice_id == invoice_id,
        InvoiceMailing.contact_id == contact_id,
        InvoiceMailing.mailed_at > clock.now() - RESEND_AFTER,
    )
    return db.session.scalars(just_now).first() is not None
