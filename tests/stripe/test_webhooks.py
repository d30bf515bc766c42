"""Events reach the platform signed, again and again until taken, and as badly as they are told to.

Lost if they fail: late, doubled, lost and forged events are proven harmless against a post that never misbehaves.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe

from tests.stripe.cast import CARD_EVENTS, Clinic, a_session, paid
from tests.stripe_fake.client import StripeFake

SECRET = "whsec_of_the_platform"


class Platform:
    """Takes deliveries, and answers as it is told; 200 when `answers` is empty."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, str]] = []
        self.answers: list[int] = []
        platform = self

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                platform.taken.append((body, self.headers["Stripe-Signature"]))
                self.send_response(platform.answers.pop(0) if platform.answers else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quietly."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        self.url = f"http://hooks.localhost:{self.server.server_port}/stripe/events"

    def events(self) -> list[str]:
        return [stripe.Webhook.construct_event(body, signature, SECRET).type for body, signature in self.taken]


@pytest.fixture
def platform(stripe_fake: StripeFake, elm: Clinic) -> Iterator[Platform]:
    standing = Platform()
    serving = threading.Thread(target=standing.server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    stripe_fake.webhooks_to(standing.url, SECRET)
    yield standing
    stripe_fake.webhooks_to(None)
    standing.server.shutdown()
    standing.server.server_close()
    serving.join()


def test_each_event_arrives_once_and_signed(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic, platform: Platform) -> None:
    paid(stripe_fake, api, elm)
    assert stripe_fake.quiet()
    assert sorted(platform.events()) == sorted(CARD_EVENTS)
    event = stripe.Webhook.construct_event(*platform.taken[0], SECRET)
    assert (event.account, event.livemode, event.api_version) == (elm["stripe_account"], False, stripe.api_version)
    assert api.v1.events.retrieve(event.id, None, elm).data.object.id == event.data.object.id
    assert {each["status"] for each in stripe_fake.sent()} == {200}


def test_what_is_not_taken_comes_again(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic, platform: Platform) -> None:
    platform.answers = [500, 400]
    stripe_fake.restrict(elm["stripe_account"])
    assert stripe_fake.quiet()
    assert platform.events() == ["account.updated"] * 3


def test_held_then_released_in_another_order(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic, platform: Platform) -> None:
    stripe_fake.hold_webhooks()
    before = len(stripe_fake.events())
    paid(stripe_fake, api, elm)
    ids = [event["id"] for event in stripe_fake.events()[before:]]
    assert (platform.taken, stripe_fake.quiet(0.1)) == ([], False)
    assert stripe_fake.deliver(ids[0], times=2) == [200, 200]
    assert stripe_fake.release_webhooks(order=ids[::-1]) == [200] * len(ids)
    assert stripe_fake.quiet()
    assert platform.events() == [CARD_EVENTS[0]] * 2 + CARD_EVENTS[::-1]


def test_dropped_for_good_and_doubled(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic, platform: Platform) -> None:
    stripe_fake.drop_webhooks(types=["payment_intent.succeeded"])
    stripe_fake.webhook_faults(duplicate=2)
    paid(stripe_fake, api, elm)
    assert stripe_fake.quiet()
    assert sorted(platform.events()) == sorted(each for each in CARD_EVENTS * 3 if each != "payment_intent.succeeded")
    platform.taken.clear()
    stripe_fake.webhook_faults()
    stripe_fake.drop_webhooks(nth=2)
    for _ in range(3):
        stripe_fake.restrict(elm["stripe_account"])
    assert stripe_fake.quiet()
    assert len(platform.taken) == 2
    stripe_fake.drop_webhooks()
    stripe_fake.restrict(elm["stripe_account"])
    assert stripe_fake.quiet()
    stripe_fake.keep_webhooks()
    stripe_fake.onboard(elm["stripe_account"])
    assert stripe_fake.quiet()
    assert len(platform.taken) == 3


def test_delayed_by_its_own_clock(stripe_fake: StripeFake, elm: Clinic, platform: Platform) -> None:
    stripe_fake.webhook_faults(delay=3600)
    stripe_fake.restrict(elm["stripe_account"])
    assert (stripe_fake.quiet(0.1), platform.taken) == (False, [])
    stripe_fake.advance(3601)
    assert stripe_fake.quiet()
    assert platform.events() == ["account.updated"]


@pytest.mark.parametrize("fault", [{"wrong_secret": "whsec_of_somebody_else"}, {"scheme": "v0"}, {"shift": -301}])
def test_forged_ones_are_seen_through(fault: dict[str, Any], stripe_fake: StripeFake, elm: Clinic, platform: Platform) -> None:
    stripe_fake.webhook_faults(**fault)
    stripe_fake.restrict(elm["stripe_account"])
    assert stripe_fake.quiet()
    with pytest.raises(stripe.SignatureVerificationError):
        platform.events()


def test_a_test_without_a_server_hands_the_event_over_itself(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    paid(stripe_fake, api, elm)
    event = stripe_fake.events(elm["stripe_account"], "checkout.session.completed")[0]
    body, headers = stripe_fake.webhook(event["id"])
    assert stripe.Webhook.construct_event(body, headers["Stripe-Signature"], stripe_fake.secret).id == event["id"]
    forged = stripe_fake.sign(body, t=1_000_000_000)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, forged, stripe_fake.secret)


def test_the_platform_may_ask_back_while_it_is_told(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic, platform: Platform) -> None:
    """A delivery asked for by a test must not hold the lock that the platform's question waits for."""
    stripe_fake.hold_webhooks()
    session = a_session(api, elm)
    stripe_fake.pay(session.id)
    asked: list[Any] = []
    listening = platform.server.RequestHandlerClass
    take = listening.do_POST

    def take_and_ask(self: Any) -> None:
        asked.append(api.v1.checkout.sessions.retrieve(session.id, None, elm).status)
        take(self)

    listening.do_POST = take_and_ask
    assert stripe_fake.deliver(stripe_fake.events()[-1]["id"]) == [200]
    assert asked == ["complete"]
