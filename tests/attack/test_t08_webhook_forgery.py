"""T08: what reaches the webhook and is not Stripe's, not of now, not of this account, or not true.

Lost if it fails: somebody who is not Stripe makes an invoice paid, or one clinic's account speaks for another's.

A bad signature or age is answered 400 and leaves a count. What is signed and does not fit changes no row of money in any
clinic: the clinic is found from the account alone, the payment from our own row alone, and what differs is put aside and
told. Each case is sent while a payment has in truth arrived at Stripe, so that whoever believed anything would enter it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select

from clinic import demo, payment_processing, payments, stripe_events, stripe_gateway
from clinic.payments import Payment, agreeing, agreement
from clinic.stripe_events import StripeEvent
from clinic.stripe_gateway import line, signatures
from tenancy import clinics, clock
from tenancy.database import db, transaction
from tests import inside
from tests.attack.money_history import money_state
from tests.outer_door import BASE, Door, read
from tests.paying import BACK, Desk, at_elm
from tests.portal.test_webhooks import kept, refusals, send
from tests.stripe_fake.client import StripeFake, Thing

DUE = 5000
Sent = tuple[bytes, dict[str, str]]


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing:
        yield standing


@dataclass
class Scene:
    """A payment that arrived at Stripe and of which nothing was heard yet; and another clinic with an account of its own."""

    desk: Desk
    payment_id: UUID
    oaks: str

    @property
    def event(self) -> Thing:
        (found,) = self.desk.fake.events(self.desk.account_id, "payment_intent.succeeded")
        return found

    @property
    def oak(self) -> Desk:
        with inside.inside(self.desk.app, demo.OAK) as clinic:
            return replace(self.desk, clinic=clinic, account_id=self.oaks)

    def state(self) -> list[Any]:
        return [money_state(self.desk), money_state(self.oak)]

    def body(self) -> bytes:
        return self.desk.fake.webhook(self.event["id"])[0]

    def signed(self, body: bytes) -> Sent:
        return body, {"Stripe-Signature": self.desk.fake.sign(body)}

    def told(self, **changed: Any) -> Sent:
        """The true event with other words in it, signed all the same. A value of None leaves the word out."""
        words = json.loads(self.body()) | changed
        return self.signed(json.dumps({name: value for name, value in words.items() if value is not None}).encode())

    def hear(self, sent: Sent) -> int:
        """To the webhook; then every clinic's jobs."""
        status = send(self.desk.app, *sent).status_code
        for each in (self.desk, self.oak):
            with each.open_clinic():
                with transaction():
                    waiting = list(db.session.scalars(select(StripeEvent.event_id)))
                for event_id in waiting:
                    stripe_events.look_into(event_id)
        return status


@pytest.fixture
def scene(desk: Desk) -> Scene:
    oaks = desk.fake.account()
    with inside.inside(desk.app, demo.OAK):
        payment_processing.opened(oaks)
    return Scene(desk, desk.pay(desk.invoice(DUE)), oaks)


# Not Stripe's, or not of now


def at(seconds: int) -> int:
    return int(clock.now().timestamp()) + seconds


def signed_at(seconds: int) -> Callable[[Scene, bytes], Sent]:
    return lambda scene, body: (body, {"Stripe-Signature": scene.desk.fake.sign(body, t=at(seconds))})


def with_signature_of(body_sent: Callable[[bytes], bytes]) -> Callable[[Scene, bytes], Sent]:
    """Another body under the true one's signature."""
    return lambda scene, body: (body_sent(body), {"Stripe-Signature": scene.desk.fake.sign(body)})


