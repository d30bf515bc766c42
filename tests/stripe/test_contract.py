"""The stand-in is held to Stripe's published contract, in what it takes and in what it says.

Lost if they fail: our code sends what Stripe refuses, or reads what Stripe never says, and every test is green.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from flask.testing import FlaskClient

from tests.stripe.cast import Clinic, a_session, caller, paid
from tests.stripe_fake import accounts, contract, paying
from tests.stripe_fake.client import StripeFake
from tests.stripe_fake.errors import StripeError
from tests.stripe_fake.server import KEY, create_app
from tests.stripe_fake.world import World

FORM = {
    "mode": "payment", "success_url": "http://x/", "line_items[0][quantity]": "1", "line_items[0][price_data][currency]": "usd",
    "line_items[0][price_data][unit_amount]": "5000", "line_items[0][price_data][product_data][name]": "Elm Street",
}  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def ask(world: World) -> Callable[..., Any]:
    """Asks about an account of its own, inside this process, where a mistake can be planted."""
    account = accounts.make_account(world)["id"]
    accounts.onboard(world, account)
    by: FlaskClient = create_app(world).test_client()
    headers = {"Authorization": f"Bearer {KEY}", "Stripe-Account": account}
    return lambda method, path, form=None: by.open(path, method=method, data=form, headers=headers)


def test_the_contract_the_library_and_every_request_are_of_one_version(
    stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic
) -> None:
    a_session(api, elm)
    assert stripe.api_version == contract.VERSION
    assert {each["version"] for each in stripe_fake.requests()} == {contract.VERSION}
    with pytest.raises(stripe.InvalidRequestError, match="speaks"):
        caller(stripe_fake, stripe_version="2024-06-20").v1.balance.retrieve(None, elm)


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"line_items[0][price_data][patient]": "Leo"}, "parameter_unknown", "line_items[0][price_data][patient]"),
        ({"line_items[0][price_data][currency]": None}, "parameter_missing", "line_items[0][price_data][currency]"),
        ({"line_items[0][price_data][unit_amount]": "50.00"}, None, "line_items[0][price_data][unit_amount]"),
        ({"mode": "gift"}, None, "mode"),
        ({"success_url": None}, "parameter_missing", "success_url"),
    ],
)
def test_a_request_the_contract_does_not_know_is_refused(
    change: dict[str, str | None], code: str | None, param: str, ask: Callable[..., Any]
) -> None:
    form = {name: value for name, value in (FORM | change).items() if value is not None}
    refused = ask("POST", "/v1/checkout/sessions", form)
    assert refused.status_code == 400
    assert (refused.json["error"].get("code"), refused.json["error"]["param"]) == (code, param)
    assert ask("POST", "/v1/checkout/sessions", FORM).status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/payouts", 501), ("DELETE", "/v1/customers/cus_1", 501), ("GET", "/v1/patients", 404)])
def test_what_is_not_played_says_so(method: str, path: str, status: int, ask: Callable[..., Any]) -> None:
    assert ask(method, path).status_code == status


@pytest.mark.parametrize(
    ("path", "form", "param"),
    [
        ("/v1/checkout/sessions", FORM | {"allow_promotion_codes": "true"}, "allow_promotion_codes"),
        ("/v1/checkout/sessions", FORM | {"payment_intent_data[capture_method]": "manual"}, "payment_intent_data[capture_method]"),
        ("/v1/payment_intents", {"amount": "500", "currency": "usd", "application_fee_amount": "5"}, "application_fee_amount"),
        ("/v1/charges?transfer_group=x", None, "transfer_group"),
    ],
)
def test_a_parameter_that_would_be_ignored_is_not_taken(path: str, form: dict[str, str] | None, param: str, ask: Callable[..., Any]) -> None:
    answer = ask("POST" if form else "GET", path, form)
    assert (answer.status_code, param in answer.json["error"]["message"]) == (501, True)


@pytest.mark.parametrize(
    "wrong", [{"status": "half_open"}, {"amount_total": "50.00"}, {"invented": 1}, {"expires_at": None}, {"automatic_tax": {}}]
)
def test_planted_a_wrong_answer_is_caught(wrong: dict[str, Any], world: World, ask: Callable[..., Any]) -> None:
    made = ask("POST", "/v1/checkout/sessions", FORM).json["id"]
    path = f"/v1/checkout/sessions/{made}"
    assert ask("GET", path).status_code == 200
    world.get("checkout.session", world.owner("checkout.session", made), made).update(wrong)
    for each in (path, "/v1/checkout/sessions"):
        caught = ask("GET", each)
        assert (caught.status_code, "THE STAND-IN FOR STRIPE IS WRONG" in caught.json["error"]["message"]) == (500, True)
    assert len(world.state["violations"]) == 2


def test_planted_a_wrong_thing_in_a_webhook_is_caught(world: World, ask: Callable[..., Any]) -> None:
    made = ask("POST", "/v1/checkout/sessions", FORM).json["id"]
    world.get("checkout.session", world.owner("checkout.session", made), made)["currency"] = 7
    with pytest.raises(contract.ContractBroken), world.acting():
        paying.by_card(world, made, "4242424242424242")
    assert world.state["violations"]


def test_planted_a_mistake_in_the_code_is_seen(world: World, ask: Callable[..., Any]) -> None:
    made = ask("POST", "/v1/checkout/sessions", FORM).json["id"]
    del world.get("checkout.session", world.owner("checkout.session", made), made)["status"]
    assert ask("POST", f"/v1/checkout/sessions/{made}/expire").status_code == 500
    assert "KeyError" in world.state["violations"][0]


def test_only_what_stripe_expands_is_expanded(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    intent = paid(stripe_fake, api, elm)
    listed = api.v1.payment_intents.list({"expand": ["data.latest_charge.balance_transaction"]}, elm)
    assert listed.data[0].latest_charge.balance_transaction.amount == 5000
    charge = api.v1.charges.retrieve(listed.data[0].latest_charge.id, {"expand": ["refunds"]}, elm)
    assert charge.refunds.data == []
    for wrong in ("metadata", "latest_charge.patient", "data.latest_charge"):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            api.v1.payment_intents.retrieve(intent, {"expand": [wrong]}, elm)


def test_forms_become_trees() -> None:
    text = "a=1&b[c]=2&d[0][e]=3&d[1][e]=4&expand[]=x&expand[]=y&empty="
    tree = {"a": "1", "b": {"c": "2"}, "d": {"0": {"e": "3"}, "1": {"e": "4"}}, "expand": {"0": "x", "1": "y"}, "empty": ""}
    assert contract.decoded(text) == tree
    with pytest.raises(StripeError):
        contract.decoded("a=1&a[b]=2")


def test_the_contract_is_small_and_whole() -> None:
    text = json.dumps(contract.CONTRACT)
    assert len(text) < 300_000
    assert '"description": "' not in text
    for name in contract.SCHEMAS:
        contract.checker(json.dumps({"$ref": f"#/components/schemas/{name}"})).is_valid({})
