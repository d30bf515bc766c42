"""One call of Stripe's API, and the operations that answer them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.stripe_fake.errors import StripeError, invalid
from tests.stripe_fake.world import Thing, World

SMALLEST_PAGE, USUAL_PAGE, LARGEST_PAGE = 1, 10, 100


@dataclass(frozen=True)
class Call:
    world: World
    account: str  # whose things the caller sees: a connected account's, or the platform's
    path: str
    ids: dict[str, str]  # from the path
    asked: dict[str, Any]  # the parameters, with their types

    def get(self, name: str, default: Any = None) -> Any:
        return self.asked.get(name, default)

    def plays_only(self, *names: str, within: str = "") -> None:
        """Refuses a parameter of the contract's that would be ignored here: ignored, it would seem to work."""
        asked = self.asked.get(within, {}) if within else self.asked
        for name in asked:
            if name not in (*names, "expand"):
                shown = f"{within}[{name}]" if within else name
                raise StripeError(501, "api_error", f"This stand-in for Stripe does not play the parameter {shown} of {self.path}.")


Play = Callable[[Call], Thing]
PLAYS: dict[tuple[str, str], Play] = {}


def plays(method: str, path: str) -> Callable[[Play], Play]:
    """The function that answers this operation of the contract."""

    def remember(play: Play) -> Play:
        PLAYS[method, path] = play
        return play

    return remember


def listed(call: Call, things: Iterable[Thing], *equal: str, chosen_by: tuple[str, ...] = ()) -> Thing:
    """A page of things, the newest first, of those whose properties named in `equal` are as asked.

    `things` come as they were made, the eldest first; `chosen_by` names the parameters that chose them already.
    """
    call.plays_only("limit", "starting_after", "ending_before", "created", *equal, *chosen_by)
    chosen = [
        each
        for each in reversed(list(things))
        if all(name not in call.asked or each.get(name) == call.asked[name] for name in equal) and _in_time(call, each)
    ]
    limit = call.get("limit", USUAL_PAGE)
    if not SMALLEST_PAGE <= limit <= LARGEST_PAGE:
        raise invalid(f"Invalid limit: must be between {SMALLEST_PAGE} and {LARGEST_PAGE}", "parameter_invalid_integer", "limit")
    if after := call.get("starting_after"):
        page = chosen[_place(chosen, after, "starting_after") + 1 :]
    elif before := call.get("ending_before"):
        page = chosen[: _place(chosen, before, "ending_before")]
        return {"object": "list", "url": call.path, "has_more": len(page) > limit, "data": page[-limit:]}
    else:
        page = chosen
    return {"object": "list", "url": call.path, "has_more": len(page) > limit, "data": page[:limit]}


def _place(things: list[Thing], id_: str, param: str) -> int:
    for place, each in enumerate(things):
        if each["id"] == id_:
            return place
    raise invalid(f"No such object: '{id_}'", "resource_missing", param)


def _in_time(call: Call, thing: Thing) -> bool:
    created, at = call.get("created"), thing.get("created", 0)
    if created is None:
        return True
    if isinstance(created, int):
        return bool(at == created)
    tests = {"gt": at.__gt__, "gte": at.__ge__, "lt": at.__lt__, "lte": at.__le__}
    return all(tests[name](value) for name, value in created.items())
