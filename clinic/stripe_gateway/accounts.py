"""The clinic's own account at Stripe, which the platform opens and its owner fills in on Stripe's pages."""

from clinic.stripe_gateway import line, reading
from clinic.stripe_gateway.facts import AccountFacts

# The clinic's own: it has Stripe's whole dashboard, pays Stripe's fees, answers Stripe's questions; Stripe bears the losses.
OWN = {
    "stripe_dashboard": {"type": "full"},
    "fees": {"payer": "account"},
    "losses": {"payments": "stripe"},
    "requirement_collection": "stripe",
}


def make_account(key: str, payee: str) -> str:
    """An account's id. Asked again with the same key it is the same account. `payee` is the clinic's name."""
    made = line.post("/v1/accounts", {"controller": OWN, "business_profile": {"name": payee}}, key=key)
    return str(made["id"])


def read_account(account_id: str) -> AccountFacts:
    """Raises StripeRefused with NO_SUCH_ACCOUNT when its owner took our access away."""
    return reading.account(line.get(f"/v1/accounts/{account_id}"))


def onboarding_url(account_id: str, refresh_url: str, return_url: str) -> str:
    """Works once, for minutes: for the browser that asks now, never kept, never mailed."""
    urls = {"refresh_url": refresh_url, "return_url": return_url}
    made = line.post("/v1/account_links", {"account": account_id, "type": "account_onboarding", **urls})
    return str(made["url"])
