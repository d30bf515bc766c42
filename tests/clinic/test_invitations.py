"""Lost if it fails: an invitation in the wrong hands opens a child's record, or the right family cannot get in."""

from datetime import date, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from clinic import demo, invitation_batches, invitations, patients, portal_settings, portal_users, sign_in, staff
from clinic.audit import AuditEntry
from clinic.contacts import ContactDetails, RelationshipKind, add
from clinic.mailed_links import LinkState
from clinic.patients import PatientDetails, PatientStatus
from clinic.portal_users import PortalUserState
from clinic.sessions import SignInSession
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import acting, inside, letters, member, newest_link, patient, secret, send_link, user

GRACE = "grace@family.example"
SAMS = date(2019, 11, 5)
GOOD = "eleven quiet green lamps"


def accept(app: Flask, secret: str, *, birth_on: date | None = SAMS, password: str = GOOD) -> invitations.Acceptance:
    with inside(app, demo.ELM, Role.DOOR):
        return invitations.accept(secret, birth_on=birth_on, password=password, language=Language.ENGLISH)


def look(app: Flask, secret: str) -> invitations.Invitation:
    with inside(app, demo.ELM, Role.DOOR):
        return invitations.look(secret)


def events(app: Flask) -> list[str]:
    with inside(app, demo.ELM):
        return list(db.session.scalars(select(AuditEntry.event).order_by(AuditEntry.at)))


def state_of(app: Flask, email: str = GRACE) -> str:
    with inside(app, demo.ELM):
        return portal_users.row_of(user(email).id).state


def test_the_right_birth_date_and_a_password_let_the_family_in(app: Flask) -> None:
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    outcome = accept(app, key)
    assert outcome.state == LinkState.GOOD
    assert outcome.session_token
    assert look(app, key).state == LinkState.USED
    assert state_of(app) == PortalUserState.ACTIVE
    with inside(app, demo.ELM, Role.DOOR):
        assert newest_link(Purpose.INVITATION).state == LinkState.USED
        assert sign_in.portal_user(GRACE, GOOD).token
    assert accept(app, key).session_token is None
    assert "invitation.accepted" in events(app)


def test_four_misses_are_forgiven_and_the_fifth_locks_and_tells_every_admin(app: Flask) -> None:
    """Somebody who guesses gets five tries, and the clinic hears of it."""
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    before = len(letters(app, demo.ELM))
    for left in (4, 3, 2, 1):
        outcome = accept(app, key, birth_on=date(2019, 11, left))
        assert (outcome.state, outcome.session_token, outcome.misses_left) == (LinkState.GOOD, None, left)
        assert look(app, key).misses_left == left
    assert accept(app, key, birth_on=date(2019, 11, 30)).state == LinkState.LOCKED
    assert accept(app, key).state == LinkState.LOCKED  # the right one comes too late
    told = letters(app, demo.ELM)[before:]
    assert [(each.kind, each.to_address) for each in told] == [("invitation_locked", "ana@elm.example")]
    assert state_of(app) == PortalUserState.LOCKED
    assert events(app).count("invitation.missed") == 4
    assert events(app).count("invitation.locked") == 1


def test_a_password_against_the_rules_costs_no_try_and_uses_nothing_up(app: Flask) -> None:
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    with pytest.raises(Refused):
        accept(app, key, password="short")
    assert look(app, key).misses_left == 5
    assert accept(app, key).session_token


def test_a_locked_invitation_opens_again_when_staff_send_a_new_one(app: Flask) -> None:
    locked = send_link(app, demo.ELM, Purpose.INVITATION)
    for day in range(1, 6):
        accept(app, locked, birth_on=date(2001, 1, day))
    with clock.moved(timedelta(minutes=6)):
        with inside(app, demo.ELM):
            invitations.resend(user(GRACE).id)
        fresh = send_link(app, demo.ELM, Purpose.INVITATION)
        assert accept(app, fresh).session_token
        assert look(app, locked).state == LinkState.LOCKED


def test_a_clinic_that_asks_no_birth_date_asks_none(app: Flask) -> None:
    with inside(app, demo.ELM):
        portal_settings.get().asks_birth_date = False
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    assert not look(app, key).asks_birth_date
    assert accept(app, key, birth_on=None).session_token


