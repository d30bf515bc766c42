"""Checkout sessions: made by the platform for a page of Stripe's, open until paid, expired or given up."""

from typing import Any

from tests.stripe_fake import ledger, payments
from tests.stripe_fake.calls import Call, listed, plays
from tests.stripe_fake.errors import StripeError, invalid
from tests.stripe_fake.methods import DEBITS
from tests.stripe_fake.world import Thing, World, new_id, when_due

SHORTEST, LONGEST = 30 * 60, 24 * 3600
INTENT_DATA = ("description", "metadata", "receipt_email", "setup_future_usage", "statement_descriptor", "statement_descriptor_suffix")
NO_TEXT = dict.fromkeys(("after_submit", "shipping_address", "submit", "terms_of_service_acceptance"))


@plays("POST", "/v1/checkout/sessions")
def create_session(call: Call) -> Thing:
    world, account, asked = call.world, call.account, call.asked
    payments.must_take_payments(world, account)
    mode, now = asked.get("mode", "payment"), world.now()
    call.plays_only(
        "mode", "ui_mode", "success_url", "cancel_url", "line_items", "currency", "customer", "customer_creation", "customer_email",
        "client_reference_id", "metadata", "payment_intent_data", "setup_intent_data", "payment_method_types",
        "saved_payment_method_options", "expires_at", "locale", "submit_type",
    )  # fmt: skip
    call.plays_only(*INTENT_DATA, within="payment_intent_data")
    call.plays_only("description", "metadata", within="setup_intent_data")
    if mode == "subscription" or asked.get("ui_mode", "hosted_page") != "hosted_page":
        raise StripeError(501, "api_error", "This stand-in for Stripe plays hosted pages for payments and setups only.")
    _check_request(world, account, mode, asked)
    items = [_item(world, each) for each in asked.get("line_items", [])]
    currency = items[0]["currency"] if items else asked.get("currency", "usd").lower()
    amount = sum(each["amount_total"] for each in items) if mode == "payment" else None
    if amount is not None:
        ledger.check_amount(amount, currency, "The Checkout Session's total amount due")
    types = asked.get("payment_method_types") or ["card", *([DEBITS[currency]] if currency in DEBITS else [])]
    id_ = new_id("checkout.session")
    session = world.make(
        "checkout.session", account, id=id_, mode=mode, status="open", currency=currency, amount_subtotal=amount, amount_total=amount,
        payment_method_types=types, payment_status="unpaid" if mode == "payment" else "no_payment_required",
        expires_at=asked.get("expires_at", now + LONGEST), url=f"{world.state['url']}/c/pay/{id_}", ui_mode="hosted_page",
        customer_creation=_customer_creation(mode, asked), automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None},
        adaptive_pricing={"enabled": False}, custom_fields=[], custom_text=NO_TEXT, shipping_options=[], discounts=[],
        payment_method_options={}, payment_method_collection="if_required" if mode == "payment" else "always",
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0} if mode == "payment" else None,
        phone_number_collection={"enabled": False}, saved_payment_method_options=_saving(mode, asked),
        **{name: asked[name] for name in ("cancel_url", "success_url", "client_reference_id", "customer", "customer_email", "locale", "submit_type", "metadata") if name in asked},
    )  # fmt: skip
    if mode == "setup":
        session["setup_intent"] = _make_setup_intent(world, account, session, asked)["id"]
    world.hidden(id_).update(items=items, intent_data=asked.get("payment_intent_data", {}), save=_saves(mode, asked))
    world.at(session["expires_at"], "session expires", account, id_)
    return session


def _check_request(world: World, account: str, mode: str, asked: dict[str, Any]) -> None:
    if "success_url" not in asked:
        raise invalid("Missing required param: success_url.", "parameter_missing", "success_url")
    if mode == "payment" and not asked.get("line_items"):
        raise invalid("Missing required param: line_items.", "parameter_missing", "line_items")
    for name in ("line_items", "payment_intent_data") if mode == "setup" else ("setup_intent_data",):
        if name in asked:
            raise invalid(f"You can not pass `{name}` in `{mode}` mode.", None, name)
    if mode == "setup" and not asked.get("payment_method_types") and "currency" not in asked:
        raise invalid("Missing required param: currency.", "parameter_missing", "currency")
    if "customer" in asked:
        world.get("customer", account, asked["customer"], "customer")
        for name in ("customer_email", "customer_creation"):
            if name in asked:
                raise invalid(f"You may only specify one of these parameters: customer, {name}.")
    wait = asked.get("expires_at", world.now() + LONGEST) - world.now()
    if not SHORTEST - 60 <= wait <= LONGEST + 60:
        raise invalid("The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.", None, "expires_at")


