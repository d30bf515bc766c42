"""Lost if it fails: a family member who wants more than a password cannot have it, or cannot get back in without it."""

from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import credentials, demo, portal_settings, portal_users, second_factors, sessions, sign_in, staff
from clinic.actors import Holder
from clinic.audit import AuditEntry
from clinic.mailed_links import LinkState
from clinic.portal_settings import SettingsDetails
from clinic.second_factors import FactorKind, authenticators, recovery_codes
from clinic.sessions import LiveSession, Stage
from clinic.sign_in import people, resets
from tenancy import clock
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.link_tokens import Purpose
from tenancy.tenant import Role
from tests.inside import at_the_door, give_app, inside, letters, member, secret, send_link, user
from tests.visitor import Visitor, app_code

ANA, MARIA, GRACE = "ana@elm.example", "maria@family.example", "grace@family.example"
SHORT, LONG = "calm boat", "eleven quiet green lamps"
FACTOR, SET_UP = "/profile/second-factor", "/profile/second-factor/authenticator"


def live_session(holder: Holder, stage: Stage = Stage.FULL) -> tuple[LiveSession, str]:
    token = sessions.start(holder, stage)
    live = sessions.find_live(token)
    assert live
    return live, token


def events(app: Flask) -> list[str]:
    with inside(app, demo.ELM):
        return list(db.session.scalars(select(AuditEntry.event).order_by(AuditEntry.at)))


# Setting up


def test_an_app_counts_once_its_first_code_was_shown(app: Flask) -> None:
    """Who scans the picture and gives up is not locked out."""
    with at_the_door(app, demo.ELM, MARIA) as holder:
        live, token = live_session(holder)
        offer = sign_in.offer_authenticator(token, MARIA)
        assert offer == sign_in.offer_authenticator(token, MARIA)  # the page may be drawn again
        assert offer.secret != sign_in.offer_authenticator(live_session(holder)[1], MARIA).secret
        assert "Elm%20Street" in offer.address and "maria%40family.example" in offer.address
        with pytest.raises(Refused) as refusal:
            sign_in.add_authenticator(live, token, app_code())
        assert refusal.value.field == "code"
        assert not second_factors.of_holder(holder).exist
        change = sign_in.add_authenticator(live, token, app_code(offer.secret))
        assert second_factors.of_holder(holder).exist and len(change.codes) == recovery_codes.NUMBER
        assert not authenticators.use(holder, app_code(offer.secret))  # shown once already


def test_another_app_takes_the_place_of_the_first_and_the_recovery_codes_stay(app: Flask) -> None:
    give_app(app, demo.ELM, MARIA)
    with at_the_door(app, demo.ELM, MARIA) as holder:
        codes = recovery_codes.renew(holder)
        live, token = live_session(holder)
        change = sign_in.add_authenticator(live, token, app_code(sign_in.offer_authenticator(token, MARIA).secret))
        assert change.codes == []
        assert not authenticators.use(holder, app_code())
        assert recovery_codes.use(holder, codes[9]) and recovery_codes.left(holder) == 9


def test_after_a_reset_everything_older_goes(app: Flask) -> None:
    with at_the_door(app, demo.ELM, ANA) as holder:
        codes = recovery_codes.renew(holder)
        live, token = live_session(holder, Stage.ENROLMENT_DUE)
        change = sign_in.add_authenticator(live, token, app_code(sign_in.offer_authenticator(token, ANA).secret))
        assert len(change.codes) == recovery_codes.NUMBER
        assert not recovery_codes.use(holder, codes[0]) and recovery_codes.use(holder, change.codes[0])


def test_of_two_presses_with_one_session_the_second_is_told(app: Flask) -> None:
    give_app(app, demo.ELM, MARIA)
    with at_the_door(app, demo.ELM, MARIA) as holder:
        live, _ = live_session(holder)
        sign_in.renew_codes(live)
        with pytest.raises(Conflict):
            sign_in.renew_codes(live)
        assert sign_in.confirm(live, demo.PASSWORD, app_code()).token is None


