"""Lost if it fails: somebody who left still reads records, a clinic locks itself out, or a stranger becomes an admin."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import demo, sign_in, staff
from clinic.audit import AuditEntry
from clinic.mailed_links import LinkState
from clinic.staff import RIGHTS, Right, StaffRole, StaffState
from mail.outbox import LetterState
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import acting, inside, letters, member, secret
from tests.visitor import Visitor

ANA, BEN, FAY, NORA = "ana@elm.example", "ben@elm.example", "fay@elm.example", "nora@elm.example"
GOOD = "eleven quiet green lamps"


def invite(app: Flask, role: StaffRole = StaffRole.THERAPIST, email: str = NORA, slug: str = demo.ELM) -> None:
    with inside(app, slug):
        staff.invite(email=email, role=role, name="Nora New")


def accept(app: Flask, mailed: str) -> str | None:
    with inside(app, demo.ELM, Role.DOOR):
        return sign_in.accept_staff_invitation(mailed, name="Nora New", password=GOOD).token


def state(app: Flask, email: str) -> str:
    with inside(app, demo.ELM):
        return staff.row_of(member(email).id).state


def entries(app: Flask, event: str) -> list[AuditEntry]:
    with inside(app, demo.ELM):
        return list(db.session.scalars(select(AuditEntry).where(AuditEntry.event == event).order_by(AuditEntry.at)))


def last_letter(app: Flask) -> tuple[str, str]:
    row = letters(app, demo.ELM)[-1]
    return row.kind, row.to_address


def test_each_role_may_what_the_drawing_says() -> None:
    assert {
        StaffRole.ADMIN: {Right.ADMIN, Right.RECORDS, Right.SIGNING, Right.BILLING},
        StaffRole.BILLING: {Right.BILLING},
        StaffRole.FRONT_DESK: {Right.RECORDS},
        StaffRole.THERAPIST: {Right.RECORDS, Right.SIGNING},
    } == RIGHTS


def test_an_invited_member_chooses_their_own_password_and_is_active(app: Flask) -> None:
    invite(app)
    assert state(app, NORA) == StaffState.INVITED
    assert last_letter(app) == ("staff_invitation", NORA)
    assert accept(app, secret(app, demo.ELM, Purpose.STAFF_INVITATION))
    assert state(app, NORA) == StaffState.ACTIVE
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.staff_member(NORA, GOOD).token


@pytest.mark.parametrize("email", [BEN, " Ben@Elm.Example ", "BEN@ELM.EXAMPLE"])
def test_who_is_there_already_is_not_invited_a_second_time(app: Flask, email: str) -> None:
    """Else an invitation to Ben's address, as Admin, would be a way round his role."""
    with pytest.raises(Refused) as refusal, inside(app, demo.ELM):
        staff.invite(email=email, role=StaffRole.ADMIN, name="Ben")
    assert refusal.value.field == "email"
    with inside(app, demo.ELM):
        assert member(BEN).role == StaffRole.BILLING


def test_the_same_address_at_another_clinic_is_unseen(app: Flask) -> None:
    """Oak learns nothing of Elm's staff, and the two are two people."""
    invite(app, email=BEN, slug=demo.OAK)
    with inside(app, demo.OAK):
        bens = member(BEN).id
    with inside(app, demo.ELM):
        assert member(BEN).id != bens


@pytest.mark.parametrize("email", ["", "no address", "a@b@c", "=?utf-8?q?x?=@elm.example"])
def test_an_invitation_needs_an_address(app: Flask, email: str) -> None:
    with pytest.raises(Refused), inside(app, demo.ELM):
        staff.invite(email=email, role=StaffRole.BILLING, name="Nora")


def test_an_invitation_is_mailed_again_after_five_minutes_and_the_newest_link_wins(app: Flask) -> None:
    invite(app)
    first = secret(app, demo.ELM, Purpose.STAFF_INVITATION)
    with pytest.raises(Conflict, match="five minutes"), inside(app, demo.ELM):
        staff.invite_again(member(NORA).id)
    with clock.moved(timedelta(minutes=6)):
        with inside(app, demo.ELM):
            staff.invite_again(member(NORA).id)
        assert accept(app, first) is None
        assert accept(app, secret(app, demo.ELM, Purpose.STAFF_INVITATION))
        with pytest.raises(Conflict, match="not accepted yet"), inside(app, demo.ELM):
            staff.invite_again(member(NORA).id)


