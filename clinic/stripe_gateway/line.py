"""The line to Stripe: one request and its answer, as a tree of plain values. The only place that imports `stripe`.

The library encodes requests, names the version it is made for and reads errors; how long we wait, how often we ask and
what silence means is decided here. No call is made while a transaction runs.
"""

import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast
from uuid import uuid4

import requests
import stripe
from flask import Flask, current_app, g, has_request_context
from urllib3.exceptions import NewConnectionError

from clinic.stripe_gateway.breaker import Breaker
from clinic.stripe_gateway.facts import StripeDown, StripeFault, StripeRefused, StripeUnknown
from tenancy import database
from tenancy.settings import Settings

VERSION = stripe.api_version
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 4.0
SECOND_TRY_WITHIN = 2.0  # seconds from the first: what failed at once is asked once more
REQUEST_SECONDS = 9.0  # all calls together that a person waits for
PLACE_SECONDS, PATIENT_PLACE_SECONDS = 0.3, 10.0  # until a place on the line is free: for a person, for a job
PAGE = 100
STRIPES = "https://api.stripe.com"
Answer = dict[str, Any]

stripe.enable_telemetry = False


class _Wire(stripe.HTTPClient):
    """HTTP with time-outs of our own, and a thread's connection kept open."""

    name = "requests"

    def __init__(self) -> None:
        super().__init__()
        self._mine = threading.local()

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        if not hasattr(self._mine, "session"):
            self._mine.session = requests.Session()
        timeout = _seconds_left()
        try:
            answer = self._mine.session.request(
                method, url, headers=headers, data=post_data, timeout=timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            raise (StripeDown if _never_arrived(error) else StripeUnknown)(type(error).__name__) from error
        answer.encoding = "utf-8"
        return answer.text, answer.status_code, answer.headers


def _never_arrived(error: BaseException | None) -> bool:
    """Whether the connection was never made."""
    while error is not None:
        if isinstance(error, requests.ConnectTimeout | NewConnectionError | ssl.SSLCertVerificationError):
            return True
        reason = getattr(error, "reason", None) or next(iter(error.args), None)
        error = reason if isinstance(reason, Exception) else None
    return False


def _seconds_left() -> tuple[float, float]:
    """For the connection and for each part of the answer. Raises StripeDown when a person has waited long enough."""
    if not has_request_context():
        return CONNECT_SECONDS, ANSWER_SECONDS
    now = time.monotonic()
    left = float(g.setdefault("stripe_until", now + REQUEST_SECONDS)) - now
    if left < 0.5:
        raise StripeDown("There is no time left for another request to Stripe.")
    return min(CONNECT_SECONDS, left / 2), min(ANSWER_SECONDS, left / 2)


class Line:
    def __init__(self, key: str, base: str | None) -> None:
        self.breaker = Breaker()
        self.client = stripe.StripeClient(
            key, http_client=_Wire(), base_addresses={"api": base or STRIPES}, max_network_retries=0
        )

    def ask(self, method: str, path: str, params: dict[str, Any], account_id: str | None, key: str | None) -> Answer:
        """Raises StripeRefused, StripeDown or StripeUnknown. A second try has the first one's key."""
        if database.is_running():
            raise RuntimeError("Stripe is never asked while a transaction runs.")
        options: dict[str, Any] = {"stripe_account": account_id} if account_id else {}
        if method == "post":
            options["idempotency_key"] = key or str(uuid4())
        began = time.monotonic()
        with self.breaker.passing(PLACE_SECONDS if has_request_context() else PATIENT_PLACE_SECONDS):
            try:
                return self._once(method, path, params | options)
            except StripeUnknown:
                if time.monotonic() - began > SECOND_TRY_WITHIN:
                    raise
                return self._once(method, path, params | options)

    def _once(self, method: str, path: str, params: dict[str, Any]) -> Answer:
        try:
            answer = self.client.raw_request(method, path, **params)
        except stripe.StripeError as error:
            raise _meaning(error) from error
        return cast(Answer, answer.data)


def _meaning(error: stripe.StripeError) -> StripeFault:
    body: Any = error.json_body
    told = body.get("error") if isinstance(body, dict) else None
    said = told if isinstance(told, dict) else {}
    code = str(said.get("decline_code") or said.get("code") or said.get("type") or "")
    status = error.http_status or 0
    if status == 429:
        return StripeDown(code)
    if not 400 <= status < 500 or status == 409 or not said:
        return StripeUnknown(f"{status} {code}")
    return StripeRefused(code, error.user_message or "", said)


def install(app: Flask, settings: Settings) -> None:
    app.extensions["stripe_gateway"] = Line(settings.stripe_api_key, settings.stripe_api_base) if settings.stripe_api_key else None


def is_connected() -> bool:
    """Whether the deployer gave us a key."""
    return current_app.extensions["stripe_gateway"] is not None


def get(path: str, params: dict[str, Any] | None = None, *, of: str | None = None) -> Answer:
    """Read as the account `of`, or as the platform."""
    return _line().ask("get", path, params or {}, of, None)


def post(path: str, params: dict[str, Any] | None = None, *, of: str | None = None, key: str | None = None) -> Answer:
    """Change something. Two requests with one key are one; without a key each is its own."""
    return _line().ask("post", path, params or {}, of, key)


def each(path: str, params: dict[str, Any], *, of: str) -> Iterator[Answer]:
    """Every thing of a list, the newest first, page by page."""
    after: dict[str, Any] = {}
    while True:
        page = get(path, params | after | {"limit": PAGE}, of=of)
        yield from page["data"]
        if not page["has_more"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


def _line() -> Line:
    line: Line | None = current_app.extensions["stripe_gateway"]
    if line is None:
        raise StripeDown("No Stripe key is set.")
    return line
