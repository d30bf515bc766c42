"""Lost if it fails: a stranger guesses a parent's password at leisure, or locks the parent out by guessing."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text

from clinic import demo, throttle
from clinic.audit import AuditEntry
from clinic.throttle import ALLOWANCES, Allowance, Counted, Purpose, buckets
from tenancy import clinics, clock, known_devices
from tenancy.database import db, transaction
from tenancy.errors import Busy, TooManyTries
from tenancy.jobs import walk_clinics
from tenancy.known_devices import Caller
from tenancy.tenant import Role
from tests.conftest import clinic_at
from tests.inside import inside
from tests.visitor import Visitor, compared

MARIA = "maria@family.example"
HOME = Caller(ip_network("198.51.100.7/32"))
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def waits(allowance: Allowance, tries: int) -> list[timedelta]:
    """How long each try must wait for the next, if each is made as soon as it is let in."""
    drained_at, now, found = NOW, NOW, []
    for _ in range(tries):
        drained_at, wait = allowance.after_try(drained_at, now)
        found.append(wait)
        now += wait
    return found


def most_in(allowance: Allowance, span: timedelta) -> int:
    """The most tries that any span of this length lets in, for whoever never rests."""
    drained_at, now, made = NOW, NOW, []
    while now < NOW + 3 * span:
        made.append(now)
        drained_at, wait = allowance.after_try(drained_at, now)
        now += wait
    return max(sum(begin <= each < begin + span for each in made) for begin in made)


def test_waits_grow_and_end_at_the_longest() -> None:
    minutes = [wait // MINUTE for wait in waits(ALLOWANCES[Purpose.SIGN_IN][Counted.ACCOUNT], 40)]
    assert minutes[:14] == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert max(minutes) == 540


@pytest.mark.parametrize("purpose", [Purpose.SIGN_IN, Purpose.FACTOR_CODE, Purpose.PRESENT_PASSWORD])
def test_no_secret_is_guessed_at_a_hundred_times_in_a_month(purpose: Purpose) -> None:
    assert most_in(ALLOWANCES[purpose][Counted.ACCOUNT], timedelta(days=30)) <= 100


@pytest.mark.parametrize("purpose", [Purpose.PASSWORD_RESET, Purpose.PORTAL_SEARCH, Purpose.EMAIL_CHANGE])
def test_nobody_gets_more_than_five_letters_in_any_hour(purpose: Purpose) -> None:
    assert most_in(ALLOWANCES[purpose][Counted.ACCOUNT], HOUR) <= 5


def test_a_bucket_drains_with_time() -> None:
    allowance = Allowance(free=2, first=MINUTE, longest=HOUR, drains=HOUR)
    full = NOW
    for _ in range(4):
        full, _wait = allowance.after_try(full, NOW)
    assert full == NOW + 4 * HOUR
    assert allowance.after_try(full, NOW + 10 * HOUR) == (NOW + 11 * HOUR, timedelta(0))  # as if it had never been
    assert allowance.after_try(full, NOW + 3 * HOUR)[1] == MINUTE  # one was left, and now two
    assert allowance.without_try(full) == NOW + 3 * HOUR


def test_a_wait_never_overflows() -> None:
    allowance = Allowance(free=1, first=MINUTE, longest=HOUR, drains=timedelta(days=1))
    assert allowance.after_try(NOW + timedelta(days=3000), NOW)[1] == HOUR


# Inside a clinic ------------------------------------------------------------------------------------------------------


def tries(app: Flask, count: int, *, caller: Caller | None = HOME, email: str = MARIA, slug: str = demo.ELM, right: bool = False, purpose: Purpose = Purpose.SIGN_IN) -> int:
    """Try this often; returns how many were let in."""  # fmt: skip
    let_in = 0
    with app.app_context(), clinics.open_clinic(clinic_at(slug), Role.DOOR):
        for _ in range(count):
            try:
                with throttle.counting(purpose, throttle.at_door(email, of_staff=False), caller) as tried:
                    let_in += 1
                    tried.was_right = right
            except TooManyTries:
                pass
    return let_in


def from_(number: int) -> Caller:
    return Caller(ip_network(f"203.0.113.{number}/32"))


def test_five_misses_are_free_then_one_waits(app: Flask) -> None:
    assert tries(app, 8) == 5
    with clock.moved(timedelta(seconds=61)):
        assert tries(app, 3) == 1
        with clock.moved(timedelta(seconds=61)):
            assert tries(app, 3) == 0
            with clock.moved(timedelta(seconds=60)):
                assert tries(app, 3) == 1


def test_the_address_is_counted_as_it_is_found(app: Flask) -> None:
    assert tries(app, 5) == 5
    assert tries(app, 1, email=" Maria@FAMILY.example", caller=from_(1)) == 0


def test_a_right_one_forgets_the_misses_before_it(app: Flask) -> None:
    assert tries(app, 4) == 4
    assert tries(app, 1, right=True) == 1
    assert tries(app, 8) == 5


def test_right_ones_cost_nobody_anything(app: Flask) -> None:
    """A waiting room signs in behind one address."""
    assert tries(app, 30, right=True) == 30
    assert tries(app, 45, right=True, email="omar@family.example") == 45


def test_one_network_at_many_accounts_waits_and_another_does_not(app: Flask) -> None:
    made = sum(tries(app, 1, email=f"family{number}@family.example") for number in range(30))
    assert made == ALLOWANCES[Purpose.SIGN_IN][Counted.NETWORK].free
    assert tries(app, 1, caller=from_(1)) == 1


def test_right_ones_do_not_wash_a_network_clean(app: Flask) -> None:
    """Somebody with an account of their own cannot buy guesses at others' with it."""
    let_in = 0
    for number in range(60):
        let_in += tries(app, 1, email=f"family{number}@family.example")
        tries(app, 1, email="own@family.example", right=True)
    assert let_in <= ALLOWANCES[Purpose.SIGN_IN][Counted.NETWORK].free + 1


