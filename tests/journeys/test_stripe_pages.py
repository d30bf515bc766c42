"""A person pays, is asked by the bank and signs up at the stand-in's pages, with a thumb.

Lost if they fail: the demo's way to pay ends at a page that a phone, or a screen reader, cannot use.
"""

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.journeys.test_accessibility import RUN_AXE, STICKING_OUT
from tests.stripe.cast import a_session, caller
from tests.stripe_fake.client import StripeFake

pytestmark = pytest.mark.browser


def nothing_is_wrong_with(page: Page) -> None:
    page.evaluate(AXE_SCRIPT)
    assert page.evaluate(RUN_AXE, {}) + page.evaluate(STICKING_OUT) == []


def test_pages_a_phone_and_a_screen_reader_can_use(phone: Page, stripe_fake: StripeFake) -> None:
    elm = {"stripe_account": stripe_fake.account(business_profile={"name": "Elm Street"})}
    dashboard, api = f"{stripe_fake.url}/dashboard/{elm['stripe_account']}", caller(stripe_fake)
    asked = {"success_url": f"{dashboard}?paid={{CHECKOUT_SESSION_ID}}", "payment_intent_data": {"setup_future_usage": "off_session"}}
    session = a_session(api, elm, **asked)
    phone.goto(session.url)
    nothing_is_wrong_with(phone)
    phone.get_by_label("Card 4000 0000 0000 0002").check()
    phone.get_by_role("button", name="Pay 50.00 USD").click()
    expect(phone.get_by_role("alert")).to_contain_text("Your card was declined.")
    nothing_is_wrong_with(phone)
    phone.get_by_label("Card 4000 0025 0000 3155").check()
    phone.get_by_role("button", name="Pay 50.00 USD").click()
    nothing_is_wrong_with(phone)
    phone.get_by_role("button", name="Yes, complete it").click()
    phone.wait_for_url(f"{dashboard}?paid={session.id}")
    phone.get_by_role("button", name="Open an inquiry").click()
    phone.get_by_label("Amount").fill("20")
    phone.get_by_role("button", name="Refund").click()
    expect(phone.get_by_text("Refund of 20.00 USD: succeeded")).to_be_visible()
    nothing_is_wrong_with(phone)
    phone.goto(session.url)
    nothing_is_wrong_with(phone)
    assert stripe_fake.balance(elm["stripe_account"]) == {"usd": 3000}


def test_a_clinic_signs_up(phone: Page, stripe_fake: StripeFake) -> None:
    account, front = stripe_fake.account(charges_enabled=False), f"{stripe_fake.url}/"
    asked = {"account": account, "type": "account_onboarding", "refresh_url": f"{front}?again", "return_url": f"{front}?back"}
    phone.goto(caller(stripe_fake).v1.account_links.create(asked).url)
    nothing_is_wrong_with(phone)
    phone.get_by_role("button", name="Complete everything").click()
    phone.wait_for_url(f"{front}?back")
    nothing_is_wrong_with(phone)
    assert stripe_fake.objects("account")[0]["charges_enabled"]
