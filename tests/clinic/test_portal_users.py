"""Lost if it fails: a parent who lost custody still reads the record, or one who has it is shut out."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import (
    actors,
    contacts,
    demo,
    invitation_batches,
    invitations,
    mailed_links,
    portal_home,
    portal_users,
    sessions,
)
from clinic.audit import AuditEntry
from clinic.contacts import ContactDetails, RelationshipKind
from clinic.mailed_links import LinkState
from clinic.portal_users import PortalAccess, PortalUserState
from mail.outbox import LetterState, OutgoingLetter
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.access import recorded
from tests.inside import acting, inside, member, newest_link, patient, send_link, user
from tests.visitor import Visitor

MARIA, GRACE = "maria@family.example", "grace@family.example"


def seen_by(app: Flask, email: str) -> list[str]:
    with inside(app, demo.ELM):
        user_id = user(email).id
    with inside(app, demo.ELM, Role.PORTAL, user_id):
        return [each.name for each in portal_home.patients()]


def unlink(app: Flask, email: str, name: str, reason: str = "") -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        (access,) = [each for each in portal_users.access_of(user(email).id) if each.patient_name == name]
        portal_users.unlink(access.id, reason)


def test_unlinking_one_patient_leaves_the_other(app: Flask, maria: Visitor) -> None:
    """On Maria's very next page Leo is gone, and Mia still there."""
    assert seen_by(app, MARIA) == ["Leo Lopez", "Mia Lopez"]
    unlink(app, MARIA, "Leo Lopez", "  custody changed ")
    assert seen_by(app, MARIA) == ["Mia Lopez"]
    home = maria.read("/")
    assert "Mia" in home and "Leo" not in home
    with inside(app, demo.ELM):
        ended = db.session.scalars(select(PortalAccess).where(PortalAccess.ended_at.is_not(None))).one()
        assert (ended.ended_reason, ended.ended_by_id) == ("custody changed", member("ana@elm.example").id)
        entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "portal_access.ended")).one()
        assert entry.patient_id == patient("Leo Lopez").id


def test_ending_an_access_twice_is_a_conflict_and_a_strangers_not_found(app: Flask) -> None:
    with inside(app, demo.OAK):
        oaks = portal_users.access_of(user(MARIA).id)[0].id
    with inside(app, demo.ELM):
        access_id = portal_users.access_of(user(MARIA).id)[0].id
        portal_users.unlink(access_id)
        with pytest.raises(Conflict):
            portal_users.unlink(access_id)
        for stranger in (oaks, uuid4()):
            for asked in (portal_users.unlink, portal_users.row_of_access, portal_users.row_of):
                with pytest.raises(NotFound):
                    asked(stranger)


def test_unlinking_the_last_patient_withdraws_an_open_invitation(app: Flask) -> None:
    send_link(app, demo.ELM, Purpose.INVITATION)
    unlink(app, GRACE, "Sam Grant")
    with inside(app, demo.ELM):
        assert newest_link(Purpose.INVITATION).state == LinkState.WITHDRAWN


def test_unlinking_one_of_two_patients_leaves_the_open_invitation_for_the_other(app: Flask) -> None:
    with inside(app, demo.ELM), acting("ana@elm.example"):
        contacts.add(patient("Mia Lopez").id, ContactDetails("Grace Grant", GRACE), RelationshipKind.GRANDPARENT)
        invitation_batches.confirm(invitation_batches.choose_matching("Mia").id)
    send_link(app, demo.ELM, Purpose.INVITATION)
    unlink(app, GRACE, "Sam Grant")
    with inside(app, demo.ELM):
        assert newest_link(Purpose.INVITATION).state == LinkState.GOOD


def test_unlinking_the_last_patient_of_somebody_who_signs_in_keeps_their_own_links(app: Flask) -> None:
    """They still sign in, if only to read that there is nothing: and may need a new password for it."""
    send_link(app, demo.ELM, Purpose.PASSWORD_RESET)
    for name in ("Leo Lopez", "Mia Lopez"):
        unlink(app, MARIA, name)
    with inside(app, demo.ELM):
        assert newest_link(Purpose.PASSWORD_RESET).state == LinkState.GOOD


