"""Tells a running stand-in for Stripe what happens: what people do on its pages, what banks decide, what breaks.

Things are plain dicts, as Stripe's API shows them. What cannot be done raises `NotPossible` with the reason.
"""

import json
import urllib.error
import urllib.request
from typing import Any

from tests.stripe_fake.server import KEY
from tests.stripe_fake.webhooks import signature

Thing = dict[str, Any]
TIMEOUT_SECONDS = 60


class NotPossible(AssertionError):
    pass


class StripeFake:
    """`url` is the API's base address, `key` its secret key, `secret` what webhooks are signed with."""

    def __init__(self, url: str, key: str = KEY, secret: str = "whsec_for_tests") -> None:
        self.url, self.key, self.secret = url, key, secret

    def tell(self, verb: str, **details: Any) -> Any:
        body = json.dumps(details).encode()
        asked = urllib.request.Request(f"{self.url}/_control/{verb}", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise NotPossible(json.loads(error.read())["refused"]) from None

    # The whole of it

    def reset(self) -> None:
        """No account, no thing, no fault, no webhook address; the real time."""
        self.secret = "whsec_for_tests"
        self.tell("reset")

    def advance(self, seconds: int) -> int:
        """Its clock goes ahead: sessions expire, keys are forgotten, debits' refunds settle, money becomes available."""
        return int(self.tell("advance", seconds=seconds))

    def now(self) -> int:
        return int(self.tell("now"))

    def requests(self, path_prefix: str | None = None) -> list[Thing]:
        """Every API request received: method, path, params, body (as sent), account, idempotency_key, version, at."""
        found: list[Thing] = self.tell("requests", path_prefix=path_prefix)
        return found

    def violations(self) -> list[str]:
        """Where this Stripe itself broke the contract: always empty, or it has a mistake."""
        found: list[str] = self.tell("violations")
        return found

    # Accounts

    def account(self, charges_enabled: bool = True, **values: Any) -> str:
        """A connected account's id; onboarded unless it may not charge yet. `values` as of Stripe's create call."""
        return str(self.tell("account", charges_enabled=charges_enabled, **values))

    def onboard(self, acct: str, everything: bool = True) -> Thing:
        """Its owner went through the hosted pages, and told everything or left something due."""
        thing: Thing = self.tell("onboard", account=acct, everything=everything)
        return thing

    def restrict(self, acct: str) -> Thing:
        thing: Thing = self.tell("restrict", acct=acct)
        return thing

    def deauthorise(self, acct: str) -> None:
        self.tell("deauthorise", acct=acct)

    # What a person does on the Checkout page

    def pay(self, session_id: str, how: str = "card", save: bool = False, number: str | None = None) -> Thing:
        """`how`: card, declined, 3ds, 3ds_failed, bank_debit, saved; or a test card's `number`. The session afterwards.

        `save` ticks the box where the page shows one.
        """
        session: Thing = self.tell("pay", session=session_id, how=how, save=save, number=number)
        return session

    def cancel(self, session: str) -> str | None:
        """Goes back without paying: answers the session's cancel_url; the session stays open, as at Stripe."""
        url: str | None = self.tell("cancel", session=session)
        return url

    # What banks and the clinic at Stripe's dashboard do

    def settle(self, pi: str, ok: bool = True) -> None:
        """A bank debit that was processing succeeds, or fails."""
        self.tell("settle", pi=pi, ok=ok)

    def refund(self, acct: str, pi: str, amount: int | None = None) -> Thing:
        """Made at Stripe's own dashboard, not through the API. The whole rest without an amount."""
        thing: Thing = self.tell("refund", acct=acct, pi=pi, amount=amount)
        return thing

    def settle_refund(self, refund: str) -> None:
        """A refund to a bank account, which is pending, succeeds."""
        self.tell("settle_refund", refund=refund)

    def fail_refund(self, refund: str) -> Thing:
        """Late or soon, the bank sends a refund back."""
        thing: Thing = self.tell("fail_refund", refund=refund)
        return thing

    def inquire(self, pi: str) -> Thing:
        """The payer's bank asks; no money moves."""
        thing: Thing = self.tell("dispute", pi=pi, inquiry=True)
        return thing

    def dispute(self, pi: str, amount: int | None = None) -> Thing:
        """The payer's bank takes the money. An open inquiry about this payment becomes the dispute."""
        thing: Thing = self.tell("dispute", pi=pi, amount=amount)
        return thing

    def close_dispute(self, dispute: str, how: str) -> Thing:
        """`won`, also after `lost`; `lost`; an inquiry: `warning_closed`."""
        thing: Thing = self.tell("close_dispute", dispute=dispute, how=how)
        return thing

    def card_later(self, pm: str, how: str) -> None:
        """What a saved card does when next charged: `succeeds`, `generic_decline`, `insufficient_funds`, `authentication_required`."""
        self.tell("card_later", pm=pm, how=how)

    # What breaks

    def fault(self, path: str, kind: str, times: int | None = 1, **details: Any) -> None:
        """The next `times` API requests matching `path` ("/v1/refunds*", "POST /v1/*") meet it; None: all until cleared.

        `kind`: down, refused, hang (seconds), slow (seconds), lost, 500, 500_after, 409, 429, truncated,
        odd_status (field, value). See `faults`.
        """
        self.tell("fault", path=path, kind=kind, times=times, **details)

    def down(self) -> None:
        """Every connection to the API is closed, until `clear_faults`."""
        self.fault("*", "down", times=None)

    def clear_faults(self) -> None:
        self.tell("clear_faults")

    # Events and webhooks

    def events(self, acct: str | None = None, type: str | None = None) -> list[Thing]:
        """In the order in which they happened."""
        found: list[Thing] = self.tell("events", acct=acct, type=type)
        return found

    def webhooks_to(self, url: str | None, secret: str | None = None) -> None:
        """Where events are delivered from now on. Without an address none is sent: see `webhook` for tests without a server."""
        self.secret = secret or self.secret
        self.tell("post", url=url, secret=self.secret)

    def webhook(self, event_id: str, secret: str | None = None, t: int | None = None) -> tuple[bytes, dict[str, str]]:
        """The body and the headers that a delivery of this event has, to hand to the application oneself."""
        payload = str(self.tell("payload", event=event_id))
        return payload.encode(), {"Content-Type": "application/json", "Stripe-Signature": self.sign(payload, t, secret)}

    def sign(self, payload: str | bytes, t: int | None = None, secret: str | None = None, scheme: str = "v1") -> str:
        """The `Stripe-Signature` of a payload, signed at `t` (now)."""
        text = payload.decode() if isinstance(payload, bytes) else payload
        return signature(text, secret or self.secret, t, scheme)

    def hold_webhooks(self) -> None:
        """Nothing is delivered until `release_webhooks`, but what `deliver` names."""
        self.tell("post", held=True)

    def release_webhooks(self, order: list[str] | None = None) -> list[int | None]:
        """Those events first, one after another, answering the statuses; then what else waits, as usual."""
        statuses: list[int | None] = self.tell("release", order=order)
        return statuses

    def deliver(self, event_id: str, times: int = 1) -> list[int | None]:
        """Now, and waits for it: the platform's statuses, None where it did not answer."""
        statuses: list[int | None] = self.tell("deliver", event_id=event_id, times=times)
        return statuses

    def drop_webhooks(self, count: int | None = None, nth: int | None = None, types: list[str] | None = None) -> None:
        """Lost for good: all from now on, the next `count`, or the `nth` from now; only of these types, where given."""
        self.tell("post", drop={"count": count, "nth": nth, "types": types}, taken=0)

    def keep_webhooks(self) -> None:
        """Ends `drop_webhooks`."""
        self.tell("post", drop=None)

    def webhook_faults(
        self, duplicate: int = 0, delay: float = 0, wrong_secret: str | None = None, scheme: str = "v1", shift: int = 0
    ) -> None:
        """From now on: so many copies more, so many seconds later, signed wrongly, as `v0`, or with the time shifted."""
        self.tell("post", duplicate=duplicate, delay=delay, wrong_secret=wrong_secret, scheme=scheme, shift=shift)

    def sent(self) -> list[Thing]:
        """Every delivery tried: event, status."""
        found: list[Thing] = self.tell("sent")
        return found

    def quiet(self, seconds: float = 10) -> bool:
        """Waits until nothing is on its way to the platform any more; False when it still is after so many seconds."""
        return bool(self.tell("quiet", seconds=seconds))

    # What there is

    def objects(self, kind: str, acct: str | None = None) -> list[Thing]:
        """All of a kind ("payment_intent", "checkout.session" …) that an account has, the eldest first."""
        found: list[Thing] = self.tell("objects", kind=kind, acct=acct)
        return found

    def figures(self, acct: str) -> dict[str, dict[str, int]]:
        """Per currency, in minor units: charged, refunded, disputed (open), lost, net = charged - refunded - lost."""
        found: dict[str, dict[str, int]] = self.tell("figures", acct=acct)
        return found

    def balance(self, acct: str) -> dict[str, int]:
        """Per currency, what the account's money is, fees aside: succeeded - refunded - lost disputes."""
        return {currency: each["net"] for currency, each in self.figures(acct).items()}
