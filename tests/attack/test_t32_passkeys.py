"""T32 and T07, where passkeys matter: a passkey opens its own door, for its own person, after what must come before it.

Lost if it fails: somebody with a password alone, a key of another clinic, a key made before a reset, or an answer that was
seen on its way, is let in; a second factor is added or removed by who merely found an open page; or a family whose clinic
took another address is locked out.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from flask import Flask
from sqlalchemy import select, update

from clinic import demo, passkeys, portal_settings, second_factors, sessions, sign_in, throttle
from clinic.audit import AuditEntry
from clinic.passkeys import Passkey
from tenancy import clock
from tenancy.database import db
from tenancy.tenant import Role
from tests.inside import acting, at_the_door, inside, letters, user
from tests.software_authenticator import PRESENT, Device, Keyring
from tests.visitor import Visitor, compared

MARIA, OMAR, ANA, OLA = "maria@family.example", "omar@family.example", "ana@elm.example", "ola@oak.example"
ELM, OAK, LANE = (f"{slug}.localhost" for slug in (demo.ELM, demo.OAK, "elm-lane"))
CODE = r"<code>([a-z2-9-]{14})</code>"


def at_portal(app: Flask, host: str = ELM) -> Visitor:
    return Visitor(app, f"http://{host}:8000")


def keyring(visitor: Visitor, host: str, prefix: str = "") -> Keyring:
    return Keyring(visitor, Device(f"http://{host}:8000", host), prefix)


def another_browser(keys: Keyring) -> Keyring:
    """The same device at a browser that knows nothing yet."""
    return Keyring(Visitor(keys.visitor.app, keys.visitor.base_url), keys.device, keys.prefix)


def events(app: Flask, slug: str = demo.ELM) -> list[str]:
    with inside(app, slug):
        return list(db.session.scalars(select(AuditEntry.event).order_by(AuditEntry.at)))


def kinds_of_letters(app: Flask) -> list[str]:
    return [letter.kind for letter in letters(app, demo.ELM)]


@pytest.fixture
def maria_s(app: Flask, maria: Visitor) -> Keyring:
    """Maria has one passkey and no app; her first factor."""
    keys = keyring(maria, ELM)
    answer = keys.add()
    assert answer.status_code == 200 and "recovery codes" in answer.text
    return keys


@pytest.fixture
def ana_s(ana: Visitor) -> Keyring:
    keys = keyring(ana, "admin.localhost", f"/{demo.ELM}")
    assert keys.add().status_code == 303  # beside her app: no new codes
    return keys


@pytest.fixture(params=["maria_s", "ana_s"])
def somebody(request: pytest.FixtureRequest) -> Keyring:
    keys: Keyring = request.getfixturevalue(request.param)
    return keys


# The three ways to use one


def test_a_passkey_signs_in_without_a_password_as_both_factors(somebody: Keyring) -> None:
    keys = another_browser(somebody)
    answer = keys.sign_in()
    assert answer.status_code == 303 and answer.headers["Location"] == f"{keys.prefix}/"
    assert keys.visitor.get(f"{keys.prefix}/").status_code == 200
    assert "sign_in.succeeded" in events(keys.visitor.app)[-2:]


def test_it_leads_on_to_the_page_that_was_asked_for(maria_s: Keyring) -> None:
    keys = another_browser(maria_s)
    keys.visitor.get("/sign-in")
    options = keys._challenge("/sign-in/passkey-challenge")
    answer = keys._send("/sign-in/passkey?next=/profile", keys.device.answer(options))
    assert answer.headers["Location"] == "/profile"


def test_a_passkey_is_the_second_step_after_the_password(somebody: Keyring) -> None:
    keys = another_browser(somebody)
    email = ANA if keys.prefix else MARIA
    assert "/sign-in/code" in keys.visitor.show_password(email, keys.prefix)
    assert keys.visitor.get(f"{keys.prefix}/").status_code == 303  # half way in is not in
    wrong = keys.second_step(flags=PRESENT)
    assert wrong.status_code == 422 and "This passkey does not open this door." in wrong.text
    assert keys.second_step().headers["Location"] == f"{keys.prefix}/"
    assert keys.visitor.get(f"{keys.prefix}/").status_code == 200


def test_too_many_wrong_answers_must_wait(maria_s: Keyring) -> None:
    keys = another_browser(maria_s)
    keys.visitor.show_password(MARIA)
    for _ in range(throttle.ALLOWANCES[throttle.Purpose.FACTOR_CODE][throttle.Counted.ACCOUNT].free):
        assert keys.second_step(flags=PRESENT).status_code == 422
    assert keys.second_step().status_code == 429


def test_an_answer_that_comes_after_the_end_of_the_step_is_over(app: Flask, maria_s: Keyring) -> None:
    keys = another_browser(maria_s)
    keys.visitor.show_password(MARIA)
    options = keys._challenge("/passkey-challenge")
    with at_the_door(app, demo.ELM, MARIA) as holder:
        live = sessions.find_live(sessions.start(holder, sessions.Stage.FACTOR_DUE))
        assert live is not None
        sessions.end(live.id, "a test")
        party = passkeys.RelyingParty(ELM, f"http://{ELM}:8000", "Elm")
        for verb in (sign_in.show_passkey, sign_in.confirm_by_passkey):
            assert verb(live, party, None, keys.device.answer(options)).token is None


def test_a_passkey_confirms_who_one_is(somebody: Keyring) -> None:
    keys = somebody
    with clock.moved(timedelta(minutes=8)):
        keys.visitor.read(f"{keys.prefix}/profile")
    with clock.moved(sessions.FRESH + timedelta(seconds=1)):
        held = keys.visitor.get(f"{keys.prefix}/profile/second-factor")
        assert "/confirmation" in held.headers["Location"]
        assert "Confirm with a passkey" in keys.visitor.read(held.headers["Location"])
        assert keys.confirm(flags=PRESENT).status_code == 422
        assert keys.confirm().status_code == 303
        assert keys.visitor.get(f"{keys.prefix}/profile/second-factor").status_code == 200


def test_a_passkey_alone_is_asked_for_too_when_confirming(maria_s: Keyring) -> None:
    """Who has a passkey and no app does not confirm with the password alone."""
    with clock.moved(sessions.FRESH + timedelta(seconds=1)):
        maria_s.visitor.read("/confirmation")
        answer = maria_s.visitor.post("/confirmation", {"password": demo.PASSWORD, "code": "123456"})
        assert answer.status_code == 422


# What must not open a door


def test_a_wrong_answer_gets_one_page_whoever_it_is(app: Flask, maria_s: Keyring) -> None:
    """Known, unknown, deactivated, not recognised, another clinic's: no one can tell them apart."""
    stranger = keyring(at_portal(app), ELM)
    stranger.device.handle = bytes(32)
    ola = keyring(Visitor(app, "http://admin.localhost:8000").sign_in(OLA, f"/{demo.OAK}"), "admin.localhost", f"/{demo.OAK}")
    ola.add()
    pages = set()
    for keys, changed in (
        (stranger, {}), (another_browser(maria_s), {"flags": PRESENT}), (another_browser(maria_s), {"handle": bytes(32)}),
        (another_browser(maria_s), {"origin": "http://evil.example"}),
        (Keyring(at_portal(app), ola.device), {}),
    ):  # fmt: skip
        answer = keys.sign_in(**changed)
        pages.add((answer.status_code, compared(answer.text)))
        assert keys.visitor.get("/").status_code == 303
    with inside(app, demo.ELM):
        user(MARIA).deactivated_at = clock.now()
    keys = another_browser(maria_s)
    answer = keys.sign_in()
    pages.add((answer.status_code, compared(answer.text)))
    assert len(pages) == 1 and pages.pop()[0] == 422


