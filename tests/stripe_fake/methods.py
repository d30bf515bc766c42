"""Customers, and what they pay with. Test cards behave as Stripe's own of the same number."""

from typing import Any

from tests.stripe_fake.calls import Call, listed, plays
from tests.stripe_fake.errors import StripeError, invalid
from tests.stripe_fake.world import Thing, World, new_id

# Number: what happens when it is used on the page, and when it is used later by whom it was saved for.
# A refusal is told by Stripe's decline code; "3ds" asks the person first.
CARDS = {
    "4242424242424242": ("succeeds", "succeeds"),
    "5555555555554444": ("succeeds", "succeeds"),
    "4000000000000002": ("generic_decline", "generic_decline"),
    "4000000000009995": ("insufficient_funds", "insufficient_funds"),
    "4000000000000341": ("succeeds", "generic_decline"),
    "4000002500003155": ("3ds", "succeeds"),
    "4000002760003184": ("3ds", "authentication_required"),
}
DEBITS = {"usd": "us_bank_account", "eur": "sepa_debit"}
NOBODY = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
DECLINES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "authentication_failed": "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
    "debit_not_authorized": "The customer has notified their bank that this payment was unauthorized.",
}


def make_customer(world: World, account: str, **values: Any) -> Thing:
    made = world.make("customer", account, balance=0, invoice_prefix=new_id("product")[-8:].upper(), tax_exempt="none", **values)
    world.emit("customer.created", account, made)
    return made


def make_card(world: World, account: str, number: str = "4242424242424242") -> Thing:
    brand = {"4": "visa", "5": "mastercard"}[number[0]]
    card = {
        "brand": brand, "country": "US", "display_brand": brand, "exp_month": 12, "exp_year": 2034, "fingerprint": number[-4:] * 4,
        "funding": "credit", "last4": number[-4:], "regulated_status": "unregulated", "generated_from": None, "wallet": None,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "networks": {"available": [brand], "preferred": None}, "three_d_secure_usage": {"supported": True},
    }  # fmt: skip
    made = world.make("payment_method", account, type="card", card=card, billing_details=NOBODY, allow_redisplay="unspecified")
    world.hidden(made["id"])["later"] = CARDS[number][1]
    return made


def make_debit(world: World, account: str, currency: str) -> Thing:
    if currency not in DEBITS:
        raise invalid(f"There is no bank debit in {currency} here.")
    details: dict[str, Any] = {"fingerprint": "Yg0LhvnHqGQ0qS7x", "last4": "6789"}
    if DEBITS[currency] == "us_bank_account":
        details |= {
            "account_holder_type": "individual", "account_type": "checking", "bank_name": "STRIPE TEST BANK",
            "financial_connections_account": None, "networks": {"preferred": "ach", "supported": ["ach"]},
            "routing_number": "110000000", "status_details": {},
        }  # fmt: skip
    else:
        details |= {"bank_code": "37040044", "branch_code": "", "country": "DE", "generated_from": {"charge": None, "setup_attempt": None}}
    values = {"type": DEBITS[currency], DEBITS[currency]: details}
    made = world.make("payment_method", account, billing_details=NOBODY, allow_redisplay="unspecified", **values)
    world.hidden(made["id"])["later"] = "succeeds"
    return made


def details_of(method: Thing) -> Thing:
    """As a charge tells what it was paid with."""
    kind, of = method["type"], method[method["type"]]
    if kind == "card":
        same = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "regulated_status", "wallet")
        checks = {"checks": of["checks"], "network": of["brand"], "three_d_secure": None, "installments": None, "mandate": None}
        return {"type": kind, kind: {name: of[name] for name in same} | checks}
    same = ("fingerprint", "last4", "bank_code", "branch_code", "country", "account_holder_type", "account_type", "bank_name", "routing_number")
    return {"type": kind, kind: {name: of[name] for name in same if name in of}}


def attach(world: World, account: str, method: Thing, customer: str, redisplay: str = "limited") -> None:
    method.update(customer=customer, allow_redisplay=redisplay)
    world.emit("payment_method.attached", account, method)


def usable(world: World, account: str, id_: str, customer: str | None) -> Thing:
    """The saved means of payment of that customer."""
    method = world.get("payment_method", account, id_, "payment_method")
    if method["customer"] is None or method["customer"] != customer:
        raise invalid(
            f"The PaymentMethod {id_} does not belong to the Customer you supplied, or was detached: it may not be used.",
            "payment_method_unexpected_state" if method["customer"] is None else None, "payment_method",
        )  # fmt: skip
    return method


def declined(decline: str, **details: Any) -> StripeError:
    code = {"authentication_required": "authentication_required", "authentication_failed": "payment_intent_authentication_failure"}
    return StripeError(402, "card_error", DECLINES[decline], code=code.get(decline, "card_declined"), decline_code=decline, **details)


@plays("POST", "/v1/customers")
def create_customer(call: Call) -> Thing:
    known = ("name", "email", "phone", "description", "metadata", "preferred_locales")
    call.plays_only(*known)
    return make_customer(call.world, call.account, **{name: call.asked[name] for name in known if name in call.asked})


@plays("GET", "/v1/customers/{customer}")
def one_customer(call: Call) -> Thing:
    return call.world.get("customer", call.account, call.ids["customer"])


@plays("GET", "/v1/customers/{customer}/payment_methods")
def list_of_customer(call: Call) -> Thing:
    one_customer(call)
    return _of(call, call.ids["customer"])


@plays("GET", "/v1/payment_methods")
def list_methods(call: Call) -> Thing:
    return _of(call, call.get("customer"))


def _of(call: Call, customer: str | None) -> Thing:
    things = call.world.things("payment_method", call.account).values()
    return listed(call, [each for each in things if customer and each["customer"] == customer], "type", "allow_redisplay", chosen_by=("customer",))


@plays("GET", "/v1/payment_methods/{payment_method}")
def one_method(call: Call) -> Thing:
    return call.world.get("payment_method", call.account, call.ids["payment_method"])


@plays("POST", "/v1/payment_methods/{payment_method}/detach")
def detach(call: Call) -> Thing:
    method, customer = one_method(call), one_method(call)["customer"]
    if customer is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.", "payment_method_not_attached")
    method["customer"] = None
    call.world.emit("payment_method.detached", call.account, method, customer=customer)
    return method