def test_an_agreed_end_is_kept_by_the_clock(app: Flask) -> None:
    """A guardian until Friday sees nothing on Saturday; nobody has to remember."""
    with inside(app, demo.ELM):
        leo = patient("Leo Lopez").id
        access = db.session.scalars(select(PortalAccess).where(PortalAccess.patient_id == leo)).one()
        access.ends_at = clock.now() - timedelta(seconds=1)
    assert seen_by(app, MARIA) == ["Mia Lopez"]


def test_deactivating_ends_every_session_and_link_and_keeps_the_access(app: Flask, maria: Visitor) -> None:
    send_link(app, demo.ELM, Purpose.PASSWORD_RESET)
    with inside(app, demo.ELM), acting("ana@elm.example"):
        portal_users.deactivate(user(MARIA).id)
        with pytest.raises(Conflict):
            portal_users.deactivate(user(MARIA).id)
        db.session.expire_all()
        assert newest_link(Purpose.PASSWORD_RESET).state == LinkState.WITHDRAWN
        assert portal_users.row_of(user(MARIA).id).state == PortalUserState.DEACTIVATED
        assert len(portal_users.access_of(user(MARIA).id)) == 2
    with inside(app, demo.ELM, Role.DOOR):
        assert sessions.of_holder(user(MARIA).holder) == []
    assert maria.get("/").status_code == 303
    again = Visitor(app, maria.base_url)
    again.get("/sign-in")
    assert again.post("/sign-in", {"email": MARIA, "password": demo.PASSWORD}).status_code == 422
    with inside(app, demo.ELM), acting("ana@elm.example"):
        portal_users.reactivate(user(MARIA).id)
        with pytest.raises(Conflict):
            portal_users.reactivate(user(MARIA).id)
    again.sign_in(MARIA)
    assert "Leo" in again.read("/")
    assert maria.get("/").status_code == 303  # the old session stays over
    assert len(recorded(app, "portal_user.deactivated")) == len(recorded(app, "portal_user.reactivated")) == 1


def test_deactivating_at_one_clinic_leaves_the_other(app: Flask, oak_portal: Visitor) -> None:
    oak_portal.sign_in(MARIA)
    with inside(app, demo.ELM):
        portal_users.deactivate(user(MARIA).id)
    assert "Nina" in oak_portal.read("/")


def test_the_state_says_what_the_clinic_has_to_do(still: None, app: Flask) -> None:
    def state() -> str:
        with inside(app, demo.ELM):
            return portal_users.row_of(user(GRACE).id).state

    def letter_becomes(new: LetterState) -> None:
        with inside(app, demo.ELM):
            link = newest_link(Purpose.INVITATION)
            db.session.scalars(select(OutgoingLetter).where(OutgoingLetter.id == link.letter_id)).one().state = new

    def issued_at() -> datetime:
        with inside(app, demo.ELM):
            return newest_link(Purpose.INVITATION).issued_at

    send_link(app, demo.ELM, Purpose.INVITATION)
    assert state() == PortalUserState.INVITED
    letter_becomes(LetterState.UNDELIVERED)
    assert state() == PortalUserState.UNDELIVERED
    letter_becomes(LetterState.SENT)
    with clock.moved(timedelta(days=7) - (clock.now() - issued_at())):
        assert state() == PortalUserState.EXPIRED  # at that instant already, as its page says
    with inside(app, demo.ELM):
        link = newest_link(Purpose.INVITATION)
        for _each in range(mailed_links.MOST_MISSES):
            mailed_links.miss(link)
    assert state() == PortalUserState.LOCKED
    with inside(app, demo.ELM):
        assert portal_users.count_unaccepted() == {PortalUserState.LOCKED: 1}
        user(GRACE).accepted_at = clock.now()
    assert state() == PortalUserState.ACTIVE


def test_the_state_is_that_of_ones_own_invitation(app: Flask) -> None:
    """Not of somebody's who was invited later."""
    send_link(app, demo.ELM, Purpose.INVITATION)
    with inside(app, demo.ELM):
        invitations.send(user(MARIA))
        newest_link(Purpose.INVITATION).ending, newest_link(Purpose.INVITATION).ended_at = LinkState.LOCKED, clock.now()
        user(MARIA).accepted_at = None
        db.session.flush()
        states = {row.email: row.state for row in portal_users.search()}
        assert (states[GRACE], states[MARIA]) == (PortalUserState.INVITED, PortalUserState.LOCKED)
        assert portal_users.count_unaccepted() == {PortalUserState.INVITED: 1, PortalUserState.LOCKED: 1}


