"""What may be said: requests are decoded and checked against Stripe's contract, and so is all that this Stripe answers.

Stricter than Stripe's own description in one way: no object, however deep, may hold a property that it does not know.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tests.stripe_fake.errors import StripeError, invalid

CONTRACT = json.loads(Path(__file__).with_name("contract.json").read_text())
VERSION: str = CONTRACT["info"]["version"]
SCHEMAS: dict[str, Any] = CONTRACT["schemas"]
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_seen: dict[bytes, None] = {}  # texts found right before: most objects are answered many times


class ContractBroken(Exception):
    """This Stripe was about to say what Stripe's contract does not allow: a mistake of ours, never of the caller."""


@dataclass(frozen=True)
class Operation:
    method: str
    path: str  # as in the contract: /v1/refunds/{refund}
    schemas: dict[str, Any]

    @property
    def pattern(self) -> "re.Pattern[str]":
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


OPERATIONS = [
    Operation(method.upper(), path, schemas)
    for path, methods in CONTRACT["paths"].items()
    for method, schemas in methods.items()
]


def operation_for(method: str, path: str) -> tuple[Operation, dict[str, str]]:
    """The operation a request is for, and the names in its path."""
    for operation in OPERATIONS:
        if operation.method == method and (found := operation.pattern.fullmatch(path)):
            return operation, found.groupdict()
    for line in CONTRACT["not_played"]:
        known, _, pattern = line.partition(" ")
        if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
            raise StripeError(501, "api_error", f"This stand-in for Stripe does not play {method} {pattern}.")
    raise invalid(f"Unrecognized request URL ({method}: {path}).", status=404)


def decoded(text: str) -> dict[str, Any]:
    """A bracketed form as a tree: `a[b]=1` is {"a": {"b": "1"}}, `c[0]=x` is {"c": {"0": "x"}}."""
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        first, _, rest = key.partition("[")
        steps = [first, *_BRACKETS.findall("[" + rest if rest else "")]
        branch = tree
        for number, step in enumerate(steps):
            step = step or str(len(branch))
            if number == len(steps) - 1:
                branch[step] = value
            else:
                branch = branch.setdefault(step, {})
                if not isinstance(branch, dict):
                    raise invalid(f"Invalid object: {key}", param=key)
    return tree


def request_of(operation: Operation, text: str) -> dict[str, Any]:
    """The request's parameters with their types; refuses, as Stripe does, what the contract does not know."""
    schema = operation.schemas["query" if operation.method == "GET" else "form"] or {"type": "object", "properties": {}}
    asked = coerced(decoded(text), schema)
    for error in sorted(checker(_key(schema)).iter_errors(asked), key=lambda each: list(map(str, each.path))):
        raise _refusal(error)
    return asked


def _refusal(error: Any) -> StripeError:
    while error.context:  # of the alternatives, the one that was meant: whose complaint lies deepest
        error = max(error.context, key=lambda each: (len(each.absolute_path), each.validator == "additionalProperties"))
    path = [str(step) for step in error.absolute_path]
    if error.validator == "additionalProperties":
        extra = sorted(set(error.instance) - set(error.schema.get("properties", ())))[0]
        return invalid(f"Received unknown parameter: {_bracketed([*path, extra])}", "parameter_unknown", _bracketed([*path, extra]))
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        name = _bracketed([*path, missing])
        return invalid(f"Missing required param: {name}.", "parameter_missing", name)
    return invalid(f"Invalid {_bracketed(path)}: {error.message}", None, _bracketed(path))


def _bracketed(path: list[str]) -> str:
    return "".join(step if number == 0 else f"[{step}]" for number, step in enumerate(path))


