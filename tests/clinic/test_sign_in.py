"""Lost if it fails: a stranger signs in as a parent, or learns who is one; or a parent who forgot the password is lost."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select

from clinic import demo, portal_users, sign_in, staff, throttle
from clinic.audit import AuditEntry
from clinic.mailed_links import LinkState
from clinic.sessions import SignInSession
from tenancy import clock
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import inside, letters, member, newest_link, secret, send_link, user
from tests.visitor import Visitor, compared

MARIA, GRACE = "maria@family.example", "grace@family.example"
GOOD = "eleven quiet green lamps"


def token(app: Flask, email: str, password: str = demo.PASSWORD, slug: str = demo.ELM) -> str | None:
    with inside(app, slug, Role.DOOR):
        return sign_in.portal_user(email, password).token


def last_entry(app: Flask, slug: str = demo.ELM) -> AuditEntry:
    with inside(app, slug):
        return db.session.scalars(select(AuditEntry).order_by(AuditEntry.at.desc()).limit(1)).one()


def test_the_address_may_be_typed_as_people_type(app: Flask) -> None:
    for typed in (MARIA, " Maria@Family.Example ", "MARIA@FAMILY.EXAMPLE"):
        assert token(app, typed)
    assert last_entry(app).event == "sign_in.succeeded"


@pytest.mark.parametrize(
    ("email", "password"),
    [(MARIA, "wrong"), (MARIA, ""), (MARIA, demo.PASSWORD + "\x00"), (MARIA, "x" * 5000), ("nobody@family.example", demo.PASSWORD),
     (GRACE, demo.PASSWORD), ("gus@family.example", demo.PASSWORD), ("ana@elm.example", demo.PASSWORD), ("", ""), ("petra@family.example", demo.PASSWORD)],
)  # fmt: skip
def test_every_wrong_way_gets_the_same_page(app: Flask, email: str, password: str) -> None:
    """Unknown, invited, staff, or merely mistyped: no one can tell them apart."""
    assert token(app, email, password) is None
    assert last_entry(app).event == "sign_in.refused"


def test_the_pages_of_all_refusals_are_alike(app: Flask, portal: Visitor) -> None:
    with inside(app, demo.ELM):
        portal_users.deactivate(user("omar@family.example").id)
    pages = set()
    for email in (MARIA, GRACE, "omar@family.example", "nobody@family.example"):
        portal.get("/sign-in")
        password = "a wrong one, surely" if email == MARIA else demo.PASSWORD
        answer = portal.post("/sign-in", {"email": email, "password": password})
        pages.add((answer.status_code, compared(answer.text).replace(email, "")))
    assert len(pages) == 1


def test_the_same_address_at_two_clinics_is_two_sign_ins(app: Flask) -> None:
    """A new password at one clinic changes nothing at the other."""
    secret = send_link(app, demo.ELM, Purpose.PASSWORD_RESET)
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.reset(Purpose.PASSWORD_RESET, secret, GOOD) == LinkState.GOOD
    assert token(app, MARIA, GOOD)
    assert token(app, MARIA) is None
    assert token(app, MARIA, slug=demo.OAK)
    assert token(app, MARIA, GOOD, slug=demo.OAK) is None


def test_a_new_password_ends_all_sessions_and_is_announced(app: Flask, maria: Visitor) -> None:
    secret = send_link(app, demo.ELM, Purpose.PASSWORD_RESET)
    with inside(app, demo.ELM, Role.DOOR):
        sign_in.reset(Purpose.PASSWORD_RESET, secret, GOOD)
        assert sign_in.look(Purpose.PASSWORD_RESET, secret) == LinkState.USED
    assert maria.get("/").status_code == 303
    told = letters(app, demo.ELM)[-1]
    assert (told.kind, told.to_address) == ("password_changed", MARIA)
    with inside(app, demo.ELM):
        live = select(func.count()).select_from(SignInSession).where(SignInSession.ended_at.is_(None))
        assert db.session.scalars(live.where(SignInSession.portal_user_id == user(MARIA).id)).one() == 0


def test_tries_with_a_link_count_as_those_of_its_person(app: Flask) -> None:
    """Else whoever guesses at a code has as many tries as links; and a new password by mail ends the wait at the door."""
    for purpose, account in (
        (Purpose.PASSWORD_RESET, throttle.at_door(MARIA, of_staff=False)),
        (Purpose.STAFF_PASSWORD_RESET, throttle.at_door("ana@elm.example", of_staff=True)),
    ):
        key = send_link(app, demo.ELM, purpose)
        with inside(app, demo.ELM, Role.DOOR):
            assert sign_in.account_of(purpose, key) == account


def test_a_new_password_by_mail_ends_the_wait_at_the_door(app: Flask, portal: Visitor) -> None:
    """Who has forgotten theirs has tried it often enough; the letter shows that it is they."""
    portal.get("/sign-in")
    wrong = [portal.post("/sign-in", {"email": MARIA, "password": "no"}).status_code for _ in range(6)]
    assert wrong[-1] == 429
    key = send_link(app, demo.ELM, Purpose.PASSWORD_RESET)
    with inside(app, demo.ELM, Role.DOOR):
        sign_in.reset(Purpose.PASSWORD_RESET, key, GOOD)
    assert portal.post("/sign-in", {"email": MARIA, "password": GOOD}).status_code == 303


def test_a_new_password_leaves_no_other_link_open(app: Flask) -> None:
    """Nor one that somebody at the person's mailbox has asked for."""
    for purpose in (Purpose.PASSWORD_RESET, Purpose.EMAIL_CHANGE):
        send_link(app, demo.ELM, purpose)
    with inside(app, demo.ELM, Role.DOOR):
        sign_in.change_password(user(MARIA).holder, present=demo.PASSWORD, new=GOOD)
    with inside(app, demo.ELM, Role.DOOR):
        assert newest_link(Purpose.EMAIL_CHANGE).state == LinkState.WITHDRAWN
        assert newest_link(Purpose.PASSWORD_RESET).state == LinkState.WITHDRAWN


