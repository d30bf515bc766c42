"""Whom staff can invite: (contact, patient) pairs with an address, an active patient and no portal access yet.

Pairs that only a custody block forbids are listed too, as refused. Answers in constant time whatever the clinic's size:
an index over the listed pairs alone, paged by key.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, or_, select, tuple_

from clinic import names, word_search
from clinic.contacts import Contact, Relationship
from clinic.patients import Patient
from tenancy.database import db

PAGE = 50


@dataclass(frozen=True)
class InvitablePair:
    """A line of the invite list; `cursor` pages on from it."""

    relationship_id: UUID
    list_key: str
    contact_id: UUID
    contact_name: str
    email: str
    kind: str
    patient_id: UUID
    patient_name: str
    do_not_invite: bool
    is_blocked: bool

    @property
    def is_refused(self) -> bool:
        return self.do_not_invite or self.is_blocked

    @property
    def cursor(self) -> tuple[str, UUID]:
        return self.list_key, self.relationship_id


_PAIRS = (
    select(
        Relationship.id,
        Relationship.list_key,
        Contact.id,
        Contact.name,
        Contact.email,
        Relationship.kind,
        Patient.id,
        Patient.name,
        Contact.do_not_invite,
        Relationship.is_blocked,
    )
    .join(Contact, (Contact.clinic_id == Relationship.clinic_id) & (Contact.id == Relationship.contact_id))
    .join(Patient, (Patient.clinic_id == Relationship.clinic_id) & (Patient.id == Relationship.patient_id))
    .where(Relationship.is_invitable | Relationship.is_blocked)
    .order_by(Relationship.list_key, Relationship.id)
)


def page(
    typed: str = "", *, after: tuple[str, UUID] | None = None, patient_id: UUID | None = None, limit: int = PAGE
) -> list[InvitablePair]:
    """A page of pairs by contact's name, perhaps of one patient only."""
    statement = matching(_PAIRS, typed).limit(limit)
    if after:
        statement = statement.where(
            tuple_(Relationship.list_key, Relationship.id)
            > tuple_(bindparam("key", after[0]), bindparam("id", after[1]))
        )
    if patient_id:
        statement = statement.where(Relationship.patient_id == patient_id)
    return [InvitablePair(*row) for row in db.session.execute(statement)]


def count_up_to(most: int, typed: str = "") -> int:
    """How many pairs match, counted no further than `most`."""
    some = matching(select(Relationship.id).where(Relationship.is_invitable), typed).limit(most)
    return len(db.session.execute(some).all())


def matching(statement: Any, typed: str) -> Any:
    """A `Select` over relationships, narrowed: each word typed begins a word of the contact's name or address, or of the patient's name."""
    for number, word in enumerate(names.search_words(typed)):
        found = word_search.owners(word, f"word{number}")
        statement = statement.where(or_(Relationship.contact_id.in_(found), Relationship.patient_id.in_(found)))
    return statement
