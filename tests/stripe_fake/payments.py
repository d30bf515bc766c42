"""Payment intents and their charges: attempted, refused, settled days later, called off."""

from typing import Any

from tests.stripe_fake import ledger, methods
from tests.stripe_fake.accounts import one
from tests.stripe_fake.calls import Call, listed, plays
from tests.stripe_fake.errors import StripeError, invalid
from tests.stripe_fake.world import PLATFORM, Thing, World, new_id, when_due

APPROVED = {
    "advice_code": None, "network_advice_code": None, "network_decline_code": None, "network_status": "approved_by_network",
    "reason": None, "risk_level": "normal", "risk_score": 20, "seller_message": "Payment complete.", "type": "authorized",
}  # fmt: skip
MAY_BE_CANCELLED = ("requires_payment_method", "requires_action", "requires_confirmation")


def must_take_payments(world: World, account: str) -> None:
    if account != PLATFORM and not one(world, account)["charges_enabled"]:
        raise invalid("Your account cannot currently make charges.")


def make_intent(world: World, account: str, amount: int, currency: str, types: list[str], **values: Any) -> Thing:
    id_ = new_id("payment_intent")
    made = world.make(
        "payment_intent", account, id=id_, amount=amount, currency=currency, amount_capturable=0, amount_received=0,
        amount_details={"tip": {}}, capture_method="automatic_async", client_secret=f"{id_}_secret_{new_id('customer')[4:]}",
        confirmation_method="automatic", payment_method_types=types, status="requires_payment_method", **values,
    )  # fmt: skip
    world.emit("payment_intent.created", account, made)
    return made


def _make_charge(world: World, account: str, intent: Thing, method: Thing, **values: Any) -> Thing:
    made = world.make(
        "charge", account, amount=intent["amount"], amount_refunded=0, currency=intent["currency"], disputed=False, refunded=False,
        payment_intent=intent["id"], payment_method=method["id"], payment_method_details=methods.details_of(method),
        billing_details=method["billing_details"], metadata=dict(intent["metadata"]), customer=intent["customer"],
        description=intent["description"], receipt_email=intent["receipt_email"], fraud_details={}, **values,
    )  # fmt: skip
    intent.update(latest_charge=made["id"], payment_method=method["id"], next_action=None)
    return made


def succeed(world: World, account: str, intent: Thing, method: Thing) -> None:
    """The money is the account's. As with Stripe, the first events tell nothing of the fee yet."""
    charge = _make_charge(
        world, account, intent, method, amount_captured=intent["amount"], captured=True, paid=True, status="succeeded", outcome=APPROVED
    )
    _has_succeeded(world, account, intent, charge)


def _has_succeeded(world: World, account: str, intent: Thing, charge: Thing) -> None:
    world.emit("charge.succeeded", account, charge)
    intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None, next_action=None, processing=None)
    world.emit("payment_intent.succeeded", account, intent)
    by_card = charge["payment_method_details"]["type"] == "card"
    fee = ledger.fee_of(charge["amount"], by_card)
    kind = "charge" if by_card else "payment"
    booked = ledger.book(world, account, charge["amount"], charge["currency"], charge["id"], kind, "charge", fee)
    charge["balance_transaction"] = booked["id"]
    world.emit("charge.updated", account, charge, balance_transaction=None)


def fail(world: World, account: str, intent: Thing, method: Thing, decline: str) -> StripeError:
    """The attempt was refused; another may follow. Answers the error for whoever asked."""
    outcome = APPROVED | {
        "network_status": "declined_by_network", "reason": decline, "seller_message": methods.DECLINES[decline], "type": "issuer_declined",
    }  # fmt: skip
    charge = _make_charge(
        world, account, intent, method, amount_captured=0, captured=False, paid=False, status="failed", outcome=outcome,
        failure_code="card_declined", failure_message=methods.DECLINES[decline],
    )  # fmt: skip
    return _has_failed(world, account, intent, charge, method, decline)


def _has_failed(world: World, account: str, intent: Thing, charge: Thing, method: Thing, decline: str) -> StripeError:
    world.emit("charge.failed", account, charge)
    error = methods.declined(decline, charge=charge["id"], payment_method=dict(method))
    intent.update(
        status="requires_payment_method", last_payment_error=dict(error.answer["error"]), payment_method=None, next_action=None, processing=None
    )
    world.emit("payment_intent.payment_failed", account, intent)
    error.answer["error"]["payment_intent"] = dict(intent)
    return error


def start_debit(world: World, account: str, intent: Thing, method: Thing) -> None:
    """The bank was asked; whether it pays is known in days (see `settle`)."""
    charge = _make_charge(
        world, account, intent, method, amount_captured=intent["amount"], captured=True, paid=False, status="pending", outcome=APPROVED
    )
    world.emit("charge.pending", account, charge)
    intent["status"] = "processing"
    world.emit("payment_intent.processing", account, intent)
    if world.state["settle_after"] is not None:
        world.at(world.now() + world.state["settle_after"], "debit settles", account, intent["id"])


@when_due("debit settles")
def _settles(world: World, account: str, intent_id: str) -> None:
    if world.get("payment_intent", account, intent_id)["status"] == "processing":
        settle(world, account, intent_id, ok=True)


