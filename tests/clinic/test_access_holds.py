"""Custody blocks and holds.

Lost if it fails: a parent whom a court keeps from a child is invited by a colleague who did not know, or goes on reading;
or somebody stays shut out after the court has said otherwise.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import (
    access_holds,
    contacts,
    demo,
    invitation_batches,
    invitation_list,
    invitation_warnings,
    invitations,
    portal_users,
)
from clinic.contacts import ContactDetails, Relationship, RelationshipKind
from clinic.invitation_batches import Fate
from clinic.invitation_warnings import WarningKind
from clinic.portal_users import AccessHold, HoldKind
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.tenant import Role
from tests.access import ANA, BOTH, MARIA, access_of, recorded, seen_by
from tests.inside import acting, contact, inside, pair, patient, user

WHY = "Court of May 3"


def block(app: Flask, contact_name: str | None, patient_name: str, email: str = "") -> None:
    with inside(app, demo.ELM), acting(ANA):
        person = contact(contact_name).id if contact_name else None
        access_holds.block(patient(patient_name).id, contact_id=person, email=email, reason=WHY)


def lift(app: Flask, patient_name: str, kind: HoldKind = HoldKind.CUSTODY) -> None:
    with inside(app, demo.ELM), acting(ANA):
        leo = patient(patient_name).id
        (found,) = [each for each in access_holds.of_patient(leo) if each.kind == kind]
        access_holds.lift(found.id, leo, kind, "The court lifted it")


def hold(app: Flask, days: int | None = None) -> None:
    with inside(app, demo.ELM) as clinic, acting(ANA):
        until_on = clock.today(clinic.time_zone) + timedelta(days=days) if days is not None else None
        access_holds.hold(access_of(MARIA, "Leo Lopez").id, "Papers awaited", until_on)


def newcomer(name: str, email: str, patient_name: str) -> Relationship:
    contacts.add(patient(patient_name).id, ContactDetails(name, email), RelationshipKind.PARENT)
    return pair(name, patient_name)


@pytest.mark.parametrize(("by_contact", "email"), [(True, ""), (False, " Maria@Family.example "), (True, "other@family.example")])
def test_a_block_shuts_out_at_once_and_lifting_it_lets_in_again(app: Flask, by_contact: bool, email: str) -> None:
    block(app, "Maria Lopez" if by_contact else None, "Leo Lopez", email)
    assert seen_by(app) == {"Mia Lopez": BOTH}
    with inside(app, demo.ELM):
        (row,) = [each for each in portal_users.access_of(user(MARIA).id) if each.patient_name == "Leo Lopez"]
        assert row.is_held and not row.is_live and not row.sees_records
        (held,) = access_holds.of_patient(patient("Leo Lopez").id)
        assert (held.name, held.reason, held.placed_by, held.until_at) == ("Maria Lopez", WHY, "Ana Alvarez", None)
    lift(app, "Leo Lopez")
    assert seen_by(app) == {"Leo Lopez": BOTH, "Mia Lopez": BOTH}
    with inside(app, demo.ELM):
        kept = db.session.scalars(select(AccessHold)).one()
        assert kept.lifted_reason == "The court lifted it" and kept.lifted_by_id == kept.placed_by_id
    assert len(recorded(app, "custody_block.placed")) == len(recorded(app, "custody_block.lifted")) == 1


def test_another_address_of_theirs_does_not_undo_a_block(app: Flask) -> None:
    block(app, None, "Leo Lopez", MARIA)
    with inside(app, demo.ELM):
        user(MARIA).email_norm = "maria.new@family.example"
    assert seen_by(app, "maria.new@family.example") == {"Mia Lopez": BOTH}


def test_who_is_blocked_cannot_be_invited_and_the_list_shows_them_refused(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        novak = newcomer("Nora Novak", "nora@novak.example", "Zoe Haddad")
        same = newcomer("N. Novak", "nora@novak.example", "Zoe Haddad")  # the same address, another contact
        elsewhere = newcomer("Nora Other", "nora@novak.example", "Mia Lopez")
        pairs = [novak.id, same.id, elsewhere.id]
    block(app, "Nora Novak", "Zoe Haddad")
    with inside(app, demo.ELM), acting(ANA):
        listed = {row.relationship_id: row for row in invitation_list.page("nora")}
        assert {each: listed[each].is_refused for each in pairs} == {novak.id: True, same.id: True, elsewhere.id: False}
        assert invitation_list.count_up_to(10, "nora") == 1
        batch = invitation_batches.choose(pairs)
        warned = {each.kind: each.about for each in invitation_warnings.of_batch(batch.id)}
        assert len(warned[WarningKind.CUSTODY_BLOCK]) == 2
        assert [row.is_blocked for row in invitation_batches.rows(batch.id)].count(True) == 2
        invitation_batches.confirm(batch.id)
        assert invitation_batches.fates(batch.id) == {Fate.CUSTODY_BLOCK: 2, Fate.INVITED: 1}
    lift(app, "Zoe Haddad")
    with inside(app, demo.ELM):
        assert not [row for row in invitation_list.page("nora") if row.is_blocked]


def test_selecting_all_leaves_out_who_is_blocked(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        newcomer("Nora Novak", "nora@novak.example", "Zoe Haddad")
        newcomer("Nils Novak", "nils@novak.example", "Zoe Haddad")
    block(app, "Nora Novak", "Zoe Haddad")
    with inside(app, demo.ELM), acting(ANA):
        batch = invitation_batches.choose_matching("novak")
        assert [row.contact_name for row in invitation_batches.rows(batch.id)] == ["Nils Novak"]


def test_a_block_placed_after_the_list_was_read_is_seen_at_submit(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        batch = invitation_batches.choose([newcomer("Nora Novak", "nora@novak.example", "Zoe Haddad").id])
    block(app, None, "Zoe Haddad", "nora@novak.example")
    with inside(app, demo.ELM), acting(ANA):
        invitation_batches.confirm(batch.id)
        assert invitation_batches.fates(batch.id) == {Fate.CUSTODY_BLOCK: 1}


def test_a_blocked_contact_who_moves_to_another_address_stays_blocked(app: Flask) -> None:
    with inside(app, demo.ELM), acting(ANA):
        novak = newcomer("Nora Novak", "nora@novak.example", "Zoe Haddad")
    block(app, "Nora Novak", "Zoe Haddad")
    with inside(app, demo.ELM), acting(ANA):
        contacts.change(novak.contact_id, ContactDetails("Nora Novak", "nora.two@novak.example"))
        batch = invitation_batches.confirm(invitation_batches.choose([novak.id]).id)
        assert invitation_batches.fates(batch.id) == {Fate.CUSTODY_BLOCK: 1}


def test_an_open_invitation_of_somebody_blocked_opens_nothing(app: Flask) -> None:
    block(app, "Grace Grant", "Sam Grant")
    with inside(app, demo.ELM):
        grace = user("grace@family.example")
        assert not invitations.may_be_accepted(grace)
        with clock.moved(timedelta(minutes=10)), pytest.raises(Conflict):
            invitations.resend(grace.id)
    lift(app, "Sam Grant")
    with inside(app, demo.ELM):
        assert invitations.may_be_accepted(user("grace@family.example"))


def test_a_hold_suspends_and_ends_by_itself_on_the_day_agreed(app: Flask) -> None:
    hold(app, days=1)
    assert seen_by(app) == {"Mia Lopez": BOTH}
    with inside(app, demo.ELM):
        assert [each.kind for each in access_holds.of_patient(patient("Leo Lopez").id)] == [HoldKind.HOLD]
    with clock.moved(timedelta(days=2, hours=1)):
        assert seen_by(app) == {"Leo Lopez": BOTH, "Mia Lopez": BOTH}
        with inside(app, demo.ELM):
            assert access_holds.of_patient(patient("Leo Lopez").id) == []
        hold(app, days=0)  # a new one, beside the one that is over
        assert seen_by(app) == {"Mia Lopez": BOTH}


def test_a_hold_without_a_day_lasts_until_it_is_lifted(app: Flask) -> None:
    hold(app)
    with clock.moved(timedelta(days=4000)):
        assert "Leo Lopez" not in seen_by(app)
    lift(app, "Leo Lopez", HoldKind.HOLD)
    assert "Leo Lopez" in seen_by(app)


def test_a_hold_outlives_the_access_so_that_inviting_again_is_no_way_round(app: Flask) -> None:
    hold(app)
    with inside(app, demo.ELM), acting(ANA):
        portal_users.unlink(access_of(MARIA, "Leo Lopez").id)
        invitation_batches.confirm(invitation_batches.choose([pair("Maria Lopez", "Leo Lopez").id]).id)
        assert access_of(MARIA, "Leo Lopez")
    assert seen_by(app) == {"Mia Lopez": BOTH}


def test_what_cannot_be_placed_or_lifted(app: Flask) -> None:
    with inside(app, demo.ELM) as clinic, acting(ANA):
        leo, maria, omar = patient("Leo Lopez").id, contact("Maria Lopez").id, contact("Omar Haddad").id
        today = clock.today(clinic.time_zone)
        for contact_id, email, reason, field in (
            (None, "", WHY, "contact_id"),
            (omar, "", WHY, "contact_id"),  # no contact of Leo's
            (maria, "no address", WHY, "email"),
            (maria, "", " ", "reason"),
        ):
            with pytest.raises(Refused) as refusal:
                access_holds.block(leo, contact_id=contact_id, email=email, reason=reason)
            assert refusal.value.field == field
        access = access_of(MARIA, "Leo Lopez").id
        with pytest.raises(Refused):
            access_holds.hold(access, WHY, today - timedelta(days=1))
        placed = access_holds.block(leo, contact_id=maria, email="", reason=WHY)
        with pytest.raises(Conflict):
            access_holds.block(leo, contact_id=maria, email="", reason=WHY)
        access_holds.block(leo, contact_id=None, email="other@family.example", reason=WHY)
        with pytest.raises(Conflict):
            access_holds.block(leo, contact_id=None, email="other@family.example", reason=WHY)
        held = access_holds.hold(access, WHY)
        with pytest.raises(Conflict):
            access_holds.hold(access, WHY)
        zoe = patient("Zoe Haddad").id
        for hold_id, patient_id, kind in ((placed.id, zoe, HoldKind.CUSTODY), (placed.id, leo, HoldKind.HOLD), (held.id, leo, HoldKind.CUSTODY)):
            with pytest.raises(NotFound):
                access_holds.lift(hold_id, patient_id, kind, WHY)
            with pytest.raises(NotFound):
                access_holds.get(hold_id, patient_id, kind)
        with pytest.raises(Refused):
            access_holds.lift(held.id, leo, HoldKind.HOLD, "")
        access_holds.lift(held.id, leo, HoldKind.HOLD, WHY)
        with pytest.raises(Conflict):
            access_holds.lift(held.id, leo, HoldKind.HOLD, WHY)


def test_a_family_learns_nothing_of_a_block_but_its_own_and_never_why(app: Flask) -> None:
    """Asked in SQL as their own role: another parent's block is not there, of one's own neither reason nor author."""
    block(app, "Maria Lopez", "Leo Lopez")
    with inside(app, demo.ELM):
        maria, omar = user(MARIA).id, user("omar@family.example").id
    count = text("SELECT count(id) FROM access_holds")
    with inside(app, demo.ELM, Role.PORTAL, omar):
        assert db.session.scalars(count).one() == 0
    with inside(app, demo.ELM, Role.PORTAL, maria):
        assert db.session.scalars(count).one() == 1
        for column in ("reason", "placed_by_id", "lifted_reason"):
            privileged = text(f"SELECT has_column_privilege('access_holds', '{column}', 'SELECT')")
            assert db.session.scalars(privileged).one() is False


def test_a_block_placed_while_access_is_being_given_holds(committed_app: Flask) -> None:
    """Two desks at once: whoever is first, nobody blocked reads."""
    app = committed_app
    with inside(app, demo.ELM), acting(ANA):
        cousin = newcomer("Maria Lopez Cousin", MARIA, "Zoe Haddad").id
        batch = invitation_batches.choose([cousin]).id

    def invite() -> None:
        with inside(app, demo.ELM), acting(ANA):
            invitation_batches.confirm(batch)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(invite), pool.submit(block, app, None, "Zoe Haddad", MARIA)]:
            done.result(timeout=30)
    assert "Zoe Haddad" not in seen_by(app)