def test_a_family_member_sets_up_an_app_and_signs_in_with_it(app: Flask, maria: Visitor) -> None:
    """From the profile to the next sign-in, by the pages."""
    assert "Off" in maria.read("/profile") and SET_UP in maria.read(FACTOR)
    assert maria.post(SET_UP, {"code": ""}).status_code == 422
    page = maria.read(SET_UP)
    assert "<svg" in page and "otpauth" not in page
    key = _key_on(page)
    assert maria.post(SET_UP, {"code": "000000"}).status_code == 422
    shown = maria.post(SET_UP, {"code": app_code(key)})
    assert shown.status_code == 200 and shown.text.count("<code>") == 10
    assert "On" in maria.read("/profile") and "10 codes are left" in maria.read(FACTOR)
    again = Visitor(app, maria.base_url)
    where = again.show_password(MARIA)
    assert where == "/sign-in/code?next=/"
    with clock.moved(timedelta(seconds=30)):
        assert again.post(where, {"code": app_code(key)}).headers["Location"] == "/"
        assert again.get("/").status_code == 200


def _key_on(page: str) -> str:
    return "".join(part.split("</span>")[0] for part in page.split('class="secret"')[1].split("<span>")[1:9])


def test_a_recovery_code_signs_in_and_new_ones_are_shown_once(app: Flask, portal: Visitor) -> None:
    give_app(app, demo.ELM, MARIA)
    with at_the_door(app, demo.ELM, MARIA) as holder:
        code = recovery_codes.renew(holder)[0]
    portal.show_password(MARIA)
    where = "/sign-in/recovery-code"
    portal.read(where)
    assert portal.post(where, {"code": "aaaa-bbbb-cccc"}).status_code == 422
    assert portal.post(where, {"code": code}).headers["Location"] == "/"
    assert "9 codes are left" in portal.read(FACTOR)
    renewed = portal.post(f"{FACTOR}/recovery-codes")
    assert renewed.text.count("<code>") == 10
    assert "10 codes are left" in portal.read(FACTOR)


def test_without_a_factor_there_are_no_recovery_codes(app: Flask, maria: Visitor) -> None:
    maria.read(FACTOR)
    maria.post(f"{FACTOR}/recovery-codes")
    assert "come with a second factor" in maria.read(FACTOR)


def test_a_code_without_an_app_and_a_session_that_is_over_open_nothing(app: Flask) -> None:
    with at_the_door(app, demo.ELM, MARIA) as holder:
        live, token = live_session(holder, Stage.FACTOR_DUE)
        assert sign_in.show_code(live, app_code(), FactorKind.AUTHENTICATOR).token is None
        sessions.end(live.id, "signed out")
        assert sign_in.show_code(live, app_code(), FactorKind.AUTHENTICATOR).token is None
        with pytest.raises(Conflict):
            sign_in.add_authenticator(live, token, app_code(sign_in.offer_authenticator(token, MARIA).secret))


# Switching off, and the length of the password


def test_it_is_switched_off_only_where_the_password_can_stand_alone(app: Flask, maria: Visitor) -> None:
    give_app(app, demo.ELM, MARIA)
    maria = Visitor(app, maria.base_url).sign_in(MARIA)
    maria.read("/profile/password")
    assert maria.post("/profile/password", {"present": demo.PASSWORD, "password": "seven 7"}).status_code == 422
    assert maria.post("/profile/password", {"present": demo.PASSWORD, "password": SHORT}).status_code == 303
    maria.read(FACTOR)
    maria.post(f"{SET_UP}/removal")
    assert "Choose one of at least 15 characters first" in maria.read(FACTOR)
    maria.read("/profile/password")
    maria.post("/profile/password", {"present": SHORT, "password": LONG})
    maria.read(FACTOR)
    maria.post(f"{SET_UP}/removal")
    assert "turned off" in maria.read(FACTOR)
    maria.post(f"{SET_UP}/removal")
    assert "no second factor to remove" in maria.read(FACTOR)
    assert Visitor(app, maria.base_url).show_password(MARIA, password=LONG) == "/"
    assert [each.kind for each in letters(app, demo.ELM)][-3:] == [*["password_changed"] * 2, "second_factor_removed"]