FORGED: dict[str, tuple[Callable[[Scene, bytes], Sent], str]] = {
    "no signature": (lambda scene, body: (body, {}), "unsigned"),
    "an empty signature": (lambda scene, body: (body, {"Stripe-Signature": ""}), "unsigned"),
    "another secret": (
        lambda scene, body: (body, {"Stripe-Signature": scene.desk.fake.sign(body, secret="whsec_guess")}), "wrong_signature",
    ),
    "an empty secret": (lambda scene, body: (body, {"Stripe-Signature": scene.desk.fake.sign(body, secret="\0")}), "wrong_signature"),
    "one byte changed": (with_signature_of(lambda body: body.replace(b"5000", b"5001", 1)), "wrong_signature"),
    "one byte added": (with_signature_of(lambda body: body + b"\n"), "wrong_signature"),
    "the same JSON written anew": (with_signature_of(lambda body: json.dumps(json.loads(body)).encode()), "wrong_signature"),
    "301 seconds old": (signed_at(-302), "too_old"),
    "a day in the future": (signed_at(86_400), "from_the_future"),
    "v0 only": (lambda scene, body: (body, {"Stripe-Signature": scene.desk.fake.sign(body, scheme="v0")}), "unsigned"),
    "two times": (
        lambda scene, body: (body, {"Stripe-Signature": f"t={at(0)},{scene.desk.fake.sign(body, t=at(-900))}"}), "unsigned",
    ),
    "no JSON": (lambda scene, body: scene.signed(b"no JSON"), "unreadable"),
    "no object in it": (lambda scene, body: scene.signed(b'{"id": "evt_1", "type": "x", "created": 1, "livemode": false}'), "unreadable"),
    "an age that is no number": (lambda scene, body: scene.signed(body.replace(b'"created": ', b'"created": "x', 1)), "unreadable"),
}  # fmt: skip


def check_turned_away(scene: Scene, forged: str) -> None:
    make, reason = FORGED[forged]
    before = scene.state()
    assert scene.hear(make(scene, scene.body())) == 400
    assert kept(scene.desk.app) == kept(scene.desk.app, demo.OAK) == []
    assert refusals(scene.desk.app) == {reason: 1} and scene.state() == before


@pytest.mark.parametrize("forged", FORGED)
def test_a_bad_signature_or_age_leaves_a_count_and_nothing_else(scene: Scene, forged: str) -> None:
    check_turned_away(scene, forged)


@pytest.mark.parametrize("seconds", [-295, 0, 295])
def test_the_true_event_of_now_is_entered(scene: Scene, seconds: int) -> None:
    """Without this, all that is above would hold for a webhook that believes nobody."""
    assert scene.hear(signed_at(seconds)(scene, scene.body())) == 200
    assert scene.desk.status(scene.payment_id) == "succeeded" and scene.desk.lines() == [("payment", -DUE)]


def test_ten_megabytes_are_refused_unread(scene: Scene) -> None:
    before = scene.state()
    assert scene.hear(scene.signed(b" " * 10_000_000 + scene.body())) == 413
    assert refusals(scene.desk.app) == {"too_large": 1} and scene.state() == before and kept(scene.desk.app) == []


def test_the_outer_door_takes_no_large_body_and_no_other_host(door: Door) -> None:
    def ask(host: str, length: int, body: bytes) -> int:
        head = f"POST /webhooks/stripe HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        with door.connect(host) as secure:  # it lingers, should more of the body come: its first word is enough
            secure.sendall(head.encode() + body)
            return read(secure.recv(65536)).status

    with door.watched() as seen:
        assert ask(BASE, 10_000_000, b"") == 413
        assert ask(f"elm-street.{BASE}", 2, b"{}") in (400, 403, 404)
    assert not any(f"host={BASE} " in each and "/webhooks/" in each for each in seen)
    assert ask(BASE, 2, b"{}") == 400


# Signed, and not ours


NOT_OURS: dict[str, tuple[dict[str, Any], str]] = {
    "the platform's own event": ({"account": None}, "no_account"),
    "an unknown account": ({"account": "acct_1NobodysAccount0"}, "unknown_account"),
    "an account that is no text": ({"account": {"id": "acct_1"}}, "unreadable"),
    "of the other mode": ({"livemode": True}, "other_mode"),
}


