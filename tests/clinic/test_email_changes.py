"""Lost if it fails: a stranger at a mistyped address takes over a parent's sign-in, or a thief moves it unseen."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import access_holds, demo, email_changes, mailed_links, portal_users, sign_in, staff
from clinic.actors import Holder
from clinic.audit import AuditEntry
from clinic.email_changes import EmailChange
from clinic.mailed_links import LinkState
from clinic.portal_users import PortalUser
from clinic.staff import StaffMember
from tenancy import clock
from tenancy.database import db
from tenancy.errors import NotFound, Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.house.route_map import seen
from tests.inside import contact, inside, letters, member, path_of, patient, secret, user
from tests.visitor import Visitor

MARIA, OMAR, ANA, BEN = "maria@family.example", "omar@family.example", "ana@elm.example", "ben@elm.example"
NEW = "new@family.example"
FACES = {MARIA: ("portal", Purpose.EMAIL_CHANGE, OMAR), ANA: ("staff", Purpose.STAFF_EMAIL_CHANGE, BEN)}


def person(email: str) -> PortalUser | StaffMember:
    return user(email) if email.endswith("family.example") else member(email)


def ask(app: Flask, email: str, new: str = NEW, password: str = demo.PASSWORD) -> Holder:
    with inside(app, demo.ELM, Role.DOOR):
        holder = person(email).holder
        email_changes.ask(holder, email=new, password=password)
    return holder


def mailed(app: Flask, email: str, new: str = NEW) -> tuple[Holder, str]:
    holder = ask(app, email, new)
    return holder, secret(app, demo.ELM, FACES[email][1])


def confirm(app: Flask, holder: Holder, link: str) -> EmailChange:
    with inside(app, demo.ELM, Role.DOOR):
        return email_changes.confirm(holder, link)


def posted(app: Flask, before: int) -> list[tuple[str, str]]:
    return [(each.kind.removeprefix("staff_"), each.to_address) for each in letters(app, demo.ELM)[before:]]


@pytest.fixture(params=[MARIA, ANA])
def email(request: pytest.FixtureRequest) -> Iterator[str]:
    """A portal user, and a staff member: the same holds for both."""
    yield request.param


def test_the_new_address_confirms_and_the_old_one_is_told_twice(app: Flask, email: str) -> None:
    before = len(letters(app, demo.ELM))
    holder, link = mailed(app, email, " New@Family.Example ")
    assert sorted(posted(app, before)) == [("email_change_asked", email), ("email_confirmation", NEW)]
    with inside(app, demo.ELM, Role.DOOR):
        assert person(email).email == email  # nothing has changed yet
        assert email_changes.look(holder, link) == EmailChange(LinkState.GOOD, NEW)
    done = confirm(app, holder, link)
    assert (done.state, done.email) == (LinkState.GOOD, NEW) and done.token
    assert posted(app, before)[-1] == ("email_changed", email)
    sign = sign_in.portal_user if email == MARIA else sign_in.staff_member
    with inside(app, demo.ELM, Role.DOOR):
        assert sign(NEW, demo.PASSWORD).token and sign(email, demo.PASSWORD).token is None


def test_every_other_session_and_open_link_ends(app: Flask, email: str) -> None:
    base, prefix = (f"http://{demo.ELM}.localhost:8000", "") if email == MARIA else ("http://admin.localhost:8000", f"/{demo.ELM}")
    here, elsewhere = Visitor(app, base).sign_in(email, prefix), Visitor(app, base).sign_in(email, prefix)
    with inside(app, demo.ELM):
        (sign_in.mail_reset if email == MARIA else sign_in.mail_staff_reset)(person(email))  # type: ignore[operator]
        reset = Purpose.PASSWORD_RESET if email == MARIA else Purpose.STAFF_PASSWORD_RESET
    old_link = secret(app, demo.ELM, reset)
    _holder, link = mailed(app, email)
    here.get(path_of(demo.ELM, FACES[email][1], link))
    page = f"{prefix}/link/{FACES[email][1]}"
    assert NEW in here.read(page)
    assert here.post(page).status_code == 303
    assert here.get(f"{prefix}/").status_code == 200
    assert elsewhere.get(f"{prefix}/").status_code == 303
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.look(reset, old_link) == LinkState.WITHDRAWN


def test_a_stranger_who_gets_the_letter_can_do_nothing(app: Flask, email: str) -> None:
    """A mistyped address is somebody's: reading the letter is not enough, and being somebody else here neither."""
    _holder, link = mailed(app, email)
    with inside(app, demo.ELM, Role.DOOR):
        other = person(FACES[email][2]).holder
        for verb in (email_changes.look, email_changes.confirm):
            with pytest.raises(NotFound):
                verb(other, link)
    base, prefix = (f"http://{demo.ELM}.localhost:8000", "") if email == MARIA else ("http://admin.localhost:8000", f"/{demo.ELM}")
    page = f"{prefix}/link/{FACES[email][1]}"
    stranger = Visitor(app, base)
    assert stranger.get(path_of(demo.ELM, FACES[email][1], link)).status_code == 303
    assert "/sign-in" in stranger.get(page).headers["Location"]
    stranger.get(f"{prefix}/sign-in")
    assert "/sign-in" in stranger.post(page).headers["Location"]
    colleague = Visitor(app, base).sign_in(FACES[email][2], prefix)
    colleague.get(path_of(demo.ELM, FACES[email][1], link))
    assert colleague.get(page).status_code == colleague.post(page).status_code == 404
    with inside(app, demo.ELM, Role.DOOR):
        assert person(email).email == email