def test_a_short_password_needs_a_second_factor(app: Flask) -> None:
    """Eight characters are guessed; with a phone beside them that opens nothing."""
    for has_factor, shortest in ((False, 15), (True, 8)):
        long_enough = "bq7 vm2 xk9 rt4"[:shortest]
        rules = {"clinic_name": "Elm", "email": MARIA, "has_factor": has_factor}
        credentials.check_rules(long_enough, **rules)  # type: ignore[arg-type]
        with pytest.raises(Refused, match=f"at least {shortest}"):
            credentials.check_rules(long_enough[:-1], **rules)  # type: ignore[arg-type]


@pytest.mark.parametrize("has_factor", [False, True])
def test_a_new_password_by_mail_may_be_short_only_beside_a_factor(app: Flask, has_factor: bool) -> None:
    if has_factor:
        give_app(app, demo.ELM, MARIA)
    key = send_link(app, demo.ELM, Purpose.PASSWORD_RESET)
    if has_factor:
        with inside(app, demo.ELM, Role.DOOR):
            assert sign_in.reset(Purpose.PASSWORD_RESET, key, SHORT) == LinkState.GOOD
            assert credentials.needs_factor(user(MARIA).holder)
    else:
        with pytest.raises(Refused), inside(app, demo.ELM, Role.DOOR):
            sign_in.reset(Purpose.PASSWORD_RESET, key, SHORT)


def test_staff_can_replace_a_factor_and_never_remove_it(app: Flask) -> None:
    with at_the_door(app, demo.ELM, ANA) as holder:
        live, _ = live_session(holder)
        with pytest.raises(Refused, match="everybody needs"):
            sign_in.remove_authenticator(live)
        assert sign_in.is_required(holder)


def test_a_clinic_may_require_it_and_the_change_is_recorded(app: Flask, maria: Visitor, ana: Visitor) -> None:
    give_app(app, demo.ELM, MARIA)
    details = SettingsDetails(demo.ELM, f"front-desk@{demo.ELM}.example", requires_second_factor=True)
    with inside(app, demo.ELM):
        portal_settings.save(details)
        entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "portal_settings.saved").order_by(AuditEntry.at.desc())).first()
        assert entry and entry.details["requires_second_factor"] == [False, True]
    with at_the_door(app, demo.ELM, MARIA) as holder, pytest.raises(Refused, match="everybody needs"):
        sign_in.remove_authenticator(live_session(holder)[0])
    settings = ana.read("/elm-street/clinic-options/portal-settings")
    assert 'name="requires_second_factor" value="y" checked' in settings


def test_a_new_member_of_the_staff_sets_one_up_before_anything_else(app: Flask) -> None:
    key = send_link(app, demo.ELM, Purpose.STAFF_INVITATION)
    with inside(app, demo.ELM, Role.DOOR):
        token = sign_in.accept_staff_invitation(key, name="Nora New", password=LONG).token
        assert token
        live = sessions.find_live(token)
        assert live and sign_in.stage_of(live) is Stage.ENROLMENT_DUE


# Confirming who one is


def test_confirming_takes_password_and_code_and_renews_the_session(app: Flask) -> None:
    with at_the_door(app, demo.ELM, ANA) as holder:
        codes = recovery_codes.renew(holder)
        live, token = live_session(holder)
        for password, code in (("no", app_code(steps=-1)), (demo.PASSWORD, "000000"), (demo.PASSWORD, "")):
            assert sign_in.confirm(live, password, code) == sign_in.SignIn(None)
        confirmed = sign_in.confirm(live, demo.PASSWORD, codes[0])  # the phone is not at hand
        assert confirmed.token and sessions.find_live(token) is None
        again = sessions.find_live(confirmed.token)
        assert again and again.is_fresh and again.stage is Stage.FULL
    assert "recovery_code_used" in [each.kind for each in letters(app, demo.ELM)]
    assert events(app)[-1] == "identity.confirmed"