def test_a_letter_that_came_back_and_a_link_that_ran_out_are_told_apart(app: Flask) -> None:
    invite(app)
    with clock.moved(timedelta(days=8)):
        assert state(app, NORA) == StaffState.EXPIRED
    with inside(app, demo.ELM, Role.MAILER):
        db.session.execute(text("UPDATE letters SET state = 'undelivered' WHERE to_address = :to"), {"to": NORA})
    assert state(app, NORA) == LetterState.UNDELIVERED


@pytest.mark.parametrize("verb", ["change_role", "deactivate", "reactivate", "invite_again", "get", "row_of"])
def test_another_clinics_member_is_not_found(app: Flask, verb: str) -> None:
    with inside(app, demo.OAK):
        ola = member("ola@oak.example").id
    more = (StaffRole.BILLING,) if verb == "change_role" else ()
    with pytest.raises(NotFound), inside(app, demo.ELM):
        getattr(staff, verb)(ola, *more)


def test_a_new_role_works_on_the_next_request_and_is_told_and_recorded(app: Flask) -> None:
    fay = Visitor(app, "http://admin.localhost:8000").sign_in(FAY, f"/{demo.ELM}")
    assert fay.get(f"/{demo.ELM}/patients").status_code == 200
    with inside(app, demo.ELM), acting(ANA):
        staff.change_role(member(FAY).id, StaffRole.BILLING)
    assert "/sign-in" in fay.get(f"/{demo.ELM}/patients").headers["Location"]
    assert last_letter(app) == ("staff_role_changed", FAY)
    fay.sign_in(FAY, f"/{demo.ELM}")
    assert fay.get(f"/{demo.ELM}/patients").status_code == 403
    entry = entries(app, "staff_member.role_changed")[-1]
    assert entry.details == {"role": ["front_desk", "billing"]}
    with inside(app, demo.ELM):
        assert (entry.actor_id, entry.subject_id) == (member(ANA).id, member(FAY).id)


def test_the_same_role_again_changes_nothing(app: Flask) -> None:
    before = len(letters(app, demo.ELM))
    with inside(app, demo.ELM):
        staff.change_role(member(FAY).id, StaffRole.FRONT_DESK)
        staff.change_role(member(ANA).id, StaffRole.ADMIN)
    assert len(letters(app, demo.ELM)) == before and not entries(app, "staff_member.role_changed")


def test_who_was_only_invited_gets_no_letter_about_a_role(app: Flask) -> None:
    """The one letter they have is the invitation, and it still works."""
    invite(app)
    mailed = secret(app, demo.ELM, Purpose.STAFF_INVITATION)
    with inside(app, demo.ELM):
        staff.change_role(member(NORA).id, StaffRole.BILLING)
    assert last_letter(app) == ("staff_invitation", NORA)
    assert accept(app, mailed)


def test_a_deactivated_member_is_out_at_once_and_stays_out(app: Flask, ben: Visitor) -> None:
    with inside(app, demo.ELM):
        sign_in.mail_staff_reset(member(BEN))
    mailed = secret(app, demo.ELM, Purpose.STAFF_PASSWORD_RESET)
    with inside(app, demo.ELM), acting(ANA):
        staff.deactivate(member(BEN).id)
    assert ben.get(f"/{demo.ELM}/").status_code == 303
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.staff_member(BEN, demo.PASSWORD).token is None
        assert sign_in.reset(Purpose.STAFF_PASSWORD_RESET, mailed, GOOD) == LinkState.WITHDRAWN
    assert state(app, BEN) == StaffState.DEACTIVATED
    assert last_letter(app) == ("staff_deactivated", BEN)
    assert entries(app, "staff_member.deactivated")[-1].details == {"role": "billing", "active": [True, False]}
    with pytest.raises(Conflict, match="already"), inside(app, demo.ELM):
        staff.deactivate(member(BEN).id)


