"""Stripe's HTTP interface: who asks for which account, what is asked, and the answer, each held to the contract."""

import copy
import json
import time
from typing import Any

from flask import Blueprint, Response, current_app, request

from tests.stripe_fake import accounts, checkout, contract, faults, idempotency, ledger, methods, payments, reversals
from tests.stripe_fake.calls import PLAYS, Call
from tests.stripe_fake.contract import ContractBroken, Operation
from tests.stripe_fake.errors import StripeError, invalid
from tests.stripe_fake.world import PLATFORM, Thing, World, new_id

api = Blueprint("api", __name__)
PLAYERS = (accounts, checkout, ledger, methods, payments, reversals)  # imported, they have filled PLAYS
assert {(each.method, each.path) for each in contract.OPERATIONS} == set(PLAYS), "The contract is cut to what is played."


def world_of_app() -> World:
    world: World = current_app.extensions["stripe_fake"]
    return world


@api.route("/v1/<path:_>", methods=["GET", "POST", "DELETE"])
def answer(_: str) -> Response:
    world, request_id = world_of_app(), new_id("request")
    text = request.query_string.decode() if request.method != "POST" else request.get_data(as_text=True)
    with world.lock:
        generation = world.generation
        record(world, text)
        fault = faults.met(world, request.method, request.path)
    kind, details = fault["kind"], fault["details"]
    if kind in ("down", "refused"):
        return cut("reset")
    if kind in faults.BEFORE:
        return told(faults.BEFORE[kind], request_id)
    response = perform(world, text, request_id, fault)
    if world.generation != generation or kind == "lost":
        return cut("reset")
    if kind == "slow":
        wait(world, details.get("seconds", 5))
    if kind == "truncated":
        request.environ["stripe_fake.wire"] = "truncated"
    if kind == "odd_status":
        odd = json.loads(response.get_data()) | {details.get("field", "status"): details.get("value", "somewhere_new")}
        response.set_data(json.dumps(odd))
    return response


def record(world: World, text: str) -> None:
    try:
        decoded = contract.decoded(text)
    except StripeError:
        decoded = {}
    world.state["requests"].append(
        {
            "method": request.method, "path": request.path, "params": decoded, "body": text, "at": world.now(),
            "account": request.headers.get("Stripe-Account"), "idempotency_key": request.headers.get("Idempotency-Key"),
            "version": request.headers.get("Stripe-Version"),
        }
    )  # fmt: skip


def perform(world: World, text: str, request_id: str, fault: dict[str, Any]) -> Response:
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    account = request.headers.get("Stripe-Account", PLATFORM)
    try:
        secret = authorised()
        operation, ids = contract.operation_for(request.method, request.path)
        asked = contract.request_of(operation, text)
        with world.lock:
            if account != PLATFORM:
                accounts.one(world, account, secret)
            known = idempotency.begin(world, account, key, f"{request.method} {request.path} {text}") if key else None
        if known:
            return replayed(known, request_id)
    except StripeError as error:
        return told(error, request_id)
    if fault["kind"] == "hang":
        generation = world.generation
        wait(world, fault["details"].get("seconds", 30))
        if world.generation != generation:
            return cut("reset")
    call = Call(world, account, request.path, ids, asked)
    with world.lock:
        status, body = acted(call, operation, {"id": request_id, "idempotency_key": key}, fault["kind"] == "500_after")
        if key:
            idempotency.finish(world, account, key, status, body, request_id)
            world.keep()
    return with_headers(Response(body, status, mimetype="application/json"), request_id)


def acted(call: Call, operation: Operation, asking: dict[str, Any], fails_after: bool) -> tuple[int, str]:
    """Status and body."""
    try:
        with call.world.acting(asking):
            try:
                thing = PLAYS[operation.method, operation.path](call)
                contract.check_answer(operation, thing)
                thing = expanded(call, thing)
                if fails_after:
                    raise faults.BROKEN
                return 200, json.dumps(thing, indent=2)
            except StripeError as error:
                contract.check_error(error.answer)
                return error.status, json.dumps(error.answer, indent=2)
    except ContractBroken as broken:
        current_app.logger.error("%s", broken)
        return 500, json.dumps({"error": {"type": "api_error", "message": f"THE STAND-IN FOR STRIPE IS WRONG: {broken}"}})


def authorised() -> str:
    """The secret key that was sent."""
    given = request.authorization
    sent = given.token if given and given.type == "bearer" else (given.username if given and given.type == "basic" else None)
    if sent != current_app.config["STRIPE_KEY"]:
        raise invalid("Invalid API Key provided." if sent else "You did not provide an API key.", status=401)
    version = request.headers.get("Stripe-Version")
    if version not in (None, contract.VERSION):
        raise invalid(f"This stand-in for Stripe speaks {contract.VERSION}, not {version}.")
    return str(sent)


def expanded(call: Call, thing: Thing) -> Thing:
    expand, copied = call.get("expand", []), copy.deepcopy(thing)
    listed = thing.get("object") == "list"
    for steps in contract.asked_for(expand, listed):
        for each in copied["data"] if listed else [copied]:
            _expand(call, each, steps)
    return copied


def _expand(call: Call, thing: Thing, steps: list[str]) -> None:
    name, *rest = steps
    if name not in contract.SCHEMAS[thing["object"]].get("expandable", ()):
        raise invalid(f"This property cannot be expanded ({name}).", None, "expand")
    value = thing.get(name)
    if name in ("line_items", "refunds") and not isinstance(value, dict):
        value = thing[name] = _list_in(call, thing, name)
    elif isinstance(value, str) and (found := call.world.named(call.account, value)):
        contract.check_object(found)
        value = thing[name] = copy.deepcopy(found)
    if rest and isinstance(value, dict):
        _expand(call, value, rest)


def _list_in(call: Call, thing: Thing, name: str) -> Thing:
    if name == "line_items":
        return PLAYS["GET", "/v1/checkout/sessions/{session}/line_items"](
            Call(call.world, call.account, f"/v1/checkout/sessions/{thing['id']}/line_items", {"session": thing["id"]}, {})
        )
    return PLAYS["GET", "/v1/refunds"](Call(call.world, call.account, f"/v1/charges/{thing['id']}/refunds", {}, {"charge": thing["id"]}))


def told(error: StripeError, request_id: str) -> Response:
    return with_headers(Response(json.dumps(error.answer, indent=2), error.status, mimetype="application/json"), request_id)


def replayed(known: dict[str, Any], request_id: str) -> Response:
    response = with_headers(Response(known["body"], known["status"], mimetype="application/json"), request_id)
    response.headers.update({"Idempotent-Replayed": "true", "Original-Request": known["request"]})
    return response


def with_headers(response: Response, request_id: str) -> Response:
    response.headers.update({"Request-Id": request_id, "Stripe-Version": contract.VERSION})
    for name in ("Idempotency-Key", "Stripe-Account"):
        if value := request.headers.get(name):
            response.headers[name] = value
    return response


def cut(how: str) -> Response:
    request.environ["stripe_fake.wire"] = how
    return Response("")


def wait(world: World, seconds: float) -> None:
    """Ends early when this Stripe is reset or its faults are cleared."""
    patience, until = world.patience, time.monotonic() + seconds
    with world.stirred:
        while (left := until - time.monotonic()) > 0 and world.patience == patience:
            world.stirred.wait(left)
