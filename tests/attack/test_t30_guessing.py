"""T30: guessing and stuffing. One account or thousands, from one address or many, with a made-up X-Forwarded-For, spread
over clinics and staff pages, a hundred at once, through a restart: few guesses are looked at, the rest wait; a stranger
cannot lock the holder out, and a flood of requests for a link mails five letters an hour at most.

Lost if it fails: a stranger with a list of leaked passwords reads a child's record, or keeps a parent from it.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, Lock

import pytest
from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from clinic import credentials, demo, front_door, reset_requests, throttle
from clinic.audit import AuditEntry
from clinic.throttle import ALLOWANCES, Allowance, Counted, Purpose
from mail.outbox import OutgoingLetter
from tenancy import client_address, clock, known_devices, link_tokens
from tenancy.database import db
from tests.conftest import BASE, PORT, one_more_app
from tests.inside import inside, mail_resets, send_link, waiting_jobs
from tests.visitor import Visitor

MARIA, ANA = "maria@family.example", "ana@elm.example"
ELM, OAK = f"http://{demo.ELM}.{BASE}:{PORT}", f"http://{demo.OAK}.{BASE}:{PORT}"
ADMIN, APEX = f"http://admin.{BASE}:{PORT}", f"http://{BASE}:{PORT}"
FREE = {counted: allowance.free for counted, allowance in ALLOWANCES[Purpose.SIGN_IN].items()}
ENDLESS = Allowance(10**6, timedelta(seconds=1), timedelta(seconds=1), timedelta(seconds=1))


class Checks:
    """Counts the passwords that are looked at; looking takes no time, so that a test can try hundreds."""

    def __init__(self) -> None:
        self.made = 0
        self.right: set[tuple[str, str]] = set()
        self._lock = Lock()

    def verify(self, kept: str, password: str) -> bool:
        with self._lock:
            self.made += 1
        if password != demo.PASSWORD or kept == credentials._NOBODYS:
            raise credentials.VerificationError
        return True

    def since(self, work: Callable[[], object]) -> int:
        before = self.made
        work()
        return self.made - before


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Checks:
    counting = Checks()
    monkeypatch.setattr(credentials, "_hasher", counting)
    return counting


def post(app: Flask, at: str, path: str, form: dict[str, str], *, address: str = "198.51.100.7", forwarded: str | None = None) -> TestResponse:
    """A form sent by a program that keeps no cookies."""
    lie = {"X-Forwarded-For": forwarded} if forwarded else {}
    return app.test_client().post(
        path, base_url=at, data=form, headers={"Origin": at} | lie, environ_overrides={"REMOTE_ADDR": address}
    )  # fmt: skip


def guess(app: Flask, email: str, *, at: str = ELM, path: str = "/sign-in", address: str = "198.51.100.7", forwarded: str | None = None, password: str = "not this one") -> int:
    """One guess; returns the status."""  # fmt: skip
    return post(app, at, path, {"email": email, "password": password}, address=address, forwarded=forwarded).status_code


@pytest.fixture(autouse=True)
def without_form_tokens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching a form's token before each guess is no hindrance to a program, only to a fast test."""
    for name in ("app", "committed_app"):
        if name in request.fixturenames:
            monkeypatch.setitem(request.getfixturevalue(name).config, "WTF_CSRF_ENABLED", False)


def check_many_guesses_at_one(app: Flask, checks: Checks, count: int) -> None:
    statuses = [guess(app, MARIA, address=f"203.0.113.{number % 250}") for number in range(count)]
    assert checks.made == FREE[Counted.ACCOUNT]
    assert statuses == [422] * checks.made + [429] * (count - checks.made)


def check_one_password_at_many(app: Flask, checks: Checks, count: int) -> None:
    for number in range(count):
        guess(app, f"family{number}@family.example")
    assert checks.made == FREE[Counted.NETWORK]


def check_made_up_headers_change_nothing(app: Flask, checks: Checks, count: int) -> None:
    for number in range(count):
        guess(app, f"family{number}@family.example", forwarded=f"203.0.{number // 250}.{number % 250}")
    assert checks.made == FREE[Counted.NETWORK]


def check_spread_over_all_doors(app: Flask, checks: Checks, count: int) -> None:
    doors = [(ELM, "/sign-in"), (OAK, "/sign-in"), (ADMIN, f"/{demo.ELM}/sign-in"), (ADMIN, f"/{demo.OAK}/sign-in")]
    for number in range(count):
        at, path = doors[number % len(doors)]
        guess(app, f"person{number}@family.example", at=at, path=path)
    assert checks.made <= FREE[Counted.EVERYWHERE] < count


