"""Events on their way to the platform: signed, delivered in the background, again and again until taken."""

import hmac
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from tenancy import clock
from tests.stripe_fake.contract import ContractBroken
from tests.stripe_fake.errors import StripeError
from tests.stripe_fake.world import Thing, World

TRIES, FIRST_WAIT, LONGEST_WAIT = 16, 0.25, 3600.0
TIMEOUT_SECONDS = 10
AT_ONCE = 4


def payload_of(event: Thing) -> str:
    return json.dumps(event, indent=2)


def signature(payload: str, secret: str, t: int | None = None, scheme: str = "v1") -> str:
    """A `Stripe-Signature` header. Signed at the real time, whatever this Stripe's own clock says."""
    t = int(clock.now().timestamp()) if t is None else t
    digest = hmac.new(secret.encode(), f"{t}.{payload}".encode(), sha256).hexdigest()
    return f"t={t},{scheme}={digest}"


def headers_for(world: World, payload: str) -> dict[str, str]:
    post = world.state["post"]
    t = int(clock.now().timestamp()) + post["shift"]
    signed = signature(payload, post["wrong_secret"] or post["secret"], t, post["scheme"])
    return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signed, "User-Agent": "Stripe/1.0 (stand-in)"}


def send(world: World, event_id: str) -> int | None:
    """One delivery, now. The status answered, or None when nobody answered. Never called with the lock held."""
    with world.lock:
        payload = payload_of(world.event(event_id))
        headers, url = headers_for(world, payload), world.state["post"]["url"]
    status = _posted(url, payload, headers) if url else None
    with world.lock:
        world.state["post"]["sent"].append({"event": event_id, "status": status})
    return status


def _posted(url: str, payload: str, headers: dict[str, str]) -> int | None:
    to = urlsplit(url)
    # *.localhost is this machine, also where no resolver knows it; the name goes in the Host header.
    here = to.hostname == "localhost" or (to.hostname or "").endswith(".localhost")
    connection = http.client.HTTPConnection("127.0.0.1" if here else to.hostname or "", to.port or 80, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", to.path or "/", payload.encode(), headers | {"Host": to.netloc})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Post:
    """The background thread that delivers, and that lets fall due what falls due."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.under_way = 0
        self.pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")

    def start(self) -> None:
        threading.Thread(target=self._run, name="post", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self.world.stirred:
                if any(each[0] <= self.world.now() for each in self.world.state["due"]):
                    # A mistake of ours is kept among the violations; the post goes on.
                    with suppress(ContractBroken), self.world.acting():
                        pass
                claimed = self._claimed()
                if not claimed:
                    self.world.stirred.wait(self._seconds_to_wait())
            for each in claimed:
                self.pool.submit(self._deliver, each, self.world.generation)

    def _claimed(self) -> list[dict[str, Any]]:
        post, now = self.world.state["post"], self.world.instant()
        if post["held"]:
            return []
        claimed = [each for each in post["waiting"] if each["at"] <= now]
        post["waiting"] = [each for each in post["waiting"] if each["at"] > now]
        kept = [each for each in claimed if each["tries"] or not self._dropped(each["event"])]
        repeated = [each for each in kept for _ in range(1 + (post["duplicate"] if not each["tries"] else 0))]
        self.under_way += len(repeated)
        return repeated

    def _dropped(self, event_id: str) -> bool:
        """Lost for good: the platform never hears of it."""
        post = self.world.state["post"]
        post["taken"] += 1
        drop = post["drop"]
        if drop is None or (drop["types"] and self.world.event(event_id)["type"] not in drop["types"]):
            return False
        if drop["nth"] is not None:
            return bool(post["taken"] == drop["nth"])
        if drop["count"] is None:
            return True
        drop["count"] -= 1
        return bool(drop["count"] >= 0)

    def _seconds_to_wait(self) -> float:
        state, now = self.world.state, self.world.instant()
        waiting = [] if state["post"]["held"] else [each["at"] for each in state["post"]["waiting"]]
        times = [*waiting, *(each[0] for each in state["due"])]
        return min(max(min(times, default=now + 5) - now, 0.02), 5.0)

    def _deliver(self, waiting: dict[str, Any], generation: int) -> None:
        status = None
        with suppress(StripeError):  # all was forgotten meanwhile, this event too
            status = send(self.world, waiting["event"])
        with self.world.stirred:
            self.under_way -= 1
            same = self.world.generation == generation
            if same and not (status and 200 <= status < 300) and waiting["tries"] + 1 < TRIES:
                pause = min(FIRST_WAIT * 2 ** waiting["tries"], LONGEST_WAIT)
                again = {"event": waiting["event"], "at": self.world.instant() + pause, "tries": waiting["tries"] + 1}
                self.world.state["post"]["waiting"].append(again)
            elif same:
                self.world.event(waiting["event"])["pending_webhooks"] = 0
            self.world.keep()
            self.world.stirred.notify_all()

    def quiet(self, seconds: float) -> bool:
        """Whether all that may be delivered was, within so many seconds."""
        until = time.monotonic() + seconds
        with self.world.stirred:
            while self.under_way or self.world.state["post"]["waiting"]:
                if (left := until - time.monotonic()) <= 0:
                    return False
                self.world.stirred.wait(left)
        return True


def deliver(world: World, event_id: str, times: int = 1) -> list[int | None]:
    """At once, held or not."""
    return [send(world, event_id) for _ in range(times)]


def release(world: World, order: list[str] | None = None) -> list[int | None]:
    """Ends a hold. Those named are delivered first, at once, one after another; the rest goes its usual way."""
    with world.stirred:
        post = world.state["post"]
        post["waiting"] = [each for each in post["waiting"] if each["event"] not in (order or ())]
    statuses = [send(world, event_id) for event_id in order or ()]
    with world.stirred:
        world.state["post"]["held"] = False
        world.stirred.notify_all()
    return statuses
