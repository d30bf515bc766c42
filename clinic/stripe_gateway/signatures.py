"""Whether a call of the webhook is Stripe's: its signature, of now and not of another time.

Written out here because Stripe's library lets pass what was signed for a time that has not come.
"""

import hmac
import json
import re
from hashlib import sha256

from clinic.stripe_gateway import reading
from clinic.stripe_gateway.facts import BadSignature, EventFacts
from tenancy import clock

TOLERANCE_SECONDS = 300  # before and after
LONGEST_HEADER = 2000
_PART = re.compile(r"(\w+)=([0-9a-f]+)")


def verified(body: bytes, header: str, secret: str) -> EventFacts:
    """The event in the body of a webhook. Raises BadSignature."""
    parts = [_PART.fullmatch(part.strip()) for part in header[:LONGEST_HEADER].split(",")]
    known = [(part[1], part[2]) for part in parts if part]
    times, signatures = [value for name, value in known if name == "t"], [value for name, value in known if name == "v1"]
    if len(times) != 1 or not times[0].isdecimal() or not signatures:
        raise BadSignature("unsigned")
    right = hmac.new(secret.encode(), times[0].encode() + b"." + body, sha256).hexdigest()
    if not any(hmac.compare_digest(right, each) for each in signatures):
        raise BadSignature("wrong_signature")
    age = clock.now().timestamp() - int(times[0])
    if abs(age) > TOLERANCE_SECONDS:
        raise BadSignature("too_old" if age > 0 else "from_the_future")
    return _event(body)


def _event(body: bytes) -> EventFacts:
    try:
        told = json.loads(body)
        about = told["data"]["object"]
        return EventFacts(
            id=_word(told["id"]),
            type=_word(told["type"]),
            account_id=_word(told["account"]) if told.get("account") is not None else None,
            object_id=_word(about.get("id") or ""),
            created_at=reading.instant(told["created"]),
            livemode=told["livemode"] is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSignature("unreadable") from error


def _word(said: object) -> str:
    """A text that the database can keep. Raises ValueError."""
    if not isinstance(said, str) or "\0" in said:
        raise ValueError("no word")
    return said
