"""Cuts `contract.json` out of Stripe's OpenAPI description: the operations played here, and the schemas they reach.

    python -m tests.stripe_fake.cut_contract <Stripe's openapi/spec3.json>

Stripe publishes the description at github.com/stripe/openapi under the MIT licence, © Stripe; the cut carries the notice
(`CONTRACT_LICENCE`). Left out: descriptions, payment methods nobody plays here, and properties that hold resources
nobody plays here. An answer that used one of those would be refused as unknown.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONTRACT = Path(__file__).with_name("contract.json")
FORM = "application/x-www-form-urlencoded"
PLAYED = """
GET  /v1/accounts
POST /v1/accounts
GET  /v1/accounts/{account}
POST /v1/account_links
GET  /v1/checkout/sessions
POST /v1/checkout/sessions
GET  /v1/checkout/sessions/{session}
POST /v1/checkout/sessions/{session}/expire
GET  /v1/checkout/sessions/{session}/line_items
GET  /v1/payment_intents
POST /v1/payment_intents
GET  /v1/payment_intents/{intent}
POST /v1/payment_intents/{intent}/cancel
GET  /v1/charges
GET  /v1/charges/{charge}
GET  /v1/refunds
POST /v1/refunds
GET  /v1/refunds/{refund}
GET  /v1/disputes
GET  /v1/disputes/{dispute}
POST /v1/customers
GET  /v1/customers/{customer}
GET  /v1/customers/{customer}/payment_methods
GET  /v1/payment_methods
GET  /v1/payment_methods/{payment_method}
POST /v1/payment_methods/{payment_method}/detach
GET  /v1/setup_intents/{intent}
GET  /v1/events
GET  /v1/events/{id}
GET  /v1/balance_transactions
GET  /v1/balance_transactions/{id}
GET  /v1/balance
"""
RESOURCES = {
    "account", "account_link", "balance", "balance_transaction", "charge", "checkout.session", "customer", "dispute",
    "event", "item", "payment_intent", "payment_method", "price", "refund", "setup_intent",
}  # fmt: skip
METHODS_PLAYED = {"card", "us_bank_account", "sepa_debit", "link"}
# What a deauthorisation's event holds; the description of it is not among those Stripe's paths of ours reach.
APPLICATION = {
    "type": "object",
    "required": ["id", "object"],
    "properties": {
        "id": {"type": "string"},
        "object": {"type": "string", "enum": ["application"]},
        "name": {"type": "string", "nullable": True},
    },
}


class Cut:
    def __init__(self, whole: dict[str, Any]) -> None:
        self.whole = whole
        self.schemas: dict[str, Any] = whole["components"]["schemas"]
        self.methods_left_out = set(self.schemas["payment_method"]["properties"]["type"]["enum"]) - METHODS_PLAYED

    def made(self) -> dict[str, Any]:
        played = [line.split() for line in PLAYED.strip().splitlines()]
        paths: dict[str, Any] = {}
        for method, path in played:
            paths.setdefault(path, {})[method.lower()] = self.operation(self.whole["paths"][path][method.lower()])
        kept: dict[str, Any] = {}
        waiting = [*references(paths), *RESOURCES, "error"]
        while waiting:
            name = waiting.pop()
            if name not in kept:
                kept[name] = self.resource(self.schemas[name])
                waiting += references(kept[name])
        kept["application"] = APPLICATION
        unplayed = [
            f"{method.upper()} {path}"
            for path, methods in self.whole["paths"].items()
            for method in methods
            if [method.upper(), path] not in played
        ]
        return {
            "info": {name: self.whole["info"][name] for name in ("title", "version")},
            "paths": paths,
            "not_played": sorted(unplayed),
            "schemas": dict(sorted(kept.items())),
        }

    def operation(self, operation: dict[str, Any]) -> dict[str, Any]:
        """{query: schema, form: schema, answer: schema}: parameters in the path are strings and need none."""
        query = {each["name"]: each for each in operation.get("parameters", []) if each["in"] == "query"}
        form = operation.get("requestBody", {}).get("content", {}).get(FORM, {}).get("schema")
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        asked = {
            "type": "object",
            "required": [name for name, each in query.items() if each.get("required")],
            "properties": {name: each["schema"] for name, each in query.items()},
            "additionalProperties": False,
        }
        return {"query": self.thinned(asked), "form": self.thinned(form), "answer": self.thinned(answer)}

    def resource(self, schema: dict[str, Any]) -> dict[str, Any]:
        """With `expandable`: the properties that hold an id, or are left out, until a caller asks for more."""
        thin: dict[str, Any] = self.thinned(schema)
        if is_resource(schema):
            names = set(schema.get("x-expandableFields", ())) & set(thin["properties"])
            thin["expandable"] = sorted(name for name in names if names_something(thin["properties"][name]))
        return thin

    def thinned(self, schema: Any, of_properties: bool = False) -> Any:
        if isinstance(schema, list):
            return [self.thinned(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if of_properties:
            return {
                name: self.thinned(each)
                for name, each in schema.items()
                if name not in self.methods_left_out and not self.holds_what_is_not_played(each)
            }
        dull = ("description", "title", "summary")
        return {
            key: self.thinned(value, of_properties=key == "properties")
            for key, value in schema.items()
            if key not in dull and not key.startswith("x-")
        }

    def holds_what_is_not_played(self, schema: dict[str, Any]) -> bool:
        inner = schema.get("properties", {}).get("data", {}).get("items", schema)
        named = [each.get("$ref") for each in inner.get("anyOf", [inner])]
        return all(
            name and is_resource(self.schemas[last(name)]) and last(name) not in RESOURCES
            for name in named
        )


def is_resource(schema: dict[str, Any]) -> bool:
    return "enum" in schema.get("properties", {}).get("object", {})


def names_something(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "string" or "data" in schema.get("properties", {})


def last(reference: str) -> str:
    return reference.rpartition("/")[2]


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(name := schema.get("$ref"), str):
            yield last(name)
        for each in schema.values():
            yield from references(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from references(each)


def written(contract: dict[str, Any]) -> str:
    """One path or schema a line, so that a difference between two versions can be read."""
    text = json.dumps(contract, separators=(",", ":"), sort_keys=False)
    for name in (*contract["paths"], *contract["schemas"]):
        text = re.sub(rf'(?<=[{{}},])"{re.escape(name)}":{{', lambda found: f"\n{found[0]}", text, count=1)
    return text + "\n"


if __name__ == "__main__":
    CONTRACT.write_text(written(Cut(json.loads(Path(sys.argv[1]).read_text())).made()))