def test_another_clinics_key_is_nobodys_at_the_hosts_that_clinics_share(app: Flask, ana_s: Keyring) -> None:
    at_oak = Keyring(Visitor(app, "http://admin.localhost:8000"), ana_s.device, f"/{demo.OAK}")
    assert at_oak.sign_in().status_code == 422
    assert events(app, demo.OAK)[-1] == "sign_in.refused"
    assert at_oak.visitor.get(f"/{demo.OAK}/").status_code == 303


def test_a_familys_key_is_nobodys_at_the_staffs_door(app: Flask, maria_s: Keyring) -> None:
    at_admin = Keyring(Visitor(app, "http://admin.localhost:8000"), maria_s.device, f"/{demo.ELM}")
    assert at_admin.sign_in().status_code == 422


def test_an_answer_is_good_in_the_browser_that_was_asked(maria_s: Keyring) -> None:
    """Seen on its way and sent from another browser: there, another challenge was asked, or none."""
    keys, thief = another_browser(maria_s), another_browser(maria_s)
    keys.visitor.get("/sign-in")
    answer = keys.device.answer(keys._challenge("/sign-in/passkey-challenge"))
    thief.visitor.get("/sign-in")
    assert thief._send("/sign-in/passkey", answer).status_code == 422
    thief._challenge("/sign-in/passkey-challenge")
    assert thief._send("/sign-in/passkey", answer).status_code == 422
    assert keys._send("/sign-in/passkey", answer).status_code == 303


