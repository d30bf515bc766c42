"""Money that goes back: refunds, which may fail late, and disputes, which begin as an inquiry or at once."""

from typing import Any

from tests.stripe_fake import ledger
from tests.stripe_fake.calls import Call, listed, plays
from tests.stripe_fake.errors import invalid
from tests.stripe_fake.world import Thing, World, when_due

OPEN = ("warning_needs_response", "warning_under_review", "needs_response", "under_review")
REFUND_DAYS, EVIDENCE_DAYS = 3, 9


def charge_of(world: World, account: str, intent_id: str) -> Thing:
    """The charge that brought an intent's money."""
    intent = world.get("payment_intent", account, intent_id, "payment_intent")
    if intent["status"] != "succeeded":
        raise invalid(f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.", "payment_intent_unexpected_state", "payment_intent")
    return world.get("charge", account, intent["latest_charge"])


def refund(world: World, account: str, charge: Thing, amount: int | None = None, **values: Any) -> Thing:
    """Of the whole rest when no amount is given. By card it succeeds at once, by bank in days."""
    rest = charge["amount"] - charge["amount_refunded"]
    amount = rest if amount is None else amount
    _refuse_refund(world, account, charge, amount, rest)
    by_card = charge["payment_method_details"]["type"] == "card"
    details: Thing = {"type": "us_bank_transfer", "us_bank_transfer": {"reference": None, "reference_status": None}}
    if by_card:
        details = {"type": "card", "card": {"type": "refund", "reference_status": "pending", "reference_type": "acquirer_reference_number"}}
    made = world.make(
        "refund", account, amount=amount, charge=charge["id"], currency=charge["currency"], payment_intent=charge["payment_intent"],
        destination_details=details, status="succeeded" if by_card else "pending", **values,
    )  # fmt: skip
    booked = ledger.book(world, account, -amount, charge["currency"], made["id"], "refund" if by_card else "payment_refund", "refund")
    made["balance_transaction"] = booked["id"]
    before = {"amount_refunded": charge["amount_refunded"], "refunded": charge["refunded"]}
    charge.update(amount_refunded=charge["amount_refunded"] + amount, refunded=amount == rest)
    world.emit("refund.created", account, made)
    world.emit("charge.refunded", account, charge, **before)
    if not by_card:
        wait = world.state["settle_after"]
        world.at(world.now() + (REFUND_DAYS * ledger.DAY if wait is None else wait), "refund settles", account, made["id"])
    return made


def _refuse_refund(world: World, account: str, charge: Thing, amount: int, rest: int) -> None:
    if charge["status"] != "succeeded":
        raise invalid(f"Charge {charge['id']} is {charge['status']}: it cannot be refunded.")
    if rest == 0:
        raise invalid(f"Charge {charge['id']} has already been refunded.", "charge_already_refunded")
    if any(each["status"] in ("needs_response", "under_review", "lost") for each in _disputes_of(world, account, charge)):
        raise invalid(f"Charge {charge['id']} has been charged back; cannot issue a refund.", "charge_disputed")
    if amount < 1:
        raise invalid("Invalid positive integer", "parameter_invalid_integer", "amount")
    if amount > rest:
        told, left = ledger.shown(amount, charge["currency"]), ledger.shown(rest, charge["currency"])
        raise invalid(f"Refund amount ({told}) is greater than unrefunded amount on charge ({left})", None, "amount")


@when_due("refund settles")
def settle_refund(world: World, account: str, refund_id: str) -> None:
    made = world.get("refund", account, refund_id)
    if made["status"] == "pending":
        made["status"] = "succeeded"
        _tell(world, account, made, "pending")


def fail_refund(world: World, account: str, refund_id: str) -> Thing:
    """The bank sent it back, maybe weeks later: the money is the account's again."""
    made = world.get("refund", account, refund_id)
    before = made["status"]
    if before not in ("succeeded", "pending"):
        raise invalid(f"{refund_id} is {before}: it cannot fail any more.")
    charge = world.get("charge", account, made["charge"])
    booked = ledger.book(world, account, made["amount"], made["currency"], made["id"], "refund_failure", "refund_failure")
    made.update(status="failed", failure_reason="expired_or_canceled_card", failure_balance_transaction=booked["id"])
    charge.update(amount_refunded=charge["amount_refunded"] - made["amount"], refunded=False)
    world.emit("refund.failed", account, made, status=before)
    _tell(world, account, made, before)
    return made


def _tell(world: World, account: str, made: Thing, before: str) -> None:
    for name in ("refund.updated", "charge.refund.updated"):
        world.emit(name, account, made, status=before)


def _disputes_of(world: World, account: str, charge: Thing) -> list[Thing]:
    return [each for each in world.things("dispute", account).values() if each["charge"] == charge["id"]]


def dispute(world: World, account: str, charge: Thing, amount: int | None = None, inquiry: bool = False) -> Thing:
    """The payer's bank asks (an inquiry takes no money), or takes the money back. An open inquiry becomes a dispute."""
    standing = next((each for each in _disputes_of(world, account, charge) if each["status"] in OPEN), None)
    if standing and (inquiry or not standing["status"].startswith("warning")):
        raise invalid(f"{charge['id']} is already disputed: {standing['id']} is {standing['status']}.")
    if standing:
        before = standing["status"]
        standing.update(status="needs_response", is_charge_refundable=False)
        world.emit("charge.dispute.updated", account, standing, status=before)
        _withdraw(world, account, standing)
        return standing
    made = world.make(
        "dispute", account, amount=amount or charge["amount"], charge=charge["id"], payment_intent=charge["payment_intent"],
        currency=charge["currency"], reason="fraudulent", status="warning_needs_response" if inquiry else "needs_response",
        is_charge_refundable=inquiry, balance_transactions=[], enhanced_eligibility_types=[], evidence=_no_evidence(world),
        evidence_details={
            "due_by": world.now() + EVIDENCE_DAYS * ledger.DAY, "enhanced_eligibility": {}, "has_evidence": False,
            "past_due": False, "submission_count": 0,
        },
    )  # fmt: skip
    charge["disputed"] = True
    world.emit("charge.dispute.created", account, made)
    if not inquiry:
        _withdraw(world, account, made)
    return made


def _no_evidence(world: World) -> Thing:
    names = """access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal
        customer_communication customer_email_address customer_name customer_purchase_ip customer_signature
        duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy
        refund_policy_disclosure refund_refusal_explanation service_date service_documentation shipping_address shipping_carrier
        shipping_date shipping_documentation shipping_tracking_number uncategorized_file uncategorized_text"""
    return dict.fromkeys(names.split()) | {"enhanced_evidence": {}}


def _withdraw(world: World, account: str, made: Thing) -> None:
    _move(world, account, made, -made["amount"], "dispute", ledger.DISPUTE_FEE)
    world.emit("charge.dispute.funds_withdrawn", account, made)


def _move(world: World, account: str, made: Thing, amount: int, category: str, fee: int = 0) -> None:
    booked = ledger.book(world, account, amount, made["currency"], made["id"], "adjustment", category, fee)
    made["balance_transactions"] = [*made["balance_transactions"], dict(booked)]


def close_dispute(world: World, account: str, dispute_id: str, how: str) -> Thing:
    """`won` gives the money back, also what was lost; `lost` keeps it away, `warning_closed` ends an inquiry."""
    made = world.get("dispute", account, dispute_id)
    before, inquiry = made["status"], made["status"].startswith("warning")
    after_all = (before, how) == ("lost", "won")  # a payer withdraws it when it was decided: rare, and seen
    if not after_all and (before not in OPEN or how not in (("warning_closed",) if inquiry else ("won", "lost"))):
        raise invalid(f"{dispute_id} is {before}: it cannot become {how}.")
    made["status"] = how
    if how == "won":
        _move(world, account, made, made["amount"], "dispute_reversal")
        world.emit("charge.dispute.funds_reinstated", account, made)
    world.emit("charge.dispute.closed", account, made, status=before)
    return made


@plays("POST", "/v1/refunds")
def create_refund(call: Call) -> Thing:
    asked = call.asked
    call.plays_only("charge", "payment_intent", "amount", "reason", "metadata")
    if ("charge" in asked) == ("payment_intent" in asked):
        raise invalid("One of the following params should be provided for this request: payment_intent or charge.", "parameter_missing")
    if "charge" in asked:
        charge = call.world.get("charge", call.account, asked["charge"], "charge")
    else:
        charge = charge_of(call.world, call.account, asked["payment_intent"])
    values = {"metadata": asked.get("metadata") or {}, "reason": asked.get("reason")}
    return refund(call.world, call.account, charge, asked.get("amount"), **values)


@plays("GET", "/v1/refunds")
def list_refunds(call: Call) -> Thing:
    return listed(call, call.world.things("refund", call.account).values(), "charge", "payment_intent")


@plays("GET", "/v1/refunds/{refund}")
def one_refund(call: Call) -> Thing:
    return call.world.get("refund", call.account, call.ids["refund"])


@plays("GET", "/v1/disputes")
def list_disputes(call: Call) -> Thing:
    return listed(call, call.world.things("dispute", call.account).values(), "charge", "payment_intent")


@plays("GET", "/v1/disputes/{dispute}")
def one_dispute(call: Call) -> Thing:
    return call.world.get("dispute", call.account, call.ids["dispute"])
