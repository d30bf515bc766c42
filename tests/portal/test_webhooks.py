"""What Stripe's webhook keeps and what it turns away; what is then done about an event.

Lost if they fail: somebody who is not Stripe makes an invoice paid, one clinic's account speaks for another's, or an
event is lost between its answer and its job.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from clinic import demo, payment_processing, payments, stripe_events, throttle
from clinic.payments import problems
from clinic.stripe_events import PlatformWebhookRefusal, StripeEvent, applying
from clinic.stripe_events.types import Outcome, Told
from clinic.stripe_gateway import line
from tenancy import clinics, clock
from tenancy.database import db, transaction
from tenancy.errors import Conflict
from tests.conftest import connected
from tests.inside import inside, letters, waiting_jobs
from tests.stripe_fake.client import StripeFake

APEX = "http://localhost:8000"
PATH = "/webhooks/stripe"


def account_of(app: Flask, fake: StripeFake, slug: str) -> str:
    """A Stripe account of this clinic's that may charge, and the clinic has not heard so yet."""
    account_id = fake.account()
    with inside(app, slug):
        payment_processing.opened(account_id)
    return account_id


@pytest.fixture
def acct(app: Flask, stripe_standing: StripeFake) -> str:
    return account_of(app, stripe_standing, demo.ELM)


def send(app: Flask, body: bytes, headers: dict[str, str], path: str = PATH) -> TestResponse:
    return app.test_client().post(path, base_url=APEX, data=body, headers=headers)


def deliver(app: Flask, fake: StripeFake, event_id: str) -> int:
    return send(app, *fake.webhook(event_id)).status_code


def newest(fake: StripeFake, acct: str) -> str:
    return str(fake.events(acct)[-1]["id"])


def kept(app: Flask, slug: str = demo.ELM) -> list[StripeEvent]:
    with inside(app, slug):
        return list(db.session.scalars(select(StripeEvent).order_by(StripeEvent.received_at)))


def refusals(app: Flask) -> dict[str, int]:
    with app.app_context(), throttle.outside():
        return {row.reason: row.count for row in db.session.scalars(select(PlatformWebhookRefusal))}


def job(app: Flask, later: timedelta = timedelta(0)) -> None:
    """What the worker does: each event that waits for it."""
    with in_elm(app), clock.moved(later):
        for waiting in waiting_jobs(app, applying.APPLY):
            stripe_events.look_into(waiting["event_id"])


@contextmanager
def in_elm(app: Flask) -> Iterator[None]:
    with app.app_context():
        with transaction():
            clinic = clinics.find_at(demo.ELM)
        assert clinic
        with clinics.open_clinic(clinic):
            yield


# What is kept


