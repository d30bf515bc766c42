"""Pages for everybody: no finding of axe, no sideways scrolling, the keyboard alone, no scripts.

If one of these fails, somebody with a screen reader, a small phone, no mouse or an old browser is shut out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, ViewportSize, expect
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map

from clinic import demo
from tenancy.languages import Language
from tests.conftest import Cluster
from tests.inside import inside, user
from tests.journeys import stage
from tests.journeys.chromium import DESKTOP, PHONE
from tests.journeys.conftest import SignIn
from tests.journeys.running import Running
from tests.journeys.stage import Found
from tests.journeys.walks import WALKS, Stop, Walk

pytestmark = pytest.mark.browser

NARROW: ViewportSize = {"width": 360, "height": 740}
COLOURS_ALONE = {"runOnly": ["color-contrast", "link-in-text-block"]}  # all that a colour scheme can change
FILES = {"logo", "session_clock", "audit_log_export", "document_file", "document_download", "message_attachment"} | {
    *("invoice_download", "receipt", "statement")
}
LEADS_ON = {"followed_link", "link", "payment_return"}  # a mailed link, or the way back from Stripe: redirects to its page
RUN_AXE = """options => axe.run(document, {resultTypes: ["violations"], ...options}).then(found => found.violations.map(
  one => `${one.id}: ${one.help}\\n` + one.nodes.map(node => `      ${node.target}: ${node.failureSummary}`).join("\\n")))"""
STICKING_OUT = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
  [...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth + 1)
    .slice(0, 5).map(one => `scrolls sideways: ${one.outerHTML.slice(0, 120)}`)"""
STATUS = "performance.getEntriesByType('navigation')[0].responseStatus"
FOCUSED = """() => {
  const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
  const shown = one.closest(".tile") ?? one;  // a tile's link stretches over the tile
  return {
    what: `${one.tagName} ${one.id || one.name || one.textContent.trim()}`, page: one === document.body,
    visible: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0,
    outlined: [style, getComputedStyle(shown)].some(s => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2),
  };
}"""


@pytest.fixture(scope="module")
def found(portico: Running) -> Found:
    return stage.prepare(portico)


@pytest.mark.parametrize("name", WALKS)
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    name: str, portico: Running, cluster: Cluster, browser: Browser, found: Found, sign_in: SignIn
) -> None:
    walk = WALKS[name](portico, found)
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    context.set_default_timeout(60_000)  # a busy machine is no finding
    page = context.new_page()
    if walk.email:
        sign_in(page, walk.address + "/", walk.email)
    findings = []
    for stop in walk.stops:
        just_proved(cluster.url_of(portico.settings))
        arrive(page, portico, walk, stop)
        findings += [f"{stop.path} ({stop.status}) {finding}" for finding in looked_at(page)]
        context.set_offline(False)
    context.close()
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize("name", ["maria", "families' door", "front door"])
def test_axe_finds_nothing_in_spanish_either(
    name: str, portico: Running, browser: Browser, found: Found, sign_in: SignIn
) -> None:
    """Longer words, another `lang`: every page that opens by its address alone."""
    walk = WALKS[name](portico, found)
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce", locale="en-US" if walk.email else "es-MX")
    page = context.new_page()
    with spoken_to(portico, walk.email, Language.SPANISH):
        if walk.email:
            sign_in(page, walk.address + "/", walk.email)
        findings = []
        for stop in walk.stops:
            if stop.act or stop.status != 200 or stop.path.startswith(("/link/", "/sign-in/")):
                continue  # it is reached by doing something first
            arrive(page, portico, walk, stop)
            assert page.get_attribute("html", "lang") == "es", stop.path
            findings += [f"{stop.path} {finding}" for finding in looked_at(page)]
    context.close()
    assert not findings, "\n".join(findings)


@contextmanager
def spoken_to(portico: Running, email: str | None, language: Language) -> Iterator[None]:
    """This portal user of Elm Street reads that language, for a block; nobody does where there is none."""
    if email is None:
        yield
        return
    with inside(portico.app, demo.ELM):
        user(email).language = language
    try:
        yield
    finally:
        with inside(portico.app, demo.ELM):
            user(email).language = Language.ENGLISH


def test_no_page_is_left_out(portico: Running, found: Found) -> None:
    """A page that no walk visits would be looked at by nobody."""
    visited = {stop.endpoint for walk in WALKS.values() for stop in walk(portico, found).stops}
    pages = {
        rule.endpoint
        for rule in portico.app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.endpoint.startswith("ui.")
    }
    left_out = {each for each in pages - visited if each.split(".")[1] not in FILES | LEADS_ON}
    assert not left_out