def _customer_creation(mode: str, asked: dict[str, Any]) -> str | None:
    if "customer" in asked:
        return None
    return str(asked.get("customer_creation", "if_required" if mode == "payment" else "always"))


def _saving(mode: str, asked: dict[str, Any]) -> Thing | None:
    """Only of sessions for a known customer, or that save: what the page may offer."""
    if mode == "setup" or not ("customer" in asked or asked.get("customer_creation") == "always"):
        return None
    options = asked.get("saved_payment_method_options", {})
    shown = options.get("allow_redisplay_filters", ["always"])
    return {"allow_redisplay_filters": shown, "payment_method_remove": None, "payment_method_save": options.get("payment_method_save")}


def _saves(mode: str, asked: dict[str, Any]) -> str | None:
    """`always`, told on the page; `ask`, by a checkbox there; or never."""
    if mode == "setup" or asked.get("payment_intent_data", {}).get("setup_future_usage"):
        return "always"
    return "ask" if asked.get("saved_payment_method_options", {}).get("payment_method_save") == "enabled" else None


def _item(world: World, line: Thing) -> Thing:
    if "price_data" not in line:
        raise invalid(f"No such price: '{line.get('price')}'", "resource_missing", "line_items[0][price]")
    data, quantity = line["price_data"], line.get("quantity", 1)
    unit, currency, product = data.get("unit_amount"), data["currency"].lower(), data.get("product_data", {})
    if unit is None or unit < 0 or "name" not in product:
        raise invalid("line_items[0][price_data] needs a unit_amount and a product_data[name].", "parameter_missing", "line_items[0][price_data]")
    price = {
        "id": new_id("price"), "object": "price", "active": False, "billing_scheme": "per_unit", "created": world.now(), "currency": currency,
        "custom_unit_amount": None, "livemode": False, "lookup_key": None, "metadata": {}, "nickname": None, "product": new_id("product"),
        "recurring": None, "tax_behavior": "unspecified", "tiers_mode": None, "transform_quantity": None, "type": "one_time",
        "unit_amount": unit, "unit_amount_decimal": str(unit),
    }  # fmt: skip
    return {
        "id": new_id("item"), "object": "item", "amount_discount": 0, "amount_subtotal": unit * quantity, "amount_tax": 0,
        "amount_total": unit * quantity, "currency": currency, "description": product["name"], "price": price, "quantity": quantity,
    }  # fmt: skip


def _make_setup_intent(world: World, account: str, session: Thing, asked: dict[str, Any]) -> Thing:
    data = asked.get("setup_intent_data", {})
    made = world.make(
        "setup_intent", account, customer=session["customer"], payment_method_types=session["payment_method_types"],
        status="requires_payment_method", usage="off_session", metadata=data.get("metadata", {}), description=data.get("description"),
    )  # fmt: skip
    world.emit("setup_intent.created", account, made)
    return made


def expire(world: World, account: str, session: Thing) -> None:
    session.update(status="expired", url=None)
    if session["payment_intent"]:
        intent = world.get("payment_intent", account, session["payment_intent"])
        if intent["status"] in payments.MAY_BE_CANCELLED:
            payments.cancel(world, account, intent, "expired")
    world.emit("checkout.session.expired", account, session)


@when_due("session expires")
def _expires(world: World, account: str, session_id: str) -> None:
    session = world.get("checkout.session", account, session_id)
    if session["status"] == "open":
        expire(world, account, session)


@plays("POST", "/v1/checkout/sessions/{session}/expire")
def expire_session(call: Call) -> Thing:
    session = one_session(call)
    if session["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of {session["status"]}.'
        )
    expire(call.world, call.account, session)
    return session


@plays("GET", "/v1/checkout/sessions/{session}")
def one_session(call: Call) -> Thing:
    return call.world.get("checkout.session", call.account, call.ids["session"])


@plays("GET", "/v1/checkout/sessions/{session}/line_items")
def line_items(call: Call) -> Thing:
    one_session(call)
    return listed(call, reversed(call.world.hidden(call.ids["session"])["items"]))


@plays("GET", "/v1/checkout/sessions")
def list_sessions(call: Call) -> Thing:
    return listed(call, call.world.things("checkout.session", call.account).values(), "customer", "payment_intent", "status")
