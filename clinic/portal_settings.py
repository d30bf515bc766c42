"""Patient Portal Settings: the clinic's address, reply-to, visible document types and what else families find.

A change works on the next request, in every channel; each is recorded with before and after.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, select
from sqlalchemy.orm import Mapped, mapped_column

from clinic import addresses, audit, billing_settings, document_types, mailed_links, sessions
from clinic.actors import Holder
from mail import letterhead, letters, outbox
from tenancy import clinics, provisioning, tenant
from tenancy.database import Base, db
from tenancy.errors import NotFound
from tenancy.link_tokens import Purpose

OF_AGE = 18
OF_AGE_YEARS = range(13, 22)  # what a clinic may choose


class PortalSettings(Base):
    __tablename__ = "portal_settings"
    __table_args__ = (CheckConstraint(f"of_age_years BETWEEN {OF_AGE_YEARS[0]} AND {OF_AGE_YEARS[-1]}", name="of_age_years"),)

    clinic_id: Mapped[UUID] = mapped_column(
        ForeignKey("clinics.id"), primary_key=True, default=tenant.current_clinic_id
    )
    shows_balance: Mapped[bool] = mapped_column(default=False)
    shows_invoices: Mapped[bool] = mapped_column(default=False)
    asks_birth_date: Mapped[bool] = mapped_column(default=True)
    allows_messages: Mapped[bool] = mapped_column(default=False)
    allows_appointment_requests: Mapped[bool] = mapped_column(default=False)
    of_age_years: Mapped[int] = mapped_column(default=OF_AGE)  # from when on patients decide for themselves
    requires_second_factor: Mapped[bool] = mapped_column(default=False)


@dataclass(frozen=True)
class SettingsDetails:
    """What the settings form says. `shows_…` count only while payment processing is on."""

    slug: str
    reply_to: str
    visible_type_ids: set[UUID] = field(default_factory=set)
    shows_balance: bool = False
    shows_invoices: bool = False
    asks_birth_date: bool = True
    allows_messages: bool = False
    allows_appointment_requests: bool = False
    of_age_years: int = OF_AGE
    requires_second_factor: bool = False


def get() -> PortalSettings:
    """The open clinic's."""
    return db.session.scalars(select(PortalSettings)).one()


def stock() -> None:
    """Give a new clinic its settings, letterhead, billing settings and document types."""
    db.session.add_all([PortalSettings(), letterhead.Letterhead()])
    db.session.flush()
    billing_settings.stock()
    document_types.stock()


def save(details: SettingsDetails) -> None:
    """Save Patient Portal Settings: all of it or, with a sentence at the field, nothing. Raises Refused."""
    clinic = clinics.current()
    provisioning.check_slug(details.slug)
    reply_to = addresses.check_email(details.reply_to, field="reply_to") if details.reply_to.strip() else None
    settings = db.session.scalars(select(PortalSettings).with_for_update(key_share=True)).one()
    changes: dict[str, Any] = {}
    before, after = document_types.show_only(details.visible_type_ids)
    _note(changes, "visible_types", before, after)
    _set(changes, settings, "asks_birth_date", details.asks_birth_date)
    _set(changes, settings, "allows_messages", details.allows_messages)
    _set(changes, settings, "allows_appointment_requests", details.allows_appointment_requests)
    _set(changes, settings, "of_age_years", details.of_age_years)
    _set(changes, settings, "requires_second_factor", details.requires_second_factor)
    if clinic.payment_processing_is_on:
        _set(changes, settings, "shows_balance", details.shows_balance)
        _set(changes, settings, "shows_invoices", details.shows_invoices)
    if details.slug != clinic.slug:
        rename_portal(details.slug)  # before the reply-to: a rename withdraws every link mailed until now
    _set_reply_to(changes, reply_to)
    if changes:
        audit.record("portal_settings.saved", **changes)


def rename_portal(slug: str) -> None:
    """Another address for the portal. Sessions there and links that were mailed for it end. Raises Refused."""
    before = provisioning.rename(slug)
    if before == slug:
        return
    sessions.end_all_on_portal("portal renamed")
    mailed_links.withdraw_all_in_clinic()
    audit.record("portal.renamed", address=[before, slug])


def ask_to_confirm_reply_to() -> None:
    """Mail the confirmation of the present reply-to once more. Raises NotFound when there is none to confirm."""
    head = letterhead.of_clinic()
    if not head.reply_to or head.confirmed_at:
        raise NotFound("reply-to to confirm")
    link = mailed_links.issue(Purpose.REPLY_TO, Holder(), addresses.normalised(head.reply_to))
    link.letter_id = outbox.post(letters.ReplyToConfirmation(to=letters.Addressee(head.reply_to), link_id=link.id))


def look_at_confirmation(secret: str) -> mailed_links.LinkState:
    """The state of a confirmation link. Writes nothing. Raises NotFound."""
    link = mailed_links.find(Purpose.REPLY_TO, secret)
    if link is None:
        raise NotFound("link")
    asked_for = addresses.normalised(letterhead.of_clinic().reply_to or "")
    return link.state if not link.is_good or asked_for == link.email_norm else mailed_links.LinkState.SUPERSEDED


def confirm_reply_to(secret: str) -> mailed_links.LinkState:
    """Use up a confirmation link; returns what it was before: good means that it worked. Raises NotFound."""
    head = letterhead.of_clinic(lock=True)
    link = mailed_links.find(Purpose.REPLY_TO, secret)
    if link is None:
        raise NotFound("link")
    state = mailed_links.lock(link).state
    if state == mailed_links.LinkState.GOOD:
        if addresses.normalised(head.reply_to or "") != link.email_norm:
            return mailed_links.LinkState.SUPERSEDED
        mailed_links.use(link)
        letterhead.confirm()
        audit.record("reply_to.confirmed")
    return state


def _set_reply_to(changes: dict[str, Any], reply_to: str | None) -> None:
    head = letterhead.of_clinic(lock=True)
    if (head.reply_to or "") == (reply_to or ""):
        return
    _note(changes, "reply_to", head.reply_to, reply_to)
    head.reply_to, head.confirmed_at = reply_to, None
    mailed_links.supersede(Purpose.REPLY_TO, Holder())
    db.session.flush()
    if reply_to:
        ask_to_confirm_reply_to()


def _set(changes: dict[str, Any], settings: PortalSettings, name: str, value: bool | int) -> None:
    _note(changes, name, getattr(settings, name), value)
    setattr(settings, name, value)


def _note(changes: dict[str, Any], name: str, before: Any, after: Any) -> None:
    if before != after:
        changes[name] = [before, after]