def test_an_answer_is_good_once_even_with_its_cookie(maria_s: Keyring) -> None:
    maria_s.device.counts = False  # as most phones: the counter would not tell
    keys = another_browser(maria_s)
    keys.visitor.get("/sign-in")
    answer = keys.device.answer(keys._challenge("/sign-in/passkey-challenge"))
    copy = keys.visitor.at(keys.visitor.base_url)
    assert keys._send("/sign-in/passkey", answer).status_code == 303
    assert copy.post("/sign-in/passkey", {"answer": answer}).status_code == 422
    assert copy.get("/").status_code == 303


def test_a_challenge_is_given_up_with_the_first_answer(maria_s: Keyring) -> None:
    keys = another_browser(maria_s)
    keys.visitor.get("/sign-in")
    options = keys._challenge("/sign-in/passkey-challenge")
    assert keys._send("/sign-in/passkey", "no answer").status_code == 422
    assert keys._send("/sign-in/passkey", keys.device.answer(options)).status_code == 422


def test_a_challenge_lasts_five_minutes(maria_s: Keyring) -> None:
    keys = another_browser(maria_s)
    keys.visitor.get("/sign-in")
    options = keys._challenge("/sign-in/passkey-challenge")
    with clock.moved(passkeys.LASTS + timedelta(seconds=1)):
        assert keys._send("/sign-in/passkey", keys.device.answer(options)).status_code == 422


def test_a_challenge_is_for_one_purpose(maria_s: Keyring) -> None:
    """What was asked before the door is no second step, and no confirmation."""
    keys = another_browser(maria_s)
    keys.visitor.show_password(MARIA)
    options = keys._challenge("/sign-in/passkey-challenge")
    assert keys._send("/sign-in/code/passkey", keys.device.answer(options)).status_code == 422


def test_the_page_says_where_its_script_must_ask(maria_s: Keyring) -> None:
    page = another_browser(maria_s).visitor.read("/sign-in")
    assert 'data-challenge-url="/sign-in/passkey-challenge" hidden' in page and "passkeys.js" in page


# One's own


def test_the_first_factor_brings_recovery_codes_and_a_letter_and_ends_the_other_sign_ins(app: Flask, maria: Visitor) -> None:
    elsewhere = at_portal(app).sign_in(MARIA)
    assert keyring(maria, ELM).add().text.count("<code>") == 10
    assert elsewhere.get("/").status_code == 303 and maria.get("/").status_code == 200
    assert kinds_of_letters(app)[-1] == "second_factor_added"
    assert "second_factor.added" in events(app)[-2:]


def test_a_passkey_is_named_and_removed_with_a_letter(app: Flask, somebody: Keyring) -> None:
    visitor, start = somebody.visitor, somebody.prefix
    with inside(app, demo.ELM, Role.DOOR):
        key = db.session.scalars(select(Passkey.id)).one()
    page = f"{start}/profile/passkeys/{key}"
    assert "My phone" in visitor.read(page)
    assert visitor.post(page, {"name": ""}).status_code == 422
    assert visitor.post(page, {"name": "The old phone"}).status_code == 303
    assert "The old phone" in visitor.read(f"{start}/profile/second-factor")
    assert visitor.post(f"{page}/removal").status_code == 303
    assert "The old phone" not in visitor.read(f"{start}/profile/second-factor")
    assert kinds_of_letters(app)[-1] == "second_factor_removed"
    assert visitor.post(f"{page}/removal").status_code == 404
    assert another_browser(somebody).sign_in().status_code == 422


