"""Who may read what at a clinic, in plain Python: the model that T05 holds the system against.

It knows no SQL and no domain code; it is the rules of PRODUCT.md section 4, once more and by hand.
"""

from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

Pair = tuple[str, str]  # (e-mail, patient's name)


@dataclass
class User:
    accepted: bool
    deactivated: bool = False

    @property
    def may_sign_in(self) -> bool:
        return self.accepted and not self.deactivated


@dataclass
class Access:
    records: bool
    billing: bool
    is_self: bool
    guardian: bool = False
    ends_on: date | None = None
    came_of_age: bool = False


@dataclass
class Document:
    patient: str
    type_name: str
    is_signed: bool
    is_held: bool = False


@dataclass
class Model:
    """One clinic."""

    takes_payments: bool
    types: set[str]  # visible
    shows_balance: bool
    shows_invoices: bool
    allows_messages: bool
    is_suspended: bool = False
    adults: set[str] = field(default_factory=set)
    discharged: set[str] = field(default_factory=set)
    users: dict[str, User] = field(default_factory=dict)
    access: dict[Pair, Access] = field(default_factory=dict)
    guardians: set[Pair] = field(default_factory=set)  # marked at the contact
    blocks: set[Pair] = field(default_factory=set)
    holds: dict[Pair, date | None] = field(default_factory=dict)
    documents: dict[UUID, Document] = field(default_factory=dict)
    invoices: dict[UUID, str] = field(default_factory=dict)
    lines: dict[UUID, tuple[str, UUID | None]] = field(default_factory=dict)
    conversations: dict[UUID, Pair] = field(default_factory=dict)

    def is_held(self, pair: Pair, today: date) -> bool:
        until = self.holds.get(pair)
        return pair in self.holds and (until is None or today <= until)

    def is_live(self, pair: Pair, today: date) -> bool:
        access = self.access.get(pair)
        if access is None or pair in self.blocks or self.is_held(pair, today):
            return False
        return access.ends_on is None or today <= access.ends_on

    def age_allows(self, access: Access, patient: str) -> bool:
        return access.is_self or access.guardian or patient not in self.adults

    def patients(self, email: str, today: date) -> dict[str, tuple[bool, bool]]:
        """Patient → (records, billing), of those of whom this person sees anything."""
        found = {}
        for (owner, patient), access in self.access.items():
            if owner == email and self.is_live((owner, patient), today):
                parts = (access.records and self.age_allows(access, patient), access.billing)
                if any(parts):
                    found[patient] = parts
        return found

    def readable(self, email: str, today: date) -> dict[str, set[UUID | str]]:
        """Kind of thing → which of them."""
        seen = self.patients(email, today)
        with_records = {patient for patient, (records, _billing) in seen.items() if records}
        with_billing = {patient for patient, (_records, billing) in seen.items() if billing and self.takes_payments}
        invoices: set[UUID | str] = {
            each for each, patient in self.invoices.items() if patient in with_billing and self.shows_invoices
        }
        return {
            "patients": set(seen),
            "documents": {
                each
                for each, document in self.documents.items()
                if document.patient in with_records
                and document.type_name in self.types
                and document.is_signed
                and not document.is_held
            },
            "invoices": invoices,
            "account_lines": {
                each
                for each, (patient, invoice) in self.lines.items()
                if patient in with_billing and (self.shows_balance or invoice in invoices)
            },
            "conversations": {
                each
                for each, (owner, patient) in self.conversations.items()
                if owner == email and patient in with_records and self.allows_messages
            },
        }

    def fate(self, email: str, patient: str) -> str:
        """What becomes of an invitation."""
        if (email, patient) in self.blocks:
            return "custody_block"
        if patient in self.discharged:
            return "inactive_patient"
        user = self.users.get(email)
        if user and user.deactivated:
            return "deactivated"
        if (email, patient) in self.access:
            return "has_access"
        return "access_added" if user and user.accepted else "invited"

    def may_accept(self, email: str, today: date) -> bool:
        user = self.users.get(email)
        mine = {patient for owner, patient in self.access if owner == email and self.is_live((owner, patient), today)}
        return bool(user and not user.accepted and not user.deactivated and mine - self.discharged)

    def come_of_age(self) -> None:
        """What the hourly job writes down."""
        for (email, patient), access in list(self.access.items()):
            if access.records and not self.age_allows(access, patient):
                access.came_of_age = True
                access.records = False
                if not access.billing:
                    del self.access[email, patient]
