"""Lost if it fails: a wrong person reads on after the clinic corrected the address, or a right one is cut off unasked."""

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import (
    access_holds,
    contacts,
    corrected_contacts,
    demo,
    invitation_batches,
    invitation_warnings,
    portal_users,
)
from clinic.audit import AuditEntry
from clinic.contacts import ContactDetails, RelationshipKind
from clinic.invitation_warnings import WarningKind
from tenancy.database import db
from tenancy.errors import Conflict, NotFound
from tests.inside import contact, inside, letters, pair, patient, user
from tests.visitor import Visitor

MARIA, NEW, SHARED = "maria@family.example", "maria.new@family.example", "haddads@family.example"


def correct(ana: Visitor, app: Flask, name: str, patient_name: str, email: str) -> str:
    """Staff type another address for a contact; returns where the page leads."""
    with inside(app, demo.ELM):
        path = f"/{demo.ELM}/patients/{patient(patient_name).id}/contacts/{contact(name).id}"
        kind = pair(name, patient_name).kind
    ana.read(path)
    answer = ana.post(path, {"name": name, "kind": kind, "email": email, "language": "en"})
    assert answer.status_code == 303
    return answer.headers["Location"]


def sees(app: Flask, email: str) -> set[str]:
    with inside(app, demo.ELM):
        return {each.patient_name for each in portal_users.access_of(user(email).id)}


def events(app: Flask, event: str) -> list[AuditEntry]:
    with inside(app, demo.ELM):
        return list(db.session.scalars(select(AuditEntry).where(AuditEntry.event == event)))


def share(app: Flask) -> None:
    """Hana and Hugo stand by Zoe, Hugo also by Sam, and both have one address, which was invited for each."""
    with inside(app, demo.ELM):
        zoe, sam = patient("Zoe Haddad").id, patient("Sam Grant").id
        for name in ("Hana Haddad", "Hugo Haddad"):
            contacts.add(zoe, ContactDetails(name, SHARED), RelationshipKind.GRANDPARENT)
        contacts.stand_by(contact("Hugo Haddad").id, sam, RelationshipKind.OTHER)
        pairs = [pair("Hana Haddad", "Zoe Haddad").id, pair("Hugo Haddad", "Zoe Haddad").id, pair("Hugo Haddad", "Sam Grant").id]
        invitation_batches.confirm(invitation_batches.choose(pairs).id)


def test_a_login_never_moves_because_staff_edited_a_contact(app: Flask, ana: Visitor, maria: Visitor) -> None:
    asked = correct(ana, app, "Maria Lopez", "Leo Lopez", NEW)
    assert "/sign-ins/" in asked
    page = ana.read(asked)
    assert "Does this sign-in still belong to Maria Lopez?" in page and "Leo Lopez" in page and "Mia Lopez" in page
    assert maria.get("/").status_code == 200
    assert sees(app, MARIA) == {"Leo Lopez", "Mia Lopez"}


def test_the_sign_in_may_stay_as_it_is(app: Flask, ana: Visitor, maria: Visitor) -> None:
    asked = correct(ana, app, "Maria Lopez", "Leo Lopez", NEW)
    ana.read(asked)
    assert ana.post(f"{asked}/keeping").status_code == 303
    assert sees(app, MARIA) == {"Leo Lopez", "Mia Lopez"}
    with inside(app, demo.ELM):
        whose = (contact("Maria Lopez").id, str(user(MARIA).id))
    entry = events(app, "contact_sign_in.kept")[-1]
    assert (entry.subject_id, entry.details["portal_user_id"]) == whose
    contacts_page = ana.read(asked.partition("/contacts/")[0] + "/contacts")
    assert "The contact’s address is another one" in contacts_page


def test_or_what_it_sees_ends_and_the_new_address_is_invited(app: Flask, ana: Visitor, maria: Visitor) -> None:
    asked = correct(ana, app, "Maria Lopez", "Leo Lopez", NEW)
    ana.read(asked)
    ended = ana.post(f"{asked}/ending")
    assert "/invitations/" in ended.headers["Location"]
    assert sees(app, MARIA) == set()
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
    assert maria.get(f"/patients/{leo}/").status_code == 404  # on the next request
    confirmation = ana.read(ended.headers["Location"])
    assert confirmation.count(NEW.replace("@", "<wbr>@")) + confirmation.count(NEW) >= 2
    assert ana.post(ended.headers["Location"]).status_code == 303
    assert sees(app, NEW) == {"Leo Lopez", "Mia Lopez"}
    assert (letters(app, demo.ELM)[-1].kind, letters(app, demo.ELM)[-1].to_address) == ("portal_invitation", NEW)
    entry = events(app, "contact_sign_in.ended")[-1]
    assert entry.details["patients"] == 2
    assert len(events(app, "portal_access.ended")) == 2


def test_only_this_contacts_patients_are_ended(app: Flask, ana: Visitor) -> None:
    """Maria's sign-in may also see somebody else's child, by another contact record."""
    with inside(app, demo.ELM):
        contacts.add(patient("Zoe Haddad").id, ContactDetails("Aunt Maria", MARIA), RelationshipKind.OTHER)
        batch = invitation_batches.choose([pair("Aunt Maria", "Zoe Haddad").id])
        invitation_batches.confirm(batch.id)
    asked = correct(ana, app, "Maria Lopez", "Leo Lopez", NEW)
    ana.read(asked)
    ana.post(f"{asked}/ending")
    assert sees(app, MARIA) == {"Zoe Haddad"}


