"""An account's money at Stripe: a balance transaction for each movement, with its fee; the amounts Stripe takes."""

import re
from collections import defaultdict

from tests.stripe_fake.calls import Call, listed, plays
from tests.stripe_fake.errors import invalid
from tests.stripe_fake.world import Thing, World, when_due

DAY = 86_400
DISPUTE_FEE = 1500
ZERO_DECIMAL = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
IN_HUNDREDTHS = {"isk", "ugx"}  # no decimals of their own, told in hundredths all the same
THREE_DECIMAL = {"bhd", "jod", "kwd", "omr", "tnd"}
SMALLEST = {
    "aed": 200, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17500, "mxn": 1000, "myr": 200, "nok": 300,
    "pln": 200, "ron": 200, "sek": 300, "thb": 1000,
}  # fmt: skip
LARGEST = 99_999_999


def check_amount(amount: int, currency: str, what: str = "Amount") -> None:
    """Minor units, as Stripe takes them: no less than about half a dollar; three decimals end in 0."""
    least = SMALLEST.get(currency, 500 if currency in THREE_DECIMAL else 50)
    if amount < 1:
        raise invalid("Invalid positive integer", "parameter_invalid_integer", "amount")
    if amount < least:
        raise invalid(f"{what} must be at least {least} {currency} in its smallest unit", "amount_too_small", "amount")
    if amount > LARGEST:
        raise invalid(f"{what} must be no more than {LARGEST} {currency} in its smallest unit", "amount_too_large", "amount")
    if currency in THREE_DECIMAL and amount % 10:
        raise invalid(f"Invalid {what.lower()}: the last digit of an amount in {currency} must be 0", None, "amount")
    if currency in IN_HUNDREDTHS and amount % 100:
        raise invalid(f"Invalid {what.lower()}: the last two digits of an amount in {currency} must be 0", None, "amount")


def _digits(currency: str) -> int:
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def minor_of(typed: str, currency: str) -> int:
    """What a person typed, in minor units: "12.5" usd is 1250."""
    digits = _digits(currency)
    found = re.fullmatch(rf"(\d{{1,9}})(?:\.(\d{{0,{digits}}}))?", typed)
    if not found:
        raise invalid(f"{typed} is not an amount in {currency.upper()}.", None, "amount")
    return int(found[1]) * 10**digits + int((found[2] or "").ljust(digits, "0") or 0)


def shown(amount: int, currency: str) -> str:
    """For a person: 1250 usd is "12.50 USD", 1250 jpy is "1,250 JPY"."""
    digits = _digits(currency)
    whole, part = divmod(amount, 10**digits)
    return f"{whole:,}{f'.{part:0{digits}}' if digits else ''} {currency.upper()}"


def fee_of(amount: int, by_card: bool) -> int:
    return (amount * 29 + 500) // 1000 + 30 if by_card else min((amount * 8 + 500) // 1000, 500)


def book(world: World, account: str, amount: int, currency: str, source: str, kind: str, category: str, fee: int = 0) -> Thing:
    """A movement of money, in the account's favour when positive. Its fee is taken from it."""
    available_on = world.now() + 2 * DAY
    details = [{"amount": fee, "application": None, "currency": currency, "description": "Stripe processing fees", "type": "stripe_fee"}]
    made = world.make(
        "balance_transaction", account, amount=amount, currency=currency, source=source, type=kind, fee=fee,
        net=amount - fee, fee_details=details if fee else [], reporting_category=category, balance_type="payments",
        status="pending", available_on=available_on,
    )  # fmt: skip
    world.at(available_on, "money is available", account, made["id"])
    return made


@when_due("money is available")
def make_available(world: World, account: str, id_: str) -> None:
    world.get("balance_transaction", account, id_)["status"] = "available"


def figures(world: World, account: str) -> dict[str, dict[str, int]]:
    """Per currency, without fees: charged, refunded, disputed (open, taken), lost, and net = charged - refunded - lost."""
    sums: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(("charged", "refunded", "disputed", "lost"), 0))
    for charge in world.things("charge", account).values():
        if charge["status"] == "succeeded":
            sums[charge["currency"]]["charged"] += charge["amount"]
    for refund in world.things("refund", account).values():
        if refund["status"] not in ("failed", "canceled"):
            sums[refund["currency"]]["refunded"] += refund["amount"]
    for dispute in world.things("dispute", account).values():
        if dispute["status"] in ("needs_response", "under_review"):
            sums[dispute["currency"]]["disputed"] += dispute["amount"]
        elif dispute["status"] == "lost":
            sums[dispute["currency"]]["lost"] += dispute["amount"]
    return {
        currency: each | {"net": each["charged"] - each["refunded"] - each["lost"]} for currency, each in sums.items()
    }


@plays("GET", "/v1/balance_transactions")
def list_transactions(call: Call) -> Thing:
    things = call.world.things("balance_transaction", call.account).values()
    return listed(call, things, "source", "currency", "type")


@plays("GET", "/v1/balance_transactions/{id}")
def one_transaction(call: Call) -> Thing:
    return call.world.get("balance_transaction", call.account, call.ids["id"])


@plays("GET", "/v1/balance")
def balance(call: Call) -> Thing:
    sums: dict[str, dict[str, int]] = {"available": defaultdict(int), "pending": defaultdict(int)}
    for each in call.world.things("balance_transaction", call.account).values():
        sums[each["status"]][each["currency"]] += each["net"]
    told = {
        status: [{"amount": amount, "currency": currency, "source_types": {"card": amount}} for currency, amount in of.items()]
        for status, of in sums.items()
    }
    return {"object": "balance", "livemode": False} | told