def test_the_link_waits_while_its_reader_signs_in(app: Flask, email: str) -> None:
    base, prefix = (f"http://{demo.ELM}.localhost:8000", "") if email == MARIA else ("http://admin.localhost:8000", f"/{demo.ELM}")
    _holder, link = mailed(app, email)
    browser = Visitor(app, base)
    browser.get(path_of(demo.ELM, FACES[email][1], link))
    browser.sign_in(email, prefix)
    assert NEW in browser.read(f"{prefix}/link/{FACES[email][1]}")


def test_a_taken_address_reads_the_same_and_its_owner_is_told(app: Flask, email: str) -> None:
    """The page must not tell Omar which other parents come here; and Maria may know that somebody tried."""
    owner, before = FACES[email][2], len(letters(app, demo.ELM))
    holder, link = mailed(app, email, owner)
    assert sorted(posted(app, before)) == sorted([("email_in_use", owner), ("email_change_asked", email)])
    assert confirm(app, holder, link).state == LinkState.WITHDRAWN  # of a link that nobody was mailed
    with inside(app, demo.ELM, Role.DOOR):
        assert person(email).email == email


def test_the_pages_of_a_free_and_a_taken_address_are_alike(app: Flask, maria: Visitor) -> None:
    pages = set()
    for new in (NEW, OMAR, "grace@family.example"):
        maria.get("/profile/email")
        answer = maria.post("/profile/email", {"email": new, "present": demo.PASSWORD})
        page = seen(maria.get(answer.headers["Location"]), {})
        pages.add((answer.status_code, answer.headers["Location"], str(page)))
    assert len(pages) == 1


def test_asking_for_a_taken_address_supersedes_as_asking_for_a_free_one_does(app: Flask, email: str) -> None:
    """Else the first link would tell which of the two it was."""
    holder, first = mailed(app, email)
    ask(app, email, FACES[email][2])
    assert confirm(app, holder, first).state == LinkState.SUPERSEDED


def test_an_address_taken_since_is_not_taken_twice(app: Flask, email: str) -> None:
    holder, link = mailed(app, email)
    with inside(app, demo.ELM):
        other = person(FACES[email][2])
        other.email = other.email_norm = NEW
    assert confirm(app, holder, link).state == LinkState.WITHDRAWN


def test_who_was_deactivated_since_confirms_nothing(app: Flask, email: str) -> None:
    if email == ANA:
        with inside(app, demo.ELM):
            staff.change_role(member(BEN).id, staff.StaffRole.ADMIN)
    holder, link = mailed(app, email)
    with inside(app, demo.ELM):
        person(email).deactivated_at = clock.now()
    assert confirm(app, holder, link).state == LinkState.WITHDRAWN


@pytest.mark.parametrize(("new", "password", "field"), [
    (NEW, "wrong", "present"), (NEW, "", "present"), ("no address", demo.PASSWORD, "email"),
    ("MARIA@family.example ", demo.PASSWORD, "email"),
])  # fmt: skip
def test_a_refusal_says_so_at_its_field_and_writes_nothing(app: Flask, new: str, password: str, field: str) -> None:
    before = len(letters(app, demo.ELM))
    with pytest.raises(Refused) as refusal:
        ask(app, MARIA, new, password)
    assert refusal.value.field == field and len(letters(app, demo.ELM)) == before