def settle(world: World, account: str, intent_id: str, ok: bool) -> None:
    """The bank paid, or did not."""
    intent = world.get("payment_intent", account, intent_id)
    if intent["status"] != "processing":
        raise invalid(f"{intent_id} is {intent['status']}: only what is processing can be settled.")
    charge = world.get("charge", account, intent["latest_charge"])
    if ok:
        charge.update(status="succeeded", paid=True)
        _has_succeeded(world, account, intent, charge)
    else:
        method = world.get("payment_method", account, charge["payment_method"])
        refusal = {"failure_code": "debit_not_authorized", "failure_message": methods.DECLINES["debit_not_authorized"]}
        charge.update(status="failed", captured=False, amount_captured=0, **refusal)
        _has_failed(world, account, intent, charge, method, "debit_not_authorized")
    if session_id := world.hidden(intent_id).get("session"):
        session = world.get("checkout.session", account, session_id)
        session["payment_status"] = "paid" if ok else "unpaid"
        world.emit(f"checkout.session.async_payment_{'succeeded' if ok else 'failed'}", account, session)


def cancel(world: World, account: str, intent: Thing, reason: str | None) -> None:
    intent.update(status="canceled", canceled_at=world.now(), cancellation_reason=reason, next_action=None)
    world.emit("payment_intent.canceled", account, intent)


@plays("POST", "/v1/payment_intents")
def create_intent(call: Call) -> Thing:
    world, account, asked = call.world, call.account, call.asked
    call.plays_only(
        "amount", "currency", "customer", "payment_method", "payment_method_types", "automatic_payment_methods", "confirm", "off_session",
        "error_on_requires_action", "description", "metadata", "receipt_email", "setup_future_usage", "statement_descriptor_suffix",
    )  # fmt: skip
    must_take_payments(world, account)
    currency = asked["currency"].lower()
    ledger.check_amount(asked["amount"], currency)
    if (customer := asked.get("customer")) is not None:
        world.get("customer", account, customer, "customer")
    method = methods.usable(world, account, asked["payment_method"], customer) if "payment_method" in asked else None
    if asked.get("confirm") and method is None:
        raise invalid("You cannot confirm this PaymentIntent because it's missing a payment method.", "payment_intent_unexpected_state")
    known = ("customer", "description", "metadata", "receipt_email", "setup_future_usage", "statement_descriptor_suffix")
    types = asked.get("payment_method_types") or ["card"]
    if method and method["type"] not in types and "payment_method_types" not in asked:
        types = [*types, method["type"]]
    intent = make_intent(world, account, asked["amount"], currency, types, **{name: asked[name] for name in known if name in asked})
    if method and asked.get("confirm"):
        _confirm(world, account, intent, method)
    elif method:
        intent.update(payment_method=method["id"], status="requires_confirmation")
    return intent


def _confirm(world: World, account: str, intent: Thing, method: Thing) -> None:
    later = world.hidden(method["id"])["later"]
    if later != "succeeds":
        raise fail(world, account, intent, method, later)
    if method["type"] == "card":
        succeed(world, account, intent, method)
    else:
        start_debit(world, account, intent, method)


@plays("GET", "/v1/payment_intents")
def list_intents(call: Call) -> Thing:
    return listed(call, call.world.things("payment_intent", call.account).values(), "customer")


@plays("GET", "/v1/payment_intents/{intent}")
def one_intent(call: Call) -> Thing:
    return call.world.get("payment_intent", call.account, call.ids["intent"])


@plays("POST", "/v1/payment_intents/{intent}/cancel")
def cancel_intent(call: Call) -> Thing:
    intent = one_intent(call)
    session = call.world.hidden(intent["id"]).get("session")
    if session and call.world.get("checkout.session", call.account, session)["status"] == "open":
        raise invalid("You cannot cancel this PaymentIntent: it belongs to an open Checkout Session. Expire the session instead.")
    if intent["status"] not in MAY_BE_CANCELLED:
        raise invalid(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.", "payment_intent_unexpected_state"
        )
    cancel(call.world, call.account, intent, call.get("cancellation_reason"))
    return intent


@plays("GET", "/v1/charges")
def list_charges(call: Call) -> Thing:
    return listed(call, call.world.things("charge", call.account).values(), "customer", "payment_intent")


@plays("GET", "/v1/charges/{charge}")
def one_charge(call: Call) -> Thing:
    return call.world.get("charge", call.account, call.ids["charge"])


@plays("GET", "/v1/setup_intents/{intent}")
def one_setup_intent(call: Call) -> Thing:
    return call.world.get("setup_intent", call.account, call.ids["intent"])


@plays("GET", "/v1/events")
def list_events(call: Call) -> Thing:
    kinds = call.get("types") or ([call.asked["type"]] if "type" in call.asked else None)
    things = call.world.things("event", call.account).values()
    return listed(call, [each for each in things if kinds is None or each["type"] in kinds], chosen_by=("type", "types"))


@plays("GET", "/v1/events/{id}")
def one_event(call: Call) -> Thing:
    return call.world.get("event", call.account, call.ids["id"])
