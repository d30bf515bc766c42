"""What goes wrong between a caller and this Stripe, when it is told to.

    down, refused   the connection is closed before anything happens (`down`: whatever the path, until cleared)
    hang            `seconds` pass before it acts; the caller may be long gone
    slow            it acts, and `seconds` pass before it answers
    lost            it acts, and the connection is closed instead of an answer
    500             it fails before acting; nothing is remembered
    500_after       it acts, fails, and remembers the failure under the key
    409             another request with this key is under way
    429             too many requests
    truncated       it acts, and half of the answer arrives
    odd_status      it acts, and the answer's `field` (status) is a `value` nobody knows
"""

from fnmatch import fnmatchcase
from typing import Any

from tests.stripe_fake.errors import StripeError
from tests.stripe_fake.world import World

KINDS = ("down", "refused", "hang", "slow", "lost", "500", "500_after", "409", "429", "truncated", "odd_status")
BROKEN = StripeError(500, "api_error", "Something went wrong on our side.")
BEFORE = {
    "500": BROKEN,
    "409": StripeError(
        409, "invalid_request_error", "There is currently another in-progress request using this Idempotent Key.", code="idempotency_key_in_use"
    ),
    "429": StripeError(429, "invalid_request_error", "Request rate limit exceeded.", code="rate_limit"),
}


def add(world: World, path: str, kind: str, times: int | None = 1, **details: Any) -> None:
    """For requests whose path, or whose "METHOD path", matches the pattern. `times` None: until cleared."""
    if kind not in KINDS:
        raise ValueError(f"{kind} is none of {', '.join(KINDS)}")
    world.state["faults"].append({"path": path, "kind": kind, "times": times, "details": details})


def met(world: World, method: str, path: str) -> dict[str, Any]:
    """The fault that this request meets, counted down; one of kind "" when it meets none."""
    for fault in world.state["faults"]:
        pattern = fault["path"]
        if fnmatchcase(f"{method} {path}" if " " in pattern else path, pattern):
            if fault["times"] is not None:
                fault["times"] -= 1
                if not fault["times"]:
                    world.state["faults"].remove(fault)
            return dict(fault)
    return {"kind": "", "details": {}}
