"""A running Portico and a browser that reaches it."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, expect

from clinic import demo
from tenancy.database import db
from tests import inside
from tests.conftest import Cluster
from tests.journeys import chromium
from tests.journeys.chromium import DESKTOP, PHONE
from tests.journeys.running import Running
from tests.visitor import app_code


@pytest.fixture(scope="module")
def portico(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Portico with the cast in it, for the tests of one module."""
    settings = cluster.copy()
    running = Running(settings, Path(tmp_path_factory.mktemp("portico")))
    try:
        running.start()
        yield running
        assert not running.faults(), running.faults()
    finally:
        running.stop()
        with running.app.app_context():
            db.engine.dispose()
        cluster.drop(settings)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium. It alone finds `*.localhost`, which is a secure context for it too.

    For one module: while Playwright's loop stands, no other test of this process may run one of its own.
    """
    with chromium.opened(program_of_browser()) as browser:
        yield browser


def program_of_browser() -> str:
    program = chromium.find()
    if program is None:
        if os.environ.get("PORTICO_EVERY_TIER"):
            pytest.fail("Chromium is not installed (Debian: apt-get install chromium).")
        pytest.skip("Chromium is not installed.")
    return program


@pytest.fixture
def desk(browser: Browser) -> Iterator[Page]:
    """A browser at the clinic's front desk."""
    yield from _page(browser.new_context(viewport=DESKTOP))


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    """A browser in a family's hand."""
    yield from _page(browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2))


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    """A browser that runs no scripts."""
    yield from _page(browser.new_context(viewport=DESKTOP, java_script_enabled=False))


def _page(context: BrowserContext) -> Iterator[Page]:
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


SignIn = Callable[[Page, str, str], None]


@pytest.fixture
def sign_in(portico: Running) -> SignIn:
    """Sign in at a face's address."""
    return partial(sign_in_at, portico.app)


def sign_in_at(app: Flask, page: Page, address: str, email: str) -> None:
    """Staff with the demo's authenticator app. `app` looks into the database that is signed in to."""
    page.goto(f"{address}sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(demo.PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    parts = urlsplit(address)
    if str(parts.hostname).startswith("admin."):
        page.wait_for_url(f"{address}sign-in/code?**")
        inside.forget_spent_codes(app, parts.path.strip("/"), email)
        page.get_by_label("Six-digit code").fill(app_code())
        page.get_by_role("button", name="Go on").click()
    page.wait_for_url(address)


def set_up_app(page: Page) -> None:
    """At the page that offers an authenticator app: type its key into one, show its first code, keep the codes."""
    key = page.locator(".secret").inner_text().replace(" ", "")
    page.get_by_label("Six-digit code").fill(app_code(key))
    page.get_by_role("button", name="Turn it on").click()
    expect(page.locator(".codes code")).to_have_count(10)
    page.get_by_role("link", name="I have kept them").click()