def test_confirming_after_a_reset_takes_the_password_alone(app: Flask) -> None:
    """The factor is what was lost; the session still leads nowhere but to a new one."""
    with at_the_door(app, demo.ELM, ANA) as holder:
        live, _ = live_session(holder, Stage.ENROLMENT_DUE)
        assert not sign_in.asks_code(live)
        token = sign_in.confirm(live, demo.PASSWORD, "").token
        assert token
        confirmed = sessions.find_live(token)
        assert confirmed and confirmed.stage is Stage.ENROLMENT_DUE


def test_after_five_wrong_answers_one_waits(app: Flask, maria: Visitor, ana: Visitor) -> None:
    """Whoever finds an open browser does not guess the password behind it at leisure."""
    for visitor, where in ((maria, "/confirmation"), (ana, "/elm-street/confirmation")):
        visitor.read(where)
        answers = [visitor.post(where, {"password": "no", "code": "000000"}).status_code for _ in range(6)]
        assert answers == [422] * 5 + [429]


def test_a_family_member_confirms_and_goes_on(app: Flask, maria: Visitor) -> None:
    with clock.moved(timedelta(minutes=16)):
        where = maria.get("/profile/password").headers["Location"]
        assert where == "/confirmation?next=/profile/password"
        maria.read(where)
        assert maria.post(where, {"password": demo.PASSWORD}).headers["Location"] == "/profile/password"
        maria.read("/profile/password")
    with clock.moved(timedelta(minutes=34)):
        late = maria.post("/profile/password", {"present": demo.PASSWORD, "password": LONG})
        assert late.headers["Location"].startswith("/confirmation")
        assert "Nothing was changed yet" in maria.read(late.headers["Location"])


# Resets


def test_a_reset_is_for_who_can_sign_in_and_has_a_factor(app: Flask) -> None:
    with inside(app, demo.ELM):
        for email in (GRACE, MARIA):
            with pytest.raises(Conflict):
                sign_in.start_reset(user(email).holder)
        with pytest.raises(NotFound):
            sign_in.start_reset(Holder(portal_user_id=UUID(int=7)))
        with pytest.raises(NotFound):
            people.locked(Holder())
        assert sign_in.find_open_reset(member(ANA).holder) is None


def test_a_weak_password_uses_the_link_and_the_code_not_up(app: Flask) -> None:
    with inside(app, demo.ELM):
        opened = sign_in.start_reset(member(ANA).holder)
        assert sign_in.find_open_reset(member(ANA).holder) == opened
    key = secret(app, demo.ELM, Purpose.STAFF_SIGN_IN_RESET)
    with pytest.raises(Refused), inside(app, demo.ELM, Role.DOOR):
        sign_in.carry_out_reset(Purpose.STAFF_SIGN_IN_RESET, key, code=opened.code, password="short")
    with inside(app, demo.ELM, Role.DOOR):
        missed = sign_in.carry_out_reset(Purpose.STAFF_SIGN_IN_RESET, key, code="1", password=SHORT)
        assert (missed.state, missed.token, missed.misses_left) == (LinkState.GOOD, None, 4)
        assert "4 tries" in sign_in.wrong_reset_code(missed)
        done = sign_in.carry_out_reset(Purpose.STAFF_SIGN_IN_RESET, key, code=opened.code, password=SHORT)
        assert done.token
        again = sign_in.carry_out_reset(Purpose.STAFF_SIGN_IN_RESET, key, code=opened.code, password=SHORT)
        assert again == resets.Reset(LinkState.USED)