def test_portal_users_are_found_by_name_address_patient_and_state(app: Flask) -> None:
    with inside(app, demo.ELM):
        found = {typed: [row.name for row in portal_users.search(typed)] for typed in ("", "mar", "lopez", "zoe", "omar@", "sam grant", "nina", "aria")}
        assert found == {
            "": ["Grace Grant", "Maria Lopez", "Omar Haddad"],
            "mar": ["Maria Lopez"],
            "lopez": ["Maria Lopez"],
            "zoe": ["Omar Haddad"],
            "omar@": ["Omar Haddad"],
            "sam grant": ["Grace Grant"],
            "nina": [],
            "aria": [],
        }  # fmt: skip
        assert [row.name for row in portal_users.search(state=PortalUserState.INVITED)] == ["Grace Grant"]
        (first, *rest) = portal_users.search(limit=1)
        assert rest == []
        assert [row.name for row in portal_users.search(after=first.cursor)] == ["Maria Lopez", "Omar Haddad"]
        assert first.patients == ["Sam Grant"]


def test_a_login_is_found_by_its_own_address_after_the_contact_was_given_another(app: Flask) -> None:
    with inside(app, demo.ELM):
        user(MARIA).email = user(MARIA).email_norm = "ml@new.example"
        db.session.flush()
        for typed, found in (("ml@new.example", True), ("ml@n", True), ("l@new.example", False), ("ml@new.examplf", False)):
            assert [row.name for row in portal_users.search(typed)] == ["Maria Lopez"] * found, typed


def test_who_may_see_a_patient_is_listed_by_patient(app: Flask) -> None:
    with inside(app, demo.ELM):
        (only,) = portal_users.access_to(patient("Zoe Haddad").id)
        assert (only.portal_user_email, only.relationship, only.records, only.billing) == ("omar@family.example", "parent", True, True)


def test_a_portal_user_changes_own_name_and_phone_and_nobody_elses(app: Flask) -> None:
    with inside(app, demo.ELM):
        maria, omar = user(MARIA).id, user("omar@family.example").id
    with inside(app, demo.ELM, Role.PORTAL, maria), actors.acting(actors.Actor(actors.ActorKind.PORTAL_USER, maria)):
        portal_users.change_self(maria, "María López", " 555-0199 ", Language.SPANISH)
        with pytest.raises(NotFound):
            portal_users.change_self(omar, "x", "", Language.ENGLISH)
    for name, phone in (("x\u202egpj", ""), ("Maria", "5" * 41), ("", "")):
        with pytest.raises(Refused), inside(app, demo.ELM, Role.PORTAL, maria):
            portal_users.change_self(maria, name, phone, Language.ENGLISH)
    with inside(app, demo.ELM):
        assert (user(MARIA).name, user(MARIA).phone, user(MARIA).language) == ("María López", "555-0199", "es")
        assert user("omar@family.example").name == "Omar Haddad"
        portal_users.change_self(maria, "Maria", "5" * 40, Language.ENGLISH)
        assert user(MARIA).phone == "5" * 40
        portal_users.change_self(maria, "Maria", " ", Language.ENGLISH)
        assert user(MARIA).phone is None
    assert len(recorded(app, "portal_user.changed")) == 3


@pytest.mark.parametrize(("idle", "lives"), [(timedelta(minutes=19, seconds=50), True), (timedelta(minutes=20, seconds=1), False)])
def test_a_forgotten_screen_locks_itself(app: Flask, maria: Visitor, idle: timedelta, lives: bool) -> None:
    with clock.moved(idle):
        assert (maria.get("/").status_code == 200) is lives


def test_no_session_lives_longer_than_twelve_hours_however_busy(app: Flask, maria: Visitor) -> None:
    for minutes in range(15, 12 * 60, 15):
        with clock.moved(timedelta(minutes=minutes)):
            assert maria.get("/profile").status_code == 200, minutes
    with clock.moved(sessions.LONGEST + timedelta(seconds=1)):
        assert maria.get("/profile").status_code == 303


def test_who_is_not_there_is_not_found(app: Flask) -> None:
    with inside(app, demo.ELM):
        for ask in (portal_users.get, portal_users.row_of, portal_users.row_of_access):
            with pytest.raises(NotFound):
                ask(uuid4())
