"""What a person meets at the stand-in's pages, and that nothing is forgotten between two starts.

Lost if they fail: in the demo a payment ends on a page that leads nowhere, or is gone the next morning.
"""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.stripe.cast import a_session, caller, paid
from tests.stripe_fake import accounts, methods
from tests.stripe_fake.calls import Call
from tests.stripe_fake.checkout import create_session
from tests.stripe_fake.fixture import running
from tests.stripe_fake.server import create_app
from tests.stripe_fake.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def person(world: World) -> FlaskClient:
    return create_app(world).test_client()


@pytest.fixture
def elm(world: World) -> str:
    account = accounts.make_account(world, business_profile={"name": "Elm Street <Therapy>"})["id"]
    accounts.onboard(world, account)
    return str(account)


def session_of(world: World, account: str, **more: Any) -> dict[str, Any]:
    item = {"quantity": 2, "price_data": {"currency": "usd", "unit_amount": 1250, "product_data": {"name": "Invoice 12"}}}
    asked = {"line_items": [item], "success_url": "http://c.example/back?s={CHECKOUT_SESSION_ID}", "cancel_url": "http://c.example/no"}
    return create_session(Call(world, account, "/v1/checkout/sessions", {}, asked | more))


def test_a_person_sees_what_they_pay_and_is_sent_back(world: World, person: FlaskClient, elm: str) -> None:
    session = session_of(world, elm)
    path = f"/c/pay/{session['id']}"
    page = person.get(path).text
    for words in ("Elm Street &lt;Therapy&gt;", "Invoice 12 × 2", "Pay 25.00 USD", "stands in for Stripe", "http://c.example/no"):
        assert words in page
    assert "Save my card" not in page
    done = person.post(path, data={"with": "4242424242424242"})
    assert (done.status_code, done.location) == (303, f"http://c.example/back?s={session['id']}")
    assert session["payment_status"] == "paid"
    again = person.post(path, data={"with": "4242424242424242"})
    assert (again.status_code, "all done here" in again.text) == (200, True)
    assert len(world.things("charge", elm)) == 1


def test_a_decline_stays_on_the_page_and_the_bank_asks_on_another(world: World, person: FlaskClient, elm: str) -> None:
    path = f"/c/pay/{session_of(world, elm)['id']}"
    declined = person.post(path, data={"with": "4000000000000002"})
    assert (declined.status_code, "Your card was declined. Choose another way" in declined.text) == (402, True)
    assert person.get(f"{path}/bank").location == path
    assert person.post(path, data={"with": "4000002500003155"}).location == f"{path}/bank"
    assert "is this you?" in person.get(f"{path}/bank").text
    assert person.post(f"{path}/bank", data={"answer": "fail"}).status_code == 402
    person.post(path, data={"number": "4000 0025 0000 3155"})
    assert person.post(f"{path}/bank", data={"answer": "complete"}).location.startswith("http://c.example/back")


def test_saved_cards_are_offered_to_who_saved_them(world: World, person: FlaskClient, elm: str) -> None:
    customer = methods.make_customer(world, elm)["id"]
    asks = {"customer": customer, "saved_payment_method_options": {"payment_method_save": "enabled"}}
    path = f"/c/pay/{session_of(world, elm, **asks)['id']}"
    assert "Save my card" in person.get(path).text
    person.post(path, data={"with": "4242424242424242", "save": "yes"})
    (card,) = world.things("payment_method", elm)
    assert card in person.get(f"/c/pay/{session_of(world, elm, **asks)['id']}").text
    stranger = f"/c/pay/{session_of(world, elm)['id']}"
    assert card not in person.get(stranger).text
    assert person.post(stranger, data={"with": card}).status_code == 402


def test_a_bank_debit_from_the_page(world: World, person: FlaskClient, elm: str) -> None:
    session = session_of(world, elm)
    person.post(f"/c/pay/{session['id']}", data={"with": "bank_debit"})
    assert (session["status"], session["payment_status"]) == ("complete", "unpaid")
    in_yen = session_of(world, elm, line_items=[{"price_data": {"currency": "jpy", "unit_amount": 500, "product_data": {"name": "x"}}}])
    assert "Bank account" not in person.get(f"/c/pay/{in_yen['id']}").text