def test_the_last_factor_of_staff_is_not_removed(app: Flask, ana_s: Keyring) -> None:
    with at_the_door(app, demo.ELM, ANA) as holder:
        second_factors.authenticators.remove(holder)
        key = db.session.scalars(select(Passkey.id)).one()
    ana_s.visitor.read(f"/{demo.ELM}/profile/passkeys/{key}")
    ana_s.visitor.post(f"/{demo.ELM}/profile/passkeys/{key}/removal")
    assert "everybody needs a second factor" in ana_s.visitor.read(f"/{demo.ELM}/profile/second-factor")
    assert another_browser(ana_s).sign_in().status_code == 303


def test_where_the_clinic_asks_for_one_the_last_factor_of_a_family_is_not_removed(app: Flask, maria_s: Keyring) -> None:
    with inside(app, demo.ELM):
        portal_settings.get().requires_second_factor = True
    with at_the_door(app, demo.ELM, MARIA):
        key = db.session.scalars(select(Passkey.id)).one()
    maria_s.visitor.read(f"/profile/passkeys/{key}")
    maria_s.visitor.post(f"/profile/passkeys/{key}/removal")
    assert "everybody needs a second factor" in maria_s.visitor.read("/profile/second-factor")
    assert another_browser(maria_s).sign_in().status_code == 303


def test_with_a_passkey_left_the_app_can_go(app: Flask, maria_s: Keyring) -> None:
    with at_the_door(app, demo.ELM, MARIA) as holder:
        second_factors.authenticators.keep(holder, demo.APP_SECRET, last_step=0)
    maria_s.visitor.read("/profile/second-factor")
    maria_s.visitor.post("/profile/second-factor/authenticator/removal")
    with at_the_door(app, demo.ELM, MARIA) as holder:
        assert second_factors.of_holder(holder).exist and second_factors.recovery_codes.left(holder) == 10


def test_the_last_passkey_of_a_family_takes_the_recovery_codes_along(app: Flask, maria_s: Keyring) -> None:
    with at_the_door(app, demo.ELM, MARIA) as holder:
        key = db.session.scalars(select(Passkey.id)).one()
    maria_s.visitor.read(f"/profile/passkeys/{key}")
    maria_s.visitor.post(f"/profile/passkeys/{key}/removal")
    with at_the_door(app, demo.ELM, MARIA) as holder:
        assert not second_factors.of_holder(holder).exist and second_factors.recovery_codes.left(holder) == 0


def test_a_passkey_is_not_added_by_whoever_finds_the_page_open(maria: Visitor) -> None:
    with clock.moved(sessions.FRESH + timedelta(seconds=1)):
        assert "/confirmation" in maria.get("/profile/passkeys/new").headers["Location"]
        assert "/confirmation" in maria.post("/profile/passkeys/challenge").headers["Location"]


def test_a_refused_passkey_leaves_what_was_typed(somebody: Keyring) -> None:
    page = f"{somebody.prefix}/profile/passkeys/new"
    somebody.visitor.read(page)
    answer = somebody.visitor.post(page, {"answer": "{}", "name": "Blue phone"})
    assert answer.status_code == 422 and "could not be set up" in answer.text and "Blue phone" in answer.text


def test_after_a_reset_the_older_passkeys_are_gone(app: Flask, maria_s: Keyring) -> None:
    """The clinic resets the sign-in of somebody whose phone was stolen: it must not open the door afterwards."""
    with at_the_door(app, demo.ELM, MARIA) as holder:
        token = sessions.start(holder, sessions.Stage.ENROLMENT_DUE)
        live = sessions.find_live(token)
        assert live is not None
        party = passkeys.RelyingParty(ELM, f"http://{ELM}:8000", "Elm")
        offer, new = passkeys.offer_new(holder, party, MARIA), Device(f"http://{ELM}:8000", ELM)
        sign_in.add_passkey(live, party, offer.challenge, new.make(offer.options), "New phone")
    assert another_browser(maria_s).sign_in().status_code == 422
    assert Keyring(at_portal(app), new).sign_in().status_code == 303


def test_after_a_reset_an_app_takes_the_place_of_older_passkeys(app: Flask, maria_s: Keyring) -> None:
    with at_the_door(app, demo.ELM, MARIA) as holder:
        token = sessions.start(holder, sessions.Stage.ENROLMENT_DUE)
        live = sessions.find_live(token)
        assert live is not None
        offer = sign_in.offer_authenticator(token, MARIA)
        sign_in.add_authenticator(live, token, pyotp.TOTP(offer.secret).at(int(clock.now().timestamp())))
    assert another_browser(maria_s).sign_in().status_code == 422