def just_proved(url: str) -> None:
    """As if the walker had signed in this minute: on a busy machine a walk takes longer than a proof of identity counts."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE sessions SET started_at = now(), last_seen_at = now() WHERE ended_at IS NULL")


def arrive(page: Page, portico: Running, walk: Walk, stop: Stop) -> None:
    page.set_viewport_size(DESKTOP)
    page.goto(walk.address + stop.path)
    if stop.act:
        stop.act(page)
    status = page.evaluate(STATUS)
    endpoint = endpoint_of(portico.app.url_map, walk.subdomain, urlsplit(page.url).path)
    assert (status, endpoint) == (stop.status, stop.endpoint), (stop.path, page.url, page.inner_text("main"))


def endpoint_of(rules: Map, subdomain: str, path: str) -> str:
    """Whose page an address is; a refused form stands at the address it was sent to."""
    places = rules.bind("localhost", subdomain=subdomain)
    for method in ("GET", "POST"):
        try:
            endpoint: str = places.match(path, method=method)[0]
        except MethodNotAllowed:
            continue
        except HTTPException:
            return ""
        return endpoint
    return ""


def looked_at(page: Page) -> Iterator[str]:
    page.evaluate(AXE_SCRIPT)
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            options = COLOURS_ALONE if scheme == "dark" else {}
            yield from (f"[{scheme}, {size['width']} px] {finding}" for finding in page.evaluate(RUN_AXE, options))
    page.set_viewport_size(NARROW)
    yield from page.evaluate(STICKING_OUT)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    yield from (f"[all opened] {finding}" for finding in page.evaluate(RUN_AXE, {}))
    yield from page.evaluate(STICKING_OUT)


def test_the_walk_would_notice(portico: Running, desk: Page) -> None:
    """Planted: a picture without words, pale text, a box wider than a phone, a place the keyboard cannot be seen at."""
    desk.emulate_media(reduced_motion="reduce")
    desk.goto(portico.portal(demo.ELM, "/sign-in"))
    assert not list(looked_at(desk))
    desk.evaluate("document.querySelector('main').append(new Image())")
    assert any("image-alt" in finding for finding in looked_at(desk))
    desk.reload()
    desk.evaluate("document.querySelector('label').style.color = '#8a8a8a'")
    assert any("color-contrast" in finding for finding in looked_at(desk))
    desk.reload()
    desk.evaluate("document.querySelector('main').style.minWidth = '400px'")
    assert any("scrolls sideways" in finding for finding in looked_at(desk))
    desk.reload()
    desk.evaluate("document.querySelector('#password').style.outline = 'none'")
    with pytest.raises(AssertionError, match="password"):
        walk_by_tab(desk)


@pytest.mark.parametrize("path", ["/", "/patients", "/invitations/new", "/clinic-options/portal-settings"])
def test_staff_get_everywhere_with_the_keyboard_and_see_where_they_are(
    path: str, portico: Running, desk: Page, found: Found, sign_in: SignIn
) -> None:
    sign_in(desk, portico.admin(demo.ELM), "ana@elm.example")
    desk.goto(portico.admin(demo.ELM, path))
    walk_by_tab(desk)


def test_families_get_everywhere_with_the_keyboard_and_see_where_they_are(
    portico: Running, phone: Page, found: Found, sign_in: SignIn
) -> None:
    phone.goto(portico.portal(demo.ELM, "/sign-in"))
    walk_by_tab(phone)
    sign_in(phone, portico.portal(demo.ELM), "maria@family.example")
    for path in ("/", f"/patients/{found.leo}/documents", "/profile"):
        phone.goto(portico.portal(demo.ELM, path))
        walk_by_tab(phone)


def walk_by_tab(page: Page) -> None:
    """From the skip link through everything, each place visibly marked, and back to the top; then skip to the page."""
    passed = []
    for _ in range(200):
        page.keyboard.press("Tab")
        here = page.evaluate(FOCUSED)
        if here["page"]:
            break
        passed.append(here["what"])
        assert here["visible"] and here["outlined"], (page.url, here)
    assert passed and "Skip to the page" in passed[0], passed
    assert here["page"], "the keyboard is caught"
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_refused_form_is_where_the_reader_is_taken(portico: Running, desk: Page) -> None:
    desk.goto(portico.portal(demo.ELM, "/sign-in"))
    desk.get_by_role("button", name="Sign in", exact=True).click()
    expect(desk.get_by_role("alert")).to_be_focused()
    desk.get_by_role("alert").get_by_role("link").first.click()
    expect(desk.get_by_label("E-mail address")).to_be_focused()


def test_families_sign_in_and_read_without_scripts(portico: Running, plain: Page, sign_in: SignIn) -> None:
    sign_in(plain, portico.portal(demo.ELM), "maria@family.example")
    plain.get_by_role("main").get_by_role("link", name="Leo Lopez").click()
    plain.get_by_role("link", name="Documents", exact=True).click()
    expect(plain.get_by_text("Plan of care, autumn").first).to_be_visible()


def test_staff_save_settings_and_invite_without_scripts(
    portico: Running, plain: Page, found: Found, sign_in: SignIn
) -> None:
    sign_in(plain, portico.admin(demo.OAK), "ola@oak.example")
    plain.goto(portico.admin(demo.OAK, "/clinic-options/portal-settings"))
    expect(plain.locator(".address-preview")).to_contain_text(f"{demo.OAK}.")
    plain.get_by_label("Portal Email Reply-To").fill("desk@oak.example")
    plain.get_by_role("button", name="Save Patient Portal Settings").click()
    expect(plain.get_by_text("The Patient Portal Settings are saved.")).to_be_visible()
    plain.goto(portico.admin(demo.OAK, "/invitations/new"))
    expect(plain.get_by_label("Select all on this page")).to_be_hidden()
    plain.get_by_label("Petra Peters").check()
    plain.get_by_role("button", name="Invite Patient Contacts to Portal").click()
    plain.get_by_role("button", name="Yes, Continue").click()
    expect(plain.get_by_text("Done. The letters are on their way.")).to_be_visible()