def test_a_reactivated_member_signs_in_as_before(app: Flask) -> None:
    with pytest.raises(Conflict, match="not deactivated"), inside(app, demo.ELM):
        staff.reactivate(member(BEN).id)
    with inside(app, demo.ELM):
        staff.deactivate(member(BEN).id)
        staff.reactivate(member(BEN).id)
    assert last_letter(app) == ("staff_reactivated", BEN)
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.staff_member(BEN, demo.PASSWORD).token


def test_an_invitation_taken_back_lets_nobody_in_and_can_be_given_again(app: Flask) -> None:
    invite(app)
    mailed = secret(app, demo.ELM, Purpose.STAFF_INVITATION)
    with inside(app, demo.ELM):
        staff.deactivate(member(NORA).id)
        with pytest.raises(Conflict):
            staff.invite_again(member(NORA).id)
    assert accept(app, mailed) is None
    assert last_letter(app) == ("staff_invitation", NORA)  # somebody who never came is not told that they left
    with inside(app, demo.ELM):
        staff.reactivate(member(NORA).id)
    assert accept(app, mailed) is None
    with inside(app, demo.ELM):
        staff.invite_again(member(NORA).id)  # at once: the last link is no longer good
    assert accept(app, secret(app, demo.ELM, Purpose.STAFF_INVITATION))


def test_the_only_active_admin_stays_admin_and_active(app: Flask) -> None:
    """Nobody but an operator could let the clinic in again."""
    invite(app, StaffRole.ADMIN)  # invited is not active: Nora may never come
    for role in (StaffRole.BILLING, StaffRole.THERAPIST):
        with pytest.raises(Conflict, match="only active admin"), inside(app, demo.ELM):
            staff.change_role(member(ANA).id, role)
    with pytest.raises(Conflict, match="only active admin"), inside(app, demo.ELM):
        staff.deactivate(member(ANA).id)
    with inside(app, demo.ELM):
        assert staff.row_of(member(ANA).id).is_only_admin and not staff.row_of(member(NORA).id).is_only_admin
        staff.deactivate(member(NORA).id)


def test_with_two_admins_either_may_go(app: Flask) -> None:
    with inside(app, demo.ELM):
        staff.change_role(member(BEN).id, StaffRole.ADMIN)
        assert not staff.row_of(member(ANA).id).is_only_admin
        staff.deactivate(member(ANA).id)
        assert [each.email for each in staff.admins()] == [BEN]
        assert staff.row_of(member(BEN).id).is_only_admin
    with pytest.raises(Conflict), inside(app, demo.ELM):
        staff.deactivate(member(BEN).id)


def test_the_list_goes_by_name_page_after_page(app: Flask) -> None:
    with inside(app, demo.ELM):
        names = [each.name for each in staff.listed()]
        first = staff.listed(limit=2)
        rest = staff.listed(after=first[-1].cursor)
    assert names == sorted(names) == [each.name for each in first + rest]
    assert "Tom Tanaka" in names and "Ola Okafor" not in names


def test_an_operator_makes_an_admin_of_whoever_has_the_address(app: Flask) -> None:
    """The way back for a clinic whose only admin is gone. An invitation of before does not keep its smaller role."""
    invite(app, StaffRole.BILLING)

    def make_admin(email: str) -> None:
        with inside(app, demo.ELM, Role.OPERATOR):
            staff.make_admin(email=email, name="New Admin")

    make_admin(NORA)
    make_admin(FAY)
    make_admin("new@elm.example")
    with inside(app, demo.ELM):
        assert {member(each).role for each in (NORA, FAY, "new@elm.example")} == {StaffRole.ADMIN}
        staff.deactivate(member(BEN).id)
    told = [(each.kind, each.to_address) for each in letters(app, demo.ELM)]
    assert told[-4:-1] == [("staff_invitation", NORA), ("staff_role_changed", FAY), ("staff_invitation", "new@elm.example")]
    for email, word in ((ANA, "already"), (BEN, "deactivated")):
        with pytest.raises(Refused, match=word):
            make_admin(email)