def test_without_an_answer_nobody_gets_in(app: Flask) -> None:
    assert accept(app, send_link(app, demo.ELM, Purpose.INVITATION), birth_on=None).session_token is None


def test_any_one_of_several_patients_birth_dates_will_do(app: Flask) -> None:
    """A mother of two need not guess which child the letter means; a discharged sibling's date does not count."""
    with inside(app, demo.ELM), acting("ana@elm.example"):
        for name, born in (("Ida Grant", date(2021, 2, 3)), ("Old Grant", date(2001, 1, 1))):
            sibling = patients.add(PatientDetails(name, born))
            add(sibling.id, ContactDetails("Grace Grant", GRACE), RelationshipKind.GRANDPARENT)
            invitation_batches.confirm(invitation_batches.choose_matching(name).id)
        old = patient("Old Grant")
        patients.change(old.id, PatientDetails(old.name, old.birth_on, status=PatientStatus.INACTIVE))
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    assert accept(app, key, birth_on=date(2001, 1, 1)).session_token is None
    assert accept(app, key, birth_on=date(2021, 2, 3)).session_token


def test_sending_again_waits_five_minutes_and_then_the_newest_wins(app: Flask) -> None:
    first = send_link(app, demo.ELM, Purpose.INVITATION)
    with pytest.raises(Conflict, match="Wait five minutes"), app.test_request_context(), inside(app, demo.ELM):
        invitations.resend(user(GRACE).id)
    with clock.moved(timedelta(minutes=5, seconds=1)):
        with inside(app, demo.ELM):
            invitations.resend(user(GRACE).id)
            assert newest_link(Purpose.INVITATION).letter_id is not None
        assert look(app, first).state == LinkState.SUPERSEDED
        assert letters(app, demo.ELM)[-1].to_address == GRACE


def test_an_accepted_deactivated_or_patientless_user_is_not_invited_again(app: Flask) -> None:
    with clock.moved(timedelta(minutes=6)):
        with inside(app, demo.ELM), pytest.raises(Conflict):
            invitations.resend(user("maria@family.example").id)
        with inside(app, demo.ELM):
            sam = patient("Sam Grant")
            patients.change(sam.id, PatientDetails(sam.name, sam.birth_on, status=PatientStatus.INACTIVE))
        with inside(app, demo.ELM), pytest.raises(Conflict):
            invitations.resend(user(GRACE).id)
        with inside(app, demo.ELM):
            portal_users.deactivate(user(GRACE).id)
        with inside(app, demo.ELM), pytest.raises(Conflict):
            invitations.resend(user(GRACE).id)


def test_a_clinic_with_two_admins_tells_both_and_no_one_else(app: Flask) -> None:
    with inside(app, demo.ELM):
        fay = member("fay@elm.example")
        fay.role = staff.StaffRole.ADMIN
        db.session.flush()
        member("ben@elm.example").deactivated_at = clock.now()
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    before = len(letters(app, demo.ELM))
    for day in range(1, 6):
        accept(app, key, birth_on=date(2001, 1, day))
    assert {each.to_address for each in letters(app, demo.ELM)[before:]} == {"ana@elm.example", "fay@elm.example"}


def test_looking_writes_nothing_and_a_stranger_learns_nothing(app: Flask) -> None:
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    before = events(app)
    assert look(app, key).email == GRACE
    assert events(app) == before
    for wrong in ("", "x" * 43, key[::-1]):
        with pytest.raises(NotFound):
            look(app, wrong)
    with inside(app, demo.ELM, Role.DOOR):
        assert db.session.scalars(select(func.count()).select_from(SignInSession)).one() == 0


def test_only_an_expired_link_is_renewed(app: Flask) -> None:
    """The button of an old page, pressed after a newer letter came, mails nothing more."""
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    before = len(letters(app, demo.ELM))
    for passed, sent in ((timedelta(minutes=6), 0), (timedelta(days=7, minutes=1), 1)):
        with clock.moved(passed):
            with inside(app, demo.ELM, Role.DOOR):
                invitations.renew(key)
            assert len(letters(app, demo.ELM)) == before + sent


