"""A family pays in a browser: from the bill to Stripe's page and back to a page that tells the truth by itself.

Lost if it fails: the browser stops at the way to Stripe, or whoever paid is left with "we are checking" for ever.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from clinic import demo, payments
from clinic.payments import Payment
from tenancy.database import db
from tests import inside
from tests.conftest import Cluster
from tests.journeys.conftest import sign_in_at
from tests.journeys.running import Running
from tests.journeys.test_stripe_pages import nothing_is_wrong_with
from tests.paying import Desk, use_account
from tests.stripe_fake.client import StripeFake

pytestmark = [pytest.mark.slow, pytest.mark.browser]
MARIA = "maria@family.example"


@pytest.fixture
def desk_at_stripe(cluster: Cluster, tmp_path: Path, stripe_fake: StripeFake) -> Iterator[tuple[Running, Desk]]:
    """Elm Street, with an account at the stand-in for Stripe."""
    copied = cluster.copy()
    keys = {"stripe_api_key": stripe_fake.key, "stripe_api_base": stripe_fake.url, "stripe_webhook_secret": stripe_fake.secret}
    running = Running(replace(copied, **keys), tmp_path)
    account_id = stripe_fake.account()
    try:
        with inside.inside(running.app, demo.ELM) as clinic:
            use_account(account_id)
            leo, maria = inside.patient("Leo Lopez").id, inside.user(MARIA).id
        running.start()
        yield running, Desk(running.app, stripe_fake, clinic, account_id, leo, maria)
        assert not running.faults(), running.faults()
    finally:
        running.stop()
        with running.app.app_context():
            db.engine.dispose()
        cluster.drop(copied)


def to_stripe(running: Running, desk: Desk, page: Page) -> Payment:
    """Signs in, goes from the bill to Stripe's page, and stands there."""
    sign_in_at(running.app, page, running.portal(demo.ELM), MARIA)
    page.goto(running.portal(demo.ELM, f"/patients/{desk.patient_id}/billing"))
    page.get_by_role("link", name="Pay", exact=True).click()
    page.get_by_role("button", name="Go on to the payment page").click()
    page.wait_for_url(f"{desk.fake.url}/**")
    with desk.clinic_transaction():
        (begun,) = payments.unfinished_of_patient(desk.patient_id)
    return desk.payment(begun.id)


def test_a_phone_pays_and_the_page_tells_when_the_money_has_arrived(desk_at_stripe: tuple[Running, Desk], phone: Page) -> None:
    running, desk = desk_at_stripe
    payment = to_stripe(running, desk, phone)
    phone.get_by_role("button", name="Pay", exact=False).first.click()
    phone.wait_for_url("**/payments/*?returned=*")
    expect(phone.get_by_text("We are checking with Stripe.")).to_be_visible()
    desk.look(payment.id)
    expect(phone.get_by_text("Thank you. Your payment has arrived.")).to_be_visible(timeout=15_000)


def test_without_scripts_the_page_looks_again_too(desk_at_stripe: tuple[Running, Desk], plain: Page) -> None:
    running, desk = desk_at_stripe
    payment = to_stripe(running, desk, plain)
    assert payment.checkout_session_id
    desk.fake.pay(payment.checkout_session_id)
    plain.goto(running.portal(demo.ELM, f"/payments/{payment.id}?returned=1"))
    expect(plain.get_by_text("We are checking with Stripe.")).to_be_visible()
    desk.look(payment.id)
    expect(plain.get_by_text("Thank you. Your payment has arrived.")).to_be_visible(timeout=15_000)


def test_somebody_who_does_not_sign_in_pays_a_mailed_invoice(desk_at_stripe: tuple[Running, Desk], phone: Page) -> None:
    """The cookie that holds the link comes back from Stripe's site with them."""
    running, desk = desk_at_stripe
    desk.let_links_pay()
    phone.goto(running.portal(demo.ELM, f"/link/invoice/{desk.mail(desk.invoice(8000))}"))
    nothing_is_wrong_with(phone)
    phone.get_by_role("button", name="Pay $80.00").click()
    phone.wait_for_url(f"{desk.fake.url}/**")
    with desk.clinic_transaction():
        (begun,) = payments.unfinished_of_patient(desk.patient_id)
    phone.get_by_role("button", name="Pay", exact=False).first.click()
    phone.wait_for_url("**/mailed-invoice/payments/*?returned=*")
    expect(phone.get_by_text("We are checking with Stripe.")).to_be_visible()
    desk.look(begun.id)
    expect(phone.get_by_text("Thank you. Your payment has arrived.")).to_be_visible(timeout=15_000)
