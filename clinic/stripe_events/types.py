"""What each type of event asks for: look at the thing it names, as the account it names. Nothing else in it is believed.

What does not stand in the table is none of our concern. Every function may run any number of times and in any order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from clinic import payment_processing

APPLIED = "applied"


@dataclass(frozen=True)
class Told:
    """A kept event: which thing of which account to look at."""

    event_id: str
    type: str
    account_id: str
    object_id: str


@dataclass(frozen=True)
class Outcome:
    word: str
    payment_id: UUID | None = None


def _account(told: Told) -> Outcome:
    payment_processing.read_again(told.account_id)
    return Outcome(APPLIED)


def _left(told: Told) -> Outcome:
    payment_processing.read_again(told.account_id, is_said_to_have_left=True)
    return Outcome(APPLIED)


TYPES: dict[str, Callable[[Told], Outcome]] = {
    "account.updated": _account,
    "account.application.deauthorized": _left,
}
