"""Stripe's words in plain ones: what it still asks a clinic for, and why an account may not take payments."""

from collections.abc import Iterable
from typing import Any

from flask_babel import lazy_gettext as _l

# How a requirement begins, longest first where one begins like another.
DUE = (
    ("external_account", _l("A bank account for the payments to arrive on")),
    ("business_profile.url", _l("Your website, or a description of what you offer")),
    ("business_profile.", _l("What kind of practice you are")),
    ("business_type", _l("Whether you are a company, a non-profit or one person")),
    ("tos_acceptance.", _l("Your agreement to Stripe's terms")),
    ("documents.", _l("A document about the practice")),
    ("company.verification.", _l("A document about the practice")),
    ("company.tax_id", _l("The practice's tax number")),
    ("company.", _l("Name, address or registration of the practice")),
    ("settings.", _l("How payments are named on bank statements")),
)
DOCUMENT = _l("An identity document of the person who signs up or owns the practice")
PERSON = _l("Details of the person who signs up or owns the practice")
PEOPLE = ("individual", "representative", "person_", "owners", "directors", "executives")
OTHER = _l("Something else that Stripe's pages say")

# How the reason begins.
DISABLED = (
    ("requirements.pending_verification", _l("Stripe is checking what you sent. That can take some days; you need not do anything.")),
    ("requirements.", _l("Stripe waits for answers.")),
    ("rejected.", _l("Stripe has closed this account. Your Stripe dashboard, or Stripe's support, can tell why.")),
    ("under_review", _l("Stripe is looking at this account. That can take some days; you need not do anything.")),
    ("listed", _l("Stripe is looking at this account. That can take some days; you need not do anything.")),
    ("account_invalid", _l("Stripe no longer lets this portal reach the account. Perhaps it was disconnected in your Stripe dashboard.")),
)
PAUSED = _l("Stripe has paused this account. Your Stripe dashboard can tell why.")


def due(requirements: Iterable[str]) -> list[Any]:
    """Each thing once, in Stripe's order."""
    return list(dict.fromkeys(_due(each) for each in requirements))


def disabled(reason: str | None) -> Any:
    """Why nobody can pay; none where Stripe gives no reason."""
    if not reason:
        return None
    return next((words for start, words in DISABLED if reason.startswith(start)), PAUSED)


def _due(requirement: str) -> Any:
    if requirement.startswith(PEOPLE):
        return DOCUMENT if ".verification." in requirement else PERSON
    return next((words for start, words in DUE if requirement.startswith(start)), OTHER)