def test_a_weak_new_password_uses_nothing_up(app: Flask) -> None:
    secret = send_link(app, demo.ELM, Purpose.PASSWORD_RESET)
    with pytest.raises(Refused), inside(app, demo.ELM, Role.DOOR):
        sign_in.reset(Purpose.PASSWORD_RESET, secret, "maria")
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.look(Purpose.PASSWORD_RESET, secret) == LinkState.GOOD


def test_asking_for_a_link_says_the_same_for_every_address(app: Flask, portal: Visitor) -> None:
    answers = set()
    for email in (MARIA, GRACE, "gus@family.example", "nobody@family.example", "ana@elm.example"):
        portal.get("/new-link")
        answer = portal.post("/new-link", {"email": email})
        answers.add((answer.status_code, answer.headers["Location"], compared(portal.get(answer.headers["Location"]).text)))
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("email", "kind"),
    [(MARIA, "password_reset"), (" MARIA@family.example", "password_reset"), (GRACE, "portal_invitation"),
     ("nobody@family.example", None), ("gus@family.example", None), ("ana@elm.example", None)],
)  # fmt: skip
def test_who_asks_gets_what_they_need_by_mail_only(app: Flask, email: str, kind: str | None) -> None:
    """Who never accepted gets the invitation again; who is unknown here gets nothing."""
    before = len(letters(app, demo.ELM))
    # Some minutes after the demo's own invitation: one that was mailed just now is not mailed again.
    with clock.moved(timedelta(minutes=6)), inside(app, demo.ELM, Role.DOOR):
        sign_in.ask_for_reset(email, of_staff=False)
    posted = letters(app, demo.ELM)[before:]
    assert [each.kind for each in posted] == ([kind] if kind else [])


def test_a_deactivated_user_gets_no_link(app: Flask) -> None:
    with inside(app, demo.ELM):
        portal_users.deactivate(user(MARIA).id)
        member("ben@elm.example").deactivated_at = clock.now()
    before = len(letters(app, demo.ELM))
    with inside(app, demo.ELM, Role.DOOR):
        sign_in.ask_for_reset(MARIA, of_staff=False)
        sign_in.ask_for_reset("ben@elm.example", of_staff=True)
        assert sign_in.staff_member("ben@elm.example", demo.PASSWORD).token is None
    assert len(letters(app, demo.ELM)) == before


