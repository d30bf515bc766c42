"""Lost if it fails: a person without the right to it reads a child's record, a family is invited twice or never, or one
wrong address keeps a thousand right ones waiting."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select

from clinic import contacts, demo, invitation_batches, invitation_list, invitation_warnings, patients, portal_users
from clinic.audit import AuditEntry
from clinic.contacts import Contact, ContactDetails, Relationship, RelationshipKind
from clinic.invitation_batches import Fate
from clinic.invitation_warnings import WarningKind
from clinic.mailed_links import MailedLink
from clinic.patients import PatientDetails, PatientStatus
from clinic.portal_users import PortalAccess, PortalUser
from mail import letterhead, outbox
from mail.outbox import LetterState, OutgoingLetter
from tenancy import keys, link_tokens
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import acting, contact, inside, letters, member, pair, patient, user

ANA = "ana@elm.example"


def family(surname: str, *contacts_: tuple[str, str], children: int = 1) -> list[UUID]:
    """A family of the open clinic; returns its relationships, children first, then contacts."""
    made = [patients.add(PatientDetails(f"Child{number} {surname}", date(2018, 1, 1 + number))) for number in range(children)]
    pairs = []
    for name, email in contacts_:
        stander = contacts.add(made[0].id, ContactDetails(f"{name} {surname}", email), RelationshipKind.PARENT)
        for sibling in made[1:]:
            contacts.stand_by(stander.id, sibling.id, RelationshipKind.PARENT)
        found = select(Relationship.id).where(Relationship.contact_id == stander.id).order_by(Relationship.list_key)
        pairs += list(db.session.scalars(found))
    return pairs


def carried_out(chosen: list[UUID], between: Callable[[], object] = lambda: None) -> tuple[UUID, dict[Fate, int]]:
    batch = invitation_batches.choose(chosen)
    between()
    db.session.flush()
    invitation_batches.confirm(batch.id)
    db.session.expire_all()
    assert invitation_batches.get(batch.id).is_finished
    return batch.id, invitation_batches.fates(batch.id)


def count(table: type) -> int:
    return db.session.scalars(select(func.count()).select_from(table)).one()


# What becomes of a row ----------------------------------------------------------------------------------------------


def test_a_new_contact_is_invited_with_access_link_letter_and_entry(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        chosen = family("Novak", ("Nora", "Nora.Novak@Family.Example"), children=2)
        _id, fates = carried_out(chosen)
        assert fates == {Fate.INVITED: 2}
        nora = user("nora.novak@family.example")
        assert nora.accepted_at is None
        assert [each.patient_name for each in portal_users.access_of(nora.id)] == ["Child0 Novak", "Child1 Novak"]
        given = db.session.scalars(select(PortalAccess).where(PortalAccess.portal_user_id == nora.id)).all()
        assert {each.given_by_id for each in given} == {member(ANA).id}
        (link,) = db.session.scalars(select(MailedLink).where(MailedLink.portal_user_id == nora.id))
        assert link.expires_at - link.issued_at == timedelta(days=7)
        entries = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "portal_access.given", AuditEntry.subject_id == nora.id)).all()
        assert {entry.patient_id for entry in entries} == {each.patient_id for each in given}
    posted = [each for each in letters(app, demo.ELM) if each.to_address == "nora.novak@family.example"]
    assert [each.kind for each in posted] == ["portal_invitation"]  # one letter for both children
    assert posted[0].id == link.letter_id


def test_the_secret_that_sql_hashed_is_the_one_that_python_writes(app: Flask) -> None:
    """Were they different, ten thousand families would get links that open nothing."""
    with inside(app, demo.ELM), acting(ANA):
        carried_out(family("Novak", ("Nora", "nora@novak.example")))
    with inside(app, demo.ELM, Role.DOOR):
        link = db.session.scalars(select(MailedLink).where(MailedLink.email_norm == "nora@novak.example")).one()
        key = keys.signing_key(link_tokens.KEY_PURPOSE)
        assert link.token_hash == link_tokens.token_hash(link_tokens.token(key, Purpose.INVITATION, link.id))


def test_a_portal_user_gets_another_patient_without_a_new_password(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        before = count(PortalUser)
        _id, fates = carried_out(family("Cousin", ("Maria", "maria@family.example")))
        assert fates == {Fate.ACCESS_ADDED: 1}
        assert count(PortalUser) == before
        maria = user("maria@family.example")
        assert maria.accepted_at is not None
        assert "Child0 Cousin" in [each.patient_name for each in portal_users.access_of(maria.id)]
        assert db.session.scalars(select(MailedLink).where(MailedLink.portal_user_id == maria.id)).all() == []
    assert [(each.kind, each.to_address) for each in letters(app, demo.ELM)][-1] == ("access_added", "maria@family.example")


def gone(chosen: UUID) -> None:
    contacts.part(chosen)


def changed(email: str) -> Callable[[UUID], None]:
    def change(chosen: UUID) -> None:
        contacts.change(contact("Nora Novak").id, ContactDetails("Nora Novak", email))
    return change


def marked(chosen: UUID) -> None:
    contacts.change(contact("Nora Novak").id, ContactDetails("Nora Novak", "nora@novak.example", do_not_invite=True))


def discharged(chosen: UUID) -> None:
    child = patient("Child0 Novak")
    patients.change(child.id, PatientDetails(child.name, child.birth_on, status=PatientStatus.INACTIVE))


def already_invited(chosen: UUID) -> None:
    carried_out([chosen])


def deactivated(chosen: UUID) -> None:
    carried_out([chosen])
    nora = user("nora@novak.example")
    portal_users.unlink(portal_users.access_of(nora.id)[0].id)
    portal_users.deactivate(nora.id)


@pytest.mark.parametrize(
    ("meanwhile", "fate"),
    [
        (gone, Fate.GONE),
        (changed("elsewhere@novak.example"), Fate.ADDRESS_CHANGED),
        (changed(""), Fate.NO_ADDRESS),
        (marked, Fate.DO_NOT_INVITE),
        (discharged, Fate.INACTIVE_PATIENT),
        (already_invited, Fate.HAS_ACCESS),
        (deactivated, Fate.DEACTIVATED),
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_what_changed_since_the_confirmation_is_judged_again_and_holds_up_nobody(
    app: Flask, meanwhile: Callable[[UUID], None], fate: Fate
) -> None:
    """The list was on the screen for ten minutes; the record is right, not the screen."""
    with inside(app, demo.ELM), acting(ANA):
        bad = family("Novak", ("Nora", "nora@novak.example"))
        good = family("Baker", ("Bea", "bea@baker.example")) + family("Clark", ("Cem", "cem@clark.example"))
        batch_id, fates = carried_out([*good, *bad], between=lambda: meanwhile(bad[0]))
        assert fates == {fate: 1, Fate.INVITED: 2}
        assert [row.fate for row in invitation_batches.rows(batch_id, bad_only=True)] == [fate]
        assert len(invitation_batches.rows(batch_id)) == 3
    sent = [each.to_address for each in letters(app, demo.ELM)]
    assert "elsewhere@novak.example" not in sent
    assert {"bea@baker.example", "cem@clark.example"} <= set(sent)


def test_two_contacts_with_one_address_share_one_sign_in_and_one_letter(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        chosen = family("Novak", ("Nora", "both@novak.example"), ("Nico", "BOTH@novak.example "))
        _id, fates = carried_out(chosen)
        assert sum(fates.values()) == 2
        assert fates[Fate.INVITED] == 1
        assert len(portal_users.access_of(user("both@novak.example").id)) == 1
    assert [each.to_address for each in letters(app, demo.ELM)].count("both@novak.example") == 1


# Pressing twice ---------------------------------------------------------------------------------------------------


def test_pressing_twice_invites_once(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        batch_id, fates = carried_out(family("Novak", ("Nora", "nora@novak.example")))
        before = [count(table) for table in (PortalUser, PortalAccess, MailedLink, OutgoingLetter, AuditEntry)]
        assert invitation_batches.confirm(batch_id).done == 1
        assert invitation_batches.fates(batch_id) == fates
        assert [count(table) for table in (PortalUser, PortalAccess, MailedLink, OutgoingLetter, AuditEntry)] == before


def test_two_batches_of_the_same_people_at_once_invite_each_once(committed_app: Flask) -> None:
    """Two admins press "Yes, Continue" at the same moment."""
    with inside(committed_app, demo.ELM), acting(ANA):
        chosen = [each for number in range(30) for each in family(f"F{number}", ("Nora", f"nora{number}@novak.example"))]
    with inside(committed_app, demo.ELM), acting(ANA):
        batches = [invitation_batches.choose(order).id for order in (chosen, chosen[::-1])]
    start = Barrier(2)

    def press(batch_id: UUID) -> dict[Fate, int]:
        with inside(committed_app, demo.ELM), acting(ANA):
            start.wait(10)
            invitation_batches.confirm(batch_id)
            return invitation_batches.fates(batch_id)

    with ThreadPoolExecutor(2) as pool:
        fates = list(pool.map(press, batches))
    assert sum(each.get(Fate.INVITED, 0) for each in fates) == 30
    assert sum(each.get(Fate.HAS_ACCESS, 0) for each in fates) == 30
    with inside(committed_app, demo.ELM):
        invited = db.session.scalars(select(PortalUser.email_norm).where(PortalUser.email_norm.endswith("@novak.example"))).all()
        assert len(invited) == len(set(invited)) == 30
    posted = [each.to_address for each in letters(committed_app, demo.ELM) if each.to_address.endswith("@novak.example")]
    assert len(posted) == 30


def test_a_large_batch_goes_on_in_the_background_and_grows_by_chunks(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invitation_batches, "AT_ONCE", 2)
    monkeypatch.setattr(invitation_batches, "CHUNK", 2)
    with inside(app, demo.ELM), acting(ANA):
        chosen = [each for number in range(5) for each in family(f"F{number}", ("Nora", f"nora{number}@novak.example"))]
        batch = invitation_batches.confirm(invitation_batches.choose(chosen).id)
        assert (batch.total, batch.done, batch.is_finished) == (5, 0, False)
        seen = []
        while not batch.is_finished:
            invitation_batches.carry_out_chunk(batch, chunk=2)
            seen.append(batch.done)
        assert seen == [2, 4, 5]
        assert invitation_batches.fates(batch.id) == {Fate.INVITED: 5}


# Choosing -----------------------------------------------------------------------------------------------------------


def test_all_that_match_are_chosen_and_none_else(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        family("Novak", ("Nora", "nora@novak.example"), ("Nico", "nico@novak.example"), children=2)
        family("Baker", ("Nora", "nora@baker.example"))
        assert invitation_batches.choose_matching("nora nov").total == 2
        assert invitation_batches.choose_matching("novak").total == 4
        assert invitation_batches.choose_matching("child0").total == 3
        everything = invitation_batches.choose_matching("")
        assert everything.total == invitation_list.count_up_to(1000) == len(invitation_list.page(limit=1000))
        for typed in ("nobody", "ora", "nora%x", "nora_"):
            with pytest.raises(Refused):
                invitation_batches.choose_matching(typed)


def test_choosing_nothing_or_strangers_is_refused(app: Flask) -> None:
    with inside(app, demo.OAK):
        oaks = pair("Petra Peters", "Paul Peters").id
    with inside(app, demo.ELM), acting(ANA):
        for chosen in ([], [uuid4()], [oaks]):
            with pytest.raises(Refused):
                invitation_batches.choose(chosen)
        with pytest.raises(NotFound):
            invitation_batches.confirm(uuid4())


def test_a_draft_that_nobody_confirms_invites_nobody(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        before = count(PortalUser), count(OutgoingLetter)
        assert invitation_batches.choose(family("Novak", ("Nora", "nora@novak.example"))).is_draft
        assert (count(PortalUser), count(OutgoingLetter)) == before


def test_the_list_offers_only_whom_one_can_invite(app: Flask) -> None:
    """Elm Street has invited or let in everyone but Gus; he is shown, and refused."""
    with inside(app, demo.ELM), acting(ANA):
        assert [(row.contact_name, row.do_not_invite) for row in invitation_list.page()] == [("Gus Grant", True)]
        family("Novak", ("Nora", "nora@novak.example"))
        discharged(uuid4())
        assert [row.contact_name for row in invitation_list.page()] == ["Gus Grant"]
        grace = user("grace@family.example")
        portal_users.unlink(portal_users.access_of(grace.id)[0].id)
        assert [row.contact_name for row in invitation_list.page()] == ["Grace Grant", "Gus Grant"]


def test_the_warnings_are_read_from_the_data(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        chosen = family("Novak", ("Nora", "both@novak.example"), ("Nico", "both@novak.example"), ("Nell", "nell@gmial.com"))
        chosen += family("Lee", ("Maria", "maria@family.example")) + [pair("Gus Grant", "Sam Grant").id]
        bounced = outbox.post(outbox.KINDS["access_added"](to=outbox.Addressee("both@novak.example")))
        db.session.get_one(OutgoingLetter, (member(ANA).clinic_id, bounced)).state = LetterState.UNDELIVERED
        letterhead.of_clinic().confirmed_at = None
        db.session.flush()
        batch = invitation_batches.choose(chosen)
        found = {each.kind: each for each in invitation_warnings.of_batch(batch.id)}
        assert found[WarningKind.DO_NOT_INVITE].about == ["Gus Grant – gus@family.example"]
        assert "both@novak.example" in found[WarningKind.SHARED_ADDRESS].about
        assert found[WarningKind.MISTYPED].about == ["nell@gmial.com"]
        assert found[WarningKind.BOUNCED].about == ["both@novak.example"]
        assert found[WarningKind.EXISTING_USER].about == ["maria@family.example"]
        assert WarningKind.REPLY_TO_UNCONFIRMED in found
        letterhead.of_clinic().reply_to = None
        db.session.flush()
        assert WarningKind.REPLY_TO_UNSET in {each.kind for each in invitation_warnings.of_batch(batch.id)}
        assert count(Contact) > 4
