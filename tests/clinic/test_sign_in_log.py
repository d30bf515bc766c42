"""What each step at the door leaves behind: its entries in the log, the letter that tells the person, and when they came.

Lost if it fails: after somebody has been at another's door nobody can tell who tried what, and the one whose door it is
never hears of it. (Every address by its route: tests/attack/test_t21_audit_completeness.py; here, what takes several steps.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import demo, invitations, sessions, sign_in
from clinic.actors import Holder
from clinic.audit import AuditEntry, Result
from clinic.mailed_links import MOST_MISSES
from clinic.passkeys import Purpose as Asked
from clinic.second_factors import FactorKind, recovery_codes
from clinic.sessions import LiveSession, Stage
from mail.outbox import OutgoingLetter
from tenancy import clock
from tenancy.database import db
from tenancy.languages import Language
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.clinic.test_passkeys import owner
from tests.inside import (
    at_the_door,
    forget_spent_codes,
    give_app,
    inside,
    letters,
    member,
    newest_link,
    send_link,
    user,
)
from tests.software_authenticator import PRESENT
from tests.visitor import app_code

ANA, MARIA, GRACE = "ana@elm.example", "maria@family.example", "grace@family.example"
GOOD = "eleven quiet green lamps"
NOBODY = "nobody@family.example"


@dataclass(frozen=True)
class Step:
    """What somebody does in a session of this stage, and what it leaves: (event, of whom, result), letters, a coming in."""

    email: str
    act: Callable[[LiveSession, str], object]
    entries: tuple[str, ...]
    stage: Stage = Stage.FULL
    has_factor: bool = True
    letters: tuple[str, ...] = ()
    comes_in: bool = False


def code_of(live: LiveSession) -> str:
    return recovery_codes.renew(live.holder)[0]


STEPS: dict[str, Step] = {
    "an address that nobody has": Step(NOBODY, lambda _live, _: sign_in.portal_user(NOBODY, GOOD), ("sign_in.refused",)),
    "a wrong password": Step(MARIA, lambda _live, _: sign_in.portal_user(MARIA, "no"), ("sign_in.refused",)),
    "a right password": Step(
        MARIA, lambda _live, _: sign_in.portal_user(MARIA, demo.PASSWORD), ("sign_in.succeeded",), has_factor=False, comes_in=True
    ),
    "a right password, and a code to come": Step(ANA, lambda _live, _: sign_in.staff_member(ANA, demo.PASSWORD), ("sign_in.begun",)),
    "a wrong code": Step(
        ANA, lambda live, _: sign_in.show_code(live, "000000", FactorKind.AUTHENTICATOR), ("second_factor.refused",), Stage.FACTOR_DUE
    ),
    "a right code": Step(
        MARIA,
        lambda live, _: sign_in.show_code(live, app_code(), FactorKind.AUTHENTICATOR),
        ("sign_in.succeeded",),
        Stage.FACTOR_DUE,
        comes_in=True,
    ),
    "a recovery code": Step(
        MARIA,
        lambda live, _: sign_in.show_code(live, code_of(live), FactorKind.RECOVERY_CODE),
        ("recovery_code.used", "sign_in.succeeded"),
        Stage.FACTOR_DUE,
        letters=("recovery_code_used",),
        comes_in=True,
    ),
    "not who they say": Step(ANA, lambda live, _: sign_in.confirm(live, "no", app_code()), ("identity.refused",)),
    "who they say": Step(ANA, lambda live, _: sign_in.confirm(live, demo.PASSWORD, app_code()), ("identity.confirmed",)),
    "a first app": Step(
        MARIA,
        lambda live, token: sign_in.add_authenticator(
            live, token, app_code(sign_in.offer_authenticator(token, MARIA).secret)
        ),
        ("second_factor.added",),
        has_factor=False,
        letters=("second_factor_added",),
    ),
    "the app taken away": Step(
        MARIA, lambda live, _: sign_in.remove_authenticator(live), ("second_factor.removed",), letters=("second_factor_removed",)
    ),
    "new recovery codes": Step(
        MARIA, lambda live, _: sign_in.renew_codes(live), ("recovery_codes.renewed",), letters=("recovery_codes_renewed",)
    ),
    "a new password": Step(
        MARIA,
        lambda live, _: sign_in.change_password(live.holder, present=demo.PASSWORD, new=GOOD),
        ("password.changed",),
        letters=("password_changed",),
    ),
    "a staff member's new password": Step(
        ANA,
        lambda live, _: sign_in.change_password(live.holder, present=demo.PASSWORD, new=GOOD),
        ("password.changed",),
        letters=("staff_password_changed",),
    ),
    "a link asked for": Step(
        MARIA, lambda _live, _: sign_in.ask_for_reset(MARIA, of_staff=False), ("password_reset.mailed",), letters=("password_reset",)
    ),
    "a staff member's link asked for": Step(
        ANA, lambda _live, _: sign_in.ask_for_reset(ANA, of_staff=True), ("password_reset.mailed",), letters=("staff_password_reset",)
    ),
    "out, everywhere": Step(MARIA, lambda live, _: sessions.sign_out_everywhere(live.holder), ("sessions.ended",)),
    "a staff member out, everywhere": Step(ANA, lambda live, _: sessions.sign_out_everywhere(live.holder), ("sessions.ended",)),
}  # fmt: skip


def last_entries(app: Flask, number: int) -> list[tuple[str, UUID | None, str]]:
    with inside(app, demo.ELM):
        newest = select(AuditEntry).order_by(AuditEntry.number.desc()).limit(number)
        return [(each.event, each.subject_id, each.result) for each in reversed(db.session.scalars(newest).all())]


def count(app: Flask) -> int:
    with inside(app, demo.ELM):
        return len(db.session.scalars(select(AuditEntry.id)).all())


def person_id(holder: Holder) -> UUID | None:
    return holder.staff_member_id or holder.portal_user_id


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_recorded_once_told_and_counted_as_coming_in_only_where_it_is(still: None, app: Flask, name: str) -> None:
    step = STEPS[name]
    whose = MARIA if step.email == NOBODY else step.email
    if step.has_factor:
        give_app(app, demo.ELM, whose)
        forget_spent_codes(app, demo.ELM, whose)
    with at_the_door(app, demo.ELM, whose) as holder:
        token = sessions.start(holder, step.stage)
        live = sessions.find_live(token)
    before, posted = count(app), len(letters(app, demo.ELM))
    with clock.moved(timedelta(seconds=1)):
        then = clock.now()
        with at_the_door(app, demo.ELM, whose):
            assert live
            step.act(live, token)
    result = Result.REFUSED if step.entries[-1].endswith(".refused") else Result.DONE
    of_whom = None if step.email == NOBODY else person_id(holder)
    assert last_entries(app, count(app) - before) == [(event, of_whom, result) for event in step.entries]
    new = letters(app, demo.ELM)[posted:]
    assert [(each.kind, each.to_address) for each in new] == [(kind, whose) for kind in step.letters]
    with inside(app, demo.ELM):
        person = member(whose) if holder.staff_member_id else user(whose)
        assert (person.last_sign_in_at == then) is step.comes_in


BY_PASSKEY: dict[str, tuple[Asked, Stage, str, str]] = {
    "in": (Asked.SIGN_IN, Stage.FULL, "sign_in.refused", "sign_in.succeeded"),
    "the second step": (Asked.FACTOR, Stage.FACTOR_DUE, "second_factor.refused", "sign_in.succeeded"),
    "once more": (Asked.CONFIRM, Stage.FULL, "identity.refused", "identity.confirmed"),
}


@pytest.mark.parametrize("email", [MARIA, ANA])
@pytest.mark.parametrize("way", BY_PASSKEY)
def test_a_passkey_is_recorded_like_a_password_or_a_code(still: None, app: Flask, way: str, email: str) -> None:
    asked, stage, refused, succeeded = BY_PASSKEY[way]
    somebody = owner(app, email).add()

    def show(**changed: int) -> list[tuple[str, UUID | None, str]]:
        with at_the_door(app, demo.ELM, email) as holder:
            live = sessions.find_live(sessions.start(holder, stage))
        offer, before = somebody.offer(asked), count(app)
        answer = somebody.device.answer(offer.options, **changed)
        with at_the_door(app, demo.ELM, email):
            assert live
            if asked is Asked.SIGN_IN:
                outcome = sign_in.by_passkey(somebody.party, offer.challenge, answer)
            else:
                verb = sign_in.show_passkey if asked is Asked.FACTOR else sign_in.confirm_by_passkey
                outcome = verb(live, somebody.party, offer.challenge, answer)
        assert (outcome.token is None) is bool(changed)
        return last_entries(app, count(app) - before)

    me = person_id(somebody.holder)
    with clock.moved(timedelta(seconds=1)):
        assert show(flags=PRESENT) == [(refused, me, Result.REFUSED)]
    with clock.moved(timedelta(seconds=2)):
        then = clock.now()
        assert show() == [(succeeded, me, Result.DONE)]
    with inside(app, demo.ELM):
        person = member(email) if somebody.holder.staff_member_id else user(email)
        assert (person.last_sign_in_at == then) is (succeeded == "sign_in.succeeded")


def test_signing_out_names_the_session(app: Flask) -> None:
    with at_the_door(app, demo.ELM, MARIA) as holder:
        live = sessions.find_live(sessions.start(holder))
        assert live
        sign_in.sign_out(live.id)
        assert sessions.has_ended(live.id)
    assert last_entries(app, 1) == [("session.ended", live.id, Result.DONE)]


def letter_of(app: Flask, purpose: Purpose) -> str:
    """The kind of the letter in which the newest link of this purpose went out: the page of a portal user says whether
    it arrived."""
    with inside(app, demo.ELM):
        kept = select(OutgoingLetter.kind).where(OutgoingLetter.id == newest_link(purpose).letter_id)
        return db.session.scalars(kept).one()


@pytest.mark.parametrize(
    ("purpose", "kind"),
    [
        (Purpose.INVITATION, "portal_invitation"),
        (Purpose.PASSWORD_RESET, "password_reset"),
        (Purpose.STAFF_PASSWORD_RESET, "staff_password_reset"),
        (Purpose.SIGN_IN_RESET, "sign_in_reset"),
        (Purpose.STAFF_SIGN_IN_RESET, "staff_sign_in_reset"),
    ],
)
def test_a_link_knows_the_letter_it_went_out_in(app: Flask, purpose: Purpose, kind: str) -> None:
    send_link(app, demo.ELM, purpose)
    assert letter_of(app, purpose) == kind


def test_a_reset_of_the_sign_in_is_recorded_from_its_start_to_its_end(app: Flask) -> None:
    with inside(app, demo.ELM):
        ana = member(ANA).id
    with at_the_door(app, demo.ELM, ANA) as holder:
        before = sessions.start(holder)
    key = send_link(app, demo.ELM, Purpose.STAFF_SIGN_IN_RESET)
    assert last_entries(app, 1) == [("sign_in_reset.started", ana, Result.DONE)]
    with at_the_door(app, demo.ELM, ANA):
        assert sessions.find_live(before) is None  # whoever has the phone that was lost is out at once
    with inside(app, demo.ELM):
        opened = sign_in.find_open_reset(member(ANA).holder)
        assert opened and len(opened.code) == 8 and opened.code.isdecimal()

    def carry_out(code: str) -> sign_in.Reset:
        with inside(app, demo.ELM, Role.DOOR):
            return sign_in.carry_out_reset(Purpose.STAFF_SIGN_IN_RESET, key, code=code, password=GOOD)

    for left in (4, 3):
        missed = carry_out("no")
        assert (missed.token, missed.misses_left) == (None, left)
        assert last_entries(app, 1) == [("sign_in_reset.missed", ana, Result.REFUSED)]
    spaced = f" {opened.code[:4]} {opened.code[4:]} "  # as it was written down
    token = carry_out(spaced).token
    assert last_entries(app, 2) == [("password.changed", ana, Result.DONE), ("sign_in_reset.used", ana, Result.DONE)]
    with inside(app, demo.ELM, Role.DOOR):
        live = sessions.find_live(token or "")
        assert live and live.stage is Stage.ENROLMENT_DUE
    assert carry_out(opened.code).token is None  # good once


def test_a_first_sign_in_is_recorded_and_counted(still: None, app: Flask) -> None:
    staff_key, key = send_link(app, demo.ELM, Purpose.STAFF_INVITATION), send_link(app, demo.ELM, Purpose.INVITATION)
    now = clock.now()
    with inside(app, demo.ELM, Role.DOOR):
        sign_in.accept_staff_invitation(staff_key, name="Nora New", password=GOOD)
        nora = member("nora@elm.example")
        assert (nora.accepted_at, nora.last_sign_in_at) == (now, now)
    assert last_entries(app, 1) == [("staff_member.accepted", nora.id, Result.DONE)]
    with inside(app, demo.ELM, Role.DOOR):
        invitations.accept(key, birth_on=date(2019, 11, 5), password=GOOD, language=Language.SPANISH)
        grace = user(GRACE)
        assert (grace.accepted_at, grace.last_sign_in_at, grace.language) == (now, now, Language.SPANISH)
    assert last_entries(app, 1) == [("invitation.accepted", grace.id, Result.DONE)]


def test_a_missed_birth_date_is_recorded_with_its_number(app: Flask) -> None:
    key = send_link(app, demo.ELM, Purpose.INVITATION)
    with inside(app, demo.ELM):
        grace = user(GRACE).id
    for number in range(MOST_MISSES):
        with inside(app, demo.ELM, Role.DOOR):
            invitations.accept(key, birth_on=None, password=GOOD, language=Language.ENGLISH)
        last = "locked" if number == MOST_MISSES - 1 else "missed"
        assert last_entries(app, 1) == [(f"invitation.{last}", grace, Result.REFUSED)]
    with clock.moved(timedelta(minutes=6)), inside(app, demo.ELM):
        invitations.resend(grace)
    assert last_entries(app, 1) == [("invitation.sent", grace, Result.DONE)]
