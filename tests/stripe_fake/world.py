"""What this Stripe remembers: things per account, events, requests, keys; its clock; and one lock around every change.

All of it is one tree of plain values, so that it can be kept in a file and found again after a restart.
"""

import copy
import json
import os
import secrets
import string
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenancy import clock
from tests.stripe_fake import contract
from tests.stripe_fake.contract import ContractBroken
from tests.stripe_fake.errors import missing

PLATFORM = "platform"
Thing = dict[str, Any]
# How Stripe's ids begin, and how many signs follow.
SHAPES = {
    "account": ("acct_1", 15), "balance_transaction": ("txn_3", 23), "charge": ("ch_3", 23), "customer": ("cus_", 14),
    "checkout.session": ("cs_test_a1", 56), "dispute": ("du_1", 23), "event": ("evt_1", 23), "item": ("li_1", 23),
    "payment_intent": ("pi_3", 23), "payment_method": ("pm_1", 23), "price": ("price_1", 23), "product": ("prod_", 14),
    "refund": ("re_3", 23), "request": ("req_", 14), "setup_intent": ("seti_1", 23),
}  # fmt: skip
_WHEN_DUE: dict[str, Callable[["World", str, str], None]] = {}


def new_id(kind: str) -> str:
    start, length = SHAPES[kind]
    return start + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def when_due(what: str) -> Callable[[Callable[["World", str, str], None]], Callable[["World", str, str], None]]:
    """The function to call with (world, account, id) when the clock reaches a time set by `World.at`."""

    def remember(does: Callable[["World", str, str], None]) -> Callable[["World", str, str], None]:
        _WHEN_DUE[what] = does
        return does

    return remember


def _empty() -> dict[str, Any]:
    return {
        "shift": 0, "url": "", "settle_after": None, "accounts": {PLATFORM: {"things": {}, "gone": False}}, "hidden": {},
        "events": [], "requests": [], "violations": [], "keys": {}, "due": [], "links": {}, "faults": [],
        "post": {
            "url": None, "secret": "whsec_for_tests", "held": False, "waiting": [], "sent": [], "taken": 0, "drop": None,
            "duplicate": 0, "delay": 0, "wrong_secret": None, "scheme": "v1", "shift": 0,
        },
    }  # fmt: skip


class World:
    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.lock = threading.RLock()
        self.stirred = threading.Condition(self.lock)  # something waits to be delivered, or was forgotten
        self.generation = 0  # reset() begins another: who hangs from an earlier one does nothing any more
        self.patience = 0  # another number: whoever hangs is let go
        self.asking: dict[str, Any] | None = None
        self.state = json.loads(file.read_text()) if file and file.exists() else _empty()
        keys = self.state["keys"]
        self.state["keys"] = {name: each for name, each in keys.items() if each["answer"]}  # none is under way at a start

    def reset(self) -> None:
        with self.stirred:
            self.generation, self.patience = self.generation + 1, self.patience + 1
            self.state = _empty() | {name: self.state[name] for name in ("url", "settle_after")}
            self.stirred.notify_all()

    def instant(self) -> float:
        """Seconds since 1970 by this Stripe's clock."""
        return clock.now().timestamp() + float(self.state["shift"])

    def now(self) -> int:
        return int(self.instant())

    @contextmanager
    def acting(self, asking: dict[str, Any] | None = None) -> Iterator[None]:
        """Around each thing that is done: alone, with what fell due done first, and kept afterwards."""
        with self.stirred:
            try:
                self.do_what_is_due()
                self.asking = asking
                yield
            except ContractBroken as broken:
                self.state["violations"].append(str(broken))
                raise
            finally:
                self.asking = None
                self.keep()
                self.stirred.notify_all()

    def keep(self) -> None:
        if self.file:
            unfinished = self.file.with_suffix(".unfinished")
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps(self.state | {"requests": []}))
            os.replace(unfinished, self.file)

    # Time

    def at(self, when: int, what: str, account: str, id_: str) -> None:
        self.state["due"].append([when, what, account, id_])

    def do_what_is_due(self) -> None:
        now = self.now()
        due = [each for each in self.state["due"] if each[0] <= now]
        self.state["due"] = [each for each in self.state["due"] if each[0] > now]
        for _, what, account, id_ in sorted(due):
            _WHEN_DUE[what](self, account, id_)

    # Things

    def open_account(self, id_: str) -> None:
        self.state["accounts"][id_] = {"things": {}, "gone": False}

    def is_open(self, account: str) -> bool:
        return account in self.state["accounts"] and not self.state["accounts"][account]["gone"]

    def make(self, kind: str, account: str, **values: Any) -> Thing:
        """A new thing of an account. What Stripe may leave empty is empty."""
        known = contract.SCHEMAS[kind]["properties"]
        born = {"id": new_id(kind), "created": self.now(), "livemode": False, "metadata": {}}
        thing = contract.blank(kind) | {name: each for name, each in born.items() if name in known} | values
        self.things(kind, account)[thing["id"]] = thing
        return thing

    def things(self, kind: str, account: str) -> dict[str, Thing]:
        """Of this kind, by id, the eldest first."""
        found: dict[str, Thing] = self.state["accounts"][account]["things"].setdefault(kind, {})
        return found

    def get(self, kind: str, account: str, id_: str, param: str | None = None) -> Thing:
        """Refuses as Stripe does when the account has none of this id; `param` names the parameter that held it."""
        thing = self.things(kind, account).get(id_)
        if thing is None:
            raise missing(kind, id_, param)
        return thing

    def named(self, account: str, id_: str) -> Thing | None:
        """Whatever has this id."""
        kinds = self.state["accounts"][account]["things"].values()
        return next((things[id_] for things in kinds if id_ in things), None)

    def owner(self, kind: str, id_: str) -> str:
        """The account that a thing belongs to: Stripe's own pages are opened by id alone."""
        for account in self.state["accounts"]:
            if id_ in self.things(kind, account):
                return str(account)
        raise missing(kind, id_)

    def hidden(self, id_: str) -> dict[str, Any]:
        """What Stripe knows of a thing and does not tell."""
        known: dict[str, Any] = self.state["hidden"].setdefault(id_, {})
        return known

    # Events

    def emit(self, type_: str, account: str, thing: Thing, **previous: Any) -> Thing:
        """Something happened to a thing; `previous` has what was changed, as it was. Its webhook is on its way."""
        snapshot = copy.deepcopy(thing)
        data = {"object": snapshot} | ({"previous_attributes": previous} if previous else {})
        asking = self.asking or {"id": None, "idempotency_key": None}
        post = self.state["post"]
        event = self.make(
            "event", account, type=type_, api_version=contract.VERSION, data=data, request=asking,
            pending_webhooks=1 if post["url"] else 0,
        )  # fmt: skip
        if account != PLATFORM:
            event["account"] = account
        contract.check_object(snapshot)
        contract.check_object(event)
        self.state["events"].append(event["id"])
        if post["url"]:
            post["waiting"].append({"event": event["id"], "at": self.instant() + post["delay"], "tries": 0})
        return event

    def event(self, id_: str) -> Thing:
        return self.get("event", self.owner("event", id_), id_)
