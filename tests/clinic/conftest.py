"""Payments in a test: the clinic's account at the stand-in for Stripe, and the clinic open around the test."""

from collections.abc import Iterator

import pytest
from flask import Flask

from tests.paying import Desk, at_elm
from tests.stripe_fake.client import StripeFake


@pytest.fixture
def desk(app: Flask, stripe_fake: StripeFake) -> Iterator[Desk]:
    with at_elm(app, stripe_fake) as standing, standing.open_clinic():
        yield standing