def test_many_networks_at_many_accounts_slow_the_clinics_strangers_down(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 12
    monkeypatch.setitem(ALLOWANCES[Purpose.SIGN_IN], Counted.CLINIC, Allowance(free, 30 * MINUTE, HOUR, HOUR))
    made = sum(tries(app, 1, email=f"f{n}@family.example", caller=Caller(ip_network(f"2001:db8:0:{n:x}::/64"))) for n in range(free + 5))
    assert made == free
    assert tries(app, 1, caller=from_(1), slug=demo.OAK) == 1


def test_one_network_everywhere_shares_one_budget(app: Flask) -> None:
    """Elm, Oak and the staff pages by turns: each alone is not too much, together they are."""
    made = 0
    for number in range(30):
        made += tries(app, 1, email=f"e{number}@x.example", slug=demo.ELM) + tries(app, 1, email=f"o{number}@x.example", slug=demo.OAK)
    assert made <= ALLOWANCES[Purpose.SIGN_IN][Counted.EVERYWHERE].free


def test_what_is_refused_everywhere_is_not_held_against_the_account(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALLOWANCES[Purpose.SIGN_IN], Counted.EVERYWHERE, Allowance(1, HOUR, HOUR, HOUR))
    assert tries(app, 1, email="other@family.example", slug=demo.OAK) == 1
    assert tries(app, 10) == 0
    assert tries(app, 8, caller=from_(1)) == 1
    assert tries(app, 8, caller=from_(2)) == 1


def test_somebody_signed_in_is_counted_by_account_alone(app: Flask) -> None:
    assert tries(app, 8, caller=None, purpose=Purpose.PRESENT_PASSWORD) == 5
    assert tries(app, 8, caller=None, purpose=Purpose.FACTOR_CODE) == 5
    assert tries(app, 5) == 5


def test_what_was_not_checked_for_want_of_time_is_no_miss(app: Flask) -> None:
    with app.app_context(), clinics.open_clinic(clinic_at(demo.ELM), Role.DOOR):
        for _ in range(20):
            with pytest.raises(Busy), throttle.counting(Purpose.SIGN_IN, throttle.at_door(MARIA, of_staff=False), HOME):
                raise Busy("", timedelta(seconds=1))
    assert tries(app, 8) == 5


def test_whatever_else_goes_wrong_stays_a_miss(app: Flask) -> None:
    with app.app_context(), clinics.open_clinic(clinic_at(demo.ELM), Role.DOOR):
        for _ in range(5):
            with pytest.raises(ZeroDivisionError), throttle.counting(Purpose.SIGN_IN, throttle.at_door(MARIA, of_staff=False), HOME):
                raise ZeroDivisionError
    assert tries(app, 3) == 0


def test_who_is_slowed_is_recorded_without_any_address(app: Flask) -> None:
    tries(app, 8)
    with inside(app, demo.ELM):
        entries = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "sign_in.slowed")).all()
    assert [entry.details for entry in entries] == [{"by": ["account"], "wait_seconds": 60}]


def test_no_address_is_kept_in_a_way_to_be_read(app: Flask) -> None:
    tries(app, 2)
    tries(app, 2, email="nobody@family.example")
    with inside(app, demo.ELM, Role.DOOR):
        kept = str(db.session.execute(text("SELECT b::text FROM throttle_buckets b")).all())
    with app.app_context(), buckets.outside():
        kept += str(db.session.execute(text("SELECT b::text FROM platform_throttle_buckets b")).all())
    assert not re.search(r"maria|nobody|family|198\.51", kept)