def test_an_event_is_kept_and_a_job_waits_for_it(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    event_id = newest(stripe_standing, acct)
    assert deliver(app, stripe_standing, event_id) == 200
    [event] = kept(app)
    assert (event.event_id, event.account_id, event.type, event.object_id) == (event_id, acct, "account.updated", acct)
    assert event.applied_at is None and event.tries == 0 and refusals(app) == {}
    assert [each["event_id"] for each in waiting_jobs(app, applying.APPLY)] == [event_id]


def test_an_event_that_comes_again_is_kept_once(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    event_id = newest(stripe_standing, acct)
    assert {deliver(app, stripe_standing, event_id) for _ in range(3)} == {200}
    assert len(kept(app)) == len(waiting_jobs(app, applying.APPLY)) == 1


def test_eight_at_once_are_kept_once(committed_app: Flask, stripe_fake: StripeFake) -> None:
    with connected(committed_app, stripe_fake):
        acct = account_of(committed_app, stripe_fake, demo.ELM)
        event_id = newest(stripe_fake, acct)
        with ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(lambda _: deliver(committed_app, stripe_fake, event_id), range(8)))
        assert statuses == [200] * 8
        assert len(kept(committed_app)) == len(waiting_jobs(committed_app, applying.APPLY)) == 1


def test_the_clinic_is_the_accounts_and_nothing_else_says_which(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    oaks = account_of(app, stripe_standing, demo.OAK)
    deliver(app, stripe_standing, newest(stripe_standing, oaks))
    assert kept(app, demo.ELM) == [] and [each.account_id for each in kept(app, demo.OAK)] == [oaks]


def test_nobodys_cookie_or_form_token_is_asked_and_none_is_set(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    body, headers = stripe_standing.webhook(newest(stripe_standing, acct))
    answer = send(app, body, headers | {"Origin": "https://elsewhere.example", "Cookie": "a=b"})
    assert answer.status_code == 200 and answer.text == "" and "Set-Cookie" not in answer.headers


# What is turned away


def test_without_a_secret_nobody_is_believed(app: Flask) -> None:
    """Least of all somebody who signs with an empty one."""
    fake = StripeFake("http://127.0.0.1:1", secret="")
    for headers in ({}, {"Stripe-Signature": fake.sign(b"{}")}, {"Stripe-Signature": fake.sign(b"{}", secret="None")}):
        assert send(app, b"{}", headers).status_code == 400
    assert refusals(app) == {"not_connected": 3}


@pytest.mark.parametrize("base", ["http://admin.localhost:8000", "http://elm-street.localhost:8000"])
def test_it_stands_at_the_front_door_alone(app: Flask, stripe_standing: StripeFake, acct: str, base: str) -> None:
    body, headers = stripe_standing.webhook(newest(stripe_standing, acct))
    assert app.test_client().post(PATH, base_url=base, data=body, headers=headers).status_code in (400, 403, 404)
    assert kept(app) == []


# What is done about it


def test_an_event_about_the_account_has_it_read_again(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    deliver(app, stripe_standing, newest(stripe_standing, acct))
    stripe_standing.restrict(acct)  # the event says that it may charge; by now it may not
    for _ in range(2):
        job(app)
    [event] = kept(app)
    assert event.outcome == "applied" and event.tries == 1
    with inside(app, demo.ELM):
        present = payment_processing.find_present()
        assert present and not present.charges_enabled and present.details_submitted


def test_an_account_that_left_is_ended(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    stripe_standing.deauthorise(acct)
    deliver(app, stripe_standing, newest(stripe_standing, acct))
    job(app)
    with inside(app, demo.ELM) as clinic:
        assert payment_processing.find_present() is None and not clinic.payment_processing_is_on


def test_who_is_said_to_have_left_and_did_not_stays(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    body, _ = stripe_standing.webhook(newest(stripe_standing, acct))
    body = body.replace(b"account.updated", b"account.application.deauthorized")
    assert send(app, body, {"Stripe-Signature": stripe_standing.sign(body)}).status_code == 200
    job(app)
    with inside(app, demo.ELM):
        assert payment_processing.find_present() is not None


def test_a_type_that_concerns_nobody_is_ignored(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    body, _ = stripe_standing.webhook(newest(stripe_standing, acct))
    body = body.replace(b"account.updated", b"capability.of.tomorrow")
    assert send(app, body, {"Stripe-Signature": stripe_standing.sign(body)}).status_code == 200
    asked = len(stripe_standing.requests())
    job(app)
    assert kept(app)[0].outcome == "ignored" and len(stripe_standing.requests()) == asked


def test_what_stripe_does_not_answer_about_waits_longer_and_longer(
    app: Flask, stripe_standing: StripeFake, acct: str
) -> None:
    deliver(app, stripe_standing, newest(stripe_standing, acct))
    stripe_standing.fault("/v1/accounts/*", "500", times=None)
    job(app)
    tried = 0
    for minutes in range(1, 200):
        in_turn(app, timedelta(minutes=minutes))
        tried = kept(app)[0].tries
    assert kept(app)[0].applied_at is None and 5 <= tried <= 9
    stripe_standing.clear_faults()
    in_turn(app, timedelta(minutes=261))
    assert kept(app)[0].outcome == "applied"


def in_turn(app: Flask, later: timedelta) -> None:
    with in_elm(app), clock.moved(later):
        applying.apply_waiting()


def test_the_worker_settles_what_the_webhook_kept(committed_app: Flask, stripe_fake: StripeFake) -> None:
    with connected(committed_app, stripe_fake):
        acct = account_of(committed_app, stripe_fake, demo.ELM)
        deliver(committed_app, stripe_fake, newest(stripe_fake, acct))
        with committed_app.app_context():
            run = committed_app.test_cli_runner().invoke(args=["worker", "--drain"], catch_exceptions=False)
        assert run.exit_code == 0, run.output
        assert [each.outcome for each in kept(committed_app)] == ["applied"]


def test_two_who_settle_one_event_note_it_once(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    deliver(app, stripe_standing, newest(stripe_standing, acct))
    job(app)
    with in_elm(app), transaction():
        applying._note(Told(newest(stripe_standing, acct), "account.updated", acct, acct), Outcome("too late"))
    assert [each.outcome for each in kept(app)] == ["applied"]


def test_an_event_whose_job_was_killed_is_taken_up(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    deliver(app, stripe_standing, newest(stripe_standing, acct))
    in_turn(app, timedelta(minutes=1))
    assert kept(app)[0].applied_at is None
    in_turn(app, timedelta(minutes=3))
    assert kept(app)[0].outcome == "applied"


def test_a_wrong_key_of_ours_throws_no_event_away(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    deliver(app, stripe_standing, newest(stripe_standing, acct))
    app.extensions["stripe_gateway"] = line.Line("sk_test_wrong", stripe_standing.url)
    job(app)
    assert kept(app)[0].applied_at is None


def test_a_job_names_an_event_of_its_clinic_or_does_nothing(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    with in_elm(app):
        stripe_events.look_into("evt_of_nobody")
    assert stripe_standing.requests() == []


# Which thing each type is about


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Where the table leads for payments: which thing of which account was looked at."""
    seen: list[tuple[str, str, str]] = []
    for kind in ("checkout", "intent"):
        monkeypatch.setattr(payments, f"look_at_{kind}", lambda acct, id_, kind=kind: seen.append((kind, acct, id_)))
    return seen


def test_every_event_about_money_leads_to_its_payment(
    app: Flask, stripe_standing: StripeFake, acct: str, looked_at: list[tuple[str, str, str]]
) -> None:
    """A whole history: paid, refunded, the refund sent back, asked about, disputed, lost; and one by bank that fails."""
    item = {"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 5000, "product_data": {"name": "Elm"}}}
    sessions, intents = [], []
    with app.app_context():
        for how in ("card", "bank_debit"):
            made = line.post("/v1/checkout/sessions", {"mode": "payment", "success_url": "http://x.example/", "line_items": [item]}, of=acct)
            stripe_standing.pay(made["id"], how)
            sessions.append(made["id"])
            intents.append(line.get(f"/v1/checkout/sessions/{made['id']}", of=acct)["payment_intent"])
        line.post("/v1/checkout/sessions", {"mode": "payment", "success_url": "http://x.example/", "line_items": [item]}, of=acct)
    card, debit = intents
    stripe_standing.settle(debit, ok=False)
    refund = stripe_standing.refund(acct, card, 1000)["id"]
    stripe_standing.fail_refund(refund)
    stripe_standing.inquire(card)
    dispute = stripe_standing.dispute(card)["id"]
    stripe_standing.close_dispute(dispute, "lost")
    told = [each for each in stripe_standing.events(acct) if each["type"] != "account.updated"]
    for each in told:
        assert deliver(app, stripe_standing, each["id"]) == 200
        looked_at.clear()
        with in_elm(app):
            stripe_events.look_into(each["id"])
        if each["type"] in ("payment_intent.created", "charge.pending", "charge.updated"):
            assert looked_at == []
        else:
            [(kind, account, id_)] = looked_at
            assert account == acct and id_ in (sessions if kind == "checkout" else intents), each["type"]
    assert {each.outcome for each in kept(app)} == {"not ours", "ignored"}
    assert {each["type"] for each in told} - {"payment_intent.created", "charge.pending", "charge.updated"} <= set(stripe_events.TYPES)


def test_a_payment_that_was_found_is_noted_with_the_event(
    app: Flask, stripe_standing: StripeFake, acct: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id = uuid4()
    noted: list[UUID | None] = []
    monkeypatch.setattr(payments, "look_at_intent", lambda *_: payment_id)
    monkeypatch.setattr(applying, "_note", lambda _id, outcome: noted.append(outcome.payment_id))
    deliver_as(app, stripe_standing, acct, "payment_intent.succeeded")
    job(app)
    assert noted == [payment_id]


def deliver_as(app: Flask, fake: StripeFake, acct: str, type_: str) -> None:
    body, _ = fake.webhook(newest(fake, acct))
    body = body.replace(b'"account.updated"', f'"{type_}"'.encode())
    assert send(app, body, {"Stripe-Signature": fake.sign(body)}).status_code == 200


def test_a_thing_of_another_account_is_put_aside(app: Flask, stripe_standing: StripeFake, acct: str) -> None:
    """Truly signed, and it names what the account does not have."""
    deliver_as(app, stripe_standing, acct, "refund.created")
    job(app)
    assert kept(app)[0].outcome == "put aside: resource_missing"
    with inside(app, demo.ELM):
        assert [each.object_id for each in problems.still_open()] == [acct]  # and Ben has a letter
    assert ("payment_problem_found", "ben@elm.example") in {(each.kind, each.to_address) for each in letters(app, demo.ELM)}


def test_when_others_were_faster_each_time_the_event_waits(
    app: Flask, stripe_standing: StripeFake, acct: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: str) -> None:
        raise Conflict("Others brought this payment up to date meanwhile.")

    monkeypatch.setattr(payments, "look_at_intent", busy)
    deliver_as(app, stripe_standing, acct, "payment_intent.succeeded")
    job(app)
    assert kept(app)[0].applied_at is None
