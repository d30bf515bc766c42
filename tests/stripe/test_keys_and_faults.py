"""Keys that make a request safe to repeat, and everything that may go wrong on the wire.

Lost if they fail: a lost answer, a crash or a repeated click is proven harmless against a Stripe that forgives too much.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from tests.stripe.cast import Clinic, a_session, caller, paid
from tests.stripe_fake.client import StripeFake

REFUND = "POST /v1/refunds"


@pytest.fixture
def refund(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> Callable[..., Any]:
    """Asks for a refund of 10.00 of a payment of 50.00, always with the same key."""
    intent = paid(stripe_fake, api, elm)

    def ask(amount: int = 1000, key: str = "attempt-1", by: stripe.StripeClient = api, **more: str) -> Any:
        return by.v1.refunds.create({"payment_intent": intent, "amount": amount, **more}, elm | {"idempotency_key": key})

    return ask


def refunded(fake: StripeFake, clinic: Clinic) -> int:
    return fake.figures(clinic["stripe_account"])["usd"]["refunded"]


def test_the_same_key_is_the_same_answer_for_a_day(stripe_fake: StripeFake, refund: Callable[..., Any], elm: Clinic) -> None:
    first, second = refund(), refund()
    assert first.id == second.id
    assert second.last_response.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.last_response.headers
    with pytest.raises(stripe.IdempotencyError):
        refund(999)
    assert refunded(stripe_fake, elm) == 1000
    stripe_fake.advance(24 * 3600 + 1)
    assert refund().id != first.id
    assert refunded(stripe_fake, elm) == 2000


def test_a_key_belongs_to_one_account(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    oak = {"stripe_account": stripe_fake.account()}
    made = [api.v1.customers.create({}, clinic | {"idempotency_key": "same"}).id for clinic in (elm, oak)]
    assert made[0] != made[1]


def test_a_refusal_of_what_was_tried_is_remembered_one_of_how_it_was_asked_is_not(refund: Callable[..., Any]) -> None:
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="greater than"):
            refund(6000, "too much")
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: colour"):
        refund(1000, "coloured", colour="red")
    assert refund(1000, "coloured").status == "succeeded"


def test_a_failure_after_acting_is_remembered_one_before_is_not(stripe_fake: StripeFake, refund: Callable[..., Any], elm: Clinic) -> None:
    stripe_fake.fault(REFUND, "500")
    with pytest.raises(stripe.APIError):
        refund()
    assert refund().status == "succeeded"
    stripe_fake.fault(REFUND, "500_after")
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            refund(500, "attempt-2")
    assert refunded(stripe_fake, elm) == 1500


def test_a_lost_answer_is_found_again_under_its_key(stripe_fake: StripeFake, refund: Callable[..., Any], elm: Clinic) -> None:
    stripe_fake.fault(REFUND, "lost")
    with pytest.raises(stripe.APIConnectionError):
        refund()
    assert refunded(stripe_fake, elm) == 1000
    assert refund().last_response.headers["Idempotent-Replayed"] == "true"
    assert refunded(stripe_fake, elm) == 1000


def test_while_one_request_hangs_another_with_its_key_is_refused(stripe_fake: StripeFake, refund: Callable[..., Any], elm: Clinic) -> None:
    stripe_fake.fault(REFUND, "hang", seconds=30)
    done: list[Any] = []
    hanging = threading.Thread(target=lambda: done.append(refund()))
    hanging.start()
    while len(stripe_fake.requests("/v1/refunds")) == 0:
        time.sleep(0.01)
    time.sleep(0.05)
    with pytest.raises(stripe.APIError) as refused:
        refund()
    assert (refused.value.http_status, refused.value.error.code) == (409, "idempotency_key_in_use")
    assert refunded(stripe_fake, elm) == 0
    stripe_fake.clear_faults()
    hanging.join(10)
    assert (done[0].status, refunded(stripe_fake, elm)) == ("succeeded", 1000)


def test_eight_at_once_with_one_key_are_one(stripe_fake: StripeFake, refund: Callable[..., Any], elm: Clinic) -> None:
    def ask(_: int) -> str:
        try:
            return str(refund(by=caller(stripe_fake)).id)
        except stripe.APIError as in_use:
            return str(in_use.error.code)

    with ThreadPoolExecutor(8) as tabs:
        answers = set(tabs.map(ask, range(8)))
    assert refunded(stripe_fake, elm) == 1000
    assert len(answers - {"idempotency_key_in_use"}) == 1


def test_eight_at_once_without_one_never_give_back_more_than_was_paid(
    stripe_fake: StripeFake, refund: Callable[..., Any], elm: Clinic
) -> None:
    def ask(tab: int) -> str:
        try:
            return str(refund(key=f"tab-{tab}", by=caller(stripe_fake)).status)
        except stripe.InvalidRequestError:
            return "refused"

    with ThreadPoolExecutor(8) as tabs:
        answers = sorted(tabs.map(ask, range(8)))
    assert answers == ["refused"] * 3 + ["succeeded"] * 5
    assert refunded(stripe_fake, elm) == 5000


def test_who_gave_up_waiting_was_served_all_the_same(stripe_fake: StripeFake, refund: Callable[..., Any], elm: Clinic) -> None:
    stripe_fake.fault(REFUND, "slow", seconds=30)
    with pytest.raises(stripe.APIConnectionError):
        refund(by=caller(stripe_fake, http_client=stripe.RequestsClient(timeout=0.3)))
    assert refunded(stripe_fake, elm) == 1000


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("refused", stripe.APIConnectionError), ("409", stripe.APIError), ("429", stripe.RateLimitError),
        ("truncated", (stripe.APIError, stripe.APIConnectionError)),
    ],
)  # fmt: skip
def test_each_fault_is_met_as_often_as_asked(
    kind: str, error: Any, stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic
) -> None:
    stripe_fake.fault("/v1/checkout/sessions", kind, times=2)
    for _ in range(2):
        with pytest.raises(error):
            a_session(api, elm)
    assert a_session(api, elm).status == "open"


def test_a_status_nobody_knows_arrives(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    stripe_fake.fault("/v1/checkout/sessions/*", "odd_status", value="half_open")
    session = a_session(api, elm)
    assert api.v1.checkout.sessions.retrieve(session.id, None, elm).status == "half_open"
    assert api.v1.checkout.sessions.retrieve(session.id, None, elm).status == "open"


def test_down_until_told_otherwise(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    stripe_fake.down()
    for _ in range(3):
        with pytest.raises(stripe.APIConnectionError):
            api.v1.balance.retrieve(None, elm)
    stripe_fake.clear_faults()
    assert api.v1.balance.retrieve(None, elm).livemode is False


def test_lists_come_in_pages_the_newest_first(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    made = [api.v1.customers.create({"metadata": {"n": str(n)}}, elm).id for n in range(3)]
    intents = [api.v1.payment_intents.create({"amount": 500, "currency": "usd", "customer": each}, elm).id for each in made]
    page = api.v1.payment_intents.list({"limit": 2}, elm)
    assert ([each.id for each in page.data], page.has_more) == (intents[:0:-1], True)
    rest = api.v1.payment_intents.list({"limit": 2, "starting_after": page.data[-1].id}, elm)
    assert ([each.id for each in rest.data], rest.has_more) == (intents[:1], False)
    assert [each.id for each in page.auto_paging_iter()] == intents[::-1]
    back = api.v1.payment_intents.list({"limit": 1, "ending_before": intents[0]}, elm)
    assert ([each.id for each in back.data], back.has_more) == ([intents[1]], True)
    assert [each.id for each in api.v1.payment_intents.list({"customer": made[1]}, elm).data] == [intents[1]]
    stripe_fake.advance(100)
    late = api.v1.payment_intents.create({"amount": 500, "currency": "usd"}, elm).id
    since: Any = {"created": {"gte": stripe_fake.now() - 50}}
    assert [each.id for each in api.v1.payment_intents.list(since, elm).data] == [late]
    for wrong in ({"limit": 101}, {"starting_after": "pi_never_was"}):
        with pytest.raises(stripe.InvalidRequestError):
            api.v1.payment_intents.list(wrong, elm)


def test_what_was_asked_is_remembered_as_it_was_sent(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    a_session(api, elm, metadata={"attempt": "attempt-1"})
    (asked,) = stripe_fake.requests("/v1/checkout")
    assert (asked["method"], asked["path"], asked["account"]) == ("POST", "/v1/checkout/sessions", elm["stripe_account"])
    assert asked["params"]["line_items"]["0"]["price_data"]["unit_amount"] == "5000"
    assert "metadata[attempt]=attempt-1" in asked["body"]