def check_not_kept(scene: Scene, which: str) -> None:
    changed, reason = NOT_OURS[which]
    before = scene.state()
    assert scene.hear(scene.told(**changed)) in (200, 400)
    assert refusals(scene.desk.app) == {reason: 1} and scene.state() == before
    assert kept(scene.desk.app) == kept(scene.desk.app, demo.OAK) == []


@pytest.mark.parametrize("which", NOT_OURS)
def test_a_signed_event_that_is_not_for_us_is_answered_and_counted(scene: Scene, which: str) -> None:
    check_not_kept(scene, which)


def test_another_clinics_account_does_not_speak_for_a_payment(scene: Scene) -> None:
    """Put aside where it was said, and told there; the clinic whose payment it is hears nothing."""
    before = scene.state()
    assert scene.hear(scene.told(account=scene.oaks)) == 200
    (event,) = kept(scene.desk.app, demo.OAK)
    assert event.outcome == "put aside: resource_missing" and event.payment_id is None
    assert scene.oak.problems() == ["unreadable"] and set(scene.oak.letters()) == {"payment_problem_found"}
    assert kept(scene.desk.app) == [] == scene.desk.problems() and scene.state() == before


def test_a_type_that_nobody_knows_is_answered_and_ignored(scene: Scene) -> None:
    before, asked = scene.state(), len(scene.desk.fake.requests())
    for type_ in ("payment_intent.succeeded.v2", "Payment_Intent.Succeeded", "", "'; DROP TABLE payments; --"):
        assert scene.hear(scene.told(id=f"evt_{uuid4().hex}", type=type_)) == 200
    assert {each.outcome for each in kept(scene.desk.app)} == {"ignored"}
    assert scene.state() == before and len(scene.desk.fake.requests()) == asked


@pytest.mark.parametrize("named", ["pi_of_nobody", "../v1/accounts", "", "pi_1?expand=x", "cs_1/../../refunds", "e" * 5000, "\u0000"])
def test_a_thing_that_is_not_there_is_put_aside(scene: Scene, named: str) -> None:
    """Also one whose name would lead the question somewhere else."""
    before = scene.state()
    assert scene.hear(scene.told(data={"object": {"id": named}})) in (200, 400)
    assert scene.state() == before
    for request in scene.desk.fake.requests():
        assert request["method"] == "GET" or request["path"] == "/v1/checkout/sessions"


# Signed, of the right account, and not what was begun


def page_of(desk: Desk, named: UUID, minor: int = DUE, currency: str = "usd", **changed: Any) -> str:
    """A page on the clinic's own account that names this payment; paid. Whoever has the clinic's account could make it."""
    item = {"quantity": 1, "price_data": {"currency": currency, "unit_amount": minor, "product_data": {"name": "x"}}}
    asked = {
        "mode": "payment", "success_url": BACK, "line_items": [item], "client_reference_id": str(named),
        "metadata": {"payment": str(named)}, "payment_intent_data": {"metadata": {"payment": str(named)}},
    }  # fmt: skip
    with desk.open_clinic():
        session = str(line.post("/v1/checkout/sessions", asked | changed, of=desk.account_id)["id"])
    desk.fake.pay(session)
    return session


def hear_all(scene: Scene, session: str) -> None:
    """Every event about this page and what was paid there."""
    desk = scene.desk
    (intent,) = [each["payment_intent"] for each in desk.fake.objects("checkout.session", desk.account_id) if each["id"] == session]
    for event in desk.fake.events(desk.account_id):
        about = event["data"]["object"]
        if session == about["id"] or intent in (about["id"], about.get("payment_intent")):
            assert scene.hear(desk.fake.webhook(event["id"])) == 200