# Another address


@pytest.fixture
def moved(app: Flask, maria: Visitor) -> Iterator[tuple[Keyring, list[str]]]:
    """Maria has only a passkey; then the clinic takes another address. Her recovery codes are in a drawer."""
    keys = keyring(maria, ELM)
    codes = re.findall(CODE, keys.add().text)
    with inside(app, demo.ELM), acting(ANA):
        portal_settings.rename_portal("elm-lane")
    yield keys, codes


def test_at_a_new_address_the_passkey_is_no_way_in(app: Flask, moved: tuple[Keyring, list[str]]) -> None:
    keys, _ = moved
    for changed in ({}, {"origin": f"http://{LANE}:8000", "host": LANE}):
        there = Keyring(at_portal(app, LANE), keys.device)
        assert there.sign_in(**changed).status_code == 422
        assert there.visitor.get("/").status_code == 303


def test_at_a_new_address_nobody_is_locked_out_nor_let_in_by_the_password_alone(
    app: Flask, moved: tuple[Keyring, list[str]]
) -> None:
    _, codes = moved
    visitor = at_portal(app, LANE)
    assert "/sign-in/code" in visitor.show_password(MARIA)
    page = visitor.read("/sign-in/code")
    assert "works no more" in page and "Use a passkey" not in page
    assert visitor.get("/").status_code == 303
    visitor.read("/sign-in/recovery-code")
    assert visitor.post("/sign-in/recovery-code", {"code": codes[0]}).headers["Location"] == "/"
    assert "Works no more" in visitor.read("/profile/second-factor")
    anew = keyring(visitor, LANE)
    assert anew.add("New phone").status_code == 303
    assert another_browser(anew).sign_in().status_code == 303


def test_the_rename_says_so_first(ana: Visitor) -> None:
    assert "Passkeys of families work at the old address only" in ana.read(f"/{demo.ELM}/clinic-options/portal-settings")


# Planted


def test_planted_the_owner_need_not_be_recognised(maria_s: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    verify = passkeys.ceremonies.webauthn.verify_authentication_response
    monkeypatch.setattr(
        passkeys.ceremonies.webauthn,
        "verify_authentication_response",
        lambda **options: verify(**{**options, "require_user_verification": False}),
    )
    with pytest.raises(AssertionError):
        test_a_wrong_answer_gets_one_page_whoever_it_is(maria_s.visitor.app, maria_s)


def test_planted_a_challenge_that_is_never_given_up(maria_s: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    show, long_ago = passkeys.show, clock.now() - timedelta(days=1)

    def forgetful(*shown: Any) -> bool:
        is_good = show(*shown)
        db.session.execute(update(Passkey).values(challenged_at=long_ago))
        return is_good

    monkeypatch.setattr(passkeys, "show", forgetful)
    with pytest.raises(AssertionError):
        test_an_answer_is_good_once_even_with_its_cookie(maria_s)


def test_planted_a_challenge_for_every_purpose(maria_s: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    read = passkeys.read_challenge

    def generous(kept: object, purpose: passkeys.Purpose) -> passkeys.Challenge | None:
        return next((found for each in passkeys.Purpose if (found := read(kept, each))), None)

    monkeypatch.setattr(passkeys, "read_challenge", generous)
    with pytest.raises(AssertionError):
        test_a_challenge_is_for_one_purpose(maria_s)


def test_planted_old_passkeys_survive_a_reset(
    app: Flask, maria_s: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_factors, "remove_all", lambda _holder: None)
    with pytest.raises(AssertionError):
        test_after_a_reset_the_older_passkeys_are_gone(app, maria_s)


def test_planted_passkeys_of_the_former_address_do_not_count(
    app: Flask, moved: tuple[Keyring, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clinic's new address makes of two factors one."""
    monkeypatch.setattr(second_factors.Factors, "exist", property(lambda has: has.authenticator_since is not None))
    with pytest.raises(AssertionError):
        test_at_a_new_address_nobody_is_locked_out_nor_let_in_by_the_password_alone(app, moved)
