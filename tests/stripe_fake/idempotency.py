"""Keys of requests: the same key and the same parameters have the same answer for a day."""

from hashlib import sha256
from typing import Any

from tests.stripe_fake.errors import StripeError
from tests.stripe_fake.faults import BEFORE
from tests.stripe_fake.world import World

REMEMBERED_SECONDS = 24 * 3600


def begin(world: World, account: str, key: str, request: str) -> dict[str, Any] | None:
    """The answer given earlier, or None: then the key is in use until `finish` or `forget`."""
    keys, name, now = world.state["keys"], f"{account} {key}", world.now()
    known, mark = keys.get(name), sha256(request.encode()).hexdigest()
    if known is None or now - known["at"] >= REMEMBERED_SECONDS:
        keys[name] = {"at": now, "mark": mark, "answer": None}
        return None
    if known["mark"] != mark:
        raise StripeError(
            400, "idempotency_error",
            f"Keys for idempotent requests can only be used with the same parameters they were first used with. "
            f"Try using a key other than '{key}' if you meant to execute a different request.",
        )  # fmt: skip
    if known["answer"] is None:
        raise BEFORE["409"]
    answer: dict[str, Any] = known["answer"]
    return answer


def finish(world: World, account: str, key: str, status: int, body: str, request_id: str) -> None:
    world.state["keys"][f"{account} {key}"]["answer"] = {"status": status, "body": body, "request": request_id}


def forget(world: World, account: str, key: str) -> None:
    world.state["keys"].pop(f"{account} {key}", None)