def check_not_believed(scene: Scene, named: UUID, minor: int = DUE, currency: str = "usd") -> None:
    before = scene.state()
    hear_all(scene, page_of(scene.desk, named, minor, currency))
    assert scene.state() == before
    assert set(scene.desk.problems()) == {"unknown"}
    assert scene.desk.letters().count("payment_problem_found") == 2 * len(scene.desk.problems())


@pytest.mark.parametrize(("minor", "currency"), [(DUE - 1, "usd"), (DUE + 1, "usd"), (50, "usd"), (DUE, "jpy"), (DUE, "cad")])
def test_another_amount_or_currency_than_was_begun_is_told_and_not_entered(scene: Scene, minor: int, currency: str) -> None:
    check_not_believed(scene, scene.desk.begin(scene.desk.invoice(DUE)), minor, currency)


def test_a_payment_that_has_a_page_is_not_paid_on_another(scene: Scene) -> None:
    check_not_believed(scene, scene.payment_id)


def test_a_mark_that_names_another_clinics_payment_finds_nothing(scene: Scene) -> None:
    oak = scene.oak
    with oak.clinic_transaction():
        patient = inside.patient("Nina Lopez").id
        maria = inside.user("maria@family.example").id
        foreign = Payment(
            patient_id=patient, portal_user_id=maria, way="checkout", status="starting", amount_minor=DUE, currency="usd",
            account_id=scene.oaks, started_at=clock.now(), next_look_at=clock.now() + timedelta(hours=1), looks=0,
        )  # fmt: skip
        db.session.add(foreign)
        db.session.flush()
        named = foreign.id
    check_not_believed(scene, named)
    assert oak.status(named) == "starting" and oak.problems() == []


@pytest.mark.parametrize("named", ["an invoice", "nothing there is"])
def test_a_mark_that_names_no_payment_finds_nothing(scene: Scene, named: str) -> None:
    check_not_believed(scene, scene.desk.invoice(DUE) if named == "an invoice" else uuid4())


def test_what_is_paid_is_our_own_rows_word_whatever_the_page_is_marked_with(scene: Scene) -> None:
    """Opened for one payment, marked with another's id: it pays the one it was opened for."""
    desk = scene.desk
    mine, other = desk.invoice(DUE), desk.invoice(DUE)
    payment, marked = desk.begin(mine), desk.begin(other)
    with desk.family():
        order = payments.order_of(payments.get(payment), BACK, BACK)
    with desk.open_clinic():
        facts = stripe_gateway.open_checkout(replace(order, payment_id=marked))
    with desk.family():
        payments.opened(payment, facts)
    desk.fake.pay(facts.id)
    hear_all(scene, facts.id)
    assert (desk.status(payment), desk.due(mine)) == ("succeeded", 0)
    assert (desk.status(marked), desk.due(other)) == ("starting", DUE)


# Weaknesses


def test_planted_a_signature_that_is_not_compared(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinic.stripe_gateway.signatures.hmac.compare_digest", lambda *_: True)
    with pytest.raises(AssertionError):
        check_turned_away(scene, "one byte changed")


def test_planted_an_age_that_does_not_matter(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "TOLERANCE_SECONDS", 10**6)
    for forged in ("301 seconds old", "a day in the future"):
        with pytest.raises(AssertionError):
            check_turned_away(scene, forged)


def test_planted_an_account_that_is_taken_for_somebodys(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clinics, "find_by_payment_account", lambda _: scene.desk.clinic)
    with pytest.raises(AssertionError):
        check_not_kept(scene, "an unknown account")


def test_planted_a_mark_that_is_believed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both walls down: what names a payment is taken for it, and what differs is entered."""
    monkeypatch.setattr(agreeing, "_fits", lambda *_: True)
    monkeypatch.setattr(agreement, "_differing", lambda *_: None)
    with pytest.raises(AssertionError):
        check_not_believed(scene, scene.desk.begin(scene.desk.invoice(DUE)), 50)
