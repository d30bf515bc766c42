"""T32: the second factor cannot be used twice, guessed, skipped, lowered or taken away.

Lost if it fails: a stolen password, an open browser or a read mailbox is enough to stand before a clinic's records.
An admin with an authenticator app and recovery codes: a code again in its step, two steps off, twice at once; the step
skipped by address and by cookie; a new password instead of the code; enrolment from a browser left open; a recovery code
again; switching off from another site; a reset by an operator. Each code opens once, a reset never lowers the factors,
what is sensitive asks again after fifteen minutes, every change is told by letter, and who has no factor where one is
required reaches nothing but setting one up.
"""

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from clinic import demo, portal_settings, second_factors, sessions, sign_in
from clinic.second_factors import AuthenticatorSecret, FactorKind, RecoveryCode, authenticators, recovery_codes
from clinic.sessions import SignInSession, Stage
from clinic.sign_in import SignIn, passwords, people, resets
from tenancy import clinics, clock, tenant
from tenancy.database import db, transaction
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.attack.test_races import at_once
from tests.conftest import Cluster
from tests.house import route_map, whole_database
from tests.house.route_map import Ids, Route, ask
from tests.inside import at_the_door, give_app, inside, letters, member, path_of, secret, send_link, user, written
from tests.one_connection import undone
from tests.visitor import Visitor, app_code
from ui import doors, origins

ANA, MARIA = "ana@elm.example", "maria@family.example"
ADMIN, PORTAL = "http://admin.localhost:8000", f"http://{demo.ELM}.localhost:8000"
ELM = f"/{demo.ELM}"
NEW = "eleven quiet green lamps"
DECLARED = route_map.declared()
STEP = timedelta(seconds=authenticators.STEP_SECONDS)


def due(app: Flask, email: str = ANA) -> sessions.LiveSession:
    """A session of this person whose password was right and whose code is due."""
    with at_the_door(app, demo.ELM, email) as holder:
        live = sessions.find_live(sessions.start(holder, Stage.FACTOR_DUE))
    assert live
    return live


def shown(app: Flask, live: sessions.LiveSession, code: str, kind: FactorKind = FactorKind.AUTHENTICATOR) -> SignIn:
    """Show a code as a request does: acting for this person alone."""
    with app.app_context():
        with transaction():
            clinic = clinics.find_at(demo.ELM)
        assert clinic
        own = {"staff_member_id": live.holder.staff_member_id, "portal_user_id": live.holder.portal_user_id}
        with clinics.open_clinic(clinic, Role.DOOR), tenant.acting(Role.DOOR, **own), transaction():
            return sign_in.show_code(live, code, kind)


def opens(app: Flask, code: str, kind: FactorKind = FactorKind.AUTHENTICATOR) -> bool:
    """Whether this code lets Ana in."""
    return shown(app, due(app), code, kind).token is not None


@pytest.fixture
def codes(app: Flask) -> list[str]:
    """Ana's recovery codes."""
    with at_the_door(app, demo.ELM, ANA) as holder:
        return recovery_codes.renew(holder)


# Each code once


def check_a_code_opens_once(app: Flask) -> None:
    code = app_code()
    assert opens(app, f" {code[:3]} {code[3:]} ")
    assert not opens(app, code)
    with clock.moved(STEP):
        assert not opens(app, code)  # still inside the window
        assert opens(app, app_code())
        assert not opens(app, app_code(steps=-1))  # a code of the past after a newer one


def test_a_code_opens_once(app: Flask) -> None:
    check_a_code_opens_once(app)


def test_planted_a_code_that_is_not_crossed_out(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AuthenticatorSecret, "last_step", property(lambda row: 0, lambda row, step: None))
    with pytest.raises(AssertionError):
        check_a_code_opens_once(app)


def check_the_window(app: Flask) -> None:
    for steps, is_near in ((-2, False), (2, False), (-1, True), (0, True), (1, True)):
        assert opens(app, app_code(steps=steps)) == is_near, steps


def test_a_code_is_good_one_step_early_or_late_and_not_two(app: Flask) -> None:
    check_the_window(app)


def test_planted_a_wider_window(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticators, "EARLY_OR_LATE", 2)
    with pytest.raises(AssertionError):
        check_the_window(app)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "\ud800", "' OR 1=1 --", "000000 000000"])