def coerced(value: Any, schema: dict[str, Any]) -> Any:
    """Text as what the schema wants; text that cannot be is left for the check to complain about."""
    if name := schema.get("$ref"):
        return coerced(value, SCHEMAS[name.rpartition("/")[2]])
    if alternatives := schema.get("anyOf"):
        tries = [(coerced(value, each), each) for each in alternatives]
        fitting = (done for done, each in tries if checker(_key(each)).is_valid(done))
        return next(fitting, next((done for done, _ in tries if not isinstance(done, str)), value))
    kind = schema.get("type")
    if kind == "object" and isinstance(value, dict):
        known, other = schema.get("properties", {}), schema.get("additionalProperties")
        return {
            name: coerced(each, known.get(name, other if isinstance(other, dict) else {})) for name, each in value.items()
        }
    if kind == "array" and isinstance(value, dict) and all(key.isdecimal() for key in value):
        return [coerced(value[key], schema.get("items", {})) for key in sorted(value, key=int)]
    if kind == "integer" and isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    if kind == "number" and isinstance(value, str) and re.fullmatch(r"-?\d{1,18}(\.\d+)?", value):
        return float(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def check_object(thing: dict[str, Any]) -> None:
    """One resource, as it stands in an answer or in a webhook, nothing expanded."""
    if (kind := thing.get("object")) not in SCHEMAS:
        raise ContractBroken(f"Stripe's contract knows no {kind}")
    _check(thing, {"$ref": f"#/components/schemas/{kind}"})


def check_answer(operation: Operation, answer: dict[str, Any]) -> None:
    """A whole answer, nothing expanded. A list's things are looked at one by one: most were seen before."""
    if answer.get("object") == "list":
        for each in answer["data"]:
            check_object(each)
        answer = answer | {"data": []}
    _check(answer, operation.schemas["answer"])


def check_error(answer: dict[str, Any]) -> None:
    _check(answer, {"$ref": "#/components/schemas/error"})


def _check(answer: Any, schema: dict[str, Any]) -> None:
    key = _key(schema)
    digest = sha256((key + json.dumps(answer, sort_keys=True)).encode()).digest()
    if digest in _seen:
        return
    for error in checker(key).iter_errors(answer):
        told = "; ".join(f"{list(each.absolute_path)}: {each.message}"[:300] for each in (error, *(error.context or ())))
        raise ContractBroken(f"{answer.get('object', 'answer')} {answer.get('id', '')} breaks Stripe's contract: {told}")
    _seen[digest] = None
    if len(_seen) > 20_000:
        _seen.clear()


def _key(schema: dict[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True)


@cache
def checker(schema: str) -> Any:
    """A checker of a schema that is given as JSON text, so that it is made once."""
    return Draft4Validator(_plain(json.loads(schema)), registry=_registry())


@cache
def _registry() -> Any:
    return Registry().with_resource("stripe", Resource(_plain(SCHEMAS), DRAFT4))


def _plain(schema: Any) -> Any:
    """OpenAPI's `nullable` in the words of JSON Schema; objects closed."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _plain(value) for key, value in schema.items() if key != "expandable"}
    if isinstance(reference := plain.get("$ref"), str):
        return {"$ref": f"stripe#/{reference.rpartition('/')[2]}"}
    if isinstance(plain.get("properties"), dict) and plain.get("type") == "object":
        plain.setdefault("additionalProperties", False)
    if plain.get("nullable") is True:
        del plain["nullable"]
        return {"anyOf": [{"type": "null"}, plain]}
    return plain


def blank(kind: str) -> dict[str, Any]:
    """A resource of which nothing is known yet: what may be null is there and null, as Stripe sends it."""
    schema = SCHEMAS[kind]
    lists = {name for name in schema["expandable"] if schema["properties"][name].get("type") != "string"}
    return {"object": kind} | {
        name: None for name, each in schema["properties"].items() if each.get("nullable") and name not in lists
    }


def asked_for(expand: list[str], listed: bool) -> Iterator[list[str]]:
    """`data.payment_intent.latest_charge` of a list as [payment_intent, latest_charge]."""
    for each in expand:
        steps = each.split(".")
        if listed:
            if steps[0] != "data" or len(steps) == 1:
                raise invalid(f"This property cannot be expanded ({each}). You may want to try expanding 'data.{each}' instead.")
            steps = steps[1:]
        if len(steps) > 4:
            raise invalid(f"You cannot expand more than 4 levels of a property. Property: {each}")
        yield steps