def test_pages_that_take_nothing_say_so(world: World, person: FlaskClient, elm: str) -> None:
    session = session_of(world, elm)
    accounts.restrict(world, elm)
    closed = person.get(f"/c/pay/{session['id']}")
    assert (closed.status_code, "cannot take payments now" in closed.text) == (410, True)
    world.state["shift"] += 25 * 3600
    assert "This page has expired" in person.get(f"/c/pay/{session['id']}").text
    assert person.get("/c/pay/cs_test_nothing").status_code == 404


def test_an_onboarding_link_works_once_and_for_minutes(world: World, person: FlaskClient) -> None:
    account = accounts.make_account(world)["id"]
    asked = {"account": account, "type": "account_onboarding", "refresh_url": "http://c.example/again", "return_url": "http://c.example/back"}

    def link() -> str:
        return str(accounts.create_link(Call(world, "platform", "/v1/account_links", {}, asked))["url"])

    used = link()
    assert "Complete everything" in person.get(used).text
    assert person.get(used).location == "http://c.example/again"
    assert person.post(used, data={"told": "nothing"}).location == "http://c.example/back"
    assert person.post(used, data={"told": "everything"}).location == "http://c.example/again"
    assert not accounts.one(world, account)["details_submitted"]
    late = link()
    world.state["shift"] += 301
    assert person.get(late).location == "http://c.example/again"
    for told, charges in (("nearly", False), ("everything", True)):
        fresh = link()
        person.get(fresh)
        person.post(fresh, data={"told": told})
        assert accounts.one(world, account)["charges_enabled"] is charges
    assert person.get(f"/setup/s/{account}/no-such-token").status_code == 404


def test_the_dashboard_does_what_banks_and_clinics_do(world: World, person: FlaskClient, elm: str) -> None:
    path, sessions = f"/dashboard/{elm}", [session_of(world, elm) for _ in range(2)]
    assert "No payment yet" in person.get(path).text
    assert elm in person.get("/").text
    for session, how in zip(sessions, ("4242424242424242", "bank_debit"), strict=True):
        person.post(f"/c/pay/{session['id']}", data={"with": how})
    by_card, by_bank = (session["payment_intent"] for session in sessions)

    def press(button: str, id_: str = "", **more: str) -> None:
        assert person.post(path, data={"do": button, "id": id_, **more}).status_code == 303
        assert person.get(path).status_code == 200

    def only(kind: str) -> dict[str, Any]:
        return list(world.things(kind, elm).values())[-1]

    press("settle", by_bank)
    press("refund", by_card, amount="12.5")
    assert only("refund")["amount"] == 1250
    press("fail-refund", only("refund")["id"])
    for wrong, words in (("99", "greater than"), ("a lot", "not an amount"), ("1.234", "not an amount")):
        refused = person.post(path, data={"do": "refund", "id": by_card, "amount": wrong})
        assert (refused.status_code, words in refused.text) == (422, True)
    press("inquire", by_card)
    press("close", only("dispute")["id"])
    press("dispute", by_bank)
    press("lose", only("dispute")["id"])
    press("restrict")
    press("onboard")
    press("deauthorise")
    assert "Access taken away" in person.get(path).text
    assert person.post(path, data={}).status_code == 400


def test_a_second_start_finds_the_same_stripe(tmp_path: Path) -> None:
    state = ("--state", str(tmp_path / "stripe.json"), "--settle-after", "0")
    with running(*state) as fake:
        elm = {"stripe_account": fake.account()}
        intent = paid(fake, caller(fake), elm)
        unpaid = a_session(caller(fake), elm).id
        key = elm | {"idempotency_key": "kept"}
        customer = caller(fake).v1.customers.create({}, key).id
        events = [event["id"] for event in fake.events()]
    assert (tmp_path / "stripe.json").stat().st_mode & 0o077 == 0
    with running(*state) as fake:
        api = caller(fake)
        assert api.v1.payment_intents.retrieve(intent, None, elm).status == "succeeded"
        assert [event["id"] for event in fake.events()] == events
        assert api.v1.customers.create({}, key).id == customer
        debit = fake.pay(unpaid, "bank_debit")["payment_intent"]
        assert api.v1.payment_intents.retrieve(debit, None, elm).status == "succeeded"
        assert fake.violations() == []
