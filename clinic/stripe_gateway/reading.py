"""From Stripe's objects, plain trees, to facts. What it sends about people is left where it is."""

from calendar import monthrange
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from clinic.money import Money
from clinic.stripe_gateway.facts import (
    AccountFacts,
    ChargeFacts,
    CheckoutFacts,
    DisputeFacts,
    IntentFacts,
    RefundFacts,
)
from clinic.stripe_gateway.line import Answer

# Counted in hundredths at Stripe although there are none: its documentation on zero-decimal currencies.
IN_HUNDREDTHS = frozenset(["ugx"])
BRANDS = {"amex": "American Express", "diners": "Diners Club", "jcb": "JCB", "unionpay": "UnionPay", "eftpos_au": "eftpos"}
PAYMENT, REFUND = "payment", "refund"  # the one word that metadata holds, and the id under it


def to_minor(amount: Money) -> int:
    return amount.minor * 100 if amount.currency in IN_HUNDREDTHS else amount.minor


def money(minor: int, currency: str) -> Money:
    return Money(minor // 100 if currency in IN_HUNDREDTHS else minor, currency)


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def account(thing: Answer) -> AccountFacts:
    asked = thing.get("requirements") or {}
    due = dict.fromkeys([*(asked.get("past_due") or ()), *(asked.get("currently_due") or ())])
    return AccountFacts(
        account_id=thing["id"],
        charges_enabled=thing["charges_enabled"] is True,
        payouts_enabled=thing["payouts_enabled"] is True,
        details_submitted=thing["details_submitted"] is True,
        due=tuple(due),
        disabled_reason=asked.get("disabled_reason"),
    )


def checkout(thing: Answer) -> CheckoutFacts:
    return CheckoutFacts(
        id=thing["id"],
        url=thing["url"],
        status=thing["status"],
        payment_status=thing["payment_status"],
        payment_intent_id=id_of(thing["payment_intent"]),
        payment_id=_uuid(thing["client_reference_id"]),
        amount=money(thing["amount_total"] or 0, thing["currency"]),
        customer_id=id_of(thing["customer"]),
        livemode=thing["livemode"],
    )


def intent(thing: Answer) -> IntentFacts:
    latest, fault = thing["latest_charge"], thing["last_payment_error"] or {}
    return IntentFacts(
        id=thing["id"],
        status=thing["status"],
        amount=money(thing["amount"], thing["currency"]),
        charge=charge(latest) if isinstance(latest, dict) else None,
        fault=fault.get("decline_code") or fault.get("code"),
        payment_id=_uuid((thing["metadata"] or {}).get(PAYMENT)),
        created_at=instant(thing["created"]),
        livemode=thing["livemode"],
    )


def charge(thing: Answer) -> ChargeFacts:
    details = thing["payment_method_details"] or {}
    kind = str(details.get("type", "unknown"))
    how = details.get(kind) or {}
    return ChargeFacts(
        id=thing["id"],
        amount=money(thing["amount"], thing["currency"]),
        refunded=money(thing["amount_refunded"], thing["currency"]),
        status=thing["status"],
        method=kind,
        label=_label(kind, how),
        expires_on=_last_day(how) if kind == "card" else None,
        payment_method_id=id_of(thing["payment_method"]),
        customer_id=id_of(thing["customer"]),
    )


def refund(thing: Answer) -> RefundFacts:
    return RefundFacts(
        id=thing["id"],
        status=thing["status"] or "pending",
        amount=money(thing["amount"], thing["currency"]),
        our_id=_uuid((thing["metadata"] or {}).get(REFUND)),
        fault=thing.get("failure_reason"),
        created_at=instant(thing["created"]),
        intent_id=id_of(thing["payment_intent"]),
        charge_id=id_of(thing["charge"]),
    )


def dispute(thing: Answer) -> DisputeFacts:
    due_by = (thing["evidence_details"] or {}).get("due_by")
    return DisputeFacts(
        id=thing["id"],
        status=thing["status"],
        amount=money(thing["amount"], thing["currency"]),
        reason=thing["reason"],
        evidence_due_at=instant(due_by) if due_by else None,
        created_at=instant(thing["created"]),
        intent_id=id_of(thing["payment_intent"]),
        charge_id=id_of(thing["charge"]) or "",
        livemode=thing["livemode"],
    )


def _label(kind: str, how: Answer) -> str | None:
    last4 = how.get("last4")
    if not last4:
        return None
    brand = str(how.get("brand") or how.get("bank_name") or kind.replace("_", " "))
    return f"{BRANDS.get(brand) or brand.title()} {last4}"


def _last_day(card: Answer) -> date | None:
    year, month = card.get("exp_year"), card.get("exp_month")
    return date(year, month, monthrange(year, month)[1]) if year and month else None


def id_of(value: Any) -> str | None:
    """Of a thing that may be told whole."""
    found: str | None = value["id"] if isinstance(value, dict) else value
    return found


def _uuid(text: Any) -> UUID | None:
    """One of ours, or None: somebody else's word may stand there."""
    try:
        return UUID(text) if text else None
    except (ValueError, TypeError, AttributeError):
        return None