def test_a_reset_dies_with_its_person_and_after_a_day(app: Flask) -> None:
    with inside(app, demo.ELM):
        sign_in.start_reset(member("ben@elm.example").holder)
    key = secret(app, demo.ELM, Purpose.STAFF_SIGN_IN_RESET)
    with clock.moved(timedelta(days=1)), inside(app, demo.ELM, Role.DOOR):
        assert sign_in.look(Purpose.STAFF_SIGN_IN_RESET, key) == LinkState.EXPIRED
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.look(Purpose.STAFF_SIGN_IN_RESET, key) == LinkState.GOOD
    with inside(app, demo.ELM):
        member("ben@elm.example").deactivated_at = clock.now()
    with inside(app, demo.ELM, Role.DOOR):
        assert sign_in.look(Purpose.STAFF_SIGN_IN_RESET, key) == LinkState.WITHDRAWN


def test_a_portal_user_without_a_factor_has_none_to_reset(app: Flask, ana: Visitor) -> None:
    with inside(app, demo.ELM):
        maria_id = user(MARIA).id
    page = f"/elm-street/portal-users/{maria_id}"
    assert "sign-in-reset" not in ana.read(page)
    ana.read(f"{page}/sign-in-reset")
    assert ana.post(f"{page}/sign-in-reset").headers["Location"] == page
    assert "no second factor here" in ana.read(page)
    give_app(app, demo.ELM, MARIA)
    assert "sign-in-reset" in ana.read(page)


def test_the_operator_is_told_who_is_not_there(app: Flask) -> None:
    ran = app.test_cli_runner().invoke(args=["clinics", "reset-sign-in", demo.ELM, "--email", "nobody@elm.example"])
    assert ran.exit_code == 1 and "No staff member" in ran.output


def test_what_became_of_a_reset_is_said_on_its_page(app: Flask) -> None:
    give_app(app, demo.ELM, MARIA)
    with inside(app, demo.ELM):
        sign_in.start_reset(user(MARIA).holder)
    key = secret(app, demo.ELM, Purpose.SIGN_IN_RESET)
    portal = Visitor(app, f"http://{demo.ELM}.localhost:8000")
    portal.get(f"/link/sign-in-reset/{key}")
    page = "/link/sign-in-reset"
    portal.read(page)
    assert portal.post(page, {"code": "1", "password": "short"}).status_code == 422
    assert "not the code of this letter" in portal.post(page, {"code": "1", "password": LONG}).text
    for _ in range(4):
        last = portal.post(page, {"code": "1", "password": LONG})
    assert last.status_code == 410 and "locked" in last.text
    with inside(app, demo.ELM):
        portal_users.deactivate(user(MARIA).id)
    portal.get(f"/link/sign-in-reset/{key[:-2]}")
    assert portal.get(page).status_code == 404


def test_a_staff_member_changes_the_password_and_the_codes(app: Flask, ana: Visitor) -> None:
    page = "/elm-street/profile/password"
    ana.read(page)
    for present, new in (("no", LONG), (demo.PASSWORD, "short")):
        assert ana.post(page, {"present": present, "password": new}).status_code == 422
    assert ana.post(page, {"present": demo.PASSWORD, "password": SHORT}).headers["Location"] == "/elm-street/profile"
    ana.read("/elm-street/profile/second-factor")
    assert ana.post("/elm-street/profile/second-factor/recovery-codes").text.count("<code>") == 10
    set_up = "/elm-street/profile/second-factor/authenticator"
    key = _key_on(ana.read(set_up))
    assert ana.post(set_up, {"code": "000000"}).status_code == 422
    assert ana.post(set_up, {"code": app_code(key)}).headers["Location"] == "/elm-street/profile/second-factor"
    with inside(app, demo.ELM):
        assert staff.find_by_email(ANA)


def test_kinds_are_words_that_the_log_keeps(app: Flask) -> None:
    give_app(app, demo.ELM, MARIA)
    with at_the_door(app, demo.ELM, MARIA) as holder:
        live, _ = live_session(holder, Stage.FACTOR_DUE)
        assert sign_in.show_code(live, "000000", FactorKind.AUTHENTICATOR).token is None
        assert sign_in.show_code(live, app_code(), FactorKind.AUTHENTICATOR).token
        assert sessions.has_ended(live.id)  # the half one: its token was known before the code was
    assert events(app)[-2:] == ["second_factor.refused", "sign_in.succeeded"]