def test_a_portal_users_link_never_sets_a_staff_password_nor_the_other_way_round(app: Flask) -> None:
    for mailed, tried in ((Purpose.PASSWORD_RESET, Purpose.STAFF_PASSWORD_RESET), (Purpose.STAFF_PASSWORD_RESET, Purpose.PASSWORD_RESET)):
        secret = send_link(app, demo.ELM, mailed)
        with inside(app, demo.ELM, Role.DOOR), pytest.raises(NotFound):
            sign_in.reset(tried, secret, GOOD)


def test_changing_ones_password_needs_the_present_one(app: Flask, maria: Visitor) -> None:
    """Who finds Maria's open browser cannot lock her out for good."""
    maria.get("/profile/password")
    wrong = maria.post("/profile/password", {"present": "wrong", "password": GOOD})
    assert wrong.status_code == 422 and "not your present password" in wrong.text
    other = Visitor(app, maria.base_url).sign_in(MARIA)
    right = maria.post("/profile/password", {"present": demo.PASSWORD, "password": GOOD})
    assert right.status_code == 303
    assert maria.get("/").status_code == 200  # this browser stays signed in
    assert other.get("/").status_code == 303  # every other is out


def test_a_staff_member_is_set_up_once(app: Flask) -> None:
    key = send_link(app, demo.ELM, Purpose.STAFF_INVITATION)
    with pytest.raises(Refused), inside(app, demo.ELM, Role.DOOR):
        sign_in.accept_staff_invitation(key, name="Nora New", password="nora")
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.accept_staff_invitation(key, name=" Nora  Newman ", password=GOOD).token
    with inside(app, demo.ELM, Role.DOOR):
        assert newest_link(Purpose.STAFF_INVITATION).state == LinkState.USED
        assert sign_in.accept_staff_invitation(key, name="Mallory", password=GOOD).token is None
        assert member("nora@elm.example").name == "Nora Newman"
        assert sign_in.staff_member("nora@elm.example", GOOD).token


def test_a_link_that_its_person_has_overtaken_is_used_up(app: Flask) -> None:
    """An invitation mailed in the moment in which another was accepted; a reset of somebody who never had a password."""
    with inside(app, demo.ELM, Role.OPERATOR):
        staff.send_invitation(member("ana@elm.example"))
    with inside(app, demo.ELM):
        sign_in.mail_reset(user(GRACE))
    for purpose in (Purpose.STAFF_INVITATION, Purpose.PASSWORD_RESET):
        key = secret(app, demo.ELM, purpose)
        with inside(app, demo.ELM, Role.DOOR):
            assert sign_in.look(purpose, key) == LinkState.USED
            if purpose is Purpose.STAFF_INVITATION:
                assert sign_in.accept_staff_invitation(key, name="Mallory", password=GOOD).token is None
            else:
                assert sign_in.reset(purpose, key, GOOD) == LinkState.USED
    assert token(app, GRACE, GOOD) is None and token(app, MARIA)


def test_a_session_token_is_kept_as_a_hash_and_dies_with_signing_out(app: Flask, maria: Visitor) -> None:
    kept = token(app, MARIA)
    assert kept and len(kept) >= 43
    thief = maria.at(maria.base_url)
    assert thief.get("/").status_code == 200
    maria.get("/")
    assert maria.post("/sign-out").status_code == 303
    assert maria.get("/").status_code == 303
    assert thief.get("/").status_code == 303  # the copied cookie is dead too
    with inside(app, demo.ELM, Role.DOOR):
        assert kept.encode() not in b"".join(db.session.scalars(select(SignInSession.token_hash)))


def test_an_expired_session_says_so_and_brings_one_back_to_the_page(app: Flask, maria: Visitor) -> None:
    with clock.moved(timedelta(hours=1)):
        answer = maria.get("/profile")
        assert answer.headers["Location"] == "/sign-in?next=/profile"
        assert "signed out after a while" in maria.get(answer.headers["Location"]).text
        back = maria.post("/sign-in?next=/profile", {"email": MARIA, "password": demo.PASSWORD})
        assert back.headers["Location"] == "/profile"
