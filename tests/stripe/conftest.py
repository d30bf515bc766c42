import pytest
import stripe

from tests.stripe.cast import Clinic, caller
from tests.stripe_fake.client import StripeFake


@pytest.fixture
def api(stripe_fake: StripeFake) -> stripe.StripeClient:
    return caller(stripe_fake)


@pytest.fixture
def elm(stripe_fake: StripeFake) -> Clinic:
    return {"stripe_account": stripe_fake.account(business_profile={"name": "Elm Street"})}