def test_the_same_address_has_another_bucket_at_each_clinic_and_door(app: Flask) -> None:
    found = set()
    for slug in (demo.ELM, demo.OAK):
        with inside(app, slug, Role.DOOR):
            for of_staff in (True, False):
                made = throttle.tries._try_here(Purpose.SIGN_IN, throttle.at_door(MARIA, of_staff=of_staff), HOME)
                found.add(next(bucket.id for bucket in made.here if bucket.counted is Counted.ACCOUNT))
    assert len(found) == 4


def test_letters_are_kept_back_quietly_for_an_account_and_aloud_for_a_network(app: Flask) -> None:
    with app.app_context(), clinics.open_clinic(clinic_at(demo.ELM), Role.DOOR):
        account = throttle.at_door(MARIA, of_staff=False)
        asked = [throttle.may_mail(Purpose.PASSWORD_RESET, account, HOME) for _ in range(10)]
        assert asked == [True] * 3 + [False] * 7
        with pytest.raises(TooManyTries) as refusal:
            for number in range(30):
                assert throttle.may_mail(Purpose.PASSWORD_RESET, f"portal:{number}", HOME)
        assert 0 < refusal.value.wait.total_seconds() <= 300


def test_outside_clinics_the_same_holds(app: Flask) -> None:
    with app.app_context():
        assert [throttle.may_mail(Purpose.PORTAL_SEARCH, MARIA, from_(n)) for n in range(5)] == [True] * 3 + [False] * 2
        with pytest.raises(TooManyTries):
            for number in range(30):
                throttle.may_mail(Purpose.PORTAL_SEARCH, f"{number}@x.example", HOME)


def test_forgiven_is_forgotten(app: Flask) -> None:
    assert tries(app, 8) == 5
    with inside(app, demo.ELM, Role.DOOR):
        throttle.forgive(Purpose.SIGN_IN, throttle.at_door(MARIA, of_staff=False))
    assert tries(app, 8) == 5


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (timedelta(seconds=1), "in a minute."),
        (MINUTE, "in 1 minute."),
        (timedelta(seconds=61), "in 2 minutes."),
        (90 * MINUTE, "in 90 minutes."),
        (91 * MINUTE, "in 2 hours."),
        (9 * HOUR, "in 9 hours."),
    ],
)
def test_the_sentence_says_when_and_never_too_early(app: Flask, wait: timedelta, words: str) -> None:
    with app.app_context():
        assert str(throttle.tries._sentence(wait)).endswith(words)


def test_drained_buckets_are_swept_away_and_full_ones_stay(app: Flask) -> None:
    def count() -> tuple[int, int]:
        with inside(app, demo.ELM, Role.DOOR):
            here = db.session.scalars(text("SELECT count(*) FROM throttle_buckets")).one()
        with app.app_context(), buckets.outside():
            return here, db.session.scalars(text("SELECT count(*) FROM platform_throttle_buckets")).one()

    def sweep() -> None:
        with app.app_context():
            walk_clinics(throttle.forget_drained, Role.DOOR)
            throttle.forget_drained_outside()

    tries(app, 8)
    assert count() == (3, 1)
    sweep()
    assert count() == (3, 1)
    with clock.moved(HOUR):
        sweep()
        assert count() == (1, 0)  # the account's own drains slowly
    with clock.moved(timedelta(days=3)):
        sweep()
    assert count() == (0, 0)


# Browsers known again -------------------------------------------------------------------------------------------------


def device_cookies(visitor: Visitor) -> list[Any]:
    return [cookie for cookie in visitor.client._cookies.values() if "-device" in cookie.key]


def fail(visitor: Visitor, count: int, email: str = MARIA, prefix: str = "") -> list[int]:
    visitor.get(f"{prefix}/sign-in")
    return [visitor.post(f"{prefix}/sign-in", {"email": email, "password": "wrong"}).status_code for _ in range(count)]


def test_a_browser_that_signed_in_before_is_let_in_while_strangers_guess(app: Flask, maria: Visitor) -> None:
    (cookie,) = device_cookies(maria)
    assert cookie.http_only and cookie.path == "/" and cookie.origin_only
    maria.post("/sign-out")
    stranger = Visitor(app, maria.base_url)
    assert fail(stranger, 7) == [422] * 5 + [429] * 2
    maria.sign_in(MARIA)
    assert fail(stranger, 1) == [429]  # Maria's coming in gives strangers nothing


def test_a_known_browser_guesses_no_faster_and_does_not_slow_strangers(app: Flask, maria: Visitor) -> None:
    maria.post("/sign-out")
    assert fail(maria, 7) == [422] * 5 + [429] * 2
    assert fail(Visitor(app, maria.base_url), 1) == [422]


