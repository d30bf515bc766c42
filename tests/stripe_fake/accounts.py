"""Connected accounts: made by the platform, opened by their owner on Stripe's pages, restricted or taken away later."""

import copy
import secrets
from typing import Any

from tests.stripe_fake.calls import Call, listed, plays
from tests.stripe_fake.errors import no_access
from tests.stripe_fake.world import PLATFORM, Thing, World

LINK_SECONDS = 300
APPLICATION = {"id": "ca_PorticoStandIn000000000000000", "object": "application", "name": "Portico"}
CURRENCIES = {"US": "usd", "GB": "gbp", "JP": "jpy", "CA": "cad", "AU": "aud", "CH": "chf", "AE": "aed"}
AT_FIRST = ["business_profile.url", "business_type", "external_account", "tos_acceptance.date", "tos_acceptance.ip"]
LEFT = ["individual.verification.document"]


def make_account(world: World, **asked: Any) -> Thing:
    country = asked.get("country", "US")
    controller = asked.get("controller", {})
    dashboard = controller.get("stripe_dashboard", {}).get("type")
    kind = asked.get("type") or {"full": "standard", "express": "express", None: "standard"}.get(dashboard, "none")
    capabilities = {name: "inactive" for name in asked.get("capabilities", {"card_payments": {}, "transfers": {}})}
    profile = {"name": None, "url": None, "mcc": None, "product_description": None, "support_email": None, "support_phone": None}
    made = world.make(
        "account", PLATFORM, type=kind, country=country, default_currency=CURRENCIES.get(country, "eur"),
        email=asked.get("email"), business_type=asked.get("business_type"), metadata=asked.get("metadata") or {},
        business_profile=profile | asked.get("business_profile", {}), capabilities=capabilities,
        charges_enabled=False, payouts_enabled=False, details_submitted=False, requirements=_requirements(AT_FIRST),
        tos_acceptance={"date": None, "ip": None, "user_agent": None},
        controller={
            "type": "application", "is_controller": True, "requirement_collection": controller.get("requirement_collection", "stripe"),
            "fees": {"payer": controller.get("fees", {}).get("payer", "account")},
            "losses": {"payments": controller.get("losses", {}).get("payments", "stripe")},
            "stripe_dashboard": {"type": dashboard or "full"},
        },
    )  # fmt: skip
    world.open_account(made["id"])
    return made


def _requirements(due: list[str], late: bool = False) -> Thing:
    return {
        "alternatives": [], "current_deadline": None, "currently_due": due, "errors": [], "eventually_due": due,
        "past_due": due, "disabled_reason": "requirements.past_due" if due else None, "pending_verification": [],
    }  # fmt: skip


def onboard(world: World, account: str, everything: bool = True) -> Thing:
    """What its owner told Stripe on the hosted pages, all of it or nearly."""
    return _changed(
        world, account, details_submitted=True, charges_enabled=everything, payouts_enabled=everything,
        requirements=_requirements([] if everything else LEFT), state="active" if everything else "pending",
    )  # fmt: skip


def restrict(world: World, account: str) -> Thing:
    """Stripe wants to know more before this account takes another payment."""
    return _changed(
        world, account, charges_enabled=False, payouts_enabled=False, requirements=_requirements(LEFT), state="inactive"
    )


def _changed(world: World, account: str, state: str, **values: Any) -> Thing:
    thing = one(world, account)
    before = {name: copy.deepcopy(thing[name]) for name in values if thing[name] != values[name]}
    thing.update(values, capabilities=dict.fromkeys(thing["capabilities"], state))
    world.emit("account.updated", account, thing, **before)
    return thing


def deauthorise(world: World, account: str) -> None:
    """The owner takes the platform's access away: from now on the account cannot even be asked for."""
    one(world, account)
    world.emit("account.application.deauthorized", account, APPLICATION)
    world.state["accounts"][account]["gone"] = True


def one(world: World, account: str, key: str = "sk_test_") -> Thing:
    if account == PLATFORM or not world.is_open(account):
        raise no_access(account, key)
    return world.get("account", PLATFORM, account)


def name_of(world: World, account: str) -> str:
    """What the pages call the merchant."""
    thing = world.get("account", PLATFORM, account)
    return str((thing["business_profile"] or {}).get("name") or thing["email"] or account)


@plays("POST", "/v1/accounts")
def create_account(call: Call) -> Thing:
    call.plays_only("type", "controller", "country", "email", "business_type", "business_profile", "capabilities", "metadata")
    return make_account(call.world, **call.asked)


@plays("GET", "/v1/accounts")
def list_accounts(call: Call) -> Thing:
    things = call.world.things("account", PLATFORM).values()
    return listed(call, [each for each in things if call.world.is_open(each["id"])])


@plays("GET", "/v1/accounts/{account}")
def one_account(call: Call) -> Thing:
    return one(call.world, call.ids["account"])


@plays("POST", "/v1/account_links")
def create_link(call: Call) -> Thing:
    """A link works once, for minutes. What is still open when it does not is for its refresh_url to say."""
    world, asked = call.world, call.asked
    account, token = one(world, asked["account"])["id"], secrets.token_urlsafe(24)
    expires_at = world.now() + LINK_SECONDS
    world.state["links"][token] = {
        "account": account, "refresh_url": asked.get("refresh_url"), "return_url": asked.get("return_url"),
        "expires_at": expires_at, "opened": False, "done": False,
    }  # fmt: skip
    url = f"{world.state['url']}/setup/s/{account}/{token}"
    return {"object": "account_link", "created": world.now(), "expires_at": expires_at, "url": url}
