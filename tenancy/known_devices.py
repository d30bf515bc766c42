"""Browsers that signed in here before, known again by a mark they keep: strangers' guesses do not slow them.

A mark is `<seconds since 1970>.<nonce>.<signature>`, signed with the clinic's key for one address at one door, whoever that address belongs to, and lasts half a
year. It opens nothing: whoever holds it still needs the password. A browser keeps the marks of the last few addresses
that signed in with it, in one cookie that is as bound to its host as the sign-in itself.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import after_this_request, current_app, request
from werkzeug.wrappers import Response

from tenancy import client_address, clock, cookies, keys
from tenancy.client_address import Network

LASTS = timedelta(days=180)
MOST_MARKS = 4  # both parents on one tablet
KEY_PURPOSE = "known-device"
_BETWEEN = "~"


@dataclass(frozen=True)
class Caller:
    """Who knocks: the network they come from, and the marks their browser keeps."""

    network: Network
    marks: tuple[str, ...] = ()


def caller() -> Caller:
    """Of the present request."""
    sent = cookies.values_of(_cookie_name(), request.environ.get("HTTP_COOKIE", ""))
    kept = [mark for value in sent for mark in value.split(_BETWEEN) if mark]
    return Caller(client_address.network_of(client_address.of(request.environ)), tuple(kept[:MOST_MARKS]))


def find_mark(account: str, caller: Caller) -> str | None:
    """The mark by which this caller is known for the account. Needs a running transaction of the clinic."""
    key = keys.signing_key(KEY_PURPOSE)
    return next((mark for mark in caller.marks if _is_good(key, mark, account)), None)


def know_again(account: str) -> None:
    """With the answer to this request, the browser keeps a mark for the account, if it has none that is good."""
    calling = caller()
    if find_mark(account, calling):
        return
    begun = f"{int(clock.now().timestamp())}.{secrets.token_urlsafe(9)}"
    mark = f"{begun}.{_signature(keys.signing_key(KEY_PURPOSE), begun, account)}"
    marks = _BETWEEN.join([mark, *calling.marks][:MOST_MARKS])

    @after_this_request
    def keep(answer: Response) -> Response:
        answer.set_cookie(
            _cookie_name(),
            marks,
            max_age=LASTS,
            path="/",
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return answer


def _cookie_name() -> str:
    return cookies.name_here(f"{current_app.config['SESSION_COOKIE_NAME']}-device")


def _is_good(key: bytes, mark: str, account: str) -> bool:
    begun, _, signature = mark.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(key, begun, account).encode()):
        return False
    marked_at = datetime.fromtimestamp(int(begun.partition(".")[0]), clock.now().tzinfo)
    return clock.now() - marked_at < LASTS


def _signature(key: bytes, begun: str, account: str) -> str:
    return keys.digest(key, f"{begun}\0{account}".encode("utf-8", "surrogatepass")).hex()