def test_nonsense_is_no_code(app: Flask, code: str) -> None:
    assert not opens(app, code)
    assert not opens(app, code, FactorKind.RECOVERY_CODE)


def check_one_of_eight_at_once_gets_in(app: Flask, code: str, kind: FactorKind) -> None:
    waiting = [due(app) for _ in range(8)]
    outcomes = at_once(*[lambda live=live: shown(app, live, code, kind).token for live in waiting])
    assert len([token for token in outcomes if token]) == 1, outcomes


@pytest.mark.parametrize("kind", FactorKind)
def test_of_one_code_shown_eight_times_at_once_one_gets_in(committed_app: Flask, kind: FactorKind) -> None:
    with at_the_door(committed_app, demo.ELM, ANA) as holder:
        recovery_code = recovery_codes.renew(holder)[3]
    code = app_code() if kind == FactorKind.AUTHENTICATOR else recovery_code
    check_one_of_eight_at_once_gets_in(committed_app, code, kind)


def test_planted_nobody_waits_for_the_other(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither person nor secret locked: seen, with a moment between reading and writing."""
    step_of = authenticators._step_of

    def slowly(key: str, code: str) -> int | None:
        time.sleep(0.3)
        return step_of(key, code)

    monkeypatch.setattr(authenticators, "_step_of", slowly)
    check_one_of_eight_at_once_gets_in(committed_app, app_code(), FactorKind.AUTHENTICATOR)
    monkeypatch.setattr(authenticators, "locked", lambda statement: statement)
    monkeypatch.setattr(people, "locked", lambda holder: people._get(holder, lock=False))
    with pytest.raises(AssertionError):
        check_one_of_eight_at_once_gets_in(committed_app, app_code(steps=1), FactorKind.AUTHENTICATOR)


def test_after_five_wrong_codes_one_waits_whatever_session_one_tries_in(app: Flask, admin: Visitor) -> None:
    """A million codes are not tried behind one stolen password, not in one session and not in many."""
    for _ in range(5):
        where = admin.show_password(ANA, ELM)
        assert admin.post(where, {"code": "000000"}).status_code == 422
    assert admin.post(where, {"code": app_code()}).status_code == 429
    assert admin.get(f"{ELM}/patients").status_code == 303
    with clock.moved(timedelta(minutes=2)):
        assert Visitor(app, ADMIN).sign_in(ANA, ELM).get(f"{ELM}/patients").status_code == 200


def test_a_recovery_code_opens_once(app: Flask, codes: list[str]) -> None:
    assert len(set(codes)) == recovery_codes.NUMBER
    typed = codes[0].upper().replace("-", " ")
    assert opens(app, typed, FactorKind.RECOVERY_CODE)
    for again in (codes[0], typed):
        assert not opens(app, again, FactorKind.RECOVERY_CODE)
    assert letters(app, demo.ELM)[-1].kind == "recovery_code_used"
    assert opens(app, codes[1], FactorKind.RECOVERY_CODE)


def test_somebody_elses_recovery_code_opens_nothing(app: Flask, codes: list[str]) -> None:
    assert shown(app, due(app, "ben@elm.example"), codes[0], FactorKind.RECOVERY_CODE).token is None
    assert opens(app, codes[0], FactorKind.RECOVERY_CODE)


def test_planted_a_recovery_code_that_stays(app: Flask, codes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    key = recovery_codes._hash

    def is_there(holder: Any, code: str) -> bool:
        hashed = key(recovery_codes.keys.signing_key(recovery_codes.PURPOSE), holder, code)
        return db.session.scalars(select(RecoveryCode.id).where(RecoveryCode.code_hash == hashed)).first() is not None

    monkeypatch.setattr(recovery_codes, "use", is_there)
    with pytest.raises(AssertionError):
        test_a_recovery_code_opens_once(app, codes)


# The step cannot be skipped


def halfway(app: Flask, stage: Stage, face: str) -> tuple[Visitor, set[str]]:
    """Somebody whose sign-in has come so far, and the addresses that are theirs to reach."""
    visitor = Visitor(app, ADMIN if face == "admin" else PORTAL)
    email, prefix = (ANA, ELM) if face == "admin" else (MARIA, "")
    if stage is Stage.FACTOR_DUE:
        give_app(app, demo.ELM, email)
        reachable = {"/sign-in/code", "/sign-in/recovery-code", "/sign-out", "/sign-in/code/passkey", "/passkey-challenge"}
    else:
        with at_the_door(app, demo.ELM, email) as holder:
            second_factors.remove_all(holder)
        with inside(app, demo.ELM):
            portal_settings.get().requires_second_factor = True
        reachable = {"/profile/second-factor/authenticator", "/confirmation", "/sign-out"}
        reachable |= {"/profile/passkeys/new", "/profile/passkeys/challenge"}
    visitor.show_password(email, prefix)
    return visitor, reachable


ALL_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST"})
STEPS = {Stage.FACTOR_DUE: "/sign-in/code", Stage.ENROLMENT_DUE: "/profile/second-factor/authenticator"}


def skipped(
    app: Flask, stage: Stage, face: str, visitor: Visitor, reachable: set[str], methods: frozenset[str] = ALL_METHODS
) -> list[str]:
    """What answers somebody who is halfway in with anything but the step that is due."""
    ids, found = route_map.ids_of(app, demo.ELM, "Leo Lopez"), []
    for route in (each for each in DECLARED if each.face == face and each.gate_name != "open"):
        for method in sorted(route.methods & methods) if route.rule not in reachable else ():
            with undone(app):
                answer = ask(visitor.at(visitor.base_url), route, method, ids)
            where = answer.headers.get("Location", "").partition("?")[0]
            if answer.status_code != 303 or not where.endswith(STEPS[stage]):
                found.append(f"{method} {route}: {answer.status} {where}")
    return found


@pytest.mark.parametrize("face", ["admin", "portal"])
@pytest.mark.parametrize("stage", [Stage.FACTOR_DUE, Stage.ENROLMENT_DUE])
def test_every_page_leads_to_the_step_that_is_due(app: Flask, stage: Stage, face: str) -> None:
    """By address, by form, with the cookie that the password gave: nothing but the step, and signing out."""
    route_map.prepare(app, demo.ELM)
    assert skipped(app, stage, face, *halfway(app, stage, face)) == []


@pytest.mark.parametrize("face", ["admin", "portal"])
def test_planted_a_guard_that_forgets_the_step_is_seen_and_the_database_still_shows_nothing(
    app: Flask, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two locks: with the guard gone, pages answer, but the person still stands at the door for the database."""
    visitor, reachable = halfway(app, Stage.FACTOR_DUE, face)
    monkeypatch.setattr(doors, "held_back", lambda view, **_: None)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    assert skipped(app, Stage.FACTOR_DUE, face, visitor, reachable, frozenset({"GET"})) != []
    for path in (f"{ELM}/patients", f"{ELM}/portal-users") if face == "admin" else ("/", "/profile"):
        with undone(app):
            assert "Leo Lopez" not in visitor.get(path).text, path


def test_a_clinic_that_begins_to_require_it_reaches_who_is_signed_in_at_the_next_page(app: Flask, maria: Visitor) -> None:
    assert maria.get("/").status_code == 200
    with inside(app, demo.ELM):
        portal_settings.get().requires_second_factor = True
    assert maria.get("/profile").headers["Location"].startswith("/profile/second-factor/authenticator")


def test_each_step_has_a_session_of_its_own_and_the_one_before_is_dead(app: Flask, admin: Visitor) -> None:
    """An id that was planted in the browser, or read there, before a step is worth nothing after it."""
    where = admin.show_password(ANA, ELM)
    old = [admin.at(ADMIN)]
    admin.post(where, {"code": app_code()})
    admin.read(f"{ELM}/")
    old.append(admin.at(ADMIN))
    admin.read(f"{ELM}/confirmation")
    admin.post(f"{ELM}/confirmation", {"password": demo.PASSWORD, "code": app_code(steps=1)})
    admin.read(f"{ELM}/profile/password")
    old.append(admin.at(ADMIN))
    assert admin.post(f"{ELM}/profile/password", {"present": demo.PASSWORD, "password": NEW}).status_code == 303
    for each in old:
        assert each.get(f"{ELM}/patients").headers["Location"].startswith(f"{ELM}/sign-in?")
    assert admin.get(f"{ELM}/patients").status_code == 200
    with inside(app, demo.ELM, Role.DOOR):
        held = select(SignInSession).where(SignInSession.staff_member_id == member(ANA).id)
        rows = db.session.scalars(held).all()
        assert len(rows) == 4 and len([row for row in rows if row.ended_at is None]) == 1


# A reset never lowers the factors


def check_a_new_password_leaves_the_code(app: Flask) -> None:
    key = send_link(app, demo.ELM, Purpose.STAFF_PASSWORD_RESET)
    with inside(app, demo.ELM, Role.DOOR):
        sign_in.reset(Purpose.STAFF_PASSWORD_RESET, key, NEW)
    visitor = Visitor(app, ADMIN)
    assert "/sign-in/code" in visitor.show_password(ANA, ELM, NEW)
    assert visitor.get(f"{ELM}/patients").status_code == 303
    visitor.post(f"{ELM}/sign-in/code", {"code": app_code()})
    assert visitor.get(f"{ELM}/patients").status_code == 200


def test_a_new_password_by_mail_leaves_the_code(app: Flask) -> None:
    check_a_new_password_leaves_the_code(app)


def test_planted_a_reset_that_forgets_the_factor(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = passwords.keep

    def lowering(person: Any, password: str) -> None:
        keep(person, password)
        with tenant.acting(Role.DOOR, staff_member_id=person.id):
            db.session.execute(text(f"SET LOCAL app.staff_member_id = '{person.id}'"))
            second_factors.remove_all(person.holder)

    monkeypatch.setattr(passwords, "keep", lowering)
    with pytest.raises(AssertionError):
        check_a_new_password_leaves_the_code(app)


def operators_reset(app: Flask) -> str:
    """By the command line; returns the code that the operator is to tell."""
    ran = app.test_cli_runner().invoke(args=["clinics", "reset-sign-in", demo.ELM, "--email", ANA])
    assert ran.exit_code == 0, ran.output
    found = re.search(r"code: (\d{8})", ran.output)
    assert found, ran.output
    return found[1]


def follow(app: Flask, purpose: Purpose, key: str) -> tuple[Visitor, str]:
    """Somebody who opened a mailed link: at its page, with that page's address."""
    visitor = Visitor(app, ADMIN if purpose is Purpose.STAFF_SIGN_IN_RESET else PORTAL)
    where = visitor.get(path_of(demo.ELM, purpose, key)).headers["Location"]
    visitor.read(where)
    return visitor, where


def test_an_operators_reset_sets_no_password_and_takes_link_and_code(app: Flask, ana: Visitor) -> None:
    """Whoever starts a reset cannot sign in by it, and until its person has, the old factor is asked for."""
    code = operators_reset(app)
    assert ana.get(f"{ELM}/").headers["Location"].startswith(f"{ELM}/sign-in")  # a lost phone may be signed in
    assert Visitor(app, ADMIN).sign_in(ANA, ELM).get(f"{ELM}/").status_code == 200
    letter = letters(app, demo.ELM)[-1]
    assert (letter.kind, letter.to_address) == ("staff_sign_in_reset", ANA)
    visitor, where = follow(app, Purpose.STAFF_SIGN_IN_RESET, secret(app, demo.ELM, Purpose.STAFF_SIGN_IN_RESET))
    done = visitor.post(where, {"code": f"{code[:4]} {code[4:]}", "password": NEW})
    assert done.headers["Location"] == f"{ELM}/profile/second-factor/authenticator"
    assert visitor.get(f"{ELM}/patients").headers["Location"].startswith(done.headers["Location"])
    gave_up = Visitor(app, ADMIN)
    assert "/sign-in/code" in gave_up.show_password(ANA, ELM, NEW)  # the old app, still
    page = visitor.read(done.headers["Location"])
    assert _set_up(visitor, done.headers["Location"], page).status_code == 200
    assert visitor.get(f"{ELM}/patients").status_code == 200
    assert not opens(app, app_code(steps=1))  # the old app is nobody's now


def _set_up(visitor: Visitor, where: str, page: str) -> Any:
    return visitor.post(where, {"code": app_code(key_on(page))})


def key_on(page: str) -> str:
    """The key that a page offers to an authenticator app, as somebody types it."""
    found = re.search(r'<p class="secret"[^>]*>(.*?)</p>', page)
    assert found
    return "".join(re.findall(r"<span>(\w+)</span>", found[1]))


def check_the_mailbox_alone_is_not_enough(app: Flask) -> None:
    """Who reads Ana's mail has every link: a new password as often as they like, and five guesses of eight digits."""
    code = operators_reset(app)
    key = secret(app, demo.ELM, Purpose.STAFF_SIGN_IN_RESET)
    assert code not in str(written(app, demo.ELM))
    visitor, where = follow(app, Purpose.STAFF_SIGN_IN_RESET, key)
    for guess in ("", "00000000", code[:-1], code + "0", "12345678"):
        assert visitor.post(where, {"code": guess, "password": NEW}).status_code in (422, 410)
    visitor.post(where, {"code": "87654321", "password": NEW})
    assert visitor.post(where, {"code": code, "password": NEW}).status_code == 410
    assert visitor.get(f"{ELM}/patients").status_code == 303


def test_the_mailbox_alone_is_not_enough(app: Flask) -> None:
    check_the_mailbox_alone_is_not_enough(app)


def test_planted_a_reset_without_the_clinics_code(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resets.hmac, "compare_digest", lambda one, other: True)
    with pytest.raises(AssertionError):
        check_the_mailbox_alone_is_not_enough(app)


def test_a_portal_users_sign_in_is_reset_by_the_clinics_admin(app: Flask, ana: Visitor) -> None:
    give_app(app, demo.ELM, MARIA)
    with inside(app, demo.ELM):
        maria_id = user(MARIA).id
    where = f"{ELM}/portal-users/{maria_id}/sign-in-reset"
    ana.read(where)
    assert ana.post(where).headers["Location"] == where
    code = "".join(re.findall(r"<span>(\d{4})</span>", ana.read(where)))
    assert len(code) == 8
    visitor, page = follow(app, Purpose.SIGN_IN_RESET, secret(app, demo.ELM, Purpose.SIGN_IN_RESET))
    onward = visitor.post(page, {"code": code, "password": NEW}).headers["Location"]
    assert visitor.get("/").status_code == 303
    shown_codes = _set_up(visitor, onward, visitor.read(onward))
    assert shown_codes.status_code == 200 and "keep" in shown_codes.text
    assert visitor.get("/").status_code == 200
    later = Visitor(app, PORTAL)
    later.get(path_of(demo.ELM, Purpose.SIGN_IN_RESET, secret(app, demo.ELM, Purpose.SIGN_IN_RESET)))
    assert later.get(page).status_code == 410


# What is sensitive asks again


def unasked(app: Flask, minutes: int = 16) -> list[str]:
    """Sensitive pages that open to a session in which nobody has proved anything for a while; and the other way round."""
    route_map.prepare(app, demo.ELM)
    ids, found = route_map.ids_of(app, demo.ELM, "Leo Lopez"), []
    for face, email, prefix in (("admin", ANA, ELM), ("portal", MARIA, "")):
        visitor = Visitor(app, ADMIN if face == "admin" else PORTAL).sign_in(email, prefix)
        person = "ana" if face == "admin" else "maria"
        with clock.moved(timedelta(minutes=minutes / 2)):
            visitor.get(f"{prefix}/")  # in use, so not over
        with clock.moved(timedelta(minutes=minutes)):
            for route in (each for each in DECLARED if each.face == face and each.gate[person] == "in"):
                wrong = _wrongly_answered(app, visitor, route, ids, f"{prefix}/confirmation")
                found += [f"{method} {route}" for method in wrong]
    return found


def _wrongly_answered(app: Flask, visitor: Visitor, route: Route, ids: Ids, asks: str) -> Iterator[str]:
    for method in sorted(route.answers):
        with undone(app):
            answer = ask(visitor.at(visitor.base_url), route, method, ids)
        if (answer.headers.get("Location", "").partition("?")[0] == asks) != route.is_sensitive:
            yield method


def test_what_is_sensitive_asks_again_after_fifteen_minutes_and_nothing_else_does(app: Flask) -> None:
    """An open browser in the waiting room: no second factor is added, removed or replaced, no reply-to moved."""
    assert unasked(app) == []


def test_planted_a_proof_that_lasts_all_day(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "FRESH", timedelta(hours=12))
    assert "POST portal /profile/second-factor/authenticator" in unasked(app)


def test_who_confirms_goes_on_where_they_were(app: Flask, ana: Visitor) -> None:
    settings = f"{ELM}/clinic-options/portal-settings"
    with clock.moved(timedelta(minutes=10)):
        ana.get(f"{ELM}/")
    with clock.moved(timedelta(minutes=16)):
        where = ana.get(settings).headers["Location"]
        assert where == f"{ELM}/confirmation?next={settings}"
        ana.read(where)
        right = {"password": demo.PASSWORD, "code": app_code()}
        for wrong in ({"password": "no"}, {"code": "000000"}):
            assert ana.post(where, right | wrong).status_code == 422
        with clock.moved(STEP):  # a code that was shown beside a wrong password is spent
            assert ana.post(where, right | {"code": app_code()}).headers["Location"] == settings
            assert ana.get(settings).status_code == 200


def test_a_button_pressed_too_late_says_that_nothing_was_done_and_leads_back(app: Flask, ana: Visitor) -> None:
    with inside(app, demo.ELM):
        maria_id = user(MARIA).id
    page = f"{ELM}/portal-users/{maria_id}"
    with clock.moved(timedelta(minutes=10)):
        ana.read(page)
    with clock.moved(timedelta(minutes=16)):
        answer = ana.post(f"{page}/deactivation", headers={"Referer": ADMIN + page})
        assert answer.headers["Location"] == f"{ELM}/confirmation?next={page}"
        assert "Nothing was changed yet" in ana.read(answer.headers["Location"])
    with inside(app, demo.ELM):
        assert user(MARIA).deactivated_at is None


# From another site


def check_another_site_switches_nothing(app: Flask, maria: Visitor) -> None:
    give_app(app, demo.ELM, MARIA)
    maria = Visitor(app, PORTAL).sign_in(MARIA)
    for path in ("/profile/second-factor/authenticator/removal", "/profile/second-factor/recovery-codes"):
        for sent in ({}, {"csrf_token": "made-up"}):
            answer = maria.client.post(path, base_url=PORTAL, data=sent, headers={"Origin": "http://evil.localhost:8000"})
            assert answer.status_code in (400, 403), answer.status_code
    with at_the_door(app, demo.ELM, MARIA) as holder:
        assert second_factors.of_holder(holder).exist


def test_another_site_switches_nothing(app: Flask, maria: Visitor) -> None:
    check_another_site_switches_nothing(app, maria)


def test_planted_forms_without_a_token(app: Flask, maria: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the token nor the origin looked at: one of them alone still holds."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
    check_another_site_switches_nothing(app, maria)
    monkeypatch.setattr(origins, "is_of", lambda own, headers: True)
    with pytest.raises(AssertionError):
        check_another_site_switches_nothing(app, maria)


# Told by letter


CHANGES: dict[str, Callable[[Flask, sessions.LiveSession], object]] = {
    "recovery_codes_renewed": lambda app, live: sign_in.renew_codes(live),
    "second_factor_removed": lambda app, live: sign_in.remove_authenticator(live),
    "password_changed": lambda app, live: sign_in.change_password(live.holder, present=demo.PASSWORD, new=NEW),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_is_told_and_ends_every_other_session(app: Flask, kind: str) -> None:
    give_app(app, demo.ELM, MARIA)
    with at_the_door(app, demo.ELM, MARIA) as holder:
        others = [sessions.start(holder), sessions.start(holder, Stage.FACTOR_DUE)]
        live = sessions.find_live(sessions.start(holder))
        assert live
        CHANGES[kind](app, live)
        assert not any(sessions.find_live(token) for token in others)
        assert len(sessions.of_holder(holder)) == 1
    told = letters(app, demo.ELM)[-1]
    assert (told.kind, told.to_address) == (kind, MARIA)


def test_setting_one_up_is_told_too(app: Flask, maria: Visitor) -> None:
    where = "/profile/second-factor/authenticator"
    other = Visitor(app, PORTAL).sign_in(MARIA)
    assert _set_up(maria, where, maria.read(where)).status_code == 200
    assert letters(app, demo.ELM)[-1].kind == "second_factor_added"
    assert maria.get("/").status_code == 200 and other.get("/").status_code == 303


# At rest


def test_neither_secret_nor_code_lies_in_the_database(cluster: Cluster, committed_app: Flask) -> None:
    """A copy of the database opens no sign-in."""
    with at_the_door(committed_app, demo.ELM, ANA) as holder:
        kept = [demo.APP_SECRET, *recovery_codes.renew(holder)]
    key = send_link(committed_app, demo.ELM, Purpose.STAFF_SIGN_IN_RESET)
    with inside(committed_app, demo.ELM):
        opened = resets.find_open(member(ANA).holder)
    assert opened
    kept += [key, opened.code]
    with whole_database.opened(cluster, committed_app) as connection:
        for table in whole_database.tables(connection):
            dump = str(connection.execute(f"SELECT string_agg(t::text, ' ') FROM {table} t".encode()).fetchone())
            for one in kept:
                plain = one.replace("-", "")
                assert one not in dump and plain not in dump and plain.encode().hex() not in dump, table


def others_secrets(app: Flask) -> int:
    """How many secrets and recovery codes of other people Ben reads at his own code's page."""
    with at_the_door(app, demo.ELM, ANA) as holder:
        recovery_codes.renew(holder)
    with at_the_door(app, demo.ELM, "ben@elm.example") as holder:
        rows = [*db.session.scalars(select(AuthenticatorSecret)), *db.session.scalars(select(RecoveryCode))]
        return len([row for row in rows if row.staff_member_id != holder.staff_member_id])


def test_nobody_who_serves_a_page_reads_the_secrets_of_others(app: Flask) -> None:
    """Not a staff page, not a family's page, not the door before anybody's password; at the door one's own alone."""
    assert others_secrets(app) == 0
    with inside(app, demo.ELM):
        ids = user(MARIA).id, member(ANA).id
    for role, portal_user_id in ((Role.STAFF, None), (Role.PORTAL, ids[0]), (Role.OPERATOR, None), (Role.MAILER, None)):
        for table in ("authenticator_secrets", "recovery_codes"):
            with pytest.raises(ProgrammingError, match="permission denied"), inside(app, demo.ELM, role, portal_user_id):
                db.session.execute(text(f"SELECT * FROM {table}"))
    with inside(app, demo.ELM, Role.DOOR):
        assert not db.session.execute(text("SELECT * FROM authenticator_secrets")).all()


def test_planted_a_policy_that_forgets_whose(
    committed_app: Flask, administrator: psycopg.Connection[tuple[Any, ...]]
) -> None:
    assert others_secrets(committed_app) == 0
    whole_database.plant(administrator, "ALTER POLICY mine ON authenticator_secrets USING (clinic_id = app.clinic_id())")
    assert others_secrets(committed_app) > 0


def test_no_staff_page_takes_a_factor_away(app: Flask) -> None:
    """Whoever finds a hole in a staff page cannot lower anybody's sign-in by it, not even their own."""
    for statement in (
        "DELETE FROM authenticators",
        "UPDATE authenticators SET added_at = now()",
        "UPDATE sessions SET stage = 'full'",
        "UPDATE passwords SET needs_factor = false",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"), inside(app, demo.ELM):
            db.session.execute(text(statement))
    with inside(app, demo.ELM, Role.DOOR):
        assert db.session.execute(text("DELETE FROM authenticators RETURNING id")).all() == []
        with pytest.raises(ProgrammingError, match="permission denied"), db.session.begin_nested():
            db.session.execute(text("UPDATE sessions SET stage = 'full'"))


def test_a_session_that_has_ended_steps_no_further(app: Flask) -> None:
    live = due(app)
    with inside(app, demo.ELM, Role.DOOR):
        sessions.end(live.id, "signed out")
    outcome = shown(app, live, app_code())
    assert outcome.token is None
    with inside(app, demo.ELM, Role.DOOR):
        assert db.session.get(SignInSession, (tenant.current_clinic_id(), live.id))