def test_a_shared_sign_in_keeps_what_the_other_contact_stands_by(app: Flask, ana: Visitor) -> None:
    """Correcting Hugo's address must not cut Hana off from Zoe; Sam, by whom only Hugo stands, ends."""
    share(app)
    assert sees(app, SHARED) == {"Zoe Haddad", "Sam Grant"}
    asked = correct(ana, app, "Hugo Haddad", "Zoe Haddad", "hugo@family.example")
    page = ana.read(asked)
    assert "Zoe Haddad stays, because of Hana Haddad." in page and "Ends: Sam Grant." in page
    ended = ana.post(f"{asked}/ending")
    assert sees(app, SHARED) == {"Zoe Haddad"}
    ana.read(ended.headers["Location"])
    ana.post(ended.headers["Location"])
    assert sees(app, "hugo@family.example") == {"Zoe Haddad", "Sam Grant"}


def test_an_access_on_hold_is_asked_about_too(app: Flask, ana: Visitor) -> None:
    """Else it would come back to the old address by itself, when the hold is lifted."""
    with inside(app, demo.ELM):
        for access in portal_users.access_of(user(MARIA).id):
            access_holds.hold(access.id, "A court is asked.")
    asked = correct(ana, app, "Maria Lopez", "Leo Lopez", NEW)
    assert "Leo Lopez, Mia Lopez" in ana.read(asked)
    ana.post(f"{asked}/ending")
    assert sees(app, MARIA) == set()


def test_an_invitation_still_under_way_to_the_old_address_is_taken_back(app: Flask, ana: Visitor) -> None:
    asked = correct(ana, app, "Grace Grant", "Sam Grant", "grace.new@family.example")
    ana.read(asked)
    ana.post(f"{asked}/ending")
    with inside(app, demo.ELM):
        assert portal_users.row_of(user("grace@family.example").id).state == "expired"


def test_front_desk_may_end_it_and_leaves_the_inviting_to_an_admin(app: Flask) -> None:
    fay = Visitor(app, "http://admin.localhost:8000").sign_in("fay@elm.example", f"/{demo.ELM}")
    asked = correct(fay, app, "Maria Lopez", "Leo Lopez", NEW)
    assert "An admin of your clinic can then invite the new address." in fay.read(asked)
    ended = fay.post(f"{asked}/ending")
    assert "Ask an admin" in fay.read(ended.headers["Location"])
    assert sees(app, MARIA) == set()


def test_an_address_taken_away_leaves_nobody_to_invite(app: Flask, ana: Visitor) -> None:
    asked = correct(ana, app, "Maria Lopez", "Leo Lopez", "")
    ana.read(asked)
    ended = ana.post(f"{asked}/ending")
    assert ended.headers["Location"].endswith("/contacts") and sees(app, MARIA) == set()


@pytest.mark.parametrize("name,patient_name,email", [
    ("Maria Lopez", "Leo Lopez", "MARIA@family.example"),  # the same address
    ("Gus Grant", "Sam Grant", "gus.new@family.example"),  # nobody signs in with the one before
])  # fmt: skip
def test_nothing_is_asked_where_nothing_was_left_behind(app: Flask, ana: Visitor, name: str, patient_name: str, email: str) -> None:
    assert correct(ana, app, name, patient_name, email).endswith("/contacts")


def test_a_first_address_leaves_nobody_behind(app: Flask) -> None:
    with inside(app, demo.ELM):
        added = contacts.add(patient("Leo Lopez").id, ContactDetails("Nadia None"), RelationshipKind.OTHER)
        assert corrected_contacts.find(added.id, None) is None


def test_a_sign_in_of_other_patients_is_not_left_behind(app: Flask) -> None:
    """The same address by chance: Omar's sign-in sees no patient of Maria's."""
    with inside(app, demo.ELM):
        maria, omar = contact("Maria Lopez").id, user("omar@family.example").id
        assert corrected_contacts.find(maria, "omar@family.example") is None
        for verb in (corrected_contacts.get, corrected_contacts.keep, corrected_contacts.end):
            with pytest.raises(NotFound):
                verb(maria, omar)


def test_once_both_have_one_address_there_is_nothing_to_decide(app: Flask, ana: Visitor) -> None:
    asked = correct(ana, app, "Maria Lopez", "Leo Lopez", NEW)
    correct(ana, app, "Maria Lopez", "Leo Lopez", MARIA)
    assert "There is nothing to decide" in ana.read(asked)
    late = ana.post(f"{asked}/ending")
    assert "nothing was changed" in ana.read(late.headers["Location"])
    assert sees(app, MARIA) == {"Leo Lopez", "Mia Lopez"}
    with inside(app, demo.ELM), pytest.raises(Conflict):
        corrected_contacts.end(contact("Maria Lopez").id, user(MARIA).id)


def test_who_invites_a_second_sign_in_of_one_contact_is_told(app: Flask, ana: Visitor) -> None:
    """Else two people read the records where the clinic thinks of one."""
    correct(ana, app, "Maria Lopez", "Leo Lopez", NEW)
    with inside(app, demo.ELM):
        batch = invitation_batches.choose([pair("Maria Lopez", "Leo Lopez").id])
        told = {each.kind: each.about for each in invitation_warnings.of_batch(batch.id)}
    assert told[WarningKind.OTHER_ADDRESS] == [f"Maria Lopez – {NEW}"]