def test_strangers_get_no_more_than_five_letters_a_day(app: Flask, email: str) -> None:
    """Somebody signed in cannot bury other people's mailboxes in our name."""
    for number in range(email_changes.MOST_A_DAY):
        ask(app, email, f"target{number}@family.example")
    with pytest.raises(Refused, match="tomorrow"):
        ask(app, email)
    with clock.moved(timedelta(days=1, seconds=1)):
        ask(app, email)


def test_an_old_link_says_what_became_of_it(app: Flask, email: str) -> None:
    holder, link = mailed(app, email)
    with clock.moved(timedelta(hours=24)):
        assert confirm(app, holder, link).state == LinkState.EXPIRED
    assert confirm(app, holder, link).state == LinkState.GOOD
    assert confirm(app, holder, link).state == LinkState.USED


def test_a_new_password_takes_the_change_back(app: Flask, maria: Visitor) -> None:
    """What the letter to the old address advises."""
    holder, link = mailed(app, MARIA)
    maria.get("/profile/password")
    maria.post("/profile/password", {"present": demo.PASSWORD, "password": "eleven quiet green lamps"})
    assert confirm(app, holder, link).state == LinkState.WITHDRAWN


def test_the_contact_stays_as_staff_wrote_it_and_the_clinic_sees_the_difference(app: Flask, ana: Visitor) -> None:
    holder, link = mailed(app, MARIA)
    confirm(app, holder, link)
    with inside(app, demo.ELM):
        maria = contact("Maria Lopez")
        patient_id = portal_users.access_of(user(NEW).id)[0].patient_id
        assert maria.email == MARIA
        events = db.session.scalars(select(AuditEntry.event).where(AuditEntry.subject_id == holder.portal_user_id)).all()
    assert {"email_change.asked", "email_change.confirmed"} <= set(events)
    page = ana.read(f"/{demo.ELM}/patients/{patient_id}/contacts")
    assert "The contact’s address is another one" in page


def test_the_same_address_at_the_other_clinic_is_neither_taken_nor_moved(app: Flask) -> None:
    with inside(app, demo.OAK):
        assert user(MARIA)
    holder, link = mailed(app, MARIA, "petra@family.example")  # Petra is a contact at Oak Hill only
    assert confirm(app, holder, link).state == LinkState.GOOD
    with inside(app, demo.OAK, Role.DOOR):
        assert sign_in.portal_user(MARIA, demo.PASSWORD).token


def test_a_custody_block_by_address_is_not_left_behind_with_the_address(app: Flask) -> None:
    """Placed before this person had a sign-in here, it knows them by nothing else."""
    with inside(app, demo.ELM):
        access_holds.block(patient("Zoe Haddad").id, contact_id=None, email=MARIA, reason="A court said so.")
        db.session.execute(text("UPDATE access_holds SET portal_user_id = NULL"))
    with pytest.raises(Refused, match="ask the clinic"):
        ask(app, MARIA)
    with inside(app, demo.ELM):
        db.session.execute(text("UPDATE access_holds SET lifted_at = placed_at, lifted_reason = 'over'"))
    holder, link = mailed(app, MARIA)
    with inside(app, demo.ELM):
        access_holds.block(patient("Zoe Haddad").id, contact_id=None, email=MARIA, reason="A court said so.")
        db.session.execute(text("UPDATE access_holds SET portal_user_id = NULL"))
    assert confirm(app, holder, link).state == LinkState.WITHDRAWN


def test_guessing_the_present_password_gets_slow(maria: Visitor) -> None:
    """Whoever finds Maria's open browser cannot try passwords at its pace."""
    answers = []
    for _each in range(12):
        maria.get("/profile/email")
        answers.append(maria.post("/profile/email", {"email": NEW, "present": "wrong"}).status_code)
    assert answers[0] == 422 and answers[-1] == 429


def test_two_who_confirm_one_address_at_the_same_moment(app: Flask, monkeypatch: pytest.MonkeyPatch, email: str) -> None:
    """The database decides; the second reads an honest page and stays as they were."""
    holder, link = mailed(app, email)
    with inside(app, demo.ELM):
        other = person(FACES[email][2])
        other.email = other.email_norm = NEW
    monkeypatch.setattr(email_changes, "_find", lambda holder, email: None)
    before = len(letters(app, demo.ELM))
    assert confirm(app, holder, link).state == LinkState.WITHDRAWN
    assert len(letters(app, demo.ELM)) == before
    with inside(app, demo.ELM, Role.DOOR):
        assert person(email).email == email
        found = mailed_links.find(FACES[email][1], link)
        assert found is not None