def test_who_asks_again_at_once_has_the_letter_that_is_on_its_way(app: Flask) -> None:
    """And a locked invitation stays locked, however often its reader asks."""
    send_link(app, demo.ELM, Purpose.INVITATION)
    before = len(letters(app, demo.ELM))
    with inside(app, demo.ELM, Role.DOOR):
        invitations.send_again(user(GRACE))
    with inside(app, demo.ELM, Role.DOOR):
        newest_link(Purpose.INVITATION).ending, newest_link(Purpose.INVITATION).ended_at = LinkState.LOCKED, clock.now()
        db.session.flush()
        with clock.moved(timedelta(hours=1)):
            invitations.send_again(user(GRACE))
    assert len(letters(app, demo.ELM)) == before


def test_after_exactly_five_minutes_another_is_sent_to_whoever_asks(still: None, app: Flask) -> None:
    """As the page has told them: wait five minutes."""
    send_link(app, demo.ELM, Purpose.INVITATION)
    sent = len(letters(app, demo.ELM))
    with clock.moved(timedelta(minutes=5)):
        with inside(app, demo.ELM, Role.DOOR):
            invitations.send_again(user(GRACE))
        assert len(letters(app, demo.ELM)) == sent + 1
    with clock.moved(timedelta(minutes=10)):
        with inside(app, demo.ELM):
            invitations.resend(user(GRACE).id)
        assert len(letters(app, demo.ELM)) == sent + 2


def test_asking_again_gives_nobody_more_tries_and_the_clinic_does(app: Flask) -> None:
    guessed = send_link(app, demo.ELM, Purpose.INVITATION)
    for day in (1, 2):
        accept(app, guessed, birth_on=date(2001, 1, day))
    with clock.moved(timedelta(days=8)):
        with inside(app, demo.ELM, Role.DOOR):
            invitations.renew(guessed)
        renewed = look(app, secret(app, demo.ELM, Purpose.INVITATION))
        assert (renewed.state, renewed.misses_left) == (LinkState.GOOD, 3)
    with clock.moved(timedelta(days=9)):
        with inside(app, demo.ELM):
            invitations.resend(user(GRACE).id)
        assert look(app, secret(app, demo.ELM, Purpose.INVITATION)).misses_left == 5


def test_whoever_was_never_mailed_one_has_all_tries(app: Flask) -> None:
    with inside(app, demo.ELM):
        user("maria@family.example").accepted_at = None
        db.session.flush()
        invitations.send_again(user("maria@family.example"))
    assert look(app, secret(app, demo.ELM, Purpose.INVITATION)).misses_left == 5


def test_there_is_nothing_to_accept_for_whoever_has_accepted_or_is_deactivated(app: Flask) -> None:
    with inside(app, demo.ELM):
        assert not invitations.may_be_accepted(user("maria@family.example"))
        assert invitations.may_be_accepted(user(GRACE))
        portal_users.deactivate(user(GRACE).id)
        assert not invitations.may_be_accepted(user(GRACE))


@pytest.mark.parametrize("by", ["another address", "deactivation"])
def test_a_link_is_bound_to_its_address_and_its_person(app: Flask, by: str) -> None:
    """Even one that is mailed in the very moment in which the clinic corrects the address, or shuts the person out."""
    with inside(app, demo.ELM):
        grace = user(GRACE)
        if by == "deactivation":
            portal_users.deactivate(grace.id)
        invitations.send(grace)
        if by == "another address":
            grace.email_norm = "grace.new@family.example"
    key = secret(app, demo.ELM, Purpose.INVITATION)
    assert look(app, key).state == LinkState.WITHDRAWN
    assert accept(app, key).session_token is None


def test_an_invitation_of_somebody_who_has_accepted_says_so(app: Flask) -> None:
    """Mailed in the moment in which another of theirs was accepted: it leads to signing in, not to a new password."""
    with inside(app, demo.ELM):
        invitations.send(user("maria@family.example"))
    assert look(app, secret(app, demo.ELM, Purpose.INVITATION)).state == LinkState.USED
