"""Lost if it fails: the wrong person gets the letter, or a login moves to an address that nobody confirmed."""

from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import addresses, contacts, demo, invitation_list, portal_users
from clinic.audit import AuditEntry
from clinic.contacts import ContactDetails, RelationshipKind
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tests.inside import acting, contact, inside, pair, patient, user


def test_a_corrected_address_never_moves_a_login(app: Flask) -> None:
    """Staff who mistype an address do not hand Maria's sign-in to whoever has it."""
    with inside(app, demo.ELM), acting("ana@elm.example"):
        contacts.change(contact("Maria Lopez").id, ContactDetails("Maria Lopez", "somebody@else.example"))
        assert user("maria@family.example").email == "maria@family.example"
        entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "contact.changed")).one()
        assert entry.details == {"address_changed": True}  # and neither address


def test_two_contacts_may_share_an_address_and_staff_can_see_it(app: Flask) -> None:
    with inside(app, demo.ELM):
        contacts.add(patient("Mia Lopez").id, ContactDetails("Abuela", " MARIA@family.example"), RelationshipKind.GRANDPARENT)
        assert {each.name for each in contacts.find_same_address("Maria@Family.example")} == {"Abuela", "Maria Lopez"}


def test_a_contact_stands_by_several_patients_each_once(app: Flask) -> None:
    with inside(app, demo.ELM):
        omar, leo = contact("Omar Haddad").id, patient("Leo Lopez").id
        contacts.stand_by(omar, leo, RelationshipKind.CASEWORKER)
        assert [(name, kind) for _id, name, kind in contacts.patients_of(omar)] == [("Leo Lopez", "caseworker"), ("Zoe Haddad", "parent")]
        with pytest.raises(Conflict):
            contacts.stand_by(omar, leo, RelationshipKind.PARENT)
        assert [each.name for each in contacts.of_patient(leo)] == ["Maria Lopez", "Omar Haddad"]


def test_a_kind_is_corrected_for_one_patient_only(app: Flask) -> None:
    with inside(app, demo.ELM):
        maria = contact("Maria Lopez").id
        contacts.correct_kind(maria, patient("Leo Lopez").id, RelationshipKind.GUARDIAN)
        assert {name: kind for _id, name, kind in contacts.patients_of(maria)} == {"Leo Lopez": "guardian", "Mia Lopez": "parent"}
        entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "relationship.changed")).one()
        assert entry.details == {"kind": ["parent", "guardian"]}


def test_parting_takes_the_pair_off_the_list_and_leaves_the_access(app: Flask) -> None:
    """Ending access is a decision of its own; it never happens by tidying up contacts, and never is forgotten silently."""
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
        assert contacts.part(pair("Maria Lopez", "Leo Lopez").id) == leo
        assert [each.name for each in contacts.of_patient(leo)] == []
        assert [each.portal_user_name for each in portal_users.access_to(leo)] == ["Maria Lopez"]
        with pytest.raises(NotFound):
            contacts.part(uuid4())


def test_whom_one_can_invite_follows_every_change(app: Flask) -> None:
    def listed() -> list[str]:
        return [row.contact_name for row in invitation_list.page()]

    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
        assert listed() == ["Gus Grant"]
        aunt = contacts.add(leo, ContactDetails("Aunt Ada"), RelationshipKind.OTHER)
        assert listed() == ["Gus Grant"]  # no address
        contacts.change(aunt.id, ContactDetails("Aunt Ada", "ada@family.example"))
        assert listed() == ["Aunt Ada", "Gus Grant"]
        contacts.change(aunt.id, ContactDetails("Zia Ada", "ada@family.example"))
        assert listed() == ["Gus Grant", "Zia Ada"]  # sorted by the new name
        contacts.change(aunt.id, ContactDetails("Zia Ada", "maria@family.example"))
        assert listed() == ["Gus Grant"]  # Maria has access to Leo already
        contacts.stand_by(aunt.id, patient("Zoe Haddad").id, RelationshipKind.OTHER)
        assert listed() == ["Gus Grant", "Zia Ada"]  # but none to Zoe


def test_contacts_are_found_by_name_and_address(app: Flask) -> None:
    with inside(app, demo.ELM):
        assert [row.name for row in contacts.search("maria@fam")] == ["Maria Lopez"]
        assert [row.name for row in contacts.search("g grant")] == ["Grace Grant", "Gus Grant"]
        assert contacts.search("petra") == []
        assert contacts.search("maria")[0].patients == ["Leo Lopez", "Mia Lopez"]


@pytest.mark.parametrize(
    "typed",
    ["maria", "maria@", "@family.example", "a b@family.example", "maria@family", "maria@family..example", "maria@family.example\nBcc: x@y.example",
     "Maria <maria@family.example>", "a@b.example, c@d.example", '"a"@b.example, c@d.example', "=?utf-8?q?a?=@b.example", "x" * 320 + "@b.example", "mañana@b.example"],
)  # fmt: skip
def test_what_is_no_single_plain_address_is_refused(app: Flask, typed: str) -> None:
    with inside(app, demo.ELM), pytest.raises(Refused) as refusal:
        contacts.add(patient("Leo Lopez").id, ContactDetails("Max", typed), RelationshipKind.OTHER)
    assert refusal.value.field == "email"


@pytest.mark.parametrize("typed", [" Maria@Family.Example ", "o'neil+leo@family.example", "maria@sub.family.example", "1@2.example"])
def test_an_address_is_taken_as_people_have_them(typed: str) -> None:
    kept = addresses.check_email(typed)
    assert addresses.normalised(kept) == typed.strip().lower()


@pytest.mark.parametrize(
    ("email", "odd"),
    [("a@gmial.com", True), ("a@gmail.con", True), ("a@hotmial.com", True), ("a@yahooo.com", True), ("a@family.ocm", True),
     ("a@gmail.com", False), ("a@yahoo.co.uk", False), ("a@company.com", False), ("a@outlook.com", False), ("a@family.example", False), ("a@icloud.com", False)],
)  # fmt: skip
def test_a_mistyped_domain_is_warned_of_and_a_right_one_is_not(email: str, odd: bool) -> None:
    assert addresses.looks_mistyped(email) is odd


def test_too_long_a_phone_number_is_refused_at_its_field(app: Flask) -> None:
    with inside(app, demo.ELM), pytest.raises(Refused) as refusal:
        contacts.add(patient("Leo Lopez").id, ContactDetails("Max", phone="5" * 41), RelationshipKind.OTHER)
    assert refusal.value.field == "phone"
