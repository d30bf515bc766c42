"""Whose Stripe it is: each clinic's own account, opened on Stripe's pages, closed by its owner.

Lost if they fail: one clinic's payments are looked for, or made, on another's account, and no test notices.
"""

import base64
import urllib.error
import urllib.request
from typing import Any

import pytest
import stripe

from tests.stripe.cast import Clinic, a_session, caller, paid, told
from tests.stripe_fake.client import StripeFake

CONTROLLER: Any = {
    "controller": {"stripe_dashboard": {"type": "full"}, "fees": {"payer": "account"}, "losses": {"payments": "stripe"}},
    "country": "US", "capabilities": {"card_payments": {"requested": True}}, "business_profile": {"name": "Oak Hill"},
}  # fmt: skip


def test_a_new_account_charges_only_after_onboarding(stripe_fake: StripeFake, api: stripe.StripeClient) -> None:
    account: Any = api.v1.accounts.create(CONTROLLER)
    assert (account.charges_enabled, account.type, bool(account.requirements.currently_due)) == (False, "standard", True)
    oak = {"stripe_account": account.id}
    with pytest.raises(stripe.InvalidRequestError, match="cannot currently make charges"):
        a_session(api, oak)
    stripe_fake.onboard(account.id, everything=False)
    account = api.v1.accounts.retrieve(account.id)
    assert (account.details_submitted, account.charges_enabled) == (True, False)
    assert account.requirements.currently_due == ["individual.verification.document"]
    stripe_fake.onboard(account.id)
    assert paid(stripe_fake, api, oak)
    assert [each.id for each in api.v1.accounts.list().data] == [account.id]
    assert {event["account"] for event in stripe_fake.events()} == {account.id}


def test_an_account_sees_only_its_own(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    oak = {"stripe_account": stripe_fake.account()}
    intent = paid(stripe_fake, api, elm)
    for other in (oak, None):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            api.v1.payment_intents.retrieve(intent, None, other)
        assert (refused.value.code, refused.value.http_status) == ("resource_missing", 404)
        assert api.v1.charges.list(None, other).data == []
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent"):
        api.v1.refunds.create({"payment_intent": intent}, oak)


def test_restricted_then_gone(stripe_fake: StripeFake, api: stripe.StripeClient, elm: Clinic) -> None:
    intent, open_page = paid(stripe_fake, api, elm), a_session(api, elm)
    stripe_fake.restrict(elm["stripe_account"])
    with pytest.raises(AssertionError, match="cannot currently make charges"):
        stripe_fake.pay(open_page.id)
    api.v1.refunds.create({"payment_intent": intent, "amount": 100}, elm)
    stripe_fake.deauthorise(elm["stripe_account"])
    assert stripe_fake.events()[-1]["type"] == "account.application.deauthorized"
    for ask in (
        lambda: api.v1.payment_intents.retrieve(intent, None, elm),
        lambda: api.v1.accounts.retrieve(elm["stripe_account"]),
        lambda: api.v1.charges.list(None, {"stripe_account": "acct_never_was"}),
    ):
        with pytest.raises(stripe.PermissionError) as refused:
            ask()
        assert refused.value.error.code == "account_invalid"
    assert told(stripe_fake)[-1] == "account.application.deauthorized"


def test_another_key_opens_nothing(stripe_fake: StripeFake) -> None:
    stranger = StripeFake(stripe_fake.url, key="sk_test_of_somebody_else")
    with pytest.raises(stripe.AuthenticationError):
        caller(stranger).v1.accounts.list()


def test_a_key_may_be_sent_as_a_user_name_too(stripe_fake: StripeFake, elm: Clinic) -> None:
    asked = urllib.request.Request(f"{stripe_fake.url}/v1/balance")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(asked)
    asked.add_header("Authorization", "Basic " + base64.b64encode(f"{stripe_fake.key}:".encode()).decode())
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 200