def check_a_burst(app: Flask, checks: Checks, count: int) -> None:
    """From one moment, each in a thread and a connection of its own, with real commits."""
    gate = Barrier(count)

    def one(number: int) -> int:
        gate.wait(timeout=60)
        return guess(app, MARIA, address=f"203.0.113.{number}")

    with ThreadPoolExecutor(count) as pool:
        statuses = list(pool.map(one, range(count)))
    assert checks.made == FREE[Counted.ACCOUNT], statuses
    assert sorted(set(statuses)) == [422, 429]
    assert statuses.count(422) == checks.made


# Every day: few guesses ----------------------------------------------------------------------------------------------


def test_guesses_at_one_account_from_many_addresses(app: Flask, checks: Checks) -> None:
    check_many_guesses_at_one(app, checks, 12)


def test_one_password_at_many_accounts(app: Flask, checks: Checks) -> None:
    check_one_password_at_many(app, checks, 24)


def test_made_up_headers(app: Flask, checks: Checks) -> None:
    check_made_up_headers_change_nothing(app, checks, 24)


def test_spread_over_clinics_and_staff_pages(app: Flask, checks: Checks) -> None:
    check_spread_over_all_doors(app, checks, 50)


def test_a_whole_ipv6_network_is_one_stranger(app: Flask, checks: Checks) -> None:
    """A subscriber has 2^64 of them."""
    for number in range(24):
        guess(app, f"family{number}@family.example", address=f"2001:db8:1:2::{number:x}")
    assert checks.made == FREE[Counted.NETWORK]


def test_a_burst_costs_no_more_than_is_free(committed_app: Flask, checks: Checks) -> None:
    check_a_burst(committed_app, checks, 12)


def test_a_restart_forgets_nothing(committed_app: Flask, checks: Checks) -> None:
    assert [guess(committed_app, MARIA) for _ in range(6)] == [422] * 5 + [429]
    with one_more_app(committed_app.config["PORTICO"]) as again:
        again.config["WTF_CSRF_ENABLED"] = False
        assert guess(again, MARIA) == 429
    assert checks.made == 5


def test_the_holder_is_let_in_while_strangers_guess(app: Flask, checks: Checks) -> None:
    """By a browser that signed in before at once; by any other with a link by mail, or after nine hours at the most."""
    at_home = Visitor(app, ELM).sign_in(MARIA)
    at_home.post("/sign-out")
    for number in range(9):
        guess(app, MARIA, address=f"203.0.113.{number}")
    at_home.sign_in(MARIA)
    assert guess(app, MARIA, password=demo.PASSWORD) == 429  # from an unknown browser even the right one waits
    with clock.moved(ALLOWANCES[Purpose.SIGN_IN][Counted.ACCOUNT].longest):
        assert guess(app, MARIA, password=demo.PASSWORD) == 303


def test_a_link_by_mail_leads_back_in_past_strangers(app: Flask) -> None:
    for number in range(9):
        guess(app, MARIA, address=f"203.0.113.{number}")
    secret = send_link(app, demo.ELM, link_tokens.Purpose.PASSWORD_RESET)
    elsewhere = Visitor(app, ELM)
    elsewhere.get(f"/link/password-reset/{secret}")
    elsewhere.get("/link/password-reset")
    assert elsewhere.post("/link/password-reset", {"password": "eleven quiet green lamps"}).status_code == 303
    for number in range(9):  # and they go on at once
        guess(app, MARIA, address=f"203.0.113.{number}")
    assert guess(app, MARIA) == 429
    elsewhere.sign_in(MARIA, password="eleven quiet green lamps")


