"""What tests tell this Stripe, as JSON over HTTP at `/_control/<verb>`: from this machine only, no key asked."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, abort, current_app, jsonify, request

from tests.stripe_fake import accounts, faults, ledger, methods, paying, payments, reversals, webhooks
from tests.stripe_fake.api import world_of_app
from tests.stripe_fake.contract import ContractBroken
from tests.stripe_fake.errors import StripeError
from tests.stripe_fake.world import PLATFORM, Thing, World

control = Blueprint("control", __name__)


def _account(world: World, charges_enabled: bool = True, **values: Any) -> str:
    made = accounts.make_account(world, **values)
    if charges_enabled:
        accounts.onboard(world, made["id"])
    return str(made["id"])


def _pay(world: World, session: str, how: str, save: bool = False, number: str | None = None) -> Thing:
    try:
        paying.pay(world, session, how, save, number)
    except StripeError as refused:
        if refused.status != 402:
            raise
    return world.get("checkout.session", world.owner("checkout.session", session), session)


def _cancel(world: World, session: str) -> str | None:
    found = world.get("checkout.session", world.owner("checkout.session", session), session)
    url: str | None = found["cancel_url"]
    return url


def _refund(world: World, acct: str, pi: str, amount: int | None = None) -> Thing:
    return reversals.refund(world, acct, reversals.charge_of(world, acct, pi), amount)


def _dispute(world: World, pi: str, amount: int | None = None, inquiry: bool = False) -> Thing:
    account = world.owner("payment_intent", pi)
    return reversals.dispute(world, account, reversals.charge_of(world, account, pi), amount, inquiry)


def _advance(world: World, seconds: int) -> int:
    world.state["shift"] += seconds
    world.do_what_is_due()
    return world.now()


def _clear_faults(world: World) -> None:
    world.state["faults"].clear()
    world.patience += 1


def _card_later(world: World, pm: str, how: str) -> None:
    if how != "succeeds" and how not in methods.DECLINES:
        raise ValueError(f"{how} is neither succeeds nor one of {', '.join(methods.DECLINES)}")
    world.hidden(pm)["later"] = how


def _events(world: World, acct: str | None = None, type: str | None = None) -> list[Thing]:
    found = [world.event(id_) for id_ in world.state["events"]]
    return [each for each in found if acct in (None, each.get("account")) and type in (None, each["type"])]


def _post(world: World, **settings: Any) -> None:
    world.state["post"].update(settings)


def _owned(world: World, kind: str, id_: str, does: Callable[..., Any], *more: Any) -> Any:
    return does(world, world.owner(kind, id_), id_, *more)


VERBS: dict[str, Callable[..., Any]] = {
    "requests": lambda world, path_prefix=None: [each for each in world.state["requests"] if each["path"].startswith(path_prefix or "")],
    "violations": lambda world: world.state["violations"],
    "account": _account,
    "onboard": accounts.onboard,
    "restrict": lambda world, acct: accounts.restrict(world, acct),
    "deauthorise": lambda world, acct: accounts.deauthorise(world, acct),
    "pay": _pay,
    "cancel": _cancel,
    "settle": lambda world, pi, ok=True: _owned(world, "payment_intent", pi, payments.settle, ok),
    "refund": _refund,
    "settle_refund": lambda world, refund: _owned(world, "refund", refund, reversals.settle_refund),
    "fail_refund": lambda world, refund: _owned(world, "refund", refund, reversals.fail_refund),
    "dispute": _dispute,
    "close_dispute": lambda world, dispute, how: _owned(world, "dispute", dispute, reversals.close_dispute, how),
    "card_later": _card_later,
    "advance": _advance,
    "fault": faults.add,
    "clear_faults": _clear_faults,
    "post": _post,
    "events": _events,
    "objects": lambda world, kind, acct=PLATFORM: list(world.things(kind, acct or PLATFORM).values()),
    "figures": lambda world, acct: ledger.figures(world, acct),
    "payload": lambda world, event: webhooks.payload_of(world.event(event)),
    "sent": lambda world: world.state["post"]["sent"],
    "now": lambda world: world.now(),
}
# These wait for the platform, which may ask this Stripe meanwhile: not under its lock.
WAITING: dict[str, Callable[..., Any]] = {
    "reset": lambda world: world.reset(),
    "deliver": webhooks.deliver,
    "release": webhooks.release,
    "quiet": lambda world, seconds: current_app.extensions["stripe_fake_post"].quiet(seconds),
}


@control.before_request
def only_from_here() -> None:
    if request.remote_addr not in ("127.0.0.1", "::1"):
        abort(403)


@control.post("/_control/<verb>")
def tell(verb: str) -> Response:
    world, told = world_of_app(), request.get_json()
    try:
        if verb in WAITING:
            return jsonify(WAITING[verb](world, **told))
        with world.acting():
            return jsonify(VERBS[verb](world, **told))
    except (StripeError, ContractBroken, ValueError, KeyError, TypeError) as refused:
        response = jsonify({"refused": f"{verb}: {refused}"})
        response.status_code = 400
        return response


@control.get("/_control/violations")
def violations() -> Response:
    return jsonify(world_of_app().state["violations"])