def test_a_mark_is_good_for_its_own_address_clinic_and_door(app: Flask, maria: Visitor, oak_portal: Visitor) -> None:
    """Somebody with an account of their own is a stranger at everybody else's."""
    assert fail(Visitor(app, maria.base_url), 6, "omar@family.example")[-1] == 429
    assert fail(maria, 1, "omar@family.example") == [429]
    assert fail(Visitor(app, oak_portal.base_url), 6)[-1] == 429
    assert fail(maria.at(oak_portal.base_url), 1) == [429]


@pytest.mark.parametrize("change", [lambda v: v[:-1] + ("0" if v[-1] != "0" else "1"), lambda v: "x", lambda v: "..", lambda v: "é.é.é", lambda v: "9" + v])
def test_a_mark_that_was_tampered_with_is_a_strangers(app: Flask, maria: Visitor, change: Callable[[str], str]) -> None:
    (cookie,) = device_cookies(maria)
    assert fail(Visitor(app, maria.base_url), 6)[-1] == 429
    other = Visitor(app, maria.base_url)
    other.client.set_cookie(cookie.key, change(cookie.value), domain="elm-street.localhost")
    assert fail(other, 1) == [429]
    other.client.set_cookie(cookie.key, cookie.value, domain="elm-street.localhost")
    assert fail(other, 1) == [422]


def test_a_mark_lasts_half_a_year(app: Flask, maria: Visitor) -> None:
    with clock.moved(known_devices.LASTS + timedelta(seconds=1)):
        assert fail(Visitor(app, maria.base_url), 6)[-1] == 429
        assert fail(maria, 1) == [429]


def test_one_tablet_knows_a_family(app: Flask, portal: Visitor) -> None:
    for email in (MARIA, "omar@family.example", MARIA):
        portal.sign_in(email)
        portal.post("/sign-out")
    (cookie,) = device_cookies(portal)
    assert cookie.value.count("~") == 1
    for email in (MARIA, "omar@family.example"):
        assert fail(Visitor(app, portal.base_url), 6, email)[-1] == 429
        assert fail(portal, 1, email) == [422]


def test_staff_are_known_again_at_their_own_clinic(app: Flask, ana: Visitor) -> None:
    prefix = f"/{demo.ELM}"
    (cookie,) = device_cookies(ana)
    with app.app_context():
        assert cookie.key == f"portico-device-{clinic_at(demo.ELM).id.hex}"
    ana.post(f"{prefix}/sign-out")
    assert fail(Visitor(app, ana.base_url), 6, "ana@elm.example", prefix)[-1] == 429
    ana.sign_in("ana@elm.example", prefix)


# What a person sees ---------------------------------------------------------------------------------------------------


def test_who_is_slowed_is_told_how_long_known_or_not(app: Flask, portal: Visitor) -> None:
    answers = set()
    for number, email in enumerate((MARIA, "nobody@family.example")):
        stranger = Visitor(app, portal.base_url)
        for _ in range(6):
            stranger.get("/sign-in")
            answer = stranger.client.post(
                "/sign-in", data={"email": email, "password": "wrong", "csrf_token": stranger.token},
                base_url=stranger.base_url, environ_overrides={"REMOTE_ADDR": f"203.0.113.{number}"},
            )  # fmt: skip
        headers = {name: value for name, value in answer.headers.items() if name != "Retry-After"}
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert "Try again in a minute." in answer.text
        answers.add((answer.status_code, compared(answer.text), compared(str(sorted(headers.items())))))
    assert len(answers) == 1


def test_a_wrong_present_password_is_counted_and_a_weak_new_one_is_not(maria: Visitor) -> None:
    maria.get("/profile/password")
    for _ in range(8):
        assert maria.post("/profile/password", {"present": demo.PASSWORD, "password": "weak"}).status_code == 422
    statuses = [maria.post("/profile/password", {"present": "wrong", "password": "weak"}).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]
    assert maria.get("/").status_code == 200


def test_only_its_own_role_reaches_the_platforms_buckets(app: Flask) -> None:
    for role in Role:
        with pytest.raises(Exception, match="permission denied"), inside(app, demo.ELM, role):
            db.session.execute(text("SELECT * FROM platform_throttle_buckets"))
    with app.app_context(), pytest.raises(Exception, match="permission denied"), transaction():
        db.session.execute(text("SELECT * FROM platform_throttle_buckets"))
    for table in ("throttle_buckets", "sessions", "clinics"):
        with app.app_context(), pytest.raises(Exception, match="permission denied"), buckets.outside():
            db.session.execute(text(f"SELECT * FROM {table}"))