def test_every_miss_and_every_wait_is_recorded(app: Flask, checks: Checks, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(7):
        guess(app, MARIA)
    with inside(app, demo.ELM):
        count = select(func.count()).select_from(AuditEntry)
        assert db.session.scalars(count.where(AuditEntry.event == "sign_in.refused")).one() == 5
        assert db.session.scalars(count.where(AuditEntry.event == "sign_in.slowed")).one() == 1
    assert len([line for line in caplog.messages if "throttle.refused sign_in by account" in line]) == 2
    assert "maria" not in caplog.text and "198.51" not in caplog.text


def check_a_reset_flood(app: Flask, asks: int) -> None:
    def letters(kind: str) -> int:
        with inside(app, demo.ELM):
            return db.session.scalars(select(func.count()).select_from(OutgoingLetter).where(OutgoingLetter.kind == kind)).one()

    for begin, path, at, email, kind in (
        (0, "/new-link", ELM, MARIA, "password_reset"),
        (60, f"/{demo.ELM}/forgot-password", ADMIN, ANA, "staff_password_reset"),
    ):
        before = letters(kind)
        for minute in range(asks):
            with clock.moved(timedelta(minutes=begin + 60 * minute / asks)):
                assert post(app, at, path, {"email": email}, address=f"203.0.113.{minute % 250}").status_code == 303
                mail_resets(app)
        assert 3 <= letters(kind) - before <= 5


def test_a_flood_of_requests_mails_five_letters_an_hour(app: Flask) -> None:
    check_a_reset_flood(app, 12)


def test_a_flood_at_the_front_door_mails_five_letters_an_hour_and_slows_its_network(app: Flask) -> None:
    def ask(email: str, address: str) -> int:
        return post(app, APEX, "/", {"email": email}, address=address).status_code

    assert {ask(MARIA, f"203.0.113.{number}") for number in range(12)} == {303}
    assert len(waiting_jobs(app, front_door.FIND)) == 3
    assert [ask(f"f{number}@x.example", "198.51.100.7") for number in range(22)] == [303] * 20 + [429] * 2


def test_codes_are_guessed_at_no_faster_than_passwords() -> None:
    """Six digits, three of them good at a time: a hundred guesses a month find one in 3,000 months."""
    assert ALLOWANCES[Purpose.FACTOR_CODE][Counted.ACCOUNT] == ALLOWANCES[Purpose.SIGN_IN][Counted.ACCOUNT]


# Planted -------------------------------------------------------------------------------------------------------------


def test_planted_no_count_by_account(app: Flask, checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALLOWANCES[Purpose.SIGN_IN], Counted.ACCOUNT, ENDLESS)
    with pytest.raises(AssertionError):
        check_many_guesses_at_one(app, checks, 8)


def test_planted_no_count_by_network(app: Flask, checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALLOWANCES[Purpose.SIGN_IN], Counted.NETWORK, ENDLESS)
    with pytest.raises(AssertionError):
        check_one_password_at_many(app, checks, 24)


def test_planted_a_header_is_believed(app: Flask, checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    read = client_address.read
    trusting = replace(app.config["PORTICO"], trusted_proxy="198.51.100.7")
    monkeypatch.setattr(client_address, "read", lambda environ, settings: read(environ, trusting))
    with pytest.raises(AssertionError):
        check_made_up_headers_change_nothing(app, checks, 24)


def test_planted_each_clinic_counts_for_itself_alone(app: Flask, checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALLOWANCES[Purpose.SIGN_IN], Counted.EVERYWHERE, ENDLESS)
    with pytest.raises(AssertionError):
        check_spread_over_all_doors(app, checks, 50)


def test_planted_look_first_and_count_later(committed_app: Flask, checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual mistake: all of a burst look before any has counted."""


    def read_without_locking(table: throttle.buckets.Table, chosen: list[throttle.buckets.Bucket]) -> object:
        now = clock.now()
        rows = db.session.execute(select(table.id, table.drained_at, table.free_at))
        found = {row.id: throttle.buckets.Filling(row.drained_at, row.free_at) for row in rows}
        time.sleep(0.2)
        return {bucket.id: found.get(bucket.id, throttle.buckets.Filling(now, now)) for bucket in chosen}

    monkeypatch.setattr(throttle.buckets, "held", read_without_locking)
    with pytest.raises(AssertionError):
        check_a_burst(committed_app, checks, 12)


def test_planted_a_letter_for_every_request(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALLOWANCES[Purpose.PASSWORD_RESET], Counted.ACCOUNT, ENDLESS)
    with pytest.raises(AssertionError):
        check_a_reset_flood(app, 12)


def test_planted_nobody_is_known_again(app: Flask, checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_devices, "find_mark", lambda account, caller: None)
    with pytest.raises(AssertionError):
        test_the_holder_is_let_in_while_strangers_guess(app, checks)


# The whole row -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_hundred_wrong_passwords(app: Flask, checks: Checks) -> None:
    check_many_guesses_at_one(app, checks, 200)


@pytest.mark.slow
def test_a_month_of_guessing_at_one_account(app: Flask, checks: Checks) -> None:
    """As soon as each is let in, from a new address each time."""
    now, end, number = timedelta(0), timedelta(days=30), 0
    while now < end:
        with clock.moved(now):
            number += 1
            answer = post(app, ELM, "/sign-in", {"email": MARIA, "password": "no"}, address=f"203.{number // 250}.113.{number % 250}")
            now += timedelta(seconds=int(answer.headers.get("Retry-After", 0)))
    assert 50 < checks.made <= 100


@pytest.mark.slow
def test_ten_thousand_accounts(app: Flask, checks: Checks) -> None:
    """From one address; the first thousand show what the rest would."""
    check_one_password_at_many(app, checks, 1000)


@pytest.mark.slow
def test_many_accounts_from_many_addresses(app: Flask, checks: Checks) -> None:
    """No account and no network stands out; the clinic's own count does."""
    for number in range(260):
        guess(app, f"f{number}@family.example", address=f"203.{number // 250}.113.{number % 250}")
    assert FREE[Counted.CLINIC] <= checks.made < 250


@pytest.mark.slow
def test_a_hundred_at_once(committed_app: Flask, checks: Checks) -> None:
    check_a_burst(committed_app, checks, 100)


@pytest.mark.slow
def test_a_long_reset_flood(app: Flask) -> None:
    check_a_reset_flood(app, 100)
    assert waiting_jobs(app, reset_requests.MAIL) == []
