"""A family reads a document in the browser: the answer is sandboxed, and Chromium's own reader shows it all the same.

Lost if it fails: families are told that a page was blocked, where their child's report should be.
"""

import io

import pytest
from PIL import Image
from playwright.sync_api import Page

from clinic import demo
from tests.journeys.conftest import SignIn
from tests.journeys.running import Running

pytestmark = pytest.mark.browser


def ink(page: Page) -> int:
    """How many dark points stand on the white page that is shown."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("L")
    _left, _top, width, height = picture.getbbox() or (0, 0, 0, 0)
    shown = picture.crop((width // 2, 100, width - 20, height // 2))
    values = shown.histogram()
    assert sum(values[250:]) > 0.8 * shown.width * shown.height, "no white page"
    return sum(values[:100])


def test_a_sandboxed_pdf_is_shown(portico: Running, desk: Page, sign_in: SignIn) -> None:
    sign_in(desk, portico.portal(demo.ELM), "maria@family.example")
    desk.get_by_role("main").get_by_role("link", name="Leo Lopez").first.click()
    desk.get_by_role("link", name="Documents", exact=True).click()
    desk.get_by_role("link", name="Plan of care, autumn").click()
    link = desk.get_by_role("link", name="Read it")
    fetch = "async path => (await fetch(path)).headers.get('content-security-policy')"
    assert "sandbox" in desk.evaluate(fetch, link.get_attribute("href"))
    link.click()
    for _try in range(20):
        if any(frame.url.startswith("chrome-extension:") for frame in desk.frames):
            break
        desk.wait_for_timeout(250)
    desk.wait_for_timeout(1500)
    assert ink(desk) > 100
